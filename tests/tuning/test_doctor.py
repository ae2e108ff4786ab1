"""`raydd doctor`: each look on the real machine, and what it says where something is really missing."""

import json

import pytest
from click.testing import CliRunner

from raydd import compiling
from raydd.cli import main
from raydd.errors import TrackingError
from raydd.tuning.doctor import check, cluster_nodes, machine, store
from raydd.tuning.tracking import Tracker


def one(checks):
    (found,) = checks
    return found


def test_what_this_machine_has_is_ok():
    for look in (machine.python, machine.packages, machine.torch_works):
        found = one(look())
        assert (found.status, found.remedy) == ("ok", "")
    assert "torch " in one(machine.packages()).found
    assert "computes on" in one(machine.torch_works()).found


def test_a_missing_compiler_is_a_warning_with_the_package_to_install(monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("on a GPU no C++ compiler is needed")
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiling.obstacle.cache_clear()
    try:
        found = one(machine.compiler())
    finally:
        compiling.obstacle.cache_clear()
    assert found.status == "warning"
    assert "no-such-compiler (named by CXX) is not on PATH" in found.found
    assert "apt install g++" in found.remedy


def test_disks_are_measured_where_folders_will_lie(tmp_path):
    found = {each.name: each for each in machine.disks(tmp_path / "not" / "made")}
    assert str(tmp_path / "not" / "made") in found["disk of the home"].found
    assert not (tmp_path / "not").exists()
    assert {"disk of the home", "disk of the cache", "disk of temporary files"} <= set(found)


def test_a_cache_that_is_a_file_fails_with_the_variable_that_moves_it(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path / "file"))
    found = one(check.guarded("data cache", machine.data_cache, "let RAYDD_CACHE name another"))
    assert found.status == "FAILED"
    assert str(tmp_path / "file") in found.found


def test_an_exception_is_a_failure_and_hides_passwords():
    def look():
        raise OSError("cannot reach postgresql://ada:secret@db/mlflow")
        yield

    found = one(check.guarded("tracking", look, "look at the log"))
    assert (found.status, found.remedy) == ("FAILED", "look at the log")
    assert "secret" not in found.found
    assert "ada" in found.found


def test_optunas_journal_is_written_and_read():
    assert one(store.journal()).status == "ok"


def test_ray_without_a_token_is_a_warning(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert list(cluster_nodes.token_set()) == []
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert one(cluster_nodes.token_set()).status == "warning"


def test_a_cluster_that_is_not_there_fails_with_what_to_start(tmp_path):
    found = one(
        check.guarded("ray", lambda: cluster_nodes.ray_works(tmp_path, "127.0.0.1:9"), "see the logs")
    )
    assert found.status == "FAILED"
    assert "no Ray cluster answers at 127.0.0.1:9" in found.found
    assert "ray start --head" in found.remedy


def test_a_server_that_is_not_there_fails(tmp_path):
    found = one(
        check.guarded("tracking", lambda: store.tracking("http://127.0.0.1:9", tmp_path), "see the log")
    )
    assert found.status == "FAILED"
    assert "does not answer" in found.found


def test_reading_does_not_make_a_store(tmp_path):
    with pytest.raises(TrackingError, match="there is no such file"):
        with Tracker.reading(f"sqlite:///{tmp_path}/mlflow.db"):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_store_that_is_not_made_yet_is_tried_out_and_left_unmade(tmp_path):
    home = tmp_path / "home"
    found = one(store.tracking(f"sqlite:///{home}/mlflow.db", home))
    assert found.status == "ok"
    assert "(new)" in found.found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_the_command_goes_on_after_a_failure_and_leaves_with_1(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")  # a trial compilation would take most of the time
    compiling.obstacle.cache_clear()
    flags = [
        "--home",
        str(tmp_path / "home"),
        "--tracking-uri",
        "http://127.0.0.1:9",
        "--address",
        "127.0.0.1:9",
    ]
    done = CliRunner().invoke(main, ["doctor", *flags, "--json"])
    assert done.exit_code == 1
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert found["python"]["status"] == "ok"
    assert found["compiler"]["status"] == "warning"
    assert found["ray"]["remedy"].startswith("start one with `ray start --head`")
    assert found["ray"]["status"] == found["tracking"]["status"] == "FAILED"
    assert not (tmp_path / "home").exists()
    compiling.obstacle.cache_clear()


@pytest.mark.integration
def test_a_ray_of_its_own_is_started_and_each_node_asked(tmp_path):
    found = {each.name: each for each in cluster_nodes.ray_works(tmp_path / "home", None)}
    node = next(each for name, each in found.items() if name.startswith("node "))
    assert {each.status for each in found.values()} == {"ok"}
    assert "1 node, " in found["ray"].found
    assert f"writes into {tmp_path / 'home'}" in node.found
    assert not (tmp_path / "home").exists()
