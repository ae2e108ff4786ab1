"""HTML from Python values: whatever is not `Markup` already is escaped, so that no name or message can break out."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

VOID = ("img", "meta", "br", "hr", "input")


class Markup(str):
    """Text that is HTML already."""


def text(value: Any) -> Markup:
    """`value` as HTML text."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """Parts one after the other, `between` them plain text; None is left out."""
    return Markup(html.escape(between).join(text(part) for part in parts if part is not None))


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element; `class_` and `data_value` become `class` and `data-value`, attributes that are None are left out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")


def prose(sentences: str) -> Markup:
    """Text in which what stands between backticks is code."""
    return join(
        tag("code", part) if index % 2 else text(part) for index, part in enumerate(sentences.split("`"))
    )


def paragraphs(lines: Iterable[Any], class_: str | None = None) -> Markup:
    """A paragraph for every line."""
    return join(tag("p", line, class_=class_) for line in lines if line)


def facts(pairs: Iterable[tuple[Any, Any]]) -> Markup:
    """A list of names with what there is to say of each."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str | None = None,
    sortable: bool = False,
    right: Iterable[str] = (),
) -> Markup:
    """A table in a box that scrolls by itself where it is too wide.

    Args:
        columns: titles.
        rows: cells; a pair (shown, value) is sorted by `value`, which may be None: those come last.
        caption: what one sees.
        sortable: whether a click on a title sorts.
        right: titles of columns of numbers.
    """
    numbers = [column in set(right) for column in columns]
    head = [
        tag(
            "th",
            tag("button", title, type="button") if sortable else title,
            scope="col",
            class_="n" if number else None,
            aria_sort="none" if sortable else None,
        )
        for title, number in zip(columns, numbers)
    ]
    body = [tag("tr", *(_cell(cell, number) for cell, number in zip(row, numbers))) for row in rows]
    inner = tag(
        "table",
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_="sortable" if sortable else None,
    )
    box = tag("div", inner, class_="wide", tabindex="0", role="region", aria_label=caption or "table")
    return join([box, tag("p", caption, class_="caption") if caption else None])


def _cell(cell: Any, number: bool) -> Markup:
    shown, value = cell if isinstance(cell, tuple) else (cell, None)
    key = "" if value is None else str(value)
    return tag("td", shown, class_="n" if number else None, data_v=key if isinstance(cell, tuple) else None)


def script_json(value: Any) -> Markup:
    """JSON that may stand inside a `<script>`: NaN is null, and no `<` can end it."""
    return Markup(
        json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
