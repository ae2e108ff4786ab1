"""The arithmetic of a forecast, from a trial whose parts took round numbers of seconds."""

from dataclasses import replace

import pytest

from raydd import config as configuration
from raydd import registry, workload
from raydd.errors import ConfigError
from raydd.report import forecast as report
from raydd.report.plain import plain
from raydd.tuning import forecast, measurement, measuring, plan, shares
from raydd.tuning.measurement import Measured
from raydd.tuning.plan import prepare
from raydd.tuning.trial_cost import TrialCost, milestones

FOUND = Measured(
    device="cpu",
    device_name="CPU",
    gpus=0,
    load=0.0,
    process=5.0,
    open=2.0,
    start=1.0,
    warm_up=4.0,
    step=0.5,
    steps=30,
    banked_step=0.25,
    renewal=0.0,
    period=0,
    evaluation=3.0,
    epoch=0.125,
    checkpoint=0.0,
    checkpoint_bytes=1000,
    set_bytes=2000,
    block_bytes=10_000,
    memory=10**9,
    gpu_memory=0,
    gpu_total=0,
    assets=[40.0],
    asset_bytes=500,
)
TEACHER = {"teacher": "convnet-w8-bn"}


def planned(tmp_path, **changes):
    values = {
        "method": "iid",
        "name": "first",
        "ipc": 2,
        "iterations": 81,
        "home": str(tmp_path / "home"),
        "search": {"trials": 4, "concurrency": 1, "fix": {"net": "convnet-w8"}},
        "evaluation": {"net": "convnet-w8", "epochs": 7},
        "confirm": {"top": 1, "rerank_seeds": 1, "report_seeds": 2, "max_report_seeds": 2, "repeats": 1},
        "compile": "off",
    }
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    return prepare(configuration.build(values))


def test_a_trial_is_the_sum_of_its_parts(tmp_path):
    told = forecast.forecast(planned(tmp_path), FOUND)["trial"]
    # dsa trains E + 1 = 8 epochs: an evaluation takes 3 + 8 / 8 s; there are 5, at 0, 3, 9, 27 and 81 iterations
    assert told["seconds"] == pytest.approx(1.0 + 81 * 0.5 + 5 * 4.0)
    assert told["later_seconds"] == pytest.approx(1.0 + 81 * 0.25 + 5 * 4.0)
    assert told["evaluation_share"] == pytest.approx(20.0 / 61.5)
    assert [rung["seconds"] for rung in told["rungs"]] == pytest.approx(
        [1.0 + 1.5 + 8.0, 1.0 + 4.5 + 12.0, 1.0 + 13.5 + 16.0]
    )
    assert [rung["later_seconds"] for rung in told["rungs"]] == pytest.approx(
        [1.0 + 0.75 + 8.0, 1.0 + 2.25 + 12.0, 1.0 + 6.75 + 16.0]
    )
    assert told["cpu_hours"] == pytest.approx(61.5 / 3600)


def test_checkpoints_are_counted_at_the_reports_and_renewals_at_every_period(tmp_path):
    found = replace(FOUND, checkpoint=0.1, period=20, renewal=2.0)
    told = forecast.forecast(planned(tmp_path), found)["trial"]
    assert told["seconds"] == pytest.approx(61.5 + 20 * 0.1 + 5 * 2.0)


def test_the_study_is_the_sum_of_its_stages(tmp_path):
    told = forecast.forecast(planned(tmp_path), FOUND)
    assert [(stage["stage"], stage["units"]) for stage in told["stages"]] == [
        ("assets", 1),
        ("search", 4),
        ("re-rank", 3),  # best trial, trial 0, and the base dm
        ("report", 13),  # winner, trial 0, dm and three baselines with two seeds each, and one full network
    ]
    for case in ("best", "worst"):
        for name, total in told["total"][case].items():
            assert total == pytest.approx(sum(stage[case][name] for stage in told["stages"]))
    search = told["stages"][1]["worst"]
    opened = 2.0 + 4.0
    assert search["work_seconds"] == pytest.approx(opened + 61.5 + 3 * 41.25)
    assert search["wall_seconds"] == search["work_seconds"]
    assert told["stages"][0]["worst"]["work_seconds"] == 40.0


def test_trials_side_by_side_share_the_wall_clock_and_each_fills_the_bank_first(tmp_path, monkeypatch):
    monkeypatch.setattr("raydd.devices.available_cpus", lambda: 2)
    told = forecast.forecast(planned(tmp_path, search__concurrency=2), FOUND)
    search = told["stages"][1]["worst"]
    first, later = 6.0 + 61.5, 41.25
    assert told["concurrency"] == 2
    assert search["work_seconds"] == pytest.approx(2 * first + 2 * later)
    assert search["wall_seconds"] == pytest.approx(first + later)


def test_every_trial_of_a_gpu_warms_up_in_a_process_of_its_own(tmp_path):
    plan_ = planned(tmp_path)
    on_gpu = replace(FOUND, device="cuda", gpus=1, gpu_memory=10**9, gpu_total=10**10)
    _, worst = forecast.search_durations(plan_, on_gpu, TrialCost(plan_, on_gpu, 1.0), 1)
    assert worst == pytest.approx([6.0 + 61.5] + [6.0 + 41.25] * 3)


def test_at_best_all_but_those_that_fill_a_rung_are_stopped_at_the_first(tmp_path):
    plan_ = planned(tmp_path, search__trials=20)
    best, worst = forecast.search_durations(plan_, FOUND, TrialCost(plan_, FOUND, 1.0), 1)
    assert worst == pytest.approx([6.0 + 61.5] + [41.25] * 19)
    assert best == pytest.approx([6.0 + 61.5] + [41.25] * 4 + [1.0 + 0.75 + 8.0] * 15)


@pytest.mark.parametrize(
    "changes", [{"search__trials": 15}, {"search__trials": 20, "search__scheduler": "none"}]
)
def test_without_early_stopping_best_and_worst_are_one(tmp_path, changes):
    told = forecast.forecast(planned(tmp_path, **changes), FOUND)
    assert told["total"]["best"] == told["total"]["worst"]


def test_the_second_arm_of_a_seed_reads_what_the_first_has_stored(tmp_path):
    plan_ = planned(tmp_path)
    cost = TrialCost(plan_, FOUND, 1.0)
    first, again, base = (
        forecast.unit_seconds(unit, cost, plan_)
        for unit in workload.units(plan_.config, plan_.method, plan_.context, plan_.data)
        if unit.stage == "re-rank"
    )
    judged = 4.0 / 2  # one network instead of two
    assert first == pytest.approx(1.0 + 81 * 0.5 + judged)
    assert again == pytest.approx(1.0 + 81 * 0.25 + judged)
    assert judged < base <= first


@pytest.mark.parametrize(("iterations", "at"), [(900, [34, 100, 300]), (6, [1, 2]), (2, [1])])
def test_rungs_are_evaluated_where_a_trial_crosses_them(iterations, at):
    context = registry.Context("digits", 1, 8, 10, 2, iterations)
    values = registry.get("dm").defaults(context).model_dump()
    found = milestones(registry.get("dm"), context, values, (1 / 27, 1 / 9, 1 / 3))
    assert [each.progress for each in found] == pytest.approx([0.0, *(step / iterations for step in at), 1.0])
    assert {each.images for each in found} == {20}


@pytest.mark.parametrize("ipc", [1, 2, 5, 10])
def test_rungs_of_ids_are_those_that_workload_counts(ipc):
    context = registry.Context("digits", 1, 8, 10, ipc, 4, fixed=TEACHER)
    method, rungs = registry.get("dwa"), (0.25, 1 / 3, 0.5)
    values = method.defaults(context).model_dump()
    found = milestones(method, context, values, rungs)
    assert [each.images for each in found] == workload.judged_images(method, context, values, rungs)


def test_a_bank_that_is_too_small_serves_a_part_of_the_iterations(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**12})())
    plan_ = planned(tmp_path)
    whole = 9 * FOUND.block_bytes  # 81 iterations in blocks of 10
    monkeypatch.setenv("RAYDD_BANK_GB", str(whole / 3 / 2**30))
    told = forecast.forecast(plan_, FOUND)
    assert told["disk"]["bank_share"] == pytest.approx(1 / 3)
    assert told["disk"]["bank"] == pytest.approx(whole / 3, abs=1)
    assert (
        told["disk"]["bank_wanted"] == whole * 4
    )  # the search's seed, one of the re-ranking, two of the report
    assert told["trial"]["later_seconds"] == pytest.approx(1.0 + 27 * 0.25 + 54 * 0.5 + 20.0)


def test_without_a_bank_later_trials_cost_what_the_first_does(tmp_path):
    told = forecast.forecast(planned(tmp_path), replace(FOUND, banked_step=None, block_bytes=0))
    assert told["trial"]["later_seconds"] == told["trial"]["seconds"]
    assert told["disk"]["bank"] == 0
    assert not told["trial"]["bank_unknown"]


def test_steps_too_long_to_fill_a_block_leave_the_bank_unknown(tmp_path):
    told = forecast.forecast(planned(tmp_path), replace(FOUND, banked_step=None, block_bytes=0, steps=4))
    assert told["trial"]["bank_unknown"]
    assert any("later trials may be shorter" in line for line in report.trial_lines(told))


def test_disk_is_what_is_kept(tmp_path):
    disk = forecast.forecast(planned(tmp_path), FOUND)["disk"]
    assert disk["checkpoints"] == 2 * 1000
    assert disk["sets"] == 2000 * (4 + 9)  # trials, and distillations of the confirmation
    assert disk["artifacts"] == 2000 * 5
    assert disk["sum"] == sum(disk[name] for name in ("checkpoints", "sets", "bank", "artifacts", "assets"))


def test_longer_settings_of_the_space_make_drawn_trials_longer(tmp_path):
    plan_ = planned(tmp_path, method="dwa", iterations=400, search__fix=TEACHER)
    relative = forecast.relative_work(plan_)
    assert 0.2 < relative["least"] < relative["mean"] < relative["most"] <= 1.6
    cost = TrialCost(plan_, FOUND, 0.0)
    _, worst = forecast.search_durations(plan_, FOUND, cost, 1)
    judged = sum(cost.judged(each.images) for each in cost.milestones)
    assert worst[0] == pytest.approx(6.0 + cost.whole())
    assert worst[-1] == pytest.approx((cost.whole() - judged) * relative["mean"] + judged)


def test_warnings_name_what_does_not_fit_and_what_would(tmp_path, monkeypatch):
    monkeypatch.setattr("raydd.devices.available_cpus", lambda: 4)
    monkeypatch.setattr(shares, "machine_memory", lambda: 3 * 10**9)
    plan_ = planned(tmp_path, search__concurrency=4, budget={"hours": 0.01})
    said = forecast.forecast(plan_, FOUND)["warnings"]
    assert "4 trials at once need 4.0 GB of memory, and there are 3.0 GB; --concurrency 3 fits" in said[0]
    assert "the budget of 0.01 hours ends the search before all trials are done" in said[1]


@pytest.mark.parametrize(
    ("durations", "slots", "seconds"),
    [([], 2, 0.0), ([3.0], 4, 3.0), ([1.0, 1.0, 1.0], 2, 2.0), ([4.0, 1.0, 1.0, 1.0], 2, 4.0)],
)
def test_makespan(durations, slots, seconds):
    assert forecast.makespan(durations, slots) == seconds


@pytest.mark.parametrize(
    ("peak", "memory", "given", "share"),
    [
        (10, 100, {"cpus": 16}, 0.1111),  # nine times 11 fit
        (10, 100, {"cpus": 4}, 0.25),
        (10, 100, {"cpus": 8, "gpus": 2}, 0.25),
        (10, 100, {"cpus": 16, "wanted": 2}, 0.5),
        (10, 100, {"cpus": 16, "gpus": 2, "wanted": 3}, 0.5),
        (60, 100, {"cpus": 16}, 1.0),
        (95, 100, {"cpus": 16}, 1.0),
        (10, 100, {"cpus": 1}, 1.0),
        (10, 70, {"cpus": 16}, 0.1666),
    ],
)
def test_the_smallest_share_of_a_gpu_that_holds_a_trial(peak, memory, given, share):
    assert shares.gpu_share(peak, memory, **given) == share


@pytest.mark.parametrize("n", range(1, 40))
def test_as_many_trials_fit_as_a_share_was_chosen_for(n):
    share = shares.gpu_share(1, 1000, cpus=n)
    assert int(1 / share + 1e-9) == n  # as `cluster.room` counts them
    assert round(share * 10_000) * n <= 10_000  # as Ray counts them


def test_auto_is_zero_without_a_gpu_and_a_number_in_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = planned(tmp_path, resources__gpus_per_trial="auto")
    assert found.config.resources.gpus_per_trial == 0.0
    assert "GPUs per trial: 0, because there is no GPU here" in found.notes
    assert "gpus_per_trial: 0.0" in configuration.dump_yaml(found.config)


def test_auto_measures_a_trial_that_has_a_whole_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("raydd.devices.available_cpus", lambda: 8)
    asked = []

    def measure(config, values):
        asked.append((config.resources.gpus_per_trial, dict(values)))
        return replace(FOUND, device="cuda", gpus=1, gpu_memory=2 * 10**9, gpu_total=10**10)

    monkeypatch.setattr(measurement, "measure", measure)
    found = planned(tmp_path, resources__gpus_per_trial="auto", search__concurrency=None)
    assert asked == [(1.0, found.points[0].values)]
    assert found.config.resources.gpus_per_trial == 0.25  # 4 x 2.2 GB fit into 10 GB
    assert "GPUs per trial: 0.25, because a trial reserved 2.0 GB of 10.0 GB" in found.notes
    told = forecast.dry_run(found)
    assert len(asked) == 1  # what was measured for the share serves the forecast
    assert (told["concurrency"], told["gpus_per_trial"]) == (4, 0.25)
    assert told["memory"]["gpu_fit_at_once"] == 4
    assert told["total"]["worst"]["gpu_hours"] == pytest.approx(
        told["total"]["worst"]["work_seconds"] / 4 / 3600
    )
    text = "\n".join(plain(block) for block in report.render(told))
    assert "proposed: --gpus-per-trial 0.25" in text
    assert "GPU-hours" in text


def test_auto_cannot_measure_what_runs_elsewhere(tmp_path):
    with pytest.raises(ConfigError, match="auto measures a trial on this machine"):
        planned(tmp_path, resources={"gpus_per_trial": "auto", "address": "10.0.0.1:6379"})


def test_shares_are_numbers_or_auto():
    for share in (0.25, 2, "auto"):
        built = configuration.build({"method": "iid", "resources": {"gpus_per_trial": share}})
        assert built.resources.gpus_per_trial == share
        assert built.resources.measures_share == (share == "auto")
        assert configuration.build(built.model_dump()) == built
    with pytest.raises(ConfigError, match=r"resources\.gpus_per_trial: must be a number or auto, got 'half'"):
        configuration.build({"method": "iid", "resources": {"gpus_per_trial": "half"}})


def test_a_usual_step_is_no_outlier_and_has_its_share_of_the_blocks_end():
    assert measuring.typical([1.0, 9.0, 1.0]) == 1.0
    assert measuring.typical(([1.0] * 9 + [2.0]) * 3) == pytest.approx(1.1)


def test_the_text_says_what_the_numbers_say(tmp_path):
    told = forecast.forecast(planned(tmp_path, search__trials=20), FOUND)
    text = "\n".join(plain(block) for block in report.render(told))
    assert "a trial of 81 iterations takes about 1 min 02 s" in text
    assert "later trials take about 41.2 s" in text
    assert "memory: a trial takes 1.0 GB" in text
    assert "GPU" not in text
    row = next(line for line in text.splitlines() if line.split()[:1] == ["study"])
    assert " to " in row
    assert plan.trials_at_once(planned(tmp_path).config) == 1
