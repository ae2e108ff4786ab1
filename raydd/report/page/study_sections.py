"""Sections of a report about how its search went: cost, rungs, failures, and how to make it again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from raydd import wording
from raydd.report.page import cost, figures_course, figures_search, figures_slices, figures_space, rungs
from raydd.report.page import importance as importances
from raydd.report.page.markup import Markup, facts, join, table, tag

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts
    from raydd.report.page.importance import Importance

TRACEBACK = 4000  # characters of a traceback that are shown: its end, which tells


def search(study: StudyFacts) -> Markup | None:
    """How the search went."""
    if not study.trials:
        return None
    found = [figures_search.history(study), figures_search.curves(study)]
    shown = [one.markup() for one in found if one]
    return join(shown or [tag("p", "No trial was evaluated.")])


def space(study: StudyFacts, found: list[Importance]) -> Markup | None:
    """What the searched hyperparameters did."""
    if not figures_space.space_scales(study):
        return tag("p", "No hyperparameter was searched.") if study.trials else None
    order = figures_space.by_importance(study, found)
    bars = figures_space.importance(study, found)
    missing = (
        f"No importance: that needs at least {importances.FEWEST} complete trials that differ, and there "
        f"{'is one' if len(study.complete) == 1 else f'are {len(study.complete)}'}."
    )
    contours = figures_slices.contours(study, order)
    without = (
        "No contours: they need two hyperparameters that are numbers, and at least "
        f"{figures_slices.FEWEST} complete trials that have both."
    )
    parts = [
        bars.markup() if bars else tag("p", missing),
        _renamed(study, found),
        *(
            one.markup()
            for one in (figures_space.parallel(study, order), figures_slices.slices(study, order))
            if one
        ),
        contours.markup() if contours else tag("p", without),
    ]
    return join(parts)


def _renamed(study: StudyFacts, found: list[Importance]) -> Markup | None:
    """A line about names that the search draws and trials do not have, as `b` for `beta` = 1 + b."""
    axes = figures_space.space_scales(study)
    drawn = [one.name for one in found if one.name not in axes]
    derived = [name for name in axes if name not in study.distributions]
    if not drawn or not derived:
        return None
    return tag(
        "p",
        f"The search draws {', '.join(drawn)}, from which {', '.join(derived)} of the other figures follow"
        f"{'s' * (len(derived) == 1)}.",
        class_="estimate",
    )


def early_stopping(study: StudyFacts) -> Markup | None:
    """Rungs: a table, their survivors, and whether they tell the end."""
    found = rungs.survival(study)
    if not found:
        why = (
            "no scheduler was asked for"
            if study.config.search.scheduler == "none"
            else "no trial has reached one yet"
        )
        return tag("p", f"There are no rungs: {why}.") if study.trials else None
    told = {one.rung: one for one in rungs.correlations(study)}
    rows = []
    for one in found:
        known = told.get(one.rung)
        rows.append(
            [
                "end" if one.rung == 1000 else f"{one.rung / 10:.1f} %",
                one.reached,
                one.stopped,
                ", ".join(f"{count} {outcome}" for outcome, count in sorted(one.ended.items()))
                or wording.NOTHING,
                one.survived,
                wording.NOTHING if known is None else _correlation(known),
            ]
        )
    survivors, tells = figures_course.rung_survival(study), figures_course.correlation(study)
    return join(
        [
            table(
                [
                    "rung",
                    "reached",
                    "stopped there",
                    "ended before the next",
                    "went on",
                    "rank correlation with the end",
                ],
                rows,
                caption="Trials at each rung. The correlation (Spearman, 95 % interval) is over complete trials alone.",
                right=["reached", "stopped there", "went on"],
            ),
            survivors.markup() if survivors else None,
            tells.markup() if tells else None,
        ]
    )


def _correlation(one: rungs.Correlation) -> str:
    if one.rho is None:
        return f"too few, n = {one.n}" if one.n < rungs.FEWEST else f"undefined, n = {one.n}"
    few = "; few" if one.n < rungs.MANY else ""
    return f"{one.rho:+.2f} [{one.low:+.2f}, {one.high:+.2f}], n = {one.n}{few}"


def costs(study: StudyFacts) -> Markup:
    """Hours by stage, by trial, and what stopping saved."""
    spent = cost.of(study)
    rerank, report = (study.stages.get(stage, (0.0, 0.0))[0] for stage in (cost.RERANK, cost.REPORT))
    share = wording.NOTHING if spent.evaluation is None else wording.share(spent.evaluation)
    saved = f"{wording.duration(3600 * spent.saved)} ({wording.share(spent.saved_share)} of a search without stopping)"
    pairs = [
        ("CPU-hours in all", f"{spent.cpu_hours:.3g}"),
        ("GPU-hours in all", f"{spent.gpu_hours:.3g}" if spent.gpus else "none: trials ran on the CPU"),
        ("search, all trials", wording.duration(3600 * spent.search)),
        ("re-ranking", wording.duration(rerank)),
        ("report", wording.duration(report)),
        (
            "a trial, on average",
            wording.duration(None if spent.per_trial is None else 3600 * spent.per_trial),
        ),
        ("a trial takes", f"{spent.cpus} CPU{'s' * (spent.cpus > 1)}, {spent.gpus:g} GPU"),
        ("saved by stopping early", saved if spent.saved else "nothing"),
        ("share of evaluations", share),
    ]
    bars = figures_course.trial_cost(study)
    note = (
        "Hours are wall time times what a trial takes, added up over all attempts and distillations. What evaluations "
        "take in the search is estimated from the times of reports; in the confirmation it is measured. Training of "
        "networks that a study shares, and starting processes, are not counted."
    )
    return join([facts(pairs), tag("p", note, class_="estimate"), bars.markup() if bars else None])


def failures(study: StudyFacts) -> Markup:
    """What failed, each reason once, with its newest traceback."""
    reasons = study.status.reasons
    if not reasons:
        return tag("p", "No attempt failed, and no trial diverged.")
    rows = [
        [
            one.kind,
            tag("span", one.why),
            one.attempts,
            ", ".join(map(str, one.trials)),
            ", ".join(map(str, one.given_up)) or wording.NOTHING,
        ]
        for one in reasons
    ]
    parts = [
        table(
            ["kind", "why", "attempts", "trials", "ended by it"],
            rows,
            caption="Why attempts failed and trials diverged. Lost and out-of-memory attempts are tried again.",
            right=["attempts"],
        )
    ]
    for one in reasons:
        text = study.study.trial_files(one.trials[-1]).error_text().strip()
        if text:
            parts.append(
                tag(
                    "details",
                    tag("summary", f"Traceback of trial {one.trials[-1]}"),
                    tag("pre", text[-TRACEBACK:]),
                )
            )
    return join(parts)


def reproduce(study: StudyFacts) -> Markup:
    """What is needed to make it again: commands, seeds, versions, the data's fingerprint, and readings of test data."""
    known, config, report = study.provenance, study.config, study.report
    command = shlex.join(known.get("command", [])) or "unknown"
    again = [
        f"raydd search study.yaml --name {study.name}-again",
        f"raydd rerun {study.name}/{_address(study)}",
    ]
    checkout = known.get("git") or {}
    commit = (
        f"{checkout['commit']}{' (with changes)' * bool(checkout.get('dirty'))}"
        if checkout.get("commit")
        else ""
    )
    seeds = ", ".join(map(str, report["seeds"])) if report else wording.NOTHING
    pairs = [
        ("begun", known.get("time", wording.NOTHING)),
        ("seed of the search", config.seed),
        ("seeds of the report", seeds),
        ("seed of the splits", config.data.split_seed),
        ("data", config.data.name),
        ("fingerprint of the data", study.fingerprint or wording.NOTHING),
        ("readings of test data", study.status.test_readings),
        ("precision, compiled", f"{config.precision}, {config.compile}"),
        ("code", commit or "an installed package"),
        ("platform", known.get("platform", wording.NOTHING)),
        ("processor", f"{known.get('cpu', wording.NOTHING)}, {known.get('cores', '?')} cores"),
        ("GPUs", ", ".join(known.get("gpus") or []) or "none"),
        *(
            (f"version of {name}", found or "not installed")
            for name, found in (known.get("versions") or {}).items()
        ),
    ]
    extended = [
        f"{row['time']}: " + ", ".join(f"{path} = {value}" for path, value in row["changed"].items())
        for row in study.study.extensions()
        if row.get("changed")
    ] + [f"a point was added: {wording.hyperparameters(point)}" for point in study.study.added_points()]
    settings = (study.study.folder / "study.yaml").read_text()
    return join(
        [
            tag("p", "Begun with:"),
            tag("pre", command, class_="command"),
            tag(
                "p",
                "To run it again, from the study's folder, or to run its best trial again and compare bit for bit:",
            ),
            tag("pre", "\n".join(again), class_="command"),
            facts(pairs),
            tag("p", "Since then it was extended: ", "; ".join(extended), ".") if extended else None,
            tag("details", tag("summary", "study.yaml: every setting"), tag("pre", settings)),
        ]
    )


def _address(study: StudyFacts) -> str:
    return "best" if study.complete else "0"
