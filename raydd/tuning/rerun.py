"""Running one trial of a study anew, away from its folder, to see whether it comes out bit for bit the same."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydd.errors import StudyError
from raydd.storage import DistilledSet
from raydd.storage.stop_sign import StopSign
from raydd.tuning.plan import check_compiling

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

FACTS = ("versions", "computed", "git")
"""What of a set's manifest may explain another outcome."""


@dataclass(frozen=True)
class Rerun:
    """What a trial gave in its study, and what it gave now.

    Attributes:
        evaluations: iteration, and the validation accuracy (a fraction) in the study and now, which is None where the
            trial diverged before it came so far.
        images: sha256 in hex of the images after the last of them, in the study and now.
        made: what the two sets say of the versions and of the way that they were computed with.
    """

    evaluations: list[tuple[int, float, float | None]]
    images: tuple[str, str]
    made: tuple[dict[str, str], dict[str, str]]

    @property
    def equal(self) -> bool:
        """Whether all of it is bit-equal."""
        return self.images[0] == self.images[1] and all(then == now for _, then, now in self.evaluations)

    def lines(self) -> list[str]:
        """The verdict, for people."""
        last = self.evaluations[-1][0]
        said = [f"images after iteration {last}: sha256 {self.images[0][:16]} in the study"]
        said[0] += (
            ", and now" if self.images[0] == self.images[1] else f", {self.images[1][:16] or 'none'} now"
        )
        if self.equal:
            return [*said, f"bit-equal: {len(self.evaluations)} evaluations and the images"]
        apart = next((row for row in self.evaluations if row[1] != row[2]), None)
        if apart is None:
            said.append("not bit-equal: every evaluation has the same accuracy, the images differ")
        else:
            iteration, then, now = apart
            ended = "the trial diverged before it" if now is None else f"{now!r} now"
            said.append(
                f"not bit-equal: they part at iteration {iteration}, accuracy {then!r} in the study, {ended}"
            )
        then_made, now_made = self.made
        said += [
            f"{name}: {then_made[name]} in the study, {now_made.get(name)} now"
            for name in then_made
            if then_made[name] != now_made.get(name)
        ]
        return said


def run_again(
    study: Study, number: int, on_evaluation: Callable[[int, float, float], None] | None = None
) -> Rerun:
    """Run a trial from iteration 0 to the last evaluation that the study holds, and compare.

    Nothing is written into the study's folder, and a driver that is at work is not disturbed. Networks of the home's
    assets and blocks of its target bank are used as the trial used them.

    Args:
        study: of any state.
        number: the trial.
        on_evaluation: told of every evaluation as it is made: iteration, accuracy in the study, accuracy now.

    Raises:
        RayddError: there is no such trial, it was never evaluated, or it cannot be run here.
    """
    config = study.config
    study.trial(number)
    path = study.trial_folder(number) / "distilled.safetensors"
    if not path.exists():
        raise StudyError(
            f"trial {number} of study {study.name!r} has not been evaluated yet: there is nothing to compare"
        )
    check_compiling(config)
    held = DistilledSet.load(path)
    last = int(held.manifest["iteration"])
    then = [
        (int(row["iteration"]), float(row["val_accuracy"]))
        for row in study.history(number)
        if row.get("evaluated") and row["iteration"] <= last
    ]
    evaluations: list[tuple[int, float, float | None]] = []
    with tempfile.TemporaryDirectory(prefix="raydd-rerun-") as temporary:
        folder = Path(temporary)
        now = {}
        for iteration, accuracy in anew(study, number, folder, last):
            now[iteration] = accuracy
            if on_evaluation is not None:
                on_evaluation(iteration, dict(then).get(iteration, float("nan")), accuracy)
        evaluations = [(iteration, accuracy, now.get(iteration)) for iteration, accuracy in then]
        made = [DistilledSet.load(found) for found in folder.glob("attempts/*/distilled.safetensors")]
    same = [one for one in made if one.manifest["iteration"] == last]
    return Rerun(
        evaluations,
        (digest(held), digest(same[0]) if same else ""),
        (facts(held), facts(same[0]) if same else facts(held)),
    )


def anew(study: Study, number: int, folder: Path, last: int) -> Iterator[tuple[int, float]]:
    """Run the trial in `folder`, with the study's threads, up to iteration `last`: iteration and accuracy of every
    evaluation.
    """
    from trainables.run import TrialRun

    trial = TrialRun(study.folder, number, folder=folder)
    trial.stop_sign = StopSign(folder)  # whoever stopped the study, or this trial, did not mean this
    row = {"done": False, "evaluated": 0, "iteration": -1}
    while not row["done"] and not (row["evaluated"] and row["iteration"] >= last):
        row = trial.next_report()
        if row["evaluated"]:
            yield int(row["iteration"]), float(row["val_accuracy"])


def digest(distilled: DistilledSet) -> str:
    """sha256 of the stored pixels, and of the regions where the set has any."""
    found = hashlib.sha256(distilled.pixels.contiguous().numpy().tobytes())
    if distilled.boxes is not None:
        found.update(distilled.boxes.contiguous().numpy().tobytes())
    return found.hexdigest()


def facts(distilled: DistilledSet) -> dict[str, str]:
    """What may explain another outcome, by name."""
    found: dict[str, str] = {}
    for name in FACTS:
        value = distilled.manifest.get(name)
        found |= (
            {key: str(one) for key, one in value.items()} if isinstance(value, dict) else {name: str(value)}
        )
    return found
