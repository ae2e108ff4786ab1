"""The datasets that have a name: what they are, without reading them or importing anything heavy."""

from __future__ import annotations

from dataclasses import dataclass

DSA = "color_crop_cutout_flip_scale_rotate"
DSA_WITHOUT_FLIP = "color_crop_cutout_scale_rotate"


@dataclass(frozen=True)
class DatasetInfo:
    """One catalog dataset.

    Attributes:
        name: what `--data` takes.
        title: one line for people.
        channels: 1 (grey) or 3 (RGB).
        size: side of the images in pixels.
        classes: number of classes.
        train: images outside the test set, from which validation is taken.
        test: images of its own test set; 0 where it has none and test is set aside by seed.
        source: where the images come from.
        augmentation: DSA strategy; flipped digits are other digits, so theirs has no flip.
        mean, std: published constants per channel in [0, 1]; None takes the statistics of the train split.
    """

    name: str
    title: str
    channels: int
    size: int
    classes: int
    train: int
    test: int
    source: str
    augmentation: str = DSA
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


_CATALOG = (
    DatasetInfo(
        name="cifar10",
        title="CIFAR-10: small photographs of animals and vehicles",
        channels=3,
        size=32,
        classes=10,
        train=50_000,
        test=10_000,
        source="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz, downloaded on demand (163 MB)",
        # The constants that DC, DM, IDM and IID use for CIFAR-10.
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
    ),
    DatasetInfo(
        name="digits",
        title="handwritten digits, 8x8 pixels",
        channels=1,
        size=8,
        classes=10,
        train=1797,
        test=0,
        source="part of scikit-learn",
        augmentation=DSA_WITHOUT_FLIP,
    ),
)


def catalog() -> list[DatasetInfo]:
    """All catalog datasets, by name."""
    return list(_CATALOG)


def names() -> list[str]:
    """Names of all catalog datasets, sorted."""
    return [info.name for info in _CATALOG]
