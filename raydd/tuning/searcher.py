"""Ray's view of the Optuna study: asks for trials, tells their ends as what they are.

Ray's own OptunaSearch tells pruned trials as complete with their low-budget value and leaves diverged ones
running for ever. Here the Optuna number is the trial's identity, the journal in the study's folder is the
truth, and a trial that was interrupted stays RUNNING in it so that it can be continued as itself.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raydd import files
from raydd.errors import StudyError
from raydd.seeding import derive_seed

if TYPE_CHECKING:
    from raydd.registry import Scalar
    from raydd.tuning.space import StudySpace
    from raydd.tuning.studies import Study

STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True)
class Point:
    """A setting to run before anything is drawn.

    Attributes:
        values: hyperparameters that differ from the method's defaults, searched or not.
        source: `default`, `published`, `given` by the user, or `grid`.
        replicate: which run of these values it is; its seed is the study's and this.
    """

    values: Mapping[str, Scalar]
    source: str
    replicate: int = 0


def startup_trials(trials: int) -> int:
    """Random trials before TPE models anything, enqueued points counted: a quarter, within 2 to 10.

    >>> [startup_trials(trials) for trials in (4, 16, 100)]
    [2, 4, 10]
    """
    return min(max(trials // 4, 2), 10)


class WholeLines(JournalFileBackend):
    """A journal with one writer, whose last line a crash or a full disk may have cut off: such a line is taken away
    before the next is written, which would stand behind it and could never be read.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self.journal = journal
        # Optuna's lock, which a killed writer leaves; the study's own lock keeps out a second one.
        journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, a line each."""
        with self.journal.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            if file.read(1) not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        super().append_logs(logs)


def open_optuna(journal: Path, name: str) -> optuna.Study:
    """The Optuna study in `journal`, made if it is not there; maximises. Whoever has it writes alone."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(WholeLines(journal))
    return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)


def read_optuna(journal: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    """All trials of the study in `journal`, by number, without writing; none where there is no journal."""
    if not journal.exists():
        return []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    try:
        return optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    except KeyError:  # it was just begun
        return []


def check_journal(study: Study) -> None:
    """Refuse to go on from a journal that was lost, or is older than the trials, because they would be begun again.

    Raises:
        StudyError: which trials it does not know.
    """
    lost = set(study.numbers()) - {trial.number for trial in read_optuna(study.journal, study.name)}
    if lost:
        raise StudyError(
            f"study {study.name!r} has trials that its {study.journal} does not know ({_listed(lost)}); bring that "
            "file back as it was, or start a new study with --warm-start"
        )


def _listed(numbers: Iterable[int]) -> str:
    first = sorted(numbers)
    return ", ".join(map(str, first[:5])) + (f" and {len(first) - 5} more" if len(first) > 5 else "")


def write_missing_ends(study: Study, known: list[optuna.trial.FrozenTrial]) -> None:
    """Give trials that were told an end, and whose driver died before it wrote it down, their end."""
    ends = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    for trial in known:
        folder = study.trial_folder(trial.number)
        if trial.state in ends and folder.exists() and not (folder / "end.json").exists():
            unknown = "the driver died before it wrote down why" if trial.state == TrialState.FAIL else ""
            end = {"outcome": ends[trial.state], "why": "", **trial.user_attrs.get("end", {})}
            study.write_end(trial.number, end["outcome"], end["why"] or unknown)


class StudySearcher(Searcher):
    """Hands out the trials of one study, unfinished ones first.

    Args:
        study: the study's folder.
        space: the narrowed space.
        trials: total number of trials, finished ones included.
        points: settings that come first; the first one is trial 0.
        sampler: `tpe`, `random`, or `grid`, which draws nothing: all its trials are points.
        seed: the study's seed.
        iterations: length of a full trial, or a function of its values that says it.
        session: number of this driver's session.
    """

    def __init__(
        self,
        study: Study,
        space: StudySpace,
        *,
        trials: int,
        points: list[Point],
        sampler: str,
        seed: int,
        iterations: int | Callable[[Mapping[str, Scalar]], int],
        session: int = 0,
    ) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self.study, self.space, self.total = study, space, trials
        self.sampler, self.seed, self.iterations, self.session = sampler, seed, iterations, session
        self.optuna = open_optuna(study.journal, study.name)
        known = self.optuna.get_trials(deepcopy=False)
        write_missing_ends(study, known)
        self.unfinished = [trial.number for trial in known if trial.state == TrialState.RUNNING]
        # Points are always the first trials, in this order: those of a study that is asked for more trials stay
        # those that it was begun with, though a quarter of its trials may now be more published settings.
        if sampler == "grid":
            self.points = [point for point in points if not any(begun(trial, point) for trial in known)]
        else:
            saved = self.optuna.user_attrs.get("points")
            if saved is None:
                self.optuna.set_user_attr("points", [asdict(point) for point in points])
            else:
                points = [Point(**point) for point in saved]
            self.points = points[len(known) :]
        self.added: list[dict[str, Any]] = []  # of which those that were run before are skipped
        self.added_run = sum("added" in trial.user_attrs for trial in known)
        # A trial that waits was enqueued by a driver that died before it asked; `ask` will return it.
        self.waiting = sum(trial.state == TrialState.WAITING for trial in known)
        self.asked = len(known) - self.waiting
        self.live: dict[str, optuna.Trial] = {}
        self.closed = ""  # why no further trial is begun
        self.valued = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in known)

    def left(self) -> int:
        """Trials that are still to be started or continued."""
        return len(self.unfinished) + max(0, self.total - self.asked)

    def close(self, why: str) -> None:
        """Begin no further trial; those that run are not touched. The first reason stays."""
        self.closed = self.closed or why

    # -- Ray's hooks -----------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's number and folder; None while more may be asked for; else FINISHED."""
        if self.closed:
            return Searcher.FINISHED
        self._take_in_extensions()
        if self.unfinished:
            number = self.unfinished.pop(0)
            self._set_sampler(number)
            trial = optuna.Trial(self.optuna, self.optuna.get_trials(deepcopy=False)[number]._trial_id)
            if not (self.study.trial_folder(number) / "hyperparameters.json").exists():
                self._draw(trial)  # the driver died between asking and writing down
        elif self.asked < self.total:
            trial = self._ask()
            self.asked += 1
        else:
            return None if self.live else Searcher.FINISHED
        self.live[trial_id] = trial
        return {"study": str(self.study.folder), "number": trial.number, "session": self.session}

    def _take_in_extensions(self) -> None:
        """More trials, and points to run next, may be asked for at any time."""
        extensions = self.study.extensions()
        asked = [row["changed"]["search.trials"] for row in extensions if "search.trials" in row["changed"]]
        self.total = max([self.total, *asked[-1:]])
        self.added = [row["added"] for row in extensions if "added" in row]

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Record an evaluation as Optuna's intermediate value, step = iteration."""
        self._report(self.live[trial_id], result)

    def _report(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        value = result.get("val_accuracy", math.nan)
        if result.get("evaluated") and math.isfinite(value):
            step = int(result["iteration"])
            known = self.optuna.get_trials(deepcopy=False)[trial.number].intermediate_values
            if step not in known:
                trial.report(float(value), step)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the end of a trial; a trial without a result was never run and stays as it is."""
        trial = self.live.pop(trial_id, None)
        if trial is None or (result is None and not error):
            return
        outcome = "failed" if error else outcome_of(result or {})
        if result is not None:
            self._report(trial, result)
        if outcome == "interrupted":
            # It stays RUNNING in the journal, to be continued as itself. Its worker may have seen the stop sign before
            # the driver, and a trial that were drawn now would be drawn without what this one is going to tell.
            self.close("a trial was interrupted")
            return
        value = float(result["val_accuracy"]) if outcome == "complete" and result else None
        if value is not None and not math.isfinite(value):
            outcome, value = "diverged", None
        # The journal first: a trial that has an end on disk is never handed out again.
        why = str((result or {}).get("why", ""))
        trial.set_user_attr("end", {"outcome": outcome, "why": why})
        self.optuna.tell(trial.number, value, STATES[outcome], skip_if_finished=True)
        if outcome != "failed":  # the callback knows why a trial failed, and writes its end
            self.study.write_end(trial.number, outcome, why)
        self.valued += STATES[outcome] in (TrialState.COMPLETE, TrialState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal is the state."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the journal is the state."""

    # -- drawing ---------------------------------------------------------------------------------------

    def _set_sampler(self, number: int) -> None:
        # A sampler of its own for every trial: what is drawn depends on the number and on the told
        # trials, not on how often this process was restarted.
        seed = derive_seed(self.seed, "sampler", number) & 0xFFFFFFFF
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group`
            self.optuna.sampler = (
                optuna.samplers.TPESampler(
                    seed=seed, n_startup_trials=startup_trials(self.total), multivariate=True, group=True
                )
                if self.sampler == "tpe"
                else optuna.samplers.RandomSampler(seed=seed)
            )

    def _ask(self) -> optuna.Trial:
        self._set_sampler(self.asked)
        modelled = self.sampler == "tpe" and self.valued >= startup_trials(self.total)
        if self.waiting:
            self.waiting -= 1
        elif self.points:
            point = self.points.pop(0)
            inside, _ = self.space.split_point(point.values)
            held = self.space.held(point.values)
            attributes: dict[str, Any] = {"source": point.source, "values": dict(point.values), "held": held}
            if point.replicate:
                attributes["replicate"] = point.replicate
            self.optuna.enqueue_trial(inside, user_attrs=attributes)
        elif self.added_run < len(self.added):
            self._enqueue_added(self.added[self.added_run])
            self.added_run += 1
        trial = self.optuna.ask()
        if "source" not in trial.user_attrs:
            trial.set_user_attr("source", "model" if modelled else "startup")
        self._draw(trial)
        return trial

    def _enqueue_added(self, values: Mapping[str, Scalar]) -> None:
        held = self.space.held(values)
        attributes = {"source": "added", "values": dict(values), "held": held, "added": self.added_run}
        self.optuna.enqueue_trial(self.space.split_point(values)[0], user_attrs=attributes)

    def _draw(self, trial: optuna.Trial) -> None:
        attributes = trial.user_attrs
        drawn = self.space(trial, attributes.get("held"))
        values = {**drawn, **attributes.get("values", {})}
        fixed = self.space.context.fixed
        length = self.iterations({**values, **fixed}) if callable(self.iterations) else self.iterations
        replicate = int(attributes.get("replicate", 0))
        files.write_json(
            self.study.trial_folder(trial.number) / "hyperparameters.json",
            {
                "number": trial.number,
                "source": attributes.get("source", "startup"),
                "searched": {name: value for name, value in values.items() if name not in fixed},
                "values": {**values, **fixed},
                "iterations": length,
                "seed": self.seed + replicate,
                **({"replicate": replicate} if self.sampler == "grid" else {}),
            },
        )


def begun(trial: optuna.trial.FrozenTrial, point: Point) -> bool:
    """Whether a trial of the journal is that of a point."""
    attributes = trial.user_attrs
    same = attributes.get("source") == point.source and attributes.get("values") == dict(point.values)
    return bool(same and attributes.get("replicate", 0) == point.replicate)


def outcome_of(result: Mapping[str, Any]) -> str:
    """What a trial that ended without an error ended as: its own word, or `pruned` by the scheduler."""
    return str(result.get("outcome") or "pruned")
