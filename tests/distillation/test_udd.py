"""UDD: which regions join IDC's views, when they are chosen, and the contrastive row of each class."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from raydd import measures, nets
from raydd.data import DataSplits
from raydd.distillation import IDC, UDD
from raydd.formation import crop_regions, decode
from raydd.nets import Network
from raydd.registry import Context
from raydd.storage import DistilledSet
from trainables.idc import IDCHyperparameters
from trainables.udd import UDD as METHOD
from trainables.udd import UDDHyperparameters

CPU = torch.device("cpu")
BASE: dict[str, Any] = {
    "net": "convnet-w8",
    "batch_real": 10,
    "lr_img": 0.5,
    "lr_scaling": False,
    "inner_loop": 2,
    "n_data": 8,
    "batch_train": 8,
}


@pytest.fixture(scope="module")
def proxy() -> Network:
    """An untrained network that judges regions."""
    stream = torch.Generator().manual_seed(4)
    return nets.build("convnet-w8", channels=3, size=8, classes=3, generator=stream).requires_grad_(False)


def udd(data: DataSplits, context: Context, proxy: Network, **values: Any) -> UDD:
    return UDD(UDDHyperparameters(**{**BASE, **values}), context, data, proxy, 0, CPU)


def run(distiller: IDC, steps: int) -> torch.Tensor:
    for _ in range(steps):
        distiller.step()
    return distiller.pixels.flatten(0, 1).clone()


def test_views_are_idcs_and_the_chosen_regions_enlarged(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    distiller = udd(data, context, proxy)
    assert distiller.regions.shape == (3, 4, 4, 3)  # one in each of four sub-images
    views = distiller.decode_class(distiller.pixels[1], 1)
    assert len(views) == distiller.views == 32
    cells = decode(distiller.pixels[1:2], distiller.spec, pad=0.5)[0]
    assert torch.equal(views[:16], cells)
    y, x, side = distiller.regions[1, 2, 3].tolist()
    assert (y, x) >= (4, 4)  # the last sub-image's
    crop = distiller.pixels[1, 2][None, :, y : y + side, x : x + side]
    grown = F.interpolate(crop, size=(8, 8), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(views[16 + 2 * 4 + 3], grown)
    assert METHOD.training_images(context, distiller.hyperparameters.model_dump()) == 3 * 32


def test_the_set_carries_its_regions_and_every_user_of_it_sees_them(
    data: DataSplits, context: Context, proxy: Network, tmp_path: Any
) -> None:
    distiller = udd(data, context, proxy)
    run(distiller, 3)
    distilled = distiller.distilled()
    assert torch.equal(distilled.boxes, distiller.regions.flatten(0, 1))
    loaded = DistilledSet.load(distilled.save(tmp_path / "set.safetensors"))
    views = torch.cat([distiller.decode_class(distilled.pixels.unflatten(0, (3, 4))[c], c) for c in range(3)])
    assert torch.equal(loaded.images(), data.normalisation.apply(views))
    assert loaded.labels().tolist() == [0] * 32 + [1] * 32 + [2] * 32


def test_gradients_reach_pixels_through_crop_and_enlargement(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    distiller = udd(data, context, proxy, factor=1, region_scale=0.5, grid_size=2)
    leaf = distiller.pixels[0].clone().requires_grad_()
    distiller.decode_class(leaf, 0)[4:].sum().backward()  # the regions alone
    for image, (y, x, side) in enumerate(distiller.regions[0, :, 0].tolist()):
        inside = torch.zeros(8, 8, dtype=torch.bool)
        inside[y : y + side, x : x + side] = True
        reached = leaf.grad[image].abs().sum(0) > 0
        assert torch.equal(reached, inside)


@pytest.mark.parametrize(("every", "chosen_at"), [(1, [2, 4, 6]), (2, [4])])
def test_regions_are_chosen_anew_with_every_so_many_networks(
    data: DataSplits,
    context: Context,
    proxy: Network,
    monkeypatch: pytest.MonkeyPatch,
    every: int,
    chosen_at: list[int],
) -> None:
    distiller = udd(data, context, proxy, research_every=every, policy="random")
    seen: list[int] = []
    choose = distiller.selector.choose

    def noted(*arguments: Any) -> torch.Tensor:
        seen.append(distiller.iteration)
        return choose(*arguments)

    monkeypatch.setattr(distiller.selector, "choose", noted)
    run(distiller, 7)
    assert seen == chosen_at
    assert distiller.measures()["region_switch_rate"] > 0.3


def test_without_the_term_and_with_random_regions_nothing_but_views_differs_from_idc(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    one = udd(data, context, proxy, lambda_cfc=0.0, policy="random")
    base = IDC(IDCHyperparameters(**BASE), context, data, 0, CPU)
    assert set(one.step()) == set(base.step()) == {"gradient", "total"}
    for first, second in zip(one.real_side.at(1).gradients, base.real_side.at(1).gradients):
        assert torch.equal(first, second)


def test_the_contrastive_rows_sum_to_the_loss_of_all_classes(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    distiller = udd(data, context, proxy, lambda_cfc=3.0, cfc_tau=0.2)
    targets = distiller.real_side.at(0)
    z = []
    for c, draw in enumerate(targets.draws):
        views = data.normalisation.apply(distiller.decode_class(distiller.pixels[c], c))
        z.append(targets.net.embed(distiller.augment(views, draw)).mean(0))
    expected = 0.0
    for c in range(3):
        similarities = [
            float(F.cosine_similarity(z[c].double(), p.double(), dim=0)) / 0.2 for p in targets.means
        ]
        expected += -(similarities[c] - np.log(np.sum(np.exp(similarities)))) / 3
    terms = distiller.step()
    assert terms["cfc"] == pytest.approx(expected, rel=1e-4)
    assert terms["total"] == pytest.approx(terms["gradient"] + 3.0 * terms["cfc"], rel=1e-5)


def test_the_term_pulls_classes_apart(data: DataSplits, context: Context, proxy: Network) -> None:
    def last(weight: float) -> float:
        distiller = udd(data, context, proxy, lambda_cfc=weight, lr_img=0.05, n_data=0, inner_loop=100)
        distiller.augment = distiller.real_side.augment = type(distiller.augment)("crop")
        for _ in range(15):
            terms = distiller.step()
        return terms.get("cfc", float("nan"))

    assert last(30.0) < last(1e-6) - 0.01


def test_an_interrupted_run_continues_bit_for_bit_with_its_regions(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    whole = udd(data, context, proxy, policy="random")
    images = run(whole, 7)
    for cut in (2, 3, 5):
        first, second = (udd(data, context, proxy, policy="random") for _ in range(2))
        run(first, cut)
        second.load_state_dict(first.state_dict())
        assert torch.equal(run(second, 7 - cut), images)
        assert torch.equal(second.regions, whole.regions)


def test_measures_are_those_of_the_stored_images_and_the_boxes(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    distiller = udd(data, context, proxy)
    run(distiller, 3)
    found = distiller.measures()
    assert 0 < found["mue"] < 1
    assert found["border_share"] == measures.border_share(distiller.regions, 8)
    assert found["region_switch_rate"] == measures.region_switch_rate(
        distiller.regions_before.flatten(0, 1), distiller.regions.flatten(0, 1)
    )
    stored = distiller.distilled().pixels
    quarters = torch.tensor([(y, x, 4) for y in (0, 4) for x in (0, 4)]).expand(12, -1, -1)
    seen = data.normalisation.apply(crop_regions(stored, quarters).flatten(0, 1))
    with torch.no_grad():
        coarse = proxy.unpooled_features(seen).mean(1, keepdim=True)
    maps = F.interpolate(coarse, size=(4, 4), mode="bilinear")[:, 0].view(12, 2, 2, 4, 4)
    whole = maps.permute(0, 1, 3, 2, 4).reshape(12, 8, 8)
    assert found["mue"] == pytest.approx(measures.mue(whole), abs=1e-4)


def test_looking_at_measures_and_pictures_changes_nothing(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    whole, looked = udd(data, context, proxy, policy="jitter"), udd(data, context, proxy, policy="jitter")
    images = run(whole, 5)
    for _ in range(5):
        looked.measures()
        looked.pictures()
        looked.distilled()
        looked.step()
    assert torch.equal(looked.pixels.flatten(0, 1), images)


def test_an_evaluation_makes_the_maps_once_and_every_step_and_load_anew(
    data: DataSplits, context: Context, proxy: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    distiller, other = udd(data, context, proxy), udd(data, context, proxy, lr_img=20.0)
    made: list[int] = []
    maps = distiller.selector.maps

    def noted(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        made.append(distiller.iteration)
        return maps(pixels, labels)

    monkeypatch.setattr(distiller.selector, "maps", noted)
    for _ in range(2):
        before = set(distiller.state_dict())
        distiller.pictures()
        distiller.measures()
        assert set(distiller.state_dict()) == before
        distiller.step()
    assert made == [0, 1]
    run(other, 2)
    own = distiller.measures()["mue"]
    distiller.load_state_dict(other.state_dict())  # of the same iteration
    assert made == [0, 1, 2]
    assert distiller.measures()["mue"] == other.measures()["mue"] != own


def test_the_picture_shows_every_image_with_its_map(
    data: DataSplits, context: Context, proxy: Network
) -> None:
    pictures = udd(data, context, proxy).pictures()
    assert set(pictures) == {"regions"}
    picture = np.asarray(Image.open(io.BytesIO(pictures["regions"])))
    assert picture.ndim == 3
    assert picture.shape[1] > picture.shape[0]  # three classes, twice four pictures a row
