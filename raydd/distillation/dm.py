"""DM: distribution matching, the base that IID stands on (Zhao & Bilen; main_DM.py of DatasetCondensation)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from raydd.devices import Compute
from raydd.distillation.losses import mean_matching
from raydd.distillation.real_side import RealSide, Targets
from raydd.errors import TrialDiverged
from raydd.formation import initial_images, initial_labels
from raydd.nets import Passes
from raydd.storage import DistilledSet, manifest

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context, Scalar
    from trainables.dm import DMHyperparameters

FORWARD_PIXELS = 512 * 32 * 32
"""Synthetic pixels of one forward and backward; more classes than fit are taken in turns, to bound memory."""


class DM:
    """L = sum_c || mean_i phi(A(t_i)) - mean_j phi(A(s_j)) ||^2, one step of SGD with momentum an iteration.

    phi is a new random network in every iteration, A the class's augmentation draw, shared by the real and
    the synthetic images. All classes step together.

    Args:
        hyperparameters: every number of the method.
        context: dataset facts, IPC, number of iterations, precision and whether networks are compiled.
        data: only `data.train` is read.
        seed: of the run; every draw derives from it.
        device: where to compute.
        bank: folder of the target bank, see `RealSide`.
    """

    method: ClassVar[str] = "dm"
    protocol: ClassVar[str] = "dsa"

    def __init__(
        self,
        hyperparameters: DMHyperparameters,
        context: Context,
        data: DataSplits,
        seed: int,
        device: torch.device,
        bank: Path | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.context = context
        self.data = data
        self.seed = seed
        self.iteration = 0
        compute = Compute(device, context.precision, context.compiled)
        override = hyperparameters.augmentation
        self.augmentation = context.augmentation if override is None else override
        self.real_side = RealSide(
            data,
            hyperparameters.net,
            hyperparameters.batch_real,
            self.augmentation,
            self.needs_covariances,
            seed,
            compute,
            bank=bank,
        )
        images_a_turn = context.ipc * min(self._turn, data.classes)
        self.passes = Passes(compute, image_gradient=True, batch=images_a_turn, size=data.size)
        images = initial_images(data.train, context.ipc, data.normalisation, seed, hyperparameters.init)
        self.pixels = images.unflatten(0, (data.classes, context.ipc)).to(device)
        self.velocity = torch.zeros_like(self.pixels)

    @property
    def needs_covariances(self) -> bool:
        """Whether the real side computes covariances; may not depend on anything searched."""
        return False

    @property
    def progress(self) -> float:
        """Share of the iterations that are done, in [0, 1]."""
        return min(1.0, self.iteration / self.context.iterations)

    def step(self) -> dict[str, float]:
        """One iteration.

        Returns:
            `total`, the weighted sum that was descended, and every term before its weight.

        Raises:
            TrialDiverged: a loss or a pixel is not finite.
        """
        targets = self.real_side.at(self.iteration)
        gradient = torch.empty_like(self.pixels)
        sums: dict[str, torch.Tensor] = {}
        for classes in self._turns():
            leaf = self.pixels[classes].detach().requires_grad_()
            draws = targets.draws[classes]
            images = torch.cat([self.real_side.augment(x, draw) for x, draw in zip(leaf.unbind(), draws)])
            terms = self.terms(images, targets, classes)
            terms["total"] = self.total(terms)
            (gradient[classes],) = torch.autograd.grad(terms["total"], leaf)
            for name, term in terms.items():
                sums[name] = sums[name] + term.detach() if name in sums else term.detach()

        # torch.optim.SGD, written out because its state is two tensors of ours
        self.velocity.mul_(self.hyperparameters.momentum).add_(gradient)
        self.pixels.add_(self.velocity, alpha=-self.hyperparameters.lr_img)
        self.iteration += 1

        finite = self.pixels.isfinite().all().to(torch.float32)
        *values, pixels_finite = torch.stack([*sums.values(), finite]).tolist()
        losses = dict(zip(sums, values))
        if not pixels_finite or not all(map(math.isfinite, values)):
            shown = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
            raise TrialDiverged(f"iteration {self.iteration}: a loss or a pixel is not finite ({shown})")
        return losses

    def terms(self, images: torch.Tensor, targets: Targets, classes: slice) -> dict[str, torch.Tensor]:
        """Loss terms before their weights.

        Args:
            images: augmented synthetic images of `classes`, class-major, normalised, carrying the graph.
            targets: of all classes.
            classes: those that `images` holds.
        """
        embedding = self.passes.embed(targets.net, images)
        return {"dm": mean_matching(targets.means[classes], self.by_class(embedding).mean(dim=1))}

    def total(self, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum of `terms`."""
        return terms["dm"]

    def by_class(self, features: torch.Tensor) -> torch.Tensor:
        """(classes * ipc, ...) to (classes, ipc, ...)."""
        return features.unflatten(0, (-1, self.context.ipc))

    def distilled(self) -> DistilledSet:
        """The set as it stands now: a copy on the CPU. Draws nothing and changes nothing."""
        return DistilledSet(
            self.pixels.flatten(0, 1).detach().cpu().clone(),
            initial_labels(self.data.classes, self.context.ipc),
            manifest(
                method=self.method,
                hyperparameters=self.hyperparameters.model_dump(mode="json"),
                context=self.context,
                data=self.data,
                seed=self.seed,
                iteration=self.iteration,
                evaluation={
                    "protocol": self.protocol,
                    "net": self.hyperparameters.net,
                    "epochs": None,
                    "augmentation": self.augmentation,
                },
            ),
        )

    def state_dict(self) -> dict[str, torch.Tensor | Scalar]:
        """Pixels, momentum and iteration: all that the next step depends on besides the arguments."""
        return {
            "pixels": self.pixels.detach().cpu().clone(),
            "velocity": self.velocity.detach().cpu().clone(),
            "iteration": self.iteration,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, bit for bit on the CPU."""
        self.pixels.copy_(state["pixels"])
        self.velocity.copy_(state["velocity"])
        self.iteration = int(state["iteration"])

    def _turns(self) -> Iterator[slice]:
        classes = self.data.classes
        for first in range(0, classes, self._turn):
            yield slice(first, min(first + self._turn, classes))

    @property
    def _turn(self) -> int:
        """Classes of one forward and backward."""
        return max(1, FORWARD_PIXELS // (self.context.ipc * self.data.size**2))
