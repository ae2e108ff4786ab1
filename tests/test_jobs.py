import time

import numpy as np
import optuna
import pytest
import torch
from PIL import Image
from pydantic import BaseModel

import raydd
from raydd import files, jobs, registry
from raydd.config import DataConfig
from raydd.devices import Compute
from raydd.errors import ConfigError, DataError, SpaceError
from raydd.evaluation import evaluate
from raydd.registry import Context
from raydd.storage import AssetStore

torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.ERROR)
SMALL = {"net": "convnet-w8", "batch_real": 8, "pool_net": "convnet-w8", "pool_size": 1, "pool_epochs": 1}


@pytest.fixture(scope="module")
def digits():
    return raydd.load_data("digits")


def job_of(name, data, root, ipc=2):
    method = registry.get(name)
    fixed = {key: value for key, value in SMALL.items() if key in method.hyperparameters.model_fields}
    context = jobs.context_of(method, data, ipc=ipc, iterations=4, fixed=fixed)
    compute = Compute(torch.device("cpu"))
    return jobs.Job(method, data, context, AssetStore(root / "assets", data, compute), compute)


@pytest.mark.parametrize("name", ["dm", "iid"])
def test_with_and_without_evaluations_the_images_are_bit_equal(name, digits, tmp_path):
    quiet, judged = (
        job_of(name, digits, tmp_path).distiller({}, 3),
        job_of(name, digits, tmp_path).distiller({}, 3),
    )
    while quiet.progress < 1:
        quiet.step()
        evaluate(judged.distilled(), digits, net="convnet-w8", epochs=1, repeats=1, split="val", device="cpu")
        judged.step()
    assert torch.equal(quiet.distilled().pixels, judged.distilled().pixels)


def test_a_bank_that_another_trial_filled_changes_no_bit(digits, tmp_path):
    def images(root, lambda_cc):
        distiller = job_of("iid", digits, root).distiller({"lambda_cc": lambda_cc}, 0)
        for _ in range(12):
            distiller.step()
        return distiller.distilled().pixels

    alone = images(tmp_path / "alone", 0.3)
    images(tmp_path / "shared", 0.01)
    assert len(list((tmp_path / "shared" / "bank").rglob("*.safetensors"))) == 1
    assert torch.equal(images(tmp_path / "shared", 0.3), alone)


def test_unknown_and_impossible_values_are_one_sentence(digits, tmp_path):
    job = job_of("iid", digits, tmp_path)
    with pytest.raises(
        SpaceError, match="unknown hyperparameter of iid 'lambda_c': did you mean 'lambda_cm'"
    ):
        jobs.resolve(job.method, job.context, {"lambda_c": 1})
    with pytest.raises(SpaceError, match="lambda_cc: should be greater than or equal to 0, got -1"):
        jobs.resolve(job.method, job.context, {"lambda_cc": -1})


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (
            "iid",
            {"factor": 2},
            "iid: base dm takes factor 1, update joint and init real or noise, got factor 2, update joint and init "
            "real; base idm takes all of them",
        ),
        ("idm", {"net_start": 7, "net_num": 5}, "idm: net_start must be at most net_num, which is 5, got 7"),
        (
            "idm",
            {"factor": 5},
            "factor: 5 leaves cells without pixels in images of 8 px; allowed: 1, 2, 3, 4, 8",
        ),
        (
            "iid",
            {"base": "idm", "factor": 5},
            "factor: 5 leaves cells without pixels in images of 8 px; allowed: 1, 2, 3, 4, 8",
        ),
        (
            "idc",
            {"factor": 5},
            "factor: 5 leaves cells without pixels in images of 8 px; allowed: 1, 2, 3, 4, 8",
        ),
        (
            "idc",
            {"factor": 8, "decode": "multi"},
            "factor: 8 with decode multi leaves cells without pixels in images of 8 px; allowed: 1, 2, 3, 4",
        ),
        (
            "udd",
            {"regions": 30},
            "regions: 30 are more than the 9 windows that grid_size 3 and region_scale 0.5 give in sub-images of 4 px",
        ),
        (
            "udd",
            {"regions": 2, "region_scale": 1.0, "region_source": "image"},
            "regions: 2 are more than the 1 window that grid_size 3 and region_scale 1.0 give in images of 8 px",
        ),
        ("udd", {"region_scale": 2}, "region_scale: should be less than or equal to 1, got 2"),
        ("udd", {"region_scale": [0.5, 2]}, "region_scale: should be less than or equal to 1, got 2"),
        (
            "udd",
            {"region_scale": ["a", 0.5]},
            "region_scale: should be a valid number, unable to parse string as a number, got 'a'",
        ),
        (
            "udd",
            {"region_scale": []},
            "region_scale: Tuple should have at least 1 item after validation, not 0, got []",
        ),
    ],
)
def test_values_that_do_not_go_together_are_one_sentence(digits, tmp_path, name, values, sentence):
    job = job_of(name, digits, tmp_path)
    for attempt in (jobs.resolve, jobs.context_fixing):
        with pytest.raises(SpaceError) as caught:
            attempt(job.method, job.context, values)
        assert str(caught.value) == sentence
    with pytest.raises(SpaceError):
        job.distiller(values, 0)  # as a trial that drew them


def test_several_scales_of_regions_are_one_value(digits, tmp_path):
    job = job_of("udd", digits, tmp_path)
    context = jobs.context_fixing(job.method, job.context, {"region_scale": [0.5, 0.34], "regions": 18})
    assert context.fixed == {"region_scale": (0.5, 0.34), "regions": 18}  # nine windows of 2 px, nine of 1 px


def of_images(dataset, size=32, ipc=10):
    return Context(dataset, 3, size, 10, ipc, 100, "color_crop_flip")


def test_defaults_follow_what_is_fixed():
    def fixed(name, context, **values):
        method = registry.get(name)
        model = jobs.resolve(method, jobs.context_fixing(method, context, values), {})
        return model.model_dump()

    iid = fixed("iid", of_images("cifar10"), base="idm", ce_weight=0.7)
    expected = {"factor": 2, "init": "mix", "update": "per_class", "lr_img": 0.2, "lambda_cm": 0.03}
    assert {name: iid[name] for name in expected} == expected
    assert iid["ce_weight"] == 0.7
    # IDC without sub-images: CutMix again on MNIST, none in the evaluation of SVHN at IPC 1
    assert fixed("idc", of_images("mnist"))["cutmix"] == 0.0
    whole = fixed("idc", of_images("mnist"), factor=1)
    assert (whole["factor"], whole["cutmix"], whole["eval_augmentation"]) == (1, 0.5, None)
    assert fixed("idc", of_images("svhn", ipc=1))["eval_cutmix"] is None
    svhn = fixed("idc", of_images("svhn", ipc=1), factor=1)
    assert (svhn["eval_cutmix"], svhn["eval_augmentation"]) == (0.0, "idc:color_crop_cutout_scale_rotate")


@pytest.mark.parametrize(
    ("name", "fixed"),
    [("idm", {}), ("iid", {"base": "idm"}), ("idc", {}), ("udd", {}), ("udd", {"grid_size": 1})],
)
def test_everything_that_is_drawn_can_be_run_however_small_the_images(name, fixed):
    method = registry.get(name)
    for size in (4, 5, 6, 8, 28):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        context = jobs.context_fixing(method, of_images("digits", size), fixed)
        for _ in range(25):
            jobs.resolve(method, context, method.space(study.ask(), context))


def test_more_images_than_a_class_has_are_refused_with_the_class_and_its_count(digits):
    fewest = min(digits.train.count(class_) for class_ in range(10))
    with pytest.raises(DataError, match=rf"ipc: 1000 images per class .* at most {fewest} is allowed"):
        jobs.context_of(registry.get("dm"), digits, ipc=1000, iterations=1, fixed={})


def test_the_base_keeps_the_fixed_values_that_it_has(digits, tmp_path):
    base = job_of("iid", digits, tmp_path).of_method("dm")
    assert base.context.fixed == {"net": "convnet-w8", "batch_real": 8}


def test_defaults_are_overlaid_by_values(digits, tmp_path):
    job = job_of("iid", digits, tmp_path)
    model = jobs.resolve(job.method, job.context, {"lambda_cc": 0.5})
    assert isinstance(model, BaseModel)
    assert (model.lambda_cc, model.lambda_cm, model.net) == (0.5, 0.01, "convnet-w8")


@pytest.mark.parametrize(("ipc", "iterations"), [(0, 1), (1, 0), (1, -1)])
def test_lengths_and_counts_below_one_are_refused(digits, ipc, iterations):
    with pytest.raises(ConfigError, match=rf"must be at least 1, got ipc={ipc}, iterations={iterations}"):
        jobs.context_of(registry.get("dm"), digits, ipc=ipc, iterations=iterations, fixed={})


def test_a_worker_takes_only_the_data_that_the_study_began_with(tmp_path):
    config = DataConfig(name="digits")
    known = raydd.load_data("digits").fingerprint
    files.write_json(tmp_path / "fingerprint.json", known)
    assert jobs.load_of_study(config, tmp_path).fingerprint == known
    files.write_json(tmp_path / "fingerprint.json", "0" * 64)
    with pytest.raises(DataError, match="digits holds other data here than those that the study began with"):
        jobs.load_of_study(config, tmp_path)


def test_a_worker_looks_again_when_its_quick_look_gave_other_data(tmp_path, monkeypatch):
    folder, config = tmp_path / "images", DataConfig(name=str(tmp_path / "images"))
    pixels = np.random.default_rng(0).integers(0, 256, (1400, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        path = folder / f"class{i % 2}" / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    time.sleep(2.1)  # a folder is remembered only when it has not changed for a while

    def load(machine, **how):
        monkeypatch.setenv("RAYDD_CACHE", str(tmp_path / machine))
        return raydd.load_data(config, **how)

    old = load("worker").fingerprint
    for path in sorted((folder / "class0").iterdir())[1:9]:  # some are not among those that are looked at
        Image.new("RGB", (8, 8)).save(path)  # in place: the folder's own time stays
        if load("worker").fingerprint == old:
            break
        old = load("worker").fingerprint
    else:
        pytest.fail("every file is looked at")
    new = load("driver", verify=True).fingerprint
    assert new != old
    files.write_json(tmp_path / "fingerprint.json", new)
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path / "worker"))
    assert jobs.load_of_study(config, tmp_path).fingerprint == new
