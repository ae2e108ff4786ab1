"""The comparison table: measured for real on digits at a tiny budget, resumed, and summed up at equal steps."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.table import bench, measure, plan, summary
from benchmarks.table.__main__ import command
from raydd import devices, files, load_data
from raydd.errors import ConfigError

TINY = [
    "--data",
    "digits",
    "--eager",
    "--iterations",
    "3",
    "--epochs",
    "2",
    "--net",
    "convnet-w4",
    "--feature-epochs",
    "2",
    "--seeds",
    "2",
]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.integration
def test_rows_are_measured_once_each_and_the_same_command_goes_on(tmp_path: Path) -> None:
    path, home = tmp_path / "rows.jsonl", str(tmp_path / "home")
    rows = ["--only", "IDC factor 2", "--only", "UDD jitter", "--only", "random real, IDC*", "--ipc", "1"]
    first = run(str(path), *TINY, "--home", home, *rows[:2], *rows[6:])
    assert len(files.read_jsonl(path)) == 2
    before = path.read_bytes()
    text = run(str(path), *TINY, "--home", home, *rows)
    assert path.read_bytes().startswith(before)
    records = files.read_jsonl(path)
    assert [(row["row"], row["seed"]) for row in records[2:]] == [
        ("random real, IDC's recipe", 0),
        ("UDD jitter", 0),
        ("random real, IDC's recipe", 1),
        ("UDD jitter", 1),
    ]
    again = path.read_bytes()
    assert run(str(path), *TINY, "--home", home, *rows) == text
    assert path.read_bytes() == again
    assert "IDC factor 2" in first
    assert "UDD jitter - IDC factor 2" in text

    idc = records[0]["evaluations"]
    assert [(found["stage"], found["optimisation_steps"]) for found in idc] == [
        ("initial", 2),  # 40 images are one batch of 64
        ("final", 2),
        ("final at equal steps", 4),  # as many as 80 (UDD) and 90 images (factor 3) take
        ("final at equal steps", 6),  # and 140 (multi)
    ]
    udd = next(row for row in records if row["row"] == "UDD jitter")
    assert udd["images"] == 80
    assert udd["bytes"] == 10 * 64 * 4 + 10 * 8 + 10 * 4 * 3 * 8
    assert set(udd["measures"]) == {"mue", "region_switch_rate", "border_share"}
    assert udd["mue"]["final"]["min_max"] == pytest.approx(udd["measures"]["mue"])


@pytest.mark.integration
def test_soft_labels_have_a_table_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = plan.Squeeze("convnet-bn", 1, "convnet-d1-w4-bn", 2)
    monkeypatch.setattr(plan, "TEACHERS", {"ConvNet": tiny})
    monkeypatch.setattr(bench, "TEACHERS", {"ConvNet": tiny})
    path, home = tmp_path / "rows.jsonl", str(tmp_path / "home")
    rows = ["--only", "*ConvNet*", "--only", "DM", "--only", "random real", "--ipc", "1"]
    text = run(str(path), *TINY, "--home", home, *rows)
    records = {row["row"]: row for row in files.read_jsonl(path) if row["seed"] == 0}
    dwa, random = records["DWA, ConvNet"], records["random real, ConvNet's labels"]
    assert [found["stage"] for found in dwa["evaluations"]] == ["initial", "final", "hard labels"]
    assert [found["stage"] for found in random["evaluations"]] == ["final", "hard labels"]
    accuracies = {
        found.get("teacher_accuracy") for found in dwa["evaluations"] if found["stage"] != "hard labels"
    }
    assert len(accuracies) == 1
    assert 0.0 < accuracies.pop() <= 1.0
    assert (dwa["label_regime"], records["DM"]["label_regime"]) == ("soft", "hard")
    assert dwa["bytes"] == 10 * 64 * 4 + 10 * 8
    assert dwa["teacher_bytes"] == 4 * (4 * 9 + 4 + 4 * 4 + 4 * 16 * 10 + 10) + 8
    hard, soft = text.split("Soft labels, given by a teacher")
    assert "| DM |" in hard
    assert "| DM |" not in soft
    assert "| DWA, ConvNet |" in soft
    assert "DWA, ConvNet" not in hard
    assert "DWA, ConvNet - SRe2L, ConvNet" in soft


@pytest.mark.parametrize(
    ("asked", "says"), [("VGG=vgg11", "ResNet-18, ConvNet, got 'VGG=vgg11'"), ("ConvNet=x", "'x'")]
)
def test_a_wrong_teacher_is_one_sentence(tmp_path: Path, asked: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        command.main([str(tmp_path / "rows"), "--teacher", asked], standalone_mode=False)


def test_another_teacher_is_a_setting() -> None:
    data = load_data("digits")
    settings = bench.settings_of(data, "convnet", {}, {"ConvNet": "convnet-w16-bn"}, "fp32", False)
    made = bench.Bench(data, Path("home"), devices.Compute(devices.resolve("cpu")), settings)
    row = plan.Row("DWA, ConvNet", 1, "dwa", family="ConvNet")
    assert made.teacher(row) == {"teacher": "convnet-w16-bn", "teacher_epochs": 100}
    assert made.teacher(dataclasses.replace(row, family="ResNet-18"))["teacher"] == "resnet18-bn-w16"


def test_networks_beside_the_rows_are_trained_a_thousand_steps_on_small_data() -> None:
    data = load_data("digits")
    settings = bench.settings_of(data, "convnet", {"epochs": 7, "iterations": None}, {}, "fp32", False)
    assert (settings["epochs"], settings["iterations"]) == (7, 200)
    made = bench.Bench(data, Path("home"), devices.Compute(devices.resolve("cpu")), settings)
    assert math.ceil(len(data.train) / 256) * settings["feature_epochs"] == 1000
    _, _, numbers = made.numbers(plan.Row("IID on IDM", 1, "iid", values={"base": "idm"}))
    values = numbers.model_dump()
    assert {name: values[name] for name in ("pool_net", "pool_size", "pool_epochs")} == {
        "pool_net": "resnet18-w16",
        "pool_size": 2,
        "pool_epochs": 200,
    }
    assert (values["batch_real"], values["net_generate_interval"]) == (256, 30)


@pytest.mark.integration
def test_rows_of_one_table_are_measured_with_one_set_of_weights(tmp_path: Path) -> None:
    data = load_data("digits")
    settings = bench.settings_of(data, "convnet-d1-w4", {"epochs": 1, "feature_epochs": 1}, {}, "fp32", False)
    made = bench.Bench(data, tmp_path, devices.Compute(devices.resolve("cpu")), settings)
    row = plan.Row("herding", 1, selection="herding")
    weights: dict[str, str] = {}
    record = measure.measure(made, row, 0, [], {}, weights)
    assert record["assets"] == weights
    (name,) = weights
    assert (tmp_path / "assets" / name / "model.safetensors").is_file()
    weights[name] = "0" * 64
    with pytest.raises(ConfigError, match=f"holds another {name} .* than other rows were measured with"):
        measure.measure(made, row, 1, [], {}, weights)


def test_an_unknown_row_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no row matches UDX.*UDD response"):
        command.main([str(tmp_path / "rows"), "--only", "UDX"], standalone_mode=False)


def test_bases_stand_before_what_is_compared_with_them() -> None:
    for ipc in (1, 10):
        seen: set[str] = set()
        for row in plan.rows():
            if row.ipc == ipc:
                later = {"UDD random", "UDD random, CFC", "UDD most_used", "UDD most_used, CFC"}
                assert set(row.bases) <= seen | later
                assert row.name not in seen
                seen.add(row.name)
        assert {base for row in plan.rows() if row.ipc == ipc for base in row.bases if ipc == 1} <= seen


def record(name: str, seed: int, final: dict[int, float], own: int, mue: float = 0.3) -> dict[str, Any]:
    """A record whose accuracies are given by optimisation steps."""
    evaluations = [
        {
            "stage": "final" if steps == own else "final at equal steps",
            "optimisation_steps": steps,
            "epochs": max(1, steps // 15),
            "mean": mean,
        }
        for steps, mean in final.items()
    ]
    settings = {
        "dataset": "digits",
        "precision": "fp32",
        "compiled": False,
        "iterations": 3,
        "epochs": 2,
        "repeats": 2,
        "net": "convnet",
        "idc_lr_img": None,
        "feature_epochs": 30,
        **{name: plan.BUDGET[name] for name in ("queue", "pool")},
    }
    return {
        "settings": settings,
        "row": name,
        "ipc": 1,
        "seed": seed,
        "images": 10,
        "bytes": 100,
        "mue": {"final": {"min_max": mue, "max": mue}},
        "evaluations": evaluations,
    }


def test_differences_are_paired_by_seed_at_the_first_ones_steps() -> None:
    records = [record("IDC factor 2", seed, {2: 0.9, 4: 0.5 + seed / 10}, own=2) for seed in (0, 1, 2)] + [
        record("UDD jitter", seed, {4: 0.52 + seed / 10 + (seed - 1) / 1000}, own=4) for seed in (2, 0, 1)
    ]
    text = summary.markdown(records)
    assert "UDD jitter - IDC factor 2 = +2.0 [+1.8, +2.2], 4 steps" in text
    assert "| IDC factor 2 | 3 |  | 90.0 [90.0, 90.0] | 2 |" in text


def test_steps_are_equal_to_the_epoch_and_a_comparison_that_was_not_measured_is_told() -> None:
    final = {0: 0.52, 1: 0.6}
    udd = [record("UDD jitter", seed, {3900: mean}, own=3900) for seed, mean in final.items()]
    idc = [
        record("IDC factor 2", seed, {2100: 0.1, 3893: 0.5}, own=2100) for seed in final
    ]  # 259 epochs of 15
    other = [record("IDC factor 3", seed, {2100: 0.1, 3880: 0.5}, own=2100) for seed in final]
    text = summary.markdown([*udd, *idc, *other])
    assert "- UDD jitter - IDC factor 2: not resolved (+6.0 [-44.8, +56.8]), 3900 and 3893 steps" in text
    assert "- UDD jitter - IDC factor 3: no seed that both were evaluated for at equal steps" in text
    assert "correction over these 1:" in text


def test_each_question_is_corrected_apart_and_what_would_be_resolved_alone_is_told() -> None:
    gains = (0.01, 0.012, 0.018)  # t = 5.55 with two degrees: p = 0.031, below 0.05 alone and not twice
    names = (
        ("random real", "UDD random", "UDD jitter", "IDC factor 2"),
        ("DM", "UDD random, CFC", "UDD jitter, CFC"),
    )
    records = [
        record(name, seed, {4: 0.5 + gains[seed] * place}, own=4)
        for place, named in enumerate(names)
        for name in named
        for seed in range(3)
    ]
    text = summary.markdown(records)
    titles = ("Methods against", "check (c)", "check (d)", "check (e)")
    bases, chosen, regions, cfc = (text.index(title) for title in titles)
    assert "- DM - random real = +1.3 [" in text[bases:chosen]
    assert "correction over these 1:" in text[bases:chosen]
    assert "- UDD jitter, CFC - UDD random, CFC: not resolved (+0.0 [" in text[chosen:regions]
    assert "- UDD jitter, CFC - IDC factor 2 = +1.3 [" not in text
    assert "correction over these 2:" in text[regions:cfc]
    alone = "(+1.3 [+0.3, +2.4]), 4 steps; alone it would be (p = 0.031, corrected 0.062)"
    assert f"- UDD random, CFC - UDD random: not resolved {alone}" in text[cfc:]
    assert f"- UDD jitter, CFC - UDD jitter: not resolved {alone}" in text[cfc:]


def test_herding_is_one_selection() -> None:
    text = summary.markdown([record("herding", seed, {2: 0.5 + seed / 10}, own=2) for seed in range(3)])
    assert "| herding | 1 selection |  | 60.0 | 2 |" in text


def test_mue_is_compared_within_seeds() -> None:
    names = ("IDC-I", "IDC factor 2", "UDD response, CFC")
    mue = {"IDC-I": (0.1, 0.3), "IDC factor 2": (0.2, 0.41), "UDD response, CFC": (0.2, 0.2)}
    records = [record(name, seed, {4: 0.5}, own=4, mue=mue[name][seed]) for name in names for seed in (0, 1)]
    text = summary.markdown(records)
    # differences 0.1 and 0.11: 0.105 +- 12.706 * 0.005; then 0 and -0.21
    assert "IDC factor 2 0.305 - IDC-I = +0.105 [+0.041, +0.169], grows" in text
    assert "UDD response, CFC 0.200 - IDC factor 2 = -0.105 [-1.439, +1.229], does not grow" in text


def test_mue_and_accuracy_are_correlated_within_a_seed_over_twenty_runs_of_udd_only() -> None:
    names = [
        f"UDD {policy}{cfc}"
        for policy in ("response", "jitter", "random", "most_used")
        for cfc in ("", ", CFC")
    ]
    runs = [(name, seed) for seed in range(3) for name in names]
    records = [
        record(
            name, seed, {4: 0.3 + index / 100}, own=4, mue=0.1 - seed + (index ^ 1) / 50
        )  # neighbours are swapped
        for index, (name, seed) in enumerate(runs)
    ]
    # d = +-1 for all eight of a seed: rho = 1 - 6 * 8 / (8 * 63) = 0.9048
    expected = "within a seed +0.90, +0.90, +0.90: mean +0.90 [+0.90, +0.90] over 3 seeds, 24 runs of UDD"
    assert f"mUE (min_max) and accuracy: rank correlation {expected}" in summary.markdown(records)
    assert "19 runs of UDD, 20 are needed" in summary.markdown(records[:19])


def test_published_numbers_are_those_of_the_shipped_table() -> None:
    found = {
        (row.ipc, row.name): text for row in plan.rows() if (text := plan.published("cifar10", row.ipc, row))
    }
    assert {key: text.partition(" (")[0] for key, text in found.items()} == {
        (1, "DM"): "26.0",
        (1, "IDM"): "45.6",
        (1, "IID on IDM"): "47.1",
        (1, "IDC-I"): "36.7",
        (1, "IDC factor 2"): "50.6",
        (1, "UDD response, CFC"): "next best + 4.0",
        (10, "DM"): "48.9 ± 0.6",
        (10, "IID on DM"): "55.1",
        (10, "IDM"): "58.6",
        (10, "IID on IDM"): "59.9",
        (10, "IDC factor 2"): "67.5",
        (10, "SRe2L, ResNet-18"): "27.2 ± 0.4",
        (10, "DWA, ResNet-18"): "32.6 ± 0.4",
        (10, "DWA, ConvNet"): "45.0 ± 0.4",
    }
    assert "(from memory, " in found[10, "IID on DM"]
    assert "(Efficient-Dataset-Condensation/README.md)" in found[1, "IDC-I"]
    assert all(plan.published("digits", row.ipc, row) == "" for row in plan.rows())
