"""A distilled set on disk: whole, bit-equal, without pickle, and refused with one sentence when it is not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from raydd.data import DataSplits
from raydd.errors import ArtifactError
from raydd.formation import initial_images, initial_labels
from raydd.registry import Context
from raydd.storage import DistilledSet, manifest


def distil(data: DataSplits, seed: int = 0) -> DistilledSet:
    context = Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50)
    facts = manifest(
        method="dm",
        hyperparameters={"lr_img": 1.0},
        context=context,
        data=data,
        seed=seed,
        iteration=7,
        evaluation={"protocol": "dsa", "net": "convnet", "epochs": None, "augmentation": "color"},
    )
    pixels = initial_images(data.train, 2, data.normalisation, seed)
    return DistilledSet(pixels, initial_labels(3, 2), facts)


@pytest.fixture
def distilled(data: DataSplits) -> DistilledSet:
    return distil(data)


def rewrite(path: Path, *, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> None:
    """Write the file again with other tensors or with changed manifest fields (None removes one)."""
    old = DistilledSet.load(path)
    facts = {key: value for key, value in {**old.manifest, **changes}.items() if value is not None}
    tensors = tensors or {"pixels": old.pixels, "targets": old.targets}
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
    assert facts["decode"] == {"kind": "identity"}
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
        ({"schema": 2}, r"has schema 2; this version of raydd reads schema 1$"),
        (
            {"ipc": 5},
            r"holds pixels of shape \(6, 3, 8, 8\) and 6 labels, but its manifest says \(15, 3, 8, 8\)$",
        ),
        ({"decode": {"kind": "factor", "factor": 2}}, r"decode specification .*'factor': 2.* is not"),
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


def test_grey_sets_preview_in_grey() -> None:
    from raydd.storage import preview_grid

    grid = preview_grid(torch.full((2, 1, 28, 28), 0.5), torch.tensor([0, 1]))
    assert grid.shape == (2 * 58 + 2, 60, 3)
    assert (grid[2:58, 2:58] == 128).all()
