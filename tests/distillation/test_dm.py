"""DM against a literal loop over the classes, and the promises every distiller makes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from raydd import nets
from raydd.augment import DSA
from raydd.data import DataSplits
from raydd.distillation import DM
from raydd.errors import TrialDiverged
from raydd.formation import initial_images
from raydd.registry import Context
from raydd.seeding import generator
from trainables.dm import DMHyperparameters

CPU = torch.device("cpu")


def distiller(data: DataSplits, context: Context, seed: int = 0, **values: Any) -> DM:
    values = {"net": "convnet-w8", "batch_real": 10, "lr_img": 0.5, **values}
    return DM(DMHyperparameters(**values), context, data, seed, CPU)


def run(dm: DM, steps: int) -> torch.Tensor:
    for _ in range(steps):
        dm.step()
    return dm.distilled().pixels


def literal_loop(
    data: DataSplits, context: Context, steps: int, lr: float
) -> tuple[torch.Tensor, list[float]]:
    """DM as the authors' loop goes: one class after the other, one SGD step."""
    augment = DSA(context.augmentation)
    pixels = initial_images(data.train, context.ipc, data.normalisation, 0).requires_grad_()
    optimiser = torch.optim.SGD([pixels], lr=lr, momentum=0.5)
    losses = []
    for t in range(steps):
        net = nets.build(
            "convnet-w8", channels=3, size=8, classes=3, generator=generator(0, "matching_net", t)
        )
        loss = torch.zeros(())
        for c in range(3):
            real = data.normalisation.apply(data.train.sample(c, 10, generator(0, "real_batch", t, c)))
            syn = pixels[c * context.ipc : (c + 1) * context.ipc]
            draw = augment.draw(generator(0, "augmentation", t, c))
            real_mean = net.embed(augment(real, draw)).detach().mean(0)
            syn_mean = net.embed(augment(syn, draw)).mean(0)
            loss = loss + ((real_mean - syn_mean) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return pixels.detach(), losses


def test_the_steps_are_those_of_the_literal_loop(data: DataSplits, context: Context) -> None:
    dm = distiller(data, context)
    losses = [dm.step()["dm"] for _ in range(6)]
    expected, expected_losses = literal_loop(data, context, 6, lr=0.5)
    assert losses == pytest.approx(expected_losses, rel=1e-4)
    torch.testing.assert_close(dm.distilled().pixels, expected, rtol=1e-3, atol=1e-4)
    moved = (expected - initial_images(data.train, 4, data.normalisation, 0)).abs().max()
    assert moved > 0.01


def test_the_loss_falls(data: DataSplits, context: Context) -> None:
    dm = distiller(data, context, init="noise", lr_img=5.0, batch_real=30, augmentation="")
    losses = [dm.step() for _ in range(60)]
    assert all(set(row) == {"dm", "total"} and row["dm"] == row["total"] for row in losses)
    first, last = (sum(row["dm"] for row in part) for part in (losses[:10], losses[-10:]))
    assert last < 0.5 * first


def test_an_interrupted_run_continues_bit_for_bit(data: DataSplits, context: Context) -> None:
    whole = run(distiller(data, context), 6)
    first = distiller(data, context)
    run(first, 3)
    state = first.state_dict()
    kept = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in state.items()
    }
    run(first, 1)  # the state is a copy: going on does not change it
    assert all(torch.equal(kept[name], state[name]) for name in ("pixels", "velocity"))
    second = distiller(data, context)
    second.load_state_dict(state)
    assert second.iteration == 3
    assert torch.equal(run(second, 3), whole)
    assert second.iteration == 6
    assert second.progress == pytest.approx(0.3)


def test_looking_at_the_set_between_steps_changes_nothing(data: DataSplits, context: Context) -> None:
    whole = run(distiller(data, context), 4)
    looked = distiller(data, context)
    for _ in range(4):
        looked.distilled().pixels.zero_()
        torch.rand(3)
        looked.step()
        looked.distilled().grid()
    assert torch.equal(looked.distilled().pixels, whole)


def test_the_global_random_state_is_neither_read_nor_moved(data: DataSplits, context: Context) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(distiller(data, context), 2)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(run(distiller(data, context), 2), first)
    assert not torch.equal(run(distiller(data, context, seed=1), 2), first)


def test_taking_classes_in_turns_changes_rounding_at_most(
    data: DataSplits, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = distiller(data, context)
    losses = [together.step()["total"] for _ in range(3)]
    monkeypatch.setattr("raydd.distillation.dm.FORWARD_PIXELS", 2 * 4 * 8 * 8)  # two classes, then one
    turns = distiller(data, context)
    assert [turns.step()["total"] for _ in range(3)] == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(turns.distilled().pixels, together.distilled().pixels, rtol=1e-3, atol=1e-4)


def test_a_run_that_blows_up_says_so(data: DataSplits, context: Context) -> None:
    dm = distiller(data, context, lr_img=1e38)
    with pytest.raises(
        TrialDiverged, match=r"iteration [1-4]: a loss or a pixel is not finite \(dm .*, total "
    ):
        run(dm, 4)


def test_the_set_carries_the_recipe_and_the_numbers_it_was_made_with(
    data: DataSplits, context: Context
) -> None:
    dm = distiller(data, context, seed=3)
    run(dm, 1)
    facts = dm.distilled().manifest
    assert facts["method"] == "dm"
    assert facts["hyperparameters"] == {
        "lr_img": 0.5,
        "momentum": 0.5,
        "batch_real": 10,
        "net": "convnet-w8",
        "init": "real",
        "augmentation": None,
    }
    assert facts["evaluation"] == {
        "protocol": "dsa",
        "net": "convnet-w8",
        "epochs": None,
        "augmentation": context.augmentation,
    }
    assert (facts["seed"], facts["iteration"], facts["iterations"]) == (3, 1, 20)
    overridden = distiller(data, context, augmentation="flip")
    assert overridden.distilled().recipe["augmentation"] == "flip"
    assert overridden.real_side.augment.ops == ("flip",)


def test_before_the_first_step_the_set_is_the_initial_images(data: DataSplits, context: Context) -> None:
    dm = distiller(data, context)
    assert dm.progress == 0.0
    assert torch.equal(dm.distilled().images(), initial_images(data.train, 4, data.normalisation, 0))
    assert dm.distilled().labels().tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_ipc_up_to_the_smallest_class(data: DataSplits, context: Context) -> None:
    images = run(distiller(data, dataclasses.replace(context, ipc=12)), 1)
    assert images.shape == (36, 3, 8, 8)
