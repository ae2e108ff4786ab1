from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from raydd import config, registry
from raydd.registry import Context
from raydd.report import study_file
from raydd.tuning.space import searched


def render(method, dataset="cifar10", ipc=10, **values):
    chosen = registry.get(method)
    context = Context(dataset, 3, 32, 10, ipc, 20_000)
    study = config.build({"method": method, "ipc": ipc, "iterations": 20_000, **values})
    return study, study_file.render(study, chosen, context, searched(chosen, context))


@pytest.mark.parametrize("method", registry.names())
def test_it_reads_back_as_the_configuration_that_was_written(method):
    study, text = render(method, seed=3, confirm={"nets": ["convnet", "resnet18"], "half_width": 0.01})
    assert config.build(yaml.safe_load(text)) == study


def test_every_field_is_explained():
    _, text = render("iid")
    lines = text.splitlines()
    for number, line in enumerate(lines):
        name = line.strip().removeprefix("# ").partition(":")[0]
        if name.isidentifier() and line.startswith("  ") and not line.strip().startswith("#"):
            assert lines[number - 1].strip().startswith("#"), line


def cells(text, name):
    return next(line.split() for line in text.splitlines() if line.split()[:2] == ["#", name])[2:]


def test_allowed_range_search_range_and_published_values_stand_side_by_side():
    _, text = render("iid")
    assert cells(text, "lambda_cc") == [">=", "0", "0.0001..1", "(log)", "0.05", "0.05"]
    assert cells(text, "cc_form") == ["sum", "|", "hinge_exp", "sum", "|", "hinge_exp", "sum", "sum"]
    assert cells(text, "momentum") == [">=", "0,", "<", "1", "not", "searched", "0.5", "-"]
    assert "# Trial 0: published setting." in text


def test_integers_are_printed_as_integers_and_one_choice_as_that():
    study = config.build({"method": "dwa", "iterations": 1000})
    method, context = registry.get("dwa"), Context("cifar10", 3, 32, 10, 10, 1000)
    text = study_file.render(study, method, context, searched(method, context))
    assert cells(text, "recover_iterations")[:5] == [">=", "1", "250..1000", "(log)", "1000"]
    assert cells(text, "k")[:3] == [">=", "1", "1..20"]
    assert cells(text, "rho")[:6] == [">=", "0,", "<=", "1", "0.001..0.05", "(log)"]
    assert cells(text, "ids_at_once")[:3] == ["1", "not", "searched"]


def test_where_nothing_is_published_it_says_what_is_carried_over():
    _, text = render("iid", dataset="digits")
    assert "# Trial 0: CIFAR-10's published setting, carried over." in text
    assert cells(text, "lambda_cc") == [">=", "0", "0.0001..1", "(log)", "0.05"]


def test_at_ipc_1_only_the_step_size_is_searched():
    _, text = render("iid", ipc=1)
    assert "not searched" in " ".join(cells(text, "lambda_cc"))
    assert "not searched" not in " ".join(cells(text, "lr_img"))


def test_allowed_spells_bounds_choices_and_types():
    class Model(BaseModel):
        """A model."""

        a: Annotated[float, Field(gt=0, le=2.5)] = 1.0
        b: Literal["x", "y"] = "x"
        c: Annotated[int, Field(ge=1)] | None = None
        d: str = ""

    spelled = {name: study_file.allowed(field) for name, field in Model.model_fields.items()}
    assert spelled == {"a": "> 0, <= 2.5", "b": "x | y", "c": ">= 1", "d": "str"}
