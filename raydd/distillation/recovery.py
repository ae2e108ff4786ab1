"""Recovery: images of a trained network, made so that their statistics under it are those of its training images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from raydd import augment
from raydd.devices import Compute
from raydd.distillation.losses import layer_norms
from raydd.distillation.relabel import Relabelling, labelled
from raydd.errors import TrialDiverged
from raydd.formation import initial_images, initial_labels
from raydd.nets import StatisticsPasses
from raydd.seeding import generator
from raydd.storage import DistilledSet, Teacher, manifest

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context, Scalar
    from trainables.sre2l import SRe2LHyperparameters

BETAS = (0.5, 0.9)
EPSILON = 1e-8


@dataclass(frozen=True)
class Batch:
    """The images that are recovered at once: one of each of some classes, for each of some ids.

    Attributes:
        number: of its run of classes, 0 for the first classes.
        ids: which images of a class.
        classes: which classes.
    """

    number: int
    ids: slice
    classes: slice

    @property
    def groups(self) -> int:
        """Ids at once; each has statistics of its own."""
        return self.ids.stop - self.ids.start

    @property
    def count(self) -> int:
        """Images of an id."""
        return self.classes.stop - self.classes.start

    def labels(self) -> Tensor:
        """Class of each image, id by id: int64 (groups * count,), on the CPU."""
        return torch.arange(self.classes.start, self.classes.stop).repeat(self.groups)


class Recovery:
    """L = CE(f(A(x)), y) + lambda_mean sum_l w_l ||mu_l - mu_l^run||_2 + lambda_var sum_l w_l ||var_l - var_l^run||_2.

    f is the teacher in eval mode; mu_l and var_l are the moments of the input of its l-th batch norm over the images of
    one id (one image a class) and all positions. A rolls the images, after cropping and flipping them where `crop` is
    set: one draw for an id. Adam with a rate that falls to zero along half a cosine; after every step the
    pixels are clamped to what 8-bit images can show. Weights are frozen: gradients flow to the images alone.

    Ids are finished one after the other (`ids_at_once` of them at a time), and classes in runs of `batch`. What an id
    becomes depends on seed, id and classes alone, but for rounding, and not on what was recovered before.

    Args:
        hyperparameters: every number of the method.
        context: dataset facts, IPC, recovery iterations, precision and whether the teacher is compiled.
        data: only `data.train` is read, for initial images.
        teacher: with batch norm.
        relabelling: how sets are labelled.
        seed: of the run; every draw derives from it.
        device: where to compute.
    """

    method: ClassVar[str]

    def __init__(
        self,
        hyperparameters: SRe2LHyperparameters,
        context: Context,
        data: DataSplits,
        teacher: Teacher,
        relabelling: Relabelling,
        seed: int,
        device: torch.device,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.context = context
        self.data = data
        self.teacher = teacher
        self.relabelling = relabelling
        self.seed = seed
        self.iteration = 0
        self.compute = Compute(device, context.precision, context.compiled)
        self.length = hyperparameters.length(context)
        self.runs = hyperparameters.class_batches(context.classes)
        self.jitter = hyperparameters.jitter_reach(context.size)
        # Digits are not mirrored.
        cropped = "standard:rrc_flip" if "flip" in context.augmentation else "standard:rrc"
        self.crop = augment.build(cropped if hyperparameters.crop else "")
        self.passes = StatisticsPasses(teacher.network(data.channels, data.size, data.classes), self.compute)
        self.net = self.passes.net
        edges = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, data.channels, 1, 1)
        self.darkest, self.brightest = data.normalisation.apply(edges).to(device).split(1)
        self.pixels = self._initial()
        self._first = self._second = torch.empty(0)
        self._prepared: int | None = None

    @property
    def progress(self) -> float:
        """Finished ids / IPC: half-annealed images are no cheaper run."""
        return self.finished / self.context.ipc

    @property
    def finished(self) -> int:
        """Ids whose images of all classes are recovered."""
        rounds = self.iteration // (self.length * self.runs)
        return min(self.context.ipc, rounds * self.hyperparameters.ids_at_once)

    @property
    def images_per_step(self) -> int:
        """Images that the next iteration works on."""
        batch = self._batch()
        return batch.groups * batch.count

    def _batch(self) -> Batch:
        values = self.hyperparameters
        rounds, run = divmod(self.iteration // self.length, self.runs)
        first, start = rounds * values.ids_at_once, run * values.batch
        return Batch(
            run,
            slice(first, min(first + values.ids_at_once, self.context.ipc)),
            slice(start, min(start + values.batch, self.data.classes)),
        )

    def _initial(self) -> Tensor:
        """Pixels (classes, ipc, C, H, W) at iteration 0; where they are real, an image of a class comes once."""
        images = initial_images(
            self.data.train, self.context.ipc, self.data.normalisation, self.seed, self.hyperparameters.init
        )
        return images.unflatten(0, (self.data.classes, self.context.ipc)).to(self.compute.device)

    def _images(self, pixels: Tensor, batch: Batch) -> Tensor:
        """A copy of the batch's images (groups * count, C, H, W), id by id."""
        return pixels[batch.classes, batch.ids].transpose(0, 1).flatten(0, 1).clone()

    def initial(self, batch: Batch) -> Tensor:
        """The batch's images at its first iteration, wherever it stands now."""
        begun = self.iteration % self.length > 0
        return self._images(self._initial() if begun else self.pixels, batch)

    def prepare(self, batch: Batch) -> None:
        """What is done to the teacher before the first iteration of a batch, and again when one is resumed."""

    def augmented(self, images: Tensor, batch: Batch, turn: int) -> Tensor:
        """The batch's images as the teacher sees them in iteration `turn` of the batch; differentiable."""
        parts = []
        for id_, part in zip(range(batch.ids.start, batch.ids.stop), images.chunk(batch.groups)):
            address = turn, id_ * self.runs + batch.number
            part = self.crop(part, self.crop.draw(generator(self.seed, "recover/crop", *address)))
            stream = generator(self.seed, "recover/jitter", *address)
            rows, columns = torch.randint(self.jitter + 1, (2,), generator=stream).tolist()
            parts.append(torch.roll(part, (rows, columns), dims=(2, 3)))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def terms(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Loss terms before their weights, and `total`; each a sum over the ids of the batch."""
        values = self.hyperparameters
        found = self.passes(images, batch.groups)
        labels = batch.labels().to(images.device)
        ce = F.cross_entropy(found.logits, labels, reduction="sum") / batch.count
        mean, variance = (layer_norms(each, values.first) for each in (found.means, found.variances))
        statistics = values.lambda_mean * mean + values.variance_weight * variance
        return {"ce": ce, "bn_mean": mean, "bn_var": variance, "total": ce + statistics}

    def step(self) -> dict[str, float]:
        """One iteration of one batch.

        Returns:
            `total`, the weighted sum that was descended, and every term before its weight.

        Raises:
            TrialDiverged: a loss or a pixel is not finite.
        """
        batch, block, turn = self._batch(), *divmod(self.iteration, self.length)
        if self._prepared != block:
            self.prepare(batch)
            self._prepared = block
        images = self._images(self.pixels, batch).requires_grad_()
        if turn == 0:
            self._first, self._second = torch.zeros_like(images.data), torch.zeros_like(images.data)
        terms = self.terms(self.augmented(images, batch, turn), batch)
        (gradient,) = torch.autograd.grad(terms["total"], images)
        rate = self.hyperparameters.lr * (1.0 + math.cos(math.pi * turn / self.length)) / 2.0
        pixels = images.detach()
        adam_step(pixels, gradient, self._first, self._second, turn + 1, rate)
        pixels.clamp_(self.darkest, self.brightest)
        stepped = pixels.unflatten(0, (batch.groups, batch.count)).transpose(0, 1)
        self.pixels[batch.classes, batch.ids] = stepped
        self.iteration += 1
        finite = pixels.isfinite().all().to(torch.float32)
        *numbers, pixels_finite = torch.stack([*(term.detach() for term in terms.values()), finite]).tolist()
        losses = dict(zip(terms, numbers))
        if not pixels_finite or not all(map(math.isfinite, numbers)):
            shown = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
            raise TrialDiverged(f"iteration {self.iteration}: a loss or a pixel is not finite ({shown})")
        return losses

    def measures(self) -> dict[str, float]:
        """Nothing is measured besides losses."""
        return {}

    def pictures(self) -> dict[str, bytes]:
        """There is no picture besides the set's own preview."""
        return {}

    def distilled(self) -> DistilledSet:
        """The finished ids with their labels; before the first one is finished, all initial images."""
        return labelled(self.unlabelled(), self.teacher, self.relabelling, self.compute.device)

    def unlabelled(self) -> DistilledSet:
        """`distilled` with hard labels, for those who have it labelled for a recipe of their own."""
        ids = self.finished or self.context.ipc
        pixels = self.pixels if self.finished or self.iteration == 0 else self._initial()
        described = manifest(
            method=self.method,
            hyperparameters=self.hyperparameters.model_dump(mode="json"),
            context=replace(self.context, ipc=ids),
            data=self.data,
            seed=self.seed,
            iteration=self.iteration,
            evaluation=self.relabelling.evaluation,
        )
        described["teacher"] = dict(self.teacher.facts)  # the images rest on it, whatever their labels are
        images = pixels[:, :ids].flatten(0, 1).detach().cpu().clone()
        return DistilledSet(images, initial_labels(self.data.classes, ids), described)

    def state_dict(self) -> dict[str, Tensor | Scalar]:
        """Pixels of all ids, Adam's moments within a batch, iteration: all that the next step depends on."""
        state: dict[str, Tensor | Scalar] = {
            "pixels": self.pixels.detach().cpu().clone(),
            "iteration": self.iteration,
        }
        if self.iteration % self.length:
            state["adam_first"] = self._first.cpu().clone()
            state["adam_second"] = self._second.cpu().clone()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, bit for bit on the CPU, wherever it was taken."""
        self.pixels.copy_(state["pixels"])
        self.iteration = int(state["iteration"])
        self._prepared = None
        if self.iteration % self.length:
            self._first = state["adam_first"].to(self.pixels.device, copy=True)
            self._second = state["adam_second"].to(self.pixels.device, copy=True)


def adam_step(
    pixels: Tensor, gradient: Tensor, first: Tensor, second: Tensor, count: int, rate: float
) -> None:
    """A step of Adam (Kingma and Ba, ICLR 2015, algorithm 1) with betas 0.5 and 0.9 and epsilon 1e-8.

    Args:
        pixels: changed in place.
        gradient: of the loss, shaped as the pixels.
        first, second: running means of the gradient and of its square, changed in place.
        count: of this step, 1 for the first.
        rate: step size.
    """
    beta1, beta2 = BETAS
    first.mul_(beta1).add_(gradient, alpha=1.0 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    root = (second / (1.0 - beta2**count)).sqrt_().add_(EPSILON)
    pixels.addcdiv_(first, root, value=-rate / (1.0 - beta1**count))
