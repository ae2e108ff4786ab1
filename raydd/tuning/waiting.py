"""Waiting for Ray tasks of a study, which somebody may ask to stop meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from raydd.errors import StudyStopped
from raydd.storage.stop_sign import StopSign

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

LOOK = 1.0  # seconds between two looks at the stop sign


def first_done(ray: Any, study: Study, references: Iterable[Any]) -> Any:
    """The first of some tasks that ends; all are cancelled when the study is asked to stop.

    What the tasks have finished stays, and a resumed study goes on with the others.

    Raises:
        StudyStopped: the study was asked to stop.
    """
    pending, sign = list(references), StopSign(study.folder)
    while True:
        done, _ = ray.wait(pending, num_returns=1, timeout=LOOK)
        if done:
            return done[0]
        asked = sign.read()
        if asked is not None:
            for reference in pending:
                ray.cancel(reference, force=True)
            raise StudyStopped(asked["why"])
