"""How much each hyperparameter mattered: Optuna's measure, and how far it depends on which trials there are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raydd.seeding import derive_seed

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST = 4  # complete trials without which nothing is said
MANY = 30  # fewer say little
RESAMPLES = 10  # each takes a tenth of a second


@dataclass(frozen=True)
class Importance:
    """Of one hyperparameter.

    Attributes:
        name: as the search draws it (`b` where `beta` = 1 + b).
        share: of all importance, in [0, 1]; those of a study add up to 1.
        low, high: lowest and highest share over resamples of the trials.
        trials: complete ones that drew it; fewer than all where it is conditional.
    """

    name: str
    share: float
    low: float
    high: float
    trials: int


def importances(trials: Sequence[FrozenTrial], seed: int = 0) -> list[Importance]:
    """Optuna's default importance (PED-ANOVA) of every name that a complete trial drew, largest first.

    PED-ANOVA asks how far the best tenth of the trials are drawn to a part of a hyperparameter's range. Trials that
    were stopped early are left out: their accuracies belong to less work. Each hyperparameter that only some trials
    have is measured among those. The spread is that over `RESAMPLES` draws of as many trials, with replacement.

    Args:
        trials: of one study, of any state.
        seed: of the resamples.

    Returns:
        Empty where fewer than `FEWEST` trials are complete, or nothing tells them apart.
    """
    from optuna.trial import TrialState

    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.params]
    if len(complete) < FEWEST:
        return []
    shares = _shares(complete)
    if not shares:
        return []
    generator = np.random.default_rng(derive_seed(seed, "importance", 0))
    spread: dict[str, list[float]] = {name: [] for name in shares}
    for _ in range(RESAMPLES):
        again = _shares([complete[index] for index in generator.integers(len(complete), size=len(complete))])
        for name, found in spread.items():
            found.append(again.get(name, 0.0))
    result = [
        Importance(
            name,
            share,
            min(share, *spread[name]),
            max(share, *spread[name]),
            sum(name in trial.params for trial in complete),
        )
        for name, share in shares.items()
    ]
    return sorted(result, key=lambda one: (-one.share, one.name))


def _shares(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    import optuna

    study = optuna.create_study(direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a resample has equal trials, or a name but one value
        study.add_trials(list(trials))
        found = optuna.importance.get_param_importances(study, normalize=False)
    whole = sum(found.values())
    return {name: value / whole for name, value in found.items()} if whole > 0.0 else {}
