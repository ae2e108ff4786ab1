"""The baselines' tasks, called without Ray on digits."""

import pytest
import torch

import raydd
from raydd import config as configuration
from raydd import devices, files
from raydd.evaluation import evaluate
from raydd.storage import DistilledSet
from raydd.training import accuracies
from raydd.tuning import cluster, tasks
from raydd.tuning.studies import Study

NET = "convnet-w4"
COUNTS = (1150, 288, 359)  # train, val and test images of digits


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    tasks._jobs.clear()


def study_in(home, **confirm):
    values = {
        "method": "dm",
        "name": "first",
        "home": str(home),
        "ipc": 3,
        "iterations": 4,
        "search": {"fix": {"net": NET, "batch_real": 8}},
        "evaluation": {"net": NET, "epochs": 2, "device": "cpu"},
        "confirm": {"baseline_epochs": 20, "repeats": 1, **confirm},
        "compile": "off",
    }
    study = Study.create(configuration.build(values), {})
    study.unlock()
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return study_in(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def prepared(study):
    return tasks.prepare_baselines(study.folder, NET)


def arm(baseline):
    return {"key": baseline, "method": None, "hyperparameters": {}, "baseline": baseline, "labelled_as": {}}


def test_coresets_are_written_down_with_the_network_that_chose_them(study, prepared):
    assert files.read_json(study.folder / "confirm" / "baselines.json") == prepared
    assert (prepared["net"], prepared["epochs"]) == (NET, 20)
    assert sorted(prepared["rows"]) == ["herding", "k_center"]
    data = raydd.load_data("digits")
    for rows in prepared["rows"].values():
        assert data.train.labels[rows].tolist() == [class_ for class_ in range(10) for _ in range(3)]
        assert len(set(rows)) == 30
    assert len(list(study.assets.glob("features-*"))) == 1


def test_full_is_the_test_accuracy_of_that_network_read_once(study, prepared):
    before = study.test_readings()
    where = study.folder / "confirm" / "full" / "report-0"
    result = tasks.evaluate_full(study.folder, NET, where, prepared)
    assert len(list(study.assets.glob("features-*"))) == 1
    job, spec = tasks.open_baselines(study.folder, NET)
    cpu = devices.Compute(torch.device("cpu"), "fp32", False)
    expected = accuracies(job.assets.get(spec), raydd.load_data("digits").test, job.data.normalisation, cpu)
    assert result["nets"][NET]["values"] == expected
    assert expected[0] > 0.3  # better than chance
    assert result["nets"][NET]["optimisation_steps"] == 20 * 5
    assert result["bytes"] == 1150 * 64
    assert files.read_json(where / "result.json")["nets"][NET]["mean"] == expected[0]
    assert study.test_readings() == before + 1


def test_a_coreset_is_one_set_whatever_the_seed_and_its_networks_differ(study, prepared):
    folders = [study.folder / "confirm" / "herding" / f"report-{index}" for index in range(2)]
    results = [
        tasks.distil_and_evaluate(study.folder, arm("herding"), seed, "test", [NET], where, prepared)
        for seed, where in zip((11, 12), folders)
    ]
    sets = [folder / "distilled.safetensors" for folder in folders]
    assert sets[0].read_bytes() == sets[1].read_bytes()
    assert results[0]["nets"][NET]["values"] != results[1]["nets"][NET]["values"]
    coreset = DistilledSet.load(sets[0])
    train = raydd.load_data("digits").train
    assert torch.equal(coreset.images(), coreset.normalisation.apply(train.take(prepared["rows"]["herding"])))
    assert (coreset.recipe["protocol"], coreset.recipe["epochs"]) == ("dsa", 2)


def test_random_images_need_nothing_prepared(study):
    where = study.folder / "confirm" / "random" / "report-0"
    result = tasks.distil_and_evaluate(study.folder, arm("random"), 11, "test", [NET], where)
    assert (result["seed"], result["diverged"]) == (11, "")
    assert DistilledSet.load(where / "distilled.safetensors").manifest["seed"] == 11


def test_a_set_whose_steps_differ_is_judged_twice_and_each_reading_counted(study):
    before = study.test_readings()
    where = study.folder / "confirm" / "random" / "report-1"
    # 30 images are one batch, and two epochs three steps, as the dsa protocol has it
    result = tasks.distil_and_evaluate(study.folder, arm("random"), 5, "test", [NET], where, None, 80)
    own = result["nets"][NET]
    second = own["equal_steps"]
    assert (own["epochs"], own["optimisation_steps"]) == (2, 3)
    assert (second["epochs"], second["optimisation_steps"]) == (79, 80)
    judged = evaluate(
        DistilledSet.load(where / "distilled.safetensors"),
        raydd.load_data("digits"),
        net=NET,
        steps=80,
        repeats=1,
        seed=5,
        device="cpu",
    )
    assert second["values"] == list(judged.values) != own["values"]
    assert files.read_json(where / "result.json")["nets"][NET]["equal_steps"]["mean"] == judged.mean
    assert [row["epochs"] for row in files.read_jsonl(study.folder / "test_ledger.jsonl")[before:]] == [2, 79]


def test_a_set_whose_steps_are_the_winners_is_judged_once(study):
    before = study.test_readings()
    where = study.folder / "confirm" / "random" / "report-2"
    result = tasks.distil_and_evaluate(study.folder, arm("random"), 5, "test", [NET], where, None, 3)
    assert "equal_steps" not in result["nets"][NET]
    assert study.test_readings() == before + 1


def test_a_distillation_that_diverges_is_worth_chance_at_both_lengths_and_reads_nothing(study):
    before = study.test_readings()
    spoilt = {"key": "0", "method": "dm", "hyperparameters": {"lr_img": 1e38}, "baseline": None}
    where = study.folder / "confirm" / "0" / "report-0"
    result = tasks.distil_and_evaluate(study.folder, spoilt, 5, "test", [NET], where, None, 7)
    own = result["nets"][NET]
    assert "finite" in result["diverged"]
    assert (own["mean"], own["epochs"]) == (0.1, 2)
    assert (own["equal_steps"]["mean"], own["equal_steps"]["epochs"]) == (0.1, 6)
    assert study.test_readings() == before


def test_with_train_and_val_both_are_learnt_from(tmp_path):
    study = study_in(tmp_path, fit="train+val", baselines=["k_center"], baseline_epochs=1)
    rows = tasks.prepare_baselines(study.folder, NET)["rows"]
    assert list(rows) == ["k_center"]
    assert COUNTS[0] <= max(rows["k_center"]) < COUNTS[0] + COUNTS[1]
    job, spec = tasks.open_baselines(study.folder, NET)
    facts = job.assets.record(spec)["facts"]
    assert facts["train_fingerprint"] == raydd.load_data("digits").train_and_val().train.fingerprint


@pytest.mark.integration
def test_a_task_whose_worker_is_killed_is_run_again_and_leaves_no_half_result(study):
    where = study.folder / "confirm" / "random" / "report-9"
    resources = study.config.resources

    def killed_at_the_end(*arguments):  # nested, so that Ray sends it whole
        import os
        import signal

        from raydd import files
        from raydd.tuning import tasks

        write, tries = files.write_json, where / "tries"

        def dying(path, value):
            if path == where / "result.json":
                with tries.open("a") as file:
                    file.write(f"{sorted(each.name for each in where.iterdir())}\n")
                if len(tries.read_text().splitlines()) < 3:
                    os.kill(os.getpid(), signal.SIGKILL)
            write(path, value)

        files.write_json = dying
        try:
            return tasks.distil_and_evaluate(*arguments)
        finally:
            files.write_json = write

    with cluster.session(resources) as ray:
        task = ray.remote(**cluster.task_options(ray, resources))(killed_at_the_end)
        reference = task.remote(study.folder, arm("random"), 9, "test", [NET], where)
        result = cluster.fetch(ray, reference, "it failed")
    tries = (where / "tries").read_text().splitlines()
    assert len(tries) == 3
    assert not any("result.json" in each for each in tries)
    written = files.read_json(where / "result.json")
    assert written["nets"][NET]["values"] == result["nets"][NET]["values"]
    alone = tasks.distil_and_evaluate(study.folder, arm("random"), 9, "test", [NET], where.with_name("alone"))
    assert result["nets"][NET]["values"] == alone["nets"][NET]["values"]
