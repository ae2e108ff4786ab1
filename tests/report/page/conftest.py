"""Studies on disk without their arithmetic: the real searcher, scheduler, files and summary, and made-up accuracies."""

import itertools
import math
import random

import pytest
import torch

import raydd
from raydd import config as configuration
from raydd import files, registry
from raydd.cadence import Cadence, thousandths
from raydd.storage.preview import png, preview_grid
from raydd.tuning import confirmation
from raydd.tuning.plan import plan_for
from raydd.tuning.scheduler import MarginASHA
from raydd.tuning.searcher import StudySearcher
from raydd.tuning.stages import note_decision
from raydd.tuning.studies import Study

NET, ITERATIONS, SEEDS = "convnet-w8", 60, 5
# Seconds of a trial: its start with the first evaluation, an iteration, a further evaluation.
START, STEP, EVALUATION = 4.0, 0.5, 2.0


@pytest.fixture(scope="session")
def digits():
    return raydd.load_data("digits")


def accuracy(values, progress, noise):
    """Made up: one step size is right, contrast matters little, and it takes the whole trial to get there."""
    miss = abs(math.log(values["lr_img"] / 0.02))
    best = 0.9 - 0.06 * miss - 0.01 * abs(math.log(values.get("cfc_tau", 0.2) / 0.2))
    return max(0.1, 0.4 + (best - 0.4) * (1 - math.exp(-4 * progress)) + noise)


def rows_of(values, number, cadence, seed):
    """The reports of a trial that runs to its end."""
    generator = random.Random(seed * 1000 + number)
    seconds, judged = 0.0, 0.1
    milestones = {math.ceil(rung * ITERATIONS - 1e-9): thousandths(rung) for rung in cadence.rungs}
    milestones |= {0: 0, ITERATIONS: 1000}
    reported = sorted({*milestones, *range(0, ITERATIONS, cadence.report_every)})
    for before, iteration in itertools.pairwise([0, *reported]):
        rung = milestones.get(iteration, -1)
        seconds += STEP * (iteration - before)
        if rung >= 0:
            seconds += EVALUATION if iteration else START
            judged = accuracy(values, iteration / ITERATIONS, generator.gauss(0, 0.01))
        yield {
            "number": number,
            "iteration": iteration,
            "progress": iteration / ITERATIONS,
            "evaluated": int(rung >= 0),
            "rung": rung,
            "val_accuracy": judged,
            "val_accuracy_std": 0.01,
            "seconds": seconds,
            "attempt": 1,
            "outcome": "complete" if rung == 1000 else "",
            "done": rung == 1000,
        }


def results_of(arms, labelled=None):
    """`result.json` of every report run, better for the winner than for the rest."""
    means = {"winner": 0.9, "default": 0.87, "base": 0.88, "random": 0.8, "herding": 0.85, "full": 0.99}
    generator = random.Random(1)
    shared = [generator.gauss(0, 0.01) for _ in range(SEEDS)]
    results = {}
    for arm in arms:
        count = SEEDS if arm.paired else 1
        results[arm.key] = [
            {
                "nets": {
                    NET: {
                        "mean": means[arm.name] + shared[index] + generator.gauss(0, 0.004),
                        "net_sd": 0.01,
                        "protocol": "idc",
                        "epochs": 40,
                        "optimisation_steps": 41,
                        "label_regime": "hard",
                    }
                },
                "bytes": 2000,
                "diverged": "",
                "seconds": 30.0,
                "distill_seconds": 20.0,
            }
            for index in range(count)
        ]
    return results


def confirm(study, plan):
    """Write a confirmation as `raydd.tuning.confirmation` would, with made-up accuracies of its runs."""
    best = study.best()
    arms = confirmation.report_arms(study, plan, best.number)
    results = results_of(arms)
    for arm in arms:
        for index, result in enumerate(results[arm.key]):
            files.write_json(study.folder / "confirm" / arm.key / f"report-{index}" / "result.json", result)
            study.count_test_reading(arm=arm.key, seed=index)
    ranking = {
        "winner": best.number,
        "candidates": sorted(one.number for one in study.trials() if one.outcome == "complete"),
        "rows": [{"trial": best.number, "title": f"trial {best.number}", "runs": [0.9], "mean": 0.9}],
        "search_estimate": {"trial": best.number, "val_accuracy": best.val_accuracy},
    }
    report = confirmation.summarise(study, plan, arms, results, ranking)
    report |= {"half_width": 0.01, "stopped": f"{SEEDS} seeds made"}
    files.write_json(study.folder / "confirm" / "winner.json", ranking)
    files.write_json(study.folder / "confirm" / "report.json", report)
    labels = torch.arange(10).repeat_interleave(3)
    pixels = torch.rand((30, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    files.write_bytes(study.folder / "grid.png", png(preview_grid(pixels, labels)))


def write_study(
    home, data, *, name="first", trials=20, confirmed=True, ends=None, seed=0, method="udd", **changes
):
    """A study whose trials were drawn, reported, stopped and told by the classes that do so in a search.

    Args:
        home, name, data: of the study.
        trials: how many.
        confirmed: whether it has a report.
        ends: outcome of some trials after their first evaluation, by number: `failed`, `diverged`, or `interrupted`.
        seed: of what is drawn and of the noise.
        method: to draw for.
        changes: fields of the configuration, `search__scheduler="none"`.
    """
    values = {
        "method": method,
        "name": name,
        "home": str(home),
        "ipc": 3,
        "iterations": ITERATIONS,
        "seed": seed,
        "data": {"name": "digits"},
        "search": {"trials": trials, "sampler": "random"},
        "evaluation": {"net": NET, "epochs": 40, "repeats": 2},
        "confirm": {"report_seeds": SEEDS, "repeats": 2, "baselines": ["random", "herding", "full"]},
    }
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    chosen = registry.get(method)
    plan = plan_for(configuration.build(values), chosen, data)
    study = Study.create(
        plan.config, {"study_id": "0", "command": ["raydd", "search", method, "--name", name]}
    )
    files.write_json(study.folder / "fingerprint.json", data.fingerprint)
    files.write_json(study.folder / "measured.json", {})
    search = plan.config.search
    cadence = Cadence.of(
        ITERATIONS,
        scheduler=search.scheduler,
        reduction_factor=search.reduction_factor,
        progress_floor=chosen.progress_floor,
    )
    asha = MarginASHA(
        reduction_factor=search.reduction_factor,
        margin=search.prune_margin,
        repeats=2,
        validation_size=len(data.val),
        trials=trials,
        note=lambda *decision: note_decision(study, *decision),
    )
    searcher = StudySearcher(
        study,
        plan.space,
        trials=trials,
        points=plan.points,
        sampler=search.sampler,
        seed=seed,
        iterations=ITERATIONS,
    )
    for number in range(trials):
        searcher.suggest(str(number))
        drawn = files.read_json(study.trial_folder(number) / "hyperparameters.json")
        attempt = study.trial_files(number).claim()
        attempt.begin(None, {"time": "2026-01-01T00:00:00+00:00"})
        end = (ends or {}).get(number)
        for row in rows_of(drawn["values"], number, cadence, seed):
            attempt.report(row)
            searcher.on_trial_result(str(number), row)
            if end or asha.on_trial_result(None, None, row) == "STOP":
                break
        if end == "failed":
            attempt.failed("error", WHY, f"Traceback\n{WHY}", session=1, iteration=0)
            study.write_end(number, "failed", WHY, "error")
            searcher.on_trial_complete(str(number), row, error=True)
        elif end != "interrupted":
            why = "a loss is not finite" if end else ""
            searcher.on_trial_complete(str(number), {**row, "outcome": end or row["outcome"], "why": why})
    if confirmed:
        confirm(study, plan)
    study.unlock()
    return study


WHY = "ValueError: </script><script>alert(1)</script> & so on"  # as hostile as a message can be


@pytest.fixture(scope="session", name="write_study")
def write_study_fixture():
    """`write_study(home, data, **how)`."""
    return write_study


@pytest.fixture(scope="session")
def first(tmp_path_factory, digits):
    """A confirmed study of 40 trials, some of which were stopped early; read only."""
    return write_study(tmp_path_factory.mktemp("home"), digits, trials=40)


@pytest.fixture(scope="session")
def large(tmp_path_factory, digits):
    """A confirmed study of 200 trials, of which some failed; read only."""
    ends = {7: "failed", 8: "failed", 50: "diverged"}
    return write_study(tmp_path_factory.mktemp("large"), digits, trials=200, ends=ends)
