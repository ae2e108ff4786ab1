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
        source: where the images come from, and the size of what is downloaded where they are not at hand.
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


# The constants of mean and std are those of DC's repository, which DM, IDM and IID share.
_CATALOG = (
    DatasetInfo(
        name="cifar10",
        title="photos of animals and vehicles",
        channels=3,
        size=32,
        classes=10,
        train=50_000,
        test=10_000,
        source="toronto.edu, 170 MB on demand",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
    ),
    DatasetInfo(
        name="cifar100",
        title="photos of 100 kinds of things",
        channels=3,
        size=32,
        classes=100,
        train=50_000,
        test=10_000,
        source="toronto.edu, 169 MB on demand",
        # IDC and SRe2L take CIFAR-10's here.
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
    DatasetInfo(
        name="digits",
        title="handwritten digits, small",
        channels=1,
        size=8,
        classes=10,
        train=1797,
        test=0,
        source="part of scikit-learn",
        augmentation=DSA_WITHOUT_FLIP,
    ),
    DatasetInfo(
        name="fashionmnist",
        title="clothes, shoes and bags",
        channels=1,
        size=28,
        classes=10,
        train=60_000,
        test=10_000,
        source="amazonaws.com, 31 MB on demand",
        mean=(0.2861,),
        std=(0.3530,),
    ),
    DatasetInfo(
        name="mnist",
        title="handwritten digits",
        channels=1,
        size=28,
        classes=10,
        train=60_000,
        test=10_000,
        source="amazonaws.com, 12 MB on demand",
        augmentation=DSA_WITHOUT_FLIP,
        mean=(0.1307,),
        std=(0.3081,),
    ),
    DatasetInfo(
        name="svhn",
        title="photos of house numbers",
        channels=3,
        size=32,
        classes=10,
        train=73_257,
        test=26_032,
        source="stanford.edu, 246 MB on demand",
        augmentation=DSA_WITHOUT_FLIP,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
    ),
)


def catalog() -> list[DatasetInfo]:
    """All catalog datasets, by name."""
    return list(_CATALOG)


def names() -> list[str]:
    """Names of all catalog datasets, sorted."""
    return [info.name for info in _CATALOG]
