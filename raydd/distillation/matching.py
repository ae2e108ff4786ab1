"""What all matching methods share: the pixels, the iterations, the checks and the distilled set they give."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from raydd.augment import build as build_augmentation
from raydd.devices import Compute
from raydd.distillation.pixels import PixelSGD
from raydd.distillation.real_side import RealSide
from raydd.errors import TrialDiverged
from raydd.formation import PADS, decode, initial_labels, views
from raydd.storage import DistilledSet, manifest

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raydd.data import DataSplits
    from raydd.registry import Context, Scalar

Turn = TypeVar("Turn", int, slice)


class Matching(ABC):
    """Pixels that are moved by SGD so that the synthetic images match statistics of the real side.

    A subclass sets `hyperparameters` and `real_side`, and says what an iteration's gradient is.

    Args:
        context: dataset facts, IPC, number of iterations, precision and whether networks are compiled.
        data: only `data.train` is read.
        seed: of the run; every draw derives from it.
        device: where to compute.
        pixels: initial pixels as stored, class-major (classes * ipc, C, H, W), float32.
        lr, momentum, update: see `PixelSGD`.
        augmentation: of matching, see `raydd.augment.build`.
        spec: how stored pixels become the views that are matched, see `raydd.formation.decode`.
    """

    method: ClassVar[str]
    protocol: ClassVar[str]
    stored: ClassVar[str] = "normalised"
    hyperparameters: BaseModel
    real_side: RealSide

    def __init__(
        self,
        context: Context,
        data: DataSplits,
        seed: int,
        device: torch.device,
        *,
        pixels: Tensor,
        lr: float,
        momentum: float,
        update: str,
        augmentation: str,
        spec: Mapping[str, Any],
    ) -> None:
        self.context = context
        self.data = data
        self.seed = seed
        self.iteration = 0
        self.compute = Compute(device, context.precision, context.compiled)
        self.augment = build_augmentation(augmentation)
        self.spec = dict(spec)
        by_class = pixels.unflatten(0, (data.classes, context.ipc)).to(device)
        self.optimiser = PixelSGD(by_class, lr, momentum, update)

    @property
    def pixels(self) -> Tensor:
        """Stored pixels (classes, ipc, C, H, W)."""
        return self.optimiser.pixels

    @property
    def pad(self) -> float:
        """What cells that reach beyond the image are filled with."""
        return PADS[self.stored]

    @property
    def progress(self) -> float:
        """Share of the iterations that are done, in [0, 1]."""
        return min(1.0, self.iteration / self.context.iterations)

    @property
    def views(self) -> int:
        """Images of a class after decoding."""
        return views(self.spec, self.context.ipc)

    def decode(self, pixels: Tensor) -> Tensor:
        """Stored pixels (K, ipc, C, H, W) of K classes to their views (K, V, C, H, W), with the graph."""
        return decode(pixels, self.spec, pad=self.pad)

    @abstractmethod
    def gradient(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss's gradient in the pixels `at_turn`, and the loss terms before their weights, with `total`."""

    def over_turns(
        self, turns: Iterable[Turn], terms: Callable[[Tensor, Turn], dict[str, Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What `gradient` returns, where the loss is a sum over the classes.

        Args:
            turns: a class, or some classes, for each forward and backward; together all of them.
            terms: of the stored pixels of a turn, carrying the graph, and the turn: its loss terms with `total`.
        """
        pixels = self.optimiser.at_turn()
        gradient = torch.empty_like(pixels)
        sums: dict[str, Tensor] = {}
        for turn in turns:
            leaf = pixels[turn].detach().requires_grad_()
            losses = terms(leaf, turn)
            (gradient[turn],) = torch.autograd.grad(losses["total"], leaf)
            for name, term in losses.items():
                sums[name] = sums[name] + term.detach() if name in sums else term.detach()
        return gradient, sums

    def hyperparameter_values(self) -> dict[str, Any]:
        """Every number of the method, for the manifest."""
        return self.hyperparameters.model_dump(mode="json")

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """How to train on the set: `protocol`, `net`, `epochs`, `augmentation`, and what the protocol needs."""

    def step(self) -> dict[str, float]:
        """One iteration.

        Returns:
            `total`, the weighted sum that was descended, and every term before its weight.

        Raises:
            TrialDiverged: a loss or a pixel is not finite.
        """
        gradient, sums = self.gradient()
        self.optimiser.step(gradient)
        self.iteration += 1
        finite = self.pixels.isfinite().all().to(torch.float32)
        *values, pixels_finite = torch.stack([*sums.values(), finite]).tolist()
        losses = dict(zip(sums, values))
        if not pixels_finite or not all(map(math.isfinite, values)):
            shown = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
            raise TrialDiverged(f"iteration {self.iteration}: a loss or a pixel is not finite ({shown})")
        return losses

    def measures(self) -> dict[str, float]:
        """What the method measures of itself besides losses, at evaluations; most have nothing."""
        return {}

    def pictures(self) -> dict[str, bytes]:
        """PNG pictures besides the set's own preview, by name; most have none."""
        return {}

    def distilled(self) -> DistilledSet:
        """The set as it stands now: a copy on the CPU. Draws nothing and changes nothing."""
        return DistilledSet(
            self._stored_pixels().flatten(0, 1).detach().cpu().clone(),
            initial_labels(self.data.classes, self.context.ipc),
            manifest(
                method=self.method,
                hyperparameters=self.hyperparameter_values(),
                context=self.context,
                data=self.data,
                seed=self.seed,
                iteration=self.iteration,
                evaluation=self.recipe(),
                decode=self.stored_spec(),
                pixels=self.stored,
            ),
            self.boxes(),
        )

    def stored_spec(self) -> dict[str, Any]:
        """How a user of the set decodes it; a method may match other views than it is evaluated with."""
        return self.spec

    def boxes(self) -> Tensor | None:
        """Region boxes (N, R, 3) that the set carries, or None."""
        return None

    def _stored_pixels(self) -> Tensor:
        return self.pixels

    def state_dict(self) -> dict[str, Tensor | Scalar]:
        """Pixels, momentum, iteration and what the real side has trained: all that the next step depends on."""
        return {
            "pixels": self.pixels.detach().cpu().clone(),
            "velocity": self.optimiser.velocity.detach().cpu().clone(),
            "iteration": self.iteration,
            **self.real_side.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, bit for bit on the CPU."""
        self.pixels.copy_(state["pixels"])
        self.optimiser.velocity.copy_(state["velocity"])
        self.iteration = int(state["iteration"])
        self.real_side.load_state_dict(state)
