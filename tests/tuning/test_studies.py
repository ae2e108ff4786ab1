import errno

import pytest

from raydd import config as configuration
from raydd import files
from raydd.errors import StudyError
from raydd.storage.trial import Checkpoint
from raydd.tuning.studies import Study


def create(tmp_path, name="first"):
    config = configuration.build({"method": "iid", "home": str(tmp_path), "name": name})
    return Study.create(config, {"study_id": "x"})


def write_trial(study, number, accuracies, outcome=None, why=""):
    folder = study.trial_folder(number)
    values = {"lr_img": 1.0 + number, "net": "convnet"}
    drawn = {"number": number, "source": "model", "searched": {"lr_img": values["lr_img"]}, "values": values}
    files.write_json(folder / "hyperparameters.json", {**drawn, "iterations": 10, "seed": 0})
    attempt = study.trial_files(number).claim()
    attempt.begin(None, {})
    for iteration, accuracy in enumerate(accuracies):
        row = {"iteration": iteration, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.01}
        attempt.report({**row, "attempt": 1, "seconds": 2.0 * iteration})
    if outcome:
        study.write_end(number, outcome, why)


def test_a_created_study_reads_back_its_configuration_and_cannot_be_created_again(tmp_path):
    study = create(tmp_path)
    assert Study.open(tmp_path, "first").config == study.config
    assert Study.names(tmp_path) == ["first"]
    study.unlock()
    with pytest.raises(
        StudyError, match=r"study 'first' exists already .* or continue it with `raydd resume first`"
    ):
        create(tmp_path)


def test_a_saved_study_has_no_password_in_it(tmp_path):
    tracking = {"uri": "postgresql://ada:geheim@db/mlflow"}
    config = configuration.build(
        {"method": "iid", "home": str(tmp_path), "name": "first", "tracking": tracking}
    )
    study = Study.create(config, {})
    assert study.config.tracking.uri == "postgresql://ada:***@db/mlflow"
    assert "geheim" not in (study.folder / "study.yaml").read_text()


def test_a_folder_that_a_crash_left_without_a_configuration_is_taken_over(tmp_path):
    (tmp_path / "studies" / "first").mkdir(parents=True)
    assert Study.names(tmp_path) == []
    create(tmp_path)
    assert Study.names(tmp_path) == ["first"]


@pytest.mark.parametrize("name", ["../first", "First", "first/3", "frist"])
def test_an_unknown_or_escaping_name_is_refused_with_what_there_is(tmp_path, name):
    create(tmp_path)
    with pytest.raises(StudyError, match=r"unknown study .* \(allowed: first\)"):
        Study.open(tmp_path, name)


def test_trials_are_read_from_their_files(tmp_path):
    study = create(tmp_path)
    write_trial(study, 0, [0.1, 0.5, 0.4], "complete")
    write_trial(study, 1, [0.1, 0.6], "pruned")
    write_trial(study, 2, [0.1], "failed", "out of luck")
    write_trial(study, 3, [])
    (study.folder / "trials" / "4").mkdir()
    trials = study.trials()
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert [trial.outcome for trial in trials] == ["complete", "pruned", "failed", "running"]
    assert (trials[0].val_accuracy, trials[0].initial_accuracy, trials[0].iteration) == (0.4, 0.1, 2)
    assert trials[0].hyperparameters == {"lr_img": 1.0}
    assert trials[0].seconds == 4.0
    assert trials[2].why == "out of luck"
    assert trials[3].val_accuracy is None
    study.unlock()
    assert Study(study.folder).trials()[3].outcome == "interrupted"


def test_the_best_trial_is_the_best_complete_one_and_ties_go_to_the_lowest_number(tmp_path):
    study = create(tmp_path)
    assert study.best() is None
    for number, (accuracy, outcome) in enumerate(
        [(0.5, "complete"), (0.9, "pruned"), (0.7, "complete"), (0.7, "complete")]
    ):
        write_trial(study, number, [accuracy], outcome)
    assert study.best().number == 2


def test_seconds_are_summed_over_attempts(tmp_path):
    study = create(tmp_path)
    write_trial(study, 0, [0.1, 0.2])
    second = study.trial_files(0).claim()
    second.begin(Checkpoint(study.folder, 1, 1), {})
    second.report({"iteration": 2, "attempt": 2, "seconds": 5.0})
    assert study.trial(0).seconds == 7.0


def test_a_missing_trial_is_one_sentence(tmp_path):
    with pytest.raises(StudyError, match="study 'first' has no trial 7; it has 0 trials"):
        create(tmp_path).trial(7)


def test_readings_of_test_data_are_counted(tmp_path):
    study = create(tmp_path)
    assert study.test_readings() == 0
    study.count_test_reading(stage="report", arm="0", seed=1)
    study.count_test_reading(stage="evaluate", file="x")
    assert study.test_readings() == 2


def test_a_study_that_its_driver_leaves_is_not_running_for_what_is_written_then(tmp_path):
    study = Study(tmp_path / "studies" / "first")
    study.lock()
    with study.as_ended():
        assert not study.is_running()
    assert study.is_running()
    study.unlock()


def test_who_looks_whether_a_study_runs_makes_nobody_believe_that_it_does(tmp_path):
    study, looking = (
        Study(tmp_path / "studies" / "first"),
        files.FileLock(tmp_path / "studies" / "first" / "lock"),
    )
    assert looking.acquire(shared=True)
    assert not study.is_running()


def test_a_full_disk_keeps_nobody_from_the_lock(tmp_path, monkeypatch):
    study = create(tmp_path)
    study.unlock()

    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(files, "write_json", full)
    study.lock()
    assert study.is_running()
    study.unlock()
