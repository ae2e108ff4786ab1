"""What is sent into a run, by whom, and that nothing is sent twice."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raydd.tuning.artifacts import RECORD, Artifacts
from raydd.tuning.mlflow_limits import TAG


@dataclasses.dataclass
class Store:
    """What an MLflow client does for artifacts, in memory."""

    kept: dict[str, bytes] = dataclasses.field(default_factory=dict)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    away: bool = False

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(tags=dict(self.tags)))

    def list_artifacts(self, run_id: str, folder: str | None) -> list[Any]:
        found = [path for path in self.kept if (str(Path(path).parent) == (folder or "."))]
        return [SimpleNamespace(path=path, is_dir=False) for path in found]

    def log_artifact(self, run_id: str, file: str, folder: str | None) -> None:
        if self.away:
            raise ConnectionError
        path = Path(file)
        self.kept[f"{folder}/{path.name}" if folder else path.name] = path.read_bytes()

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        assert len(value) <= TAG
        self.tags[key] = value


class Carrier:
    """Carries into a store, or refuses."""

    def __init__(self, store: Store, why: str = "") -> None:
        self.store, self.why, self.taken = store, why, 0

    def take(self, run_id: str, sent: Any, node: str) -> Any:
        if not node:
            return None
        self.taken += 1
        return dict(sent)

    def failed(self, ticket: Any, timeout: float) -> str:
        if not self.why:
            self.store.kept |= {path: file.read_bytes() for path, file in ticket.items()}
        return self.why


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "grid.png"
    path.write_bytes(b"first")
    return path


def test_a_file_is_sent_once_and_again_when_it_has_changed(picture: Path) -> None:
    store = Store()
    artifacts = Artifacts(lambda: store)
    for content, sent in ((b"first", 1), (b"first", 1), (b"other", 2)):
        picture.write_bytes(content)
        artifacts.upload("run", {"distilled/grid.png": picture, "missing.txt": picture.parent / "missing"})
        assert (artifacts.sent, store.kept) == (sent, {"distilled/grid.png": content})
    assert set(json.loads(store.tags[RECORD])) == {"distilled/grid.png"}


def test_another_process_sends_what_is_not_there_and_what_was_deleted_there(picture: Path) -> None:
    store = Store()
    sent = {"distilled/grid.png": picture, "grid.png": picture}
    Artifacts(lambda: store).upload("run", sent)
    second = Artifacts(lambda: store)
    second.upload("run", sent)
    assert second.sent == 0
    del store.kept["grid.png"]
    third = Artifacts(lambda: store)
    third.upload("run", sent)
    assert (third.sent, set(store.kept)) == (1, set(sent))


def test_an_upload_that_broke_off_is_made_up_for_by_the_next(picture: Path) -> None:
    store = Store(away=True)
    artifacts = Artifacts(lambda: store)
    with pytest.raises(ConnectionError):
        artifacts.upload("run", {"grid.png": picture})
    store.away = False
    artifacts.upload("run", {"grid.png": picture})
    assert (artifacts.sent, store.kept) == (1, {"grid.png": b"first"})


def test_files_of_a_node_are_sent_there_and_those_of_no_node_here(picture: Path) -> None:
    store = Store()
    artifacts = Artifacts(lambda: store)
    artifacts.carrier = carrier = Carrier(store)
    artifacts.upload("run", {"grid.png": picture}, "a node")
    assert (carrier.taken, store.kept) == (1, {})
    artifacts.upload("run", {"study.yaml": picture})
    assert (carrier.taken, set(store.kept)) == (1, {"study.yaml"})
    artifacts.settle("run")
    assert store.kept == {"grid.png": b"first", "study.yaml": b"first"}
    assert set(json.loads(store.tags[RECORD])) == {"grid.png", "study.yaml"}


@pytest.mark.parametrize("gone", [False, True])
def test_what_a_node_could_not_send_is_sent_here_as_often_as_it_takes(picture: Path, gone: bool) -> None:
    store = Store()
    artifacts = Artifacts(lambda: store)
    artifacts.carrier = Carrier(store, why="no login there")
    artifacts.upload("run", {"grid.png": picture}, "a node")
    if gone:  # its Ray has ended
        artifacts.carrier = None
    store.away = True
    with pytest.raises(ConnectionError):
        artifacts.settle("run")
    store.away = False
    artifacts.settle_all()
    assert store.kept == {"grid.png": b"first"}


def test_of_more_files_than_a_tag_can_name_the_rest_is_sent_again(tmp_path: Path) -> None:
    store = Store()
    many = {f"report/{'long' * 10}{number}.png": tmp_path / str(number) for number in range(300)}
    for number, path in enumerate(many.values()):
        path.write_text(str(number))
    Artifacts(lambda: store).upload("run", many)
    named = len(json.loads(store.tags[RECORD]))
    assert 100 < named < 300
    second = Artifacts(lambda: store)
    second.upload("run", many)
    assert second.sent == 300 - named
    assert len(store.kept) == 300
