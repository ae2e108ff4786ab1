"""Distilled sets of other formats as raydd's, with the data that they were made from, and raydd's as others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd.errors import ArtifactError, ConfigError
from raydd.files import file_digest
from raydd.formation import IDENTITY, check_decode, initial_labels
from raydd.storage import formats
from raydd.storage.distilled import DistilledSet
from raydd.storage.formats import Content
from raydd.storage.labels import halved
from raydd.storage.provenance import HARD, SCHEMA, git_commit, versions

if TYPE_CHECKING:
    from raydd.data import DataSplits

UNKNOWN = "unknown"
FARTHEST = 100.0
"""Standard deviations from the mean that a pixel of a normalised set may have; black and white lie within 20."""


@dataclass(frozen=True)
class Recipe:
    """What a foreign file does not say of how its set is used.

    Attributes:
        method: what it was made with, for people.
        net: network that it was distilled with and is evaluated with.
        protocol: evaluation protocol.
        augmentation: of that training.
        decode: how stored images become training images.
    """

    method: str
    net: str
    protocol: str
    augmentation: str
    decode: Mapping[str, Any]


def read(
    path: Path, kind: str, *, channels: int | None = None, experiment: int | None = None
) -> Content | DistilledSet:
    """What a file or folder holds; raydd's own sets as they are.

    Args:
        path: of it.
        kind: name of its format.
        channels: of the data, which 8-bit pictures are brought to; None leaves that to them.
        experiment: which set of a `dc` file; None is the last.

    Raises:
        ArtifactError: it is of another format, or damaged.
        ConfigError: an experiment is asked of another format than `dc`.
    """
    if experiment is not None and kind != "dc":
        raise ConfigError(f"--experiment: files of format {kind} hold one set, got {experiment}")
    if kind == formats.OWN:
        return DistilledSet.load(path)
    if kind == "hf" and (path / formats.hf.SET).is_file():
        return DistilledSet.load(path / formats.hf.SET)
    chosen = formats.get(kind, "--from")
    if kind in ("folder", "hf"):
        return chosen.read(path, channels)
    return chosen.read(path, experiment) if kind == "dc" else chosen.read(path)


def restored(content: Content) -> DistilledSet:
    """A set that raydd wrote in another format, with the manifest that it left there.

    Raises:
        ArtifactError: manifest and arrays do not belong together.
    """
    assert content.manifest is not None
    manifest = {**content.manifest, "pixels": content.pixels}
    images, boxes = content.images, content.boxes
    labels = (
        initial_labels(manifest["classes"], manifest["ipc"]) if content.labels is None else content.labels
    )
    logits = None if content.logits is None else _halved(content.logits)
    order = labels.argsort(stable=True)
    made = DistilledSet(images[order], labels[order], manifest, boxes, logits, content.replay)
    made.check("the file")
    return made


def adopted(
    content: Content, data: DataSplits, recipe: Recipe, origin: Mapping[str, Any]
) -> tuple[DistilledSet, list[str]]:
    """A set made elsewhere as raydd's.

    Nobody knows which images it was made from: its manifest names none, so that it can be evaluated on test and not on
    validation images, which it may have seen.

    Args:
        content: what was found.
        data: what it was made from, whose split it is evaluated on.
        recipe: what the file does not say.
        origin: facts about the file, JSON-able.

    Returns:
        The set, and sentences for people.

    Raises:
        ArtifactError: its images or labels do not fit the data.
    """
    notes = list(content.notes)
    shape = tuple(content.images.shape[1:])
    if shape != (data.channels, data.size, data.size):
        raise ArtifactError(
            f"the set has images of shape {shape}, and those of {data.name!r} are "
            f"{(data.channels, data.size, data.size)}: name the data that it was made from (--data, --image-size)"
        )
    labels, logits, said = _labels(content, data)
    notes += said
    counts = torch.bincount(labels, minlength=data.classes).tolist()
    if min(counts) != max(counts):
        few, many = counts.index(min(counts)), counts.index(max(counts))
        raise ArtifactError(
            f"the set has {counts[few]} images of class {few} and {counts[many]} of class {many}, and {data.name!r} "
            f"has {data.classes} classes; a distilled set has equally many images of each"
        )
    order = labels.argsort(stable=True)
    images, pixels = content.images[order], content.pixels
    normalisation = content.normalisation or data.normalisation
    low, high = images.min().item(), images.max().item()
    if pixels == "normalised" and max(-low, high) > FARTHEST:
        raise ArtifactError(
            f"the set has images in [{low:g}, {high:g}], and those of {data.name!r} are normalised: pixels in [0, 255] "
            "are to be divided by 255 and normalised first"
        )
    if pixels == "unit" and not 0.0 <= images.min() <= images.max() <= 1.0:
        images, pixels = normalisation.apply(images), "normalised"
        notes.append("some pixels lie beyond black and white; they are kept as they are, normalised")
    spec = dict(recipe.decode)
    check_decode(spec, data.size)
    if logits is not None and spec["kind"] != "identity":
        raise ArtifactError(
            "the set has a row of logits for each stored image, which cannot be cut up (--factor)"
        )
    facts: dict[str, Any] = dict(HARD)
    evaluation: dict[str, Any] = {
        "protocol": recipe.protocol,
        "net": recipe.net,
        "epochs": None,
        "augmentation": recipe.augmentation,
    }
    if logits is not None:
        logits = _halved(_as_logits(logits)[order])
        teacher = {
            "asset": UNKNOWN,
            "sha256": "",
            "weights": "",
            "net": recipe.net,
            "epochs": 0,
            "pretrained": True,
        }
        facts = {"kind": "image", "teacher": teacher}
        evaluation["temperature"] = 1.0
        notes.append("soft labels are kept, a row an image, rounded to float16, at temperature 1")
    manifest = {
        "schema": SCHEMA,
        "method": recipe.method,
        "hyperparameters": dict(content.facts),
        "ipc": counts[0],
        "classes": data.classes,
        "class_names": list(data.class_names),
        "channels": data.channels,
        "size": data.size,
        "iterations": 0,
        "iteration": 0,
        "seed": 0,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "train": UNKNOWN,
            "split": dict(data.split),
        },
        "normalisation": {"mean": list(normalisation.mean), "std": list(normalisation.std)},
        "pixels": pixels,
        "decode": spec,
        "labels": facts,
        "evaluation": evaluation,
        "origin": dict(origin),
        "versions": versions(),
        "git": git_commit(),
    }
    made = DistilledSet(images, labels[order], manifest, logits=logits)
    made.check("the set")
    return made, notes


def origin_of(path: Path, kind: str) -> dict[str, Any]:
    """What a manifest says of the file that its set came in: format, name and, of a file, sha256."""
    facts = {"format": kind, "file": path.name}
    return facts if path.is_dir() else {**facts, "sha256": file_digest(path)}


def _labels(content: Content, data: DataSplits) -> tuple[torch.Tensor, torch.Tensor | None, list[str]]:
    """Classes in the data's order, logits if there are any, and a sentence where something had to be assumed."""
    count, logits, labels = len(content.images), content.logits, content.labels
    if logits is not None and (logits.ndim != 2 or len(logits) != count or not logits.is_floating_point()):
        raise ArtifactError(
            f"the set has {logits.dtype} logits of shape {tuple(logits.shape)}; allowed are floating-point ones, a row "
            f"for each of {count} images"
        )
    if logits is not None and logits.shape[1] != data.classes:
        raise ArtifactError(
            f"the set has logits of {logits.shape[1]} classes, and {data.name!r} has {data.classes}"
        )
    if labels is None:
        likely = None if logits is None else logits.argmax(dim=1)
        balanced = None if likely is None else torch.bincount(likely, minlength=data.classes)
        if likely is not None and balanced is not None and balanced.min() == balanced.max():
            return likely, logits, []
        if count % data.classes:
            raise ArtifactError(
                f"the set has {count} images, which is no multiple of the {data.classes} classes"
            )
        assumed = ["the classes of the images are not told apart; they are taken to lie class after class"]
        return initial_labels(data.classes, count // data.classes), logits, assumed
    if labels.min() < 0:
        raise ArtifactError(f"the set has a label {labels.min().item()}; classes are numbered from 0")
    matched, said = (
        (None, []) if content.class_names is None else _matched(content.class_names, data.class_names)
    )
    if labels.max() >= data.classes:
        raise ArtifactError(
            f"the set has a label {labels.max().item()}, and {data.name!r} has {data.classes} classes"
        )
    return (labels if matched is None else matched[labels]), logits, said


def _matched(theirs: Sequence[str], ours: Sequence[str]) -> tuple[torch.Tensor | None, list[str]]:
    """Our number of each of their classes; None where they are the same."""
    if list(theirs) == list(ours):
        return None, []
    if set(theirs) == set(ours) and len(theirs) == len(ours):
        return torch.tensor([list(ours).index(name) for name in theirs]), []
    if len(theirs) != len(ours):
        raise ArtifactError(
            f"the set has {len(theirs)} classes ({', '.join(theirs[:5])}, ...), the data {len(ours)}"
        )
    return None, [
        f"their classes ({theirs[0]}, ...) are taken to be the data's ({ours[0]}, ...), in alphabetical order"
    ]


def _as_logits(values: torch.Tensor) -> torch.Tensor:
    """Logits whose softmax is `values` where these are probabilities already, otherwise `values`."""
    sums = values.sum(dim=1)
    if values.min() >= 0 and bool(torch.isclose(sums, torch.ones_like(sums), atol=1e-3).all()):
        return values.clamp_min(1e-7).log()
    return values


def _halved(logits: torch.Tensor) -> torch.Tensor:
    return halved(logits, f"the set has logits in [{logits.min().item():g}, {logits.max().item():g}]")


def outgoing(
    distilled: DistilledSet, kind: str, *, decoded: bool, hard_labels: bool
) -> tuple[DistilledSet, list[str]]:
    """A set in the shape in which a format can hold it, and sentences on what it loses.

    Args:
        distilled: the set.
        kind: name of the format.
        decoded: make every training image a stored one.
        hard_labels: leave soft labels out.

    Raises:
        ConfigError: the format holds no soft labels, or not how the images are decoded, and neither is left out.
    """
    chosen = formats.get(kind, "--to")
    notes: list[str] = []
    if distilled.label_kind != "hard" and hard_labels:
        manifest = {**distilled.manifest, "labels": dict(HARD)}
        distilled = replace(distilled, manifest=manifest, logits=None, replay=None, teacher=None)
        notes.append("soft labels are left out: networks trained on the classes alone come out worse")
    elif distilled.label_kind != "hard" and not chosen.soft:
        raise ConfigError(
            f"--to: {kind} holds no soft labels, and the set is used with those of its teacher; write it as npz, "
            "ddranking or hf, or leave them out with --hard-labels"
        )
    elif distilled.label_kind != "hard" and not chosen.whole:
        distilled, said = _labels_of_images(distilled)
        notes += said
    elif distilled.label_kind == "online":
        notes.append(
            "the teacher's weights are not in the file: labels of augmented images need it from elsewhere"
        )
    cut, regions = distilled.manifest["decode"]["kind"] != "identity", distilled.boxes is not None
    if decoded:
        return (distilled.decoded() if cut or regions else distilled), notes
    if (regions and chosen.decodes != "all") or (cut and chosen.decodes == "nothing"):
        count = len(distilled.labels())
        raise ConfigError(
            f"--to: the set's {len(distilled.targets)} stored images become {count} training images, and {kind} cannot "
            "say how; write those with --decoded"
        )
    return distilled, notes


def _labels_of_images(distilled: DistilledSet) -> tuple[DistilledSet, list[str]]:
    """The set with a row of logits for each training image and nothing else of its teacher."""
    kind = distilled.label_kind
    if distilled.logits is None:
        raise ConfigError(
            f"--to: the set's {kind} labels are not those of its plain images; write it as npz, or leave them out with "
            "--hard-labels"
        )
    if kind == "image":
        return distilled, []
    about = {"kind": "image", "teacher": distilled.label_facts["teacher"]}
    made = replace(distilled, manifest={**distilled.manifest, "labels": about}, replay=None, teacher=None)
    return made, [f"labels are the teacher's of the plain images; raydd uses the set with {kind} ones"]


def cells(factor: int, form: str) -> dict[str, Any]:
    """The decode specification of `--factor` and `--decode`.

    Raises:
        ConfigError: they are out of range.
    """
    from raydd.formation import cells_spec

    try:
        return dict(IDENTITY) if factor == 1 else cells_spec(factor, form)
    except ArtifactError as error:
        raise ConfigError(f"--factor, --decode: {error}") from None
