"""The table as Markdown: accuracies over distillations, paired differences at equal steps, UDD's five checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.table.plan import Row, published, rows
from raydd.evaluation.statistics import holm, interval, paired, rank_correlation, verdict
from raydd.wording import size as bytes_text

Measured = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Row name -> seed -> record."""


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """Tables of all records, one for every setting and IPC."""
    parts = []
    for settings in _distinct(record["settings"] for record in records):
        own = [record for record in records if record["settings"] == settings]
        for ipc in sorted({record["ipc"] for record in own}):
            measured: dict[str, dict[int, Mapping[str, Any]]] = {}
            for record in own:
                if record["ipc"] == ipc:
                    measured.setdefault(record["row"], {})[record["seed"]] = record
            parts.append(_part(settings, ipc, measured))
    return "\n\n".join(parts)


def _distinct(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    for one in found:
        if one not in kept:
            kept.append(one)
    return kept


def _part(settings: Mapping[str, Any], ipc: int, measured: Measured) -> str:
    planned = [row for row in rows() if row.ipc == ipc and row.name in measured]
    computed = f"{settings['precision']}, {'compiled' if settings['compiled'] else 'eager'}"
    step = "" if settings["idc_lr_img"] is None else f", lr_img of IDC and UDD {settings['idc_lr_img']:g}"
    head = (
        f"### {settings['dataset']}, IPC {ipc}\n\n{settings['iterations']} iterations, {settings['epochs']} epochs x "
        f"{settings['repeats']} nets ({settings['net']}), {computed}{step}; top-1 % on test, mean over distillations "
        "[95 % interval]; hard labels unless said otherwise.\n"
    )
    hard = [row for row in planned if row.family is None]
    soft = [row for row in planned if row.family is not None]
    parts = [head]
    if hard:
        others, udd = ([row for row in hard if (row.method == "udd") is of_udd] for of_udd in (False, True))
        parts += [
            _rows(settings, ipc, hard, measured),
            _differences("Methods against their bases", others, measured),
        ]
        if udd:
            parts += [_differences("UDD", udd, measured), _checks(measured)]
    if soft:
        parts += [_soft_head(soft, measured), _rows(settings, ipc, soft, measured)]
        parts.append(_differences("Methods against their bases", soft, measured))
    return "\n\n".join(part.rstrip("\n") for part in parts if part)


def _rows(settings: Mapping[str, Any], ipc: int, planned: Sequence[Row], measured: Measured) -> str:
    """The table of one label regime; soft and hard labels never share one."""
    soft = planned[0].family is not None
    marks = ("hard labels, same pixels | " if soft else "", "---|" if soft else "")
    lines = [
        f"| | n | at iteration 0 | at the end | {marks[0]}steps | images | bytes | published (its own budget) |",
        f"|---|---|---|---|---|---|---|---|{marks[1]}",
    ]
    for row in planned:
        runs = list(measured[row.name].values())
        last = runs[0]
        steps = _found(last, "final")["optimisation_steps"]
        size = bytes_text(last["bytes"])
        hard = f"{_mean(runs, 'hard labels')} | " if soft else ""
        size += f" + teacher {bytes_text(last['teacher_bytes'])}" if soft else ""
        lines.append(
            f"| {row.name} | {len(runs)} | {_mean(runs, 'initial')} | {_mean(runs, 'final')} | {hard}{steps} | "
            f"{last['images']} | {size} | {published(settings['dataset'], ipc, row)} |"
        )
    return "\n".join(lines)


def _soft_head(planned: Sequence[Row], measured: Measured) -> str:
    """Who labels what follows, and how good the teachers are."""
    teachers = {}
    for row in planned:
        record = next(iter(measured[row.name].values()))
        found = _found(record, "final")
        accuracy = f"{100 * found['teacher_accuracy']:.1f} % on test"
        named = record["teacher"]
        teachers[row.family] = f"{named['teacher']} ({named['teacher_epochs']} epochs, {accuracy})"
    return (
        "Soft labels, given by a teacher of the same architecture as the networks that are trained: "
        f"{'; '.join(teachers.values())}."
    )


def _found(record: Mapping[str, Any], stage: str, steps: int | None = None) -> Mapping[str, Any]:
    for found in record["evaluations"]:
        if found["stage"] == stage and steps is None:
            return found
        if steps is not None and found["stage"].startswith("final") and found["optimisation_steps"] == steps:
            return found
    raise KeyError(stage)


def _mean(runs: Sequence[Mapping[str, Any]], stage: str) -> str:
    values = [found["mean"] for record in runs for found in record["evaluations"] if found["stage"] == stage]
    if not values:
        return ""
    one = interval(values)
    text = f"{100 * one.mean:.1f}"
    return text if one.n == 1 else f"{text} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _pairs(row: Row, base: str, measured: Measured) -> tuple[list[float], list[float], int] | None:
    """Accuracies of a row and its base over common seeds, the base's at the row's optimisation steps."""
    mine, other, steps = [], [], 0
    for seed in sorted(set(measured[row.name]) & set(measured.get(base, {}))):
        found = _found(measured[row.name][seed], "final")
        steps = int(found["optimisation_steps"])
        try:
            equal = _found(measured[base][seed], "final", steps)
        except KeyError:
            return None
        mine.append(float(found["mean"]))
        other.append(float(equal["mean"]))
    return (mine, other, steps) if mine else None


def _differences(title: str, planned: Sequence[Row], measured: Measured) -> str:
    """Rows against their bases, corrected together."""
    compared = []
    for row in planned:
        for base in row.bases:
            found = _pairs(row, base, measured)
            if found is not None:
                compared.append((row.name, base, paired(found[0], found[1]), found[2]))
    if not compared:
        return ""
    adjusted = holm([difference.p for _, _, difference, _ in compared])
    lines = [
        f"{title}: paired differences in points, both evaluated with the first one's optimisation steps; resolved "
        f"where the interval leaves zero out and p is below 0.05 after Holm's correction over these {len(compared)}:",
        "",
    ]
    for (name, base, difference, steps), p in zip(compared, adjusted):
        lines.append(f"- {verdict(name, base, difference, p)}, {steps} steps")
    return "\n".join(lines)


def _checks(measured: Measured) -> str:
    """What should hold if our reading of UDD is its authors'; what needs rows that are not there is left out.

    (a) mUE grows from one image a cell over four to UDD; (b) it goes with accuracy; (c) chosen regions beat random
    ones; (d) UDD beats IDC, also with as many views; (e) the CFC loss helps.
    """
    lines = ["UDD's checks:", ""]
    for scale, where in (("min_max", "from minimum to maximum"), ("max", "by the maximum")):
        means = {
            name: [record["mue"]["final"][scale] for record in measured[name].values()]
            for name in ("IDC-I", "IDC factor 2", "UDD response, CFC")
            if name in measured
        }
        if len(means) == 3:
            values = [sum(found) / len(found) for found in means.values()]
            shown = ", ".join(f"{name} {value:.3f}" for name, value in zip(means, values))
            ordered = values == sorted(values)
            lines.append(
                f"- (a) mUE, maps scaled {where}: {shown}: {'grows' if ordered else 'does not grow'} in this order"
            )
    for scale in ("min_max", "max"):
        lines.append(f"- (b) mUE ({scale}) and accuracy: {_correlation(measured, scale)}")
    lines.append(
        "- (c) chosen against random regions, (d) UDD against IDC, also with as many views (multi 3), (e) with CFC "
        "against without: the differences above"
    )
    return "\n".join(lines)


def _correlation(measured: Measured, scale: str) -> str:
    runs = [
        (record["mue"]["final"][scale], _found(record, "final")["mean"])
        for name, by_seed in measured.items()
        if name.startswith("UDD")
        for record in by_seed.values()
    ]
    if len(runs) < 20:
        return f"{len(runs)} runs of UDD, 20 are needed"
    found = rank_correlation(*zip(*runs))
    return f"rank correlation {found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] over {found.n} runs of UDD"
