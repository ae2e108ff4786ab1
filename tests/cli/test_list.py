import os

from raydd import files


def states(home):
    return {row["name"]: row["state"] for row in home.told("list")}


def test_an_empty_home_says_what_makes_a_study_and_is_not_made(home):
    assert f"there is no study in {home.folder}; `raydd search METHOD` makes one" in home.said("list")
    assert home.told("list") == []
    assert not home.folder.exists()


def test_a_study_is_a_line_with_its_best_estimate_and_its_confirmed_accuracy(home):
    study = home.study(search__trials=3)
    for accuracy, outcome in ((0.5, "complete"), (0.6, "complete"), (0.9, "pruned")):
        home.trial(study, [0.1, accuracy], outcome)
    home.report(study, 0.55)
    (row,) = home.told("list")
    expected = {"method": "dm", "data": "digits", "ipc": 2, "state": "confirmed", "ended": 3, "asked": 3}
    assert {name: row[name] for name in expected} == expected
    assert (row["best"], row["confirmed"]) == (0.6, 0.55)
    assert row["active"].startswith("20")
    (line,) = (line for line in home.said("list").splitlines() if line.split()[:1] == ["first"])
    assert line.split()[:8] == ["first", "dm", "digits", "2", "confirmed", "3/3", "60.0", "55.0"]


def test_states(home):
    running = home.study("running", running=True)
    home.trial(running, [0.5], "complete")
    home.trial(home.study("stopped"), [0.5], "complete")
    home.trial(home.study("searched", search__trials=1), [0.5], "complete")
    confirmed = home.study("confirmed", search__trials=1)
    home.trial(confirmed, [0.5], "complete")
    home.report(confirmed)
    home.trial(home.study("pruned-only", search__trials=1), [0.5], "pruned")
    hopeless = home.study("hopeless", search__trials=9)
    diverging = home.study("diverging", search__trials=9)
    for _ in range(3):
        home.trial(hopeless, [0.5], "failed", "no luck", "error")
        home.trial(diverging, [0.5], "diverged", "NaN")
    expected = {
        "running": "running",
        "stopped": "stopped",
        "searched": "search done",
        "confirmed": "confirmed",
    }
    expected |= {"pruned-only": "failed", "hopeless": "failed", "diverging": "stopped"}
    assert states(home) == expected
    running.unlock()
    assert states(home)["running"] == "stopped"


def test_a_confirmed_study_that_was_extended_is_stopped_until_it_is_confirmed_again(home):
    study = home.study(search__trials=1)
    home.trial(study, [0.5], "complete")
    home.report(study)
    os.utime(study.folder / "confirm" / "report.json", (0, 0))
    assert states(home) == {"first": "confirmed"}
    study.extend({"search.trials": 2})
    assert states(home) == {"first": "stopped"}
    assert home.told("list")[0]["asked"] == 2
    home.trial(study, [0.6], "complete")
    assert states(home) == {"first": "search done"}
    home.report(study)
    assert states(home) == {"first": "confirmed"}


def test_no_history_is_read(home):
    study = home.study(search__trials=1)
    home.trial(study, [0.5], "complete")
    (study.trial_files(0).attempt_folder(1) / "history.jsonl").write_text("not JSON")
    assert home.told("list")[0]["best"] == 0.5


def test_a_damaged_study_is_a_line_among_the_others(home):
    home.study("good")
    broken = home.study("broken")
    (broken.folder / "study.yaml").write_text("method: [")
    rows = {row["name"]: row for row in home.told("list")}
    assert rows["good"]["state"] == "stopped"
    assert rows["broken"]["state"] == "unreadable"
    assert rows["broken"]["why"].startswith("ParserError: ")
    assert "unreadable (ParserError" in home.said("list")


def test_a_file_with_two_links_takes_its_size_once(home):
    study = home.study()
    before = home.told("list")[0]["size"]
    files.write_bytes(study.folder / "set", bytes(10_000))
    os.link(study.folder / "set", study.folder / "link")
    (study.folder / "elsewhere").symlink_to("/usr")
    assert 10_000 <= home.told("list")[0]["size"] - before < 10_100
