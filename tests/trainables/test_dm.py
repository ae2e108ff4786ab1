"""DM's hyperparameters, their bounds, and its settings."""

from __future__ import annotations

import subprocess
import sys

import pydantic
import pytest

from raydd.errors import ConfigError
from raydd.registry import Context
from trainables.dm import DM, DMHyperparameters


def context(**changes: object) -> Context:
    values = {"dataset": "cifar10", "channels": 3, "size": 32, "classes": 10, "ipc": 10, "iterations": 100}
    return Context(**{**values, **changes})  # type: ignore[arg-type]


def test_defaults_are_the_papers_then_what_is_fixed() -> None:
    assert DM.defaults(context()).model_dump() == {
        "lr_img": 1.0,
        "momentum": 0.5,
        "batch_real": 256,
        "net": "convnet",
        "init": "real",
        "augmentation": None,
    }
    assert DM.defaults(context(ipc=100)).model_dump()["lr_img"] == 10.0
    fixed = DM.defaults(context(fixed={"lr_img": 3.0, "net": "convnet-w32"}))
    assert fixed.model_dump()["lr_img"] == 3.0
    assert fixed.model_dump()["net"] == "convnet-w32"


def test_trial_0_is_named_honestly() -> None:
    assert DM.default_name(context()) == "published setting"
    assert DM.default_name(context(dataset="digits")) == "CIFAR-10's published setting, carried over"


@pytest.mark.parametrize(
    "values",
    [
        {"lr_img": 0.0},
        {"lr_img": float("nan")},
        {"lr_img": float("inf")},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"batch_real": 0},
        {"init": "zeros"},
        {"lr_image": 1.0},
    ],
)
def test_values_out_of_bounds_and_unknown_names_are_refused(values: dict) -> None:
    with pytest.raises(pydantic.ValidationError):
        DMHyperparameters(**values)


def test_unknown_nets_and_augmentations_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"net: unknown net 'convnett': did you mean 'convnet'\?"):
        DMHyperparameters(net="convnett")
    with pytest.raises(
        ConfigError, match=r"net: .resnet18-bn. has batch norm, .*allowed are networks without"
    ):
        DMHyperparameters(net="resnet18-bn")
    with pytest.raises(ConfigError, match=r"net: .mobilenet_v2. has batch norm"):
        DMHyperparameters(net="mobilenet_v2")
    assert DMHyperparameters(net="vgg11").net == "vgg11"
    with pytest.raises(ConfigError, match=r"augmentation: unknown op 'flop': did you mean 'flip'\?"):
        DMHyperparameters(augmentation="color_flop")


def test_describing_a_method_loads_no_heavy_library() -> None:
    code = """
import sys
from raydd.registry import Context
from trainables.dm import DM
from trainables.iid import IID
for method in (DM, IID):
    context = Context("cifar10", 3, 32, 10, 10, 100)
    values = method.defaults(context).model_dump()
    method.hyperparameters.model_validate(values)
    method.points(context), method.assets(context), method.notes(context), method.default_name(context)
loaded = {"torch", "ray", "mlflow", "optuna"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
