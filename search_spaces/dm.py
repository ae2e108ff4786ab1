"""DM: what is searched, and the authors' settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces import published

if TYPE_CHECKING:
    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

_README = "readme.md of the authors' repository DatasetCondensation, section on DM"
PUBLISHED = (
    published.Published("cifar10", (1, 10, 50), {"lr_img": 1.0}, _README),
    published.Published("cifar10", (100, 200, 500, 1000, 1250), {"lr_img": 10.0}, _README),
    published.Published("cifar100", (1, 10, 50, 100, 125), {"lr_img": 1.0}, _README),
)


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched: `lr_img`, log-uniform in 0.05 to 10 (the losses are sums, so scales vary)."""
    if "lr_img" in context.fixed:
        return {}
    return {"lr_img": trial.suggest_float("lr_img", 0.05, 10.0, log=True)}


def points(context: Context) -> list[dict[str, Scalar]]:
    """Published settings for exactly this dataset and IPC, best known first."""
    return published.points(PUBLISHED, context)


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """Values and name of the setting that trial 0 uses; see `search_spaces.published.lookup`."""
    return published.lookup(PUBLISHED, context)
