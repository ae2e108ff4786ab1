"""The page that compares several studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydd import wording
from raydd.report.page import compared_figures, comparison, cost, result_sections
from raydd.report.page.document import Document
from raydd.report.page.figures_result import shown_arms
from raydd.report.page.markup import Markup, join, table, tag
from raydd.report.page.study_page import written

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts

ARMS = ("winner", "default", "base", "random")


def document(studies: Sequence[StudyFacts]) -> Document:
    """The page; results with soft and with hard labels have tables and figures of their own."""
    names = ", ".join(one.name for one in studies)
    methods = ", ".join(dict.fromkeys(one.config.method for one in studies))
    page = Document(f"{len(studies)} studies compared", f"{names}; {methods}", written(studies[0].versions))
    page.add("cautions", "What cannot be compared", cautions(studies))
    unit = comparison.hours_unit(studies)
    for labels, those in comparison.by_labels(studies).items():
        confirmed = [one for one in those if one.report is not None]
        if confirmed:
            page.add(f"results-{labels}", f"Results with {labels} labels", results(confirmed, labels))
        page.add(f"cost-{labels}", f"What searches with {labels} labels cost", searches(those, labels, unit))
    page.add("images", "Distilled images", images(studies))
    page.add("studies", "The studies", settings(studies))
    return page


def cautions(studies: Sequence[StudyFacts]) -> Markup:
    """What they differ in, or that they do not."""
    found = comparison.cautions(studies)
    if not found:
        return tag(
            "p",
            "Nothing was found in which these studies differ but their methods: same images and splits, images "
            "per class, labels, protocol, epochs, network and machine.",
        )
    return join(tag("p", one, class_="notice") for one in found)


def results(studies: Sequence[StudyFacts], labels: str) -> Markup:
    """Winner, default, base and random of every study, as a table and a figure."""
    rows = []
    for one in studies:
        assert one.report is not None
        spent = cost.of(one)
        for arm in shown_arms(one.report):
            if arm["name"] in ARMS:
                several = arm["n"] > 1
                interval = (
                    f"[{wording.percent(arm['low'])}, {wording.percent(arm['high'])}]"
                    if several
                    else "one run"
                )
                rows.append(
                    [
                        one.name,
                        one.config.method,
                        comparison.data(one),
                        one.config.ipc,
                        arm["name"],
                        arm["net"],
                        (wording.percent(arm["mean"]), arm["mean"]),
                        (interval, arm["low"] if several else None),
                        arm["n"],
                        arm["optimisation_steps"],
                        (f"{spent.cpu_hours:.3g}", spent.cpu_hours),
                        (f"{spent.gpu_hours:.3g}", spent.gpu_hours),
                    ]
                )
    columns = [
        *(
            "study",
            "method",
            "data",
            "ipc",
            "arm",
            "net",
            "test accuracy %",
            "95 % interval",
            "runs",
            "steps",
        ),
        *("CPU-hours", "GPU-hours"),
    ]
    curve = compared_figures.against_ipc(studies, labels)
    return join(
        [
            table(
                columns,
                rows,
                caption=f"Confirmed on test data with {labels} labels. Hours are those of the whole study, its "
                "search and its confirmation. Nothing is in bold: whether studies differ is not tested here.",
                sortable=True,
                right=["ipc", "test accuracy %", "95 % interval", "runs", "steps", "CPU-hours", "GPU-hours"],
            ),
            compared_figures.results(studies, labels).markup(),
            curve.markup() if curve else None,
        ]
    )


def searches(studies: Sequence[StudyFacts], labels: str, unit: str) -> Markup | None:
    """Best of n, and the curves of the searches, against hours."""
    found = (
        compared_figures.best_of_n(studies, labels, unit),
        compared_figures.search_curves(studies, labels, unit),
    )
    return join(one.markup() for one in found if one)


def images(studies: Sequence[StudyFacts]) -> Markup | None:
    """Every study's distilled set."""
    parts = []
    for one in studies:
        picture = result_sections.images(one)
        if picture:
            parts.append(tag("div", tag("h3", one.name), picture))
    return tag("div", *parts, class_="small-multiples") if parts else None


def settings(studies: Sequence[StudyFacts]) -> Markup:
    """How each was searched."""
    rows = []
    for one in studies:
        config, spent = one.config, cost.of(one)
        rows.append(
            [
                one.name,
                one.method,
                one.status.state,
                f"{sum(one.status.outcomes.values())} of {one.status.asked}",
                config.iterations or wording.NOTHING,
                f"{config.search.sampler}, {config.search.scheduler}",
                config.seed,
                comparison.protocol(one) or wording.NOTHING,
                comparison.epochs(one) or wording.NOTHING,
                config.evaluation.repeats,
                wording.share(spent.saved_share),
                wording.NOTHING if spent.evaluation is None else wording.share(spent.evaluation),
                one.status.test_readings,
                one.fingerprint[:12] or wording.NOTHING,
            ]
        )
    columns = [
        *(
            "study",
            "method",
            "state",
            "trials",
            "iterations",
            "sampler, scheduler",
            "seed",
            "protocol",
            "epochs",
        ),
        *(
            "nets of a search evaluation",
            "saved by stopping",
            "share of evaluations",
            "readings of test",
            "data",
        ),
    ]
    return table(
        columns,
        rows,
        caption="How each study was searched and evaluated; data are named by their fingerprint.",
        sortable=True,
    )
