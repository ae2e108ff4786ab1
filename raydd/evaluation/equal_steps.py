"""Sets of different size compared fairly: after equally many optimisation steps of the networks trained on them.

At equal epochs a network trained on four views of every image takes up to four times the steps of one trained on
the images themselves; what it gains by that is no merit of the set.
"""

from __future__ import annotations

from raydd.evaluation import protocols


def optimisation_steps(protocol: str, epochs: int | None, images: int) -> int:
    """SGD steps of one network that is trained on `images` images; `epochs` None is the protocol's E.

    Raises:
        ConfigError: an unknown protocol, or `epochs` is below 1.
    """
    recipe = protocols.get(protocol).recipe("", epochs)
    return recipe.epochs * protocols.steps_per_epoch(recipe, images)


def other_epochs(protocol: str, epochs: int | None, images: int, steps: int) -> int | None:
    """The E that comes nearest to `steps` on `images` images; None if that is `epochs` itself (None: the protocol's).

    Raises:
        ConfigError: an unknown protocol, or a number below 1.
    """
    chosen = protocols.get(protocol)
    nearest = chosen.epochs_near(steps, images)
    return None if nearest == (chosen.epochs if epochs is None else epochs) else nearest
