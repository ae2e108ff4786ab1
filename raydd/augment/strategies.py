"""From a strategy's name, as configurations and manifests carry it, to the augmentation."""

from __future__ import annotations

from raydd.augment.augmentation import Augmentation
from raydd.augment.diffaug import PREFIX, DiffAug
from raydd.augment.dsa import DSA
from raydd.errors import ConfigError, unknown


def build(strategy: str) -> Augmentation:
    """The augmentation called `strategy`.

    Args:
        strategy: `color_crop_flip` and the like is DSA, `idc:color_crop_cutout` and the like IDC's DiffAug; an
            empty string or `none`, with the prefix or without, is the identity.

    Raises:
        ConfigError: the prefix or an op is unknown.
    """
    prefix, colon, ops = strategy.partition(":")
    if not colon:
        return DSA(strategy)
    if prefix != PREFIX:
        raise ConfigError(f"augmentation: {unknown('prefix', prefix, [PREFIX])} in {strategy!r}")
    return DiffAug(ops)
