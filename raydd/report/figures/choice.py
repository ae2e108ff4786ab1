"""What a person may choose about a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raydd.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """Choices for one kind of figure.

    Attributes:
        kind: of the figure, for messages.
        names: hyperparameters by axis, `x` and `y`.
        replicates: those to draw; empty draws all.
        seed: of t-SNE and of which real images are shown.
    """

    kind: str
    names: dict[str, str] = field(default_factory=dict)
    replicates: tuple[int, ...] = ()
    seed: int = 0

    def needed(self, axis: str) -> str:
        """The hyperparameter of an axis.

        Raises:
            ConfigError: it is not named.
        """
        if axis not in self.names:
            raise ConfigError(
                f"--{axis}: figure {self.kind} needs the name of a swept hyperparameter, got none"
            )
        return self.names[axis]

    def one(self, studies: Sequence[Any]) -> Sequence[Any]:
        """The studies, which must be one.

        Raises:
            ConfigError: there are more.
        """
        if len(studies) != 1:
            raise ConfigError(
                f"figure {self.kind} is of one study, got {len(studies)}: {', '.join(one.name for one in studies)}"
            )
        return studies
