"""Where UDD's proxy network looks in distilled images, and which regions were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydd import measures
from raydd.errors import StudyError
from raydd.report.figures import style
from raydd.report.figures.captions import about, methods
from raydd.report.figures.choice import Choice
from raydd.report.figures.features import called, confirmed_sets
from raydd.report.figures.pictures import colours, first_rows
from raydd.tuning.studies import Study

BOX = "#00ffff"  # the one hue that the heat map has nowhere


@dataclass(frozen=True)
class Mapped:
    """A set, where a network looks in it, and what was chosen.

    Attributes:
        name: what the set is called.
        images: one a class, (classes, H, W, 3), in [0, 1].
        maps: of them, (classes, H, W).
        boxes: of them, int64 (classes, R, 3): y0, x0, side; empty for sets without.
        mue: of the whole set.
    """

    name: str
    images: np.ndarray
    maps: np.ndarray
    boxes: np.ndarray
    mue: float


def mapped(study: Study) -> list[Mapped]:
    """The base's and the winner's first set under the study's proxy network.

    Raises:
        StudyError: the method has no proxy network that judges regions.
    """
    import torch

    from raydd import jobs
    from raydd.distillation.regions import RegionSelector
    from raydd.tuning import tasks

    job = tasks.open_study_job(study.folder)
    specs = job.method.assets(job.context)
    values = jobs.resolve(job.method, job.context, {}).model_dump()
    if "region_source" not in values or not specs:
        raise StudyError(
            f"study {study.name!r} has searched {study.config.method}, which chooses no regions; this figure takes a "
            "study of udd"
        )
    confirmed = confirmed_sets(study)
    (network,) = job.assets.get(specs[0])
    found = []
    for arm, sets in confirmed.items():
        if arm not in ("base", "winner"):
            continue
        distilled = sets[0]
        factor = int(distilled.manifest["decode"].get("factor", 1))  # one cell is no decoding
        selector = RegionSelector(
            network, job.compute, job.data.normalisation, job.data.size, factor, len(distilled.targets)
        )
        with torch.no_grad():
            maps = selector.maps(distilled.unit_pixels().to(job.device), distilled.targets).cpu()
        rows = first_rows(distilled)
        boxes = torch.zeros(len(rows), 0, 3) if distilled.boxes is None else distilled.boxes[rows]
        found.append(
            Mapped(
                called(study, arm),
                colours(distilled.unit_pixels()[rows]),
                maps[rows].numpy(),
                boxes.long().numpy(),
                measures.mue(maps),
            )
        )
    return sorted(found, key=lambda one: bool(one.boxes.size))


def draw_maps(studies: Sequence[Study], choice: Choice) -> Any:
    """Each set twice: the images, and their activation maps with the chosen regions."""
    (study,) = choice.one(studies)
    found = mapped(study)
    with style.styled() as pyplot:
        from matplotlib.patches import Rectangle

        classes = len(found[0].images)
        figure, axes = pyplot.subplots(
            2 * len(found),
            classes,
            figsize=(0.62 * classes + 1.3, 1.3 * len(found) + 1.0),
            squeeze=False,
            gridspec_kw={"wspace": 0.04, "hspace": 0.04},
            layout="constrained",
        )
        for number, one in enumerate(found):
            for column in range(classes):
                plain, heated = axes[2 * number, column], axes[2 * number + 1, column]
                plain.imshow(one.images[column], interpolation="nearest")
                heated.imshow(
                    one.images[column].mean(axis=2), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
                )
                heated.imshow(one.maps[column], cmap="inferno", alpha=0.65, interpolation="nearest")
                for top, left, side in one.boxes[column].tolist():
                    heated.add_patch(
                        Rectangle(
                            (left - 0.5, top - 0.5), side, side, fill=False, edgecolor=BOX, linewidth=1.4
                        )
                    )
            axes[2 * number, 0].set_ylabel(one.name, rotation=0, ha="right", va="center", fontweight="bold")
            axes[2 * number + 1, 0].set_ylabel(f"mUE {one.mue:.3f}", rotation=0, ha="right", va="center")
        for axis in axes.flat:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        boxes = "cyan: regions that are trained on again" if any(one.boxes.size for one in found) else ""
        style.caption(
            figure,
            f"{methods(studies)}: where the proxy network looks",
            f"{about(studies)}; the first image of each class, and below it its activation from its lowest (black) to "
            f"its highest value (yellow); {boxes}; mUE of the whole set.",
        )
    return figure
