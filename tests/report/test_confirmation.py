import json

import pytest

from raydd.report import confirmation


def arm(name, title, mean, net="convnet", n=5):
    return {
        "name": name,
        "title": title,
        "net": net,
        "runs": [mean] * n,
        "net_sd": 0.0123,
        "mean": mean,
        "sd": 0.0041 if n > 1 else float("nan"),
        "low": mean - 0.01 if n > 1 else float("nan"),
        "high": mean + 0.02 if n > 1 else float("nan"),
        "n": n,
        "optimisation_steps": 301,
        "bytes": 31400,
    }


def difference(b, mean, resolved, text, net="convnet", a="winner"):
    return {"a": a, "b": b, "net": net, "mean": mean, "resolved": resolved, "text": text}


@pytest.fixture
def report():
    return {
        "protocol": {"name": "dsa", "epochs": 300, "repeats": 5, "split": "test"},
        "label_regime": "hard",
        "fit": "train",
        "classes": 10,
        "seeds": [11, 12, 13, 14, 15],
        "winner": {"trial": 5, "hyperparameters": {"lambda_cc": 0.05}},
        "default_name": "CIFAR-10's published setting, carried over",
        "arms": [
            arm("winner", "iid, trial 5", 0.523),
            arm("default", "CIFAR-10's published setting, carried over", 0.492),
            arm("base", "Distribution matching", 0.52),
            arm("random", "randomly chosen real images", 0.401),
        ],
        "differences": [
            difference("default", 0.031, True, "winner - carried-over = +3.1 [+2.0, +4.2]"),
            difference("base", 0.003, False, "winner - DM: not resolved (+0.3 [-0.5, +1.1])"),
            difference("random", 0.122, True, "winner - random = +12.2 [+11.0, +13.4]"),
        ],
        "stopped": "5 seeds made",
        "half_width": 0.008,
        "test_readings": 20,
        "rerank": [{"trial": 5, "title": "iid, trial 5", "runs": [0.5], "mean": 0.5}],
        "search_estimate": {"trial": 7, "val_accuracy": 0.541},
    }


def row(text, name):
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


def test_it_names_protocol_arms_differences_and_test_readings(report):
    text = confirmation.text(json.loads(json.dumps(report)))
    assert (
        "Accuracy on test data: protocol dsa, 300 epochs, 5 nets for each distilled set, hard labels" in text
    )
    assert "5 fresh paired seeds (11, 12, 13, 14, 15), distilled from train only" in text
    assert row(text, "winner")[-9:] == ["52.3", "[51.3,", "54.3]", "5", "0.4", "1.2", "301", "31.4", "kB"]
    assert "\nwinner: iid, trial 5\ndefault: CIFAR-10's published setting, carried over\n" in text
    assert (
        "winner - carried-over = +3.1 [+2.0, +4.2]; winner - DM: not resolved (+0.3 [-0.5, +1.1]); "
        "winner - random = +12.2 [+11.0, +13.4]" in text
    )
    assert "Test data were read 20 times in this study." in text
    assert "Search estimate of trial 7: 54.1 % on validation, chosen as the best of many" in text
    assert "Re-ranked on validation with 1 fresh seed: iid, trial 5 50.0 %.\n5 seeds made" in text
    assert "5 seeds made; the widest interval is +-0.8 points." in text


def again(row, mean, steps, epochs):
    """The arm with figures of a second evaluation."""
    figures = {**row, "mean": mean, "low": mean - 0.02, "high": mean + 0.02, "optimisation_steps": steps}
    return {**row, "equal_steps": {**figures, "epochs": epochs}}


def test_an_arm_of_fewer_images_has_a_second_row_at_the_winners_steps(report):
    plain = confirmation.text(report)
    assert "equal optimisation steps" not in plain
    assert "*" not in plain
    report["compared_steps"] = 15000
    for place, (mean, steps, epochs) in {2: (0.505, 15001, 2143), 3: (0.412, 15000, 7500)}.items():
        report["arms"][place] = again(report["arms"][place], mean, steps, epochs)
    text = confirmation.text(json.loads(json.dumps(report)))
    assert row(text, "base")[3:] == ["52.0", "[51.0,", "54.0]", "5", "0.4", "1.2", "301", "31.4", "kB"]
    assert row(text, "base*")[3:] == ["50.5", "[48.5,", "52.5]", "5", "0.4", "1.2", "15001", "31.4", "kB"]
    assert row(text, "random*")[3] == "41.2"
    assert "winner*" not in text
    assert (
        "Differences are taken at equal optimisation steps, the winner's 15000: a set of another number of "
        "training images was evaluated again for as many (* in the table: base* 2143 epochs, random* 7500 epochs)."
        in text
    )


def test_the_table_fits_into_110_columns(report):
    report["arms"] = [
        again(arm(name, "", 0.5, net="resnet18-w128"), 0.4, 250000, 1000) for name in ("winner", "k_center")
    ]
    report["compared_steps"] = 250000
    lines = [line for line in confirmation.text(report).splitlines() if "resnet18-w128" in line]
    assert len(lines) == 4
    assert max(map(len, lines)) <= 110


def test_trials_of_the_re_ranking_have_short_names(report):
    report["rerank"] = [
        {
            "trial": 0,
            "title": "UDD's defaults (...)",
            "short": "trial 0",
            "mean": 0.5,
            "runs": [0.4, 0.5, 0.6],
        },
        {
            "trial": None,
            "title": "IDC: gradient matching (...)",
            "short": "IDC",
            "mean": 0.4,
            "runs": [0.4] * 3,
        },
    ]
    said = "Re-ranked on validation with 3 fresh seeds: trial 0 50.0 %, IDC 40.0 %."
    assert said in confirmation.text(report)


def test_accuracies_of_chance_are_called_so(report):
    sentence = "No arm is above chance (10.0 %) on convnet."
    again = "No setting of the re-ranking is above chance (10.0 %).\n"
    assert "chance" not in confirmation.text(report)
    for one, mean in zip(report["arms"], (0.104, 0.1, 0.09, 0.1)):  # runs spread by 0.0041
        one["mean"] = mean
    text = confirmation.text(report)
    assert text.splitlines().count(sentence) == 1
    assert again not in text
    report["arms"][0]["mean"] = 0.1042
    assert sentence not in confirmation.text(report)
    runs = [0.1, 0.11, 0.12]  # 0.11 with sd 0.01
    report["rerank"] = [{"trial": 5, "title": "iid, trial 5", "runs": runs, "mean": 0.11}]
    assert again in confirmation.text(report)
    report["rerank"][0]["mean"] = 0.1101
    assert again not in confirmation.text(report)
    report["rerank"][0] |= {"runs": [0.105], "mean": 0.105, "net_sd": 0.006}
    assert again in confirmation.text(report)
    del report["classes"]  # as reports were before
    assert "chance" not in confirmation.text(report)


def test_full_data_above_chance_are_excepted(report):
    for one in report["arms"]:
        one["mean"] = 0.1
    report["arms"].append(arm("full", "all training data", 0.9, n=1))
    assert "No arm but full is above chance (10.0 %) on convnet." in confirmation.text(report)


def test_what_the_bytes_of_images_are_those_of_is_said(report):
    line = "images: distilled ones as float32 with int64 labels"
    assert line in confirmation.text(report).splitlines()
    report["arms"].append(arm("full", "all training data", 0.9, n=1))
    assert f"{line}, all training data as 8-bit pixels" in confirmation.text(report).splitlines()


def test_a_clear_win_carries_no_warning(report):
    text = confirmation.text(report)
    for sentence in ("Randomly chosen", "not shown", "No difference", "trial 0 itself", "worse than"):
        assert sentence not in text


def test_random_images_that_win_are_not_hidden(report):
    report["differences"][2] = difference("random", -0.043, True, "winner - random = -4.3 [-5.0, -3.6]")
    assert (
        "Randomly chosen real images are better than the winner, by +4.3 points: on these data, distilling with "
        "these settings does not pay." in confirmation.text(report)
    )


def test_a_draw_with_random_images_is_said(report):
    report["differences"][2] = difference("random", 0.002, False, "winner - random: not resolved")
    text = confirmation.text(report)
    assert "The winner is not shown to be better than randomly chosen real images." in text
    assert "No difference is resolved" not in text


def test_when_nothing_is_resolved_it_says_so(report):
    for one in report["differences"]:
        one["resolved"] = False
    assert "No difference is resolved: more seeds, or more trials, are needed" in confirmation.text(report)


def test_a_winner_below_trial_0_is_said(report):
    report["differences"][0] = difference("default", -0.02, True, "winner - carried-over = -2.0")
    assert (
        "The winner is worse than trial 0 (CIFAR-10's published setting, carried over): keep trial 0's setting."
        in confirmation.text(report)
    )


def test_a_winner_that_is_trial_0_is_said(report):
    report["winner"]["trial"] = 0
    assert "The winner is trial 0 itself, CIFAR-10's published setting, carried over" in confirmation.text(
        report
    )


def test_every_architecture_has_its_own_rows_and_sentences(report):
    report["arms"].append(arm("winner", "iid, trial 5", 0.35, net="resnet18"))
    report["differences"].append(difference("random", -0.05, True, "winner - random = -5.0", net="resnet18"))
    text = confirmation.text(report)
    assert "Randomly chosen real images are better than the winner on resnet18, by +5.0 points" in text
    assert sum(line.split()[:1] == ["winner"] and "resnet18" in line for line in text.splitlines()) == 1


def test_one_distillation_prints_net_sd_only(report):
    report["arms"] = [arm("winner", "iid, trial 5", 0.523, n=1)]
    text = confirmation.text(report)
    assert "net sd only" in text
    assert "nan" not in text


def test_train_and_val_may_stand_beside_published_numbers(report):
    report["fit"] = "train+val"
    assert "distilled from train and validation images, as published numbers are" in confirmation.text(report)


def test_a_published_setting_that_loses_to_random_images_is_said(report):
    report["differences"] += [
        difference("random", -0.01, True, "carried-over - random = -1.0 [-1.5, -0.5]", a="default"),
        difference("random", 0.02, True, "DM - random = +2.0 [+1.5, +2.5]", a="base"),
    ]
    text = confirmation.text(report)
    assert (
        "Randomly chosen real images are better than CIFAR-10's published setting, carried over, by +1.0 points.\n"
        in text
    )
    assert "better than the base" not in text
    assert "not pay" not in text


def test_coresets_that_win_or_draw_are_said_too(report):
    report["differences"] += [
        difference("herding", -0.021, True, "winner - herding = -2.1 [-2.9, -1.3]"),
        difference("k_center", 0.001, False, "winner - k-center: not resolved"),
    ]
    text = confirmation.text(report)
    assert (
        "Real images chosen by herding are better than the winner, by +2.1 points: on these data, distilling with "
        "these settings does not pay." in text
    )
    assert "The winner is not shown to be better than real images chosen by k-center." in text
    assert "Randomly chosen" not in text
    assert "Differences with coresets are corrected (Holm) as a family of their own." in text


def test_full_data_are_one_net_without_interval_or_spread(report):
    full = arm("full", "all training data, convnet trained 30 epochs", 0.848, n=1)
    report["arms"].append({**full, "net_sd": None, "optimisation_steps": 5280, "bytes": 138_240_000})
    text = confirmation.text(json.loads(json.dumps(report)))
    assert row(text, "full")[3:] == ["84.8", "one", "net", "1", "-", "-", "5280", "138.2", "MB"]
    assert "\nfull: all training data, convnet trained 30 epochs\n" in text
