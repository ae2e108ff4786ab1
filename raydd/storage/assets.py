"""Networks trained once on real training images and found again by what they depend on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from raydd import nets
from raydd.augment import standard
from raydd.devices import Compute
from raydd.errors import ArtifactError, TrialDiverged
from raydd.files import (
    FileLock,
    absolute,
    atomic_folder,
    digest,
    file_digest,
    read_json,
    write_bytes,
    write_json,
)
from raydd.nets import Network, Passes
from raydd.seeding import generator
from raydd.storage.teacher import Teacher
from raydd.storage.weights import MODEL, load_into, member, read, weights_digest
from raydd.training import DataSource, Recipe, accuracies, fit

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import AssetSpec

RECORD = "asset.json"
PUBLIC = "public"
RECIPE_VERSION = 2  # raise it when training the same recipe gives other weights
ACCURACY_IMAGES = 2_000

_digests: dict[str, str] = {}
"""Digest of the weights of the first network, by the sha256 of its asset's file."""


def root(home: str | Path, named: str | Path | None) -> Path:
    """The folder of all assets; the one place that decides it.

    Args:
        home: folder of all studies.
        named: a folder that several homes share: of a study its `resources.assets`, otherwise what
            `raydd.config.default_assets` says; None is `assets` in the home.
    """
    return absolute(named) if named else absolute(home) / "assets"


class AssetStore:
    """Folders `<root>/<kind>-<key>/{model.safetensors, asset.json}`, one an asset.

    Only `data.train` is trained on, and no other split is read. Several processes may ask at once: one
    trains, the others wait and load.

    Args:
        root: folder of all assets; made when the first one is written.
        data: what to train on.
        compute: where and how to train, and where the networks are returned.
        banked: whether distillations keep target banks, which pays where several share them.
        home: folder that the banks lie in; None is the one that `root` lies in.
    """

    def __init__(
        self,
        root: Path,
        data: DataSplits,
        compute: Compute,
        banked: bool = True,
        home: Path | None = None,
    ) -> None:
        self.root, self.home = Path(root), home or Path(root).parent
        self.data = data
        self.compute = compute
        self.banked = banked

    @property
    def bank(self) -> Path | None:
        """Folder of the target banks, the home's own also where assets are shared; None where there shall be none."""
        return self.home / "bank" if self.banked else None

    def facts(self, spec: AssetSpec) -> dict[str, Any]:
        """Everything that the weights depend on; the asset's key is the digest of it."""
        recipe = None if spec.weights else Recipe(**spec.recipe)
        return {
            "kind": spec.kind,
            "net": spec.net,
            "recipe": None if recipe is None else recipe.to_json(),
            **({} if recipe is None else self._padding(recipe)),
            **({"weights": self._weights_id(spec)} if spec.weights else {}),
            "count": spec.count,
            "seed": spec.seed,
            "fingerprint": self.data.fingerprint,
            "train_fingerprint": self.data.train.fingerprint,  # train+val has the dataset's fingerprint too
            "split": self.data.split,
            "channels": self.data.channels,
            "size": self.data.size,
            "classes": self.data.classes,
            "normalisation": [list(self.data.normalisation.mean), list(self.data.normalisation.std)],
            **{
                name: value
                for name, value in self.compute.facts().items()
                if name != "cpu_capability"  # studies go on on another CPU with the weights they began with
            },
            "recipe_version": RECIPE_VERSION,
        }

    def get(self, spec: AssetSpec, progress: Callable[[str], None] | None = None) -> list[Network]:
        """The asset's networks, frozen, in eval mode, on the store's device; trained if they are not there.

        Args:
            spec: what is wanted.
            progress: told one short line after every epoch of training.

        Raises:
            ArtifactError: a file of the asset is missing, corrupt, or not what was written.
            TrialDiverged: training gave weights that are not finite; nothing is stored.
        """
        self._ensure(spec, progress)
        tensors, _ = self._read(spec)
        passes = Passes(self.compute, image_gradient=True, batch=1, size=self.data.size)
        networks = []
        for index in range(spec.count):
            net = self._build(spec, index)
            net.load_state_dict(member(tensors, index))
            networks.append(passes.place(net).requires_grad_(False).eval())
        return networks

    def teacher(self, spec: AssetSpec, progress: Callable[[str], None] | None = None) -> Teacher:
        """The asset's first network as data, to be carried by distilled sets; trained if it is not there.

        Args:
            spec, progress: see `get`.

        Raises:
            ArtifactError, TrialDiverged: see `get`.
        """
        self._ensure(spec, progress)
        tensors, record = self._read(spec)
        state = member(tensors, 0)
        if record["sha256"] not in _digests:
            _digests[record["sha256"]] = weights_digest(state)
        facts = {
            "asset": self._folder(spec).name,
            "sha256": record["sha256"],
            "weights": _digests[record["sha256"]],
            "net": spec.net,
            "epochs": 0 if spec.weights else spec.recipe["epochs"],
            "train_accuracy": record["train_accuracy"][0],
            "pretrained": bool(spec.weights),
        }
        return Teacher(spec.net, state, facts)

    def find(self, spec: AssetSpec) -> Path | None:
        """Folder of the asset, or None where it has not been trained."""
        folder = self._folder(spec)
        return folder if (folder / RECORD).is_file() else None

    def record(self, spec: AssetSpec) -> dict[str, Any]:
        """What is known of a trained asset.

        Returns:
            `key` and `sha256` (of the model file) in hex, `train_accuracy` of each network in [0, 1] on at
            most 2,000 training images, `seconds` of training, and the `facts`; `pretrained`, true, where the weights
            came from elsewhere.

        Raises:
            ArtifactError: it has not been trained, or its record cannot be read.
        """
        path = self._folder(spec) / RECORD
        try:
            record = read_json(path)
            if record["key"] != digest(self.facts(spec)) or not isinstance(record["sha256"], str):
                raise ArtifactError(f"{path} belongs to another asset; delete its folder to train it again")
        except (OSError, json.JSONDecodeError, KeyError, TypeError):
            raise ArtifactError(
                f"{path} is missing or corrupt; delete its folder to train the asset again"
            ) from None
        return record

    def _folder(self, spec: AssetSpec) -> Path:
        return self.root / f"{spec.kind}-{digest(self.facts(spec))[:16]}"

    def _build(self, spec: AssetSpec, index: int) -> Network:
        stream = generator(spec.seed, f"asset/{spec.kind}", index)
        shape = {"channels": self.data.channels, "size": self.data.size, "classes": self.data.classes}
        return nets.build(spec.net, **shape, generator=stream)

    def _ensure(self, spec: AssetSpec, progress: Callable[[str], None] | None) -> None:
        if self.find(spec) is None:
            with FileLock(self.root / f".{self._folder(spec).name}.lock"):
                if self.find(spec) is None:
                    self._train(spec, progress or (lambda line: None))

    def _padding(self, recipe: Recipe) -> dict[str, int]:
        """How far small images are shifted, which the recipe does not say; nothing at the sizes of the papers."""
        prefix, _, ops = recipe.augmentation.partition(":")
        small = self.data.size < standard.FULL_SIZE
        cropped = prefix == standard.PREFIX and "crop" in ops.split("_")
        return {"padding": standard.padding(self.data.size)} if small and cropped else {}

    def _weights_id(self, spec: AssetSpec) -> str:
        """What weights from elsewhere are, wherever their file lies."""
        if spec.weights == PUBLIC:
            return PUBLIC
        path = absolute(spec.weights)
        if not path.is_file():
            raise ArtifactError(f"weights: there is no file {path}")
        return file_digest(path)

    def _given(self, spec: AssetSpec) -> dict[str, torch.Tensor]:
        """Weights that were trained elsewhere, by our names."""
        if spec.weights == PUBLIC:
            shape = {"channels": self.data.channels, "size": self.data.size, "classes": self.data.classes}
            return nets.public_weights(spec.net, **shape)
        return read(absolute(spec.weights))

    def _train(self, spec: AssetSpec, progress: Callable[[str], None]) -> None:
        started = time.perf_counter()
        train, normalisation = self.data.train, self.data.normalisation
        source = DataSource(train, normalisation, self.compute.device)
        sample = train.subset(_sample_indices(len(train), spec))
        tensors: dict[str, torch.Tensor] = {}
        measured: list[float] = []
        for index in range(spec.count):
            name = f"{spec.kind} network {index + 1} of {spec.count}"
            net = self._build(spec, index)
            if spec.weights:
                progress(f"{name}: weights from {spec.weights}")
                load_into(net, self._given(spec), spec.weights)
            else:
                self._fit(net, source, spec, index, name, progress)
            weights = {f"{index}.{key}": value.cpu().contiguous() for key, value in net.state_dict().items()}
            if not all(bool(weight.isfinite().all()) for weight in weights.values()):
                raise TrialDiverged(f"{name} ({spec.net}) was trained to weights that are not finite")
            tensors |= weights
            measured += accuracies([net], sample, normalisation, self.compute)

        content = safetensors.torch.save(tensors)
        pretrained = {"pretrained": True} if spec.weights else {}
        facts = self.facts(spec)
        with atomic_folder(self._folder(spec)) as folder:
            write_bytes(folder / MODEL, content)
            write_json(
                folder / RECORD,
                {
                    "key": digest(facts),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "train_accuracy": measured,
                    "seconds": time.perf_counter() - started,
                    "facts": facts,
                    "machine": self.compute.facts(),
                    **pretrained,
                },
            )

    def _fit(
        self,
        net: Network,
        source: DataSource,
        spec: AssetSpec,
        index: int,
        name: str,
        progress: Callable[[str], None],
    ) -> None:
        recipe = Recipe(**spec.recipe)

        def on_epoch(epoch: int) -> None:
            progress(f"{name}: epoch {epoch + 1} of {recipe.epochs}")

        purpose = f"asset/{spec.kind}/{index}"
        fit(net, source, recipe, self.compute, seed=spec.seed, purpose=purpose, on_epoch=on_epoch)

    def _read(self, spec: AssetSpec) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors of the asset's file, and its record."""
        record = self.record(spec)
        path = self._folder(spec) / MODEL
        try:
            content = path.read_bytes()
        except OSError:
            raise ArtifactError(f"{path} is missing; delete its folder to train the asset again") from None
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise ArtifactError(
                f"{path} is not the file that was written (its sha256 differs from {RECORD}'s); "
                "delete its folder to train the asset again"
            )
        return safetensors.torch.load(content), record


def _sample_indices(count: int, spec: AssetSpec) -> torch.Tensor:
    """Training images whose accuracy is recorded: a pass over all of a large set would cost an epoch's forward."""
    order = torch.randperm(count, generator=generator(spec.seed, f"asset/{spec.kind}/accuracy"))
    return order[:ACCURACY_IMAGES]
