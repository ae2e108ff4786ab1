"""`raydd evaluate` on sets with soft labels: two rankings that never mix, and what they rest on beside them."""

import dataclasses
import json

import pytest
import torch
from click.testing import CliRunner

from raydd import files
from raydd.cli import main
from raydd.data import load_data
from raydd.devices import Compute
from raydd.evaluation import protocols
from raydd.formation import initial_images, initial_labels
from raydd.registry import AssetSpec, Context
from raydd.storage import AssetStore, DistilledSet, manifest
from raydd.training import TensorSource, accuracies, replay_logits
from raydd.tuning import labels as labels_of_studies

CPU = Compute(torch.device("cpu"))
TEACHER = AssetSpec("teacher", "convnet-d1-w4-bn", {"epochs": 3, "batch": 64, "lr": 0.1})
EPOCHS = 2


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def evaluate(file, *arguments):
    return run("evaluate", file, "--repeats", "2", *arguments)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture(scope="module")
def sets(digits, tmp_path_factory):
    """A file of each soft kind, in a folder beside a home, and the teacher."""
    folder = tmp_path_factory.mktemp("sets")
    store = AssetStore(folder / "home" / "assets", digits, CPU)
    teacher = store.teacher(TEACHER)
    own = {
        "protocol": "sre2l-cifar",
        "net": "convnet-d1-w4",
        "epochs": EPOCHS,
        "augmentation": "standard:crop",
    }
    facts = manifest(
        method="dm",
        hyperparameters={},
        context=Context("digits", channels=1, size=8, classes=10, ipc=1, iterations=5),
        data=digits,
        seed=0,
        iteration=5,
        evaluation={**own, "temperature": 5.0, "mixup": 0.8},
    )
    plain = DistilledSet(
        initial_images(digits.train, 1, digits.normalisation, 0),
        initial_labels(10, 1),
        facts,
        teacher=teacher,
    )
    net = teacher.network(1, 8, 10)
    for kind in ("online", "image", "stored"):
        about = {"kind": kind, "teacher": teacher.facts}
        made = dataclasses.replace(plain, manifest={**facts, "labels": about})
        if kind == "image":
            made = dataclasses.replace(made, logits=net(made.images()).half())
        if kind == "stored":
            recipe = protocols.get("sre2l-cifar").recipe("standard:crop", EPOCHS, mixup=0.8)
            source = TensorSource(made.images(), made.labels())
            replay = replay_logits(net, source, recipe, CPU, seed=0, purpose="relabel", epochs=EPOCHS)
            about["replay"] = {"seed": 0, "purpose": "relabel", "epochs": EPOCHS, "recipe": recipe.to_json()}
            made = dataclasses.replace(made, replay=replay)
        made.save(folder / f"{kind}.safetensors")
    missing = dataclasses.replace(
        plain, manifest={**facts, "labels": {"kind": "online", "teacher": teacher.facts}}
    )
    missing.save(folder / "missing.safetensors", teacher=False)
    hard = {**facts, "teacher": {**teacher.facts, "train_accuracy": 0.5}}
    dataclasses.replace(plain, manifest=hard, teacher=None).save(folder / "hard.safetensors")
    return folder, teacher


def test_soft_and_hard_labels_have_a_table_each(sets, digits):
    folder, teacher = sets
    file = folder / "online.safetensors"
    before = file.read_bytes()
    result = evaluate(
        file, "--net", "convnet-d1-w4,mlp,convnet-d1-w4-bn", "--labels", "hard,soft", "--split", "val"
    )
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line]
    title = "online.safetensors: dm on digits, ipc 1, 5 iterations, seed 0"
    assert [line for line in lines if line.startswith("online.safe")] == [
        f"{title}: soft labels",
        f"{title}: hard labels",
    ]
    rows = [line.split() for line in lines if " soft " in line or " hard " in line]
    rows = [row for row in rows if row[1] in ("soft", "hard")]
    nets = ["convnet-d1-w4", "mlp", "convnet-d1-w4-bn"]
    assert [(row[0], row[1]) for row in rows] == [(net, kind) for kind in ("soft", "hard") for net in nets]
    for part in (rows[:3], rows[3:]):
        own = float(
            part[2][2]
        )  # the teacher, which gave the images, and not the net that the set is reported with
        assert part[2][3] == "0.0"
        for row in part:
            assert float(row[3]) == pytest.approx(own - float(row[2]), abs=0.11)
            assert row[5:] == ["2", "2", "2", "val", "sre2l-cifar"]
    (accuracy,) = accuracies([teacher.network(1, 8, 10)], digits.val, digits.normalisation, CPU)
    assert lines[-4:] == [
        "one distillation: the spread is over networks only, not over distillations",
        "drop: points below convnet-d1-w4-bn, the network of the distillation, with the same labels",
        f"teacher: convnet-d1-w4-bn (3 epochs), {100 * accuracy:.1f} % on val; labels every batch in eval mode, "
        "temperature 5",
        f"images: 2.6 kB, soft labels: 0 B, teacher: {teacher.stored_bytes / 1000:.1f} kB",
    ]
    assert file.read_bytes() == before


def test_with_hard_labels_the_teacher_that_the_images_rest_on_is_named(sets):
    folder, teacher = sets
    result = evaluate(folder / "hard.safetensors", "--net", "mlp", "--split", "val")
    assert result.exit_code == 0, result.output
    assert (
        f"the images were recovered from {teacher.net} ({teacher.facts['epochs']} epochs), 50.0 % on at most 2,000 "
        "training images"
    ) in result.stdout.splitlines()


def test_soft_labels_alone_are_the_default_and_the_drop_needs_the_distilling_network(sets):
    folder, _ = sets
    result = evaluate(folder / "online.safetensors", "--net", "mlp", "--split", "val")
    assert result.exit_code == 0, result.output
    assert " hard " not in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.split()[:2] == ["mlp", "soft"])
    assert row.split()[3] == "-"
    assert (
        "drop: it is the distance to convnet-d1-w4-bn, the network of the distillation; name it in --net too"
        in (result.stdout)
    )


def test_json_tells_regime_temperature_teacher_and_bytes_of_every_row(sets, digits):
    folder, teacher = sets
    flags = [
        "--net",
        "mlp,convnet-d1-w4-bn",
        "--labels",
        "soft,hard",
        "--temperature",
        "20",
        "--teacher-mode",
        "train",
    ]
    result = evaluate(folder / "online.safetensors", *flags, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["net"], row["label_regime"]) for row in rows] == [
        ("mlp", "soft"),
        ("convnet-d1-w4-bn", "soft"),
        ("mlp", "hard"),
        ("convnet-d1-w4-bn", "hard"),
    ]
    assert {row["distilled_with"] for row in rows} == {"convnet-d1-w4-bn"}
    assert [row["carried"] for row in rows] == [{}] * 4
    (accuracy,) = accuracies([teacher.network(1, 8, 10)], digits.test, digits.normalisation, CPU)
    soft, hard = rows[0], rows[2]
    assert (soft["temperature"], soft["teacher_mode"], soft["teacher_accuracy"]) == (20.0, "train", accuracy)
    assert (soft["label_kind"], soft["teacher"]) == ("online", teacher.facts)
    assert (soft["image_bytes"], soft["label_bytes"]) == (10 * 64 * 4 + 80, 0)
    assert soft["teacher_bytes"] == teacher.stored_bytes
    assert (hard["temperature"], hard["teacher_mode"], hard["teacher_accuracy"]) == (1.0, None, None)
    assert (hard["label_kind"], hard["teacher"], hard["teacher_bytes"]) == ("hard", None, 0)
    for first, second in (rows[:2], rows[2:]):
        assert first["drop"] == pytest.approx(second["mean"] - first["mean"])
        assert second["drop"] == 0.0


@pytest.mark.parametrize(
    ("kind", "bytes_", "way"),
    [
        ("image", 10 * 10 * 2, "labelled the plain images beforehand"),
        ("stored", EPOCHS * 10 * 10 * 2, "labelled the batches of one training beforehand"),
    ],
)
def test_sets_that_need_no_teacher_are_evaluated_without_one(sets, kind, bytes_, way, tmp_path):
    folder, teacher = sets
    (tmp_path / "set.safetensors").write_bytes((folder / f"{kind}.safetensors").read_bytes())
    result = evaluate(tmp_path / "set.safetensors", "--split", "val")
    assert result.exit_code == 0, result.output
    known = f"{100 * teacher.facts['train_accuracy']:.1f} % on at most 2,000 training images"
    assert result.stdout.splitlines()[-2:] == [
        f"teacher: convnet-d1-w4-bn (3 epochs), not here ({known}); {way}, temperature 5",
        f"images: 2.6 kB, soft labels: {bytes_} B, teacher: 0 B",
    ]


def test_a_teacher_is_looked_for_in_the_home_too(sets, digits, monkeypatch):
    folder, teacher = sets
    flags = [folder / "missing.safetensors", "--split", "val", "--json"]
    (accuracy,) = accuracies([teacher.network(1, 8, 10)], digits.val, digits.normalisation, CPU)
    told = evaluate(*flags, "--home", folder / "home")
    assert json.loads(told.stdout)[0]["teacher_accuracy"] == accuracy
    assert evaluate(*flags).exit_code == 2
    monkeypatch.setenv("RAYDD_HOME", str(folder / "home"))
    assert json.loads(evaluate(*flags).stdout)[0]["teacher_accuracy"] == accuracy


def test_every_finished_architecture_is_told_on_stderr(sets):
    folder, _ = sets
    flags = ["--split", "val", "--net", "mlp,convnet-d1-w4", "--labels", "soft,hard", "--json"]
    result = evaluate(folder / "online.safetensors", *flags)
    rows = json.loads(result.stdout)
    told = [line for line in result.stderr.splitlines() if " % on val, " in line]
    assert [line.rpartition(", ")[0] for line in told] == [
        f"{row['net']}: {row['label_regime']} labels, {100 * row['mean']:.1f} % on val" for row in rows
    ]
    assert all(line.endswith(" s") for line in told)


def test_a_pretrained_teacher_is_cautioned_against(sets, digits, tmp_path):
    folder, teacher = sets
    made = DistilledSet.load(folder / "online.safetensors")
    facts = {**teacher.facts, "pretrained": True, "epochs": 0}
    labels = {"kind": "online", "teacher": facts}
    dataclasses.replace(
        made,
        manifest={**made.manifest, "labels": labels},
        teacher=dataclasses.replace(teacher, facts=facts),
    ).save(tmp_path / "set.safetensors")
    said = evaluate(tmp_path / "set.safetensors", "--split", "val").stdout
    assert "teacher: convnet-d1-w4-bn (pretrained weights), " in said
    sentence = labels_of_studies.seen_elsewhere("convnet-d1-w4-bn")  # the very one
    assert sentence in said.splitlines()
    flags = ["--split", "val", "--labels", "hard"]
    assert sentence in evaluate(tmp_path / "set.safetensors", *flags).stdout.splitlines()
    hard = DistilledSet.load(folder / "hard.safetensors")
    recovered = {"teacher": "convnet-d1-w4-bn", "teacher_weights": "weights.pt", "labels": "hard"}
    dataclasses.replace(hard, manifest={**hard.manifest, "hyperparameters": recovered}).save(
        tmp_path / "hard.safetensors"
    )
    assert sentence in evaluate(tmp_path / "hard.safetensors", "--split", "val").stdout.splitlines()
    for kind in ("online", "hard"):
        assert "Warning" not in evaluate(folder / f"{kind}.safetensors", "--split", "val").stdout


def test_another_protocol_says_what_it_takes_from_the_set(sets):
    folder, _ = sets
    flags = ["--split", "val", "--epochs", "1", "--net", "mlp"]

    def notes(*more):
        result = evaluate(folder / "online.safetensors", *flags, *more)
        assert result.exit_code == 0, result.output
        return [line for line in result.stdout.splitlines() if line.startswith("trained with")]

    crop = "trained with the set's augmentation standard:crop"
    assert notes() == notes("--protocol", "sre2l-cifar") == []
    assert notes("--protocol", "dsa") == [f"{crop}, temperature 5"]
    assert notes("--protocol", "dsa", "--temperature", "9") == [crop]
    assert notes("--protocol", "dsa", "--labels", "hard") == [crop]
    assert notes("--protocol", "dsa", "--labels", "soft,hard") == [f"{crop}, temperature 5 with soft labels"]
    assert notes("--protocol", "dc", "--labels", "hard") == []
    result = evaluate(
        folder / "online.safetensors", *flags, "--protocol", "dsa", "--labels", "soft,hard", "--json"
    )
    soft, hard = json.loads(result.stdout)
    assert soft["carried"] == {"augmentation": "standard:crop", "temperature": 5.0}
    assert hard["carried"] == {"augmentation": "standard:crop"}


def test_every_reading_of_test_is_counted_by_net_and_labels(sets, tmp_path):
    folder, _ = sets
    study = tmp_path / "studies" / "first"
    inside = study / "trials" / "0" / "distilled.safetensors"
    inside.parent.mkdir(parents=True)
    (study / "study.yaml").write_text("method: dm\n")
    inside.write_bytes((folder / "online.safetensors").read_bytes())
    result = evaluate(inside, "--net", "mlp,convnet-d1-w4", "--labels", "soft,hard")
    assert "test data were read 4 times in study first" in result.stdout
    rows = files.read_jsonl(study / "test_ledger.jsonl")
    assert [(row["labels"], row["net"]) for row in rows] == [
        ("soft", "mlp"),
        ("soft", "convnet-d1-w4"),
        ("hard", "mlp"),
        ("hard", "convnet-d1-w4"),
    ]


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (
            "hard",
            ["--labels", "soft"],
            "evaluation.labels: 'soft' is asked of a set that carries hard labels only",
        ),
        (
            "hard",
            ["--labels", "soft,hard"],
            "'soft' is asked of a set that carries hard labels only; use 'hard'\n",
        ),
        (
            "hard",
            ["--temperature", "5"],
            "error: --temperature: hard labels have none; it is for sets with soft",
        ),
        (
            "hard",
            ["--teacher-mode", "eval"],
            "error: --teacher-mode: hard labels have none; it is for sets with",
        ),
        ("online", ["--labels", "sotf"], "unknown labels 'sotf': did you mean 'soft'?"),
        ("online", ["--labels", ","], "error: --labels: ',' names no labels; allowed are soft and hard\n"),
        ("online", ["--temperature", "0"], "temperature: must be in [0.01, 10000], got 0.0\n"),
        ("online", ["--temperature", "1e300"], "temperature: must be in [0.01, 10000], got 1e+300\n"),
        ("online", ["--temperature", "1e-300"], "temperature: must be in [0.01, 10000], got 1e-300\n"),
        ("online", ["--teacher-mode", "of"], "error: evaluation.teacher_mode: unknown mode 'of'"),
        ("image", ["--teacher-mode", "train"], "with image labels no teacher labels batches\n"),
        (
            "stored",
            ["--epochs", "3"],
            "the set's stored labels last for 2 epochs, got 3; ask for as many or fewer",
        ),
        (
            "missing",
            [],
            "error: the set is labelled by its teacher (convnet-d1-w4-bn), which is neither in its file",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(sets, kind, arguments, said):
    folder, _ = sets
    result = evaluate(folder / f"{kind}.safetensors", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert sum(line.startswith("error: ") for line in result.stderr.splitlines()) == 1
