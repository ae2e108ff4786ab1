"""The numbers of a confirmation: intervals over runs, paired differences, and what soft labels need beside them.

Soft labels tell a network what their teacher knows, whatever the images are worth. Arms whose labels are of two
kinds, soft and hard, are therefore never compared; nor is an arm with real images whose labels are used otherwise, at
another temperature for example.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raydd.distillation import baselines
from raydd.evaluation import statistics
from raydd.measures import hard_label_recovery, improvement_over_random
from raydd.tuning import labels
from raydd.tuning.arms import Arm, compared_steps, report_seeds, title_with_labels

if TYPE_CHECKING:
    from raydd.tuning.plan import Plan
    from raydd.tuning.studies import Study

CONFIDENCE = 0.95

Results = Mapping[str, list[dict[str, Any]]]  # `result.json` of every run, by the arm's key


def summarise(
    study: Study, plan: Plan, arms: list[Arm], results: Results, ranking: Mapping[str, Any]
) -> dict[str, Any]:
    """The report as plain values; the unit of replication is the distillation run.

    Differences are those after equally many optimisation steps, between arms with one kind of labels. Holm's
    correction treats those with the coresets as a family of their own: they say whether choosing real images would
    do, not whether the search or the method does anything, and must not cost those questions their power.
    """
    config = plan.config
    nets = config.confirm.nets or [config.evaluation.net]
    # Of every arm and net; the network that was trained on all data is of one architecture.
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for net in nets:
        for arm in arms:
            found = [result["nets"][net] for result in results[arm.key] if net in result["nets"]]
            if found:
                runs[arm.name, net] = found
    by_name = {arm.name: arm for arm in arms}
    others = other_labels(arms, results)
    rows = [
        row_of(by_name[name], net, runs, results[by_name[name].key], alike=name not in others)
        for name, net in runs
    ]
    net = nets[0]
    first = runs["winner", net][0]
    regimes = {arm.name: runs[arm.name, net][0]["label_regime"] for arm in arms}
    pairs = [("winner", arm.name) for arm in arms[1:] if arm.paired]
    if "random" in by_name:  # whether distilling pays at all, without what was tuned
        pairs += [(name, "random") for name in ("default", "base") if name in by_name]
    pairs = [
        (a, b) for a, b in pairs if regimes[a] == regimes[b] and not (by_name[b].baseline and a in others)
    ]
    compared = [statistics.paired(accuracies(runs[a, net]), accuracies(runs[b, net])) for a, b in pairs]
    adjusted = holm_in_families(pairs, [difference.p for difference in compared])
    report = {
        "protocol": {
            "name": first["protocol"],
            "epochs": first["epochs"],
            "repeats": config.confirm.repeats,
            "split": "test",
        },
        "label_regime": first["label_regime"],
        "classes": plan.context.classes,  # chance is one of them
        "fit": config.confirm.fit,
        "compared_steps": compared_steps(plan, arms[0]),
        "seeds": report_seeds(config, len(runs["winner", net])),
        "winner": {
            "trial": ranking["winner"],
            "hyperparameters": study.trial(int(ranking["winner"])).hyperparameters,
        },
        "default_name": plan.method.default_name(plan.context),
        "arms": rows,
        "differences": [
            {
                "a": a,
                "b": b,
                "net": net,
                "mean": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "half_width": (difference.high - difference.low) / 2,
                "p": difference.p,
                "adjusted_p": p,
                "resolved": p < 1 - CONFIDENCE and not difference.low <= 0.0 <= difference.high,
                "text": statistics.verdict(by_name[a].short, by_name[b].short, difference, p),
            }
            for (a, b), difference, p in zip(pairs, compared, adjusted)
        ],
        "test_readings": study.test_readings(),
        "rerank": ranking["rows"],
        "search_estimate": ranking["search_estimate"],
    }
    if first["label_regime"] == "soft":
        report["other_labels"] = others
    elsewhere = [row["teacher"]["net"] for row in rows if "teacher" in row and row["teacher"]["pretrained"]]
    sentences = [*labels.cautions(plan.method, plan.context), *map(labels.seen_elsewhere, elsewhere)]
    if sentences:
        report["cautions"] = list(dict.fromkeys(sentences))
    return report


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The confirmed figure of a report: the winner's on its first net, JSON-able.

    Returns:
        `mean`, `low` and `high` (fractions, a 95 % interval over `runs` distillation runs), `runs`, `net`,
        `protocol`, `label_regime`, and the winner's `trial` and `hyperparameters`.
    """
    winner = report["arms"][0]
    return {
        **{name: winner[name] for name in ("mean", "low", "high", "net", "label_regime")},
        "runs": len(winner["runs"]),
        "protocol": report["protocol"]["name"],
        **report["winner"],
    }


def row_of(
    arm: Arm,
    net: str,
    runs: Mapping[tuple[str, str], list[dict[str, Any]]],
    results: Sequence[Mapping[str, Any]],
    alike: bool = True,
) -> dict[str, Any]:
    """One arm on one net.

    Args:
        arm, net: which.
        runs: `nets[net]` of every result, by (arm, net).
        results: of the arm.
        alike: whether its labels are used as those of random real images, without which it has no IOR.
    """
    values = runs[arm.name, net]
    regime = values[0]["label_regime"]
    again = any("equal_steps" in value for value in values)
    facts = {
        "name": arm.name,
        "title": title_with_labels(arm, regime),
        "method": arm.method,
        "baseline": arm.baseline,
        "trial": arm.trial,
        "hyperparameters": arm.hyperparameters,
        "net": net,
        **figures(values),
        "equal_steps": figures([value.get("equal_steps", value) for value in values]) if again else None,
        "diverged": sum(bool(result["diverged"]) for result in results),
        "label_regime": regime,
        "bytes": results[0]["bytes"],
    }
    if regime == "soft":
        full, random = runs.get(("full", net)), runs.get(("random", net))
        alike = alike and arm.name != "random"
        measured = random if alike and random and random[0]["label_regime"] == "soft" else None
        facts |= soft_facts(values, results[0])
        facts |= dd_ranking(values, full[0]["mean"] if full else None, measured)
    return facts


def soft_facts(values: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside a soft-label result: the same pixels with hard labels, bytes apart, and the teacher.

    Args:
        values: of every run on one net.
        result: of one run, which has the sizes and the teacher.

    Returns:
        `hard` (as `figures`, None where nothing was evaluated so), `image_bytes`, `label_bytes`, `teacher_bytes`,
        `label_kind`, and `teacher`: its facts with `test_accuracy`, None where it was not measured.
    """
    hard = [value["hard"] for value in values if "hard" in value]
    known = [value["teacher_accuracy"] for value in values if value.get("teacher_accuracy") is not None]
    return {
        "hard": figures(hard) if hard else None,
        **{name: result[name] for name in ("image_bytes", "label_bytes", "teacher_bytes")},
        "label_kind": result["labels"]["kind"],
        "teacher": {
            **result["labels"]["teacher"],
            "test_accuracy": sum(known) / len(known) if known else None,
        },
    }


def dd_ranking(
    values: Sequence[Mapping[str, Any]], full: float | None, random: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """DD-Ranking's measures of an arm on one net, with intervals over its runs; see `raydd.measures`.

    Args:
        values: of every run.
        full: accuracy of all training data with hard labels; None where it was not measured.
        random: of random real images, run by run with the same seeds; None for themselves, and where their labels
            are used otherwise.

    Returns:
        `hlr` and `ior`: mean, sd, low, high and n, or None.
    """
    hard = [value["hard"]["mean"] for value in values if "hard" in value]
    hlr = None if full is None else [hard_label_recovery(full, accuracy) for accuracy in hard]
    ior = None
    if random is not None:
        pairs = zip(accuracies(values), accuracies(random), strict=True)
        ior = [improvement_over_random(own, other) for own, other in pairs]
    return {
        name: asdict(statistics.interval(found, CONFIDENCE)) if found else None
        for name, found in (("hlr", hlr), ("ior", ior))
    }


def label_settings(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """How labels are used in a run, such as the temperature, and whose they are; None with hard labels."""
    if "labels" not in result:
        return None
    about = result["labels"]
    return {"labels": about["kind"], **result["recipe"], "teacher": about["teacher"]["asset"]}


def other_labels(arms: Sequence[Arm], results: Results) -> dict[str, dict[str, list[Any]]]:
    """Arms whose soft labels are used otherwise than those of the real images, which are the winner's: name to the
    settings that differ, each [the arm's, theirs]. What such settings gain is no merit of the images.
    """
    found = {arm.name: label_settings(results[arm.key][0]) for arm in arms}
    real = next((found[arm.name] for arm in arms if arm.baseline and found[arm.name]), None)
    others = {}
    for name, own in found.items():
        if own is not None and real is not None and own != real:
            others[name] = {key: [own[key], real[key]] for key in own if own[key] != real[key]}
    return others


def accuracies(values: Sequence[Mapping[str, Any]]) -> list[float]:
    """What is compared of every run: its accuracy after as many optimisation steps as the winner's."""
    return [value.get("equal_steps", value)["mean"] for value in values]


def figures(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and spread of an arm over its runs on one net, and how long that was trained."""
    means = [value["mean"] for value in values]
    interval = statistics.interval(means, CONFIDENCE)
    sds = [value["net_sd"] for value in values if math.isfinite(value["net_sd"])]
    return {
        "runs": means,
        "net_sd": math.sqrt(sum(sd**2 for sd in sds) / len(sds)) if sds else None,
        **asdict(interval),
        "epochs": max(value["epochs"] for value in values),
        "optimisation_steps": max(value["optimisation_steps"] for value in values),
    }


def holm_in_families(pairs: list[tuple[str, str]], ps: list[float]) -> list[float]:
    """Adjusted p in the order given; pairs with a coreset are one family, all others another."""
    adjusted = list(ps)
    for coresets in (False, True):
        family = [place for place, (_, b) in enumerate(pairs) if (b in baselines.CORESETS) == coresets]
        for place, p in zip(family, statistics.holm([ps[place] for place in family])):
            adjusted[place] = p
    return adjusted


def widest_interval(report: Mapping[str, Any]) -> float:
    """Half-width of the winner's widest paired difference; of its own accuracy where it is compared with nothing."""
    winner = report["arms"][0]
    own = (winner["high"] - winner["low"]) / 2
    return max((part["half_width"] for part in report["differences"] if part["a"] == "winner"), default=own)
