"""The files of a trial: attempts that cannot disturb each other, and what a reader sees of them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from raydd import files
from raydd.storage.trial import KEPT_CHECKPOINTS, Attempt, Checkpoint, TrialFiles


def state(value: float) -> dict[str, object]:
    return {"pixels": torch.full((2, 3), value), "iteration": int(value)}


def run_to(attempt: Attempt, first: int, last: int) -> None:
    """Report and leave a checkpoint at every iteration from `first` to `last`."""
    for iteration in range(first, last + 1):
        attempt.report({"iteration": iteration, "attempt": attempt.number, "seconds": 1.0})
        attempt.checkpoint(iteration, state(iteration), {"sums": {}})
        attempt.reported(iteration, {"iteration": iteration})


def by_attempt(trial: TrialFiles) -> list[tuple[int, int]]:
    return [(row["attempt"], row["iteration"]) for row in trial.history()]


def test_a_checkpoint_holds_the_state_bit_for_bit_and_few_are_kept(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    attempt = trial.claim()
    attempt.begin(None, {})
    run_to(attempt, 1, 5)
    found = trial.checkpoints()
    assert [one.iteration for one in found] == [5, 4][:KEPT_CHECKPOINTS]
    saved = found[0].load()
    assert torch.equal(saved["state"]["pixels"], torch.full((2, 3), 5.0))
    assert saved["state"]["iteration"] == 5
    assert saved["since"] == {"sums": {}}
    assert saved["report"] == {"iteration": 5}


def test_a_checkpoint_that_is_there_stays_and_gets_its_report_later(tmp_path: Path) -> None:
    attempt = TrialFiles(tmp_path).claim()
    assert attempt.checkpoint(3, state(3), {"sums": {"total": 0.1}}) > 0
    assert attempt.trial.checkpoints()[0].load()["report"] is None
    assert attempt.checkpoint(3, state(9), {"sums": {}}) == 0
    attempt.reported(3, {"iteration": 3})
    saved = attempt.trial.checkpoints()[0].load()
    assert (saved["state"]["iteration"], saved["since"]["sums"], saved["report"]) == (
        3,
        {"total": 0.1},
        {"iteration": 3},
    )


def test_claims_of_several_threads_at_once_are_all_different(tmp_path: Path) -> None:
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(TrialFiles(tmp_path).claim().number))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 13))


def test_an_attempt_knows_that_it_was_superseded(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    first = trial.claim()
    assert not first.superseded()
    second = trial.claim()
    assert first.superseded()
    assert not second.superseded()


def test_what_a_cut_off_attempt_does_afterwards_is_in_no_history_and_in_no_published_file(
    tmp_path: Path,
) -> None:
    trial = TrialFiles(tmp_path)
    stale = trial.claim()
    stale.begin(None, {})
    run_to(stale, 1, 4)
    origin = trial.checkpoints()[0]
    successor = trial.claim()
    successor.begin(origin, {})
    files.write_text(stale.folder / "distilled.safetensors", "stale")
    run_to(stale, 5, 9)
    run_to(successor, 5, 6)
    files.write_text(successor.folder / "distilled.safetensors", "good")
    files.write_text(successor.folder / "pictures" / "maps.png", "a picture")
    trial.publish()
    files.write_text(stale.folder / "distilled.safetensors", "stale again")
    assert by_attempt(trial) == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 5), (2, 6)]
    assert (tmp_path / "distilled.safetensors").read_text() == "good"
    assert (tmp_path / "pictures" / "maps.png").read_text() == "a picture"


def test_the_chain_leads_over_several_attempts_and_leaves_out_those_that_nobody_went_on_from(
    tmp_path: Path,
) -> None:
    trial = TrialFiles(tmp_path)
    first = trial.claim()
    first.begin(None, {})
    run_to(first, 1, 3)
    second = trial.claim()
    second.begin(Checkpoint(first.folder / "checkpoints" / "3", 1, 3), {})
    run_to(second, 4, 8)
    third = trial.claim()  # the checkpoints of the second were damaged
    third.begin(Checkpoint(first.folder / "checkpoints" / "2", 1, 2), {})
    run_to(third, 3, 4)
    trial.claim()  # died before it began
    assert trial.chain() == [(1, 2), (3, None)]
    assert by_attempt(trial) == [(1, 1), (1, 2), (3, 3), (3, 4)]


def test_a_report_that_is_made_again_counts_once(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    first = trial.claim()
    first.begin(None, {})
    run_to(first, 1, 2)  # the driver died between the report at 2 and its place beside the checkpoint
    second = trial.claim()
    second.begin(Checkpoint(first.folder / "checkpoints" / "2", 1, 2), {})
    run_to(second, 2, 3)
    assert by_attempt(trial) == [(1, 1), (2, 2), (2, 3)]


def test_checkpoints_of_earlier_attempts_stay_until_there_are_enough_new_ones(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    first = trial.claim()
    run_to(first, 1, 3)
    second = trial.claim()
    run_to(second, 4, 4)
    assert [(one.attempt, one.iteration) for one in trial.checkpoints()] == [(2, 4), (1, 3), (1, 2)]
    run_to(second, 5, 5)
    assert [(one.attempt, one.iteration) for one in trial.checkpoints()] == [(2, 5), (2, 4)]
    trial.drop_checkpoints()
    assert trial.checkpoints() == []


def test_failures_are_told_in_their_order(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    first, _, third = trial.claim(), trial.claim(), trial.claim()
    third.failed("error", "second", "second traceback", session=2, iteration=4)
    first.failed("lost", "first", "first traceback", session=1, iteration=0)
    assert [(row["attempt"], row["kind"], row["why"]) for row in trial.failures()] == [
        (1, "lost", "first"),
        (3, "error", "second"),
    ]
    assert trial.error_text() == "second traceback"


def test_publishing_again_follows_the_newest_set(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    attempt = trial.claim()
    attempt.begin(None, {})
    for content in ("one", "two"):
        files.write_text(attempt.folder / "distilled.safetensors", content)
        trial.publish()
        assert (tmp_path / "distilled.safetensors").read_text() == content
    assert {path.name for path in tmp_path.iterdir()} == {"attempts", "distilled.safetensors"}


def test_a_trial_without_attempts_has_nothing(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path / "none")
    assert (trial.history(), trial.checkpoints(), trial.failures(), trial.error_text()) == ([], [], [], "")
    trial.publish()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("broken", ["state.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_an_error_that_can_be_caught(tmp_path: Path, broken: str) -> None:
    attempt = TrialFiles(tmp_path).claim()
    run_to(attempt, 1, 1)
    (found,) = attempt.trial.checkpoints()
    path = found.folder / broken
    path.write_bytes(path.read_bytes()[:7])
    with pytest.raises(Exception, match=r".+"):
        found.load()


def test_previews_are_those_of_evaluations_that_count_also_after_a_cut(tmp_path: Path) -> None:
    trial = TrialFiles(tmp_path)
    first = trial.claim()
    first.begin(None, {})
    for iteration in (0, 10, 20):
        files.write_bytes(first.folder / "grid.png", b"first %d" % iteration)
        first.keep_preview(iteration)
    second = trial.claim()
    second.begin(Checkpoint(first.folder, first.number, 10), {})
    files.write_bytes(second.folder / "grid.png", b"second 20")
    second.keep_preview(20)
    found = trial.previews()
    assert [path.name for path in found.values()] == ["000000.png", "000010.png", "000020.png"]
    assert [path.read_bytes() for path in found.values()] == [b"first 0", b"first 10", b"second 20"]
    assert list(found) == [0, 10, 20]
