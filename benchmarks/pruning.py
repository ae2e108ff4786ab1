"""`python -m benchmarks.pruning`: what stopping trials early saves, simulated with the real stopping rule.

Every trial has a quality; its accuracy rises linearly with its progress and is read with noise at the rungs. So many
trials run side by side, at speeds that differ by a tenth. What is counted: the work that is done, as a share of running
all trials to the end, and how often the best trial is among those that were not stopped. Seconds for all of it; no
training, no Ray.
"""

from __future__ import annotations

import heapq
import statistics
import sys
from dataclasses import dataclass

import click
import numpy as np

from benchmarks.ending import exit_code
from raydd.cadence import rungs, thousandths
from raydd.tuning.scheduler import MarginASHA

WHOLE = 1000  # progress of a trial that is done, in thousandths
BEGINNING = 0.4  # share of its final accuracy that a trial has at iteration 0


@dataclass(frozen=True)
class World:
    """What is simulated.

    Attributes:
        trials: of a study.
        at_once: trials side by side.
        reduction_factor: of the stopping rule.
        spread: standard deviation of the qualities, a fraction.
        noise: standard deviation of one reading, a fraction.
    """

    trials: int
    at_once: int
    reduction_factor: int = 3
    spread: float = 0.05
    noise: float = 0.007


def study(world: World, generator: np.random.Generator) -> tuple[float, bool]:
    """One study: its share of the work, and whether the best trial ran to its end."""
    quality = generator.normal(0.5, world.spread, world.trials)
    rule = MarginASHA(
        reduction_factor=world.reduction_factor,
        margin=1.0,
        repeats=2,
        validation_size=5000,
        trials=world.trials,
    )
    stops = [*(thousandths(rung) for rung in rungs(world.reduction_factor, 0.0)), WHOLE]
    running: list[tuple[float, int, int]] = []  # when it reaches its next stop, the trial, which stop
    begun, work, finished = 0, 0, set()

    def reach(now: float, trial: int, stop: int) -> None:
        length = stops[stop] - (stops[stop - 1] if stop else 0)
        heapq.heappush(running, (now + length * (1 + 0.1 * generator.random()), trial, stop))

    def begin(now: float) -> None:
        nonlocal begun
        if begun < world.trials:
            reach(now, begun, 0)
            begun += 1

    for _ in range(world.at_once):
        begin(0.0)
    while running:
        now, trial, stop = heapq.heappop(running)
        work += stops[stop] - (stops[stop - 1] if stop else 0)
        if stops[stop] == WHOLE:
            finished.add(trial)
            begin(now)
            continue
        reached = quality[trial] * (BEGINNING + (1 - BEGINNING) * stops[stop] / WHOLE)
        reading = reached + generator.normal(0, world.noise)
        rule.record(stops[stop], trial, reading, world.noise * 2**0.5)
        if rule.hopeless(stops[stop], trial):
            begin(now)
        else:
            reach(now, trial, stop + 1)
    return work / (world.trials * WHOLE), int(quality.argmax()) in finished


@click.command(help=__doc__)
@click.option("--studies", default=60, show_default=True, type=click.IntRange(min=1), help="Of each kind.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the first study.")
def command(studies: int, seed: int) -> None:
    """Print a line for each kind of study."""
    for trials in (16, 32, 64):
        for at_once in (1, 2, 4, 8, 16):
            world = World(trials, at_once)
            ended = [study(world, np.random.default_rng(seed + number)) for number in range(studies)]
            share = statistics.fmean(work for work, _ in ended)
            kept = statistics.fmean(best for _, best in ended)
            click.echo(
                f"{trials} trials, {at_once} at once: {100 * share:.0f} % of the work, "
                f"the best trial kept in {100 * kept:.0f} % of {studies} studies"
            )


if __name__ == "__main__":
    sys.exit(exit_code(lambda: command.main(standalone_mode=False)))
