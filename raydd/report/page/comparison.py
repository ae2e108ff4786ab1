"""What may be said of several studies side by side: why they may not be compared, and the hours they are drawn over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts

Fact = Callable[["StudyFacts"], Any]


def data(facts: StudyFacts) -> str:
    """Name of the data, without the folders above it."""
    return os.path.basename(facts.config.data.name.rstrip("/"))


def protocol(facts: StudyFacts) -> str | None:
    """Evaluation protocol, as confirmed; before that as configured."""
    return facts.config.evaluation.protocol if facts.report is None else str(facts.report["protocol"]["name"])


def epochs(facts: StudyFacts) -> int | None:
    """Epochs of an evaluation on test data, as confirmed; before that as configured."""
    if facts.report is not None:
        return int(facts.report["protocol"]["epochs"])
    return facts.config.confirm.epochs or facts.config.evaluation.epochs


def net(facts: StudyFacts) -> str:
    """The network that decides."""
    return str((facts.config.confirm.nets or [facts.config.evaluation.net])[0])


CONFIRMED: tuple[tuple[str, Fact, str], ...] = (
    ("data", data, "accuracies on different data say nothing about methods"),
    ("images per class", lambda one: one.config.ipc, "more images per class give higher accuracies"),
    ("labels", lambda one: one.labels, "soft labels tell what their teacher knows, and are ranked apart"),
    ("protocol", protocol, "another way to train gives other accuracies"),
    ("evaluation epochs", epochs, "longer training gives other accuracies"),
    ("network", net, "another network gives other accuracies"),
    (
        "distilled from",
        lambda one: one.config.confirm.fit,
        "validation images were trained on in one and not in the other",
    ),
)
SEARCHED: tuple[tuple[str, Fact, str], ...] = (
    (
        "networks of a search evaluation",
        lambda one: one.config.evaluation.repeats,
        "the fewer, the more the best of many is too high",
    ),
    (
        "epochs of a search evaluation",
        lambda one: one.config.evaluation.epochs,
        "search curves are of other accuracies",
    ),
    ("iterations", lambda one: one.config.iterations, "trials are of other lengths"),
    ("processor", lambda one: one.provenance.get("cpu"), "hours are hours of that machine"),
    ("GPUs", lambda one: tuple(one.provenance.get("gpus") or ()), "hours are hours of that machine"),
)


def cautions(studies: Sequence[StudyFacts]) -> list[str]:
    """A sentence for everything that studies differ in and that keeps their figures from being compared."""
    found = []
    for what, fact, why in CONFIRMED:
        said = _differing(what, why, studies, fact)
        found += [said] if said else []
        if what == "data" and not said:
            split = _differing(
                "split or version of the data", "their images are not the same", studies, _fingerprint
            )
            found += [split] if split else []
    for what, fact, why in SEARCHED:
        said = _differing(what, why, studies, fact)
        found += [said] if said else []
    unconfirmed = [one.name for one in studies if one.report is None]
    if unconfirmed:
        found.append(
            f"Not confirmed on test data, and therefore in no table of results: {', '.join(unconfirmed)}."
        )
    if hours_unit(studies) == "hours of trials":
        found.append(
            "Some studies ran on GPUs and others on CPUs: their hours are hours of trials, of different machines."
        )
    return found


def _fingerprint(facts: StudyFacts) -> str | None:
    return facts.fingerprint[:12] or None


def _differing(what: str, why: str, studies: Sequence[StudyFacts], fact: Fact) -> str | None:
    """`Different data (iid-a: digits; iid-b: svhn): why.`; None where all that is known is equal."""
    groups: dict[Any, list[str]] = {}
    for one in studies:
        value = fact(one)
        if value is not None:
            groups.setdefault(value, []).append(one.name)
    if len(groups) < 2:
        return None
    shown = "; ".join(f"{', '.join(names)}: {_text(value)}" for value, names in groups.items())
    return f"Different {what} ({shown}): {why}."


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def hours_unit(studies: Sequence[StudyFacts]) -> str:
    """What costs are drawn in: `GPU-hours`, `CPU-hours`, or `hours of trials` where neither suits all."""
    on_gpu = {one.on_gpu for one in studies}
    if len(on_gpu) > 1:
        return "hours of trials"
    return "GPU-hours" if on_gpu == {True} else "CPU-hours"


def hours(facts: StudyFacts, seconds: float, unit: str) -> float:
    """Seconds of trials in that unit."""
    resources = facts.config.resources
    share = {"GPU-hours": resources.gpus_per_trial, "CPU-hours": resources.cpus_per_trial}.get(unit, 1)
    return float(share) * seconds / 3600


def by_labels(studies: Sequence[StudyFacts]) -> Mapping[str, list[StudyFacts]]:
    """Studies by their kind of labels, hard ones first: what is of two kinds shares neither a table nor a plot."""
    found: dict[str, list[StudyFacts]] = {}
    for one in sorted(
        studies, key=lambda one: (one.labels, data(one), one.config.ipc, one.config.method, one.name)
    ):
        found.setdefault(one.labels, []).append(one)
    return found
