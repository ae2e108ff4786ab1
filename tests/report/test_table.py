"""The table of studies: its figures, what is bold, what is said, and its three formats."""

import csv
import io
import math
import re

import pytest
from click.testing import CliRunner

from raydd import config as configuration
from raydd import files
from raydd.cli import main
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.report import table
from raydd.report.table.rows import Cell, best_cell, family
from raydd.report.table.text import escape
from raydd.tuning.studies import Study

SEEDS = [11, 12, 13, 14, 15]
WINNER, DEFAULT, BASE = (
    [0.600, 0.610, 0.605, 0.615, 0.602],
    [0.550, 0.559, 0.556, 0.564, 0.553],
    [0.500, 0.511, 0.504, 0.516, 0.503],
)


def arm(name, runs, *, method="iid", trial=None, labels="hard", net="convnet", steps=100, again=None):
    facts = {
        "name": name,
        "title": f"title of {name}",
        "method": method,
        "trial": trial,
        "net": net,
        "label_regime": labels,
        "bytes": 123_456,
    }
    over = vars(statistics.interval(runs))
    one = {**facts, "runs": runs, **over, "epochs": 30, "optimisation_steps": steps, "equal_steps": None}
    if again is not None:
        one["equal_steps"] = {"runs": again[1], "optimisation_steps": again[0], "epochs": again[2]}
    return one


def make(
    home, name="first", *, method="iid", arms=None, winner=3, fit="train", seeds=SEEDS, data="cifar10", **more
):
    values = {"name": name, "method": method, "home": str(home), "ipc": 10, "iterations": 10, **more}
    study = Study.create(configuration.build({"data": {"name": data}, **values}), {})
    study.unlock()
    files.write_json(study.folder / "fingerprint.json", "of the data")
    drawn = {"number": 0, "source": "default", "searched": {}, "values": {}, "iterations": 10, "seed": 0}
    files.write_json(study.trial_folder(0) / "hyperparameters.json", drawn)
    attempt = study.trial_files(0).claim()
    attempt.begin(None, {"session": 1, "iteration": 0})
    attempt.report({"iteration": 10, "evaluated": 1, "val_accuracy": 0.5, "attempt": 1, "seconds": 7200.0})
    standing = arms or [
        arm("winner", WINNER, trial=3),
        arm("default", DEFAULT, trial=0),
        arm("base", BASE, method="dm"),
    ]
    report = {
        "protocol": {"name": "dsa", "epochs": 30, "repeats": 2, "split": "test"},
        "label_regime": standing[0]["label_regime"],
        "fit": fit,
        "seeds": seeds,
        "winner": {"trial": winner},
        "arms": standing,
        "differences": [],
    }
    files.write_json(study.folder / "confirm" / "report.json", report)
    return study


def only(studies):
    (row,) = table.rows(studies)
    return row


def test_a_row_has_the_confirmed_figures(tmp_path):
    row = only([make(tmp_path)])
    assert (row.method, row.dataset, row.ipc, row.labels, row.network) == (
        "IID",
        "cifar10",
        10,
        "hard",
        "convnet",
    )
    tuned = row.cells["tuned"]
    half = 2.7764451 * statistics.interval(WINNER).sd / math.sqrt(5)
    assert tuned.mean == pytest.approx(0.6064)
    assert (tuned.low, tuned.high, tuned.n) == (pytest.approx(0.6064 - half), pytest.approx(0.6064 + half), 5)
    assert row.cells["carried"].mean == pytest.approx(sum(DEFAULT) / 5)
    assert row.cells["base"].note == (
        "title of base, not tuned: no study of dm that is judged alike is in the table"
    )
    assert (row.hours, row.unit, row.size) == (2.0, "CPU-hours", 123_456)
    assert row.best == "tuned"


def test_published_numbers_stand_beside_their_method_with_what_is_from_memory(tmp_path):
    first, second = make(tmp_path), make(tmp_path, "second", method="dm", arms=[arm("winner", BASE, trial=3)])
    text = table.render(table.rows([first, second]), "markdown")
    assert "55.1 (ConvNet-3, from memory)" in text
    assert "48.9 ± 0.6 (ConvNet-3)" in text
    assert "published: DM+IID, not looked up again" in text
    assert "published: DM, Diversity-Driven-Synthesis/imgs/results.png" in text


def test_the_base_that_a_study_of_its_own_has_tuned_is_taken(tmp_path):
    better = [value + 0.07 for value in BASE]
    studies = [make(tmp_path), make(tmp_path, "base", method="dm", arms=[arm("winner", better, trial=2)])]
    row = table.rows(studies)[0]
    assert row.cells["base"].mean == pytest.approx(statistics.interval(better).mean)
    assert row.cells["base"].note == ""


@pytest.mark.parametrize(
    "other",
    [{"fit": "train+val"}, {"ipc": 1}, {"method": "idm"}],
    ids=["fit", "ipc", "method"],
)
def test_a_study_that_is_judged_otherwise_is_no_base(tmp_path, other):
    studies = [
        make(tmp_path),
        make(tmp_path, "base", arms=[arm("winner", BASE, trial=2)], **{"method": "dm", **other}),
    ]
    row = next(row for row in table.rows(studies) if row.study == "first")
    assert "not tuned" in row.cells["base"].note


def test_only_training_on_everything_may_stand_beside_published_numbers(tmp_path):
    apart = "not comparable with published numbers"
    assert any(apart in note for note in only([make(tmp_path)]).notes)
    assert not any(apart in note for note in only([make(tmp_path, "all", fit="train+val")]).notes)


def test_where_trial_0_has_won_both_columns_are_one(tmp_path):
    row = only(
        [make(tmp_path, winner=0, arms=[arm("winner", WINNER, trial=0), arm("base", BASE, method="dm")])]
    )
    assert row.cells["carried"].mean == row.cells["tuned"].mean
    assert row.cells["carried"].note.startswith("trial 0 won the search")
    assert row.best == "tuned"
    assert table.render([row], "markdown").count("**60.6**") == 2


def test_a_study_without_a_report_is_refused(tmp_path):
    study = make(tmp_path)
    (study.folder / "confirm" / "report.json").unlink()
    with pytest.raises(StudyError, match="'first' is not confirmed on test data yet"):
        table.rows([study])


# -- what is bold --------------------------------------------------------------------------------------------


def cell(runs, seeds=SEEDS, steps=100):
    over = statistics.interval(runs)
    return Cell(over.mean, over.low, over.high, over.n, tuple(seeds[: len(runs)]), tuple(runs), steps)


def test_the_best_cell_beats_every_other_one():
    assert best_cell({"carried": cell(DEFAULT), "base": cell(BASE), "tuned": cell(WINNER)}) == ("tuned", "")
    assert best_cell({"carried": cell(WINNER), "tuned": cell(BASE)}) == ("carried", "")


def test_what_is_not_resolved_is_not_the_best():
    near = [value + shift for value, shift in zip(WINNER, (0.01, -0.01, 0.004, -0.006, 0.003))]
    assert best_cell({"carried": cell(near), "base": cell(BASE), "tuned": cell(WINNER)}) == (None, "")


def test_holms_correction_decides_too():
    # One comparison of p = 0.04 is resolved alone, and not as one of three of its kind.
    shifts = (0.003, 0.013, 0.005, 0.012, 0.002)
    near = [value - shift for value, shift in zip(WINNER, shifts)]
    assert 0.02 < statistics.paired(WINNER, near).p < 0.05
    assert best_cell({"carried": cell(near), "tuned": cell(WINNER)})[0] == "tuned"
    nearer = [value + 0.0003 * sign for value, sign in zip(near, (1, -1, 1, -1, 1))]
    assert best_cell({"carried": cell(near), "base": cell(nearer), "tuned": cell(WINNER)})[0] is None


def test_runs_are_paired_by_their_seeds():
    turned = cell(DEFAULT[::-1], seeds=SEEDS[::-1])
    assert best_cell({"carried": turned, "tuned": cell(WINNER)}) == ("tuned", "")


def test_what_cannot_be_paired_is_said():
    foreign = cell(BASE, seeds=[1, 2, 3, 4, 5])
    assert best_cell({"base": foreign, "tuned": cell(WINNER)}) == (
        None,
        "the columns base and tuned are not compared: no shared seeds",
    )
    longer = cell(BASE, steps=400)
    assert "400 and 100 optimisation steps" in best_cell({"base": longer, "tuned": cell(WINNER)})[1]


def test_differences_are_taken_at_equal_steps(tmp_path):
    arms = [
        arm("winner", WINNER, trial=3),
        arm("default", [value + 0.2 for value in WINNER], trial=0, steps=400, again=(100, DEFAULT, 25)),
    ]
    row = only([make(tmp_path, arms=arms)])
    assert row.cells["carried"].mean > row.cells["tuned"].mean
    assert row.best == "tuned"


def test_steps_are_equal_to_the_nearest_epoch(tmp_path):
    # Four views an image take four steps an epoch where the base takes three.
    winner, base = arm("winner", WINNER, trial=3, steps=160), arm("base", DEFAULT, method="dm", steps=120)
    winner["epochs"] = base["epochs"] = 40
    near = {**base, "equal_steps": {"runs": DEFAULT, "optimisation_steps": 159, "epochs": 53}}
    row = only([make(tmp_path, arms=[winner, near])])
    assert (row.best, row.notes[1:]) == ("tuned", ())
    far = {**base, "equal_steps": {"runs": DEFAULT, "optimisation_steps": 156, "epochs": 52}}
    row = only([make(tmp_path, "far", arms=[winner, far])])
    assert row.best is None
    assert "160 and 156 optimisation steps" in row.notes[-1]


# -- formats -------------------------------------------------------------------------------------------------


def test_bold_stands_in_text_only_where_it_is_resolved(tmp_path):
    resolved = table.rows([make(tmp_path)])
    assert "**60.6** [59.9, 61.4]" in table.render(resolved, "markdown")
    assert r"\textbf{60.6} [59.9, 61.4]" in table.render(resolved, "latex")
    near = [arm("winner", WINNER, trial=3), arm("default", [0.61, 0.6, 0.61, 0.6, 0.61], trial=0)]
    unresolved = table.rows([make(tmp_path, "near", arms=near)])
    assert "**60" not in table.render(unresolved, "markdown")
    assert "textbf" not in table.render(unresolved, "latex")


def test_soft_and_hard_labels_have_parts_of_their_own(tmp_path):
    soft = make(
        tmp_path, "soft", method="dwa", arms=[arm("winner", WINNER, method="dwa", trial=3, labels="soft")]
    )
    rows = table.rows([soft, make(tmp_path)])
    text = table.render(rows, "markdown")
    hard_part, soft_part = text.split("**Soft labels**")
    assert "**Hard labels**" in hard_part
    assert "| IID" in hard_part
    assert "| DWA" in soft_part
    assert "45.0 ± 0.4 (ConvNet)" in soft_part
    assert "32.6" not in soft_part  # of ResNet-18
    assert table.render(rows, "latex").count(r"\midrule") == 2


def test_a_base_with_other_labels_is_left_out(tmp_path):
    arms = [
        arm("winner", WINNER, method="dwa", trial=3, labels="soft"),
        arm("base", BASE, method="sre2l", labels="hard"),
    ]
    row = only([make(tmp_path, method="dwa", arms=arms)])
    assert "base" not in row.cells
    assert any("the base has hard labels" in note for note in row.notes)


def test_latex_is_balanced_and_escaped(tmp_path):
    text = table.render(table.rows([make(tmp_path, data=str(tmp_path / "my_data & 50%"))]), "latex")
    assert r"my\_data \& 50\%" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {11}
    columns = re.search(r"\\begin\{tabular\}\{([lr ]+)\}", text)[1].replace(" ", "")
    assert len(columns) == 12
    bare = re.sub(r"\\[{}%]", "", text)
    assert bare.count("{") == bare.count("}")
    for sign in "%&#_":
        assert re.search(rf"(?<!\\){sign}", "\n".join(text.splitlines()[7:])) is None or sign == "&"
    assert re.findall(r"\\(top|mid|bottom)rule", text) == ["top", "mid", "bottom"]


def test_escape():
    assert escape("50% of a_b & {c} #1 ~ ^ \\ $") == (
        r"50\% of a\_b \& \{c\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} \$"
    )


def test_csv_has_fractions_as_they_are(tmp_path):
    text = table.render(table.rows([make(tmp_path)]), "csv")
    (row,) = csv.DictReader(io.StringIO(text))
    assert float(row["tuned_mean"]) == statistics.interval(WINNER).mean
    assert float(row["published_mean"]) == 0.551
    assert (row["published_confidence"], row["best"], row["tuned_n"]) == ("from memory", "tuned", "5")
    assert (row["hours"], row["unit"], row["bytes"]) == ("2.0", "CPU-hours", "123456")


@pytest.mark.parametrize(
    ("net", "name"),
    [
        ("convnet", "ConvNet"),
        ("convnet-d4-w32", "ConvNet"),
        ("resnet18-bn-w16", "ResNet-18"),
        ("vgg11", "vgg"),
    ],
)
def test_families(net, name):
    assert family(net) == name


def test_the_command_writes_a_file_and_names_what_it_cannot_do(tmp_path):
    make(tmp_path)
    out = tmp_path / "table.tex"

    def run(*arguments):
        return CliRunner().invoke(main, ["table", *arguments, "--home", str(tmp_path)])

    assert run("first", "--format", "latex", "--out", str(out)).output == f"wrote {out}\n"
    assert out.read_text().startswith("% needs")
    wrong = run("first", "--format", "html")
    assert wrong.exit_code == 2
    assert "--format: unknown format 'html' (allowed: csv, latex, markdown)" in wrong.stderr
    assert "unknown study 'secnd'" in run("secnd").stderr
    assert "**60.6**" in run("first").output
