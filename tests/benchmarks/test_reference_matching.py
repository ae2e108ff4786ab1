"""The plain loop of DM and IID computes what raydd's step computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import flops as counting
from benchmarks import ours
from benchmarks.cases import matching
from benchmarks.reference.iid_dm import covariance
from benchmarks.reference.nets import ConvNet, ResNet18, copy_weights
from benchmarks.variants import Variant


def our_distiller(method: str, settings: dict[str, Any], variant: Variant, bank: Path | None = None) -> Any:
    data = ours.splits(settings)
    pool = ours.extractors(settings, data) if method == "iid" else []
    return ours.distiller(method, settings, data, pool, variant, bank)


@pytest.mark.parametrize(("method", "terms"), [("dm", {"dm", "total"}), ("iid", {"dm", "cm", "cc", "total"})])
def test_losses_and_image_gradients_are_ours(
    method: str, terms: set[str], settings: dict[str, Any], eager: Variant
) -> None:
    loop = matching.LoopWork(method, settings)
    distiller = our_distiller(method, settings, eager)
    loop.prepare()
    loop.run()
    found = distiller.step()
    assert set(loop.values()) == terms
    assert loop.values() == pytest.approx(found, rel=1e-5)
    gradient = loop.loop.image_syn.grad
    assert gradient is not None
    assert gradient.norm() > 1.0
    mine = distiller.optimiser.velocity.flatten(0, 1)  # after one step the momentum buffer is the gradient
    assert (mine - gradient).norm() / gradient.norm() < 1e-2

    # Later iterations have other networks, real images, augmentations and extractors, and momentum.
    for _ in range(3):
        loop.prepare()
        loop.run()
        assert loop.values() == pytest.approx(distiller.step(), rel=1e-3)
    assert torch.allclose(loop.loop.image_syn, distiller.pixels.flatten(0, 1), atol=0.05)


def test_both_terms_of_iid_matter_to_the_loop(settings: dict[str, Any]) -> None:
    totals = []
    for changes in ({}, {"lambda_cc": 0.0}, {"lambda_cm": 0.0}):
        loop = matching.LoopWork("iid", {**settings, **changes})
        loop.prepare()
        loop.run()
        totals.append(loop.values()["total"])
    assert min(totals[0] - totals[1], totals[0] - totals[2]) > 1e-3 * totals[0]


def test_the_plain_networks_compute_what_ours_compute(settings: dict[str, Any]) -> None:
    data = ours.splits(settings)
    images, _ = ours.initial(data, 2)
    for spec, plain in (
        ("convnet-w12", ConvNet(3, 32, 3, 12)),
        ("resnet18-w8", ResNet18(3, 3, 8)),
    ):
        net = ours.network(spec, data, "a test")
        before = plain(images)
        copy_weights(net.parameters(), plain)
        assert torch.allclose(plain(images), net(images), rtol=1e-4, atol=1e-5)
        assert torch.allclose(plain.embed(images), net.embed(images), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(before, net(images), atol=1e-3)


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 3, 3, 3\) does not fit \(12, 3, 3, 3\)"):
        copy_weights(ConvNet(3, 32, 3, 8).parameters(), ConvNet(3, 32, 3, 12))


def test_the_covariance_is_the_mean_over_images_of_outer_products() -> None:
    maps = torch.randn(5, 4, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = maps.mean(dim=0)
    literal = sum((m - mean).reshape(4, 6) @ (m - mean).reshape(4, 6).T for m in maps) / 5
    assert torch.allclose(covariance(maps), literal)


@pytest.mark.parametrize("method", ["dm", "iid"])
def test_the_flops_are_those_of_the_loop_that_runs(method: str, settings: dict[str, Any]) -> None:
    loop = matching.LoopWork(method, settings)
    loop.prepare()
    counted = counting.count(loop.run)
    parts = matching.flops(method, settings)
    assert set(parts) == {"real", "synthetic"}
    assert sum(parts.values()) == counted


def test_a_small_class_bounds_the_batch_in_the_flops_too(settings: dict[str, Any]) -> None:
    at_most = matching.flops("dm", {**settings, "batch_real": 12})
    assert matching.flops("dm", {**settings, "batch_real": 500}) == at_most
    assert matching.flops("dm", {**settings, "batch_real": 6})["real"] == at_most["real"] / 2


def test_a_bank_that_was_filled_is_read_and_gives_the_same_losses(
    settings: dict[str, Any], eager: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = ours.fill_bank(our_distiller("iid", settings, eager, tmp_path))
    reader = our_distiller("iid", settings, eager, tmp_path)
    without = our_distiller("iid", settings, eager)
    monkeypatch.setattr(reader.real_side, "feature_statistics", None)  # computing would fail
    for _ in range(stored):
        assert reader.step() == without.step()
