"""What a report says of soft labels: the same pixels with hard ones, DD-Ranking's measures, bytes, and the teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from raydd import wording

if TYPE_CHECKING:
    from rich.console import RenderableType

HARD_TITLE = (
    "Hard labels: the same pixels, by the same protocol, and what comes with no others. These rows are neither ranked "
    "nor compared with those above:"
)
SOFT_TITLE = (
    "Soft labels, and the same pixels with hard ones. These rows are neither ranked nor compared with those "
    "above:"
)
MEASURES_TITLE = (
    "DD-Ranking's measures in points: HLR, the accuracy of all training data less the set's, both with hard labels "
    "(lower is better); IOR, the set's accuracy less that of random real images under the same labels (higher is "
    "better):"
)
NO_FULL = "HLR is left out: it needs the accuracy of all training data with hard labels, `full` in confirm.baselines."
HOLM = (
    "Intervals are of one measure each, not corrected for their number; an IOR is resolved where the arm's paired "
    "difference with random is after Holm's correction, as in the comparison above."
)
ONE_FULL = "The accuracy of all training data is that of one network, whose spread is in no interval."


def soft_arms(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of the report that were evaluated with soft labels."""
    return [arm for arm in report["arms"] if _regime(report, arm) == "soft"]


def together(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of the winner's kind of labels, which may stand in one table."""
    return [arm for arm in report["arms"] if _regime(report, arm) == report["label_regime"]]


def apart(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows that must not stand beside the winner's: arms with the other kind of labels, and soft-label sets that were
    evaluated with hard labels.
    """
    again = [
        {**arm, **arm["hard"], "label_regime": "hard", "equal_steps": None, "teacher": None}
        for arm in soft_arms(report)
        if arm.get("hard")
    ]
    return again + [arm for arm in report["arms"] if _regime(report, arm) != report["label_regime"]]


def apart_title(report: Mapping[str, Any]) -> str:
    """What stands above those rows."""
    return HARD_TITLE if report["label_regime"] == "soft" else SOFT_TITLE


def not_compared(report: Mapping[str, Any]) -> Iterator[str]:
    """A sentence where arms that would have been compared with the winner have the other kind of labels."""
    others = [arm["name"] for arm in report["arms"] if _regime(report, arm) != report["label_regime"]]
    names = [
        name for name in dict.fromkeys(others) if name != "full"
    ]  # its title says that it is in no difference
    if names:
        other = "hard" if report["label_regime"] == "soft" else "soft"
        yield (
            f"{_names(names)}: {other} labels, the winner {report['label_regime']} ones; they are not compared, "
            "because soft labels tell what their teacher knows."
        )


def measures(report: Mapping[str, Any]) -> list[RenderableType]:
    """HLR and IOR of every arm that has one, with intervals over runs; what is missing is said."""
    others = report.get("other_labels") or {}
    shown = [arm for arm in soft_arms(report) if arm.get("hlr") or arm.get("ior") or arm["name"] in others]
    if not any(arm.get("hlr") or arm.get("ior") for arm in shown):
        shown = []
    recovered = any(arm.get("hlr") for arm in shown)
    note = ONE_FULL if recovered else NO_FULL
    if not shown:
        return [Text(note)]
    tested = {
        (one["a"], one["net"]): "resolved" if one["resolved"] else "not resolved"
        for one in report["differences"]
        if one["b"] == "random"
    }
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("arm", "net"):
        table.add_column(title, overflow="fold")
    for title in [
        *(["HLR", "95 % interval"] if recovered else []),
        "IOR",
        "95 % interval",
        "after Holm",
        "runs",
    ]:
        table.add_column(title, justify="right", no_wrap=True)
    for arm in shown:
        cells = [*(_spread(arm["hlr"]) if recovered else []), *_spread(arm["ior"])]
        cells.append(tested.get((arm["name"], arm["net"]), wording.NOTHING) if arm["ior"] else "")
        table.add_row(arm["name"], arm["net"], *cells, str(arm["n"]))
    return [Text(MEASURES_TITLE), table, Text(f"{HOLM} {note}")]


def _spread(figures: Mapping[str, Any] | None) -> list[str]:
    if figures is None:
        return [wording.NOTHING, ""]
    alone = figures["n"] < 2
    interval = "" if alone else f"[{wording.points(figures['low'])}, {wording.points(figures['high'])}]"
    return [wording.points(figures["mean"]), interval]


def notes(report: Mapping[str, Any]) -> list[str]:
    """Sentences about bytes, teachers and tuned labels."""
    arms = soft_arms(report)
    return [sizes(arms), *teachers(arms, report["protocol"]["split"]), *settings(report)]


def sizes(arms: Sequence[Mapping[str, Any]]) -> str:
    """What is needed to use the sets, in bytes: images, labels and teacher apart."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for arm in arms:
        amounts = tuple(wording.size(arm[name]) for name in ("image_bytes", "label_bytes", "teacher_bytes"))
        kinds.setdefault((arm["label_kind"], *amounts), []).append(arm["name"])
    return "Bytes: " + "; ".join(
        f"{_names(names)}: images {images}, labels {labels}, teacher {teacher} ({kind} labels)"
        for (kind, images, labels, teacher), names in kinds.items()
    )


def teachers(arms: Sequence[Mapping[str, Any]], split: str) -> Iterator[str]:
    """A sentence about every teacher."""
    known: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for arm in arms:
        known.setdefault(arm["teacher"]["sha256"], (arm["teacher"], []))[1].append(arm["name"])
    for teacher, names in known.values():
        trained = (
            "with weights that were trained elsewhere"
            if teacher["pretrained"]
            else f"trained {teacher['epochs']} epochs on the training images"
        )
        of = f" of {_names(names)}" if len(known) > 1 else ""
        yield (
            f"Teacher{of}: {teacher['net']}, {trained} ({teacher['asset']}), "
            f"{wording.percent(teacher['test_accuracy'])} % on {split} data."
        )


def settings(report: Mapping[str, Any]) -> Iterator[str]:
    """Which arms are not compared with the real images, whose labels are used as the winner's are."""
    others = report.get("other_labels") or {}
    if others:
        arms = "; ".join(
            f"{arm} ("
            + ", ".join(
                f"{name} {wording.value(own)} against {wording.value(real)}"
                for name, (own, real) in settings.items()
            )
            + ")"
            for arm, settings in others.items()
        )
        yield (
            "Without IOR and in no difference with real images, whose labels are used as the winner's are: "
            f"{arms}. What other labels gain or lose is no merit of the images."
        )


def _regime(report: Mapping[str, Any], arm: Mapping[str, Any]) -> str:
    return str(arm.get("label_regime", report["label_regime"]))


def _names(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
