"""What is known of a study's labels before anything runs."""

import pytest

from raydd import config as configuration
from raydd import registry
from raydd.errors import ConfigError
from raydd.registry import Context
from raydd.tuning import labels
from raydd.tuning.plan import plan_for, prepare, trial_iterations
from raydd.tuning.studies import Study

TEACHER = "convnet-d1-w8-bn"


def context(**fixed):
    return Context("digits", 1, 8, 10, 3, 20, augmentation="color_crop", fixed=fixed)


@pytest.mark.parametrize(
    ("method", "fixed", "kind"),
    [
        ("dm", {}, "hard"),
        ("udd", {}, "hard"),
        ("sre2l", {}, "soft"),
        ("dwa", {}, "soft"),
        ("dwa", {"labels": "stored"}, "soft"),
        ("dwa", {"labels": "hard"}, "hard"),
    ],
)
def test_methods_with_a_teacher_are_soft_unless_told(method, fixed, kind):
    assert labels.regime(registry.get(method), context(**fixed)) == kind


def test_runs_are_tagged_with_the_labels_and_what_the_teacher_has_seen():
    dwa = registry.get("dwa")
    hard = {"raydd.labels": "hard", "raydd.label_kind": "hard"}
    assert labels.tags(registry.get("dm"), context()) == hard
    soft = {"raydd.labels": "soft", "raydd.label_kind": "online", "raydd.teacher": "resnet18-bn"}
    assert labels.tags(dwa, context()) == {**soft, "raydd.teacher_pretrained": "false"}
    stored = {**soft, "raydd.label_kind": "stored", "raydd.teacher": TEACHER}
    chosen = context(labels="stored", teacher=TEACHER)
    assert labels.tags(dwa, chosen) == {**stored, "raydd.teacher_pretrained": "false"}
    elsewhere = {**soft, "raydd.teacher_pretrained": "true"}
    assert labels.tags(dwa, context(teacher_weights="public")) == elsewhere
    # images that a pretrained network was asked for have seen what it has, whatever their labels
    recovered = labels.tags(dwa, context(teacher_weights="public", labels="hard"))
    assert recovered == {**hard, "raydd.teacher_pretrained": "true"}


def config(tmp_path, **changes):
    values = {
        "method": "dwa",
        "ipc": 3,
        "iterations": 20,
        "home": str(tmp_path / "home"),
        "search": {"fix": {"teacher": TEACHER}},
        "evaluation": {"net": "convnet-d1-w8"},
        "compile": "off",
    }
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    return configuration.build(values)


def test_a_pretrained_teacher_is_warned_of_before_launch(tmp_path):
    warning = f"Warning: {TEACHER} has weights that were trained elsewhere. It may have seen validation and test images"
    assert warning not in "\n".join(prepare(config(tmp_path)).lines())
    weights = tmp_path / "weights.safetensors"
    weights.touch()
    fix = {"teacher": TEACHER, "teacher_weights": str(weights)}
    lines = prepare(config(tmp_path, search__fix=fix)).lines()
    assert sum(line.startswith(warning) for line in lines) == 1


def test_soft_labels_and_the_whole_length_are_said_before_launch(tmp_path):
    lines = prepare(config(tmp_path)).lines()
    assert any(
        line.startswith("labels: soft, a teacher's; real images of the report get the winner's")
        for line in lines
    )
    assert any("16 trials of 20 recovery iterations (60 in all in trial 0), " in line for line in lines)
    hard = prepare(config(tmp_path, method="dm", search__fix={})).lines()
    assert not any("labels" in line for line in hard)
    assert any("16 trials of 20 iterations, " in line for line in hard)


def test_a_teacher_that_does_not_fit_the_images_is_refused_before_launch(tmp_path):
    with pytest.raises(ConfigError, match=r"^teacher: .*needs at least 16 px, got 8"):
        prepare(config(tmp_path, search__fix={"teacher": "convnet-d4-bn"}))


@pytest.mark.parametrize(
    ("fix", "sentence"),
    [
        (
            {"teacher_weights": "nowhere.safetensors"},
            "/nowhere.safetensors is no file that can be read; allowed are public and files of weights of ",
        ),
        ({"teacher_weights": "."}, "is no file that can be read"),
        ({"teacher_weights": "public"}, f"teacher_weights: there are no public weights of '{TEACHER}'"),
        (
            {"teacher": "resnet18-bn", "teacher_weights": "public"},
            "teacher_weights: public weights of resnet18-bn tell the 1000 classes of ImageNet apart in images of 3 "
            "channels and at least 128 px, and digits has 10 classes in images of 1 channels and 8 px",
        ),
    ],
)
def test_weights_that_are_not_there_are_refused_before_launch(tmp_path, fix, sentence):
    with pytest.raises(ConfigError) as caught:
        prepare(config(tmp_path, search__fix={"teacher": TEACHER, **fix}))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("teacher_weights: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "home").exists()


def test_a_path_to_weights_is_absolute_in_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.safetensors").touch()
    fix = {"teacher": TEACHER, "teacher_weights": "weights.safetensors"}
    plan = prepare(config(tmp_path, name="first", search__fix=fix))
    whole = str(tmp_path / "weights.safetensors")
    assert plan.config.search.fix["teacher_weights"] == whole
    assert [spec.weights for spec in plan.method.assets(plan.context)] == [whole]
    study = Study.create(plan.config, {"study_id": "x"})
    study.unlock()
    monkeypatch.chdir("/")
    again = plan_for(study.config, plan.method, plan.data)
    assert [spec.weights for spec in again.method.assets(again.context)] == [whole]
    prepare(config(tmp_path, search__fix={"teacher": TEACHER, "teacher_weights": ""}))


def test_a_trial_counts_the_iterations_of_every_image():
    dwa = registry.get("dwa")
    assert trial_iterations(dwa, context(), {}) == 3 * 20
    assert trial_iterations(dwa, context(), {"recover_iterations": 7, "batch": 4}) == 3 * 3 * 7
    assert trial_iterations(registry.get("dm"), context(), {"lr_img": 2.0}) == 20
    assert trial_iterations(dwa, context(), {"recover_iterations": 0}) == 20  # which the trial will refuse
