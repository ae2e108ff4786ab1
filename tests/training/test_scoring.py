from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raydd.data import ArrayImages
from raydd.devices import Compute
from raydd.normalisation import Normalisation
from raydd.training import accuracies

CPU = Compute(torch.device("cpu"))


class FirstPixel(nn.Module):
    """Says class k where the first pixel was k; normalised by mean 0 and std 1/255."""

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, 0, 0, :1] - torch.arange(4.0)).abs()


def five_images() -> ArrayImages:
    pixels = np.zeros((5, 1, 4, 4), dtype=np.uint8)
    pixels[:, 0, 0, 0] = [0, 1, 2, 3, 0]
    return ArrayImages(pixels, np.array([0, 1, 2, 0, 3]))


@pytest.mark.parametrize("batch", [1, 2, 5, 500])
def test_accuracy_is_the_fraction_of_right_labels_whatever_the_batch(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydd.training.scoring.BATCH", batch)
    net = FirstPixel().train()
    assert accuracies([net], five_images(), Normalisation((0.0,), (1 / 255,)), CPU) == [3 / 5]
    assert not net.training


def test_several_networks_are_tested_in_one_pass_and_in_their_order() -> None:
    class Always(nn.Module):
        def __init__(self, class_: int) -> None:
            super().__init__()
            self.class_ = class_

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot(torch.full((len(x),), self.class_), 4).to(x.dtype)

    nets = [Always(3), FirstPixel(), Always(0)]
    assert accuracies(nets, five_images(), Normalisation((0.0,), (1 / 255,)), CPU) == [1 / 5, 3 / 5, 2 / 5]


def test_pixels_are_normalised_before_the_network_sees_them() -> None:
    # (1/255 - 1/255) * 255 = 0: every pixel value v is read as class v - 1.
    found = accuracies([FirstPixel()], five_images(), Normalisation((1 / 255,), (1 / 255,)), CPU)
    assert found == [1 / 5]  # 0 and 1 are read as 0, 2 as 1, 3 as 2


def test_no_graph_is_built() -> None:
    class Checks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not torch.is_grad_enabled()
            return torch.zeros(len(x), 4)

    assert accuracies([Checks()], five_images(), Normalisation((0.0,), (1.0,)), CPU) == [2 / 5]
