"""Several studies on one page."""

import pytest

from raydd import files
from raydd.report.page import compared_figures, compared_page, comparison, facts, write_comparison


@pytest.fixture(scope="module")
def studies(write_study, digits, tmp_path_factory):
    home = tmp_path_factory.mktemp("several")
    return [
        write_study(home, digits, name="a", trials=5),
        write_study(home, digits, name="b", trials=4, seed=1),
        write_study(home, digits, name="c", trials=3, method="idc", ipc=7, evaluation__epochs=20),
        write_study(home, digits, name="d", trials=2, confirmed=False, resources__gpus_per_trial=0.5),
    ]


def read(*studies):
    return [facts.read(one) for one in studies]


def test_studies_that_differ_by_their_seed_alone_need_no_caution(studies):
    found = read(*studies[:2])
    assert comparison.cautions(found) == []
    assert "Nothing was found in which these studies differ" in compared_page.document(found).html()


def test_what_keeps_figures_from_being_compared_is_said_with_the_studies_names(studies):
    text = "\n".join(comparison.cautions(read(*studies)))
    assert "Different images per class (a, b, d: 3; c: 7)" in text
    assert "Different epochs of a search evaluation (a, b, d: 40; c: 20)" in text
    assert "in no table of results: d." in text
    assert "Some studies ran on GPUs and others on CPUs" in text
    assert "Different data" not in text


def test_other_images_of_the_same_name_are_noticed(studies, write_study, digits, tmp_path):
    other = write_study(tmp_path, digits, name="other", trials=2)
    files.write_json(other.folder / "fingerprint.json", "f" * 64)
    (said,) = comparison.cautions(read(studies[0], other))
    assert said.startswith("Different split or version of the data (a: ")
    assert "other: ffffffffffff" in said


def test_soft_and_hard_labels_have_tables_and_figures_of_their_own(studies, write_study, digits, tmp_path):
    soft = write_study(tmp_path, digits, name="soft", trials=2)
    path = soft.folder / "confirm" / "report.json"
    report = files.read_json(path)
    report["label_regime"] = "soft"
    for arm in report["arms"]:
        arm["label_regime"] = "soft"
    files.write_json(path, report)
    found = read(studies[0], soft)
    assert {kind: [one.name for one in those] for kind, those in comparison.by_labels(found).items()} == {
        "hard": ["a"],
        "soft": ["soft"],
    }
    page = compared_page.document(found)
    assert [section.key for section in page.sections] == [
        *("cautions", "results-hard", "cost-hard", "results-soft", "cost-soft", "images", "studies")
    ]
    hard = next(section.content for section in page.sections if section.key == "results-hard")
    assert ">a<" in hard
    assert "soft<" not in hard


def test_methods_share_a_figure_and_a_line_joins_images_per_class(studies, write_study, digits, tmp_path):
    more = write_study(tmp_path, digits, name="more", trials=2, ipc=9)
    figure = compared_figures.against_ipc(read(studies[0], more), "hard")
    (trace,) = figure.data
    assert (trace["name"], trace["x"]) == ("udd, digits", [3, 9])
    assert compared_figures.against_ipc(read(studies[0], studies[2]), "hard") is None  # of two methods


def test_the_best_of_all_trials_is_the_best_and_costs_what_the_search_cost(studies):
    found = read(studies[0])
    unit = comparison.hours_unit(found)
    assert unit == "CPU-hours"
    (expected,) = compared_figures.best_of_n(found, "hard", unit).data
    (curve,) = compared_figures.search_curves(found, "hard", unit).data
    seconds = sum(trial.seconds for trial in found[0].trials)
    assert expected["x"][-1] == pytest.approx(seconds / 3600)
    assert curve["x"][-1] == pytest.approx(seconds / 3600)
    assert (
        expected["y"][-1] == curve["y"][-1] == pytest.approx(100 * studies[0].best().val_accuracy, abs=1e-3)
    )


def test_hours_are_gpu_hours_where_all_ran_on_gpus(studies):
    (found,) = read(studies[3])
    assert comparison.hours_unit([found]) == "GPU-hours"
    assert comparison.hours(found, 7200, "GPU-hours") == 1.0


def test_the_page_and_its_pngs_are_written(studies, tmp_path):
    written = write_comparison(studies, tmp_path)
    assert [path.name for path in written] == [
        *("report.html", "results-hard.png", "best-of-n-hard.png", "search-curves-hard.png")
    ]
