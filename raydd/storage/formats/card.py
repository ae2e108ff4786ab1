"""The data card of a distilled set: YAML for the Hugging Face hub, and a page for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raydd import wording

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card(distilled: DistilledSet, class_names: Sequence[str], parquet_bytes: int) -> str:
    """`README.md` of a dataset repository.

    Args:
        distilled: the set.
        class_names: in the order of the labels.
        parquet_bytes: size of the parquet file.
    """
    import yaml

    count = len(distilled.targets)
    features: list[dict[str, Any]] = [
        {"name": "image", "dtype": "image"},
        {
            "name": "label",
            "dtype": {
                "class_label": {"names": {str(number): name for number, name in enumerate(class_names)}}
            },
        },
    ]
    if distilled.logits is not None:
        features.append({"name": "logits", "sequence": "float32"})
    about = distilled.manifest
    front = {
        "pretty_name": title(distilled),
        "license": "other",
        "license_name": "unspecified",
        "task_categories": ["image-classification"],
        "size_categories": [next((name for limit, name in SIZES if count < limit), "1M<n<10M")],
        "tags": ["dataset-distillation", "synthetic", str(about["method"])],
        "source_datasets": [str(about["data"].get("name", "unknown"))],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {
            "features": features,
            "splits": [{"name": "train", "num_bytes": parquet_bytes, "num_examples": count}],
        },
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n{page(distilled)}"


def title(distilled: DistilledSet) -> str:
    """Method, data and size in a line."""
    about = distilled.manifest
    name = about["data"].get("name", "unknown data")
    return f"{name} distilled by {about['method']} to {distilled.ipc} images per class"


def page(distilled: DistilledSet) -> str:
    """The part of the card that people read."""
    about = distilled.manifest
    soft = distilled.label_kind != "hard"
    rows = [
        ("method", about["method"]),
        ("made from", f"{about['data'].get('name', 'unknown')}, no image for testing"),
        ("images", f"{len(distilled.targets)} of {distilled.classes} classes, {distilled.ipc} per class"),
        ("pixels", f"{about['channels']} x {about['size']} x {about['size']}"),
        ("bytes of images", wording.size(distilled.stored_bytes)),
        (
            "labels",
            f"soft ({distilled.label_kind}), {wording.size(distilled.label_bytes)}" if soft else "hard",
        ),
        ("hyperparameters", wording.hyperparameters(about.get("hyperparameters", {}))),
        ("seed", about.get("seed", "unknown")),
        ("accuracy", _accuracy(distilled)),
    ]
    if "origin" in about:
        rows[1] = (
            "made from",
            f"{about['data'].get('name', 'unknown')}, by others; which images it saw is not known",
        )
    if soft:
        facts = distilled.label_facts["teacher"]
        rows.append(("teacher", facts["net"]))
    lines = [
        f"# {title(distilled)}",
        "",
        "![preview](grid.png)",
        "",
        "A distilled dataset: a few synthetic images, made so that a network trained on them recognises real ones.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "## Use",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'train = load_dataset("path/or/name", split="train")  # columns: ' + ", ".join(_columns(distilled)),
        "```",
        "",
        "The pictures are 8-bit PNGs; distilled pixels go beyond black and white and lie between 8-bit values. The",
        "exact ones are in `distilled.safetensors`, normalised as networks are trained on them:",
        "",
        "```python",
        "import raydd",
        "",
        'distilled = raydd.DistilledSet.load("distilled.safetensors")',
        "for images, labels in distilled.loader(batch_size=256): ...",
        "```",
        "",
        f"Normalisation: mean {list(distilled.normalisation.mean)}, std {list(distilled.normalisation.std)}.",
        f"Evaluation protocol: {distilled.recipe['protocol']}, network {distilled.recipe['net']}, augmentation "
        f"{distilled.recipe['augmentation'] or 'none'}.",
        "",
        "## Licence",
        "",
        "To be filled in by who publishes it: distilled images derive from the images they were made from.",
        "",
    ]
    return "\n".join(lines)


def _accuracy(distilled: DistilledSet) -> str:
    """The confirmed test accuracy, where whoever wrote the folder knew it."""
    known = distilled.manifest.get("confirmed")
    if not isinstance(known, dict):
        return "not measured here; `raydd evaluate distilled.safetensors` does"
    interval = f"[{wording.percent(known['low'])}, {wording.percent(known['high'])}]"
    return (
        f"{wording.percent(known['mean'])} % {interval} on test data (95 % interval over {known['runs']} distillation "
        f"runs, {known['net']}, {known['label_regime']} labels)"
    )


def _columns(distilled: DistilledSet) -> list[str]:
    return ["image", "label", *(["logits"] if distilled.logits is not None else [])]
