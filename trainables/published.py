"""Methods whose space and published settings are a module of `search_spaces`: all of raydd's own."""

from __future__ import annotations

from types import ModuleType
from typing import Generic, TypeVar

from pydantic import BaseModel

from raydd.registry import Context, Method, Scalar, Suggests

Numbers = TypeVar("Numbers", bound=BaseModel)


class PublishedMethod(Method, Generic[Numbers]):
    """A method that looks up its space, its settings and their names.

    Attributes:
        spaces: module with `space(trial, context)`, `points(context)` and `published_for(context)`.
        model: model of every number of the method.
    """

    spaces: ModuleType
    model: type[Numbers]

    @property
    def hyperparameters(self) -> type[Numbers]:
        """Model of every number of the method."""
        return self.model

    def defaults(self, context: Context) -> Numbers:
        """Published setting that trial 0 uses, then `context.fixed`."""
        values, _ = self.spaces.published_for(context)
        return self.model.model_validate({**values, **context.fixed})

    def default_name(self, context: Context) -> str:
        """What trial 0 is called in tables."""
        return str(self.spaces.published_for(context)[1])

    def points(self, context: Context) -> list[dict[str, Scalar]]:
        """Published settings for exactly this dataset and IPC."""
        return list(self.spaces.points(context))

    def space(self, trial: Suggests, context: Context) -> dict[str, Scalar]:
        """Draw what is searched; see the method's module in `search_spaces`."""
        return dict(self.spaces.space(trial, context))
