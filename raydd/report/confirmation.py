"""The text of a confirmation: what was measured on test data, how sure it is, and what it does not show."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from raydd import wording
from raydd.report import soft_labels
from raydd.report.plain import plain
from raydd.tuning.labels import SAME_TEACHER

if TYPE_CHECKING:
    from rich.console import RenderableType

REAL_IMAGES = {
    "random": "randomly chosen real images",
    "herding": "real images chosen by herding",
    "k_center": "real images chosen by k-center",
}
CORESETS = ("herding", "k_center")


def render(report: Mapping[str, Any]) -> list[RenderableType]:
    """A confirmation report (the content of `report.json`) as paragraphs and a table, for a terminal.

    The protocol comes first, then a row for every arm and net (and a second, starred one where it was evaluated
    again for the winner's optimisation steps), the verdict on every paired difference, a sentence for what a reader
    must not miss (real images win; nothing is resolved), and how often test data were read. The first table has the
    winner's kind of labels; arms of the other kind, and soft-label sets that were evaluated with hard labels, have
    one of their own.
    """
    titles = {arm["name"]: arm["title"] for arm in report["arms"]}
    paragraphs = [
        "\n".join(f"{name}: {title}" for name, title in {**titles, "images": _images(titles)}.items()),
        _comparison(report),
        "; ".join(difference["text"] for difference in report["differences"]),
        "\n".join(cautions(report)),
    ]
    blocks: list[RenderableType] = [Text(protocol(report)), _table(report, soft_labels.together(report))]
    blocks += [Text(one) for one in paragraphs if one]
    others = soft_labels.apart(report)
    if others:
        blocks += [Text(soft_labels.apart_title(report)), _table(report, others)]
    if soft_labels.soft_arms(report):
        blocks += [*soft_labels.measures(report), Text("\n".join(soft_labels.notes(report)))]
    return [*blocks, Text(_end(report))]


def text(report: Mapping[str, Any]) -> str:
    """What `render` gives, as plain text without a newline at the end."""
    return "\n\n".join(plain(block) for block in render(report))


def protocol(report: Mapping[str, Any]) -> str:
    """How the arms were evaluated and distilled, in a sentence."""
    how = report["protocol"]
    seeds = report["seeds"]
    fit = (
        "distilled from train only, so not to be put beside published numbers"
        if report["fit"] == "train"
        else "distilled from train and validation images, as published numbers are"
    )
    return (
        f"Accuracy on {how['split']} data: protocol {how['name']}, {how['epochs']} epochs, "
        f"{_count(how['repeats'], 'net')} for each distilled set, {report['label_regime']} labels, "
        f"{_count(len(seeds), 'fresh paired seed')} ({', '.join(map(str, seeds))}), {fit}."
    )


def _images(titles: Mapping[str, str]) -> str:
    """What the bytes of the table are those of."""
    return "distilled ones as float32 with int64 labels" + (
        ", all training data as 8-bit pixels" if "full" in titles else ""
    )


def _table(report: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> Table:
    taught = any(arm.get("teacher") for arm in arms)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("arm", "net", "labels"):
        table.add_column(title, overflow="fold")
    teacher = ["teacher"] if taught else []  # its accuracy on the same data, in percent
    for title in ("accuracy %", "95 % interval", "runs", "sd runs", "sd nets", *teacher, "steps", "images"):
        table.add_column(title, justify="right", overflow="fold", no_wrap=title == "95 % interval")
    for arm in arms:
        single = arm["n"] < 2
        alone = "one net" if arm["net_sd"] is None else "net sd only"
        of_teacher = [wording.percent((arm.get("teacher") or {}).get("test_accuracy"))] if taught else []
        for mark, one in (("", arm), ("*", arm.get("equal_steps"))):
            if one is None:
                continue
            table.add_row(
                f"{arm['name']}{mark}",
                arm["net"],
                arm.get("label_regime", report["label_regime"]),
                wording.percent(one["mean"]),
                alone if single else f"[{wording.percent(one['low'])}, {wording.percent(one['high'])}]",
                str(one["n"]),
                wording.NOTHING if single else wording.percent(one["sd"]),
                wording.percent(one["net_sd"]),
                *of_teacher,
                str(one["optimisation_steps"]),
                wording.size(arm.get("image_bytes", arm["bytes"])),
            )
    return table


def _comparison(report: Mapping[str, Any]) -> str:
    """What differences are taken at and corrected for, where that needs saying."""
    sentences = []
    epochs = {arm["name"]: arm["equal_steps"]["epochs"] for arm in report["arms"] if arm.get("equal_steps")}
    if epochs:
        lengths = ", ".join(f"{name}* {count} epochs" for name, count in epochs.items())
        sentences.append(
            f"Differences are taken at equal optimisation steps, the winner's {report['compared_steps']}: a set of "
            f"another number of training images was evaluated again for as many (* in the table: {lengths})."
        )
    others = [one["b"] for one in report["differences"] if one["b"] not in CORESETS]
    coresets = [one["b"] for one in report["differences"] if one["b"] in CORESETS]
    if others and coresets:
        sentences.append("Differences with coresets are corrected (Holm) as a family of their own.")
    return " ".join(sentences)


def cautions(report: Mapping[str, Any]) -> Iterator[str]:
    """Sentences for what a reader must not miss: real images win, an arm is at chance, nothing is resolved."""
    differences = report["differences"]
    yield from report.get("cautions", ())
    if report["winner"]["trial"] == 0:
        yield (
            f"The winner is trial 0 itself, {report['default_name']}: in re-ranking, nothing that was searched "
            "did better."
        )
    for arm in report["arms"]:
        if arm.get("diverged"):
            yield (
                f"{_count(arm['diverged'], 'run')} of {arm['name']} on {arm['net']} diverged and count as chance: "
                "the setting is not stable over seeds."
            )
    for net in dict.fromkeys(arm["net"] for arm in report["arms"]):
        distilled = [arm for arm in report["arms"] if arm["net"] == net and arm["name"] != "full"]
        if _at_chance(report, distilled):
            others = (
                " but full"
                if any((arm["name"], arm["net"]) == ("full", net) for arm in report["arms"])
                else ""
            )
            yield f"No arm{others} is above chance ({_chance(report)} %) on {net}."
    yield from soft_labels.not_compared(report)
    labelled = {arm["name"] for arm in soft_labels.soft_arms(report)}
    nets = list(dict.fromkeys(difference["net"] for difference in differences))
    for net in nets:
        on = f" on {net}" if len(nets) > 1 else ""
        against = {one["b"]: one for one in differences if one["a"] == "winner" and one["net"] == net}
        for one in (one for one in differences if one["b"] in REAL_IMAGES and one["net"] == net):
            winner, images = one["a"] == "winner", REAL_IMAGES[one["b"]]
            if one["b"] in labelled:
                images += SAME_TEACHER
            if one["resolved"] and one["mean"] < 0:
                name = {"winner": "the winner", "default": report["default_name"]}.get(one["a"], "the base")
                yield (
                    f"{images[0].upper()}{images[1:]} are better than {name}{on}, by "
                    f"{wording.points(-one['mean'])} points"
                    + (": on these data, distilling with these settings does not pay." if winner else ".")
                )
            elif winner and not one["resolved"]:
                yield f"The winner is not shown to be better than {images}{on}."
        default = against.get("default")
        if default is not None and default["resolved"] and default["mean"] < 0:
            yield f"The winner is worse than trial 0 ({report['default_name']}){on}: keep trial 0's setting."
    if differences and not any(difference["resolved"] for difference in differences):
        yield "No difference is resolved: more seeds, or more trials, are needed before one setting is called better."


def _end(report: Mapping[str, Any]) -> str:
    estimate = report["search_estimate"]
    ranking = ", ".join(
        f"{row.get('short', row['title'])} {wording.percent(row['mean'])} %" for row in report["rerank"]
    )
    seeds = max((len(row["runs"]) for row in report["rerank"]), default=0)
    rows = [{**row, "n": len(row["runs"]), "sd": _sd(row["runs"])} for row in report["rerank"]]
    low = (
        f"No setting of the re-ranking is above chance ({_chance(report)} %).\n"
        if _at_chance(report, rows)
        else ""
    )
    return (
        f"Re-ranked on validation with {_count(seeds, 'fresh seed')}: {ranking}.\n{low}"
        f"{report['stopped'].capitalize()}; the widest interval is +-{100 * report['half_width']:.1f} points. "
        f"Test data were read {_count(report['test_readings'], 'time')} in this study.\n"
        f"Search estimate of trial {estimate['trial']}: {wording.percent(estimate['val_accuracy'])} % on "
        "validation, chosen as the best of many and therefore too high."
    )


def _at_chance(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no row lies above chance by more than its sd over runs, or over networks where it is one run.

    Reports from before chance was written down say nothing.
    """
    classes = report.get("classes")
    if not classes or not rows:
        return False
    spreads = [row["sd"] if row["n"] > 1 else row.get("net_sd") or 0.0 for row in rows]
    # rounding must not lift means of runs that all are at chance
    return all(row["mean"] - spread <= 1 / classes + 1e-9 for row, spread in zip(rows, spreads))


def _chance(report: Mapping[str, Any]) -> str:
    return wording.percent(1 / report["classes"])


def _sd(runs: Sequence[float]) -> float:
    return statistics.stdev(runs) if len(runs) > 1 else 0.0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
