"""Figures: the numbers in them, what they refuse, and that the files are whole."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import raydd
from raydd import config as configuration
from raydd import files
from raydd.cli import main
from raydd.errors import ConfigError, StudyError
from raydd.report import figures
from raydd.report.figures import (
    ablation,
    curves,
    distance,
    features,
    heat_map,
    maps,
    progress,
    scatter,
    settings,
    style,
)
from raydd.report.figures.choice import Choice
from raydd.report.figures.features import Features
from raydd.tuning.studies import Study


class Written:
    """A study that is written down by hand, trial by trial."""

    def __init__(self, home, name="first", method="dwa", **search):
        values = {"name": name, "method": method, "home": str(home), "ipc": 10, "iterations": 20}
        self.study = Study.create(configuration.build({**values, "search": search}), {})
        self.study.unlock()
        self.number = 0

    def trial(self, accuracy, replicate=0, outcome="complete", course=None, **values):
        number, self.number = self.number, self.number + 1
        drawn = {"number": number, "source": "grid", "searched": values, "values": values, "iterations": 20}
        drawn |= {"seed": replicate, "replicate": replicate}
        files.write_json(self.study.trial_folder(number) / "hyperparameters.json", drawn)
        attempt = self.study.trial_files(number).claim()
        attempt.begin(None, {"session": 1, "iteration": 0})
        for iteration, value, measured in course or [(0, 0.1, None), (20, accuracy, None)]:
            row = {"iteration": iteration, "evaluated": 1, "val_accuracy": value, "val_accuracy_std": 0.0}
            row |= {} if measured is None else {"measure/mue": measured}
            attempt.report({**row, "attempt": 1, "seconds": 1.0})
        self.study.write_end(number, outcome, "")
        return self


RHO, K = [0.005, 0.05], [1, 6, 12]
ALL = Choice("test")


@pytest.fixture
def swept(tmp_path):
    """A grid with two replicates: accuracy is 0.5 + rho + k / 100, and 0.02 more in the second."""
    written = Written(tmp_path, grid={"rho": RHO, "k": K}, replicates=2)
    written.trial(0.9, rho=0.015, k=12, lr=0.25)  # trial 0, which is no combination
    for replicate in (0, 1):
        for rho in RHO:
            for k in K:
                written.trial(0.5 + rho + k / 100 + 0.02 * replicate, replicate, rho=rho, k=k, lr=0.25)
    return written.study


def test_a_heat_map_has_the_means_and_intervals_of_the_replicates(swept):
    found = heat_map.heat_map(swept, "rho", "k", ALL)
    assert (found.x, found.y) == (RHO, K)
    expected = [[0.51 + rho + k / 100 for rho in RHO] for k in K]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-12)
    half = 12.7062047 * math.sqrt(0.0002) / math.sqrt(2)  # t of one degree of freedom
    np.testing.assert_allclose(found.half, np.full((3, 2), half), rtol=1e-6)
    assert found.n.tolist() == [[2, 2]] * 3


def test_the_best_cell_is_compared_with_trial_0_in_pairs(tmp_path):
    written = Written(tmp_path, grid={"rho": [0.01, 0.02], "k": [1, 2]}, replicates=3)
    for replicate in range(3):
        for rho, k, gain in (
            (0.01, 1, 0.0),
            (0.01, 2, 0.01),
            (0.02, 1, 0.05 + 0.001 * replicate),
            (0.02, 2, 0.02),
        ):
            written.trial(0.3 + 0.1 * replicate + gain, replicate, rho=rho, k=k)
    gain = heat_map.heat_map(written.study, "rho", "k", ALL).gain
    assert (gain.mean, gain.n) == (pytest.approx(0.051), 3)
    half = 4.3026527 * 0.001 / math.sqrt(3)
    assert (gain.low, gain.high) == (pytest.approx(0.051 - half), pytest.approx(0.051 + half))


def test_one_replicate_can_be_drawn_alone(swept):
    found = heat_map.heat_map(swept, "rho", "k", Choice("test", replicates=(1,)))
    assert found.mean[0, 0] == pytest.approx(0.5 + 0.005 + 0.01 + 0.02)
    assert np.isnan(found.half).all()
    with pytest.raises(StudyError, match="has no complete trial in replicate 7"):
        heat_map.heat_map(swept, "rho", "k", Choice("test", replicates=(7,)))


def test_missing_cells_and_trials_that_did_not_end_are_left_out(tmp_path):
    written = Written(tmp_path, grid={"rho": RHO, "k": K[:2]})
    written.trial(0.6, rho=0.005, k=1).trial(0.7, rho=0.05, k=6).trial(0.2, outcome="diverged", rho=0.05, k=1)
    found = heat_map.heat_map(written.study, "rho", "k", ALL)
    assert np.isnan(found.mean).tolist() == [[False, True], [True, False]]
    assert found.n.tolist() == [[1, 0], [0, 1]]


def test_what_was_not_swept_is_said(swept, tmp_path):
    with pytest.raises(
        StudyError, match="has not swept 'lr', which this figure needs; it has searched k, lr, rho"
    ):
        heat_map.heat_map(swept, "rho", "lr", ALL)
    random = Written(tmp_path, "random")
    for number in range(14):
        random.trial(0.5, rho=0.001 * (1 + number))
    with pytest.raises(StudyError, match="has 14 values of 'rho', and a figure over it takes at most 12"):
        settings.swept(random.study, settings.settings_of(random.study, ALL), "rho")


def test_values_that_look_alike_are_settings_of_their_own(tmp_path):
    written = Written(tmp_path, "betas", "iid", grid={"beta": [1.0, 1.0001, 1.0002, 1.001]})
    for number, beta in enumerate((1.0, 1.0001, 1.0002, 1.001)):
        written.trial(0.5 + 0.1 * number, beta=beta)
    found = settings.settings_of(written.study, ALL)
    assert [(one.values["beta"], one.accuracies) for one in found] == [
        (1.0, (0.5,)),
        (1.0001, (0.6,)),
        (1.0002, (0.7,)),
        (1.001, (0.8,)),
    ]


def test_the_same_run_again_is_no_replicate(tmp_path):
    written = Written(tmp_path, "idc", "idc").trial(0.5, factor=2).trial(0.6, factor=1)
    written.trial(0.5, factor=2).trial(0.7, 1, factor=2)
    two, one = settings.settings_of(written.study, ALL)
    assert (two.accuracies, two.numbers, two.replicates) == ((0.5, 0.7), (0, 3), (0, 1))
    assert (one.accuracies, math.isnan(one.low)) == ((0.6,), True)
    assert [strip.x for strip in curves.curves_along([written.study], "factor", ALL)] == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("arguments", "along", "also"),
    [
        (["curve", "--x", "rho"], "rho", "k = 12, lr = 0.25"),
        (["pictures", "--x", "k"], "k", "lr = 0.25, rho = 0.015"),
        (["grid", "--x", "rho", "--y", "k"], "rho and k", "lr = 0.25"),
        (["dwa-grid"], "rho and k", "lr = 0.25"),
    ],
)
@pytest.mark.parametrize("outcome", ["failed", "complete"])
def test_a_sweep_of_more_without_trial_0_is_refused_with_what_else_was_swept(
    tmp_path, arguments, along, also, outcome
):
    written = Written(tmp_path, "three", grid={"rho": RHO, "k": K[:2], "lr": [0.1, 0.2]})
    written.trial(0.9, outcome=outcome, rho=0.015, k=12, lr=0.25)
    for rho in RHO:
        for k in K[:2]:
            for lr in (0.1, 0.2):
                written.trial(0.5, rho=rho, k=k, lr=lr)
    kind, *axes = arguments
    result = run(tmp_path, kind, "three", *axes, "--out", str(tmp_path / "a.png"))
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: study 'three' has no complete setting along {along} with trial 0's {also}, which it has swept too; "
        "this figure needs two\n",
    )
    assert not (tmp_path / "a.png").exists()


def test_one_point_is_no_curve(swept, tmp_path):
    result = run(tmp_path, "curve", "first", "--x", "k", "--out", str(tmp_path / "a.png"))
    assert result.exit_code == 2
    assert "has one complete setting along k with trial 0's rho = 0.015, which it has swept" in result.stderr


# -- curves --------------------------------------------------------------------------------------------------


def along_k(study):
    """A study of two values of k, beside another one."""
    written = Written(study.home, "along", grid={"k": [1, 6]})
    return written.trial(0.9, k=12).trial(0.6, k=1).trial(0.7, k=6).study


def test_a_curve_has_a_point_a_value(swept):
    with pytest.raises(StudyError, match="has not swept 'lambda_var'"):
        curves.curves_along([swept], "lambda_var", ALL)
    (one,) = curves.curves_along([along_k(swept)], "k", ALL)
    assert (one.name, one.x, one.n) == ("along", [1.0, 6.0], [1, 1])


def test_decoupled_and_coupled_weights_are_curves_of_their_own(tmp_path):
    apart = Written(tmp_path, "apart", grid={"lambda_var": [0.1, 0.01]})
    apart.trial(0.7, lambda_var=0.1, lambda_mean=0.01).trial(0.6, lambda_var=0.01, lambda_mean=0.01)
    one = Written(tmp_path, "one", grid={"lambda_mean": [0.01, 0.1]}, fix={"coupled": True})
    one.trial(0.5, lambda_mean=0.01, coupled=True).trial(0.4, lambda_mean=0.1, coupled=True)
    decoupled, coupled = curves.weight_curves([apart.study, one.study], ALL)
    assert (decoupled.x, decoupled.mean) == ([0.01, 0.1], [0.6, 0.7])
    assert (coupled.x, coupled.mean) == ([0.01, 0.1], [0.5, 0.4])
    other = Written(tmp_path, "dm", method="dm").trial(0.5, lr_img=1.0)
    with pytest.raises(StudyError, match="has searched dm, which has no lambda_var and coupled"):
        curves.weight_curves([other.study], ALL)


def test_a_curve_of_weights_keeps_everything_else_as_trial_0_has_it(tmp_path):
    written = Written(tmp_path, "more", grid={"lambda_var": [0.01, 0.1], "lr": [0.1, 0.2]})
    for lr in (0.1, 0.2):
        for weight in (0.01, 0.1):
            written.trial(0.5 + weight + lr, lambda_var=weight, lambda_mean=0.01, lr=lr)
    (one,) = curves.weight_curves([written.study], ALL)
    assert (one.x, one.mean) == ([0.01, 0.1], pytest.approx([0.61, 0.7]))
    none = Written(tmp_path, "none", grid={"lambda_var": [0.01, 0.1], "lr": [0.1, 0.2]})
    none.trial(0.9, lambda_var=0.11, lr=0.5)
    for weight in (0.01, 0.1):
        none.trial(0.5, lambda_var=weight, lr=0.1).trial(0.6, lambda_var=weight, lr=0.2)
    with pytest.raises(StudyError, match=r"no complete setting along lambda_var with trial 0's lr = 0\.5"):
        curves.weight_curves([none.study], ALL)


# -- the ablation --------------------------------------------------------------------------------------------


def ablated(tmp_path, **search):
    written = Written(
        tmp_path, "ablated", "iid", grid={"lambda_cc": [0.0, 0.05], "lambda_cm": [0.0, 0.01]}, **search
    )
    written.trial(0.1, lambda_cc=0.5, lambda_cm=0.5)
    gains = {(0.0, 0.0): 0.0, (0.05, 0.0): 0.03, (0.0, 0.01): -0.001, (0.05, 0.01): 0.05}
    for replicate in range(3):
        for (cc, cm), gain in gains.items():
            more = 0.002 * replicate * (cm > 0)
            written.trial(0.6 + 0.01 * replicate + gain + more, replicate, lambda_cc=cc, lambda_cm=cm)
    return written.study


def test_an_ablation_knows_which_terms_are_on(tmp_path):
    found = ablation.ablation(ablated(tmp_path), ALL)
    assert list(found) == ["DM", "+ $L_{CC}$", "+ $L_{CM}$", "+ both"]
    assert [one.mean for one in found.values()] == pytest.approx([0.61, 0.64, 0.611, 0.662])
    compared = ablation.differences(found)
    assert compared["+ both"][0].mean == pytest.approx(0.052)
    assert compared["+ both"][0].n == 3
    assert compared["+ both"][1] < 0.05
    assert compared["+ $L_{CM}$"][1] > 0.05
    assert compared["+ $L_{CC}$"][1] == 1.0  # the same in all replicates: no spread to judge by


def test_an_ablation_takes_one_weight_beside_0(tmp_path):
    written = Written(tmp_path, "many", "iid", grid={"lambda_cc": [0.0, 0.1, 0.2], "lambda_cm": [0.0, 0.01]})
    for cc in (0.0, 0.1, 0.2):
        for cm in (0.0, 0.01):
            written.trial(0.5, lambda_cc=cc, lambda_cm=cm)
    with pytest.raises(
        StudyError, match=r"has run lambda_cc at 0, 0\.1, 0\.2; an ablation needs 0 and one weight"
    ):
        ablation.ablation(written.study, ALL)


def test_without_its_base_there_is_no_ablation(tmp_path):
    written = Written(tmp_path, "bare", "iid", grid={"lambda_cc": [0.0, 0.05], "lambda_cm": [0.0, 0.01]})
    written.trial(0.1, outcome="failed", lambda_cc=0.0, lambda_cm=0.0)
    written.trial(0.6, lambda_cc=0.05, lambda_cm=0.0).trial(0.7, lambda_cc=0.0, lambda_cm=0.01)
    with pytest.raises(StudyError, match="no complete trial with lambda_cc = lambda_cm = 0, the base"):
        ablation.ablation(written.study, ALL)


def test_a_setting_with_another_hyperparameter_is_in_no_cell(tmp_path):
    study = ablated(tmp_path)
    added = {"number": 13, "source": "added", "iterations": 20, "seed": 0, "replicate": 0}
    values = {"lambda_cc": 0.0, "lambda_cm": 0.0, "lr_img": 5.0}
    files.write_json(
        study.trial_folder(13) / "hyperparameters.json", {**added, "searched": values, "values": values}
    )
    attempt = study.trial_files(13).claim()
    attempt.begin(None, {"session": 1, "iteration": 0})
    attempt.report({"iteration": 20, "evaluated": 1, "val_accuracy": 0.1, "attempt": 1, "seconds": 1.0})
    study.write_end(13, "complete", "")
    assert ablation.ablation(study, ALL)["DM"].mean == pytest.approx(0.61)


# -- on the way ----------------------------------------------------------------------------------------------


def test_courses_are_the_evaluations(tmp_path):
    written = Written(tmp_path, method="udd")
    written.trial(0.7, course=[(0, 0.2, None), (5, 0.5, None), (20, 0.7, None)], lr_img=0.1)
    written.trial(0.0, outcome="diverged", course=[(0, 0.2, None)], lr_img=9.0)
    (one,) = progress.courses(written.study, ALL)
    assert (one.number, one.iterations, one.accuracies) == (0, [0, 5, 20], [0.2, 0.5, 0.7])


def test_mue_is_correlated_with_accuracy_over_complete_trials(tmp_path):
    written = Written(tmp_path, method="udd")
    for number in range(6):
        written.trial(0.5 + 0.01 * number, course=[(20, 0.5 + 0.01 * number, 0.3 + number / 100)], lr_img=0.1)
    written.trial(0.9, outcome="pruned", course=[(10, 0.9, 0.0)], lr_img=0.1)
    found = progress.measured([written.study], "mue", ALL)
    assert found.numbers == list(range(6))
    assert found.measure == [0.3 + number / 100 for number in range(6)]
    assert found.correlation.value == pytest.approx(1.0)
    written.trial(0.1, course=[(20, 0.1, 0.9)], lr_img=0.1, region_source="image")
    other = progress.measured([written.study], "mue", ALL)
    assert (other.group, len(other.numbers), other.correlation) == ("", 7, found.correlation)
    with pytest.raises(StudyError, match="no complete trial with a measured border_share"):
        progress.measured([written.study], "border_share", ALL)


@pytest.mark.parametrize(("accuracy", "mue", "what"), [(0.0, 0.01, "accuracy"), (0.01, 0.0, "mue")])
def test_equal_values_have_no_rank_correlation(tmp_path, accuracy, mue, what):
    written = Written(tmp_path, method="udd")
    for number in range(5):
        course = [(20, 0.5 + accuracy * number, 0.3 + mue * number)]
        written.trial(0.5, course=course, lr_img=0.1)
    result = run(tmp_path, "mue-accuracy", "first", "--out", str(tmp_path / "a.png"))
    assert result.stderr == (
        f"error: a rank correlation needs values that differ, and all 5 trials have the same {what}\n"
    )


def test_courses_of_two_studies_of_one_method_are_told_apart(tmp_path):
    for name in ("one", "two"):
        Written(tmp_path, name, method="iid").trial(0.6, beta=1.0)
    Written(tmp_path, "base", method="dm").trial(0.6, lr_img=1.0)
    out = tmp_path / "figure.svg"
    assert run(tmp_path, "accuracy-iteration", "one", "two", "base", "--out", str(out)).exit_code == 0
    for name in ("IID (one), best trial", "IID (two), best trial", ">DM, best trial"):
        assert name in out.read_text()


# -- features ------------------------------------------------------------------------------------------------


def some_features(spread=0.5, ipc=3, runs=2):
    stream = torch.Generator().manual_seed(0)
    centres = 10.0 * torch.eye(4)[:3]
    labels = torch.arange(3).repeat_interleave(40)
    real = centres[labels] + torch.randn(120, 4, generator=stream)
    few = torch.arange(3).repeat_interleave(ipc)
    sets = [(centres[few] + spread * torch.randn(len(few), 4, generator=stream), few) for _ in range(runs)]
    return Features(real, labels, {"DWA": sets}, ("a", "b", "c"), "convnet")


def test_distances_are_means_over_classes_and_runs():
    found = some_features()
    one = distance.distances(found)["DWA"]
    assert one.by_class.shape == (3,)
    assert one.mean == pytest.approx(float(one.by_class.mean()))
    assert one.n == 2
    assert one.low < one.mean < one.high
    wide = distance.distances(some_features(spread=1.0))["DWA"]
    assert wide.mean == pytest.approx(2 * one.mean, rel=1e-5)
    with pytest.raises(StudyError, match="needs two images of a class"):
        distance.distances(some_features(ipc=1))


def confirmed(home, name, method, base=None):
    """A confirmed study of no trials; only what its arms are is written."""
    study = Written(home, name, method).study
    arms = [{"name": "winner", "method": method}, {"name": "random", "method": None}]
    arms += [] if base is None else [{"name": "base", "method": base}]
    files.write_json(study.folder / "confirm" / "report.json", {"arms": arms})
    return study


def test_sets_of_several_studies_are_all_shown_and_a_tuned_base_in_place_of_an_untuned_one(tmp_path):
    one, two = (confirmed(tmp_path, name, "iid", "dm") for name in ("one", "two"))
    tuned = confirmed(tmp_path, "tuned", "dm")

    def shown(*studies):
        sets = {study.name: {arm: ["a set"] for arm in ("winner", "base", "random")} for study in studies}
        if tuned in studies:
            del sets["tuned"]["base"]
        found = features.chosen(studies, ("random", "base", "winner"), sets)
        return {name: (study.name, arm) for name, (study, arm) in found.items()}

    assert shown(one) == {
        "random real": ("one", "random"),
        "DM": ("one", "base"),
        "IID": ("one", "winner"),
    }
    assert shown(one, two) == {
        f"{name} ({study})": (study, arm)
        for study in ("one", "two")
        for name, arm in (("random real", "random"), ("DM", "base"), ("IID", "winner"))
    }
    both = shown(one, tuned)
    assert (both["DM"], both["IID"]) == (("tuned", "winner"), ("one", "winner"))
    assert len(both) == 4


def test_every_set_has_its_markers_however_many_there_are(tmp_path):
    few = some_features()
    many = {f"random real ({name})": few.sets["DWA"] for name in "ab"}
    many |= {f"DWA ({name})": few.sets["DWA"] for name in "abcdefgh"}
    drawn = distance.draw_distances([confirmed(tmp_path, "one", "dwa")], replace(few, sets=many))
    (axis,) = drawn.axes
    assert len(axis.get_legend().get_texts()) == 10
    lines = [line for line in axis.lines if line.get_label() in axis.get_legend_handles_labels()[1]]
    assert [line.get_color() == style.GREY for line in lines] == [True] * 2 + [False] * 8


def test_two_classes_have_no_two_discriminants():
    found = some_features()
    chosen = found.real_labels < 2
    two = replace(
        found, real=found.real[chosen], real_labels=found.real_labels[chosen], class_names=("a", "b")
    )
    with pytest.raises(StudyError, match="need three of them, and these data have 2"):
        scatter.discriminants(two)


def test_separations_are_of_every_run():
    apart = scatter.separations(some_features())
    assert [len(values) for values in apart.values()] == [1, 2]
    assert min(apart["DWA"]) > apart["real"][0]


def test_tsne_has_a_seed_and_the_discriminants_are_of_the_real_images_alone():
    found = some_features()
    real, sets = scatter.tsne(found, 0)
    again, _ = scatter.tsne(found, 0)
    assert real.shape == (120, 2)
    assert sets["DWA"].shape == (9, 2)
    np.testing.assert_array_equal(real, again)
    line, _ = scatter.discriminants(found)
    other, _ = scatter.discriminants(some_features(spread=3.0))
    np.testing.assert_array_equal(line, other)


# -- maps ----------------------------------------------------------------------------------------------------


def test_maps_of_whole_images(tmp_path):
    fix = {"net": "convnet-w4", "proxy_net": "convnet-w4", "proxy_epochs": 1, "n_data": 8, "factor": 1}
    fix |= {"batch_real": 8, "batch_train": 8}
    study = Written(tmp_path, "whole", "udd", fix=fix).study
    digits = raydd.load_data("digits")
    made = raydd.distill(
        "udd", digits, ipc=1, iterations=1, hyperparameters=fix, compile="off", home=tmp_path
    )
    assert made.manifest["decode"] == {"kind": "identity"}
    made.save(study.folder / "confirm" / "3" / "report-0" / "distilled.safetensors")
    arm = {"name": "winner", "method": "udd", "trial": 3, "n": 1}
    files.write_json(study.folder / "confirm" / "report.json", {"arms": [arm]})
    (one,) = maps.mapped(study)
    assert (one.name, one.maps.shape, one.images.shape) == ("UDD", (10, 8, 8), (10, 8, 8, 3))
    assert 0.0 < one.mue < 1.0


# -- drawing -------------------------------------------------------------------------------------------------


def run(tmp_path, *arguments):
    return CliRunner().invoke(main, ["figure", *arguments, "--home", str(tmp_path)])


def test_files_of_all_formats_are_written_and_equal_figures_are_equal_files(swept, tmp_path):
    for form, begins in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        out = tmp_path / f"figure.{form}"
        result = run(tmp_path, "dwa-grid", "first", "--out", str(out))
        assert result.output == f"wrote {out}\n"
        first = out.read_bytes()
        assert first.startswith(begins)
        run(tmp_path, "grid", "first", "--x", "rho", "--y", "k", "--out", str(out))
        assert out.read_bytes() == first
    text = (tmp_path / "figure.svg").read_text()
    assert "n = 2" in text
    assert "52.5" in text  # 0.51 + 0.005 + 0.01
    assert "68.0" in text  # 0.51 + 0.05 + 0.12
    width, height = Image.open(tmp_path / "figure.png").size
    assert width > height > 400


def test_the_ablation_and_courses_are_drawn(tmp_path):
    ablated(tmp_path)
    out = tmp_path / "figure.svg"
    assert run(tmp_path, "iid-ablation", "ablated", "--out", str(out)).exit_code == 0
    text = out.read_text()
    assert "not resolved" in text
    assert "+5.2 [" in text
    assert run(tmp_path, "accuracy-iteration", "ablated", "--out", str(out)).exit_code == 0
    assert "13 trials" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["gird", "first"],
            "unknown kind of figure 'gird': did you mean 'grid'? (allowed: accuracy-iteration",
        ),
        (["grid", "first"], "--x: figure grid needs the name of a swept hyperparameter, got none"),
        (["dwa-grid", "first", "--out", "a.gif"], "--out: unknown format 'gif' (allowed: pdf, png, svg)"),
        (["dwa-grid", "frist"], "unknown study 'frist': did you mean 'first'?"),
        (["iid-beta", "first"], "study 'first' has not swept 'beta'"),
        (["iid-ablation", "first"], "study 'first' has not swept 'lambda_cc'"),
        (["tsne", "first"], "study 'first' is not confirmed yet"),
        (["mue-accuracy", "first"], "has no complete trial with a measured mue; dwa may not measure it"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    swept, tmp_path, arguments, sentence, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_figure_of_the_readme_is_drawn_of_any_study(swept, tmp_path):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (kind,) = re.findall(r"^ +raydd figure (\S+) first ", text, re.MULTILINE)
    assert run(tmp_path, kind, "first", "--out", str(tmp_path / "a.png")).exit_code == 0


def test_figures_of_one_study_refuse_two(swept, tmp_path):
    with pytest.raises(ConfigError, match="figure iid-beta is of one study, got 2: first, first"):
        figures.draw("iid-beta", [swept, swept], Choice("iid-beta"))


def test_an_axis_never_spans_less_than_a_point():
    assert style.span([0.5, 0.502, math.nan]) == pytest.approx((0.496, 0.506))
    assert style.span([0.2, 0.5]) == (0.2, 0.5)


def test_every_kind_says_what_it_is_and_the_help_names_it():
    text = CliRunner().invoke(main, ["figure", "--help"]).output
    for name, kind in figures.KINDS.items():
        assert name in text
        assert kind.about
