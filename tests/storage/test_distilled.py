"""A distilled set on disk: whole, bit-equal, without pickle, and refused with one sentence when it is not ours."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from raydd.data import DataSplits
from raydd.errors import ArtifactError
from raydd.formation import cells_spec, crop_regions, decode, initial_images, initial_labels
from raydd.registry import Context
from raydd.storage import DistilledSet, manifest, preview_grid, regions_picture


def distil(data: DataSplits, seed: int = 0, boxes: torch.Tensor | None = None, **stored: Any) -> DistilledSet:
    context = Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50)
    facts = manifest(
        method="dm",
        hyperparameters={"lr_img": 1.0},
        context=context,
        data=data,
        seed=seed,
        iteration=7,
        evaluation={"protocol": "dsa", "net": "convnet", "epochs": None, "augmentation": "color"},
        **stored,
    )
    unit = facts["pixels"] == "unit"
    pixels = initial_images(data.train, 2, None if unit else data.normalisation, seed)
    return DistilledSet(pixels, initial_labels(3, 2), facts, boxes)


BOXES = torch.tensor([[[0, 0, 4], [1, 2, 5]], [[3, 4, 4], [0, 0, 8]], [[5, 5, 3], [2, 1, 6]]]).repeat(2, 1, 1)


@pytest.fixture
def regions(data: DataSplits) -> DistilledSet:
    """Unit pixels of 2 x 2 cells, and two regions an image."""
    return distil(data, boxes=BOXES, decode=cells_spec(2), pixels="unit")


@pytest.fixture
def distilled(data: DataSplits) -> DistilledSet:
    return distil(data)


def rewrite(path: Path, *, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> None:
    """Write the file again with other tensors or with changed manifest fields (None removes one)."""
    old = DistilledSet.load(path)
    facts = {key: value for key, value in {**old.manifest, **changes}.items() if value is not None}
    tensors = tensors or old._tensors()
    path.write_bytes(safetensors.torch.save(tensors, metadata={"raydd": json.dumps(facts)}))


def test_a_saved_set_comes_back_bit_equal_with_its_manifest(distilled: DistilledSet, tmp_path: Path) -> None:
    path = distilled.save(tmp_path / "set.safetensors")
    loaded = DistilledSet.load(path)
    assert torch.equal(loaded.pixels, distilled.pixels)
    assert loaded.pixels.dtype == torch.float32
    assert torch.equal(loaded.targets, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert loaded.manifest == distilled.manifest
    assert torch.equal(loaded.images(), distilled.pixels)
    assert torch.equal(loaded.labels(), loaded.targets)
    assert loaded.soft_labels() is None
    assert (loaded.ipc, loaded.classes, loaded.fingerprint) == (2, 3, "f" * 64)
    assert loaded.normalisation.std == (0.2, 0.25, 0.3)
    assert loaded.recipe["protocol"] == "dsa"


def test_a_set_with_regions_comes_back_bit_equal(regions: DistilledSet, tmp_path: Path) -> None:
    loaded = DistilledSet.load(regions.save(tmp_path / "set.safetensors"))
    assert torch.equal(loaded.pixels, regions.pixels)
    assert loaded.boxes is not None
    assert torch.equal(loaded.boxes, BOXES)
    assert loaded.manifest == regions.manifest
    assert loaded.manifest["decode"] == {"kind": "cells", "factor": 2, "form": "single"}
    assert torch.equal(loaded.images(), regions.images())
    assert loaded.stored_bytes == 6 * 3 * 8 * 8 * 4 + 6 * 8 + 6 * 2 * 3 * 8
    renamed = loaded.with_recipe(net="resnet18")
    assert renamed.recipe["net"] == "resnet18"
    assert renamed.boxes is loaded.boxes


def test_unit_pixels_are_decoded_in_the_unit_range_and_then_normalised(regions: DistilledSet) -> None:
    pixels = regions.pixels.view(3, 2, 3, 8, 8)
    cells = decode(pixels, cells_spec(2))
    chosen = crop_regions(regions.pixels, BOXES).view(3, 4, 3, 8, 8)
    expected = regions.normalisation.apply(torch.cat([cells, chosen], dim=1).view(36, 3, 8, 8))
    assert torch.equal(regions.images(), expected)
    assert regions.images().dtype == torch.float32
    assert regions.labels().tolist() == [0] * 12 + [1] * 12 + [2] * 12


@pytest.mark.parametrize(("kind", "pad"), [("unit", 0.5), ("normalised", 0.0)])
def test_cells_beyond_the_image_are_grey_or_the_mean_colour(data: DataSplits, kind: str, pad: float) -> None:
    spec = cells_spec(3, "multi")
    distilled = distil(data, decode=spec, pixels=kind)
    views = decode(distilled.pixels.view(3, 2, 3, 8, 8), spec, pad=pad).flatten(0, 1)
    expected = distilled.normalisation.apply(views) if kind == "unit" else views
    assert torch.equal(distilled.images(), expected)
    assert distilled.labels().tolist() == [0] * 28 + [1] * 28 + [2] * 28


def test_a_set_without_cells_shows_the_same_images_in_either_kind_of_pixels(data: DataSplits) -> None:
    unit, normalised = distil(data, pixels="unit"), distil(data)
    assert torch.equal(unit.images(), normalised.images())
    assert torch.equal(unit.pixels, unit.unit_pixels())
    torch.testing.assert_close(normalised.unit_pixels(), unit.pixels)


def test_the_manifest_says_how_the_set_was_made(distilled: DistilledSet, data: DataSplits) -> None:
    facts = distilled.manifest
    assert facts["data"] == {
        "name": "colours",
        "fingerprint": "f" * 64,
        "train": data.train.fingerprint,
        "split": {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "image_size": None},
    }
    assert facts["class_names"] == ["red", "green", "blue"]
    assert (facts["iteration"], facts["iterations"], facts["seed"]) == (7, 50, 0)
    assert (facts["pixels"], facts["decode"]) == ("normalised", {"kind": "identity"})
    assert set(facts["versions"]) == {"raydd", "torch", "python"}
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["git"] is None or len(facts["git"].removesuffix("-dirty")) == 40


def test_equal_runs_give_byte_equal_files_and_others_do_not(data: DataSplits, tmp_path: Path) -> None:
    files = [
        distil(data, seed).save(tmp_path / name / "set.safetensors").read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]
    previews = [(tmp_path / name / "set.png").read_bytes() for name in "ab"]
    assert previews[0] == previews[1]


def test_the_file_holds_no_pickle(distilled: DistilledSet, tmp_path: Path) -> None:
    content = distilled.save(tmp_path / "set.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header) == {"__metadata__", "pixels", "targets"}
    assert set(header["__metadata__"]) == {"raydd"}
    raw = content[8 + int.from_bytes(content[:8], "little") :]
    assert len(raw) == distilled.pixels.numel() * 4 + distilled.targets.numel() * 8


def test_the_preview_beside_it_shows_one_row_per_class(distilled: DistilledSet, tmp_path: Path) -> None:
    distilled.save(tmp_path / "set.safetensors")
    picture = np.asarray(Image.open(tmp_path / "set.png"))
    np.testing.assert_array_equal(picture, distilled.grid())
    assert picture.shape == (3 * 66 + 2, 2 * 66 + 2, 3)  # 8 px enlarged 8 times, lines of 2 px
    pixels = (distilled.normalisation.invert(distilled.pixels) * 255).round().to(torch.uint8)
    for index in range(6):
        top, left = 2 + 66 * (index // 2), 2 + 66 * (index % 2)
        tile = picture[top : top + 64, left : left + 64]
        np.testing.assert_array_equal(tile[::8, ::8], pixels[index].permute(1, 2, 0).numpy())
        np.testing.assert_array_equal(tile[7::8, 7::8], pixels[index].permute(1, 2, 0).numpy())
    assert (picture[:2] == 255).all()
    assert distilled.grid(per_class=1).shape == (3 * 66 + 2, 68, 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 1}, r"has schema 1; this version of raydd reads schemas 2 and 3$"),
        (
            {"ipc": 5},
            r"holds pixels of shape \(6, 3, 8, 8\) and 6 labels, but its manifest says \(15, 3, 8, 8\)$",
        ),
        (
            {"decode": {"kind": "factor", "factor": 2}},
            r"set.safetensors: decode specification .*'factor': 2.*: its kind must be identity or cells$",
        ),
        (
            {"decode": {"kind": "cells", "factor": 7, "form": "single"}},
            r"8 px are too few for 7 cells a side$",
        ),
        ({"decode": None}, r"carries a manifest without a usable 'decode'$"),
        ({"pixels": None}, r"carries a manifest without a usable 'pixels'$"),
        ({"pixels": "bytes"}, r"holds pixels of kind 'bytes'; allowed are normalised and unit$"),
        ({"pixels": "unit"}, r"holds unit pixels in \[-1.66667, 2.79412\]; allowed is \[0, 1\]$"),
        ({"classes": None}, r"carries a manifest without a usable 'classes'$"),
        ({"data": {"name": "colours"}}, r"carries a manifest without a usable 'fingerprint'$"),
        ({"evaluation": {"net": "convnet"}}, r"carries a manifest without a usable 'protocol'$"),
        ({"normalisation": None}, r"carries a manifest without a usable 'normalisation'$"),
        ({"schema": None}, r"carries a manifest that cannot be read$"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    distilled: DistilledSet, tmp_path: Path, change: dict, sentence: str
) -> None:
    path = distilled.save(tmp_path / "set.safetensors")
    rewrite(path, **change)
    with pytest.raises(ArtifactError, match=sentence):
        DistilledSet.load(path)


def test_other_number_formats_are_refused(distilled: DistilledSet, tmp_path: Path) -> None:
    path = distilled.save(tmp_path / "set.safetensors")
    rewrite(path, tensors={"pixels": distilled.pixels.half(), "targets": distilled.targets})
    with pytest.raises(ArtifactError, match=r"holds torch.float16 pixels and torch.int64 labels, but"):
        DistilledSet.load(path)


def test_labels_that_are_not_class_major_are_refused(distilled: DistilledSet, tmp_path: Path) -> None:
    for targets in ([0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 3]):
        path = distilled.save(tmp_path / "set.safetensors")
        rewrite(path, tensors={"pixels": distilled.pixels, "targets": torch.tensor(targets)})
        with pytest.raises(
            ArtifactError, match="holds other labels than 2 times class 0, then class 1, up to 2"
        ):
            DistilledSet.load(path)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        (BOXES.int(), r"set.safetensors: boxes are torch.int32 of shape \(6, 2, 3\); allowed is torch.int64"),
        (BOXES[:5], r"of shape \(5, 2, 3\); allowed is torch.int64 of shape \(6, at least 1, 3\)$"),
        (BOXES + 1, r"box 1 of image 0 is \(y0, x0, side\) = \(2, 3, 6\); allowed are windows of side >= 1"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(
    regions: DistilledSet, tmp_path: Path, boxes: torch.Tensor, sentence: str
) -> None:
    path = regions.save(tmp_path / "set.safetensors")
    rewrite(path, tensors={"pixels": regions.pixels, "targets": regions.targets, "boxes": boxes})
    with pytest.raises(ArtifactError, match=sentence):
        DistilledSet.load(path)


@pytest.mark.parametrize("value", [1.5, -0.25, float("nan")])
def test_what_could_not_be_loaded_is_not_written(regions: DistilledSet, tmp_path: Path, value: float) -> None:
    pixels = regions.pixels.clone()
    pixels[0, 0, 0, 0] = value
    with pytest.raises(ArtifactError, match=r"holds unit pixels in .*; allowed is \[0, 1\]$"):
        dataclasses.replace(regions, pixels=pixels).save(tmp_path / "set.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 4, 300, -4])
def test_a_file_cut_short_is_refused(distilled: DistilledSet, tmp_path: Path, kept: int) -> None:
    path = distilled.save(tmp_path / "set.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match=r"set.safetensors is not a whole safetensors file: "):
        DistilledSet.load(path)


def test_a_missing_file_a_folder_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no file .*nothing.safetensors"):
        DistilledSet.load(tmp_path / "nothing.safetensors")
    with pytest.raises(ArtifactError, match="there is no file"):
        DistilledSet.load(tmp_path)
    foreign = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, foreign)
    with pytest.raises(ArtifactError, match="is a safetensors file, but not a distilled set of raydd"):
        DistilledSet.load(foreign)
    pickled = tmp_path / "old.pt"
    torch.save({"pixels": torch.zeros(3)}, pickled)
    with pytest.raises(ArtifactError, match="not a whole safetensors file"):
        DistilledSet.load(pickled)


def test_saving_elsewhere_than_to_safetensors_or_a_writable_folder_is_refused(
    distilled: DistilledSet, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=r"saved as <name>.safetensors, got '.*set.png'"):
        distilled.save(tmp_path / "set.png")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="cannot write"):
        distilled.save(tmp_path / "file" / "set.safetensors")


def test_the_preview_shows_stored_pixels_not_decoded_ones(regions: DistilledSet, tmp_path: Path) -> None:
    regions.save(tmp_path / "set.safetensors")
    picture = np.asarray(Image.open(tmp_path / "set.png"))
    assert picture.shape == (3 * 66 + 2, 2 * 66 + 2, 3)
    pixels = (regions.pixels * 255).round().to(torch.uint8)
    for index in range(6):
        top, left = 2 + 66 * (index // 2), 2 + 66 * (index % 2)
        tile = picture[top : top + 64 : 8, left : left + 64 : 8]
        np.testing.assert_array_equal(tile, pixels[index].permute(1, 2, 0).numpy())


def test_grey_sets_preview_in_grey() -> None:
    grid = preview_grid(torch.full((2, 1, 28, 28), 0.5), torch.tensor([0, 1]))
    assert grid.shape == (2 * 58 + 2, 60, 3)
    assert (grid[2:58, 2:58] == 128).all()


def test_the_regions_picture_shows_every_image_beside_its_map_and_boxes() -> None:
    pixels = torch.stack([torch.full((1, 32, 32), value) for value in (0.0, 0.4, 1.0)])
    maps = torch.zeros(3, 32, 32)
    maps[0, :16] = -2.0  # below the rest: black
    maps[1, :16], maps[1, 16:24] = 9.0, 3.0  # the highest: white; a third: red
    boxes = torch.tensor([[[20, 0, 8]], [[0, 16, 16]], [[0, 0, 32]]])
    picture = regions_picture(pixels, maps, boxes, torch.tensor([0, 0, 1]))
    assert picture.shape == (2 * 66 + 2, 2 * 132 + 2, 3)  # pairs of 64 px tiles parted by 2 px

    def tiles(row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        top, left = 2 + 66 * row, 2 + 132 * column
        return picture[top : top + 64, left : left + 64], picture[top : top + 64, left + 66 : left + 130]

    for (row, column), grey in {(0, 0): 0, (0, 1): 102, (1, 0): 255}.items():
        assert (tiles(row, column)[0] == grey).all()
    first, second, third = (tiles(*place)[1] for place in ((0, 0), (0, 1), (1, 0)))
    assert (first[:32] == 0).all()  # black over black
    assert first[63, 63].tolist() == [128, 128, 128]  # half of white over black
    assert second[31, 0].tolist() == [round(255 * 0.7)] * 3  # half of white over 0.4
    assert second[40, 0].tolist() == [round(255 * 0.7), 51, 51]  # half of red
    assert second[60, 0].tolist() == [51, 51, 51]
    assert third[32, 32].tolist() == [128, 128, 128]  # a flat map has no heat
    cyan = (first == np.array([0, 255, 255])).all(axis=2)
    assert cyan[40:56, :16].sum() == cyan.sum() == 16 * 16 - 12 * 12
    assert (second == np.array([0, 255, 255])).all(axis=2).sum() == 32 * 32 - 28 * 28
    assert (picture[64:66] == 255)[2:].all()
    assert regions_picture(pixels, maps, boxes, torch.tensor([0, 0, 1]), per_class=1).shape == (134, 134, 3)


def test_pictures_of_large_sets_make_no_more_than_they_show() -> None:
    stream = torch.Generator().manual_seed(0)
    pixels, maps = torch.rand(600, 3, 32, 32, generator=stream), torch.rand(600, 32, 32, generator=stream)
    boxes, labels = torch.tensor([4, 8, 16]).expand(600, 1, 3), torch.arange(2).repeat_interleave(300)
    first = torch.tensor([0, 1, 300, 301])
    tracemalloc.start()
    try:
        picture, grid = regions_picture(pixels, maps, boxes, labels, 2), preview_grid(pixels, labels, 2)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2**20  # the tiles of all images are 7 MB, twice as many in the regions' picture
    few = regions_picture(pixels[first], maps[first], boxes[first], labels[first])
    assert np.array_equal(picture, few)
    assert np.array_equal(grid, preview_grid(pixels[first], labels[first]))
