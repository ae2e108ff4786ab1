"""What is compared: the rows of the table, their settings, and what is published about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces import published_numbers

BUDGET: dict[str, Any] = {
    "iterations": 200,
    "epochs": 300,
    "repeats": 2,
    "queue": {"batch_real": 256, "net_generate_interval": 30},
    "pool": {"pool_net": "resnet18-w16", "pool_size": 2, "pool_epochs": 2},
    "feature_epochs": 30,
    "idc_lr_img": None,
}
"""For 2 cores; the papers' own: 20,000 iterations (IDC 200,000), 1000 epochs, 5 to 20 nets, a pool of 1000.

`queue` is IDM's real side at both IPCs; its authors take 5000 real images and an interval of 5 at IPC 1.
"""


@dataclass(frozen=True)
class Row:
    """One row of the table at one IPC.

    Attributes:
        name: unique within an IPC.
        ipc: images per class.
        method: that distils, or None for a selection of real images.
        selection: `random` or `herding` where `method` is None.
        values: hyperparameters that differ from the method's published or default setting.
        bases: names of the rows (same IPC) it is compared with, at equal optimisation steps.
        like: method whose evaluation recipe a selection is trained with, and whose teacher labels it.
        family: of the teacher and of the networks that are trained on the set, a name of `TEACHERS`; None for methods
            without one.
    """

    name: str
    ipc: int
    method: str | None = None
    selection: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    like: str = "dm"
    family: str | None = None


@dataclass(frozen=True)
class Squeeze:
    """A teacher of the table.

    Attributes:
        net, small_net: its specification; `small_net` on small data.
        epochs, small_epochs: of its training, for 2 cores.
    """

    net: str
    epochs: int
    small_net: str
    small_epochs: int = 100


TEACHERS = {
    "ResNet-18": Squeeze("resnet18-bn", 8, "resnet18-bn-w16"),
    "ConvNet": Squeeze("convnet-bn", 20, "convnet-bn"),
}
"""A set is evaluated with its teacher's architecture, as the papers do."""


def rows() -> list[Row]:
    """All rows, bases before what stands on them."""
    found: list[Row] = []
    for ipc in (1, 10):
        found += [
            Row("random real", ipc, selection="random"),
            Row("herding", ipc, selection="herding"),
            Row("random real, IDC's recipe", ipc, selection="random", like="idc"),
            Row("DM", ipc, "dm", bases=("random real",)),
        ]
        if ipc > 1:
            found.append(Row("IID on DM", ipc, "iid", bases=("DM",)))
        found += [
            Row("IDM", ipc, "idm", bases=("DM",)),
            Row("IID on IDM", ipc, "iid", values={"base": "idm"}, bases=("IDM",)),
            *gradient_rows(ipc),
            *soft_rows(ipc),
        ]
    return found


def soft_rows(ipc: int) -> list[Row]:
    """SRe2L and DWA, and real images with the same teachers' labels."""
    found: list[Row] = []
    for family in TEACHERS:
        random = f"random real, {family}'s labels"
        sre2l, real = f"SRe2L, {family}", f"SRe2L from real images, {family}"
        found += [
            Row(random, ipc, selection="random", like="dwa", family=family),
            Row(sre2l, ipc, "sre2l", bases=(random,), family=family),
            Row(real, ipc, "sre2l", values={"init": "real"}, bases=(sre2l,), family=family),
            Row(f"DWA, {family}", ipc, "dwa", bases=(sre2l, real, random), family=family),
        ]
    return found


def gradient_rows(ipc: int) -> list[Row]:
    """IDC and UDD."""
    two = "IDC factor 2"
    found = [
        Row(two, ipc, "idc", values={"factor": 2}, bases=("random real, IDC's recipe",)),
        Row("IDC factor 3", ipc, "idc", values={"factor": 3}, bases=(two,)),
        Row("IDC multi 3", ipc, "idc", values={"factor": 3, "decode": "multi"}, bases=(two,)),
    ]
    if ipc == 1:
        found.insert(0, Row("IDC-I", ipc, "idc", values={"factor": 1}, bases=("random real, IDC's recipe",)))
    policies = ("response", "jitter", "random", "most_used") if ipc == 1 else ("response", "jitter")
    for policy in policies:
        for cfc in (False, True) if ipc == 1 else (True,):
            name = f"UDD {policy}{', CFC' if cfc else ''}"
            bases = []
            if policy in ("response", "jitter"):
                bases += [two, "IDC factor 3", "IDC multi 3"]
                bases += [f"UDD random{', CFC' if cfc else ''}"] if ipc == 1 else []
            if policy == "random":
                bases.append(f"UDD most_used{', CFC' if cfc else ''}")
            if cfc and ipc == 1:
                bases.append(f"UDD {policy}")
            values = {"factor": 2, "policy": policy, "lambda_cfc": float(cfc)}
            found.append(Row(name, ipc, "udd", values=values, bases=tuple(bases)))
    return found


def published(dataset: str, ipc: int, row: Row) -> str:
    """What a row's paper publishes at its own budget, with its source; empty where there is nothing, or nothing like
    this row: one network a family, IDC without `multi`, UDD as its authors mean it.
    """
    if row.method is None or row.values.get("decode") == "multi" or row.values.get("init") == "real":
        return ""
    if row.method == "idc" and row.values["factor"] > 2:
        return ""
    if row.method == "udd" and (row.values["policy"], row.values["lambda_cfc"]) != ("response", 1.0):
        return ""
    base = {"base": "dm"} if row.method == "iid" else {}
    found = published_numbers.find(row.method, dataset, ipc, {**base, **row.values})
    return "; ".join(
        f"{number.text} ({', '.join(filter(None, (number.caution, number.source)))})"
        for number in found
        if row.family in (None, number.network)
    )
