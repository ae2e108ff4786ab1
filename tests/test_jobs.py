import pytest
import torch
from pydantic import BaseModel

import raydd
from raydd import jobs, registry
from raydd.devices import Compute
from raydd.errors import ConfigError, DataError, SpaceError
from raydd.evaluation import evaluate
from raydd.storage import AssetStore

torch.set_num_threads(1)
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
