"""`DistilledSet`: synthetic images with all that is needed to train on them, in one portable file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from raydd.errors import ArtifactError
from raydd.files import canonical_json, write_bytes
from raydd.formation import check_decode, decode
from raydd.normalisation import Normalisation
from raydd.storage.preview import png, preview_grid
from raydd.storage.provenance import SCHEMA

if TYPE_CHECKING:
    import numpy as np

METADATA_KEY = "raydd"


@dataclass(frozen=True, eq=False)
class DistilledSet:
    """A distilled set as optimised, and how it was made.

    Attributes:
        pixels: float32, shape (N, C, H, W), normalised, as stored (before decoding), on the CPU.
        targets: int64, shape (N,).
        manifest: JSON-able facts: `schema method hyperparameters ipc classes class_names channels size
            iterations iteration seed data normalisation decode evaluation computed versions git`. There is no time in
            it, so that equal runs write equal files.
    """

    pixels: torch.Tensor
    targets: torch.Tensor
    manifest: dict[str, Any]

    def images(self) -> torch.Tensor:
        """Images as a network is trained on them: decoded, float32, shape (N', C, H, W), normalised."""
        return decode(self.pixels, self.manifest["decode"])

    def labels(self) -> torch.Tensor:
        """Class of each of `images`: int64, shape (N',)."""
        return self.targets

    def soft_labels(self) -> torch.Tensor | None:
        """Class probabilities (N', classes) for sets that carry them; None for hard-label methods."""
        return None

    @property
    def recipe(self) -> dict[str, Any]:
        """How to train on it: `protocol`, `net`, `epochs` (None: the protocol's) and `augmentation`."""
        return self.manifest["evaluation"]

    def with_recipe(self, **changes: Any) -> DistilledSet:
        """The same set with another recipe, such as the `net` and `epochs` that it is reported with."""
        recipe = {**self.recipe, **{name: value for name, value in changes.items() if value is not None}}
        return DistilledSet(self.pixels, self.targets, {**self.manifest, "evaluation": recipe})

    @property
    def normalisation(self) -> Normalisation:
        """What the pixels were normalised with."""
        constants = self.manifest["normalisation"]
        return Normalisation(tuple(constants["mean"]), tuple(constants["std"]))

    @property
    def ipc(self) -> int:
        """Stored images per class."""
        return self.manifest["ipc"]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.manifest["classes"]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the dataset and split that it was distilled from."""
        return self.manifest["data"]["fingerprint"]

    def grid(self, per_class: int = 10) -> np.ndarray:
        """Preview: uint8, shape (height, width, 3), one row per class; see `preview_grid`."""
        return preview_grid(self.normalisation.invert(self.images()), self.labels(), per_class)

    def save(self, path: str | Path, *, preview: Path | None = None) -> Path:
        """Write `<stem>.safetensors`, and a preview grid as PNG; both atomically.

        Args:
            path: ends in `.safetensors`.
            preview: where the grid goes; None is `<stem>.png` beside the set.

        Returns:
            The path of the safetensors file.

        Raises:
            ArtifactError: `path` does not end in `.safetensors`, or cannot be written.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise ArtifactError(f"a distilled set is saved as <name>.safetensors, got {str(path)!r}")
        content = safetensors.torch.save(
            {"pixels": self.pixels.contiguous(), "targets": self.targets.contiguous()},
            metadata={METADATA_KEY: canonical_json(self.manifest)},
        )
        try:
            write_bytes(path, content)
            write_bytes(preview or path.with_suffix(".png"), png(self.grid()))
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror}") from None
        return path

    @classmethod
    def load(cls, path: str | Path) -> DistilledSet:
        """Read what `save` wrote. Reading runs no code from the file.

        Raises:
            ArtifactError: the file is missing, corrupt, of another kind, or of a newer schema.
        """
        path = Path(path)
        if not path.is_file():
            raise ArtifactError(f"there is no file {path}")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        except (safetensors.SafetensorError, OSError) as error:
            raise ArtifactError(f"{path} is not a whole safetensors file: {error}") from None
        if METADATA_KEY not in metadata or set(tensors) != {"pixels", "targets"}:
            raise ArtifactError(f"{path} is a safetensors file, but not a distilled set of raydd")
        try:
            manifest = json.loads(metadata[METADATA_KEY])
            schema = manifest["schema"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise ArtifactError(f"{path} carries a manifest that cannot be read") from None
        if schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {schema!r}; this version of raydd reads schema {SCHEMA}")
        distilled = cls(tensors["pixels"], tensors["targets"], manifest)
        distilled._check(path)
        return distilled

    def _read_needed(self) -> tuple[object, ...]:
        """Read what a training needs of the manifest, so that what is missing is found on loading."""
        check_decode(self.manifest["decode"])
        return self.recipe["protocol"], self.recipe["augmentation"], self.normalisation, self.fingerprint

    def _check(self, path: Path) -> None:
        try:
            count = self.ipc * self.classes
            shape = (count, self.manifest["channels"], self.manifest["size"], self.manifest["size"])
            self._read_needed()
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} carries a manifest without a usable {error}") from None
        if tuple(self.pixels.shape) != shape or tuple(self.targets.shape) != (count,):
            raise ArtifactError(
                f"{path} holds pixels of shape {tuple(self.pixels.shape)} and {self.targets.numel()} labels, "
                f"but its manifest says {shape}"
            )
        if (
            self.targets.numel()
            and not 0 <= int(self.targets.min()) <= int(self.targets.max()) < self.classes
        ):
            raise ArtifactError(f"{path} holds labels outside 0..{self.classes - 1}")
        if self.pixels.dtype != torch.float32 or self.targets.dtype != torch.int64:
            raise ArtifactError(
                f"{path} holds {self.pixels.dtype} pixels and {self.targets.dtype} labels, "
                "but a distilled set has torch.float32 and torch.int64"
            )
