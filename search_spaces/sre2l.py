"""SRe2L: what is searched, and the authors' settings; DWA, which stands on it, searches the same and more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from search_spaces import published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

TINY_SIDE, IMAGENET_SIDE = 64, 128
"""Sides in pixels from which on images are treated as those of TinyImageNet and of ImageNet-1K."""

_SCRIPTS = "recover scripts of the authors' repository SRe2L"
_START: dict[str, Scalar] = {"init": "noise", "coupled": True, "batch": 100}


def setting(lr: float, lambda_mean: float, temperature: float, **more: Scalar) -> dict[str, Scalar]:
    """What the authors set of the searched hyperparameters."""
    return {"lr": lr, "lambda_mean": lambda_mean, **more, "temperature": temperature}


PUBLISHED = (
    published.Published(
        "cifar100",
        (10, 50),
        setting(0.25, 0.01, 30.0),
        f"{_SCRIPTS}, recover_cifar.sh",
        {**_START, "crop": False, "recover_iterations": 1000},
    ),
    published.Published(
        "tinyimagenet",
        (50, 100),
        setting(0.1, 1.0, 20.0),
        f"{_SCRIPTS}, recover_tiny.sh",
        {**_START, "crop": True, "recover_iterations": 4000, "teacher_epochs": 50},
    ),
    published.Published(
        "imagenet",
        (10, 50, 100, 200),
        setting(0.25, 0.01, 20.0),
        f"{_SCRIPTS}, recover.sh",
        {**_START, "crop": True, "recover_iterations": 4000},
    ),
)


def side_kind(size: int) -> str:
    """Whose settings and protocol images of `size` px take: `cifar`, `tiny` or `imagenet`."""
    if size >= IMAGENET_SIDE:
        return "imagenet"
    return "tiny" if size >= TINY_SIDE else "cifar"


def searched(context: Context, coupled: bool) -> list[str]:
    """Hyperparameters that are searched: neither fixed nor without effect.

    Args:
        context: of the study.
        coupled: whether one weight serves mean and variance where `context.fixed` does not say.
    """
    names = ["lr", "lambda_mean", "lambda_var", "recover_iterations", "temperature"]
    without = {"lambda_var"} if context.fixed.get("coupled", coupled) else set()
    without |= {"temperature"} if context.fixed.get("labels") == "hard" else set()
    return [name for name in names if name not in without and name not in context.fixed]


def draw(trial: Suggests, context: Context, names: Sequence[str]) -> dict[str, Scalar]:
    """Draw `names`; a recovery may be as short as a quarter of the study's iterations."""
    full = context.iterations
    ranges = {
        "lr": (0.05, 0.5),
        "lambda_mean": (1e-3, 1.0),
        "lambda_var": (0.01, 0.23),
    }
    values: dict[str, Scalar] = {}
    for name in names:
        if name == "recover_iterations":
            values[name] = trial.suggest_int(name, max(1, full // 4), full, log=True)
        elif name == "temperature":
            values[name] = trial.suggest_float(name, 10.0, 40.0)
        else:
            values[name] = trial.suggest_float(name, *ranges[name], log=True)
    return values


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed and what has no effect.

    `lambda_var` exists where it is not tied to `lambda_mean`, `temperature` where labels are soft. The temperature
    changes no pixel.
    """
    return draw(trial, context, searched(context, coupled=True))


def with_length(context: Context) -> Context:
    """`context` with a recovery as long as the study's iterations, unless it is fixed otherwise."""
    length = context.fixed.get("recover_iterations")
    return replace(
        context,
        fixed={**context.fixed, "recover_iterations": context.iterations if length is None else length},
    )


def points(context: Context) -> list[dict[str, Scalar]]:
    """Published settings for exactly this dataset and IPC, best known first, recovered for the study's iterations."""
    return points_of(PUBLISHED, context, searched(context, coupled=True))


def points_of(
    table: Sequence[published.Published], context: Context, names: Sequence[str]
) -> list[dict[str, Scalar]]:
    """What a table has for exactly this dataset and IPC, cut to `names`."""
    found = [
        {**point, "recover_iterations": context.iterations} for point in published.points(table, context)
    ]
    return [{name: point[name] for name in names if name in point} for point in found]


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """Values and name of the setting that trial 0 uses; see `search_spaces.published.lookup`.

    The authors have no setting for CIFAR-10: CIFAR-100's is carried over, and for data without a name that of the
    dataset whose images are as large. The name says where the study's iterations are not the published ones.
    """
    return setting_for(PUBLISHED, context, small="cifar100")


def setting_for(
    table: Sequence[published.Published], context: Context, small: str
) -> tuple[dict[str, Scalar], str]:
    """What a table has for `context`; `small` names the dataset that stands for small images."""
    fallback = {"cifar": small, "tiny": "tinyimagenet", "imagenet": "imagenet"}[side_kind(context.size)]
    values, name = published.lookup(table, with_length(context), fallback)
    if values["crop"] and "flip" not in context.augmentation:  # cropping flips as well
        values["crop"] = bool(context.fixed.get("crop", False))
    return values, name
