"""Attempts at a trial, without Ray: wherever one is cut off, the next one ends with the same images and figures."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raydd import config as configuration
from raydd import files, stopping
from raydd.errors import DataError
from raydd.storage import DistilledSet
from raydd.storage.stop_sign import NOW, REPORT, StopSign
from raydd.tuning.studies import Study
from trainables import base, run
from trainables.run import TrialRun

ITERATIONS = 8  # reports at every one, rungs at 1 and 3


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0.0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    run._workbench.clear()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_in(tmp_path)


def study_in(home: Path, iterations: int = ITERATIONS, **fix: Any) -> Study:
    """With one trial of DM on digits that is about to begin."""
    values = {
        "method": "dm",
        "name": "first",
        "home": str(home),
        "ipc": 1,
        "iterations": iterations,
        "search": {"fix": {"net": "convnet-d1-w4", "batch_real": 8, **fix}},
        "evaluation": {"net": "convnet-d1-w4", "epochs": 2, "repeats": 1, "device": "cpu"},
        "compile": "off",
    }
    study = Study.create(configuration.build(values), {})
    study.unlock()
    files.write_json(study.folder / "measured.json", {})
    drawn = {"number": 0, "source": "default", "searched": {}, "values": {"lr_img": 5.0}, "seed": 0}
    files.write_json(study.trial_folder(0) / "hyperparameters.json", {**drawn, "iterations": iterations})
    return study


def until_done(trial: TrialRun) -> list[dict[str, Any]]:
    rows = [trial.next_report()]
    while not rows[-1]["done"]:
        rows.append(trial.next_report())
    return rows


def same(row: dict[str, Any]) -> dict[str, Any]:
    """What of a row is the same whenever and wherever it is made."""
    clock = ("seconds", "images_per_second", "memory_mb", "attempt", "checkpoint_seconds", "checkpoint_mb")
    # NaN is not equal to itself
    return {name: str(value) for name, value in row.items() if name not in clock}


def pixels(study: Study) -> torch.Tensor:
    study.trial_files(0).publish()
    return DistilledSet.load(study.trial_folder(0) / "distilled.safetensors").pixels


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """Rows and pixels of an uninterrupted trial."""
    study = study_in(tmp_path_factory.mktemp("home"))
    rows = until_done(TrialRun(study.folder, 0))
    return rows, pixels(study)


def test_a_whole_trial_evaluates_at_the_start_the_rungs_and_the_end(whole: Any) -> None:
    rows, _ = whole
    assert [row["iteration"] for row in rows] == list(range(ITERATIONS + 1))
    assert [(row["iteration"], row["rung"]) for row in rows if row["evaluated"]] == [
        (0, 0),
        (1, 111),
        (3, 333),
        (8, 1000),
    ]
    assert rows[-1]["checkpoint_mb"] > 0
    assert rows[-1]["outcome"] == "complete"


class Killed(BaseException):
    """As sudden as a SIGKILL: nothing that raydd wrote catches it."""


@pytest.mark.parametrize("step", range(1, ITERATIONS + 1))
def test_a_trial_that_is_cut_off_in_any_iteration_ends_as_if_it_had_not_been(
    study: Study, whole: Any, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = TrialRun(study.folder, 0)
    original = trial.distiller.step

    def dying() -> Any:
        if trial.distiller.iteration == step - 1:
            raise Killed
        return original()

    monkeypatch.setattr(trial.distiller, "step", dying)
    with pytest.raises(Killed):
        until_done(trial)
    until_done(TrialRun(study.folder, 0))
    rows, images = whole
    assert [same(row) for row in study.history(0)] == [same(row) for row in rows]
    assert torch.equal(pixels(study), images)


def test_reports_in_quick_succession_leave_no_checkpoint_each_and_lose_nothing(
    study: Study, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = TrialRun(study.folder, 0)
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 1e9)
    for _ in range(6):
        trial.next_report()
    assert [found.iteration for found in study.trial_files(0).checkpoints()] == [3, 1]  # the rungs
    again = TrialRun(study.folder, 0)
    assert [row["iteration"] for row in study.history(0)] == [0, 1, 2, 3]
    until_done(again)
    assert [same(row) for row in study.history(0)] == [same(row) for row in whole[0]]
    assert torch.equal(pixels(study), whole[1])


@pytest.mark.parametrize("write", range(0, 30, 3))
def test_a_trial_that_is_cut_off_before_any_write_ends_as_if_it_had_not_been(
    study: Study, whole: Any, write: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def dying(original: Callable[..., None]) -> Callable[..., None]:
        def write_or_die(*arguments: Any) -> None:
            nonlocal count
            count += 1
            if count > write:
                raise Killed
            original(*arguments)

        return write_or_die

    def attempt() -> None:
        until_done(TrialRun(study.folder, 0))

    with monkeypatch.context() as patch:
        for name in ("write_bytes", "append_jsonl"):
            patch.setattr(files, name, dying(getattr(files, name)))
        with pytest.raises(Killed):
            attempt()
    until_done(TrialRun(study.folder, 0))
    rows, images = whole
    assert [same(row) for row in study.history(0)] == [same(row) for row in rows]
    assert torch.equal(pixels(study), images)


def test_snapshots_between_reports_carry_what_was_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SNAPSHOT_SECONDS", 0.0)
    rows = []
    for name, cut in (("whole", None), ("cut", 5)):
        study = study_in(tmp_path / name, iterations=60)  # reports every third iteration
        trial = TrialRun(study.folder, 0)
        if cut is not None:
            original = trial.distiller.step

            def dying(trial: TrialRun = trial, original: Any = original, cut: int = cut) -> Any:
                if trial.distiller.iteration == cut:
                    raise Killed
                return original()

            monkeypatch.setattr(trial.distiller, "step", dying)
            with pytest.raises(Killed):
                until_done(trial)
            trial = TrialRun(study.folder, 0)
            assert trial.distiller.iteration == 5
            assert trial.steps == 2
        until_done(trial)
        rows.append([same(row) for row in study.history(0)])
    assert rows[0] == rows[1]


@pytest.mark.parametrize("damaged", [1, 2])
def test_damaged_checkpoints_cost_their_iterations_and_nothing_else(
    study: Study, whole: Any, damaged: int
) -> None:
    trial = TrialRun(study.folder, 0)
    for _ in range(6):
        trial.next_report()
    for found in study.trial_files(0).checkpoints()[:damaged]:
        path = found.folder / "state.safetensors"
        path.write_bytes(path.read_bytes()[:-9])
    again = TrialRun(study.folder, 0)
    assert again.distiller.iteration == (4 if damaged == 1 else 0)
    until_done(again)
    rows, images = whole
    assert [same(row) for row in study.history(0)] == [same(row) for row in rows]
    assert torch.equal(pixels(study), images)


def test_the_report_at_the_checkpoint_is_told_again_to_a_driver_that_may_not_have_heard_it(
    study: Study,
) -> None:
    trial = TrialRun(study.folder, 0)
    rows = [trial.next_report() for _ in range(4)]
    again = TrialRun(study.folder, 0)
    assert same(again.next_report()) == same(rows[-1])
    assert again.next_report()["iteration"] == 4
    assert len(study.history(0)) == 5


def test_a_trial_that_is_asked_to_stop_now_leaves_a_checkpoint_and_goes_on_the_same(
    study: Study, whole: Any
) -> None:
    trial = TrialRun(study.folder, 0)
    for _ in range(3):
        trial.next_report()
    StopSign(study.folder).put(NOW, "Ctrl-C")
    row = trial.next_report()
    assert (row["outcome"], row["why"], row["done"]) == ("interrupted", "Ctrl-C", True)
    StopSign(study.folder).take_down()
    until_done(TrialRun(study.folder, 0))
    assert [same(row) for row in study.history(0)] == [same(row) for row in whole[0]]
    assert torch.equal(pixels(study), whole[1])


def test_a_trial_that_is_asked_to_stop_in_an_evaluation_does_not_wait_for_its_end(
    study: Study, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = TrialRun(study.folder, 0)
    trial.next_report()
    original = run.evaluate

    def asked(*arguments: Any, **named: Any) -> Any:
        StopSign(study.folder).put(NOW, "SIGTERM")
        monkeypatch.setattr(stopping, "_next", 0.0)
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(run, "evaluate", asked)
        row = trial.next_report()
    assert (row["outcome"], row["iteration"], row["evaluated"]) == ("interrupted", 1, 0)
    assert study.trial_files(0).checkpoints()[0].load()["report"] is None
    StopSign(study.folder).take_down()
    until_done(TrialRun(study.folder, 0))
    assert [same(row) for row in study.history(0)] == [same(row) for row in whole[0]]


@pytest.mark.parametrize("reports", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_asked_to_stop_before_the_next_iteration_it_loses_no_report_and_makes_none_twice(
    study: Study, whole: Any, reports: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", seconds)
    trial = TrialRun(study.folder, 0)
    for _ in range(reports):
        trial.next_report()
    StopSign(study.folder).put(NOW, "SIGTERM")
    assert trial.next_report()["outcome"] == "interrupted"
    again = TrialRun(study.folder, 0)  # a driver that is asked to stop while this one is set up
    while not again.next_report()["done"]:
        pass
    StopSign(study.folder).take_down()
    until_done(TrialRun(study.folder, 0))
    assert [same(row) for row in study.history(0)] == [same(row) for row in whole[0]]
    assert torch.equal(pixels(study), whole[1])


def test_asked_to_stop_at_a_report_it_goes_on_to_it_and_tells_it_again_later(tmp_path: Path) -> None:
    study = study_in(tmp_path, iterations=60)
    trial = TrialRun(study.folder, 0)
    for _ in range(2):
        trial.next_report()
    before = trial.iteration
    StopSign(study.folder).put(REPORT, "the budget of 1 hours is spent")
    row = trial.next_report()
    assert row["iteration"] == before + 3
    assert (row["outcome"], row["done"]) == ("interrupted", True)
    StopSign(study.folder).take_down()
    again = TrialRun(study.folder, 0).next_report()
    assert (again["outcome"], again["done"], again["iteration"]) == ("", False, row["iteration"])


def test_a_single_trial_that_is_asked_to_stop_ends_as_pruned(study: Study) -> None:
    trial = TrialRun(study.folder, 0)
    trial.next_report()
    StopSign(study.folder).put(NOW, "stopped by hand", trial=0)
    row = trial.next_report()
    assert (row["outcome"], row["why"], row["done"]) == ("pruned", "stopped by hand", True)


def test_an_attempt_that_was_taken_over_neither_reports_nor_checkpoints(study: Study) -> None:
    stale = TrialRun(study.folder, 0)
    for _ in range(3):
        stale.next_report()
    until_done(TrialRun(study.folder, 0))
    history = study.history(0)
    with pytest.raises(run.Superseded, match="taken over by a later attempt than 1"):
        until_done(stale)
    assert study.history(0) == history


def config(study: Study, session: int = 1) -> dict[str, Any]:
    return {"study": str(study.folder), "number": 0, "session": session}


def test_an_error_is_written_down_and_the_next_attempt_of_the_session_gives_up(study: Study) -> None:
    broken = base.DistillTrainable(config(study))
    broken.step()

    def wrong() -> Any:
        raise ValueError("shapes differ")

    broken.trial_run.distiller.step = wrong
    with pytest.raises(ValueError, match="shapes differ"):
        broken.step()
    row = base.DistillTrainable(config(study)).step()
    assert (row["outcome"], row["kind"], row["why"]) == ("failed", "error", "ValueError: shapes differ")
    assert row["done"]
    assert math.isnan(row["val_accuracy"])
    assert "in wrong" in study.trial_files(0).error_text()
    assert len(study.trial_files(0).attempts()) == 1
    another_session = base.DistillTrainable(config(study, session=2))
    assert another_session.step()["outcome"] == ""


def test_a_failure_of_the_set_up_is_told_as_what_it_is(study: Study) -> None:
    files.write_json(study.folder / "fingerprint.json", "of other data")
    with pytest.raises(DataError, match="other data here than those that the study began with"):
        base.DistillTrainable(config(study))
    row = base.DistillTrainable(config(study)).step()
    assert (row["outcome"], row["kind"]) == ("failed", "error")
    assert "other data here" in row["why"]
    (study.folder / "fingerprint.json").unlink()
    assert base.DistillTrainable(config(study, session=2)).step()["outcome"] == ""


def test_the_time_of_every_attempt_is_kept(study: Study) -> None:
    trial = TrialRun(study.folder, 0)
    for _ in range(3):
        last = trial.next_report()
    StopSign(study.folder).put(NOW, "SIGTERM")
    stopped = trial.next_report()
    assert study.trial_files(0).seconds() == {1: stopped["seconds"]}
    assert stopped["seconds"] > last["seconds"]


def test_out_of_memory_is_tried_once_more(study: Study, whole: Any) -> None:
    trial = base.DistillTrainable(config(study))
    trial.step()

    def too_large() -> Any:
        torch.empty(2**50, dtype=torch.uint8)

    trial.trial_run.distiller.step = too_large
    with pytest.raises(RuntimeError):
        trial.step()
    again = base.DistillTrainable(config(study))
    again.trial_run.distiller.step = too_large
    again.step()
    with pytest.raises(RuntimeError):
        again.step()
    row = base.DistillTrainable(config(study)).step()
    assert (row["outcome"], row["kind"]) == ("failed", "memory")


def test_a_full_disk_interrupts_a_trial_and_does_not_fail_it(
    study: Study, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = base.DistillTrainable(config(study))
    for _ in range(3):
        trial.step()

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", full)
        row = trial.step()
    assert (row["outcome"], row["kind"], row["done"]) == ("interrupted", "disk", True)
    assert "No space left on device" in row["why"]
    until_done(TrialRun(study.folder, 0))
    assert [same(row) for row in study.history(0)] == [same(row) for row in whole[0]]
    assert torch.equal(pixels(study), whole[1])
