"""A study's search space: the method's own define-by-run space, with some names fixed and some narrowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from raydd import jobs
from raydd.errors import SpaceError, unknown

if TYPE_CHECKING:
    from raydd.registry import Context, Method, Scalar, Suggests

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


class _Overlay:
    """Answers for fixed names itself, and narrows the others before it passes them on."""

    def __init__(
        self,
        trial: Suggests,
        fixed: Mapping[str, Scalar],
        ranges: Mapping[str, tuple[float, float] | Sequence[Scalar]],
    ) -> None:
        self.trial, self.fixed, self.ranges = trial, fixed, ranges

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if name in self.fixed:
            return float(self.fixed[name])
        low, high = self._narrow(name, low, high)
        return self.trial.suggest_float(name, low, high, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        if name in self.fixed:
            return int(self.fixed[name])
        narrow = self._narrow(name, low, high)
        return self.trial.suggest_int(name, int(narrow[0]), int(narrow[1]), log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self.fixed:
            return self.fixed[name]
        return self.trial.suggest_categorical(name, list(self.ranges.get(name, choices)))

    def _narrow(self, name: str, low: float, high: float) -> tuple[float, float]:
        narrowed = self.ranges.get(name)
        return (low, high) if narrowed is None else (float(narrowed[0]), float(narrowed[1]))


class _Recorder:
    """Answers every suggestion with its lowest value, except for forced ones, and notes what was asked."""

    def __init__(self, forced: Mapping[str, Any]) -> None:
        self.forced = forced
        self.seen: dict[str, BaseDistribution] = {}
        self.answers: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._answer(name, FloatDistribution(low, high, log=log))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return self._answer(name, IntDistribution(low, high, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name, CategoricalDistribution(choices))

    def _answer(self, name: str, distribution: BaseDistribution) -> Any:
        self.seen[name] = distribution
        self.answers[name] = self.forced.get(name, _lowest(distribution))
        return self.answers[name]


def _lowest(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low


def _branches(draw: Any) -> Iterator[tuple[dict[str, BaseDistribution], dict[str, Scalar]]]:
    """What every branch that categorical choices lead to asks for, and an example of what it draws."""
    pending: list[dict[str, Any]] = [{}]
    while pending:
        forced = pending.pop()
        recorder = _Recorder(forced)
        values = draw(recorder)
        yield recorder.seen, values
        for name, distribution in recorder.seen.items():
            if isinstance(distribution, CategoricalDistribution) and name not in forced:
                pending += [{**forced, name: choice} for choice in distribution.choices[1:]]
                forced = {**forced, name: distribution.choices[0]}


def searched(method: Method, context: Context) -> dict[str, BaseDistribution]:
    """Every name that the method's space may suggest for `context`, over all branches, with its distribution."""
    found: dict[str, BaseDistribution] = {}
    for seen, _ in _branches(lambda trial: method.space(trial, context)):
        found.update(seen)
    return found


def parse_range(name: str, value: str | Sequence[Scalar]) -> tuple[float, float] | list[Scalar]:
    """`LOW..HIGH` to a pair of floats, `a,b,c` or a list to a list of choices.

    Raises:
        SpaceError: neither form, or LOW is not below HIGH.
    """
    if not isinstance(value, str):
        choices = list(value)
    else:
        match = re.fullmatch(rf"\s*({NUMBER})\s*\.\.\s*({NUMBER})\s*", value)
        if match:
            low, high = float(match[1]), float(match[2])
            if low >= high:
                raise SpaceError(f"range of {name}: {value!r} has no room, LOW must be below HIGH")
            return low, high
        if ".." in value:
            raise SpaceError(f"range of {name}: {value!r} is not LOW..HIGH with two numbers")
        choices = [part.strip() for part in value.split(",") if part.strip()]
    if not choices:
        raise SpaceError(f"range of {name}: no choice is given; use LOW..HIGH or a,b,c")
    return choices


class StudySpace:
    """The space of one study: callable with an Optuna trial, importable and picklable.

    Args:
        method: the method.
        context: its context, with `fixed` and `measured` filled in.
        ranges: narrowed ranges by name, as in `SearchConfig.range`.

    Raises:
        SpaceError: a range for a name that is not searched or is fixed, of the wrong kind, or outside
            what the method allows.
    """

    def __init__(
        self, method: Method, context: Context, ranges: Mapping[str, str | Sequence[Scalar]]
    ) -> None:
        self.method = method
        self.context = context
        own = searched(method, context)
        self.ranges = {name: self._checked(name, value, own) for name, value in ranges.items()}
        self.distributions: dict[str, BaseDistribution] = {}
        for seen, _ in _branches(self):
            self.distributions.update(seen)

    def _checked(
        self, name: str, value: str | Sequence[Scalar], own: Mapping[str, BaseDistribution]
    ) -> tuple[float, float] | list[Scalar]:
        if name in self.context.fixed:
            raise SpaceError(
                f"range of {name}: it is fixed to {self.context.fixed[name]!r}; leave one of the two out"
            )
        if name not in own:
            raise SpaceError(f"range: {unknown(f'searched hyperparameter of {self.method.name}', name, own)}")
        if name not in self.method.hyperparameters.model_fields:
            raise SpaceError(
                f"range of {name}: {self.method.name} takes it from the data, so that it cannot be narrowed"
            )
        parsed = parse_range(name, value)
        distribution = own[name]
        if isinstance(distribution, CategoricalDistribution):
            by_text: dict[str, Any] = {str(choice): choice for choice in distribution.choices}
            if isinstance(parsed, tuple) or any(str(choice) not in by_text for choice in parsed):
                raise SpaceError(f"range of {name}: {value!r} must be some of {', '.join(by_text)}")
            return [by_text[str(choice)] for choice in parsed]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        if not isinstance(parsed, tuple):
            raise SpaceError(
                f"range of {name}: {value!r} must be LOW..HIGH, such as {distribution.low:g}..{distribution.high:g}"
            )
        for end in parsed:
            jobs.resolve(self.method, self.context, {name: end})
        if getattr(distribution, "log", False) and parsed[0] <= 0:
            raise SpaceError(
                f"range of {name}: {value!r} must start above 0, because it is searched on a log scale"
            )
        return parsed

    def __call__(self, trial: Suggests, held: Mapping[str, Scalar] | None = None) -> dict[str, Scalar]:
        """Draw the values of one trial; flat names as the method's hyperparameter model spells them.

        Args:
            trial: an Optuna trial, or anything that suggests like one.
            held: values that this one trial does not draw, such as a published value outside the range.
        """
        fixed = {**self.context.fixed, **(held or {})}
        return self.method.space(_Overlay(trial, fixed, self.ranges), self.context)

    def names_for(self, values: Mapping[str, Scalar]) -> list[str]:
        """Hyperparameters that the space would set, on the branch that `values` lead to; fixed ones left out."""
        drawn = self(_Recorder(values))
        return [name for name in drawn if name not in self.context.fixed]

    def split_point(self, values: Mapping[str, Scalar]) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
        """Divide a published point into what can be enqueued and what lies outside the narrowed space.

        Returns:
            (inside, outside): values that the space suggests and contains; values that it suggests with
            a range that excludes them.
        """
        inside: dict[str, Scalar] = {}
        outside: dict[str, Scalar] = {}
        for name, distribution in self._on_path(values).items():
            if name in values:
                contained = _contains(distribution, values[name])
                (inside if contained else outside)[name] = values[name]
        return inside, outside

    def held(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """What a point's own trial must not draw: values outside their range, and names that it leaves open."""
        recorder = _Recorder(values)
        self(recorder)
        _, outside = self.split_point(values)
        return {**outside, **{name: recorder.answers[name] for name in recorder.seen if name not in values}}

    def hyperparameters(self) -> set[str]:
        """Hyperparameters that the space sets on any branch; fixed ones left out."""
        return {name for _, values in _branches(self) for name in values} - set(self.context.fixed)

    def _on_path(self, values: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
        recorder = _Recorder(values)
        self(recorder)
        return recorder.seen


def _contains(distribution: BaseDistribution, value: Scalar) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return not isinstance(value, str) and distribution.low <= value <= distribution.high
