"""A study that really runs is looked at and stopped from outside, as by somebody on another machine."""

import json
import subprocess
import time

import pytest
from click.testing import CliRunner

from raydd import config as configuration
from raydd import files
from raydd.cli import main
from raydd.tuning import Study

pytestmark = pytest.mark.integration


def wait_for(condition, process, log, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, "waited too long: " + log.read_text()
        time.sleep(0.1)


def test_a_running_study_is_told_of_a_trial_of_it_is_stopped_and_then_the_study(tmp_path, small, command):
    config = small(tmp_path / "home", "long", iterations=100_000, search__scheduler="none")
    path, log = tmp_path / "study.yaml", tmp_path / "log"
    path.write_text(configuration.dump_yaml(config))
    study = Study(config.folder)

    def raydd(verb, name, *flags):
        return CliRunner().invoke(main, [verb, name, *flags, "--home", config.home])

    def begun(number):
        trial_files = study.trial_files(number)
        return bool(trial_files.attempts()) and "host" in trial_files.begun(trial_files.attempts()[-1])

    with log.open("w") as file:
        driver = subprocess.Popen(command("search", str(path)), stdout=file, stderr=file)
    try:
        wait_for(lambda: begun(0), driver, log)
        told = json.loads(raydd("status", "long", "--json").stdout)
        assert (told["state"], told["stage"], told["outcomes"]) == ("running", "search", {"running": 1})
        assert f"process {driver.pid} on " in told["holder"]
        (trial,) = told["underway"]
        worker = study.trial_files(0).begun(1)
        assert (trial["number"], trial["iterations"]) == (0, 100_000)
        assert (trial["host"], trial["pid"]) == (worker["host"], worker["pid"])
        for verb, flags in (("rm", ["--yes"]), ("status", ["--repair"])):
            refused = raydd(verb, "long", *flags)
            assert refused.exit_code == 2, refused.stdout
            assert f"process {driver.pid} on " in refused.stderr

        assert raydd("stop", "long/0").exit_code == 0
        ended = study.trial_folder(0) / "end.json"
        wait_for(lambda: ended.exists() and begun(1) and len(study.history(1)) > 0, driver, log)
        assert files.read_json(study.trial_folder(0) / "end.json")["outcome"] == "pruned"
        assert "has ended already: pruned" in raydd("stop", "long/0").stderr
        stopped = raydd("stop", "long")
        assert stopped.exit_code == 0, stopped.stderr
        assert "raydd resume long" in stopped.stdout
        assert driver.wait(timeout=240) == 75, log.read_text()
    finally:
        driver.terminate()
        driver.wait(timeout=240)
    told = json.loads(raydd("status", "long", "--json", "--repair").stdout)
    assert told["state"] == "stopped"
    assert told["outcomes"] == {"pruned": 1, "interrupted": len(study.numbers()) - 1}
    assert told["repaired"] == []  # the driver closed its runs itself
    assert told["next"] == [f"raydd resume long --home {config.home}"]
    assert study.trial_files(1).checkpoints()
    again = raydd("stop", "long")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "study 'long' is not running, so there is nothing to stop" in again.stderr
    assert "trial 0 pruned" in raydd("logs", "long").stdout
