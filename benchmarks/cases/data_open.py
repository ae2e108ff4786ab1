"""Opening a folder of images: decoded for the first time, from the cache, and as the authors read it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from raydd.data.index import SETTLED


class _Opening(Work):
    def __init__(self, settings: Settings) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.cache = Path(self.home.name) / "cache"
        os.environ["RAYDD_CACHE"] = str(self.cache)
        if settings.get("data"):
            self.folder = Path(settings["data"])
        else:
            from benchmarks import pixels

            self.folder = Path(self.home.name) / "images"
            counts = settings["classes"], settings["per_class"], settings["test_per_class"]
            pixels.write_folder(self.folder, *counts, settings["size"])


class ReadingLoop(_Opening):
    """The authors' reading of all training images into one tensor."""

    def run(self) -> None:
        """Read them."""
        from benchmarks import ours
        from benchmarks.reference import opening

        constants = ours.NORMALISATION
        self.images, self.labels = opening.read(self.folder, constants.mean, constants.std)

    def values(self) -> dict[str, float]:
        """Number of training images, their mean in [0, 1], and the mean of their labels."""
        from benchmarks import ours

        return {
            "images": float(len(self.images)),
            "mean": ours.NORMALISATION.invert(self.images).double().mean().item(),
            "label": self.labels.double().mean().item(),
        }


class Cached(_Opening):
    """`raydd.load_data` of a folder that was decoded before."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours

        super().__init__(settings)
        ours.open_folder(self.folder)
        time.sleep(SETTLED / 1e9 + 0.1)  # a folder is remembered only when it has not changed for a while
        ours.open_folder(self.folder)

    def run(self) -> None:
        """Open the folder."""
        from benchmarks import ours

        self.data = ours.open_folder(self.folder)

    def values(self) -> dict[str, float]:
        """Number of training images, their mean in [0, 1], and the mean of their labels."""
        from benchmarks import ours

        learned = self.data.train.join(self.data.val)
        if self.data.split["test_fraction"] is not None:  # the folder has no test part of its own
            learned = learned.join(self.data.test)
        pixels, labels = ours.arrays(learned)
        return {
            "images": float(len(pixels)),
            "mean": pixels.double().mean().item() / 255,
            "label": labels.double().mean().item(),
        }


class Decoding(Cached):
    """`raydd.load_data` of a folder that it has never seen."""

    def prepare(self) -> None:
        """Forget what was decoded."""
        shutil.rmtree(self.cache)


CASES = (
    Case(
        name="data-open",
        module=__name__,
        title="opening a tree of JPEG files; the reference decodes its training images, each twice, and raydd's cached "
        "open maps the decoded ones and reads none yet",
        unit="open",
        sides=(
            Side(REFERENCE, ReadingLoop),
            Side("first decode", Decoding, rtol=1e-4),
            Side("cached", Cached, rtol=1e-4),
        ),
        full={"classes": 10, "size": 32, "per_class": 500, "test_per_class": 100},
        quick={"classes": 10, "size": 32, "per_class": 50, "test_per_class": 10},
        warmups=1,
    ),
)
