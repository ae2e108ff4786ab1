"""The kinds of figures: what each is called, what it shows, and who draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raydd.errors import ConfigError, unknown
from raydd.report.figures import ablation, curves, distance, heat_map, maps, pictures, progress, scatter
from raydd.report.figures.choice import Choice
from raydd.tuning.studies import Study

Draw = Callable[[Sequence[Study], Choice], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of figure.

    Attributes:
        about: a line for people.
        draw: gives matplotlib's figure of studies.
        names: hyperparameters on its axes, where it is not the person who names them.
    """

    about: str
    draw: Draw
    names: Mapping[str, str] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "grid": Kind("accuracy over two swept hyperparameters, --x and --y", heat_map.draw_heat_map),
    "curve": Kind("accuracy along a swept hyperparameter, --x, a line a study", curves.draw_curves_along),
    "pictures": Kind("distilled images along a swept hyperparameter, --x", pictures.draw_strips),
    "accuracy-iteration": Kind("accuracy against iteration, of all trials", progress.draw_courses),
    "tsne": Kind("t-SNE of features of real and synthetic images", scatter.draw_tsne),
    "class-distribution": Kind(
        "where classes lie, and how well they are separated", scatter.draw_distribution
    ),
    "feature-distance": Kind("diversity within classes, as DWA shows it", distance.draw_distance),
    "dwa-grid": Kind("DWA's accuracy over rho and k", heat_map.draw_heat_map, {"x": "rho", "y": "k"}),
    "dwa-lambda-var": Kind("DWA's weights, decoupled against coupled", curves.draw_weight_curves),
    "iid-ablation": Kind("what each of IID's two terms adds", ablation.draw_ablation),
    "iid-beta": Kind("IID's images for several beta", pictures.draw_strips, {"x": "beta"}),
    "udd-maps": Kind("UDD's images with activation maps and boxes", maps.draw_maps),
    "mue-accuracy": Kind("UDD's mUE against accuracy, trial by trial", progress.draw_mue),
}


def draw(kind: str, studies: Sequence[Study], choice: Choice) -> Any:
    """A figure, as matplotlib has it.

    Raises:
        ConfigError: there is no such kind, or it is called without what it needs.
        StudyError: the studies lack what it shows.
    """
    chosen = find(kind)
    return chosen.draw(studies, replace(choice, names={**choice.names, **chosen.names}))


def find(kind: str) -> Kind:
    """The kind called so.

    Raises:
        ConfigError: there is none; the sentence lists them.
    """
    if kind not in KINDS:
        raise ConfigError(unknown("kind of figure", kind, KINDS))
    return KINDS[kind]
