"""Addresses of tracking stores: which are allowed, how they are shown without secrets, and how the UI opens."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from raydd.errors import TrackingError

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https", "databricks")
SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
HIDDEN = "***"

_USER_PASSWORD = re.compile(r"(\w://)([^\s/@:'\"]*):([^\s/'\"]*)@")
_HTTP_TOKEN = re.compile(r"(https?://)[^\s/@:'\"]+@", re.I)
_NAMED_SECRET = re.compile(
    r"((?:password|passwd|token|secret|api[-_]?key)[\"']?\s*[=:]\s*)([^\s&;,'\"]+)", re.I
)


def redact(text: str) -> str:
    """`text` without passwords: those inside addresses, those after `password=` or `token=`, and MLflow's own.

    >>> redact("postgresql://ada:secret@db.example/mlflow")
    'postgresql://ada:***@db.example/mlflow'
    """
    text = _USER_PASSWORD.sub(r"\1\2:***@", text)
    text = _HTTP_TOKEN.sub(r"\1***@", text)
    text = _NAMED_SECRET.sub(r"\1***", text)
    for variable in SECRET_VARIABLES:
        secret = os.environ.get(variable, "")
        for spelling in {secret, quote(secret, safe="")}:
            if len(spelling) >= 4:  # a shorter one would be found inside ordinary words
                text = text.replace(spelling, "***")
    return text


def restored(uri: str) -> str:
    """The address that a study was begun with, from the one that it saved, which has no password in it.

    The password is taken from MLFLOW_TRACKING_URI, where that is the same address. A server may be given
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, instead.

    Raises:
        TrackingError: none of them is set, or MLFLOW_TRACKING_URI is another address.
    """
    if redact(uri) != uri or HIDDEN not in uri:
        return uri
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if HIDDEN not in given and redact(given) == uri:
        return given
    if scheme(uri) in ("http", "https"):
        named = os.environ.get("MLFLOW_TRACKING_USERNAME") and os.environ.get("MLFLOW_TRACKING_PASSWORD")
        if named or os.environ.get("MLFLOW_TRACKING_TOKEN"):
            return re.sub(r"//[^/@]*@", "//", uri)
    other = f", which is {redact(given)} now," if given else ""
    login = ", or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" if is_server(uri) else ""
    raise TrackingError(
        f"tracking.uri: the password of {uri} is not saved with the study; set MLFLOW_TRACKING_URI{other} to this "
        f"address with its password{login}"
    )


def chosen(given: str | None, home: str) -> str:
    """Address of the store of a command without a study: as given, else MLFLOW_TRACKING_URI, else the home's file."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(home) / 'mlflow.db'}"


def scheme(uri: str) -> str:
    """First word of the address without its driver: `postgresql` of `postgresql+psycopg2://...`."""
    return uri.partition(":")[0].partition("+")[0].lower() if ":" in uri else uri.lower()


def is_server(uri: str) -> bool:
    """Whether a server answers at `uri` and keeps the artifacts, so that no local folder is needed."""
    return scheme(uri) in SERVERS


def sqlite_path(uri: str) -> Path | None:
    """File of an absolute sqlite address; None for every other kind of store."""
    if scheme(uri) != "sqlite":
        return None
    return Path(unquote(uri.partition("://")[2].partition("?")[0][1:]))


def check(uri: str) -> None:
    """Refuse addresses that cannot work from another working directory, or not at all.

    Raises:
        TrackingError: a folder or `file:` store, a relative or in-memory sqlite file, an unknown kind.
    """
    shown = redact(uri)
    kind = scheme(uri)
    if kind in SERVERS:
        if kind != "databricks" and not urlsplit(uri).hostname:
            raise TrackingError(f"tracking.uri: {shown!r} names no host; write http://HOST:PORT")
        return
    if kind == "sqlite":
        path = sqlite_path(uri)
        assert path is not None
        if not path.is_absolute() or path.name in ("", ":memory:"):
            absolute = (Path.cwd() / (path.name or "mlflow.db")).as_posix()
            raise TrackingError(
                f"tracking.uri: {shown!r} must be an absolute sqlite file, such as sqlite:///{absolute}"
            )
        return
    if kind in DATABASES:
        return
    if kind == "file" or ":" not in uri:
        raise TrackingError(
            f"tracking.uri: {shown!r} is a folder, and MLflow keeps no runs in folders any more; use "
            "sqlite:////absolute/path/mlflow.db or the http address of an MLflow server"
        )
    raise TrackingError(
        f"tracking.uri: {shown!r} is no tracking store; allowed are sqlite:////absolute/path/mlflow.db, "
        "postgresql+psycopg2://..., and the http address of an MLflow server"
    )


def ui_command(uri: str, port: int = 5000, *, workers: int = 1) -> list[str]:
    """Command line that serves the store `uri` on 127.0.0.1:`port`; not for a `uri` that is a server already.

    One worker and no job runners: the defaults of MLflow take 30 s and 3 GB to start. `env` carries the
    settings that MLflow reads from the environment only, and the address: arguments are seen by everybody.
    """
    return [
        "env",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false",
        "MLFLOW_DISABLE_TELEMETRY=true",
        f"MLFLOW_BACKEND_STORE_URI={uri}",
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
    ]


def ui_url(experiment_id: str, run_id: str, port: int = 5000, *, uri: str = "") -> str:
    """Address of the parent run in the UI: on 127.0.0.1:`port`, or on `uri` where that is a server."""
    base = f"http://127.0.0.1:{port}"
    if scheme(uri) in ("http", "https"):
        base = re.sub(r"//[^/]*@", "//", uri).rstrip("/")
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}"
