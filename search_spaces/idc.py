"""IDC: what is searched, and the authors' settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces import cells, published

if TYPE_CHECKING:
    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

_REPRODUCE = "misc/reproduce.py of the authors' repository Efficient-Dataset-Condensation"
_ALL = (1, 10, 50)
_MNIST: dict[str, Scalar] = {  # with sub-images neither CutMix nor cutout helps there, the authors write
    "n_data": 500,
    "matching_augmentation": "idc:color_crop",
    "cutmix": 0.0,
    "eval_cutmix": 0.0,
    "eval_augmentation": "idc:color_crop_scale_rotate",
}
_IMAGENET: dict[str, Scalar] = {"n_data": 500, "net": "resnet10-ap", "cutmix": 1.0}
_IMAGENET_100: dict[str, Scalar] = {  # argument.py raises these from 100 classes on
    "batch_real": 128,
    "batch_train": 128,
    "lr_net": 0.1,
    "weight_decay_net": 1e-4,
}


def _setting(metric: str, lr_img: float, factor: int = 2) -> dict[str, Scalar]:
    return {"lr_img": lr_img, "metric": metric, "factor": factor, "decode": "single"}


PUBLISHED = (
    published.Published("cifar10", _ALL, _setting("mse", 5e-3), _REPRODUCE, {"n_data": 2000}),
    published.Published("cifar100", _ALL, _setting("mse", 5e-3), _REPRODUCE, {"n_data": 2000}),
    published.Published("svhn", _ALL, _setting("mse", 5e-3), _REPRODUCE, {"n_data": 500}),
    published.Published("mnist", _ALL, _setting("l1", 1e-4), _REPRODUCE, _MNIST),
    published.Published("fashionmnist", _ALL, _setting("l1", 1e-4), _REPRODUCE, {"n_data": 500}),
    published.Published("imagenet10", (10,), _setting("l1", 3e-3, 3), _REPRODUCE, {**_IMAGENET, "early": 10}),
    published.Published(
        "imagenet100", (10,), _setting("l1", 1e-3, 3), _REPRODUCE, {**_IMAGENET, **_IMAGENET_100, "early": 5}
    ),
)
METRICS = ("mse", "l1", "l1_mean", "cos")


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed and what has no effect.

    `lr_img` is the step size before the authors' scaling with IPC and image size. `decode` exists where an
    image holds several; `bound` saves memory only, and stays out. Only factors are offered that leave a pixel in
    every cell.
    """
    values = matching(trial, context, cells.offered(context.size))
    factor = values.get("factor", context.fixed.get("factor"))
    if "decode" not in context.fixed and factor != 1 and cells.fits(int(factor or 1), context.size, "multi"):
        values["decode"] = trial.suggest_categorical("decode", ["single", "multi"])
    return values


def matching(trial: Suggests, context: Context, factors: list[int]) -> dict[str, Scalar]:
    """`lr_img`, `metric` and `factor`, one of `factors`; UDD searches them too."""
    values: dict[str, Scalar] = {}
    if "lr_img" not in context.fixed:
        values["lr_img"] = trial.suggest_float("lr_img", 1e-4, 1e-1, log=True)
    if "metric" not in context.fixed:
        values["metric"] = trial.suggest_categorical("metric", list(METRICS))
    if "factor" not in context.fixed:
        values["factor"] = trial.suggest_categorical("factor", factors)
    return values


def points(context: Context) -> list[dict[str, Scalar]]:
    """Published settings for exactly this dataset and IPC, best known first."""
    return published.points(PUBLISHED, context)


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """Values and name of the setting that trial 0 uses; see `search_spaces.published.lookup`.

    With `factor` fixed at 1 (IDC-I) the authors leave out what they change for sub-images on MNIST, and evaluate
    SVHN at IPC 1 without CutMix.
    """
    values, name = published.lookup(PUBLISHED, context)
    if context.fixed.get("factor") == 1:
        if context.dataset == "mnist":
            values = {name: value for name, value in values.items() if name == "n_data" or name not in _MNIST}
        elif context.dataset == "svhn" and context.ipc == 1:
            strategy = "idc:color_crop_cutout_scale_rotate"
            values = {**values, "eval_cutmix": 0.0, "eval_augmentation": strategy}
    return {**values, **context.fixed}, name
