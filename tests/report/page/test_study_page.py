"""What stands on the page of a study, in whatever state the study is."""

import html
import re
from html.parser import HTMLParser

import plotly.graph_objects
import pytest

from raydd import files
from raydd.report.page import (
    facts,
    figures_course,
    figures_result,
    figures_search,
    figures_slices,
    figures_space,
    study_page,
    write_report,
)
from raydd.report.page.importance import importances
from raydd.report.page.pngs import NAMES
from raydd.tuning.studies import Study


class Reader(HTMLParser):
    """Collects headings, text outside of scripts, elements that ask for something outside, and scripts."""

    def __init__(self):
        super().__init__()
        self.stack, self.headings, self.words, self.asked, self.ids = [], [], [], [], []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in ("img", "meta", "link", "br", "hr", "input"):
            self.stack.append(tag)
        self.scripts += tag == "script"
        for name in ("src", "href", "action", "data", "srcset"):
            value = attrs.get(name, "")
            if value and not value.startswith(("#", "data:")):
                self.asked.append(value)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.words.append(data)
            if re.fullmatch("h[123]", self.stack[-1]):
                self.headings.append((self.stack[-1], data))


def read_page(text):
    reader = Reader()
    reader.feed(text)
    assert reader.stack == []
    return reader


def page_of(study):
    read = facts.read(study)
    return study_page.document(read, importances(list(read.drawn.values()))).html()


def said(text):
    return " ".join(" ".join(read_page(text).words).split())


@pytest.fixture(scope="module")
def page(first):
    return page_of(first)


def test_the_page_is_well_formed_asks_for_nothing_and_has_every_section(page):
    reader = read_page(page)
    assert reader.asked == []
    assert "default-src &#x27;none&#x27;" not in page
    assert "default-src 'none'" in page
    sections = [title for level, title in reader.headings if level == "h2"]
    assert sections == [
        "Result",
        "Distilled images",
        "Against the default, the base and real images",
        "The search",
        "Hyperparameters",
        "Early stopping",
        "Cost",
        "Trials",
        "Failures",
        "Making it again",
    ]
    assert len(reader.ids) == len(set(reader.ids))
    for section in ("result", "trials", "reproduce"):
        assert f'href="#{section}"' in page
        assert section in reader.ids


def test_the_headline_is_the_confirmed_figure_and_the_search_estimate_is_called_one(first, page):
    report, text = first.report(), said(page)
    winner = report["arms"][0]
    assert f"{100 * winner['mean']:.1f} % accuracy on test data" in text
    assert f"[{100 * winner['low']:.1f}, {100 * winner['high']:.1f}] over 5 distillation runs" in text
    for difference in report["differences"]:
        assert difference["text"] in text
    estimate = f"{100 * report['search_estimate']['val_accuracy']:.1f}"
    assert re.search(rf"Search estimate of trial \d+: {estimate} % on validation data", text)
    assert text.index("accuracy on test data") < text.index("Search estimate of trial")


def test_the_page_tells_how_to_make_it_again(first, page):
    text = said(page)
    assert "raydd search udd --name first" in text
    assert "raydd rerun first/best" in text
    assert files.read_json(first.folder / "fingerprint.json") in text
    assert f"readings of test data {first.test_readings()} " in text


def test_plotly_is_embedded_once_and_what_it_draws_is_valid(first, page):
    assert page.count("plotly.js v") == 1
    read = facts.read(first)
    found = importances(list(read.drawn.values()))
    order = figures_space.by_importance(read, found)
    figures = [
        figures_search.history(read),
        figures_search.curves(read),
        figures_course.rung_survival(read),
        figures_course.correlation(read),
        figures_course.trial_cost(read),
        figures_space.importance(read, found),
        figures_space.parallel(read, order),
        figures_result.arms(read.report),
        figures_result.differences(read.report),
    ]
    for figure in figures:
        assert figure.caption.endswith(".")
        data = [{key: value for key, value in trace.items() if key != "trials"} for trace in figure.data]
        plotly.graph_objects.Figure(
            data=coloured(data), layout=coloured(figure.layout)
        )  # refuses what it does not know


def coloured(value):
    if isinstance(value, dict):
        return {key: coloured(item) for key, item in value.items()}
    if isinstance(value, list):
        return [coloured(item) for item in value]
    if value == "@scale":
        return "Viridis"
    return "#123456" if isinstance(value, str) and value.startswith("@") else value


def test_every_trial_is_in_every_figure_that_has_something_for_it(first):
    read = facts.read(first)
    numbers = {trial.number for trial in read.trials}
    order = list(figures_space.space_scales(read))
    for figure in (
        figures_search.history(read),
        figures_space.parallel(read, order),
        figures_search.curves(read),
    ):
        shown = {number for trace in figure.data for number in trace.get("trials", ())} - {None}
        assert shown == numbers, figure.key


def test_trials_without_a_conditional_hyperparameter_are_shown_as_such(first):
    read = facts.read(first)
    names = figures_space.conditional(read)
    assert {"jitter_std", "scheme"} <= set(names)
    order = list(figures_space.space_scales(read))
    without = sum("jitter_std" not in trial.record.hyperparameters for trial in read.trials)
    assert 0 < without < 40
    plots = dict(figures_slices.slices(read, order).plots)
    plot = plots["jitter_std (log)"]
    assert plot.count('class="unused"') == without
    assert plot.count("data-t=") == 40
    parallel = figures_space.parallel(read, order)
    column = order.index("jitter_std")
    below = sum(
        x == column and y == figures_space.UNUSED
        for trace in parallel.data
        for x, y in zip(trace["x"], trace["y"])
        if trace["name"] != "winner"
    )
    assert below == without
    assert "jitter_std" in parallel.caption


@pytest.fixture
def empty(write_study, digits, tmp_path):
    return write_study(tmp_path, digits, trials=2, confirmed=False, ends={0: "interrupted", 1: "interrupted"})


def test_a_study_that_was_stopped_says_so_and_how_to_go_on(empty):
    text = said(page_of(empty))
    assert "No trial is complete (2 interrupted)" in text
    assert f"raydd resume first --home {empty.home} goes on" in text
    assert "There are no rungs: no trial has reached one yet" in text
    assert "accuracy on test data" not in text.replace("the one on test data", "")


def test_a_study_without_any_trial_has_a_page(empty):
    for path in (empty.folder / "trials").glob("*/hyperparameters.json"):
        path.unlink()
    assert "No trial has begun yet." in said(page_of(empty))


def test_a_study_of_one_trial_has_a_page_without_importance(write_study, digits, tmp_path):
    text = said(page_of(write_study(tmp_path, digits, trials=1)))
    assert "Winner: trial 0" in text
    assert "No importance: that needs at least 4 complete trials that differ, and there is one." in text
    assert "too few, n = 1" in text


def test_a_study_whose_trials_all_failed_tells_why_and_lets_nothing_out_of_its_place(
    write_study, digits, tmp_path
):
    ends = dict.fromkeys(range(3), "failed")
    page = page_of(write_study(tmp_path, digits, trials=3, confirmed=False, ends=ends))
    text = said(page)
    assert "No trial is complete (3 failed)" in text
    assert "ValueError: </script><script>alert(1)</script> & so on" in text
    assert "<script>alert" not in page
    assert html.escape("</script><script>alert(1)</script> & so on") in page
    assert read_page(page).scripts == page_scripts(page)


def page_scripts(page):
    """Elements that the page has of its own: one for every plot, the trials' texts, plotly, and what draws."""
    return page.count('class="plot"') + 3


def test_a_study_before_its_confirmation_has_an_estimate_and_no_result(write_study, digits, tmp_path):
    study = write_study(tmp_path, digits, trials=4, confirmed=False, search__scheduler="none")
    text = said(page_of(study))
    best = study.best()
    assert f"{100 * best.val_accuracy:.1f} % search estimate , trial {best.number}" in text
    assert "Nothing is confirmed on test data yet" in text
    assert "There are no rungs: no scheduler was asked for." in text


def test_a_study_that_has_only_stopped_trials_has_curves_and_no_result(write_study, digits, tmp_path):
    study = write_study(tmp_path, digits, trials=2, confirmed=False)
    for number in (0, 1):
        study.write_end(number, "pruned", "stopped by hand")
    text = said(page_of(study))
    assert "No trial is complete (2 pruned)" in text
    assert "Optimisation history" in text


def test_pngs_lie_beside_the_page_those_of_an_earlier_report_go_and_the_study_is_only_read(first, tmp_path):
    def content():
        return {
            path: path.read_bytes()
            for path in first.folder.rglob("*")
            if path.is_file() and path.name != "lock"
        }

    before = content()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.png").write_bytes(b"mine")
    write_report(Study(first.folder), tmp_path / "out")
    (tmp_path / "out" / "results-hard.png").write_bytes(b"old")
    written = write_report(Study(first.folder), tmp_path / "out")
    assert written[0] == tmp_path / "out" / "report.html"
    shown = {path.stem for path in written[1:]}
    assert shown == {name for name in NAMES if not name.endswith(("-hard", "-soft"))}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])
    assert not (tmp_path / "out" / "results-hard.png").exists()
    assert (tmp_path / "out" / "mine.png").exists()
    assert content() == before
