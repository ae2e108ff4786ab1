from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from raydd.errors import TrackingError
from raydd.tuning.store_uri import check, is_server, redact, restored, sqlite_path, ui_command, ui_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ada:geheim@host:5000/x", "https://ada:***@host:5000/x"),
        ("postgresql+psycopg2://ada:p@ss@db/mlflow", "postgresql+psycopg2://ada:***@db/mlflow"),
        ("https://ghp_0123@github.com/a/b", "https://***@github.com/a/b"),
        ("ssh://git@github.com/a/b", "ssh://git@github.com/a/b"),
        ("mysql://db/x?user=a&password=geheim&ssl=1", "mysql://db/x?user=a&password=***&ssl=1"),
        ("sqlite:////home/a b/mlflow.db", "sqlite:////home/a b/mlflow.db"),
        ("--set tracking.token=geheim --ipc 10", "--set tracking.token=*** --ipc 10"),
        (
            "failed: API request to http://u:geheim@h/api failed",
            "failed: API request to http://u:***@h/api failed",
        ),
    ],
)
def test_passwords_are_replaced_and_nothing_else(text, shown):
    assert redact(text) == shown


def test_mlflows_own_password_is_replaced_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pa/ss word")
    assert redact("server said: pa/ss word, or pa%2Fss%20word") == "server said: ***, or ***"


URI = "https://ada:***@host/x"


@pytest.mark.parametrize(
    ("saved", "environment", "used"),
    [
        ("http://127.0.0.1:5000", {}, "http://127.0.0.1:5000"),
        (URI, {"URI": "https://ada:geheim@host/x"}, "https://ada:geheim@host/x"),
        (URI, {"USERNAME": "ada", "PASSWORD": "geheim"}, "https://host/x"),
        (URI, {"TOKEN": "geheim"}, "https://host/x"),
        ("https://***@host/x", {"URI": "https://ghp_0123@host/x"}, "https://ghp_0123@host/x"),
        ("postgresql://ada:***@db/x", {"URI": "postgresql://ada:a*b@db/x"}, "postgresql://ada:a*b@db/x"),
        (
            "mysql://db/x?password=***",
            {"URI": "mysql://db/x?password=geheim"},
            "mysql://db/x?password=geheim",
        ),
    ],
)
def test_a_saved_address_gets_its_password_back_from_the_environment(monkeypatch, saved, environment, used):
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    assert restored(saved) == used


@pytest.mark.parametrize(
    ("saved", "given", "said"),
    [
        (URI, None, "set MLFLOW_TRACKING_URI to this address with its password, or MLFLOW_TRACKING_USERNAME"),
        (
            URI,
            "https://ada:geheim@other/x",
            "MLFLOW_TRACKING_URI, which is https://ada:***@other/x now, to this",
        ),
        (URI, URI, "which is https://ada:***@host/x now"),
        ("postgresql://ada:***@db/x", None, "to this address with its password$"),
    ],
)
def test_a_password_that_is_missing_is_asked_for_in_one_sentence(monkeypatch, saved, given, said):
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    if given:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    with pytest.raises(TrackingError, match=re.escape(said).replace(r"\$", "$")) as caught:
        restored(saved)
    assert str(caught.value).startswith(f"tracking.uri: the password of {saved} is not saved with the study")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////home/ada/mlflow.db",
        "postgresql+psycopg2://ada:x@db/mlflow",
        "mysql+pymysql://db/mlflow",
        "http://127.0.0.1:5000",
        "https://mlflow.example/prefix",
        "databricks",
        "databricks://profile",
    ],
)
def test_absolute_databases_and_servers_are_allowed(uri):
    check(uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:///mlflow.db", "must be an absolute sqlite file, such as sqlite:////"),
        ("sqlite://", "must be an absolute sqlite file"),
        ("sqlite:///:memory:", "must be an absolute sqlite file"),
        ("file:///home/ada/mlruns", "is a folder.*sqlite:////absolute/path/mlflow.db"),
        ("mlruns", "is a folder"),
        ("/home/ada/mlruns", "is a folder"),
        ("ftp://host/x", "is no tracking store; allowed are sqlite"),
        ("http://", "names no host"),
    ],
)
def test_other_addresses_are_refused_with_the_remedy(uri, said):
    with pytest.raises(TrackingError, match=said) as caught:
        check(uri)
    assert repr(uri) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_shows_no_password():
    with pytest.raises(TrackingError) as caught:
        check("ftp://ada:geheim@host/x")
    assert "geheim" not in str(caught.value)


def test_the_file_of_a_sqlite_address_is_found():
    assert sqlite_path("sqlite:////home/a b/mlflow.db?timeout=3") == Path("/home/a b/mlflow.db")
    assert sqlite_path("http://host") is None


def test_servers_keep_artifacts_and_databases_do_not():
    kinds = {
        uri: is_server(uri) for uri in ("http://h", "https://h", "databricks", "sqlite:////a", "mysql://h")
    }
    assert kinds == {
        "http://h": True,
        "https://h": True,
        "databricks": True,
        "sqlite:////a": False,
        "mysql://h": False,
    }


def test_the_ui_serves_loopback_only_and_keeps_the_address_out_of_the_arguments():
    command = ui_command("postgresql://ada:geheim@db/x", 5050)
    program = [word for word in command if "=" not in word]
    assert program == [
        *("env", sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", "5050", "--workers", "1"),
    ]
    assert "MLFLOW_BACKEND_STORE_URI=postgresql://ada:geheim@db/x" in command


def test_the_address_of_the_parent_run():
    assert ui_url("3", "abc", 5050) == "http://127.0.0.1:5050/#/experiments/3/runs/abc"
    assert ui_url("3", "abc", uri="https://u:p@host/m/") == "https://host/m/#/experiments/3/runs/abc"
