"""Kinds of failures, and when a trial is tried again."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import torch

from raydd import failures
from raydd.errors import ArtifactError


def too_much_memory() -> None:
    torch.empty(2**50, dtype=torch.uint8)


def test_an_allocation_that_fails_for_real_is_a_failure_of_memory() -> None:
    with pytest.raises(RuntimeError) as found:
        too_much_memory()
    assert failures.kind_of(found.value) == "memory"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), "disk"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk"),
        (RuntimeError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"), "disk"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), "error"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "error"),
        (ArtifactError("the teacher's memory of out of memory"), "error"),
        (ValueError("x"), "error"),
    ],
)
def test_kinds_of_errors(error: Exception, kind: str) -> None:
    assert failures.kind_of(error) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.", "lost"),
        ("The actor 90ca is unavailable: RpcError: RPC error: Socket closed rpc_code: 14.", "lost"),
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", "memory"),
        (
            "ray.exceptions.RayTaskError(ValueError): ray::DistillTrainable.train()\nValueError: nothing",
            "error",
        ),
    ],
)
def test_kinds_of_what_ray_says(text: str, kind: str) -> None:
    assert failures.kind_of_text(text) == kind


def failed(*kinds: str, at: int = 0) -> list[dict[str, Any]]:
    return [{"kind": kind, "why": kind, "iteration": at} for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "gives_up"),
    [
        ((), False),
        (("error",), True),
        (("memory",), False),
        (("memory", "memory"), True),
        (("lost",) * 9, False),
        (("lost",) * 10, True),
        (("lost", "memory", "lost"), False),
        (("memory", "lost", "memory"), False),
    ],
)
def test_a_trial_is_tried_again_as_often_as_its_failure_deserves(
    kinds: tuple[str, ...], gives_up: bool
) -> None:
    assert (failures.verdict(failed(*kinds), 0) is not None) == gives_up


def test_a_trial_that_got_farther_has_its_attempts_again() -> None:
    assert failures.verdict(failed("memory", "memory", at=3), 9) is None
    assert (
        failures.verdict(failed("memory", "memory", "memory", at=3), 9) is not None
    )  # that checkpoint is damaged
    assert failures.verdict(failed("error", at=3), 9) is not None
    assert failures.verdict(failed("disk", "disk"), 0) is None
    assert failures.verdict([*failed("lost", "lost", at=3), *failed("lost", "lost", at=9)], 9) is None


def test_a_reason_is_the_same_whatever_its_numbers() -> None:
    first = failures.reason("memory", "tried to allocate 20.5 GiB at 0x7f3a")
    assert first == failures.reason("memory", "tried to allocate 3 GiB at 0x11")
    assert first != failures.reason("error", "tried to allocate 20.5 GiB at 0x7f3a")


def test_a_sentence_is_one_line_with_the_errors_name() -> None:
    assert failures.sentence(ValueError("one\ntwo")) == "ValueError: one"
    assert failures.sentence(KeyError()) == "KeyError"
    assert failures.sentence(ArtifactError("the file x is missing")) == "the file x is missing"


def wrapped(cause: Exception) -> Exception:
    """As those raise it who say where it was met."""
    try:
        try:
            raise cause
        except OSError as error:
            raise ArtifactError(f"cannot write x: {error.strerror}") from None
    except ArtifactError as error:
        return error


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, "disk"), (errno.EDQUOT, "disk"), (errno.EROFS, "error")]
)
def test_a_full_disk_is_found_behind_what_is_said_of_it(number: int, kind: str) -> None:
    assert failures.kind_of(wrapped(OSError(number, "", "x"))) == kind
