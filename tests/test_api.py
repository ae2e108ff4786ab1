"""`raydd.distill` and `raydd.resume` as functions: what they decide before they compute."""

import pytest

import raydd
from raydd import config as configuration
from raydd.errors import SpaceError, StudyError
from raydd.tuning import Study

SMALL = {"net": "convnet-w4", "batch_real": 8}
POOL = {"pool_net": "convnet-w4", "pool_size": 1, "pool_epochs": 1}
QUEUE = {"fetch_net_num": 1, "model_train_steps": 1, "batch_train": 8}


@pytest.fixture(scope="module")
def digits():
    return raydd.load_data("digits")


def test_defaults_follow_the_base_that_is_given(digits, tmp_path):
    made = raydd.distill(
        "iid",
        digits,
        ipc=1,
        iterations=1,
        device="cpu",
        home=tmp_path,
        hyperparameters={"base": "idm", **SMALL, **POOL, **QUEUE},
    )
    used = made.manifest["hyperparameters"]
    expected = {"factor": 2, "init": "mix", "update": "per_class", "lr_img": 0.2, "lambda_cc": 0.01, **QUEUE}
    assert {name: used[name] for name in expected} == expected
    assert made.manifest["decode"] == {"kind": "cells", "factor": 2, "form": "single"}
    assert len(made.images()) == 40


def test_several_scales_of_regions_are_distilled_with(digits, tmp_path):
    small = {**SMALL, "n_data": 8, "batch_train": 8, "proxy_net": "convnet-w4", "proxy_epochs": 1}
    values = {"region_scale": [0.5, 0.34], "regions": 18, "policy": "random", **small}
    made = raydd.distill(
        "udd", digits, ipc=1, iterations=1, device="cpu", home=tmp_path, hyperparameters=values
    )
    assert made.manifest["hyperparameters"]["region_scale"] == [0.5, 0.34]
    assert made.boxes.shape == (10, 4 * 18, 3)
    assert sorted(set(made.boxes[..., 2].flatten().tolist())) == [
        1,
        2,
    ]  # every window was taken, of both scales


@pytest.mark.parametrize(
    ("method", "values", "sentence"),
    [
        ("udd", {"regions": 30}, "regions: 30 are more than the 9 windows"),
        ("iid", {"base": "idm", "factor": 5}, "factor: 5 leaves cells without pixels in images of 8 px"),
    ],
)
def test_what_cannot_be_run_is_refused_before_networks_are_trained(
    digits, tmp_path, method, values, sentence
):
    with pytest.raises(SpaceError, match=sentence):
        raydd.distill(
            method, digits, ipc=1, iterations=1, device="cpu", home=tmp_path, hyperparameters=values
        )
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_made_one_after_the_other_are_counted_to_the_last(digits, tmp_path):
    seen = []
    small = {"teacher": "convnet-d1-w4-bn", "teacher_epochs": 1, "ids_at_once": 1}
    made = raydd.distill(
        "sre2l",
        digits,
        ipc=2,
        iterations=3,
        device="cpu",
        home=tmp_path,
        hyperparameters=small,
        on_step=lambda iteration, last, losses: seen.append((iteration, last)),
    )
    assert seen == [(count, 6) for count in range(1, 7)]
    assert made.label_kind == "online"
    found = raydd.evaluate(
        made, digits, net="convnet-d1-w4", epochs=1, repeats=1, split="val", temperature=7.0
    )
    assert (found.label_regime, found.temperature) == ("soft", 7.0)
    hard = raydd.evaluate(made, digits, net="convnet-d1-w4", epochs=1, repeats=1, split="val", labels="hard")
    assert (hard.label_regime, hard.temperature) == ("hard", 1.0)


def test_resuming_with_less_than_was_asked_for_is_refused_and_the_study_stays_free(tmp_path):
    config = configuration.build({"method": "dm", "home": str(tmp_path), "name": "first"})
    study = Study.create(config, {"study_id": "x"})
    study.unlock()
    with pytest.raises(StudyError, match=f"--trials: 5 are fewer than the {config.search.trials} that study"):
        raydd.resume(study.folder, trials=5)
    assert not study.is_running()
