"""What a report says of soft labels, from a hand-made one."""

import json

import pytest

from raydd.report import confirmation

NET = "convnet-bn"


def spread(mean, half, n=5):
    single = n < 2
    return {
        "mean": mean,
        "sd": float("nan") if single else half / 2,
        "low": float("nan") if single else mean - half,
        "high": float("nan") if single else mean + half,
        "n": n,
    }


def figures(mean, n=5):
    return {
        "runs": [mean] * n,
        "net_sd": 0.0123,
        **spread(mean, 0.01, n),
        "epochs": 400,
        "optimisation_steps": 400,
    }


def hard_arm(name, title, mean, net=NET, n=5):
    return {
        "name": name,
        "title": title,
        "net": net,
        **figures(mean, n),
        "equal_steps": None,
        "label_regime": "hard",
        "bytes": 31_400,
    }


def soft_arm(name, title, mean, hard, hlr=None, ior=None, net=NET, **teacher):
    facts = {
        "asset": "teacher-0123456789abcdef",
        "sha256": "ab" * 32,
        "net": "resnet18-bn",
        "epochs": 20,
        "pretrained": False,
        "test_accuracy": 0.961,
    }
    return {
        **hard_arm(name, title, mean, net),
        "label_regime": "soft",
        "bytes": 45_000_000,
        "hard": None if hard is None else figures(hard),
        "image_bytes": 27_600,
        "label_bytes": 0,
        "teacher_bytes": 44_800_000,
        "label_kind": "online",
        "teacher": {**facts, **teacher},
        "hlr": None if hlr is None else spread(hlr, 0.02),
        "ior": None if ior is None else spread(ior, 0.015),
    }


def difference(b, mean, resolved, text, a="winner"):
    return {"a": a, "b": b, "net": NET, "mean": mean, "resolved": resolved, "text": text}


@pytest.fixture
def report():
    random = "randomly chosen real images with the same teacher's labels"
    return {
        "protocol": {"name": "sre2l-cifar", "epochs": 400, "repeats": 5, "split": "test"},
        "label_regime": "soft",
        "fit": "train",
        "seeds": [11, 12, 13, 14, 15],
        "winner": {"trial": 5, "hyperparameters": {"rho": 0.02}},
        "default_name": "CIFAR-10's published setting, carried over",
        "other_labels": {},
        "arms": [
            soft_arm("winner", "dwa, trial 5", 0.81, 0.523, hlr=0.467, ior=0.05),
            soft_arm("base", "SRe2L", 0.75, 0.41, hlr=0.58, ior=-0.01),
            soft_arm("random", random, 0.76, 0.602, hlr=0.388),
            soft_arm("herding", "training images chosen by herding", 0.79, None, ior=0.03),
            hard_arm("full", "all training data, convnet-bn trained 200 epochs", 0.99, n=1)
            | {"net_sd": None},
        ],
        "differences": [
            difference("base", 0.06, True, "winner - SRE2L = +6.0 [+5.0, +7.0]"),
            difference("random", 0.05, True, "winner - random = +5.0 [+3.5, +6.5]"),
        ],
        "stopped": "5 seeds made",
        "half_width": 0.008,
        "test_readings": 36,
        "rerank": [{"trial": 5, "title": "dwa, trial 5", "runs": [0.5], "mean": 0.5}],
        "search_estimate": {"trial": 5, "val_accuracy": 0.83},
    }


def text_of(report):
    return confirmation.text(json.loads(json.dumps(report)))


def lines(text, name):
    """Table rows of an arm, top to bottom."""
    found = [line.split() for line in text.splitlines() if line.split()[:2] == [name, NET]]
    return [row[2:] for row in found]


def test_soft_rows_name_the_teachers_accuracy_and_hard_ones_stand_below_them(report):
    text = text_of(report)
    soft, hard, _ = lines(text, "winner")
    assert soft == ["soft", "81.0", "[80.0,", "82.0]", "5", "0.5", "1.2", "96.1", "400", "27.6", "kB"]
    assert hard == ["hard", "52.3", "[51.3,", "53.3]", "5", "0.5", "1.2", "400", "27.6", "kB"]
    (full,) = lines(text, "full")
    assert full[:2] == ["hard", "99.0"]
    order = [
        text.index("winner - random = +5.0"),
        text.index("Hard labels: the same pixels, by the same protocol, and what comes with no others."),
        text.index("99.0"),
    ]
    assert order == sorted(order)
    assert "neither ranked nor compared with those above" in text
    assert len(lines(text, "herding")) == 2  # soft, and its measures


def test_the_title_of_the_protocol_says_soft(report):
    assert "5 nets for each distilled set, soft labels, 5 fresh paired seeds" in text_of(report)


def test_measures_are_in_points_with_intervals(report):
    text = text_of(report)
    assert (
        "HLR, the accuracy of all training data less the set's, both with hard labels (lower is better)"
        in text
    )
    assert lines(text, "winner")[2] == [
        "+46.7",
        "[+44.7,",
        "+48.7]",
        "+5.0",
        "[+3.5,",
        "+6.5]",
        "resolved",
        "5",
    ]
    assert lines(text, "random")[2] == ["+38.8", "[+36.8,", "+40.8]", "-", "5"]
    assert lines(text, "herding")[1] == ["-", "+3.0", "[+1.5,", "+4.5]", "-", "5"]
    assert "that of one network, whose spread is in no interval" in text


def test_an_ior_says_whether_the_comparison_with_random_resolves_it(report):
    text = "winner - random: not resolved (+5.0 [+3.5, +6.5])"  # its own interval leaves zero out
    report["differences"][1] = difference("random", 0.05, False, text)
    row = ["+46.7", "[+44.7,", "+48.7]", "+5.0", "[+3.5,", "+6.5]", "not", "resolved", "5"]
    assert lines(text_of(report), "winner")[2] == row
    sentence = "an IOR is resolved where the arm's paired difference with random is after Holm's correction"
    assert sentence in text_of(report)


def test_without_full_data_hlr_is_left_out_with_a_sentence(report):
    report["arms"] = [{**arm, "hlr": None} for arm in report["arms"] if arm["name"] != "full"]
    text = text_of(report)
    assert (
        "HLR is left out: it needs the accuracy of all training data with hard labels, `full` in confirm.baselines."
        in text
    )
    assert lines(text, "winner")[2] == ["+5.0", "[+3.5,", "+6.5]", "resolved", "5"]
    assert "random" not in [line.split()[0] for line in text.partition("DD-Ranking")[2].splitlines() if line]


def test_bytes_of_images_labels_and_teacher_stand_apart(report):
    report["arms"][1] |= {"label_kind": "stored", "label_bytes": 2000, "teacher_bytes": 0}
    assert (
        "Bytes: winner, random, herding: images 27.6 kB, labels 0 B, teacher 44.8 MB (online labels); "
        "base: images 27.6 kB, labels 2.0 kB, teacher 0 B (stored labels)" in text_of(report)
    )


def test_the_teacher_is_named_with_its_training_and_its_accuracy(report):
    assert (
        "Teacher: resnet18-bn, trained 20 epochs on the training images (teacher-0123456789abcdef), 96.1 % on test "
        "data." in text_of(report)
    )
    report["arms"][1]["teacher"] |= {
        "sha256": "cd" * 32,
        "net": "convnet-bn",
        "pretrained": True,
        "epochs": 0,
    }
    text = text_of(report)
    assert "Teacher of winner, random, herding: resnet18-bn, trained 20 epochs" in text
    assert "Teacher of base: convnet-bn, with weights that were trained elsewhere" in text


def test_a_caution_comes_before_the_other_warnings(report):
    report["cautions"] = ["Warning: resnet18-bn has weights that were trained elsewhere."]
    report["winner"]["trial"] = 0
    text = text_of(report)
    assert text.index("Warning: resnet18-bn has") < text.index("The winner is trial 0 itself")


def test_labels_that_were_tuned_are_said(report):
    assert "no merit of the images" not in text_of(report)
    report["other_labels"] = {"base": {"temperature": [30.0, 17.25], "labels": ["online", "image"]}}
    report["arms"] = [arm for arm in report["arms"] if arm["name"] != "full"]
    for arm in report["arms"]:
        arm["hlr"] = None
    report["arms"][1]["ior"] = None
    text = text_of(report)
    assert text.count("no merit of the images") == 1
    assert (
        "Without IOR and in no difference with real images, whose labels are used as the winner's are: base "
        "(temperature 30 against 17.25, labels online against image). What other labels gain or lose is no merit of "
        "the images." in text
    )
    assert lines(text, "base")[2] == ["-", "5"]


def test_random_images_that_win_are_named_with_their_labels(report):
    report["differences"][1] = difference("random", -0.02, True, "winner - random = -2.0 [-3.0, -1.0]")
    assert (
        "Randomly chosen real images with the same teacher's labels are better than the winner, by +2.0 points"
        in text_of(report)
    )
    report["differences"][1] = difference("random", 0.01, False, "winner - random: not resolved")
    assert (
        "The winner is not shown to be better than randomly chosen real images with the same teacher's labels."
        in text_of(report)
    )


def test_an_arm_with_the_other_kind_of_labels_stands_apart_and_it_is_said(report):
    report["arms"][1] = hard_arm("base", "somebody's base", 0.9)
    report["differences"] = report["differences"][1:]
    text = text_of(report)
    assert "base: hard labels, the winner soft ones; they are not compared" in text
    assert text.index("somebody's base") < text.index("Hard labels: the same pixels") < text.index("90.0")
    assert "full: hard labels" not in text


def test_soft_arms_beside_a_winner_with_hard_labels_stand_apart(report):
    report["label_regime"] = "hard"
    report["arms"][0] = hard_arm("winner", "plug-in, trial 5", 0.7)
    report["differences"] = []
    text = text_of(report)
    assert "base, random, herding: soft labels, the winner hard ones; they are not compared" in text
    assert (
        text.index("99.0")
        < text.index("Soft labels, and the same pixels with hard ones.")
        < text.index("75.0")
    )


def test_the_tables_fit_into_110_columns(report):
    for arm in report["arms"]:
        arm["net"] = "resnet18-w128"
        arm["optimisation_steps"] = 250_000
    shown = [line for line in text_of(report).splitlines() if "resnet18-w128" in line]
    assert len(shown) == 4 + (3 + 1) + 4
    assert max(map(len, shown)) <= 110


def test_a_report_of_hard_labels_says_nothing_of_soft_ones(report):
    report["label_regime"] = "hard"
    report["arms"] = [hard_arm("winner", "dm, trial 5", 0.52), hard_arm("random", "real images", 0.4)]
    del report["other_labels"]
    text = text_of(report)
    for word in ("soft", "eacher", "HLR", "Bytes", "neither ranked"):
        assert word not in text
