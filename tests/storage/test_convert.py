"""Sets in the formats of others and back: the same bits where a format holds them, refusals where it does not."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from raydd.errors import ArtifactError, ConfigError
from raydd.formation import cells_spec, initial_images, initial_labels
from raydd.registry import Context
from raydd.storage import DistilledSet, convert, formats, manifest
from raydd.storage.convert import Recipe, adopted, outgoing, restored

FILES = {
    "folder": "set",
    "npz": "set.npz",
    "dc": "res_set.pt",
    "idc": "data.pt",
    "ddranking": "set",
    "hf": "set",
}
RECIPE = Recipe("theirs", "convnet-w4", "dsa", "color_crop", {"kind": "identity"})
TEACHER = {"asset": "teacher-0123456789abcdef", "sha256": "ab", "weights": "cd", "net": "convnet-w4"}
TEACHER |= {"epochs": 3, "pretrained": False}
BOXES = torch.tensor([[[0, 0, 4]], [[1, 2, 5]]] * 3)


def distil(data, boxes=None, logits=None, **stored):
    context = Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50)
    evaluation = {"protocol": "dsa", "net": "convnet-w4", "epochs": None, "augmentation": "color"}
    facts = manifest(
        method="dm",
        hyperparameters={},
        context=context,
        data=data,
        seed=0,
        iteration=7,
        evaluation=evaluation,
        **stored,
    )
    unit = facts["pixels"] == "unit"
    pixels = initial_images(data.train, 2, None if unit else data.normalisation, 0)
    if not unit:  # beyond black and white, as distilled pixels are
        pixels = pixels + 0.3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return DistilledSet(pixels, initial_labels(3, 2), facts, boxes, logits)


@pytest.fixture
def plain(data):
    return distil(data)


@pytest.fixture
def soft(data):
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).half()
    return distil(data, logits=logits, labels={"kind": "image", "teacher": TEACHER})


@pytest.fixture
def cut(data):
    return distil(data, decode=cells_spec(2, "multi"), pixels="unit")


@pytest.fixture
def regions(data):
    return distil(data, boxes=BOXES, decode=cells_spec(2), pixels="unit")


def sent(distilled, kind, folder, *, decoded=False, hard_labels=False):
    """Write a set in a format; the path, and what is said."""
    path = folder / FILES[kind]
    prepared, notes = outgoing(distilled, kind, decoded=decoded, hard_labels=hard_labels)
    return path, notes + formats.FORMATS[kind].write(prepared, path)


def alone(path):
    """Take away what raydd leaves in a folder of another format."""
    for name in ("raydd.json", "distilled.safetensors"):
        if (path / name).exists():
            (path / name).unlink()


def clamped(distilled):
    return distilled.normalisation.apply(distilled.unit_pixels())


@pytest.mark.parametrize("kind", ["npz", "dc", "ddranking"])
def test_a_set_comes_back_bit_equal(plain, kind, tmp_path):
    path, _ = sent(plain, kind, tmp_path)
    assert formats.of_input(path) == kind
    back = restored(convert.read(path, kind))
    assert torch.equal(back.pixels, plain.pixels)
    assert torch.equal(back.targets, plain.targets)
    assert back.manifest == plain.manifest


def test_a_hub_folder_has_the_set_bit_for_bit(soft, tmp_path):
    path, _ = sent(soft, "hf", tmp_path)
    back = convert.read(path, formats.of_input(path))
    assert torch.equal(back.pixels, soft.pixels)
    assert torch.equal(back.logits, soft.logits)
    assert back.manifest == soft.manifest


@pytest.mark.parametrize("kind", ["folder", "hf"])
def test_eight_bits_are_within_half_a_step(plain, data, kind, tmp_path):
    path, notes = sent(plain, kind, tmp_path)
    assert "beyond black and white" in notes[0]
    alone(path)
    back, _ = adopted(convert.read(path, kind, channels=3), data, RECIPE, {})
    assert back.manifest["pixels"] == "unit"
    error = (back.pixels - plain.unit_pixels()).abs().max().item()
    assert 0 < error <= 0.5 / 255 + 1e-6


def test_a_folder_of_raydd_needs_no_data_to_come_back(plain, tmp_path):
    path, _ = sent(plain, "folder", tmp_path)
    back = restored(convert.read(path, "folder"))
    assert back.manifest == {**plain.manifest, "pixels": "unit"}
    assert (back.images() - clamped(plain)).abs().max() <= 0.5 / 255 / 0.2 + 1e-5


def test_idc_keeps_pixels_in_the_unit_range_bit_equal(cut, data, tmp_path):
    path, notes = sent(cut, "idc", tmp_path)
    assert notes == ["IDC's test.py takes --factor 2 --decode_type multi for it"]
    recipe = Recipe("idc", "convnet-w4", "idc", "", convert.cells(2, "multi"))
    back, _ = adopted(convert.read(path, "idc"), data, recipe, {})
    assert torch.equal(back.pixels, cut.pixels)
    assert torch.equal(back.images(), cut.images())
    assert torch.equal(back.labels(), cut.labels())


def test_idc_keeps_pixels_beyond_black_and_white(plain, data, tmp_path):
    path, _ = sent(plain, "idc", tmp_path)
    back, notes = adopted(convert.read(path, "idc"), data, RECIPE, {})
    assert back.manifest["pixels"] == "normalised"
    assert "beyond black and white" in notes[0]
    assert (back.pixels - plain.pixels).abs().max() < 1e-5


def test_a_cut_up_set_with_regions_comes_back_from_npz(regions, tmp_path):
    path, _ = sent(regions, "npz", tmp_path)
    back = restored(convert.read(path, "npz"))
    assert torch.equal(back.boxes, BOXES)
    assert torch.equal(back.images(), regions.images())


@pytest.mark.parametrize("kind", sorted(FILES))
def test_decoded_images_are_those_that_are_trained_on(regions, data, kind, tmp_path):
    path, _ = sent(regions, kind, tmp_path, decoded=True)
    alone(path)
    back, _ = adopted(convert.read(path, kind), data, RECIPE, {})
    assert len(back.pixels) == len(regions.labels()) == 3 * 2 * (4 + 1)
    assert torch.equal(back.labels(), regions.labels())
    step = 0.5 / 255 / 0.2 if kind in ("folder", "hf") else 0
    assert (back.images() - regions.images()).abs().max() <= step + 1e-5
    if kind in ("npz", "dc", "ddranking"):
        assert torch.equal(back.images(), regions.images())


@pytest.mark.parametrize("kind", ["folder", "dc", "ddranking", "hf"])
def test_formats_that_cannot_say_how_images_are_cut_want_them_decoded(cut, kind):
    with pytest.raises(
        ConfigError, match=rf"become 30 training images, and {kind} cannot say how.*--decoded"
    ):
        outgoing(cut, kind, decoded=False, hard_labels=False)


def test_idc_cannot_say_where_regions_lie(regions):
    with pytest.raises(ConfigError, match="idc cannot say how"):
        outgoing(regions, "idc", decoded=False, hard_labels=False)


@pytest.mark.parametrize("kind", ["npz", "ddranking"])
def test_soft_labels_come_back_bit_equal(soft, kind, tmp_path):
    path, _ = sent(soft, kind, tmp_path)
    back = restored(convert.read(path, kind))
    assert torch.equal(back.logits, soft.logits)
    assert back.label_kind == "image"


@pytest.mark.parametrize("kind", ["ddranking", "hf"])
def test_soft_labels_of_others_are_kept(soft, data, kind, tmp_path):
    path, _ = sent(soft, kind, tmp_path)
    alone(path)
    back, notes = adopted(convert.read(path, kind), data, RECIPE, {})
    assert back.label_kind == "image"
    assert any("soft labels are kept" in note for note in notes)
    if kind == "hf":  # it has classes beside the logits, so the order is known
        assert torch.equal(back.logits, soft.logits)
    assert back.label_facts["teacher"]["pretrained"]


@pytest.mark.parametrize("kind", ["folder", "dc", "idc"])
def test_formats_without_soft_labels_refuse_them_unless_told(soft, data, kind, tmp_path):
    with pytest.raises(ConfigError, match=f"{kind} holds no soft labels.*--hard-labels"):
        outgoing(soft, kind, decoded=False, hard_labels=False)
    path, notes = sent(soft, kind, tmp_path, hard_labels=True)
    assert "soft labels are left out" in notes[0]
    back, _ = adopted(convert.read(path, kind, channels=3 if kind == "folder" else None), data, RECIPE, {})
    assert back.label_kind == "hard"
    assert torch.equal(back.targets, soft.targets)


def test_probabilities_become_logits_with_the_same_softmax(plain, data, tmp_path):
    chances = torch.tensor(
        [[0.7, 0.2, 0.1], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0, 0.3, 0.7], [0, 0, 1.0]]
    )
    np.savez(tmp_path / "a.npz", images=plain.unit_pixels().numpy(), labels=chances.numpy())
    back, _ = adopted(convert.read(tmp_path / "a.npz", "npz"), data, RECIPE, {})
    assert torch.equal(back.targets, plain.targets)
    assert (back.soft_labels() - chances).abs().max() < 2e-3


# -- files as the authors' scripts leave them -----------------------------------------------------------


def test_the_authors_result_file_with_numpy_accuracies(plain, data, tmp_path):
    first = [torch.zeros(6, 3, 8, 8), plain.targets]
    second = [plain.pixels.clone().requires_grad_(), plain.targets]
    path = tmp_path / "res_DM_CIFAR10_ConvNet_2ipc.pt"
    accuracies = {"ConvNet": [np.float64(0.5), np.float64(0.25)]}
    torch.save({"data": [first, second], "accs_all_exps": accuracies}, path)
    assert formats.of_input(path) == "dc"
    back, notes = adopted(convert.read(path, "dc"), data, RECIPE, {})
    assert torch.equal(back.pixels, plain.pixels)
    assert notes == ["the file holds 2 sets; this is number 1"]
    zeros, _ = adopted(convert.read(path, "dc", experiment=0), data, RECIPE, {})
    assert zeros.pixels.count_nonzero() == 0
    with pytest.raises(ArtifactError, match="holds sets 0 to 1, and set 2 is asked for"):
        convert.read(path, "dc", experiment=2)


def test_images_in_another_order_are_sorted_by_class(plain, data, tmp_path):
    order = torch.tensor([4, 0, 2, 5, 1, 3])
    torch.save([plain.unit_pixels()[order], plain.targets[order]], tmp_path / "data.pt")
    back, _ = adopted(convert.read(tmp_path / "data.pt", "idc"), data, RECIPE, {})
    assert torch.equal(back.pixels, plain.unit_pixels())


def test_mtt_leaves_best_behind_its_names_and_no_learning_rate(plain, data, tmp_path):
    torch.save(plain.pixels, tmp_path / "images_best.pt")
    torch.save(plain.targets, tmp_path / "labels_best.pt")
    torch.save(torch.tensor(0.02), tmp_path / "lr.pt")
    assert formats.of_input(tmp_path) == "ddranking"
    back, _ = adopted(convert.read(tmp_path, "ddranking"), data, RECIPE, {})
    assert torch.equal(back.pixels, plain.pixels)
    assert back.manifest["hyperparameters"]["syn_lr"] == pytest.approx(0.02)


def test_class_folders_are_matched_by_name(plain, data, tmp_path):
    picture = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    for name, colour in picture.items():  # in alphabetical order they are blue, green, red
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), colour).save(tmp_path / name / "a.jpg", quality=100, subsampling=0)
    back, notes = adopted(convert.read(tmp_path, "folder"), data, RECIPE, {})
    assert back.pixels.mean((2, 3)).argmax(1).tolist() == [0, 1, 2]
    assert notes == []


def test_class_folders_of_other_names_are_taken_in_their_order(data, tmp_path):
    for name in ("new000", "new001", "new002"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    _, notes = adopted(convert.read(tmp_path, "folder"), data, RECIPE, {})
    assert notes == [
        "their classes (new000, ...) are taken to be the data's (red, ...), in alphabetical order"
    ]


def test_the_manifest_says_where_a_set_came_from_and_names_no_training_images(plain, data, tmp_path):
    path, _ = sent(plain, "npz", tmp_path)
    back, _ = adopted(convert.read(path, "npz"), data, RECIPE, convert.origin_of(path, "npz"))
    assert back.manifest["origin"]["format"] == "npz"
    assert len(back.manifest["origin"]["sha256"]) == 64
    assert back.manifest["data"]["train"] == "unknown"
    back.save(tmp_path / "again.safetensors")
    assert DistilledSet.load(tmp_path / "again.safetensors").manifest == back.manifest


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("apple", "train", "zebra"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    found = convert.read(tmp_path, "folder")
    assert (found.class_names, found.labels.tolist()) == (("apple", "train", "zebra"), [0, 1, 2])
    (tmp_path / "above").mkdir()
    for name in ("apple", "train", "zebra"):
        (tmp_path / name).rename(tmp_path / "above" / name)
    (tmp_path / "above").rename(tmp_path / "train")
    assert convert.read(tmp_path, "folder").class_names == ("apple", "train", "zebra")


@pytest.mark.parametrize("kind", [">i4", "uint8", "uint16", ">u2", "float32", ">f8"])
def test_numbers_of_any_kind_and_byte_order_are_classes(plain, data, kind, tmp_path):
    images = plain.unit_pixels().numpy().astype(">f4")
    np.savez(tmp_path / "a.npz", images=images, labels=plain.targets.numpy().astype(kind))
    back, _ = adopted(convert.read(tmp_path / "a.npz", "npz"), data, RECIPE, {})
    assert torch.equal(back.pixels, plain.unit_pixels())
    assert torch.equal(back.targets, plain.targets)


# -- refusals ---------------------------------------------------------------------------------------------


class Nasty:
    """An object whose pickle runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["data.pt", "images.pt"])
def test_code_in_a_file_is_not_run(tmp_path, name):
    trace = tmp_path / "trace"
    torch.save([torch.zeros(3, 3, 8, 8), Nasty(f"touch {trace}")], tmp_path / name)
    with pytest.raises(ArtifactError, match="reading that would run code from the file"):
        convert.read(
            tmp_path / name if name == "data.pt" else tmp_path, "idc" if name == "data.pt" else "ddranking"
        )
    assert not trace.exists()


def test_an_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([Nasty("true")], dtype=object))
    with pytest.raises(ArtifactError, match="holds pickled objects"):
        convert.read(tmp_path / "a.npz", "npz")


@pytest.mark.parametrize("kind", ["npz", "dc", "idc"])
def test_a_file_that_is_cut_off_is_refused(plain, kind, tmp_path):
    path, _ = sent(plain, kind, tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtifactError, match="is not a whole"):
        convert.read(path, kind)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (
            torch.zeros(6, 3, 16, 16),
            initial_labels(3, 2),
            r"images of shape \(3, 16, 16\), and those of 'colours' are",
        ),
        (torch.zeros(6, 1, 8, 8), initial_labels(3, 2), r"images of shape \(1, 8, 8\)"),
        (torch.zeros(6, 3, 8, 8), torch.tensor([0, 0, 0, 1, 1, 2]), "1 images of class 2 and 3 of class 0"),
        (torch.zeros(4, 3, 8, 8), torch.tensor([0, 0, 1, 1]), "0 images of class 2 and 2 of class 0"),
        (torch.zeros(8, 3, 8, 8), initial_labels(4, 2), "and 'colours' has 3 classes"),
        (torch.zeros(6, 3, 8, 8), torch.zeros(6, 5), "logits of 5 classes"),
        (torch.zeros(6, 3, 8, 8), torch.zeros(5), "allowed are 6 whole numbers"),
        (torch.full((6, 3, 8, 8), torch.nan), initial_labels(3, 2), "NaN"),
        (torch.zeros(6, 3, 8, 4), initial_labels(3, 2), r"allowed is \(N, 1 or 3, S, S\)"),
        (torch.zeros(6, 3, 8, 8, dtype=torch.int64), initial_labels(3, 2), "floating-point"),
        (torch.full((6, 3, 8, 8), 255.0), initial_labels(3, 2), r"\[255, 255\], .* to be divided by 255"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(data, images, labels, sentence, tmp_path):
    torch.save({"data": [[images, labels]]}, tmp_path / "res.pt")
    with pytest.raises(ArtifactError, match=sentence):
        adopted(convert.read(tmp_path / "res.pt", "dc"), data, RECIPE, {})


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"labels": np.array(["red"] * 6)}, "labels holds no numbers"),
        ({"labels": np.full(6, 10**6)}, "the set has a label 1000000, and 'colours' has 3 classes"),
        (
            {"labels": np.arange(6), "class_names": np.array(["red", "green", "blue"])},
            "the set has a label 5",
        ),
        (
            {"logits": np.full((6, 3), 7e4)},
            r"logits in \[70000, 70000\]; allowed are finite ones up to 65504",
        ),
        (
            {"logits": np.zeros((5, 3))},
            r"logits of shape \(5, 3\); allowed are .* a row for each of 6",
        ),
        ({"logits": np.zeros(6)}, r"logits of shape \(6,\)"),
        ({"mean": np.zeros(3), "std": np.ones(2)}, "images of 3 channels need 3 of each"),
        ({"mean": np.zeros(1), "std": np.ones(1)}, "images of 3 channels need 3 of each"),
        ({"mean": np.zeros(3)}, "images of 3 channels need 3 of each"),
        ({"mean": np.zeros(3), "std": np.array([1.0, 0.0, 1.0])}, "and std above 0"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(plain, data, arrays, sentence, tmp_path):
    whole = {"images": plain.unit_pixels().numpy(), "labels": plain.targets.numpy(), **arrays}
    np.savez(tmp_path / "a.npz", **whole)
    with pytest.raises(ArtifactError, match=sentence):
        adopted(convert.read(tmp_path / "a.npz", "npz"), data, RECIPE, {})


def test_large_logits_of_a_set_of_raydd_are_refused_too(soft, tmp_path):
    path, _ = sent(soft, "npz", tmp_path)
    with np.load(path) as arrays:
        changed = {**arrays, "logits": np.full((6, 3), 1e5, dtype=np.float32)}
    np.savez(path, **changed)
    with pytest.raises(ArtifactError, match="allowed are finite ones up to 65504"):
        restored(convert.read(path, "npz"))


@pytest.mark.parametrize("scale", [255.0, 4.0, -1.1])
def test_a_list_of_images_that_are_hardly_pixels_is_not_taken_for_idcs_unless_told(
    plain, data, scale, tmp_path
):
    path = tmp_path / "data.pt"
    pixels = scale * plain.unit_pixels().clamp(0, 1)
    pixels[0, 0, 0, 0] = scale
    torch.save([pixels, plain.targets], path)
    low, high = pixels.min().item(), pixels.max().item()
    with pytest.raises(ArtifactError) as caught:
        formats.of_input(path)
    assert f"with images in [{low:g}, {high:g}], and IDC's are pixels in [0, 1]" in str(caught.value)
    back, _ = adopted(convert.read(path, "idc"), data, RECIPE, {})
    assert back.manifest["pixels"] == "normalised"


def test_a_list_of_images_a_little_beyond_black_and_white_is_idcs(plain, tmp_path):
    path, _ = sent(plain, "idc", tmp_path)
    assert torch.load(path, weights_only=True)[0].min() < 0
    assert formats.of_input(path) == "idc"


def test_labels_of_a_hub_folder_that_are_no_numbers_are_refused(plain, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path, _ = sent(plain, "hf", tmp_path)
    file = path / "data" / "train-00000-of-00001.parquet"
    alone(path)
    table = parquet.read_table(file)
    for labels in (pa.array(["red"] * 6), pa.array([0, 0, 1, 1, 2, None])):
        parquet.write_table(table.set_column(1, "label", labels), file)
        with pytest.raises(ArtifactError, match="column label: labels holds no numbers"):
            convert.read(path, "hf")


def test_more_than_one_learning_rate_is_refused(plain, tmp_path):
    path, _ = sent(plain, "ddranking", tmp_path)
    torch.save(torch.tensor([0.01, 0.02]), path / "lr.pt")
    with pytest.raises(ArtifactError, match=r"lr\.pt holds 2 values; allowed is one learning rate"):
        convert.read(path, "ddranking")
    torch.save("fast", path / "lr.pt")
    with pytest.raises(ArtifactError, match=r"lr\.pt holds no numbers"):
        convert.read(path, "ddranking")


def test_images_beyond_the_unit_range_without_a_normalisation_are_refused(plain, tmp_path):
    np.savez(tmp_path / "a.npz", images=plain.pixels.numpy(), labels=plain.targets.numpy())
    with pytest.raises(ArtifactError, match="normalised ones need the arrays mean and std"):
        convert.read(tmp_path / "a.npz", "npz")


def test_eight_bit_arrays_are_pixels_with_channels_first_or_last(data, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(3).repeat(2))
    back, _ = adopted(convert.read(tmp_path / "a.npz", "npz"), data, RECIPE, {})
    assert torch.equal(
        (back.pixels * 255).round().to(torch.uint8), torch.from_numpy(pixels).permute(0, 3, 1, 2)
    )


def test_the_name_tells_the_format_or_it_is_asked_for(tmp_path):
    assert formats.of_output(tmp_path / "data.pt") == "idc"
    assert formats.of_output(tmp_path / "res_x.pt") == "dc"
    assert formats.of_output(tmp_path / "a.npz") == "npz"
    for name in ("a.pt", "folder"):
        with pytest.raises(ConfigError, match=r"--to: .* may be of several formats"):
            formats.of_output(tmp_path / name)
    torch.save(torch.zeros(3), tmp_path / "x.pt")
    with pytest.raises(ArtifactError, match=r"neither a dict with 'data' \(dc\) nor"):
        formats.of_input(tmp_path / "x.pt")


# -- what others read --------------------------------------------------------------------------------------


def test_the_folder_reads_as_torchvision_and_raydd_read_folders(plain, tmp_path):
    path, _ = sent(plain, "folder", tmp_path)
    names = sorted(each.name for each in path.iterdir() if each.is_dir())
    assert names == ["0-red", "1-green", "2-blue"]  # alphabetical order must be that of the labels
    assert len(list(path.glob("*/*.png"))) == 6
    with Image.open(path / "1-green" / "00001.png") as picture:
        assert (picture.size, picture.mode) == ((8, 8), "RGB")


def test_the_parquet_file_has_pictures_and_named_classes_for_datasets(soft, tmp_path):
    import pyarrow.parquet as parquet
    import yaml

    path, _ = sent(soft, "hf", tmp_path)
    table = parquet.read_table(path / "data" / "train-00000-of-00001.parquet")
    assert table.num_rows == 6
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": ["red", "green", "blue"], "_type": "ClassLabel"}
    row = table.to_pylist()[5]
    assert row["label"] == 2
    assert len(row["logits"]) == 3
    with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
        assert picture.size == (8, 8)
    card = (path / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["task_categories"] == ["image-classification"]
    assert front["size_categories"] == ["n<1K"]
    assert front["license"] == "other"
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert front["dataset_info"]["splits"][0]["num_examples"] == 6
    assert [feature["name"] for feature in front["dataset_info"]["features"]] == ["image", "label", "logits"]
    assert "# colours distilled by dm to 2 images per class" in card
    assert "| accuracy | not measured here" in card


def test_the_others_files_load_without_raydd(plain, soft, tmp_path):
    dc, _ = sent(plain, "dc", tmp_path)
    images, labels = torch.load(dc, weights_only=True)["data"][-1]
    assert torch.equal(images, plain.images())
    assert torch.equal(labels, plain.labels())
    folder, notes = sent(soft, "ddranking", tmp_path)
    assert notes == ["labels.pt holds logits: DD-Ranking's temperature is 1"]
    assert torch.equal(torch.load(folder / "labels.pt", weights_only=True), soft.logits.float())
    assert torch.load(folder / "lr.pt", weights_only=True).item() == pytest.approx(0.01)
    npz, _ = sent(plain, "npz", tmp_path)
    arrays = np.load(npz)
    assert np.array_equal(arrays["images"], plain.pixels.numpy())
    assert arrays["mean"].tolist() == pytest.approx([0.3, 0.4, 0.5])
