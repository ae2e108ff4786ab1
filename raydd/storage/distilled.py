"""`DistilledSet`: synthetic images with all that is needed to train on them, in one portable file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from raydd.errors import ArtifactError
from raydd.files import canonical_json, write_bytes
from raydd.formation import PADS, check_boxes, check_decode, decode, initial_labels, view_sources
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
        pixels: float32, shape (N, C, H, W), class-major, as stored (before decoding), on the CPU: normalised, or
            `unit` pixels in [0, 1].
        targets: int64, shape (N,): `ipc` times class 0, then class 1, and so on.
        manifest: JSON-able facts: `schema method hyperparameters ipc classes class_names channels size
            iterations iteration seed data normalisation pixels decode evaluation computed versions git`. There is
            no time in it, so that equal runs write equal files.
        boxes: int64, shape (N, R, 3): regions (y0, x0, side) of each stored image that are training images too;
            None where the method has none.
    """

    pixels: torch.Tensor
    targets: torch.Tensor
    manifest: dict[str, Any]
    boxes: torch.Tensor | None = None

    def images(self) -> torch.Tensor:
        """Images as a network is trained on them: decoded, float32, shape (N', C, H, W), normalised, class-major."""
        kind = self.manifest["pixels"]
        by_class = (self.classes, -1)
        boxes = None if self.boxes is None else self.boxes.unflatten(0, by_class)
        views = decode(self.pixels.unflatten(0, by_class), self.manifest["decode"], boxes, PADS[kind])
        images = views.flatten(0, 1)
        return self.normalisation.apply(images) if kind == "unit" else images

    def labels(self) -> torch.Tensor:
        """Class of each of `images`: int64, shape (N',)."""
        by_class = self.targets.unflatten(0, (self.classes, -1))
        regions = 0 if self.boxes is None else self.boxes.shape[1]
        return by_class[:, view_sources(self.manifest["decode"], by_class.shape[1], regions)].flatten()

    def soft_labels(self) -> torch.Tensor | None:
        """Class probabilities (N', classes) for sets that carry them; None for hard-label methods."""
        return None

    @property
    def recipe(self) -> dict[str, Any]:
        """How to train on it: `protocol`, `net`, `epochs` (None: the protocol's), `augmentation`, maybe `cutmix`."""
        return self.manifest["evaluation"]

    def with_recipe(self, **changes: Any) -> DistilledSet:
        """The same set with another recipe, such as the `net` and `epochs` that it is reported with."""
        recipe = {**self.recipe, **{name: value for name, value in changes.items() if value is not None}}
        return replace(self, manifest={**self.manifest, "evaluation": recipe})

    @property
    def normalisation(self) -> Normalisation:
        """What training images are normalised with."""
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

    @property
    def stored_bytes(self) -> int:
        """Size of pixels, targets and boxes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors().values())

    def unit_pixels(self) -> torch.Tensor:
        """The stored images for people: float32, shape (N, C, H, W), in [0, 1] (clamped)."""
        if self.manifest["pixels"] == "unit":
            return self.pixels.clamp(0.0, 1.0)
        return self.normalisation.invert(self.pixels)

    def grid(self, per_class: int = 10) -> np.ndarray:
        """Preview of the stored images: uint8, shape (height, width, 3), one row per class; see `preview_grid`."""
        return preview_grid(self.unit_pixels(), self.targets, per_class)

    def save(self, path: str | Path, *, preview: Path | None = None) -> Path:
        """Write `<stem>.safetensors`, and a preview grid as PNG; both atomically.

        Args:
            path: ends in `.safetensors`.
            preview: where the grid goes; None is `<stem>.png` beside the set.

        Returns:
            The path of the safetensors file.

        Raises:
            ArtifactError: `path` does not end in `.safetensors` or cannot be written, or `load` would refuse the set.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise ArtifactError(f"a distilled set is saved as <name>.safetensors, got {str(path)!r}")
        self._check(path)
        content = safetensors.torch.save(
            {name: tensor.contiguous() for name, tensor in self._tensors().items()},
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
            ArtifactError: the file is missing, corrupt, of another kind, or of another schema.
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
        if METADATA_KEY not in metadata or set(tensors) - {"boxes"} != {"pixels", "targets"}:
            raise ArtifactError(f"{path} is a safetensors file, but not a distilled set of raydd")
        try:
            manifest = json.loads(metadata[METADATA_KEY])
            schema = manifest["schema"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise ArtifactError(f"{path} carries a manifest that cannot be read") from None
        if schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {schema!r}; this version of raydd reads schema {SCHEMA}")
        distilled = cls(manifest=manifest, **tensors)
        distilled._check(path)
        return distilled

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {"pixels": self.pixels, "targets": self.targets}
        return tensors if self.boxes is None else {**tensors, "boxes": self.boxes}

    def _check(self, path: Path) -> None:
        try:
            count, size = self.ipc * self.classes, self.manifest["size"]
            shape = (count, self.manifest["channels"], size, size)
            kind = self.manifest["pixels"]
            check_decode(self.manifest["decode"], size)
            if self.boxes is not None:
                check_boxes(self.boxes, count, size, size)
            self._read_needed()
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} carries a manifest without a usable {error}") from None
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from None
        if tuple(self.pixels.shape) != shape or tuple(self.targets.shape) != (count,):
            raise ArtifactError(
                f"{path} holds pixels of shape {tuple(self.pixels.shape)} and {self.targets.numel()} labels, "
                f"but its manifest says {shape}"
            )
        if self.pixels.dtype != torch.float32 or self.targets.dtype != torch.int64:
            raise ArtifactError(
                f"{path} holds {self.pixels.dtype} pixels and {self.targets.dtype} labels, "
                "but a distilled set has torch.float32 and torch.int64"
            )
        if not torch.equal(self.targets, initial_labels(self.classes, self.ipc)):
            raise ArtifactError(
                f"{path} holds other labels than {self.ipc} times class 0, then class 1, up to {self.classes - 1}"
            )
        if kind not in tuple(PADS):
            raise ArtifactError(f"{path} holds pixels of kind {kind!r}; allowed are {' and '.join(PADS)}")
        if kind == "unit":
            low, high = self.pixels.min().item(), self.pixels.max().item()
            if not 0.0 <= low <= high <= 1.0:  # false for NaN too
                raise ArtifactError(f"{path} holds unit pixels in [{low:g}, {high:g}]; allowed is [0, 1]")

    def _read_needed(self) -> tuple[object, ...]:
        """Read what a training needs of the manifest, so that what is missing is found on loading."""
        return self.recipe["protocol"], self.recipe["augmentation"], self.normalisation, self.fingerprint
