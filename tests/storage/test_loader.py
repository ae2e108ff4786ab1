"""The way into anybody's training loop: batches of a set, a new order every epoch, the same from the same seed."""

from __future__ import annotations

import pytest
import torch

from raydd.errors import ConfigError
from raydd.formation import cells_spec, initial_images, initial_labels
from raydd.registry import Context
from raydd.storage import DistilledSet, manifest

TEACHER = {
    "asset": "teacher-0123456789abcdef",
    "sha256": "ab",
    "weights": "cd",
    "net": "convnet",
    "epochs": 3,
}
TEACHER |= {"pretrained": False}


@pytest.fixture
def distilled(data):
    context = Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50)
    evaluation = {"protocol": "dsa", "net": "convnet", "epochs": None, "augmentation": "", "temperature": 2.0}
    facts = manifest(
        method="dm",
        hyperparameters={},
        context=context,
        data=data,
        seed=0,
        iteration=7,
        evaluation=evaluation,
        decode=cells_spec(2),
        labels={"kind": "image", "teacher": TEACHER},
    )
    logits = torch.randn(24, 3, generator=torch.Generator().manual_seed(1)).half()
    pixels = initial_images(data.train, 2, data.normalisation, 0)
    return DistilledSet(pixels, initial_labels(3, 2), facts, logits=logits)


def epoch(loader):
    images, labels = zip(*loader)
    return torch.cat(images), torch.cat(labels)


def test_every_epoch_has_every_training_image_once_in_a_new_order(distilled):
    loader = distilled.loader(batch_size=10)
    assert [len(images) for images, _ in loader] == [10, 10, 4]
    assert len(loader) == 3
    own = distilled.images().flatten(1)
    orders = []
    for _ in range(2):
        images, labels = epoch(loader)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        order = torch.cdist(images.flatten(1), own, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
        assert torch.equal(images, distilled.images()[order])
        assert torch.equal(labels, distilled.labels()[order])
        assert sorted(order.tolist()) == list(range(24))
        orders.append(order)
    assert not torch.equal(*orders)


def test_a_seed_gives_the_same_batches_and_torchs_own_generator_is_left_alone(distilled):
    before = torch.random.get_rng_state()
    first, second = distilled.loader(batch_size=5, seed=7), distilled.loader(batch_size=5, seed=7)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(epoch(first), epoch(second)))
    other = epoch(distilled.loader(batch_size=5, seed=8))
    assert not torch.equal(epoch(distilled.loader(batch_size=5, seed=7))[0], other[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_shuffling_it_is_the_set_in_its_order(distilled):
    images, labels = epoch(distilled.loader(batch_size=7, shuffle=False))
    assert torch.equal(images, distilled.images())
    assert torch.equal(labels, distilled.labels())
    assert [len(images) for images, _ in distilled.loader(batch_size=7, drop_last=True)] == [7, 7, 7]


def test_soft_labels_are_probabilities_at_the_sets_temperature(distilled):
    _, labels = epoch(distilled.loader(batch_size=8, shuffle=False, soft=True))
    assert torch.allclose(labels, (distilled.logits.float() / 2).softmax(1))
    _, sharper = epoch(distilled.loader(batch_size=8, shuffle=False, soft=True, temperature=1))
    assert torch.allclose(sharper, distilled.logits.float().softmax(1))


def test_what_cannot_be_given_is_refused(distilled):
    with pytest.raises(ConfigError, match="batch_size: must be at least 1, got 0"):
        distilled.loader(batch_size=0)
    hard = distilled.decoded()
    hard.manifest["labels"] = {"kind": "hard"}
    object.__setattr__(hard, "logits", None)
    with pytest.raises(ConfigError, match="soft: the set's labels are hard"):
        hard.loader(soft=True)


def test_worker_processes_give_the_same_batches(distilled):
    from torch.utils.data import DataLoader

    loader = distilled.loader(batch_size=6, shuffle=False)
    workers = DataLoader(loader.dataset, batch_size=6, num_workers=1, collate_fn=loader.collate_fn)
    assert all(torch.equal(a, b) for a, b in zip(epoch(loader), epoch(workers)))


def test_decoding_leaves_the_training_images_as_they_were(distilled):
    decoded = distilled.decoded()
    assert decoded.ipc == 8
    assert torch.equal(decoded.images(), distilled.images())
    assert torch.equal(decoded.labels(), distilled.labels())
    decoded.check("the set")
