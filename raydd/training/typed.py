"""What kinds of value a field of JSON may have: files that come back may have become anything."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple: "a list of numbers",
    dict: "names with values",
}
"""The kinds, for people."""


def is_of(value: object, kind: type) -> bool:
    """Whether a value is of one of the kinds of `WORDS`; true and false are no numbers, whole numbers are numbers."""
    if kind is tuple:
        return isinstance(value, list | tuple) and all(is_of(each, float) for each in value)
    if kind is dict:
        return isinstance(value, Mapping)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
