"""Where and how the rows of the table are measured: data, budget, device, and the networks that stand beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table.plan import BUDGET, TEACHERS, Row
from raydd import devices, files, jobs, load_data, registry
from raydd.distillation.baselines import feature_network
from raydd.evaluation import protocols
from raydd.storage import AssetStore

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raydd.data import DataSplits
    from raydd.registry import AssetSpec, Context, Method

SMALL = 5_000
"""Training images below which networks are trained more epochs, for as many steps, and ResNets are narrow."""
SMALL_EPOCHS = 200
"""Of the judge and of IID's pool on small data: a thousand steps on digits, as for the baselines of a study."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where and how all rows are measured.

    Attributes:
        data: the dataset.
        home: folder of assets and target banks.
        compute: device, precision and path.
        settings: see `settings_of`; all that the results depend on beside the row, the seed and the assets' weights.
    """

    data: DataSplits
    home: Path
    compute: devices.Compute
    settings: Mapping[str, Any]

    @property
    def assets(self) -> AssetStore:
        """Assets, and beside them the banks."""
        return AssetStore(self.home / "assets", self.data, self.compute)

    def numbers(self, row: Row) -> tuple[Method, Context, BaseModel]:
        """The method whose recipe a row is evaluated with, its context and its hyperparameters."""
        method = registry.get(row.method or row.like)
        values = {
            **({"net": self.settings["net"]} if row.family is None else self.teacher(row)),
            **row.values,
        }
        if row.method == "iid":
            values |= self.settings["pool"]
        if "idm" in (row.method, row.values.get("base")):
            values |= self.settings["queue"]
        if row.method in ("idc", "udd") and self.settings["idc_lr_img"] is not None:
            values["lr_img"] = self.settings["idc_lr_img"]
        if row.method == "udd":
            values["proxy_epochs"] = self.settings["feature_epochs"]
            values["proxy_net"] = self.settings["net"]
        context = jobs.context_of(
            method,
            self.data,
            ipc=row.ipc,
            iterations=self.settings["iterations"],
            fixed=values,
            precision=self.compute.precision,
            compiled=self.compute.compiled,
        )
        return method, context, jobs.resolve(method, context, values)

    @property
    def judge(self) -> AssetSpec:
        """The network that selects real images and that mUE is told by; of UDD's rows it is the proxy as well."""
        return feature_network(self.settings["net"], self.data, self.settings["feature_epochs"])

    def judged(self, row: Row) -> bool:
        """Whether mUE is told of a row's set."""
        return row.method in ("idc", "udd")

    def make_assets(self, row: Row) -> dict[str, str]:
        """Train what a row needs where it is not there, which is no part of the row's time.

        Returns:
            The sha256 of each asset's weights, by the asset's name.
        """
        method, context, _ = self.numbers(row)
        specs = [*method.assets(context)]
        if self.judged(row) or row.selection == "herding":
            specs.append(self.judge)
        found = {}
        for spec in specs:
            self.assets.get(spec)
            record = self.assets.record(spec)
            found[f"{spec.kind}-{record['key'][:16]}"] = record["sha256"]
        return found

    def teacher(self, row: Row) -> dict[str, Any]:
        """What a row's hyperparameters say of its teacher."""
        assert row.family is not None
        chosen = self.settings["teachers"][row.family]
        return {"teacher": chosen["net"], "teacher_epochs": chosen["epochs"]}

    def net(self, row: Row) -> str:
        """The network that is trained on a row's set."""
        return str(self.settings["net"] if row.family is None else self.teacher(row)["teacher"])

    def protocol(self, row: Row) -> str:
        """Name of the protocol that networks are trained by on a row's set."""
        method, context, _ = self.numbers(row)
        return method.protocol_for(context)

    def images(self, row: Row) -> int:
        """Images that a network is trained on."""
        if row.method is None:
            return self.data.classes * row.ipc
        method, context, numbers = self.numbers(row)
        return method.training_images(context, numbers.model_dump())

    def steps(self, row: Row) -> int:
        """Optimisation steps of a network trained on the row's set for the budget's epochs."""
        recipe = protocols.get(self.protocol(row)).recipe("", self.settings["epochs"])
        return recipe.epochs * math.ceil(self.images(row) / recipe.batch)


def settings_of(
    data: DataSplits,
    net: str,
    changed: Mapping[str, Any],
    teachers: Mapping[str, str],
    precision: str,
    compiled: bool,
) -> dict[str, Any]:
    """The plan's budget as it is for this data.

    Args:
        data: the dataset.
        net: that is matched, judges and is evaluated where there is no teacher.
        changed: entries of `BUDGET` (or `feature_epochs`) that were asked for; None is the plan's.
        teachers: architectures that were asked for, by family.
        precision, compiled: of all networks.
    """
    small = len(data.train) < SMALL
    squeezed = {
        family: {"net": one.small_net, "epochs": one.small_epochs}
        if small
        else {"net": one.net, "epochs": one.epochs}
        for family, one in TEACHERS.items()
    }
    return {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "net": net,
        **BUDGET,
        **(
            {"feature_epochs": SMALL_EPOCHS, "pool": {**BUDGET["pool"], "pool_epochs": SMALL_EPOCHS}}
            if small
            else {}
        ),
        **{name: value for name, value in changed.items() if value is not None},
        "teachers": {
            family: {**one, "net": teachers.get(family, one["net"])} for family, one in squeezed.items()
        },
        "precision": precision,
        "compiled": compiled,
    }


def prepare(
    data: str,
    dataset: str | None,
    net: str,
    changed: Mapping[str, Any],
    teachers: Mapping[str, str],
    precision: str,
    compiled: bool,
    home: str,
) -> Bench:
    """Data, budget and device of a table; `dataset` names a folder's images, the others are `settings_of`'s."""
    splits = load_data(data, verify=True)
    if dataset:
        splits = dataclasses.replace(splits, name=dataset)
    devices.prepare_process(devices.threads_alone())
    settings = settings_of(splits, net, changed, teachers, precision, compiled)
    compute = devices.Compute(devices.resolve("auto"), precision, compiled)
    return Bench(splits, files.absolute(home), compute, settings)
