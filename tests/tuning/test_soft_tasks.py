"""Tasks of a confirmation of a method with soft labels, called without Ray on digits."""

import shutil

import pytest
import safetensors
import safetensors.torch
import torch

import raydd
from raydd import config as configuration
from raydd import files, nets, registry
from raydd.distillation import relabel
from raydd.errors import ArtifactError, StageFailed
from raydd.evaluation import evaluate
from raydd.formation import initial_images
from raydd.seeding import generator
from raydd.storage import DistilledSet
from raydd.tuning import arms, confirmation, tasks
from raydd.tuning.plan import plan_for
from raydd.tuning.stages import check_assets
from raydd.tuning.studies import Study

NET = "convnet-d1-w16"
TEACHER = "convnet-d1-w8-bn"
EPOCHS = 60


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    tasks._jobs.clear()


def study_in(home, fix=None, **confirm):
    values = {
        "method": "dwa",
        "name": "first",
        "home": str(home),
        "ipc": 2,
        "iterations": 2,
        "search": {"fix": {"teacher": TEACHER, "teacher_epochs": 20, **(fix or {})}},
        "evaluation": {"net": NET, "epochs": EPOCHS, "device": "cpu"},
        "confirm": {"baseline_epochs": 1, "repeats": 1, **confirm},
        "compile": "off",
    }
    study = Study.create(configuration.build(values), {})
    study.unlock()
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return study_in(tmp_path_factory.mktemp("home"))


def winner(**hyperparameters):
    return {"key": "0", "method": "dwa", "hyperparameters": hyperparameters, "baseline": None}


def real(name, **labelled_as):
    return {
        "key": name,
        "method": None,
        "hyperparameters": {},
        "baseline": name,
        "labelled_as": labelled_as,
    }


def run(study, arm, index=0, split="test", **more):
    """The result of an arm, its set, and what the ledger of test readings got."""
    before = study.test_readings()
    where = study.folder / "confirm" / arm["key"] / f"{split}-{index}"
    result = tasks.distil_and_evaluate(study.folder, arm, 11 + index, split, [NET], where, **more)
    assert files.read_json(where / "result.json")["nets"][NET]["mean"] == result["nets"][NET]["mean"]
    read = files.read_jsonl(study.folder / "test_ledger.jsonl")[before:] if study.test_readings() else []
    return result, DistilledSet.load(where / "distilled.safetensors"), read


@pytest.fixture(scope="module")
def own(study):
    return run(study, winner())


@pytest.fixture(scope="module")
def random(study):
    return run(study, real("random"))


def test_real_images_get_the_labels_of_the_very_teacher_and_the_same_recipe(own, random):
    result, distilled, _ = own
    other, images, _ = random
    assert (distilled.label_kind, images.label_kind) == ("online", "online")
    assert images.manifest["method"] == "random"
    assert images.label_facts == distilled.label_facts
    assert images.recipe == distilled.recipe
    assert images.teacher.facts["sha256"] == distilled.teacher.facts["sha256"]
    assert {one["nets"][NET]["label_regime"] for one in (result, other)} == {"soft"}
    assert other["labels"] == result["labels"]
    assert other["recipe"] == result["recipe"]
    assert result["recipe"]["temperature"] == 30.0
    accuracy = result["nets"][NET]["teacher_accuracy"]
    assert 0.3 < accuracy == other["nets"][NET]["teacher_accuracy"]


def test_random_images_are_those_that_the_method_starts_from(random):
    _, images, _ = random
    data = raydd.load_data("digits")
    expected = initial_images(data.train, 2, data.normalisation, 11, "real")
    assert torch.equal(images.pixels, expected)


@pytest.mark.parametrize("which", ["own", "random"])
def test_the_same_pixels_are_judged_with_hard_labels_too_and_both_readings_counted(which, request):
    result, distilled, read = request.getfixturevalue(which)
    hard = result["nets"][NET]["hard"]
    again = evaluate(
        distilled,
        raydd.load_data("digits"),
        net=NET,
        epochs=EPOCHS,
        repeats=1,
        seed=11,
        device="cpu",
        labels="hard",
    )
    assert (hard["values"], hard["label_regime"]) == (list(again.values), "hard")
    assert hard["values"] != result["nets"][NET]["values"]
    assert (hard["protocol"], hard["epochs"]) == ("sre2l-cifar", EPOCHS) == (again.protocol, again.epochs)
    assert "teacher_accuracy" not in hard
    assert [row.get("labels") for row in read] == [None, "hard"]
    assert {row["epochs"] for row in read} == {EPOCHS}


def test_bytes_stand_apart_and_the_teacher_lies_among_the_assets_only(study, own):
    result, distilled, _ = own
    assert result["image_bytes"] == 20 * 64 * 4 + 20 * 8
    assert result["label_bytes"] == 20 * 10 * 2  # the logits of the plain images
    assert result["teacher_bytes"] == distilled.teacher.stored_bytes > 0
    file = study.folder / "confirm" / "0" / "test-0" / "distilled.safetensors"
    with safetensors.safe_open(file, framework="pt") as opened:
        assert not [name for name in opened.keys() if name.startswith("teacher/")]  # noqa: SIM118
    assert len(list(study.assets.glob("teacher-*"))) == 1


def test_the_base_has_the_same_teacher(study, own):
    base = {"key": "base", "method": "sre2l", "hyperparameters": {}, "baseline": None}
    result, distilled, _ = run(study, base)
    assert distilled.manifest["method"] == "sre2l"
    assert result["labels"] == own[0]["labels"]
    assert result["nets"][NET]["hard"]["label_regime"] == "hard"


def test_a_coreset_has_soft_labels_and_no_hard_ones(study, own):
    prepared = tasks.prepare_baselines(study.folder, NET)
    result, images, read = run(study, real("herding"), prepared=prepared)
    assert result["nets"][NET]["label_regime"] == "soft"
    assert images.label_facts == own[1].label_facts
    assert "hard" not in result["nets"][NET]
    assert len(read) == 1


def test_the_re_ranking_judges_with_the_methods_labels_only(study):
    result, _, read = run(study, winner(), split="val")
    assert result["nets"][NET]["label_regime"] == "soft"
    assert "hard" not in result["nets"][NET]
    assert read == []


def test_the_winners_own_temperature_is_kept_and_written_down(study):
    result, distilled, _ = run(study, winner(temperature=12.0), split="val", index=1)
    assert result["recipe"]["temperature"] == 12.0 == result["nets"][NET]["temperature"]
    assert distilled.recipe["temperature"] == 12.0


@pytest.mark.parametrize("name", ["random", "herding"])
def test_real_images_are_labelled_by_the_winners_settings(study, name):
    tuned = {"temperature": 12.0, "teacher_mode": "train", "mixup": 0.3, "lr": 0.1}
    prepared = tasks.prepare_baselines(study.folder, NET)
    own, distilled, _ = run(study, winner(**tuned), split="val", index=5)
    other, images, _ = run(study, real(name, **tuned), split="val", index=5, prepared=prepared)
    assert images.recipe == distilled.recipe
    assert (images.recipe["temperature"], images.recipe["mixup"]) == (12.0, 0.3)
    assert other["recipe"] == own["recipe"]
    assert other["nets"][NET]["temperature"] == 12.0
    assert other["labelled_as"] == tuned
    assert "labelled_as" not in own


def test_the_report_labels_real_images_as_the_winner_and_only_those_results_are_taken_again(study):
    plan = plan_for(study.config, registry.get("dwa"), raydd.load_data("digits"))
    best = arms.Arm("3", "winner", "", "winner", "dwa", {"temperature": 12.0}, trial=3)
    random, full = (arms.baseline_arm(name, plan, best) for name in ("random", "full"))
    assert (random.labelled_as, full.labelled_as) == ({"temperature": 12.0}, {})
    where = confirmation.unit_folder(study, random, "report", 0)
    assert not confirmation.finished(where, random)
    for made, taken in (({}, False), ({"temperature": 30.0}, False), ({"temperature": 12.0}, True)):
        files.write_json(where / "result.json", {"labelled_as": made})
        assert confirmation.finished(where, random) == taken
    files.write_json(where / "result.json", {})  # made before it was written down
    assert not confirmation.finished(where, random)
    assert confirmation.finished(where, full)
    hard = plan_for(study.config.replace(method="dm", search={}), registry.get("dm"), plan.data)
    assert arms.baseline_arm("random", hard, best).labelled_as == {}


def test_labels_are_recorded_once_for_the_recipe_that_is_judged(tmp_path, monkeypatch):
    study = study_in(tmp_path, {"labels": "stored"})
    recorded = []
    original = relabel.replay_logits

    def counting(*arguments, **named):
        recorded.append(named["epochs"])
        return original(*arguments, **named)

    monkeypatch.setattr(relabel, "replay_logits", counting)
    for arm in (winner(), real("random")):
        run(study, arm, split="val")
    assert recorded == [EPOCHS, EPOCHS]


def test_a_worker_stops_where_the_teacher_is_another_than_the_study_began_with(tmp_path):
    weights = tmp_path / "weights.safetensors"
    saved = {}
    for seed in (0, 1):
        net = nets.build(TEACHER, channels=1, size=8, classes=10, generator=generator(seed, "net"))
        saved[seed] = safetensors.torch.save(net.state_dict())
    weights.write_bytes(saved[0])
    study = study_in(tmp_path / "home", {"teacher_weights": str(weights)})
    record = tasks.make_asset(study.folder, 0)
    check_assets(study, [record])
    run(study, real("random"), split="val")
    weights.write_bytes(saved[1])
    with pytest.raises(ArtifactError) as caught:
        run(study, real("random"), split="val", index=1)
    assert str(caught.value).startswith(f"the teacher {TEACHER}, weights {weights}, has the sha256 ")
    assert str(caught.value).endswith(
        f"began with {record['sha256'][:12]}; bring the old one back, or start a new study"
    )
    plan = plan_for(study.config, registry.get("dwa"), raydd.load_data("digits"))
    other = tasks.make_asset(study.folder, 0)
    with pytest.raises(StageFailed, match="are not those that study 'first' began with"):
        confirmation.check_weights(study, plan, [other])
    confirmation.check_weights(study, plan, [record])
    weights.write_bytes(saved[0])
    for folder in study.assets.glob("teacher-*"):
        shutil.rmtree(folder)  # what is gone and comes out the same may be used
    run(study, real("random"), split="val", index=1)


def test_a_soft_label_distillation_that_diverges_is_worth_chance_with_both_labels(study):
    result, _, read = run(study, winner(lambda_mean=1e38), index=2)
    assert "finite" in result["diverged"]
    own = result["nets"][NET]
    assert (own["mean"], own["label_regime"]) == (0.1, "soft")
    assert (own["hard"]["mean"], own["hard"]["label_regime"]) == (0.1, "hard")
    assert read == []


def test_stored_labels_are_made_for_the_reports_recipe(tmp_path):
    study = study_in(tmp_path, {"labels": "stored"})
    for arm in (winner(), real("random")):
        result, distilled, _ = run(study, arm)
        assert (distilled.label_kind, distilled.label_facts["replay"]["epochs"]) == ("stored", EPOCHS)
        assert result["label_bytes"] == (1 + EPOCHS) * 20 * 10 * 2  # logits and replay
        assert result["teacher_bytes"] == 0
        assert result["nets"][NET]["hard"]["label_regime"] == "hard"


def test_with_hard_labels_fixed_nothing_is_soft(tmp_path):
    study = study_in(tmp_path, {"labels": "hard"})
    for arm in (winner(), real("random")):
        result, distilled, read = run(study, arm)
        assert distilled.label_kind == "hard"
        assert result["nets"][NET]["label_regime"] == "hard"
        assert not {"hard", "teacher_accuracy"} & set(result["nets"][NET])
        assert not {"image_bytes", "labels"} & set(result)
        assert len(read) == 1


def test_with_train_and_val_the_teacher_is_trained_on_both_and_gives_the_labels(tmp_path):
    study = study_in(tmp_path, fit="train+val")
    tasks.make_asset(study.folder, 0)
    record = tasks.make_asset(study.folder, 0, "train+val")  # as `confirmation.remake_assets` has it made
    both = raydd.load_data("digits").train_and_val().train.fingerprint
    assert record["facts"]["train_fingerprint"] == both
    for arm in (winner(), real("random")):
        result, distilled, _ = run(study, arm)
        assert result["labels"]["teacher"]["sha256"] == record["sha256"]
        assert distilled.teacher.facts["sha256"] == record["sha256"]
    assert len(list(study.assets.glob("teacher-*"))) == 2
    ranked, _, _ = run(study, winner(), split="val")
    assert ranked["labels"]["teacher"]["sha256"] != record["sha256"]  # of train alone, as in the search


def test_every_arm_is_judged_by_the_protocol_that_the_method_takes_for_images_of_this_size(tmp_path):
    home = tmp_path / "home"
    values = study_in(home, {"teacher_epochs": 1}, baselines=["random"]).config.model_dump()
    values = {**values, "name": "large", "data": {**values["data"], "image_size": 64}}
    values["evaluation"]["epochs"] = 1
    large = Study.create(configuration.build(values), {})
    large.unlock()
    base = {"key": "base", "method": "sre2l", "hyperparameters": {}, "baseline": None}
    for arm in (winner(), base, real("random")):
        result, distilled, _ = run(large, arm, split="val")
        assert (distilled.recipe["protocol"], result["nets"][NET]["protocol"]) == ("sre2l-tiny", "sre2l-tiny")
    plan = plan_for(large.config, registry.get("dwa"), raydd.load_data("digits", image_size=64))
    best = arms.Arm("0", "winner", "", "winner", "dwa", {})
    assert arms.compared_steps(plan, best) == 1  # 20 images are one batch
