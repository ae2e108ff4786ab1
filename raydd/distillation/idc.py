"""IDC: gradients of multi-formation images are matched class by class (Kim et al., ICML 2022; condense.py)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from raydd.distillation.distances import gradient_distance
from raydd.distillation.matching import Matching
from raydd.distillation.real_side import Targets
from raydd.distillation.trained_side import NetTraining, TrainedRealSide
from raydd.formation import cells_spec, initial_images
from raydd.nets import GradientPasses
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context
    from trainables.idc import IDCHyperparameters


class IDC(Matching):
    """L_c = D(grad CE(A(T_c)), grad CE(A(decode(S_c)))), one step of the pixels a class.

    The gradients are those of the network's convolutions; the network is trained on real images after every
    matching step and renewed every `inner_loop` steps. Pixels live in [0, 1], are clamped to it whenever
    the network is renewed, and are normalised before the augmentation.

    Args:
        hyperparameters: every number of the method.
        context: dataset facts, IPC, number of matching steps, precision and whether networks are compiled.
        data: only `data.train` is read.
        seed: of the run; every draw derives from it.
        device: where to compute.
        bank: folder of the target bank, see `RealSide`.
    """

    method: ClassVar[str] = "idc"
    protocol: ClassVar[str] = "idc"
    stored: ClassVar[str] = "unit"
    hyperparameters: IDCHyperparameters

    def __init__(
        self,
        hyperparameters: IDCHyperparameters,
        context: Context,
        data: DataSplits,
        seed: int,
        device: torch.device,
        bank: Path | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        super().__init__(
            context,
            data,
            seed,
            device,
            pixels=initial_images(
                data.train, context.ipc, None, seed, hyperparameters.init, factor=hyperparameters.factor
            ),
            lr=hyperparameters.step_size(context),
            momentum=hyperparameters.momentum,
            update=hyperparameters.update,
            augmentation=hyperparameters.matching_augmentation,
            spec=cells_spec(hyperparameters.factor, hyperparameters.decode),
        )
        settings = NetTraining(
            **{
                name: getattr(hyperparameters, name) for name in vars(NetTraining()) if name != "augmentation"
            },
            augmentation=hyperparameters.net_augmentation,
        )
        self.real_side = TrainedRealSide(
            data,
            hyperparameters.net,
            hyperparameters.batch_real,
            hyperparameters.matching_augmentation,
            settings,
            seed,
            self.compute,
            bank,
        )
        self.gradients = GradientPasses(self.compute, batch_real=hyperparameters.batch_real, size=data.size)

    def gradient(self) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Matching.gradient`."""
        if self.iteration % self.hyperparameters.inner_loop == 0:
            self.renew()
        targets = self.real_side.at(self.iteration)
        return self.over_turns(
            range(self.data.classes), lambda pixels, class_: self.terms(pixels, targets, class_)
        )

    def renew(self) -> None:
        """What happens whenever the network is renewed, before its first matching step."""
        self.pixels.clamp_(0.0, 1.0)

    def terms(self, pixels: Tensor, targets: Targets, class_: int) -> dict[str, Tensor]:
        """Loss terms of one class before their weights, with `total`.

        Args:
            pixels: stored (ipc, C, H, W) of the class, carrying the graph.
            targets: of all classes.
            class_: which one.
        """
        distance, _ = self.matched(pixels, targets, class_)
        return {"gradient": distance, "total": distance}

    def matched(self, pixels: Tensor, targets: Targets, class_: int) -> tuple[Tensor, Tensor]:
        """The gradient distance of one class, and the mean embedding (D,) of its views."""
        images = self.subsample(self.decode_class(pixels, class_), class_)
        images = self.augment(self.data.normalisation.apply(images), targets.draws[class_])
        labels = torch.full((len(images),), class_, dtype=torch.int64, device=images.device)
        real = [layer[class_] for layer in targets.gradients]
        syn, embedding = self.gradients.synthetic(targets.net, images, labels)
        return gradient_distance(real, syn, self.hyperparameters.metric), embedding

    def decode_class(self, pixels: Tensor, class_: int) -> Tensor:
        """Views (V, C, H, W) of the stored pixels (ipc, C, H, W) of one class."""
        return self.decode(pixels.unsqueeze(0)).squeeze(0)

    def subsample(self, images: Tensor, class_: int) -> Tensor:
        """At most `batch_syn_max` random views of a class, drawn anew in every matching step."""
        most = self.hyperparameters.batch_syn_max
        if len(images) <= most:
            return images
        stream = generator(self.seed, "synthetic_batch", self.iteration, class_)
        return images[torch.randperm(len(images), generator=stream)[:most].to(images.device)]

    def stored_spec(self) -> dict[str, Any]:
        """`bound` saves time while matching; the set is used with all its cells (argument.py)."""
        form = "single" if self.hyperparameters.decode == "bound" else self.hyperparameters.decode
        return cells_spec(self.hyperparameters.factor, form)

    def _stored_pixels(self) -> Tensor:
        return self.pixels.clamp(0.0, 1.0)

    def recipe(self) -> dict[str, Any]:
        """See `Matching.recipe`."""
        return {
            "protocol": self.protocol,
            "net": self.hyperparameters.net,
            "epochs": None,
            **self.hyperparameters.evaluation(self.context),
        }
