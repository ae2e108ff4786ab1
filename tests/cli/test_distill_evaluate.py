"""`raydd distill` and `raydd evaluate` on real digits, with networks and lengths that take a second."""

import json
import os
import signal
import threading

import pytest
import safetensors.torch
import torch
from click.testing import CliRunner

from raydd import devices, evaluation, files, nets
from raydd.cli import main
from raydd.data import load_data
from raydd.storage import DistilledSet
from raydd.tuning import labels

SMALL = ["--hp", "net=convnet-w4", "--hp", "batch_real=8", "--ipc", "1", "--iterations", "3"]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def distill(out, *arguments):
    return run("distill", "dm", "--out", out, "--home", out.parent / "home", *SMALL, *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A distilled set, and what making it printed."""
    out = tmp_path_factory.mktemp("made") / "set.safetensors"
    result = distill(out, "--seed", "3", "--hp", "lr_img=1e-1")
    assert result.exit_code == 0, result.output
    return out, result.stdout


def evaluate(file, *arguments):
    return run("evaluate", file, "--net", "convnet-w4", "--epochs", "1", "--repeats", "2", *arguments)


def test_distill_writes_the_set_with_a_preview_and_says_so(made):
    out, said = made
    distilled = DistilledSet.load(out)
    assert distilled.pixels.shape == (10, 1, 8, 8)
    manifest = distilled.manifest
    assert (manifest["seed"], manifest["iteration"]) == (3, 3)
    assert manifest["hyperparameters"]["lr_img"] == 0.1
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert said.splitlines()[-2].startswith(f"wrote {out}: 10 images of 10 classes, ")
    assert said.splitlines()[-1] == f"measure it: raydd evaluate {out} --data digits"


def test_distill_shows_its_losses(made):
    _, said = made
    lines = [line for line in said.splitlines() if line.startswith(("1/3", "2/3", "3/3"))]
    assert len(lines) == 3
    assert all("total " in line for line in lines)


def test_both_say_how_they_compute_and_the_set_remembers(made):
    out, said = made
    short = "eager: less than 1 GFLOP of network arithmetic, too little for compiling to pay"
    assert said.splitlines()[0] == f"computed in fp32, {short}"
    assert DistilledSet.load(out).manifest["computed"] == {"precision": "fp32", "path": "eager"}
    result = evaluate(out, "--precision", "mixed", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == f"convnet-w4: computed in mixed, {short}"
    assert result.stderr.splitlines()[1].startswith("convnet-w4: mixed is slower than fp32")
    assert len(json.loads(result.stdout)) == 1


def test_single_commands_use_all_cpus_of_the_process(made, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(devices.available_cpus() + 1)
    try:
        assert evaluate(made[0]).exit_code == 0
        assert torch.get_num_threads() == devices.available_cpus()
        torch.set_num_threads(devices.available_cpus() + 1)
        evaluation.evaluate(
            DistilledSet.load(made[0]), load_data("digits"), net="convnet-w4", epochs=1, repeats=1
        )
        assert torch.get_num_threads() == devices.available_cpus() + 1  # a library call leaves them alone
    finally:
        torch.set_num_threads(before)


def test_distill_overwrites_only_when_told(made, tmp_path):
    out = tmp_path / "set.safetensors"
    out.write_bytes(b"mine")
    result = distill(out)
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"error: --out: {out} exists already; name another file, or overwrite it with --force\n"
    )
    assert out.read_bytes() == b"mine"
    assert distill(out, "--force").exit_code == 0
    assert DistilledSet.load(out).ipc == 1


def test_distill_leaves_somebody_elses_picture_alone(tmp_path):
    picture = tmp_path / "set.png"
    picture.write_bytes(b"mine")
    result = distill(tmp_path / "set.safetensors")
    assert result.exit_code == 2
    assert f"{picture} exists already" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hp", "lambda_cc=1"], "lambda_cc"),
        (["--hp", "lr_img"], "error: --hp: 'lr_img' is not NAME=VALUE\n"),
        (["--hp", "lr_img=-1"], "lr_img: should be greater than 0, got -1"),
        (["--ipc", "5000"], "ipc: 5000 images per class are asked for"),
        (["--device", "gpu"], "'gpu' is not one of auto, cpu, cuda, cuda:N"),
        (["--precision", "fp16"], "error: precision: should be 'fp32', 'mixed' or 'bf16', got 'fp16'\n"),
        (["--compile", "maybe"], "error: compile: should be 'auto', 'on' or 'off', got 'maybe'\n"),
    ],
)
def test_distill_refuses_bad_input_and_writes_nothing(arguments, said, tmp_path):
    out = tmp_path / "set.safetensors"
    result = distill(out, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        ("udd", "regions=30", "error: regions: 30 are more than the 9 windows that grid_size 3 and"),
        ("udd", "region_scale=[0.5,2]", "error: region_scale: should be less than or equal to 1, got 2\n"),
        (
            "idc",
            "factor=5",
            "error: factor: 5 leaves cells without pixels in images of 8 px; allowed: 1, 2, 3, 4, 8\n",
        ),
        ("dwa", "teacher=foo", "error: teacher: unknown net 'foo' (allowed: alexnet, "),
        (
            "dwa",
            "teacher_weights=none.pt",
            "none.pt is no file that can be read; allowed are public and files",
        ),
        (
            "sre2l",
            "teacher_weights=public",
            "error: teacher_weights: public weights of resnet18-bn tell the 1000 classes of ImageNet apart",
        ),
        (
            "iid",
            "factor=2",
            "error: iid: base dm takes factor 1, update joint and init real or noise, got factor 2",
        ),
    ],
)
def test_distill_refuses_what_does_not_go_together_before_it_trains_anything(method, value, said, tmp_path):
    small = ["--ipc", "1", "--iterations", "3"] if method in ("dwa", "sre2l") else SMALL
    result = run(
        "distill", method, "--out", tmp_path / "set.safetensors", "--home", tmp_path, *small, "--hp", value
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_distill_takes_a_list_as_a_value(tmp_path):
    out = tmp_path / "set.safetensors"
    small = ["n_data=8", "batch_train=8", "proxy_net=convnet-w4", "proxy_epochs=1", "region_scale=[0.5,0.34]"]
    more = [part for value in small for part in ("--hp", value)]
    result = run("distill", "udd", "--out", out, "--home", tmp_path / "home", *SMALL, *more)
    assert result.exit_code == 0, result.output
    assert DistilledSet.load(out).manifest["hyperparameters"]["region_scale"] == [0.5, 0.34]


def test_iterations_of_an_image_and_of_all_and_the_teachers_accuracy_are_told(tmp_path):
    out, teacher = tmp_path / "set.safetensors", "convnet-d1-w4-bn"
    values = [f"teacher={teacher}", "teacher_epochs=1", "recover_iterations=3"]
    hp = [part for value in values for part in ("--hp", value)]
    flags = ["--home", tmp_path / "home", "--ipc", "2", "--out", out, "--force", *hp]
    result = run("distill", "dwa", *flags, "--iterations", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "recover_iterations=3 replaces --iterations 2",
        "3 iterations an image, 6 in all",
    ]
    (asset,) = (tmp_path / "home" / "assets").glob("teacher-*/asset.json")
    (accuracy,) = files.read_json(asset)["train_accuracy"]
    said = f"online soft labels of {teacher} (1 epochs, {100 * accuracy:.1f} % on at most 2,000 training images); "
    (line,) = [line for line in lines if line.startswith(said)]
    assert "soft labels 400 B" in line  # two-byte logits of 20 images and 10 classes
    short = ["--epochs", "1", "--repeats", "1", "--split", "val"]
    title = run("evaluate", out, "--net", "mlp", *short).stdout.splitlines()[0]
    assert title == "set.safetensors: dwa on digits, ipc 2, 3 iterations an image, 6 in all, seed 0"
    again = run("distill", "dwa", *flags).stdout
    assert "replaces" not in again  # nobody gave --iterations
    again = run("distill", "dwa", *flags, "--iterations", "3").stdout
    assert again.splitlines()[0] == "3 iterations an image, 6 in all"


def test_distill_warns_of_a_teacher_that_was_trained_elsewhere(tmp_path):
    teacher = "convnet-d1-w4-bn"
    net = nets.build(teacher, channels=1, size=8, classes=10, generator=torch.Generator().manual_seed(0))
    safetensors.torch.save_file(net.state_dict(), tmp_path / "weights.safetensors")

    def said(*values):
        out = tmp_path / f"{len(values)}.safetensors"
        hp = [part for value in (f"teacher={teacher}", *values) for part in ("--hp", value)]
        small = ["--ipc", "1", "--iterations", "1", "--home", tmp_path / "home"]
        result = run("distill", "sre2l", "--out", out, *small, *hp)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    given = f"teacher_weights={tmp_path / 'weights.safetensors'}"
    assert said(given)[0] == labels.seen_elsewhere(teacher)  # the very sentence of studies
    assert said(given, "labels=hard")[0] == labels.seen_elsewhere(teacher)
    here = said("teacher_epochs=1", "labels=hard", "jitter=1")
    assert not any("Warning" in line for line in here)


def test_distill_needs_a_place_it_can_write(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in distill(tmp_path / "file" / "set.safetensors").stderr
    assert "must end in .safetensors" in distill(tmp_path / "set.pt").stderr
    if os.geteuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        assert "cannot be written" in distill(tmp_path / "set.safetensors").stderr


def test_evaluate_prints_percent_and_says_whose_spread_it_is(made):
    result = evaluate(made[0], "--data", "digits")
    assert result.exit_code == 0, result.output
    title, heads, _, row, caption, drop, size = result.stdout.splitlines()
    assert title == "set.safetensors: dm on digits, ipc 1, 3 iterations, seed 3"
    assert heads.split()[:8] == ["net", "labels", "accuracy", "%", "drop", "net", "sd", "only"]
    assert row.split()[:2] == ["convnet-w4", "hard"]
    assert row.split()[3] == "0.0"  # the network that the set was distilled with
    assert row.split()[5:] == ["2", "1", "2", "test", "dsa"]
    assert caption.startswith("one distillation")
    assert drop == "drop: points below convnet-w4, the network of the distillation, with the same labels"
    assert size == "images: 2.6 kB"  # 10 images of 64 pixels in 4 bytes, and 10 labels in 8


def test_evaluate_gives_json_with_fractions_for_every_net(made):
    result = evaluate(made[0], "--net", "convnet-w4,convnet-w8", "--repeats", "1", "--split", "val", "--json")
    rows = json.loads(result.stdout)
    assert [row["net"] for row in rows] == ["convnet-w4", "convnet-w8"]
    assert all(0 <= row["values"][0] <= 1 and row["split"] == "val" for row in rows)
    assert rows[0]["std"] is None  # one network has no spread, and NaN is not JSON


def test_evaluate_is_reproducible_and_follows_its_seed(made):
    first, again, other = (evaluate(made[0], "--json", "--seed", seed).stdout for seed in (0, 0, 1))

    def values(text):
        return [row["values"] for row in json.loads(text)]

    assert values(first) == values(again)
    assert values(first) != values(other)


def test_evaluate_uses_the_split_that_the_set_was_distilled_under(tmp_path):
    out = tmp_path / "set.safetensors"
    assert distill(out, "--split-seed", "7", "--val-fraction", "0.3").exit_code == 0
    assert evaluate(out).exit_code == 0
    refused = evaluate(out, "--split-seed", "8")
    assert refused.exit_code == 2
    assert evaluate(out, "--split-seed", "8", "--allow-other-data").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--net", "convent"], "did you mean 'convnet'?"),
        (["--net", ","], "--net: ',' names no network"),
        (["--epochs", "0"], "--epochs: must be at least 1, got 0"),
        (["--repeats", "0"], "error: --repeats: must be at least 1, got 0"),
        (["--protocol", "das"], "did you mean 'dsa'?"),
        (["--data", "digit"], "did you mean 'digits'?"),
        (
            ["--precision", "fp16"],
            "precision: unknown precision 'fp16': did you mean 'bf16'? (allowed: bf16, ",
        ),
        (["--compile", "maybe"], "error: compile: unknown setting 'maybe' (allowed: auto, off, on)\n"),
    ],
)
def test_evaluate_refuses_bad_input(made, arguments, said):
    result = evaluate(made[0], *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_evaluate_refuses_a_file_that_is_no_distilled_set(tmp_path):
    file = tmp_path / "set.safetensors"
    assert "there is no file" in evaluate(file).stderr
    file.write_bytes(b"nonsense")
    assert evaluate(file).exit_code == 2


def in_study(made, folder):
    """The set as one of a study, whose readings of test are counted."""
    inside = folder / "studies" / "first" / "trials" / "0" / "distilled.safetensors"
    inside.parent.mkdir(parents=True)
    (folder / "studies" / "first" / "study.yaml").write_text("method: dm\n")
    inside.write_bytes(made[0].read_bytes())
    return inside, folder / "studies" / "first" / "test_ledger.jsonl"


def test_a_network_that_does_not_fit_is_refused_before_another_is_trained_and_test_is_read(made, tmp_path):
    inside, ledger = in_study(made, tmp_path)
    result = evaluate(inside, "--net", "convnet-w4,convnet-d4")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "computed in" not in result.stderr  # nothing was begun
    assert result.stderr.count("\n") == 1
    assert not ledger.exists()


def test_a_network_that_is_named_twice_is_trained_once(made):
    result = evaluate(made[0], "--net", "convnet-w4, mlp,convnet-w4", "--repeats", "1", "--json")
    assert [row["net"] for row in json.loads(result.stdout)] == ["convnet-w4", "mlp"]


def test_networks_that_enlarge_the_images_are_named(made):
    flags = ["--net", "convnet-w4,lenet", "--epochs", "1", "--repeats", "1", "--split", "val"]
    result = run("evaluate", made[0], *flags, "--json")
    assert [row["input_side"] for row in json.loads(result.stdout)] == [8, 32]
    told = run("evaluate", made[0], *flags).stdout
    assert "images of 8 px are enlarged to 32 px by lenet" in told.splitlines()


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, even where the tests run in the background of a shell that ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("form", ["--json", "table"])
def test_rows_that_are_finished_are_printed_when_a_later_network_is_interrupted(made, tmp_path, form):
    inside, ledger = in_study(made, tmp_path)
    over = threading.Event()

    def interrupt():
        while not over.wait(0.02):
            if ledger.exists() and ledger.read_text().count("\n") == 1:
                if not over.wait(0.5):  # well within the second network's training
                    os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    flags = ["--net", "convnet-w4,resnet18", "--epochs", "300", "--repeats", "1"]
    result = evaluate(inside, *flags, *(["--json"] if form == "--json" else []))
    over.set()
    watcher.join()
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "interrupted"
    if form == "--json":
        assert [row["net"] for row in json.loads(result.stdout)] == ["convnet-w4"]
    else:
        rows = [line.split()[0] for line in result.stdout.splitlines() if " hard " in line]
        assert rows == ["convnet-w4"]
        assert "test data were read 1 times in study first" in result.stdout


def test_readings_of_test_inside_a_study_are_counted(made, tmp_path):
    folder = tmp_path / "studies" / "first"
    inside = folder / "trials" / "0" / "distilled.safetensors"
    inside.parent.mkdir(parents=True)
    (folder / "study.yaml").write_text("method: dm\n")
    inside.write_bytes(made[0].read_bytes())
    assert evaluate(inside, "--split", "val").exit_code == 0
    assert evaluate(inside, "--repeats", "0").exit_code == 2
    assert not (folder / "test_ledger.jsonl").exists()
    result = evaluate(inside, "--net", "convnet-w4,convnet-w8")
    assert "test data were read 2 times in study first" in result.stdout
    rows = files.read_jsonl(folder / "test_ledger.jsonl")
    where = "trials/0/distilled.safetensors"
    assert [(row["file"], row["net"], row["labels"]) for row in rows] == [
        (where, "convnet-w4", "hard"),
        (where, "convnet-w8", "hard"),
    ]
