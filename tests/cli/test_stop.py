from raydd.storage.stop_sign import StopSign


def running(home, **changes):
    study = home.study(running=True, **changes)
    home.session(study)
    return study


def test_a_study_that_searches_is_asked_and_can_be_resumed(home):
    study = running(home)
    home.trial(study, [0.1])
    said = home.said("stop", "first")
    assert f"`raydd resume first --home {home.folder}` goes on where it stopped" in said
    assert StopSign(study.folder).read() == {"mode": "now", "why": "stopped by raydd stop"}
    assert "asked to stop: stopped by raydd stop" in home.said("status", "first")


def test_a_trial_is_asked_alone(home):
    study = running(home)
    home.trial(study, [0.1])
    home.trial(study, [0.1])
    assert "asked trial 1 of study first to stop" in home.said("stop", "first/1")
    sign = StopSign(study.folder)
    assert (sign.read(), sign.read(0)) == (None, None)
    assert sign.read(1)["mode"] == "now"


def test_a_study_that_nobody_runs_is_refused(home):
    study = home.study()
    home.trial(study, [0.1])
    expected = "study 'first' is not running, so there is nothing to stop"
    assert home.refused("stop", "first") == expected
    assert home.refused("stop", "first/0") == expected
    assert "unknown study 'frist'" in home.refused("stop", "frist")
    assert StopSign(study.folder).read() is None


def test_trials_that_have_ended_or_do_not_exist_are_refused(home):
    study = running(home)
    home.trial(study, [0.1], "pruned")
    assert home.refused("stop", "first/0") == "trial 0 of study 'first' has ended already: pruned"
    assert "study 'first' has no trial 3; it has 1 trials" in home.refused("stop", "first/3")
    assert StopSign(study.folder).read(0) is None


def test_a_study_is_asked_at_every_stage(home):
    study = home.study(running=True, search__trials=1)  # trains its assets
    assert "asked study first to stop" in home.said("stop", "first")
    home.session(study)
    home.trial(study, [0.1], "complete")  # is at its re-rank
    assert "other tasks what they have finished" in home.said("stop", "first")
    assert StopSign(study.folder).read()["mode"] == "now"
