"""`DistilledSet`: synthetic images with all that is needed to train on them, in one portable file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from raydd.errors import ArtifactError, ConfigError
from raydd.files import canonical_json, write_bytes
from raydd.formation import IDENTITY, PADS, check_boxes, check_decode, decode, initial_labels, view_sources
from raydd.normalisation import Normalisation
from raydd.storage.labels import check_labels, checked
from raydd.storage.loader import batches
from raydd.storage.preview import png, preview_grid
from raydd.storage.provenance import HARD, SCHEMA
from raydd.storage.teacher import Teacher, find
from raydd.training.labels import check_mode

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.data import DataLoader

METADATA_KEY = "raydd"
READ = (2, SCHEMA)
"""Schemas that are read; sets of schema 2 have hard labels."""

OPTIONAL = ("boxes", "logits", "replay")
TEACHER_PREFIX = "teacher/"
REPLAYED = ("protocol", "augmentation", "cutmix", "mixup")
"""What of a recipe the batches are made of whose labels a replay holds."""

MANIFEST: Mapping[str, Mapping[str, type]] = {
    "": {"ipc": int, "classes": int, "channels": int, "size": int, "decode": dict, "pixels": str},
    "data.": {"fingerprint": str},
    "evaluation.": {"protocol": str, "augmentation": str, "net": str},
    "normalisation.": {"mean": tuple, "std": tuple},
}
"""What a training needs of a manifest."""

MANIFEST_OPTIONAL: Mapping[str, Mapping[str, type]] = {
    "": {"method": str, "iteration": int, "seed": int, "hyperparameters": dict, "labels": dict},
    "data.": {"name": str, "train": str, "split": dict},
    "evaluation.": {"cutmix": float, "mixup": float, "temperature": float, "teacher_mode": str},
}
"""What is read of a manifest where it is there."""


@dataclass(frozen=True, eq=False)
class DistilledSet:
    """A distilled set as optimised, and how it was made.

    Attributes:
        pixels: float32, shape (N, C, H, W), class-major, as stored (before decoding), on the CPU: normalised, or
            `unit` pixels in [0, 1].
        targets: int64, shape (N,): `ipc` times class 0, then class 1, and so on.
        manifest: JSON-able facts: `schema method hyperparameters ipc classes class_names channels size
            iterations iteration seed data normalisation pixels decode labels evaluation computed versions git`. There
            is no time in it, so that equal runs write equal files. `labels` has the `kind` (`raydd.storage.labels`),
            the facts of the `teacher`, and `seed`, `purpose`, `epochs` and `recipe` (a `Recipe.to_json`) of the
            `replay`, which say what its batches were.
        boxes: int64, shape (N, R, 3): regions (y0, x0, side) of each stored image that are training images too;
            None where the method has none.
        logits: float16, shape (N', classes): the teacher's for the plain training images; None without.
        replay: float16, shape (E, N', classes): the teacher's for the augmented batches of E epochs, in the order in
            which they came; None without.
        teacher: whose labels they are; None with hard labels, and where it could not be found.
    """

    pixels: torch.Tensor
    targets: torch.Tensor
    manifest: dict[str, Any]
    boxes: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    replay: torch.Tensor | None = None
    teacher: Teacher | None = None

    def images(self) -> torch.Tensor:
        """Images as a network is trained on them: decoded, float32, shape (N', C, H, W), normalised, class-major."""
        kind = self.manifest["pixels"]
        by_class = (self.classes, -1)
        boxes = None if self.boxes is None else self.boxes.unflatten(0, by_class)
        views = decode(self.pixels.unflatten(0, by_class), self.manifest["decode"], boxes, PADS[kind])
        images = views.flatten(0, 1)
        return self.normalisation.apply(images) if kind == "unit" else images

    def decoded(self) -> DistilledSet:
        """The same training images, each of them stored: nothing is left to be cut up or enlarged."""
        images, labels = self.images(), self.labels()
        manifest = {
            **self.manifest,
            "ipc": len(images) // self.classes,
            "pixels": "normalised",
            "decode": dict(IDENTITY),
            "decoded_from": {"ipc": self.ipc, "decode": self.manifest["decode"]},
        }
        return replace(self, pixels=images, targets=labels, manifest=manifest, boxes=None)

    def loader(
        self,
        batch_size: int = 256,
        *,
        shuffle: bool = True,
        seed: int = 0,
        device: str | torch.device = "cpu",
        soft: bool = False,
        temperature: float | None = None,
        drop_last: bool = False,
    ) -> DataLoader[Any]:
        """Batches for anybody's training loop: `for images, labels in distilled.loader(batch_size=256): ...`.

        Args:
            batch_size: images in a batch, >= 1; the last one may be smaller.
            shuffle: draw a new order every time that the loader is gone through.
            seed: of those orders: two loaders with one seed give the same batches, epoch by epoch. torch's global
                generator is not used.
            device: where the images lie, all of them at once.
            soft: give the teacher's probabilities of the plain images as labels.
            temperature: of soft labels, see `soft_labels`.
            drop_last: leave out a last batch that is smaller.

        Returns:
            A `torch.utils.data.DataLoader` of images, float32 (n, C, H, W), decoded and normalised, and labels, int64
            (n,) or float32 (n, classes).

        Raises:
            ConfigError: `batch_size` is below 1, or soft labels are asked of a set that carries none.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size: must be at least 1, got {batch_size}")
        labels = self.soft_labels(temperature) if soft else self.labels()
        if labels is None:
            raise ConfigError(
                f"soft: the set's labels are {self.label_kind}, without logits of its images; use soft=False"
            )
        return batches(self.images().to(device), labels.to(device), batch_size, shuffle, seed, drop_last)

    def labels(self) -> torch.Tensor:
        """Class of each of `images`: int64, shape (N',)."""
        by_class = self.targets.unflatten(0, (self.classes, -1))
        regions = 0 if self.boxes is None else self.boxes.shape[1]
        return by_class[:, view_sources(self.manifest["decode"], by_class.shape[1], regions)].flatten()

    def soft_labels(self, temperature: float | None = None) -> torch.Tensor | None:
        """The teacher's probabilities of each of `images`: softmax(logits / T).

        Args:
            temperature: T > 0; None is the recipe's, and 1 where it names none.

        Returns:
            float32, shape (N', classes); None for sets that carry no logits of their plain images.
        """
        if self.logits is None:
            return None
        chosen = self.recipe.get("temperature") if temperature is None else temperature
        return (self.logits.float() / (1.0 if chosen is None else chosen)).softmax(dim=1)

    @property
    def label_kind(self) -> str:
        """`hard`, or which soft labels the set is used with: `image`, `online` or `stored`."""
        return self.label_facts["kind"]

    @property
    def label_facts(self) -> dict[str, Any]:
        """The manifest's `labels`; hard ones for files of schema 2, which do not name theirs."""
        return self.manifest.get("labels", HARD)

    @property
    def distilled_with(self) -> str:
        """Specification of the network that the images were distilled with, whatever they are evaluated with: the
        teacher of soft labels, else the one that the hyperparameters name, else (real images) the recipe's.
        """
        if self.label_kind != "hard":
            return self.label_facts["teacher"]["net"]
        chosen = self.manifest.get("hyperparameters", {})
        named = [chosen[name] for name in ("net", "teacher") if isinstance(chosen.get(name), str)]
        return named[0] if named else self.recipe["net"]

    @property
    def recipe(self) -> dict[str, Any]:
        """How to train on it: `protocol`, `net`, `epochs` (None: the protocol's), `augmentation`, and maybe `cutmix`,
        `mixup`, `temperature`, `teacher_mode`.
        """
        return self.manifest["evaluation"]

    def with_recipe(self, **changes: Any) -> DistilledSet:
        """The same set with another recipe, such as the `net` and `epochs` that it is reported with.

        Stored labels belong to the batches of one recipe: where another makes other batches, their replay is dropped,
        and the set has to be labelled anew before networks are trained on it with soft labels.
        """
        recipe = {**self.recipe, **{name: value for name, value in changes.items() if value is not None}}
        alike = all(recipe.get(name) == self.recipe.get(name) for name in REPLAYED)
        return replace(
            self,
            manifest={**self.manifest, "evaluation": recipe},
            replay=self.replay if alike else None,
        )

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
        """Size of the images: pixels, targets and boxes."""
        return sum(map(_bytes, (self.pixels, self.targets, self.boxes)))

    @property
    def label_bytes(self) -> int:
        """Size of the soft labels that the set holds, logits and replay, whether or not it is used with them."""
        return _bytes(self.logits) + _bytes(self.replay)

    @property
    def teacher_bytes(self) -> int:
        """Size of the teacher where it labels what a network is trained on; 0 elsewhere, and where it is not found."""
        return 0 if self.label_kind != "online" or self.teacher is None else self.teacher.stored_bytes

    def unit_pixels(self) -> torch.Tensor:
        """The stored images for people: float32, shape (N, C, H, W), in [0, 1] (clamped)."""
        if self.manifest["pixels"] == "unit":
            return self.pixels.clamp(0.0, 1.0)
        return self.normalisation.invert(self.pixels)

    def grid(self, per_class: int = 10) -> np.ndarray:
        """Preview of the stored images: uint8, shape (height, width, 3), one row per class; see `preview_grid`."""
        return preview_grid(self.unit_pixels(), self.targets, per_class)

    def save(self, path: str | Path, *, preview: Path | None = None, teacher: bool = True) -> Path:
        """Write `<stem>.safetensors`, and a preview grid as PNG; both atomically.

        Args:
            path: ends in `.safetensors`.
            preview: where the grid goes; None is `<stem>.png` beside the set.
            teacher: whether a teacher that the labels need goes into the file, which then is all that is needed;
                otherwise `load` looks for it among the assets of the folders above.

        Returns:
            The path of the safetensors file.

        Raises:
            ArtifactError: `path` does not end in `.safetensors` or cannot be written, or `load` would refuse the set.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise ArtifactError(f"a distilled set is saved as <name>.safetensors, got {str(path)!r}")
        self.check(path)
        tensors = self._tensors()
        if teacher and self.teacher is not None and self.label_kind == "online":
            _check_weights(self.teacher, path)
            tensors |= {f"{TEACHER_PREFIX}{name}": value for name, value in self.teacher.state.items()}
        content = safetensors.torch.save(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            metadata={METADATA_KEY: canonical_json(self.manifest)},
        )
        try:
            write_bytes(path, content)
            write_bytes(preview or path.with_suffix(".png"), png(self.grid()))
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror}") from None
        return path

    @classmethod
    def load(cls, path: str | Path, *, home: str | Path | None = None) -> DistilledSet:
        """Read what `save` wrote. Reading runs no code from the file.

        Args:
            path: of the safetensors file.
            home: a folder of studies in whose `assets` a teacher that is not in the file is looked for too, after the
                folders above the file; None is those alone.

        Raises:
            ArtifactError: the file is missing, corrupt, of another kind, or of another schema; or the teacher in it is
                not the one that the manifest names.
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
        state = {
            name.removeprefix(TEACHER_PREFIX): tensors.pop(name)
            for name in list(tensors)
            if name.startswith(TEACHER_PREFIX)
        }
        if METADATA_KEY not in metadata or set(tensors) - set(OPTIONAL) != {"pixels", "targets"}:
            raise ArtifactError(f"{path} is a safetensors file, but not a distilled set of raydd")
        try:
            manifest = json.loads(metadata[METADATA_KEY])
            schema = manifest["schema"]
        except (ValueError, KeyError, TypeError):
            raise ArtifactError(f"{path} carries a manifest that cannot be read") from None
        if schema not in READ:
            allowed = " and ".join(map(str, READ))
            raise ArtifactError(
                f"{path} has schema {schema!r}; this version of raydd reads schemas {allowed}"
            )
        distilled = cls(manifest=manifest, **tensors)
        distilled.check(path)
        if distilled.label_kind == "hard":
            return distilled
        facts = distilled.label_facts["teacher"]
        teacher = Teacher(facts["net"], state, facts) if state else find(facts, path, home)
        if teacher is not None:
            _check_weights(teacher, path)
        return replace(distilled, teacher=teacher)

    def _tensors(self) -> dict[str, torch.Tensor]:
        optional = {name: getattr(self, name) for name in OPTIONAL}
        stored = {name: tensor for name, tensor in optional.items() if tensor is not None}
        return {"pixels": self.pixels, "targets": self.targets, **stored}

    def check(self, path: str | Path) -> None:
        """Refuse a set that cannot be used.

        Args:
            path: what it is called: the file that it is read from or written to.

        Raises:
            ArtifactError: what is wrong and what is allowed, in a sentence.
        """
        try:
            self._read_needed()
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} carries a manifest without a usable {error}") from None
        except ArtifactError as error:
            raise ArtifactError(f"{path} holds {error}") from None
        try:
            count, size = self.ipc * self.classes, self.manifest["size"]
            shape = (count, self.manifest["channels"], size, size)
            kind = self.manifest["pixels"]
            check_decode(self.manifest["decode"], size)
            if self.boxes is not None:
                check_boxes(self.boxes, count, size, size)
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
        self._check_labels(path)

    def _read_needed(self) -> None:
        """Read what a training needs of the manifest, so that what is missing or of no use is found on loading."""
        parts = {"": self.manifest}
        parts |= {
            f"{name}.": checked(self.manifest, name, dict) for name in ("data", "evaluation", "normalisation")
        }
        for where, needed in MANIFEST.items():
            for name, kind in needed.items():
                checked(parts[where], name, kind, where)
        for where, optional in MANIFEST_OPTIONAL.items():
            for name, kind in optional.items():
                if parts[where].get(name) is not None:
                    checked(parts[where], name, kind, where)
        if self.recipe["epochs"] is not None:  # None is the protocol's
            checked(self.recipe, "epochs", int, "evaluation.")
        if self.recipe.get("teacher_mode") is not None:
            try:
                check_mode(self.recipe["teacher_mode"], "evaluation.teacher_mode")
            except ConfigError as error:
                raise ArtifactError(f"a manifest of no use: {error}") from None

    def _check_labels(self, path: str | Path) -> None:
        tensors = {"logits": self.logits, "replay": self.replay}
        try:
            check_labels(self.label_facts, tensors, self.teacher, len(self.labels()), self.classes)
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path} carries a manifest without a usable {error} of its labels") from None
        except ArtifactError as error:
            raise ArtifactError(f"{path} holds {error}") from None


def _check_weights(teacher: Teacher, path: Path) -> None:
    """Refuse a teacher whose tensors are not those that its facts name."""
    if teacher.weights != teacher.facts["weights"]:
        raise ArtifactError(
            f"{path}: the weights of the teacher {teacher.facts['asset']} are not those that gave the labels: their "
            f"digest is {teacher.weights[:12]}, and the manifest's {teacher.facts['weights'][:12]}"
        )


def _bytes(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel() * tensor.element_size()
