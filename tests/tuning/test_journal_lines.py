import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from raydd.tuning import journal_lines

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def make(path):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for number in range(7):
        if number == 3:
            study.enqueue_trial({"lr": 0.5}, user_attrs={"source": "default"})
        trial = study.ask()
        trial.suggest_float("lr", 0.1, 1.0)
        trial.report(0.1 * number, 1)
    study.tell(2, 0.25)
    study.tell(0, 0.75)
    study.tell(3, state=TrialState.PRUNED)
    study.tell(4, state=TrialState.FAIL)
    study.tell(0, 0.9, skip_if_finished=True)
    study.enqueue_trial({"lr": 0.3})
    return study


def test_ends_are_those_that_optuna_reads(tmp_path):
    study = make(tmp_path / "journal")
    expected = {
        trial.number: (STATES[trial.state], trial.value if trial.state == TrialState.COMPLETE else None)
        for trial in study.get_trials()
        if trial.state in STATES
    }
    found = journal_lines.ends(tmp_path / "journal")
    assert {number: found[number][0] for number in found} == {
        number: state for number, (state, _) in expected.items()
    }
    assert (found[0], found[2]) == (("complete", 0.75), ("complete", 0.25))
    assert sorted(found) == [0, 2, 3, 4]


def test_a_missing_journal_holds_nothing_and_a_half_line_is_left_out(tmp_path):
    assert journal_lines.ends(tmp_path / "journal") == {}
    make(tmp_path / "journal")
    with (tmp_path / "journal").open("a") as file:
        file.write('{"op_code":6,"worker_id":"x","trial_id":5,"state":1,"val')
    assert sorted(journal_lines.ends(tmp_path / "journal")) == [0, 2, 3, 4]
