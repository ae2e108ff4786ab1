"""`raydd convert`: sets of others are evaluated by our protocol, ours come back from every format."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from raydd.cli import main
from raydd.data import load_data
from raydd.formation import initial_labels
from raydd.storage import DistilledSet

FORMATS = ("folder", "npz", "dc", "idc", "ddranking", "hf")


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def said(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("error: ")


@pytest.fixture(scope="module")
def real():
    """Two real digits a class: uint8 images (20, 1, 8, 8) and their labels."""
    data = load_data("digits")
    chosen = np.concatenate([np.flatnonzero(data.train.labels == class_)[:2] for class_ in range(10)])
    return data, data.train.take(chosen), initial_labels(10, 2)


@pytest.fixture(scope="module")
def theirs(real, tmp_path_factory):
    """The same real images as the scripts of others would leave them; paths by format."""
    data, pixels, labels = real
    folder = tmp_path_factory.mktemp("theirs")
    unit, images = pixels.float() / 255, data.normalisation.apply(pixels)
    for pixel, label, number in zip(pixels, labels.tolist(), range(20)):
        (folder / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixel[0].numpy()).save(folder / "images" / str(label) / f"{number}.png")
    np.savez(folder / "set.npz", images=unit.numpy(), labels=labels.numpy())
    torch.save(
        {"data": [[images, labels]], "accs_all_exps": {"ConvNet": [np.float64(0.5)]}}, folder / "res.pt"
    )
    torch.save([unit, labels], folder / "data.pt")
    (folder / "ddranking").mkdir()
    for name, tensor in (("images", images), ("labels", labels), ("lr", torch.tensor(0.01))):
        torch.save(tensor, folder / "ddranking" / f"{name}.pt")
    return {
        "folder": folder / "images",
        "npz": folder / "set.npz",
        "dc": folder / "res.pt",
        "idc": folder / "data.pt",
        "ddranking": folder / "ddranking",
    }


def converted(source, out, *arguments):
    flags = ["--data", "digits", "--net", "convnet-w8", "--protocol", "dsa", *arguments]
    return said("convert", source, out, *flags)


def accuracy(file):
    result = run("evaluate", file, "--epochs", "40", "--repeats", "1", "--compile", "off", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)[0]["mean"]


def test_a_set_of_each_format_of_others_is_evaluated_by_our_protocol(theirs, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads of tiny networks only wait for each other
    found = {}
    for kind, source in theirs.items():
        text = converted(source, tmp_path / f"{kind}.safetensors")
        assert f"20 images of 10 classes, from {source.name} ({kind})" in text
        found[kind] = accuracy(tmp_path / f"{kind}.safetensors")
    folder = tmp_path / "hf"
    said("convert", tmp_path / "npz.safetensors", folder, "--to", "hf")
    (folder / "distilled.safetensors").unlink()  # as if another had written it
    converted(folder, tmp_path / "hf.safetensors")
    found["hf"] = accuracy(tmp_path / "hf.safetensors")
    # The same pixels are the same training, whatever they came in: two real digits a class.
    assert set(found) == set(FORMATS)
    assert min(found.values()) > 0.3
    assert max(found.values()) - min(found.values()) < 0.03, found


def test_what_came_from_elsewhere_is_said_and_validation_refused(theirs, tmp_path):
    out = tmp_path / "set.safetensors"
    converted(theirs["dc"], out, "--method", "DM")
    short = ["--epochs", "1", "--repeats", "1", "--compile", "off"]
    text = said("evaluate", out, *short)
    assert "set.safetensors: DM on digits, ipc 2, made elsewhere (dc)" in text
    assert "which images the set was made from is not known" in text
    assert "distilled from other training images" in refused("evaluate", out, *short, "--split", "val")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_set_of_raydd_goes_to_every_format_and_back(theirs, kind, tmp_path):
    first, back = tmp_path / "first.safetensors", tmp_path / "back.safetensors"
    converted(theirs["idc"], first, "--factor", "2", "--decode", "multi")
    whole = DistilledSet.load(first)
    other = tmp_path / {"npz": "a.npz", "dc": "a.pt", "idc": "a.pt"}.get(kind, "a")
    text = said("convert", first, other, "--to", kind, "--decoded")
    assert f"wrote {other} ({kind}): 100 images of 10 classes, from first.safetensors (raydd)" in text
    said("convert", other, back, *(["--data", "digits"] if kind == "idc" else []))
    again = DistilledSet.load(back)
    assert torch.equal(again.labels(), whole.labels())
    step = 0.5 / 255 / min(whole.normalisation.std) if kind == "folder" else 0
    assert (again.images() - whole.images()).abs().max() <= step + 1e-5


def test_the_format_of_in_is_found_and_of_out_told_by_its_name(theirs, tmp_path):
    out = tmp_path / "a.safetensors"
    converted(theirs["npz"], out)
    assert "(npz)" in said("convert", out, tmp_path / "b.npz")
    assert "may be of several formats" in refused("convert", out, tmp_path / "c")
    assert "unknown format 'zip'" in refused("convert", out, tmp_path / "c", "--to", "zip")


def test_nothing_is_overwritten_unless_told(theirs, tmp_path):
    out = tmp_path / "a.safetensors"
    converted(theirs["npz"], out)
    assert "exists already" in refused("convert", theirs["dc"], out, "--data", "digits")
    converted(theirs["dc"], out, "--force")
    (tmp_path / "other.png").write_bytes(b"mine")
    assert "other.png exists already" in refused(
        "convert", theirs["dc"], tmp_path / "other.safetensors", "--data", "digits"
    )
    assert (tmp_path / "other.png").read_bytes() == b"mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    assert "name a folder that does not" in refused(
        "convert", out, tmp_path / "full", "--to", "hf", "--force"
    )
    assert "must end in .safetensors" in refused("convert", theirs["dc"], tmp_path / "a.bin", "--to", "raydd")


def test_what_a_file_does_not_say_is_asked_for(theirs, tmp_path):
    out = tmp_path / "a.safetensors"
    assert refused("convert", theirs["dc"], out).startswith(
        "--data: res.pt does not say what it was made from"
    )
    flags = ["--data", "digits"]
    assert "unknown protocol 'dso'" in refused("convert", theirs["dc"], out, *flags, "--protocol", "dso")
    assert "--factor" in refused("convert", theirs["idc"], out, *flags, "--factor", "0")
    assert "--experiment: files of format npz" in refused(
        "convert", theirs["npz"], out, *flags, "--experiment", "0"
    )
    assert not out.exists()
    converted(theirs["npz"], out)
    assert "--net: the set says itself" in refused("convert", out, tmp_path / "b.npz", "--net", "convnet")
    assert "there is no file or folder" in refused("convert", tmp_path / "no.pt", tmp_path / "b.npz")
