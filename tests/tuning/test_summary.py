"""Numbers of a report whose sets have soft labels, from small hand-made results."""

import math

import pytest

import raydd
from raydd import config as configuration
from raydd import files, registry
from raydd.tuning import Progress, confirmation, summary
from raydd.tuning.plan import plan_for
from raydd.tuning.studies import Study

NET, OTHER = "convnet-w8", "convnet-w4"
RANKING = {"winner": 1, "rows": [], "search_estimate": {"trial": 1, "val_accuracy": 0.9}}
TEACHER = {
    "asset": "teacher-0123",
    "sha256": "ab" * 32,
    "net": "convnet-bn",
    "epochs": 20,
    "train_accuracy": 0.99,
    "pretrained": False,
}


def planned(method="iid", **confirm):
    values = {
        "method": method,
        "iterations": 4,
        "evaluation": {"net": NET},
        "confirm": {"baselines": ["random", "herding", "full"], **confirm},
        "home": "/nowhere",
        "name": "first",
    }
    return plan_for(configuration.build(values), registry.get(method), raydd.load_data("digits"))


@pytest.fixture
def study(tmp_path):
    """With two complete trials."""
    study = Study(tmp_path / "studies" / "first")
    for number, accuracy in enumerate((0.5, 0.6)):
        folder = study.trial_folder(number)
        drawn = {"number": number, "source": "model", "searched": {"lr_img": 1.0}, "values": {"lr_img": 1.0}}
        files.write_json(folder / "hyperparameters.json", {**drawn, "iterations": 4, "seed": 0})
        row = {"iteration": 4, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
        attempt = study.trial_files(number).claim()
        attempt.begin(None, {})
        attempt.report({**row, "attempt": 1, "seconds": 1.0})
        study.write_end(number, "complete", "")
    return study


def figures(mean, regime):
    return {
        "mean": mean,
        "net_sd": 0.01,
        "protocol": "dsa",
        "epochs": 4,
        "optimisation_steps": 5,
        "label_regime": regime,
    }


def hard(means):
    """Runs of an arm with hard labels."""
    return [{"nets": {NET: figures(mean, "hard")}, "bytes": 10, "diverged": ""} for mean in means]


def soft(means, again=None, temperature=30.0, **teacher):
    """Runs of an arm with a teacher's labels, whose pixels were also evaluated with hard ones where `again` says so."""
    runs = []
    for place, mean in enumerate(means):
        own = {**figures(mean, "soft"), "temperature": temperature, "teacher_accuracy": 0.96}
        if again is not None:
            own["hard"] = figures(again[place], "hard")
        runs.append(
            {
                "nets": {NET: own},
                "bytes": 3000,
                "image_bytes": 1000,
                "label_bytes": 0,
                "teacher_bytes": 250_000,
                "labels": {"kind": "online", "teacher": {**TEACHER, **teacher}},
                "recipe": {"temperature": temperature, "mixup": 0.8, "cutmix": None, "teacher_mode": "eval"},
                "diverged": "",
            }
        )
    return runs


MEANS = {
    "1": soft([0.80, 0.82, 0.84], [0.50, 0.52, 0.51]),
    "0": soft([0.70, 0.72, 0.74], [0.40, 0.42, 0.41]),
    "base": soft([0.75, 0.74, 0.79], [0.45, 0.42, 0.41]),
    "random": soft([0.70, 0.78, 0.74], [0.60, 0.62, 0.64]),
    "herding": soft([0.76, 0.78, 0.77]),
    "full": hard([0.95]),
}


def report_of(study, plan, results, **ranking):
    arms = confirmation.report_arms(study, plan, 1)
    return confirmation.summarise(study, plan, arms, results, {**RANKING, **ranking})


def rows(report, net=NET):
    return {arm["name"]: arm for arm in report["arms"] if arm["net"] == net}


def test_soft_rows_carry_hard_labels_of_the_same_pixels_the_teacher_and_bytes_apart(study):
    report = report_of(study, planned(), MEANS)
    assert report["label_regime"] == "soft"
    winner = rows(report)["winner"]
    assert winner["hard"]["runs"] == [0.50, 0.52, 0.51]
    assert (winner["hard"]["mean"], winner["hard"]["n"]) == (pytest.approx(0.51), 3)
    assert (winner["image_bytes"], winner["label_bytes"], winner["teacher_bytes"]) == (1000, 0, 250_000)
    assert winner["label_kind"] == "online"
    assert winner["teacher"] == {**TEACHER, "test_accuracy": pytest.approx(0.96)}
    assert rows(report)["herding"]["hard"] is None
    assert set(rows(report)["full"]) == set(rows(report_of(study, planned(), ALL_HARD))["winner"])


ALL_HARD = {key: hard([run["nets"][NET]["mean"] for run in runs]) for key, runs in MEANS.items()}


def test_real_images_say_whose_labels_they_have(study):
    titles = {name: arm["title"] for name, arm in rows(report_of(study, planned(), MEANS)).items()}
    assert titles["random"] == "randomly chosen real images with the same teacher's labels"
    assert titles["herding"].startswith(
        "training images chosen by herding with the same teacher's labels (features of convnet-w8 trained "
    )
    assert titles["full"].startswith("all training data, convnet-w8 trained ")
    assert "teacher" not in rows(report_of(study, planned(), ALL_HARD))["random"]["title"]


def test_hlr_and_ior_by_hand_with_intervals_over_runs(study):
    arms = rows(report_of(study, planned(), MEANS))
    # full data have 0.95: HLR 0.45, 0.43, 0.44; t(0.975, 2) = 4.30265
    hlr = arms["winner"]["hlr"]
    assert (hlr["mean"], hlr["n"]) == (pytest.approx(0.44), 3)
    assert hlr["high"] - hlr["mean"] == pytest.approx(4.30265 * 0.01 / 3**0.5, abs=1e-6)
    # IOR 0.10, 0.04, 0.10 by seed; mean 0.08, sd 0.0346410
    ior = arms["winner"]["ior"]
    assert ior["mean"] == pytest.approx(0.08)
    assert ior["high"] - ior["mean"] == pytest.approx(4.30265 * 0.0346410 / 3**0.5, abs=1e-6)
    assert arms["random"]["hlr"]["mean"] == pytest.approx(0.33)
    assert arms["random"]["ior"] is None
    assert arms["herding"]["hlr"] is None
    assert arms["herding"]["ior"]["mean"] == pytest.approx(0.03)


def test_without_full_data_there_is_no_hlr_and_without_random_images_no_ior(study):
    without = planned(baselines=["herding"])
    arms = rows(report_of(study, without, MEANS))
    assert {(arm["hlr"], arm["ior"]) for arm in arms.values()} == {(None, None)}


def test_one_run_has_measures_without_an_interval(study):
    one = {key: runs[:1] for key, runs in MEANS.items()}
    hlr = rows(report_of(study, planned(), one))["winner"]["hlr"]
    assert (hlr["mean"], hlr["n"]) == (pytest.approx(0.45), 1)
    assert math.isnan(hlr["low"])


def test_ior_is_taken_at_equal_optimisation_steps(study):
    results = {**MEANS, "random": soft([0.7, 0.7, 0.7])}
    for run in results["random"]:
        run["nets"][NET]["equal_steps"] = {**run["nets"][NET], "mean": 0.76}
    report = report_of(study, planned(), results)
    assert rows(report)["winner"]["ior"]["mean"] == pytest.approx(0.82 - 0.76)


def pairs(report):
    return {(one["a"], one["b"]): one for one in report["differences"]}


def test_hard_labels_of_the_same_pixels_are_in_no_difference(study):
    with_hard = report_of(study, planned(), MEANS)
    bare = {key: [dict(run) for run in runs] for key, runs in MEANS.items()}
    for run in [run for key, runs in bare.items() if key != "full" for run in runs]:
        own = {name: value for name, value in run["nets"][NET].items() if name != "hard"}
        run["nets"] = {NET: own}
    assert report_of(study, planned(), bare)["differences"] == with_hard["differences"]
    assert pairs(with_hard)["winner", "random"]["mean"] == pytest.approx(0.08)


def test_arms_of_two_kinds_of_labels_are_not_compared(study):
    mixed = {**MEANS, "base": hard([0.99, 0.99, 0.99])}
    report = report_of(study, planned(), mixed)
    assert list(pairs(report)) == [
        ("winner", "default"),
        ("winner", "random"),
        ("winner", "herding"),
        ("default", "random"),
    ]
    ps = [pairs(report)[pair]["p"] for pair in [("winner", "default"), ("winner", "random")]]
    family = summary.holm_in_families(list(pairs(report)), [one["p"] for one in report["differences"]])
    assert [one["adjusted_p"] for one in report["differences"]] == family
    assert pairs(report)["winner", "random"]["adjusted_p"] <= 3 * ps[1]
    assert "hard" not in rows(report)["base"]


def test_random_images_with_hard_labels_are_no_measure_of_a_soft_set(study):
    report = report_of(study, planned(), {**MEANS, "random": hard([0.6, 0.6, 0.6])})
    assert rows(report)["winner"]["ior"] is None
    assert not [one for one in report["differences"] if one["b"] == "random"]
    assert rows(report)["random"]["title"] == "randomly chosen real images"


def test_what_was_tuned_of_the_labels_is_no_merit_of_the_images(study):
    plain = report_of(study, planned(), MEANS)
    assert plain["other_labels"] == {}
    assert ("default", "random") in pairs(plain)
    tuned = {
        key: soft([run["nets"][NET]["mean"] for run in MEANS[key]], temperature=17.0)
        for key in ("1", "random", "herding")
    }
    report = report_of(study, planned(), {**MEANS, **tuned})
    other = {"temperature": [30.0, 17.0]}
    assert report["other_labels"] == {"default": other, "base": other}
    # what was searched is compared with the winner; with real images what has their labels alone
    assert list(pairs(report)) == [
        ("winner", "default"),
        ("winner", "base"),
        ("winner", "random"),
        ("winner", "herding"),
    ]
    ior = {name: row["ior"] and row["ior"]["mean"] for name, row in rows(report).items() if name != "full"}
    assert ior == {
        "winner": pytest.approx(0.08),
        "default": None,
        "base": None,
        "random": None,
        "herding": pytest.approx(0.03),
    }


@pytest.mark.parametrize("setting", ["labels", "mixup", "teacher_mode", "teacher"])
def test_any_other_setting_of_the_labels_forbids_the_comparison(study, setting):
    base = soft([0.75, 0.74, 0.79])
    for run in base:
        if setting == "labels":
            run["labels"] = {**run["labels"], "kind": "image"}
        elif setting == "teacher":
            run["labels"] = {**run["labels"], "teacher": {**TEACHER, "asset": "teacher-4567"}}
        else:
            run["recipe"][setting] = "other"
    report = report_of(study, planned(), {**MEANS, "base": base})
    assert list(report["other_labels"]) == ["base"]
    assert list(report["other_labels"]["base"]) == [setting]
    assert ("base", "random") not in pairs(report)
    assert ("default", "random") in pairs(report)


def test_a_pretrained_teacher_is_a_caution_once(study):
    assert "cautions" not in report_of(study, planned(), MEANS)
    elsewhere = {
        key: soft([run["nets"][NET]["mean"] for run in runs], pretrained=True)
        for key, runs in MEANS.items()
        if key != "full"
    }
    (caution,) = report_of(study, planned(), {**elsewhere, "full": MEANS["full"]})["cautions"]
    assert caution.startswith("Warning: convnet-bn has weights that were trained elsewhere.")


def test_a_second_architecture_has_hard_labels_but_no_hlr(study):
    plan = planned(nets=[NET, OTHER])
    results = {key: [dict(run) for run in runs] for key, runs in MEANS.items()}
    for run in [run for key, runs in results.items() if key != "full" for run in runs]:
        run["nets"] = {NET: run["nets"][NET], OTHER: run["nets"][NET]}
    other = rows(report_of(study, plan, results), OTHER)
    assert "full" not in other
    assert other["winner"]["hard"]["mean"] == pytest.approx(0.51)
    assert other["winner"]["hlr"] is None
    assert other["winner"]["ior"]["mean"] == pytest.approx(0.08)


def rerank(study, plan, means):
    """The re-ranking of a study whose distillations are all on disk, so that no Ray is asked for anything."""
    for key, runs in means.items():
        for index, run in enumerate(runs):
            files.write_json(study.folder / "confirm" / key / f"rerank-{index}" / "result.json", run)
    return confirmation.rerank(None, study, plan, Progress(live=False))


def test_the_re_ranking_ranks_the_winners_kind_of_labels_only(study):
    plan = planned(rerank_seeds=1)
    ranking = rerank(study, plan, {"1": soft([0.6]), "0": hard([0.9]), "base": soft([0.7])})
    assert ranking["winner"] == 1  # the best search estimate has soft labels
    assert [(row["trial"], row["label_regime"]) for row in ranking["rows"]] == [
        (None, "soft"),
        (1, "soft"),
        (0, "hard"),
    ]


def test_the_re_ranking_of_one_kind_of_labels_is_by_accuracy(study):
    plan = planned(rerank_seeds=1)
    ranking = rerank(study, plan, {"1": soft([0.6]), "0": soft([0.9]), "base": soft([0.7])})
    assert ranking["winner"] == 0
    assert [row["trial"] for row in ranking["rows"]] == [0, None, 1]
