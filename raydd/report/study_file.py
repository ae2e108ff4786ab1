"""The commented `study.yaml` of `raydd init`: fields with their meaning, ranges beside what is published."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.table import Table
from rich.text import Text

from raydd import wording
from raydd.config import StudyConfig
from raydd.report.plain import plain
from raydd.tuning.studies import without_password

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from raydd.registry import Context, Method

WIDTH = 110
# Differ from machine to machine, or are found when the study starts: shown, but left to the environment.
COMMENTED = {"name", "home", "data.root", "resources.assets", "tracking.uri"}
BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def render(
    config: StudyConfig, method: Method, context: Context, distributions: Mapping[str, BaseDistribution]
) -> str:
    """YAML text that `raydd search` accepts as it is.

    Args:
        config: values to write; fields of `COMMENTED` are written as comments.
        method, context: whose hyperparameters are explained.
        distributions: what the method searches for this context, as `raydd.tuning.space.searched` gives it.
    """
    lines = [
        f"# {method.title}",
        f"# {method.reference}",
        "# Start it with `raydd search FILE`; flags of `raydd search` win over this file. Any line may be left out.",
        "",
    ]
    lines += _fields(without_password(config), "")
    explained = [f"  # {line}".rstrip() for line in _hyperparameters(method, context, distributions)]
    section = lines.index("search:") + 1
    return "\n".join([*lines[:section], *explained, "", *lines[section:], ""])


def _fields(model: BaseModel, path: str) -> list[str]:
    indent = "  " if path else ""
    docs = _docs(type(model))
    lines: list[str] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            lines += ["", f"{name}:", *_fields(value, f"{name}.")]
            continue
        if name in docs:
            lines += [f"{indent}# {line}" for line in textwrap.wrap(docs[name], WIDTH - 4)]
        commented = "# " if path + name in COMMENTED else ""
        lines.append(f"{indent}{commented}{name}: {_inline(value)}".rstrip())
    return lines


def _inline(value: Any) -> str:
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _docs(model: type[BaseModel]) -> dict[str, str]:
    """Meaning of each field, from the `Attributes:` of the model's docstring and of its bases'."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        doc = inspect.cleandoc(base.__doc__ or "") if issubclass(base, BaseModel) else ""
        _, _, attributes = doc.partition("Attributes:\n")
        for entry in re.split(r"\n(?= {4}\S)", attributes):
            names, colon, meaning = entry.strip().partition(":")
            if colon:
                words = re.sub(r"\bNone\b", "null", " ".join(meaning.split()))
                found.update(dict.fromkeys(names.split(", "), words))
    return found


def _hyperparameters(
    method: Method, context: Context, distributions: Mapping[str, BaseDistribution]
) -> list[str]:
    model = method.hyperparameters
    defaults = method.defaults(context).model_dump()
    points = method.points(context)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("hyperparameter", no_wrap=True)
    for title in ("allowed", "searched by default"):
        table.add_column(title, no_wrap=True)
    table.add_column("trial 0", no_wrap=True)
    for number in range(1, len(points) + 1):
        table.add_column(f"published {number}", no_wrap=True)
    names = [name for name in model.model_fields if name in distributions]
    names += [name for name in distributions if name not in model.model_fields]
    names += [name for name in model.model_fields if name not in distributions]
    for name in names:
        field = model.model_fields.get(name)
        row = [
            name,
            wording.NOTHING if field is None else allowed(field),
            _range(distributions[name]) if name in distributions else "not searched",
            *(
                wording.value(point[name]) if name in point else wording.NOTHING
                for point in (defaults, *points)
            ),
        ]
        table.add_row(*(Text(cell) for cell in row))
    docs = _docs(model)
    return [
        f"The hyperparameters of {method.name} for {context.dataset} at {context.ipc} images per class.",
        f"Trial 0: {method.default_name(context)}.",
        "`fix: {name: value}` holds one at a value in every trial; `range: {name: LOW..HIGH}` or",
        "`range: {name: [a, b]}` narrows what is searched.",
        "",
        *plain(table).splitlines(),
        "",
        *(f"{name}: {docs[name]}" for name in names if name in docs),
    ]


def allowed(field: FieldInfo) -> str:
    """What a field of a hyperparameter model allows: `>= 0, < 1`, `sum | hinge_exp`, or its type."""
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not type(None)]
    constraints = list(field.metadata)
    for number, kind in enumerate(kinds):
        if get_origin(kind) is Annotated:  # bounds inside `Annotated[...] | None` stay with their type
            kinds[number], *inner = get_args(kind)
            for item in inner:
                constraints += item.metadata if isinstance(item, FieldInfo) else [item]
    if get_origin(kinds[0]) is Literal:
        return " | ".join(str(choice) for choice in get_args(kinds[0]))
    bounds = [
        f"{sign} {getattr(constraint, name):g}"
        for constraint in constraints
        for name, sign in BOUNDS.items()
        if getattr(constraint, name, None) is not None
    ]
    return ", ".join(bounds) or " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return " | ".join(str(choice) for choice in distribution.choices)
    scale = " (log)" if distribution.log else ""
    ends = [end if isinstance(end, int) else f"{end:.3g}" for end in (distribution.low, distribution.high)]
    return f"{ends[0]}..{ends[1]}{scale}"
