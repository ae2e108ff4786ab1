import math
from dataclasses import replace

import pytest

import raydd
from raydd import config as configuration
from raydd import files, registry
from raydd.errors import ConfigError
from raydd.tuning import confirmation, summary
from raydd.tuning.plan import plan_for
from raydd.tuning.studies import Study

NET = "convnet-w8"


def planned(method="iid", fix=None, **confirm):
    values = {
        "method": method,
        "iterations": 4,
        "search": {"fix": fix or {}},
        "evaluation": {"net": NET},
        "confirm": confirm,
        "home": "/nowhere",
        "name": "first",
    }
    return plan_for(configuration.build(values), registry.get(method), raydd.load_data("digits"))


@pytest.fixture(scope="module")
def plan():
    """With randomly chosen real images only."""
    return planned(baselines=["random"])


def study_with(tmp_path, outcomes):
    study = Study(tmp_path / "studies" / "first")
    for number, (outcome, accuracy) in enumerate(outcomes):
        folder = study.trial_folder(number)
        drawn = {"number": number, "source": "model", "searched": {"lr_img": 1.0}, "values": {"lr_img": 1.0}}
        files.write_json(folder / "hyperparameters.json", {**drawn, "iterations": 4, "seed": 0})
        row = {"iteration": 4, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
        attempt = study.trial_files(number).claim()
        attempt.begin(None, {})
        attempt.report({**row, "attempt": 1, "seconds": 1.0})
        study.write_end(number, outcome, "")
    return study


def full(mean, net=NET):
    """What `tasks.evaluate_full` gives."""
    evaluation = {
        "protocol": "",
        "epochs": 30,
        "optimisation_steps": 150,
        "label_regime": "hard",
        "net_sd": math.nan,
    }
    return [{"nets": {net: {**evaluation, "mean": mean}}, "bytes": 73600, "diverged": ""}]


def results(means, diverged=""):
    evaluation = {
        "protocol": "dsa",
        "epochs": 4,
        "optimisation_steps": 5,
        "label_regime": "hard",
        "net_sd": 0.01,
    }
    return [
        {"nets": {NET: {**evaluation, "mean": mean}}, "bytes": 10, "diverged": diverged} for mean in means
    ]


RANKING = {"winner": 1, "rows": [], "search_estimate": {"trial": 1, "val_accuracy": 0.9}}


def test_the_arms_are_winner_default_base_and_random(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5), ("complete", 0.6)])
    assert [arm.name for arm in confirmation.report_arms(study, plan, 1)] == [
        "winner",
        "default",
        "base",
        "random",
    ]
    assert [arm.name for arm in confirmation.report_arms(study, plan, 0)] == ["winner", "base", "random"]


def test_a_default_that_did_not_finish_is_no_arm(tmp_path, plan):
    study = study_with(tmp_path, [("diverged", 0.5), ("complete", 0.6)])
    assert [arm.name for arm in confirmation.report_arms(study, plan, 1)] == ["winner", "base", "random"]


def test_baselines_stand_at_the_end_in_the_order_that_is_asked_for(tmp_path):
    study = study_with(tmp_path, [("complete", 0.5)])
    names = [arm.name for arm in confirmation.report_arms(study, planned("dm"), 0)]
    assert names == ["winner", "random", "herding", "k_center", "full"]
    few = confirmation.report_arms(study, planned("dm", baselines=["full", "herding"]), 0)
    assert [arm.name for arm in few] == ["winner", "full", "herding"]
    assert [arm.baseline for arm in few] == [None, "full", "herding"]
    assert [arm.method for arm in few] == ["dm", None, None]


def test_titles_say_what_coresets_and_full_data_rest_on(tmp_path):
    study = study_with(tmp_path, [("complete", 0.5)])
    titles = {arm.name: arm.title for arm in confirmation.report_arms(study, planned(), 0)}
    assert titles["k_center"] == (
        "training images chosen by k-center (features of convnet-w8 trained 200 epochs on all of them; one choice: "
        "its runs differ by their nets only)"
    )
    assert titles["full"] == (
        "all training data, convnet-w8 trained 200 epochs (one net, not by the protocol above, in no difference)"
    )
    given = planned(baseline_epochs=3, nets=["convnet-w4", NET], fit="train+val")
    titles = {arm.name: arm.title for arm in confirmation.report_arms(study, given, 0)}
    assert titles["full"].startswith("all training data, convnet-w4 trained 3 epochs (")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            ["random", "herdin"],
            r"confirm\.baselines\.1: should be 'random', 'herding', 'k_center' or 'full', got",
        ),
        (
            ["full", "full"],
            r"confirm\.baselines: must name every baseline once at most, got \['full', 'full'\]",
        ),
    ],
)
def test_baselines_that_are_none_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        planned(baselines=wrong)


def test_differences_are_paired_by_seed_and_corrected_together(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5), ("complete", 0.6)])
    arms = confirmation.report_arms(study, plan, 1)
    winner, default, base, random = (
        [0.60, 0.62, 0.64],
        [0.55, 0.57, 0.59],
        [0.61, 0.60, 0.65],
        [0.2, 0.5, 0.3],
    )
    means = {"1": winner, "0": default, "base": base, "random": random}
    report = confirmation.summarise(study, plan, arms, {key: results(m) for key, m in means.items()}, RANKING)
    pairs = {(one["a"], one["b"]): one for one in report["differences"]}
    assert list(pairs) == [
        ("winner", "default"),
        ("winner", "base"),
        ("winner", "random"),
        ("default", "random"),
        ("base", "random"),
    ]
    assert pairs["winner", "default"]["mean"] == pytest.approx(0.05)
    assert pairs["winner", "default"]["half_width"] == pytest.approx(0.0, abs=1e-12)
    assert pairs["winner", "default"]["resolved"]
    assert pairs["winner", "default"]["text"] == "winner - carried-over = +5.0 [+5.0, +5.0]"
    assert not pairs["winner", "base"]["resolved"]
    assert pairs["winner", "base"]["text"].startswith("winner - DM: not resolved")
    # t-interval by hand: differences 0.40, 0.12, 0.34; mean 0.28667, sd 0.14742, t(0.975, 2) = 4.30265
    assert pairs["winner", "random"]["mean"] == pytest.approx(0.286667, abs=1e-6)
    assert pairs["winner", "random"]["half_width"] == pytest.approx(4.30265 * 0.147422 / 3**0.5, abs=1e-4)
    assert pairs["winner", "random"]["adjusted_p"] >= pairs["winner", "random"]["p"]


def test_coresets_are_compared_with_the_winner_and_full_data_with_nothing(tmp_path):
    study = study_with(tmp_path, [("complete", 0.5)])
    plan = planned("dm", nets=[NET, "convnet-w4"])
    arms = confirmation.report_arms(study, plan, 0)
    means = {"0": [0.6, 0.62, 0.64], "random": [0.2, 0.3, 0.2], "herding": [0.5, 0.51, 0.55]}
    means["k_center"] = [0.62, 0.6, 0.65]
    runs = {key: results(values) for key, values in means.items()}
    for result in [one for of_arm in runs.values() for one in of_arm]:
        result["nets"]["convnet-w4"] = result["nets"][NET]
    report = confirmation.summarise(study, plan, arms, runs | {"full": full(0.97)}, {**RANKING, "winner": 0})
    pairs = [(one["a"], one["b"]) for one in report["differences"]]
    assert pairs == [("winner", "random"), ("winner", "herding"), ("winner", "k_center")]
    herding = report["differences"][1]
    assert herding["mean"] == pytest.approx((0.1 + 0.11 + 0.09) / 3)
    assert herding["text"].startswith("winner - herding = +10.0 [")
    assert report["differences"][2]["text"].startswith("winner - k-center: not resolved")
    assert herding["adjusted_p"] == pytest.approx(2 * herding["p"])  # the smaller of two coresets
    random = report["differences"][0]
    assert random["adjusted_p"] == random["p"]  # which cost this comparison nothing
    rows = [(row["name"], row["net"]) for row in report["arms"]]
    assert rows[4] == ("full", NET)
    assert len(rows) == 5 + 4  # of one architecture only
    last = report["arms"][4]
    assert (last["n"], last["mean"], last["net_sd"], last["optimisation_steps"]) == (1, 0.97, None, 150)


def test_coresets_are_a_family_of_their_own():
    pairs = [("winner", "base"), ("winner", "herding"), ("winner", "random"), ("winner", "k_center")]
    pairs.append(("base", "random"))
    adjusted = summary.holm_in_families(pairs, [0.02, 0.03, 0.01, 0.04, 0.03])
    assert adjusted == pytest.approx([0.04, 0.06, 0.03, 0.06, 0.04])
    assert summary.holm_in_families([], []) == []


def test_the_base_is_the_one_that_the_fixed_values_choose_and_keeps_those_it_has():
    fix = {"base": "idm", "net": NET, "batch_real": 16, "factor": 3, "lambda_cc": 0.2, "pool_net": NET}
    base = confirmation.base_arm(planned("iid", fix))
    assert (base.method, base.short) == ("idm", "IDM")
    assert base.hyperparameters == {"net": NET, "batch_real": 16, "factor": 3}
    assert base.title == (
        "Improved distribution matching (CIFAR-10's published setting, carried over, with factor=3)"
    )
    assert confirmation.base_arm(planned("iid", {"lambda_cc": 0.2})).method == "dm"
    idc = confirmation.base_arm(planned("udd", {"n_data": 16, "regions": 2}))
    assert (idc.method, idc.hyperparameters) == ("idc", {"n_data": 16})
    assert confirmation.base_arm(planned("idm")) is None
    assert confirmation.base_arm(planned("dwa", {"teacher": "convnet-d1-w8-bn"})).short == "SRe2L"
    assert registry.get("dwa").short == "DWA"


def test_a_default_that_is_not_carried_over_is_not_called_so(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5), ("complete", 0.6)])
    shorts = [arm.short for arm in confirmation.report_arms(study, plan, 1)]
    assert shorts == ["winner", "carried-over", "DM", "random"]
    published = replace(plan, context=replace(plan.context, dataset="cifar10"))
    assert confirmation.trial_arm(study.trial(0), published, "default").short == "default"


def test_arms_are_compared_after_the_steps_that_the_winners_images_give():
    winner = confirmation.Arm("1", "winner", "", "winner", "udd", {"factor": 2, "regions": 3})
    # 10 images of 10 classes, each four parts and three regions of each: 1,600, in batches of 64
    assert confirmation.compared_steps(planned("udd", epochs=9), winner) == 9 * 25
    assert confirmation.compared_steps(planned("udd"), winner) == 1000 * 25
    on_idm = planned("iid", {"base": "idm"}, epochs=9)
    winner = confirmation.Arm("1", "winner", "", "winner", "iid", {"factor": 3})
    assert confirmation.compared_steps(on_idm, winner) == 10 * 4  # 900, in batches of 256


def test_differences_are_those_at_equal_steps_and_rows_carry_both(tmp_path):
    study = study_with(tmp_path, [("complete", 0.5)])
    plan = planned("udd", baselines=["random"], epochs=9)
    arms = confirmation.report_arms(study, plan, 0)
    assert [arm.name for arm in arms] == ["winner", "base", "random"]
    runs = {"0": results([0.6, 0.62, 0.64]), "base": results([0.5, 0.5, 0.53]), "random": results([0.2] * 3)}
    for result in [one for of_arm in runs.values() for one in of_arm]:
        result["nets"][NET]["protocol"] = "idc"
    for key, means in {"base": [0.58, 0.59, 0.63], "random": [0.3, 0.34, 0.35]}.items():
        for result, again in zip(runs[key], results(means)):
            second = {**again["nets"][NET], "epochs": 17, "optimisation_steps": 119}
            result["nets"][NET]["equal_steps"] = second
    report = confirmation.summarise(study, plan, arms, runs, {**RANKING, "winner": 0})
    means = {(one["a"], one["b"]): one["mean"] for one in report["differences"]}
    assert means["winner", "base"] == pytest.approx(0.02)  # 0.11 at equal epochs
    assert means["winner", "random"] == pytest.approx(0.29)
    assert means["base", "random"] == pytest.approx(0.27)
    winner, base, random = report["arms"]
    assert winner["equal_steps"] is None
    assert (base["mean"], base["equal_steps"]["mean"]) == (pytest.approx(0.51), pytest.approx(0.6))
    assert (base["optimisation_steps"], base["equal_steps"]["optimisation_steps"]) == (5, 119)
    assert (base["epochs"], base["equal_steps"]["epochs"]) == (4, 17)
    assert random["equal_steps"]["runs"] == [0.3, 0.34, 0.35]
    assert report["compared_steps"] == 9 * 13


def test_without_baselines_the_widest_interval_is_the_winners_own(tmp_path):
    study = study_with(tmp_path, [("complete", 0.5)])
    plan = planned("dm", baselines=[])
    arms = confirmation.report_arms(study, plan, 0)
    report = confirmation.summarise(
        study, plan, arms, {"0": results([0.60, 0.62, 0.64])}, {**RANKING, "winner": 0}
    )
    assert report["differences"] == []
    assert confirmation.widest_interval(report) == pytest.approx(4.30265 * 0.02 / 3**0.5, abs=1e-5)


def test_the_widest_interval_is_that_of_the_winners_differences(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    means = {"0": [0.60, 0.62, 0.64], "base": [0.61, 0.60, 0.65], "random": [0.2, 0.5, 0.3]}
    report = confirmation.summarise(
        study, plan, arms, {key: results(m) for key, m in means.items()}, {**RANKING, "winner": 0}
    )
    # by hand as above: the differences to random images are 0.40, 0.12, 0.34
    assert confirmation.widest_interval(report) == pytest.approx(4.30265 * 0.147422 / 3**0.5, abs=1e-4)


def test_the_unit_of_replication_is_the_run(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    means = {"0": [0.60, 0.62, 0.64], "base": [0.5, 0.5, 0.5], "random": [0.2, 0.2, 0.3]}
    report = confirmation.summarise(
        study, plan, arms, {key: results(m) for key, m in means.items()}, {**RANKING, "winner": 0}
    )
    row = report["arms"][0]
    assert (row["n"], row["mean"], row["sd"]) == (3, pytest.approx(0.62), pytest.approx(0.02))
    assert row["net_sd"] == pytest.approx(0.01)
    assert row["diverged"] == 0


def test_diverged_runs_are_counted_in_their_arm(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    runs = {
        "0": [*results([0.6]), *results([0.1], "iteration 3: not finite")],
        "base": results([0.5, 0.5]),
        "random": results([0.2, 0.3]),
    }
    report = confirmation.summarise(study, plan, arms, runs, {**RANKING, "winner": 0})
    assert report["arms"][0]["diverged"] == 1


def test_report_seeds_are_fresh_paired_and_grow_at_the_end(plan):
    few, many = confirmation.report_seeds(plan.config, 3), confirmation.report_seeds(plan.config, 6)
    assert many[:3] == few
    assert len(set(many)) == 6
    assert plan.config.seed not in many


def test_finished_seeds_are_those_that_every_arm_has(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    for arm, count in zip(arms, (3, 2, 4)):
        for index in range(count):
            files.write_json(confirmation.unit_folder(study, arm, "report", index) / "result.json", {})
    assert confirmation.finished_seeds(study, arms) == 2


def test_the_one_run_of_full_data_does_not_hold_back_finished_seeds(tmp_path):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, planned("dm", baselines=["full", "herding"]), 0)
    for arm, count in zip(arms, (3, 1, 2)):
        for index in range(count):
            files.write_json(confirmation.unit_folder(study, arm, "report", index) / "result.json", {})
    assert confirmation.finished_seeds(study, arms) == 2


@pytest.mark.parametrize(
    ("baseline", "steps", "is_finished"),
    [(None, 101, True), (None, 57, False), ("random", 57, False), ("full", 57, True)],
)
def test_a_result_that_was_compared_after_other_steps_is_made_anew(tmp_path, baseline, steps, is_finished):
    arm = confirmation.Arm("0", "", "", "", None, {}, baseline=baseline)
    files.write_json(tmp_path / "result.json", {"compared_steps": 101})
    assert confirmation.finished(tmp_path, arm, steps) == is_finished
