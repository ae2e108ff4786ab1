"""What captions of figures say: the data, the methods, and how often each point was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydd import registry, wording
from raydd.tuning.studies import Study


def label(name: str) -> str:
    r"""A hyperparameter as papers print it: `lambda_cc` is `$\lambda_{\mathrm{cc}}$`."""
    greek, _, index = name.partition("_")
    if name in ("k", "rho", "beta"):
        return {"k": "$K$", "rho": r"$\rho$", "beta": r"$\beta$"}[name]
    return rf"$\lambda_{{\mathrm{{{index}}}}}$" if greek == "lambda" and index else name


def values(chosen: Mapping[str, Any]) -> str:
    """Hyperparameters in a caption, where long names are broken over lines better than symbols are."""
    return ", ".join(f"{name} = {wording.value(value)}" for name, value in chosen.items())


def about(studies: Sequence[Study]) -> str:
    """Which data a figure is of: `digits, 10 images per class, 100 iterations, convnet-w32`."""
    parts = []
    for study in studies:
        config = study.config
        data = config.data.name.rstrip("/").rpartition("/")[2]
        images = "image" if config.ipc == 1 else "images"
        part = f"{data}, {config.ipc} {images} per class, {config.iterations} iterations, {config.evaluation.net}"
        if part not in parts:
            parts.append(part)
    return "; ".join(parts)


def replicates(counts: Any, where: str) -> str:
    """How often each point was run, and what its interval is."""
    low, high = int(min(counts)), int(max(counts))
    many = str(low) if low == high else f"{low} to {high}"
    said = f"n = {many} distillation{'s' * (high > 1)} {where}"
    return said + (", with 95 % t-intervals" if high > 1 else "")


def methods(studies: Sequence[Study]) -> str:
    """The methods of studies, as people write them."""
    return ", ".join(dict.fromkeys(method_of(study) for study in studies))


def method_of(study: Study) -> str:
    """The method of a study, as people write it."""
    method = registry.get(study.config.method)
    return method.short or method.name.upper()


def told_apart(names: Sequence[str], studies: Sequence[Study]) -> list[str]:
    """Names of what comes from studies, one each; where several are equal, each with its study's."""
    return [
        f"{name} ({study.name})" if names.count(name) > 1 else name for name, study in zip(names, studies)
    ]
