"""Recovery of images from a teacher: the step, the order of ids and classes, and what survives an interruption."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydd import nets
from raydd.data import DataSplits
from raydd.distillation import DWA, SRe2L, adam_step, batchnorm_statistics
from raydd.errors import TrialDiverged
from raydd.formation import initial_images
from raydd.nets import Network
from raydd.registry import Context
from raydd.seeding import generator
from raydd.storage import Teacher
from trainables.dwa import DWA as DWA_METHOD
from trainables.dwa import DWAHyperparameters
from trainables.sre2l import SRE2L, SRe2LHyperparameters, relabelling

CPU = torch.device("cpu")
NET = "convnet-d1-w4-bn"
SHORT = {"recover_iterations": 3, "teacher": NET, "jitter": 2}


def teacher_of(net: str = NET, seed: int = 5) -> Teacher:
    """An untrained teacher that remembers something."""
    made = nets.build(net, channels=3, size=8, classes=3, generator=generator(seed, "teacher"))
    stream = generator(seed, "statistics")
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=stream))
            module.running_var.copy_(0.3 + torch.rand(module.num_features, generator=stream))
    facts = {"asset": "teacher-0", "sha256": "0" * 64, "net": net, "epochs": 0, "train_accuracy": 0.3}
    return Teacher(net, made.state_dict(), {**facts, "pretrained": False})


def sre2l(data: DataSplits, context: Context, seed: int = 0, **values: Any) -> SRe2L:
    numbers = SRe2LHyperparameters(**{**SHORT, **values})
    how = relabelling(numbers, SRE2L.evaluation(numbers, context))
    return SRe2L(numbers, context, data, teacher_of(numbers.teacher), how, seed, CPU)


def dwa(data: DataSplits, context: Context, seed: int = 0, **values: Any) -> DWA:
    numbers = DWAHyperparameters(**{**SHORT, "k": 2, **values})
    how = relabelling(numbers, DWA_METHOD.evaluation(numbers, context))
    return DWA(numbers, context, data, teacher_of(numbers.teacher), how, seed, CPU)


MAKERS = [pytest.param(sre2l, id="sre2l"), pytest.param(dwa, id="dwa")]


def run(distiller: SRe2L | DWA, steps: int | None = None) -> SRe2L | DWA:
    """Some steps, or all."""
    while distiller.progress < 1 and steps != 0:
        distiller.step()
        steps = None if steps is None else steps - 1
    return distiller


def loss_in_float64(
    net: Network, images: Tensor, labels: Tensor, lambda_mean: float, lambda_var: float
) -> Tensor:
    """The equation, layer by layer, from hooks."""
    terms: list[Tensor] = []

    def hook(norm: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        x = inputs[0].transpose(0, 1).flatten(1)
        mean = sum((x.mean(1) - norm.running_mean) ** 2) ** 0.5
        variance = sum((x.var(1, unbiased=False) - norm.running_var) ** 2) ** 0.5
        terms.append((1 if terms else 10) * (lambda_mean * mean + lambda_var * variance))

    handles = [m.register_forward_hook(hook) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    logits = net(images)
    for handle in handles:
        handle.remove()
    return F.cross_entropy(logits, labels) + sum(terms)


@pytest.mark.parametrize("net", [NET, "resnet18-bn-w2"])
def test_two_steps_are_those_of_a_float64_loop(data: DataSplits, context: Context, net: str) -> None:
    values = {"lambda_mean": 0.3, "lambda_var": 0.7, "coupled": False, "init": "real", "teacher": net}
    distiller = sre2l(data, context, **values)
    reference = teacher_of(net).network(3, 8, 3).double()
    start = initial_images(data.train, 4, data.normalisation, 0, "real").unflatten(0, (3, 4))
    pixels, first, second = start[:, 0].double(), 0.0, 0.0
    mean, std = (torch.tensor(each).double().view(3, 1, 1) for each in ((0.3, 0.4, 0.5), (0.2, 0.25, 0.3)))
    labels = torch.arange(3)
    for turn in range(2):
        stream = generator(0, "recover/jitter", turn, 0)
        rows, columns = torch.randint(3, (2,), generator=stream).tolist()
        leaf = pixels.clone().requires_grad_()
        rolled = torch.roll(leaf, (rows, columns), (2, 3))
        loss = loss_in_float64(reference, rolled, labels, 0.3, 0.7)
        (g,) = torch.autograd.grad(loss, leaf)
        first = 0.5 * first + 0.5 * g
        second = 0.9 * second + 0.1 * g**2
        rate = 0.25 * (1 + math.cos(math.pi * turn / 3)) / 2
        direction = (first / (1 - 0.5 ** (turn + 1))) / ((second / (1 - 0.9 ** (turn + 1))).sqrt() + 1e-8)
        pixels = ((pixels - rate * direction) * std + mean).clamp(0, 1).sub(mean).div(std)
        losses = distiller.step()
        assert losses["total"] == pytest.approx(loss.item(), rel=1e-5)
        parts = losses["ce"] + 0.3 * losses["bn_mean"] + 0.7 * losses["bn_var"]
        assert losses["total"] == pytest.approx(parts, rel=1e-6)
        # the first steps of Adam have the size of the rate whatever the gradient: where it is nothing, signs differ
        near = (distiller.pixels[:, 0].double() - pixels).abs() < 1e-3
        assert near.double().mean() > 0.99
    assert torch.equal(distiller.pixels[:, 1:], start[:, 1:])


def test_adam_is_torchs(data: DataSplits) -> None:
    stream = generator(0, "adam")
    ours, theirs = (torch.randn(4, 5, generator=generator(1, "x")) for _ in range(2))
    first, second = torch.zeros(4, 5), torch.zeros(4, 5)
    theirs.requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.1, betas=(0.5, 0.9), eps=1e-8)
    for count in range(1, 6):
        gradient = torch.randn(4, 5, generator=stream)
        adam_step(ours, gradient, first, second, count, 0.1)
        theirs.grad = gradient
        optimiser.step()
        torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("maker", MAKERS)
def test_ids_come_one_after_the_other_and_pixels_stay_valid(
    data: DataSplits, context: Context, maker: Any
) -> None:
    distiller = maker(data, context, batch=2)
    start = distiller.pixels.clone()
    assert (distiller.progress, distiller.distilled().ipc) == (0.0, 4)
    for iteration in range(1, 4 * 3 * 2 + 1):
        assert distiller.images_per_step == (2 if (iteration - 1) // 3 % 2 == 0 else 1)
        distiller.step()
        finished = iteration // 6
        assert distiller.iteration == iteration
        assert distiller.progress == finished / 4
        assert distiller.distilled().ipc == (finished or 4)
        moved = (distiller.pixels != start).flatten(2).any(2)
        begun = [[(iteration - 1) // 3 >= 2 * id_ + run_ for id_ in range(4)] for run_ in (0, 0, 1)]
        assert moved.tolist() == begun
    unit = data.normalisation.apply(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
    assert (distiller.pixels >= unit[0]).all()
    assert (distiller.pixels <= unit[1]).all()
    assert torch.equal(distiller.distilled().pixels, distiller.pixels.flatten(0, 1))


def test_before_an_id_is_finished_the_set_is_the_initial_images(data: DataSplits, context: Context) -> None:
    distiller = dwa(data, context)
    start = distiller.distilled().pixels
    assert torch.equal(start, initial_images(data.train, 4, data.normalisation, 0, "real"))
    run(distiller, 2)
    assert torch.equal(distiller.distilled().pixels, start)
    assert distiller.distilled().ipc == 4


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8, 13])
def test_a_resumed_run_continues_bit_for_bit_anywhere(
    data: DataSplits, context: Context, maker: Any, steps: int
) -> None:
    small = dataclasses.replace(context, ipc=3)

    def make() -> SRe2L | DWA:
        return maker(data, small, batch=2)

    whole = run(make())
    first = run(make(), steps)
    state = first.state_dict()
    used = run(make(), 7)  # a reused distiller has teachers and moments of its own
    for second in (make(), used):
        second.load_state_dict(state)
        assert second.iteration == steps
        assert torch.equal(run(second).distilled().pixels, whole.distilled().pixels)
    assert torch.equal(run(first).distilled().pixels, whole.distilled().pixels)


def test_a_run_goes_on_in_the_middle_of_several_ids(data: DataSplits, context: Context) -> None:
    whole = run(sre2l(data, context, ids_at_once=3))
    first, second = run(sre2l(data, context, ids_at_once=3), 2), sre2l(data, context, ids_at_once=3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(run(second).pixels, whole.pixels)


def test_ids_at_once_have_statistics_and_draws_of_their_own(data: DataSplits, context: Context) -> None:
    values = {"init": "real", "crop": True, "lr": 0.02}
    single, several = sre2l(data, context, **values), sre2l(data, context, ids_at_once=3, **values)
    run(single)
    progress = []
    while several.progress < 1:
        several.step()
        progress.append(several.progress)
    assert progress == [0, 0, 0.75, 0.75, 0.75, 1.0]
    near = (single.pixels - several.pixels).abs() < 1e-4
    assert near.float().mean() > 0.99


def test_what_an_id_becomes_does_not_depend_on_the_ids_before(data: DataSplits, context: Context) -> None:
    other = dataclasses.replace(context, ipc=2)
    for maker in (sre2l, dwa):
        one, two = (run(maker(data, where, init="real")) for where in (context, other))
        assert torch.equal(one.pixels[:, :2], two.pixels)


def test_no_weight_gradient_is_computed(data: DataSplits, context: Context) -> None:
    for distiller in (sre2l(data, context), dwa(data, context)):
        run(distiller, 4)
        for parameter in [*distiller.net.parameters(), *distiller.passes.watched.parameters()]:
            assert not parameter.requires_grad
            assert parameter.grad is None
        assert not distiller.net.training


def test_jitter_is_drawn_once_an_id_and_iteration_and_crop_comes_first(
    data: DataSplits, context: Context
) -> None:
    distiller = sre2l(data, context)
    batch = distiller._batch()
    images = torch.arange(3 * 3 * 64, dtype=torch.float32).view(3, 3, 8, 8)
    seen = set()
    for turn in range(40):
        rolled = distiller.augmented(images, batch, turn)
        assert torch.equal(rolled, distiller.augmented(images, batch, turn))
        shifts = [
            shift
            for shift in ((r, c) for r in range(3) for c in range(3))
            if torch.equal(rolled, torch.roll(images, shift, (2, 3)))
        ]
        assert len(shifts) == 1
        seen.add(shifts[0])
    assert len(seen) == 9
    cropped = sre2l(data, context, crop=True, jitter=0).augmented(images, batch, 0)
    both = sre2l(data, context, crop=True, jitter=2).augmented(images, batch, 0)
    stream = generator(0, "recover/jitter", 0, 0)
    shift = tuple(torch.randint(3, (2,), generator=stream).tolist())
    assert torch.equal(both, torch.roll(cropped, shift, (2, 3)))


def test_a_step_that_leaves_the_finite_numbers_is_told(data: DataSplits, context: Context) -> None:
    distiller = sre2l(data, context)
    with torch.no_grad():
        next(distiller.net.parameters()).fill_(float("nan"))
    with pytest.raises(TrialDiverged, match="iteration 1: a loss or a pixel is not finite"):
        distiller.step()


def test_statistics_loss_is_the_float64_loop() -> None:
    stream = generator(0, "statistics")
    sizes = (3, 5, 2)
    draw = [[torch.rand(size, generator=stream, dtype=torch.float64) for size in sizes] for _ in range(4)]
    means, variances, running_means, running_variances = draw
    expected = 0.0
    for layer, size in enumerate(sizes):
        mean = sum((means[layer][c] - running_means[layer][c]).item() ** 2 for c in range(size)) ** 0.5
        var = sum((variances[layer][c] - running_variances[layer][c]).item() ** 2 for c in range(size)) ** 0.5
        expected += (7.0 if layer == 0 else 1.0) * (0.02 * mean + 0.5 * var)
    assert batchnorm_statistics(*draw, 0.02, 0.5, 7.0).item() == pytest.approx(expected, rel=1e-12)
    twice = [[torch.stack([each, each + 1]) for each in kind] for kind in draw[:2]]
    shifted = [[each + 1 for each in kind] for kind in draw[:2]]
    one, other, both = (
        batchnorm_statistics(*kinds, running_means, running_variances, 0.02, 0.5)
        for kinds in (draw[:2], shifted, twice)
    )
    assert both.item() == pytest.approx((one + other).item(), rel=1e-12)


@pytest.mark.parametrize("coupled", [True, False])
def test_the_loss_that_is_descended_is_the_statistics_loss(
    data: DataSplits, context: Context, coupled: bool
) -> None:
    values = {"lambda_mean": 0.3, "lambda_var": 0.7, "coupled": coupled, "init": "real", "first": 7.0}
    distiller = sre2l(data, context, **values)
    batch = distiller._batch()
    images = distiller.initial(batch)
    found = distiller.passes(images, batch.groups)
    terms = distiller.terms(images, batch)
    nothing = [[torch.zeros(each.shape[-1]) for each in found.means]] * 2  # they are deviations already
    loss = batchnorm_statistics(found.means, found.variances, *nothing, 0.3, 0.3 if coupled else 0.7, 7.0)
    assert terms["total"] == terms["ce"] + loss
    assert min(terms["bn_mean"].item(), terms["bn_var"].item()) > 0.0


def test_a_set_without_labels_has_the_same_pixels_and_nothing_of_the_teacher(
    data: DataSplits, context: Context
) -> None:
    distiller = run(sre2l(data, context, labels="stored"), 6)
    plain, made = distiller.unlabelled(), distiller.distilled()
    assert torch.equal(plain.pixels, made.pixels)
    assert plain.recipe == made.recipe
    assert (plain.label_kind, plain.replay, plain.logits, plain.teacher) == ("hard", None, None, None)
    assert made.label_kind == "stored"


def test_statistics_that_are_met_give_no_gradient() -> None:
    mean = torch.ones(3, requires_grad=True)
    nothing = [torch.zeros(3)]
    loss = batchnorm_statistics([mean], nothing, [torch.ones(3)], nothing, 1.0, 1.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(mean.grad, torch.zeros(3))


@pytest.mark.parametrize(("augmentation", "mirrored"), [("color_crop_flip", True), ("color_crop", False)])
def test_images_that_must_not_be_mirrored_are_cropped_only(
    data: DataSplits, context: Context, augmentation: str, mirrored: bool
) -> None:
    kept = dataclasses.replace(context, augmentation=augmentation)
    distiller = sre2l(data, kept, crop=True, jitter=0)
    assert distiller.crop.strategy == ("standard:rrc_flip" if mirrored else "standard:rrc")


def test_a_set_names_the_teacher_of_its_images_whatever_its_labels_are(
    data: DataSplits, context: Context
) -> None:
    distiller = sre2l(data, context)
    for made in (distiller.distilled(), distiller.unlabelled()):
        assert made.manifest["teacher"] == distiller.teacher.facts
