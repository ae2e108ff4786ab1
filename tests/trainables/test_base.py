"""A trial, run without Ray: what it labels, and whose labels they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raydd import config as configuration
from raydd import files
from raydd.distillation import relabel
from raydd.errors import ArtifactError
from raydd.storage import DistilledSet
from raydd.tuning import tasks
from raydd.tuning.stages import check_assets
from raydd.tuning.studies import Study
from trainables import base, run

NET, TEACHER = "convnet-d1-w4", "convnet-d1-w4-bn"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    run._workbench.clear()
    tasks._jobs.clear()


def study_in(home: Path, **fix: Any) -> Study:
    """A study with a trained teacher and one trial that is about to begin."""
    values = {
        "method": "sre2l",
        "name": "first",
        "home": str(home),
        "ipc": 4,
        "iterations": 1,
        "search": {"fix": {"teacher": TEACHER, "teacher_epochs": 1, **fix}},
        "evaluation": {"net": NET, "epochs": 3, "repeats": 1, "device": "cpu"},
        "compile": "off",
    }
    study = Study.create(configuration.build(values), {})
    study.unlock()
    check_assets(study, [tasks.make_asset(study.folder, 0)])
    files.write_json(study.folder / "measured.json", {})
    drawn = {"number": 0, "source": "default", "searched": {}, "values": {"temperature": 12.0}, "seed": 0}
    files.write_json(study.trial_folder(0) / "hyperparameters.json", {**drawn, "iterations": 4})
    return study


def test_stored_labels_are_recorded_once_an_evaluation_for_the_studys_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_in(tmp_path, labels="stored")
    recorded = []
    original = relabel.replay_logits

    def counting(*arguments: Any, **named: Any) -> torch.Tensor:
        recorded.append(named["epochs"])
        return original(*arguments, **named)

    monkeypatch.setattr(relabel, "replay_logits", counting)
    trial = base.DistillTrainable({"study": str(study.folder), "number": 0, "session": 1})
    rows = [trial.step()]
    while not rows[-1]["done"]:
        rows.append(trial.step())
    assert rows[-1]["outcome"] == "complete"
    # the initial images, the two ids that the rung at a third waits for, and the end
    assert [row["progress"] for row in rows if row["evaluated"]] == [0.0, 0.5, 1.0]
    assert recorded == [3, 3, 3]
    study.trial_files(0).publish()
    made = DistilledSet.load(study.trial_folder(0) / "distilled.safetensors")
    assert (made.label_kind, made.recipe["net"], made.recipe["temperature"]) == ("stored", NET, 12.0)
    assert tuple(made.replay.shape) == (3, 40, 10)
    assert made.label_facts["replay"]["recipe"]["epochs"] == 3


def test_a_trial_stops_where_the_teacher_is_not_the_one_that_was_written_down(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    records = files.read_json(study.folder / "assets.json")
    files.write_json(study.folder / "assets.json", [{**records[0], "sha256": "ab" * 32}])
    with pytest.raises(ArtifactError, match="and the study began with abababababab; bring the old one back"):
        base.DistillTrainable({"study": str(study.folder), "number": 0, "session": 1})
