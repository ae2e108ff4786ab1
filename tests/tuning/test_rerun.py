"""A trial that is run anew, without Ray: equal to the study's, or not and why, and the study left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raydd import config as configuration
from raydd import files
from raydd.errors import StudyError
from raydd.storage.stop_sign import NOW, StopSign
from raydd.tuning.rerun import Rerun, run_again
from raydd.tuning.studies import Study
from trainables import run
from trainables.run import TrialRun


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    run._workbench.clear()


def study_in(home: Path, until: int = 6, **changed: Any) -> Study:
    """With a trial of DM on digits that was run until an iteration."""
    values: dict[str, Any] = {
        "method": "dm",
        "name": "first",
        "home": str(home),
        "ipc": 1,
        "iterations": 6,
        "search": {"fix": {"net": "convnet-d1-w4", "batch_real": 8}},
        "evaluation": {"net": "convnet-d1-w4", "epochs": 2, "repeats": 2, "device": "cpu"},
        "compile": "off",
    }
    for path, value in changed.items():
        configuration.set_path(values, path.replace("__", "."), value)
    study = Study.create(configuration.build(values), {})
    study.unlock()
    files.write_json(study.folder / "measured.json", {})
    drawn = {"number": 0, "source": "default", "searched": {}, "values": {"lr_img": 5.0}, "seed": 0}
    files.write_json(study.trial_folder(0) / "hyperparameters.json", {**drawn, "iterations": 6})
    trial = TrialRun(study.folder, 0)
    row = trial.next_report()
    while not row["done"] and row["iteration"] < until:
        row = trial.next_report()
    study.trial_files(0).publish()
    return study


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_trial_is_bit_equal_and_the_study_is_left_as_it_was(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    study.write_end(0, "complete", "")
    before = contents(study.folder)
    told: list[int] = []
    result = run_again(study, 0, lambda iteration, then, now: told.append(iteration))
    assert contents(study.folder) == before
    assert told == [iteration for iteration, _, _ in result.evaluations] == [0, 1, 2, 6]
    assert all(then == now for _, then, now in result.evaluations)
    assert result.equal
    assert result.lines() == [
        f"images after iteration 6: sha256 {result.images[0][:16]} in the study, and now",
        "bit-equal: 4 evaluations and the images",
    ]


def test_the_study_s_threads_are_taken(tmp_path: Path) -> None:
    study = study_in(tmp_path, resources__cpus_per_trial=2)
    run._workbench.clear()
    torch.set_num_threads(1)
    assert run_again(study, 0).equal
    assert torch.get_num_threads() == 2


def test_a_stopped_trial_is_run_as_far_as_it_came_whatever_the_stop_signs_say(tmp_path: Path) -> None:
    study = study_in(tmp_path, until=3)
    study.write_end(0, "pruned", "")
    StopSign(study.folder).put(NOW, "a driver that has gone")
    StopSign(study.folder).put(NOW, "by hand", trial=0)
    result = run_again(study, 0)
    assert [iteration for iteration, _, _ in result.evaluations] == [0, 1, 2]
    assert result.equal


def test_where_they_part_is_said(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    attempt = study.trial_folder(0) / "attempts" / "1" / "history.jsonl"
    rows = files.read_jsonl(attempt)
    now = rows[2]["val_accuracy"]
    rows[2]["val_accuracy"] += 0.25
    attempt.unlink()
    for row in rows:
        files.append_jsonl(attempt, row)
    result = run_again(study, 0)
    assert not result.equal
    assert result.images[0] == result.images[1]
    assert result.lines()[1] == (
        f"not bit-equal: they part at iteration 2, accuracy {rows[2]['val_accuracy']!r} in the study, {now!r} now"
    )


def test_other_images_of_equal_accuracy_are_told_apart(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    path = study.trial_folder(0) / "hyperparameters.json"
    drawn = files.read_json(path)
    files.write_json(path, {**drawn, "values": {"lr_img": 5.0 + 1e-6}})
    result = run_again(study, 0)
    assert not result.equal
    assert result.images[0] != result.images[1]
    assert result.lines()[1].startswith("not bit-equal")


def test_a_trial_that_diverges_now_is_said_to(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    path = study.trial_folder(0) / "hyperparameters.json"
    files.write_json(path, {**files.read_json(path), "values": {"lr_img": 1e38}})
    result = run_again(study, 0)
    assert not result.equal
    assert result.evaluations[-1][2] is None
    assert result.images[1] == ""
    assert any(
        "the trial diverged before it" in line or "part at iteration" in line for line in result.lines()
    )


def test_a_trial_that_is_not_there_or_was_never_evaluated_is_one_sentence(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    with pytest.raises(StudyError, match="has no trial 3"):
        run_again(study, 3)
    (study.trial_folder(0) / "distilled.safetensors").unlink()
    with pytest.raises(StudyError, match="trial 0 of study 'first' has not been evaluated yet"):
        run_again(study, 0)


def test_what_may_explain_another_outcome_is_said() -> None:
    made = ({"torch": "2.6", "path": "eager"}, {"torch": "2.9", "path": "eager"})
    apart = Rerun([(0, 0.5, 0.5)], ("ab", "cd"), made)
    assert apart.lines()[1:] == [
        "not bit-equal: every evaluation has the same accuracy, the images differ",
        "torch: 2.6 in the study, 2.9 now",
    ]
    equal = Rerun([(0, 0.5, 0.5)], ("ab", "ab"), made)
    assert equal.lines()[-1] == "bit-equal: 1 evaluations and the images"
