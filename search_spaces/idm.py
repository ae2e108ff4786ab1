"""IDM: what is searched, and the authors' settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces import cells, dm, published

if TYPE_CHECKING:
    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

_COMMANDS = "command.txt of the authors' repository IDM"
_AT_1 = {"batch_real": 5000, "net_generate_interval": 5}
_TINY: dict[str, Scalar] = {"net": "convnet-d3"}  # where raydd's own ConvNet has a fourth block at 64 px
_IMAGENET: dict[str, Scalar] = {
    "net": "convnet-d6",
    "batch_real": 128,
    "batch_train": 128,
    "net_generate_interval": 50,
    "net_num": 50,
}


def _setting(ce_weight: float) -> dict[str, Scalar]:
    return {"lr_img": 0.2, "ce_weight": ce_weight, "factor": 2}


PUBLISHED = (
    published.Published("cifar10", (1,), _setting(0.5), _COMMANDS, _AT_1),
    published.Published("cifar10", (10,), _setting(0.5), _COMMANDS),
    published.Published("cifar10", (50,), _setting(0.1), _COMMANDS),
    published.Published("cifar100", (1,), _setting(0.5), _COMMANDS, _AT_1),
    published.Published("cifar100", (10,), _setting(0.1), _COMMANDS, {"model_train_steps": 50}),
    published.Published("cifar100", (50,), _setting(0.1), _COMMANDS),
    published.Published("tinyimagenet", (1, 10), _setting(0.5), _COMMANDS, _TINY),
    published.Published("tinyimagenet", (50,), _setting(0.8), _COMMANDS, {**_TINY, "model_train_steps": 50}),
    published.Published("imagenet100", (1, 10), _setting(3.0), _COMMANDS, _IMAGENET),
)


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed: `lr_img`, `ce_weight` (both log-uniform) and `factor`.

    Only factors are offered that leave a pixel in every part.
    """
    values = dm.space(trial, context)
    if "ce_weight" not in context.fixed:
        values["ce_weight"] = trial.suggest_float("ce_weight", 0.05, 3.0, log=True)
    if "factor" not in context.fixed:
        values["factor"] = trial.suggest_categorical("factor", cells.offered(context.size))
    return values


def points(context: Context) -> list[dict[str, Scalar]]:
    """Published settings for exactly this dataset and IPC, best known first."""
    return published.points(PUBLISHED, context)


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """Values and name of the setting that trial 0 uses; see `search_spaces.published.lookup`."""
    return published.lookup(PUBLISHED, context)
