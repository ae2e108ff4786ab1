"""From a strategy's name, as configurations and manifests carry it, to the augmentation."""

from __future__ import annotations

from collections.abc import Callable

from raydd.augment import diffaug, standard
from raydd.augment.augmentation import Augmentation
from raydd.augment.diffaug import DiffAug
from raydd.augment.dsa import DSA
from raydd.augment.standard import Standard
from raydd.errors import ConfigError, unknown

_PREFIXES: dict[str, Callable[[str], Augmentation]] = {diffaug.PREFIX: DiffAug, standard.PREFIX: Standard}


def build(strategy: str) -> Augmentation:
    """The augmentation called `strategy`.

    Args:
        strategy: `color_crop_flip` and the like is DSA, `idc:color_crop_cutout` and the like IDC's DiffAug,
            `standard:crop_flip`, `standard:crop` and `standard:rrc_flip` what classifiers are trained with; an empty
            string or `none`, with a prefix or without, is the identity.

    Raises:
        ConfigError: the prefix or an op is unknown.
    """
    prefix, colon, ops = strategy.partition(":")
    if not colon:
        return DSA(strategy)
    if prefix not in _PREFIXES:
        raise ConfigError(f"augmentation: {unknown('prefix', prefix, _PREFIXES)} in {strategy!r}")
    return _PREFIXES[prefix](ops)
