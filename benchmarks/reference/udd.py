"""One matching step of UDD on IDC: regions beside the parts, and a contrastive row for every class.

UDD's authors released no code; this is IDC's loop with what the paper adds, written the plain way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.idc import Draws, GradientLoop, Numbers, distance, gradients


class MiningLoop(GradientLoop):
    """IDC's loop with given regions.

    Args:
        images_all, labels_all, classes, initial, numbers: see `GradientLoop`.
        boxes: (y0, x0, side) of each image's regions, (classes * ipc, R, 3).
        lambda_cfc: weight of the contrastive term.
        tau: its temperature.
    """

    def __init__(
        self,
        images_all: Tensor,
        labels_all: Tensor,
        classes: int,
        initial: Tensor,
        numbers: Numbers,
        boxes: Tensor,
        lambda_cfc: float,
        tau: float,
    ) -> None:
        super().__init__(images_all, labels_all, classes, initial, numbers)
        self.boxes = boxes
        self.lambda_cfc = lambda_cfc
        self.tau = tau

    def iterate(self, draws: Draws) -> dict[str, float]:
        """One step of the images for every class: loss terms before their weights, and `total`."""
        self.renew(draws)
        # The contrast of a class needs the mean features of all others, so the real side goes first.
        g_reals, means = [], []
        for c in range(self.classes):
            img_real = draws.augments[c](self.normalise(self.get_images(c, draws.orders[c])))
            g_real, feature = gradients(self.net, img_real, c)
            g_reals.append([g.detach() for g in g_real])
            means.append(feature.detach().mean(dim=0))
        prototypes = torch.stack(means)

        total, matched, contrasted = 0.0, 0.0, 0.0
        for c in range(self.classes):
            img_syn = draws.augments[c](self.normalise(self.sample(c)))
            g_syn, feature = gradients(self.net, img_syn, c, create_graph=True)
            loss_g = distance(g_reals[c], g_syn)
            loss_c = contrast(feature.mean(dim=0), prototypes, c, self.tau) / self.classes
            loss = loss_g + self.lambda_cfc * loss_c
            total, matched = total + loss.item(), matched + loss_g.item()
            contrasted += loss_c.item()
            self.step(loss)
        return {"gradient": matched, "cfc": contrasted, "total": total}

    def sample(self, c: int) -> Tensor:
        """Synthetic images of class `c`, decoded, and their regions."""
        ipc, size = self.numbers.ipc, self.data.shape[2]
        views = [super().sample(c)]
        for i in range(c * ipc, (c + 1) * ipc):
            for y0, x0, side in self.boxes[i].tolist():
                region = self.data[i : i + 1, :, y0 : y0 + side, x0 : x0 + side]
                views.append(F.interpolate(region, size=(size, size), mode="bilinear", align_corners=False))
        return torch.cat(views)


def contrast(mean: Tensor, prototypes: Tensor, c: int, tau: float) -> Tensor:
    """-log of the softmax over the classes of cos(mean, prototype) / tau at class `c`."""
    similarity = torch.mv(F.normalize(prototypes, dim=1), F.normalize(mean, dim=0))
    return -torch.log_softmax(similarity / tau, dim=0)[c]
