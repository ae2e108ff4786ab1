"""Evaluation protocols: how the papers train a network on a distilled set before they test it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from raydd.errors import ConfigError, unknown
from raydd.training import Recipe


@dataclass(frozen=True)
class Protocol:
    """Training on the distilled set, then the accuracy after the last epoch.

    Attributes:
        epochs: E of the paper.
        training: E to a recipe without augmentation, CutMix and MixUp; it runs E epochs, or a fixed number more.
        augments: whether the set's augmentation strategy is used.
        cutmix: probability of CutMix for sets that carry none of their own; None: it is never used.
        reference: one line, for people.
        mixup: alpha of MixUp for sets that carry none of their own; None: it is never used.
    """

    epochs: int
    training: Callable[[int], Recipe]
    augments: bool
    cutmix: float | None
    reference: str
    mixup: float | None = None

    def recipe(
        self,
        augmentation: str,
        epochs: int | None = None,
        cutmix: float | None = None,
        mixup: float | None = None,
        temperature: float | None = None,
    ) -> Recipe:
        """Recipe with E = `epochs`, or the protocol's own E.

        Args:
            augmentation: the set's augmentation strategy, used if the protocol augments.
            epochs: E, >= 1.
            cutmix: the set's probability of CutMix, in [0, 1], used if the protocol has CutMix; None is the
                protocol's.
            mixup: the set's alpha of MixUp, >= 0, used if the protocol has MixUp; None is the protocol's.
            temperature: the set's temperature, in [0.01, 10000]; None is the protocol's.

        Raises:
            ConfigError: `epochs` is below 1, `cutmix` is no probability, or `mixup` or `temperature` is out of range.
        """
        last = self.epochs if epochs is None else epochs
        if last < 1:
            raise ConfigError(f"evaluation.epochs: must be at least 1, got {last}")
        training = self.training(last)
        return replace(
            training,
            augmentation=augmentation if self.augments else "",
            cutmix=_chosen(self.cutmix, cutmix),
            mixup=_chosen(self.mixup, mixup),
            temperature=training.temperature if temperature is None else temperature,
        )

    def epochs_near(self, steps: int, images: int) -> int:
        """The E >= 1 whose optimisation steps are as near as possible to `steps`; the smaller of two as near.

        Args:
            steps: wanted SGD steps of one network, >= 1.
            images: images that it is trained on, >= 1.

        Raises:
            ConfigError: `steps` is below 1.
        """
        if steps < 1:
            raise ConfigError(f"evaluation.steps: must be at least 1, got {steps}")
        shortest = self.training(1)
        per_epoch = steps_per_epoch(shortest, images)
        run = -((per_epoch - 2 * steps) // (2 * per_epoch))  # steps / per_epoch, halves rounded down
        return max(1, run - (shortest.epochs - 1))


def _chosen(protocols: float | None, sets: float | None) -> float:
    """How much is mixed: not at all where the protocol does not mix, else as the set says before the protocol."""
    if protocols is None:
        return 0.0
    return protocols if sets is None else sets


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """SGD steps of one epoch on `images` images."""
    return math.ceil(images / recipe.batch)


def _dc(last: int) -> Recipe:
    """DC's `evaluate_synset`, which DSA, DM, IDM and IID share; E = `last`.

    SGD lr 0.01, momentum 0.9, weight decay 5e-4, batch 256; epochs 0 to E, and after epoch E//2 + 1 the learning
    rate drops to a tenth and the momentum is lost.
    """
    return Recipe(epochs=last + 1, decay_epochs=(last // 2 + 1,))


def _idc(last: int) -> Recipe:
    """IDC's `train.py`; E = `last`.

    SGD lr 0.01, momentum 0.9, weight decay 5e-4, batch 64; E epochs, and when 2E//3 and when 5E//6 of them are done
    the learning rate drops to a fifth and the momentum is kept (for E = 1 it never drops).
    """
    done = (2 * last // 3, 5 * last // 6)
    return Recipe(
        epochs=last,
        batch=64,
        decay_epochs=tuple(count - 1 for count in done if count > 0),
        decay=0.2,
        decay_resets_momentum=False,
    )


def _sre2l_cifar(last: int) -> Recipe:
    """SRe2L's `relabel_cifar.py` and DWA's `validation_cifar.py`; E = `last`.

    AdamW lr 1e-3, weight decay 0.01, batch 128; the rate follows a cosine to 0 epoch by epoch; T 30.
    """
    return Recipe(
        epochs=last,
        batch=128,
        lr=1e-3,
        weight_decay=0.01,
        optimiser="adamw",
        schedule="cosine",
        temperature=30.0,
    )


def _sre2l_tiny(last: int) -> Recipe:
    """DWA's evaluation on TinyImageNet; E = `last`.

    SGD lr 0.2, momentum 0.9, weight decay 1e-4, batch 64; 5 epochs of linear warm-up (half of E where that is less),
    then a cosine to 0; T 20, and the loss is multiplied by its square.
    """
    return Recipe(
        epochs=last,
        batch=64,
        lr=0.2,
        weight_decay=1e-4,
        schedule="cosine",
        warmup=min(5, last // 2),
        temperature=20.0,
        temperature_squared=True,
    )


def _sre2l_imagenet(last: int, batch: int) -> Recipe:
    """SRe2L's FKD training (batch 1024) and DWA's (batch 128) on ImageNet-1K; E = `last`.

    AdamW lr 1e-3, weight decay 0.01 on parameters of more than one dimension, cosine to 0; T 20.
    """
    return Recipe(
        epochs=last,
        batch=batch,
        lr=1e-3,
        weight_decay=0.01,
        optimiser="adamw",
        schedule="cosine",
        decay_matrices_only=True,
        temperature=20.0,
    )


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "dc": Protocol(300, _dc, False, None, "Zhao et al., ICLR 2021: 300 epochs without augmentation"),
        "dsa": Protocol(
            1000, _dc, True, None, "Zhao and Bilen, ICML 2021: 1000 epochs with DSA; also DM, IDM, IID"
        ),
        "idc": Protocol(1000, _idc, True, 0.5, "Kim et al., ICML 2022: 1000 epochs with DiffAug and CutMix"),
        "sre2l-cifar": Protocol(
            400,
            _sre2l_cifar,
            True,
            None,
            "Yin et al., NeurIPS 2023, on CIFAR: 400 epochs of AdamW with MixUp, T 30; also DWA",
            mixup=0.8,
        ),
        "sre2l-tiny": Protocol(
            200,
            _sre2l_tiny,
            True,
            1.0,
            "Du et al., NeurIPS 2024, on TinyImageNet: 200 epochs of SGD with CutMix, T 20",
        ),
        "sre2l-imagenet": Protocol(
            300,
            functools.partial(_sre2l_imagenet, batch=1024),
            True,
            1.0,
            "Yin et al., NeurIPS 2023, on ImageNet-1K: 300 epochs of AdamW with CutMix, T 20",
        ),
        "dwa-imagenet": Protocol(
            300,
            functools.partial(_sre2l_imagenet, batch=128),
            True,
            1.0,
            "Du et al., NeurIPS 2024, on ImageNet-1K: 300 epochs of AdamW with CutMix, batch 128, T 20",
        ),
    }
)


def augmentation(name: str, dsa: str) -> str:
    """The augmentation that a protocol's authors train with, for sets that do not say theirs.

    Args:
        name: of a protocol.
        dsa: the DSA strategy that suits the data; one without `flip` keeps images from being mirrored.

    Raises:
        ConfigError: no such protocol.
    """
    protocol, ops = get(name), [op for op in dsa.split("_") if op not in ("", "none")]
    if not protocol.augments or not ops:
        return ""
    if name == "idc":  # its CutMix takes the place of cutout
        return "idc:" + "_".join(op for op in ops if op != "cutout")
    if name.startswith(("sre2l", "dwa")):
        crop = "crop" if name == "sre2l-cifar" else "rrc"
        return f"standard:{crop}_flip" if "flip" in ops else f"standard:{crop}"
    return dsa


def names() -> list[str]:
    """Names of all protocols, sorted."""
    return sorted(PROTOCOLS)


def get(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        ConfigError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"evaluation.protocol: {unknown('protocol', name, names())}")
    return PROTOCOLS[name]
