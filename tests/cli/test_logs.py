import os
import re

from raydd import files


def lines_of(said):
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  ", "", line) for line in said.splitlines()]


def at(path, seconds):
    os.utime(path, (1767225600 + seconds,) * 2)  # after 2026-01-01 00:00 UTC


def test_a_study_is_told_in_the_order_of_time(home):
    study = home.study()
    home.session(study, host="node-1", pid=5)
    at(study.folder / "sessions" / "1.json", 5000)
    home.trial(study, [0.1, 0.5], "complete")
    at(study.trial_folder(0) / "end.json", 4000)
    home.trial(study, [0.1], "failed", "no memory", "memory", failed=("memory", "no memory"))
    at(study.trial_folder(1) / "end.json", 3000)
    at(study.trial_files(1).attempt_folder(1) / "failed.json", 2999)
    row = {"time": "2026-01-01T01:00:00+00:00", "changed": {"search.trials": 6}}
    files.append_jsonl(study.folder / "extensions.jsonl", row)
    home.report(study, 0.48)
    at(study.folder / "confirm" / "winner.json", 6000)
    at(study.folder / "confirm" / "report.json", 7000)
    said = home.said("logs", "first")
    assert lines_of(said) == [
        "session 1 began: process 5 on node-1",
        "trial 1, attempt 1 failed (memory): no memory",
        "trial 1 failed, 0/10, val 10.0 %: no memory",
        "the study was extended: search.trials=6",
        "trial 0 complete, 1/10, val 50.0 %",
        "session 1 had been at its search for 30 min 00 s",
        "trial 0 won the re-ranking and was frozen",
        "the report was written: test accuracy 48.0 %",
    ]
    assert said.startswith("2026-01-01 00:00:00 UTC  session 1 began")


def test_a_running_session_has_no_end(home):
    study = home.study(running=True)
    home.session(study)
    assert len(home.said("logs", "first").splitlines()) == 1


def test_a_trial_is_told_by_its_attempts_with_what_does_not_count_and_tracebacks(home):
    study = home.study()
    number = home.trial(study, [0.1, 0.2, 0.3], failed=("lost", "its node died"))
    home.attempt(study, number, [0.4], session=2, origin=(1, 1), first=2)
    study.write_end(number, "complete", "")
    said = home.said("logs", "first/0").splitlines()
    assert said[0] == "trial 0 of study first: complete"
    assert (
        "attempt 1: process 4711 on node-7, session 1, began 2026-01-01 00:00:01 UTC, from the start" in said
    )
    assert "  iteration 1  val 20.0 %  loss/total 0.5  12 min 00 s" in said
    late = next(line for line in said if line.startswith("  iteration 2  val 30.0 %"))
    assert late.endswith("(does not count: it was gone on from earlier)")
    assert said[said.index("  failed (lost): its node died") + 1 :][:2] == [
        "    Traceback of 0",
        "      in a line",
    ]
    assert any(
        line.startswith("attempt 2: ") and line.endswith("from iteration 1 of attempt 1") for line in said
    )
    assert said[-1] == "  iteration 2  val 40.0 %  loss/total 0.5  18 min 00 s"


def test_trials_have_names(home):
    study = home.study()
    assert "has no complete trial yet" in home.refused("logs", "first/best")
    for accuracy in (0.2, 0.7, 0.3):
        home.trial(study, [accuracy], "complete")
    assert home.said("logs", "first/best").startswith("trial 1 of")
    assert home.said("logs", "first/default").startswith("trial 0 of")
    assert "study 'first' has no trial 7; it has 3 trials" in home.refused("logs", "first/7")
    for word in ("x", "../0", "²", ""):
        assert "must be a number, 'best' or 'default'" in home.refused("logs", f"first/{word}")
