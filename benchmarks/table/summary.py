"""The table as Markdown: accuracies over distillations, paired differences at equal steps, UDD's five checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from benchmarks.table.plan import Row, published, rows
from raydd.evaluation.statistics import Difference, holm, interval, paired, rank_correlation, verdict
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
    parts = [_head(settings, ipc)]
    hard = [row for row in planned if row.family is None]
    soft = [row for row in planned if row.family is not None]
    if hard:
        parts += [_rows(settings, ipc, hard, measured), _differences(hard, measured)]
        if any(row.method == "udd" for row in hard):
            parts.append(_checks(measured))
    if soft:
        parts += [_soft_head(soft, measured), _rows(settings, ipc, soft, measured)]
        parts.append(_differences(soft, measured))
    return "\n\n".join(part.rstrip("\n") for part in parts if part)


def _head(settings: Mapping[str, Any], ipc: int) -> str:
    """What all rows have in common."""
    path = "compiled" if settings["compiled"] else "eager"
    step = "" if settings["idc_lr_img"] is None else f", lr_img of IDC and UDD {settings['idc_lr_img']:g}"
    queue, pool = settings["queue"], settings["pool"]
    return (
        f"### {settings['dataset']}, IPC {ipc}\n\n{settings['iterations']} iterations, {settings['epochs']} epochs x "
        f"{settings['repeats']} nets ({settings['net']}), {settings['precision']}, {path}{step}. IDM: "
        f"{queue['batch_real']} real images of a class, a new network every {queue['net_generate_interval']} "
        f"iterations. IID's pool: {pool['pool_size']} x {pool['pool_net']}, {pool['pool_epochs']} epochs. Herding, mUE "
        f"and UDD's proxy: {settings['net']}, {settings['feature_epochs']} epochs. Top-1 % on test, mean over "
        "distillations [95 % interval]; hard labels unless said otherwise."
    )


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
        # Herding has no seed: its runs are the same images, and tell nothing of the spread of a selection.
        n, end = (
            ("1 selection", _mean(runs, "final", spread=False))
            if row.selection == "herding"
            else (str(len(runs)), _mean(runs, "final"))
        )
        lines.append(
            f"| {row.name} | {n} | {_mean(runs, 'initial')} | {end} | {hard}{steps} | "
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


def _found(record: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    return next(found for found in record["evaluations"] if found["stage"] == stage)


def _nearest(record: Mapping[str, Any], steps: int) -> Mapping[str, Any] | None:
    """The final set's evaluation of so many optimisation steps, to the epoch; None where there is none."""
    finals = [found for found in record["evaluations"] if found["stage"].startswith("final")]
    nearest = min(finals, key=lambda found: abs(found["optimisation_steps"] - steps))
    epoch = nearest["optimisation_steps"] / nearest["epochs"]
    return nearest if abs(nearest["optimisation_steps"] - steps) <= max(1.0, epoch / 2) else None


def _mean(runs: Sequence[Mapping[str, Any]], stage: str, *, spread: bool = True) -> str:
    values = [found["mean"] for record in runs for found in record["evaluations"] if found["stage"] == stage]
    if not values:
        return ""
    one = interval(values)
    text = f"{100 * one.mean:.1f}"
    return f"{text} [{100 * one.low:.1f}, {100 * one.high:.1f}]" if spread and one.n > 1 else text


def _pairs(row: Row, base: str, measured: Measured) -> tuple[list[float], list[float], str] | None:
    """Accuracies of a row and its base over common seeds, the base's at the row's optimisation steps, and those."""
    mine, other, steps = [], [], ""
    for seed in sorted(set(measured[row.name]) & set(measured[base])):
        found = _found(measured[row.name][seed], "final")
        equal = _nearest(measured[base][seed], found["optimisation_steps"])
        if equal is None:
            return None
        own, others = found["optimisation_steps"], equal["optimisation_steps"]
        steps = f"{own} steps" if own == others else f"{own} and {others} steps"
        mine.append(float(found["mean"]))
        other.append(float(equal["mean"]))
    return (mine, other, steps) if mine else None


QUESTIONS = {
    "bases": "Methods against their bases",
    "c": "UDD's check (c), chosen against random regions",
    "d": "UDD's check (d), against IDC; factor 3 has 9 views of an image, multi 14, UDD 8",
    "e": "UDD's check (e), with the CFC loss against without",
}


def _question(row: Row, base: str) -> str:
    if row.method != "udd":
        return "bases"
    if base.startswith("IDC"):
        return "d"
    return "e" if f"{base}, CFC" == row.name else "c"


def _differences(planned: Sequence[Row], measured: Measured) -> str:
    """Rows against their bases; what answers one question is corrected together."""
    parts = []
    for question, title in QUESTIONS.items():
        compared, missing = [], []
        for row in planned:
            for base in row.bases:
                if base not in measured or _question(row, base) != question:
                    continue
                found = _pairs(row, base, measured)
                if found is None:
                    missing.append(
                        f"- {row.name} - {base}: no seed that both were evaluated for at equal steps"
                    )
                else:
                    compared.append((row.name, base, paired(found[0], found[1]), found[2]))
        if compared or missing:
            parts.append("\n".join([_title(title, len(compared)), "", *_verdicts(compared), *missing]))
    return "\n\n".join(parts)


def _title(title: str, count: int) -> str:
    return (
        f"{title}: paired differences in points, both evaluated with the first one's optimisation steps (to the "
        "epoch); resolved where the interval leaves zero out and p is below 0.05 after Holm's correction over these "
        f"{count}:"
    )


def _verdicts(compared: Sequence[tuple[str, str, Difference, str]]) -> list[str]:
    adjusted = holm([difference.p for _, _, difference, _ in compared])
    lines = []
    for (name, base, difference, steps), p in zip(compared, adjusted):
        alone = ""
        if difference.p < 0.05 <= p:
            alone = f"; alone it would be (p = {difference.p:.2g}, corrected {p:.2g})"
        lines.append(f"- {verdict(name, base, difference, p)}, {steps}{alone}")
    return lines


SCALES = {"min_max": "from minimum to maximum", "max": "by the maximum"}
LADDER = ("IDC-I", "IDC factor 2", "UDD response, CFC")


def _checks(measured: Measured) -> str:
    """What should hold of mUE if ours is UDD's authors': (a) it grows from one image a cell over four to UDD, and
    (b) goes with accuracy. What needs rows that are not there is left out.
    """
    lines = ["UDD's checks of mUE:", ""]
    for scale, where in SCALES.items():
        steps = []
        for lower, upper in pairwise(LADDER):
            judged = [
                {seed for seed, record in measured.get(name, {}).items() if "mue" in record}
                for name in (lower, upper)
            ]
            seeds = sorted(judged[0] & judged[1])
            if seeds:
                ours, theirs = (
                    [float(measured[name][seed]["mue"]["final"][scale]) for seed in seeds]
                    for name in (upper, lower)
                )
                one = paired(ours, theirs)
                spread = f" [{one.low:+.3f}, {one.high:+.3f}]" if one.n > 1 else ""
                grows = (
                    "grows"
                    if one.n > 1 and one.low > 0
                    else "does not grow"
                    if one.mean <= 0
                    else "not resolved"
                )
                mean = sum(ours) / len(ours)
                steps.append(f"{upper} {mean:.3f} - {lower} = {one.mean:+.3f}{spread}, {grows}")
        if steps:
            lines.append(f"- (a) mUE, maps scaled {where}: {'; '.join(steps)}")
    lines += [f"- (b) mUE ({scale}) and accuracy: {_correlation(measured, scale)}" for scale in SCALES]
    return "\n".join(lines)


def _correlation(measured: Measured, scale: str) -> str:
    """Spearman's rho over the runs of UDD of one seed, and its mean over seeds: runs of one seed begin at the same
    images, so that runs of all seeds are not independent.
    """
    runs: dict[int, list[tuple[float, float]]] = {}
    for name, by_seed in measured.items():
        if name.startswith("UDD"):
            for seed, record in by_seed.items():
                pair = (record["mue"]["final"][scale], _found(record, "final")["mean"])
                runs.setdefault(seed, []).append(pair)
    count = sum(len(found) for found in runs.values())
    if count < 20:
        return f"{count} runs of UDD, 20 are needed"
    each = [rank_correlation(*zip(*runs[seed])).value for seed in sorted(runs) if len(runs[seed]) > 3]
    mean = interval(each)
    spread = f" [{mean.low:+.2f}, {mean.high:+.2f}]" if mean.n > 1 else ""
    return (
        f"rank correlation within a seed {', '.join(f'{value:+.2f}' for value in each)}: mean {mean.mean:+.2f}{spread} "
        f"over {mean.n} seeds, {count} runs of UDD"
    )
