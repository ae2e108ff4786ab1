"""Features of real and synthetic images in two dimensions: by t-SNE, and along what parts the real classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd import measures
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.report.figures import style
from raydd.report.figures.captions import about
from raydd.report.figures.choice import Choice
from raydd.report.figures.features import DISTILLED, Features, features
from raydd.tuning.studies import Study

if TYPE_CHECKING:
    import torch

SHOWN_CLASSES = 10
PERPLEXITY = 30.0


def tsne(found: Features, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One t-SNE of the real images and of every set's first run together, from PCA and with a seed.

    Returns:
        Places of the real images (N, 2), and of each set's training images (M, 2).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    first = {name: runs[0][0] for name, runs in found.sets.items()}
    everything = np.concatenate([one.double().numpy() for one in (found.real, *first.values())])
    perplexity = min(PERPLEXITY, (len(everything) - 1) / 3)
    view = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=seed)
    with threadpool_limits(1):  # sums in one order, whatever the machine has
        places = view.fit_transform(everything)
    sizes = np.cumsum([len(found.real), *(len(one) for one in first.values())])
    real, *others = np.split(places, sizes[:-1])
    return real, dict(zip(first, others))


def discriminants(found: Features) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The two directions that part the real classes best (Fisher, with Ledoit and Wolf's shrinkage), and what every
    set's first run is along them: a linear view, the same for all sets.

    Returns:
        See `tsne`.

    Raises:
        StudyError: there are two classes.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    if len(found.class_names) < 3:
        raise StudyError(
            f"two directions that part classes need three of them, and these data have {len(found.class_names)}; "
            "`raydd figure tsne` takes two"
        )
    view = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", n_components=2)
    real = view.fit_transform(found.real.double().numpy(), found.real_labels.numpy())
    sets = {name: view.transform(runs[0][0].double().numpy()) for name, runs in found.sets.items()}
    return real, sets


def scatter(
    axis: Any, places: np.ndarray, labels: torch.Tensor, *, real: bool, shown: int = SHOWN_CLASSES
) -> None:
    """Draw the points of one kind, a colour a class."""
    for class_ in range(shown):
        own = places[labels.numpy() == class_]
        colour = style.CLASSES[class_ % len(style.CLASSES)]
        if real:
            axis.scatter(*own.T, s=5, color=colour, alpha=0.28, linewidths=0, rasterized=True)
        else:
            axis.scatter(*own.T, s=34, color=colour, edgecolors="black", linewidths=0.7, marker="o", zorder=3)


def draw_places(
    studies: Sequence[Study],
    found: Features,
    real: np.ndarray,
    sets: Mapping[str, np.ndarray],
    titles: Mapping[str, str],
    title: str,
    said: str,
) -> Any:
    """A panel for each set over the same real images, class names where these are."""
    with style.styled() as pyplot:
        figure, axes = style.panels(pyplot, len(sets), 0.4 + 3.0 * len(sets), 3.9, sharex=True, sharey=True)
        shown = min(SHOWN_CLASSES, len(found.class_names))
        for axis, (name, places) in zip(axes, sets.items()):
            scatter(axis, real, found.real_labels, real=True, shown=shown)
            scatter(axis, places, found.sets[name][0][1], real=False, shown=shown)
            for class_ in range(shown):
                middle = np.median(real[found.real_labels.numpy() == class_], axis=0)
                axis.annotate(
                    found.class_names[class_],
                    middle,
                    ha="center",
                    va="center",
                    fontsize=9,
                    fontweight="bold",
                    zorder=2.5,
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
                )
            axis.set_title(titles[name])
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(True)
            axis.spines[:].set_color("#bbbbbb")
        more = "" if shown == len(found.class_names) else f"; the first {shown} classes"
        style.caption(figure, title, f"{about(studies)}; {said}{more}.")
    return figure


def draw_tsne(studies: Sequence[Study], choice: Choice) -> Any:
    """t-SNE of real and synthetic images, a panel a set."""
    found = features(studies, DISTILLED, choice)
    real, sets = tsne(found, choice.seed)
    said = (
        f"t-SNE of the features of {found.network} (perplexity {PERPLEXITY:g}, seed {choice.seed}), one for all "
        "panels; small: real training images, large: what networks are trained on"
    )
    return draw_places(
        studies,
        found,
        real,
        sets,
        {name: name for name in sets},
        "Features of real and synthetic images",
        said,
    )


def separations(found: Features) -> dict[str, tuple[float, ...]]:
    """`raydd.measures.class_separation` of the real images and of every run of every set."""
    sets = {name: tuple(measures.class_separation(*run) for run in runs) for name, runs in found.sets.items()}
    return {"real": (measures.class_separation(found.real, found.real_labels),), **sets}


def draw_distribution(studies: Sequence[Study], choice: Choice) -> Any:
    """Where the classes lie that networks are trained on, and how far apart for how wide they are."""
    found = features(studies, DISTILLED, choice)
    real, sets = discriminants(found)
    apart = separations(found)
    titles = {}
    for name in sets:
        over = statistics.interval(apart[name])
        interval = f" [{over.low:.2f}, {over.high:.2f}]" if over.n > 1 else ""
        broken = "\n" if len(name) > 12 else " "  # a panel is no wider than a method's name and the interval
        titles[name] = f"{name}:{broken}separation {over.mean:.2f}{interval}"
    said = (
        f"features of {found.network} along the two discriminants of the real classes; small: real training images "
        f"(separation {apart['real'][0]:.2f}), large: what networks are trained on. Separation: mean distance of class "
        "means over mean distance of images to theirs, in all dimensions, [95 % interval] over distillations"
    )
    return draw_places(studies, found, real, sets, titles, "Distribution of the data over classes", said)
