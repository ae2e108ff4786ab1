"""Weights that were trained elsewhere: whether they are there, asked before anything is begun or downloaded."""

from __future__ import annotations

import os

from raydd import files, nets
from raydd.data import DataSplits
from raydd.errors import ConfigError
from raydd.nets.layers import IMAGENET_STEM
from raydd.nets.public import CLASSES, public_name
from raydd.registry import AssetSpec, Context, Method
from raydd.storage.assets import PUBLIC

__all__ = ["check"]


def check(method: Method, context: Context, data: DataSplits) -> None:
    """Refuse weights that are not there, for any asset of the method as `context.fixed` has it.

    Raises:
        ConfigError: the hyperparameter that names them, what is wrong, and what is allowed.
    """
    for spec in method.assets(context):
        if not spec.weights:
            continue
        named = (
            name
            for name, value in context.fixed.items()
            if name.endswith("weights") and value == spec.weights
        )
        field = next(named, "weights")
        if spec.weights == PUBLIC:
            _check_public(field, spec, data)
            continue
        path = files.absolute(spec.weights)
        if not path.is_file() or not os.access(path, os.R_OK):
            raise ConfigError(
                f"{field}: {path} is no file that can be read; allowed are {PUBLIC} and files of weights of {spec.net}"
            )


def _check_public(field: str, spec: AssetSpec, data: DataSplits) -> None:
    nets.validate(spec.net)
    try:
        public_name(spec.net)
    except ConfigError as error:
        raise ConfigError(f"{field}: {str(error).removeprefix('weights: ')}") from None
    if (data.channels, data.classes) != (3, CLASSES) or data.size < IMAGENET_STEM:
        raise ConfigError(
            f"{field}: public weights of {spec.net} tell the {CLASSES} classes of ImageNet apart in images of 3 "
            f"channels and at least {IMAGENET_STEM} px, and {data.name} has {data.classes} classes in images of "
            f"{data.channels} channels and {data.size} px"
        )
