"""A real PostgreSQL and, on it, the tracking server of deploy/server; skipped where PostgreSQL is not installed."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from raydd.tuning.tracking import Tracker

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "a long password"
PLACES = ["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin"]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def binaries():
    """Folder of PostgreSQL's programs, or the reason why there are none to use."""
    found = shutil.which("initdb")
    folders = [*([str(Path(found).parent)] if found else []), *PLACES]
    folder = next(
        (each for each in folders if Path(each, "initdb").exists() and Path(each, "postgres").exists()), None
    )
    if folder is None:
        pytest.skip("PostgreSQL is not installed (initdb and postgres)")
    for module in ("psycopg2", "flask_wtf"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (raydd[server])")
    return Path(folder)


class Postgres:
    """A PostgreSQL cluster of its own, on loopback, with a password."""

    def __init__(self, folder, programs):
        self.folder, self.programs, self.port = folder, programs, free_port()
        self.process = None
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user is not None:
            try:
                entry = pwd.getpwnam(self.user)
            except KeyError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
            os.chown(folder, entry.pw_uid, entry.pw_gid)

    def start(self):
        password = self.folder / "password"
        password.write_text("secret%of@it")
        password.chmod(0o644)
        data = self.folder / "data"
        who = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        made = subprocess.run(
            [
                self.programs / "initdb",
                "-D",
                data,
                "-U",
                "raydd",
                "-A",
                "scram-sha-256",
                f"--pwfile={password}",
            ],
            capture_output=True,
            text=True,
            cwd=self.folder,
            **who,
        )
        assert made.returncode == 0, made.stderr
        command = [
            self.programs / "postgres",
            "-D",
            data,
            "-k",
            self.folder,
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **who)
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(Exception):
                self.query("select 1")
                return
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.2)

    def connect(self, database="postgres"):
        import psycopg2

        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user="raydd", password="secret%of@it", dbname=database
        )

    def query(self, text, database="postgres"):
        with contextlib.closing(self.connect(database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else None

    def database(self, name):
        """A new, empty database, and its address."""
        self.query(f"create database {name}")
        return f"postgresql+psycopg2://raydd:secret%25of%40it@127.0.0.1:{self.port}/{name}"

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # at once, without writing everything out
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Server:
    """The tracking server of deploy/server on one database; its processes end with it."""

    def __init__(self, folder, database):
        self.folder, self.database, self.port = folder, database, free_port()
        self.process = None

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **changes):
        chosen = {
            "RAYDD_SERVER_DATABASE": self.database,
            "RAYDD_SERVER_ARTIFACTS": str(self.folder / "artifacts"),
            "RAYDD_SERVER_STATE": str(self.folder / "state"),
            "RAYDD_SERVER_PORT": str(self.port),
            "RAYDD_SERVER_WORKERS": "1",
            "RAYDD_SERVER_PYTHON": sys.executable,
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "0123456789abcdef" * 2,
        } | changes
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RAYDD_"))}
        return kept | {key: value for key, value in chosen.items() if value is not None}

    def start(self):
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [ROOT / "deploy" / "server" / "start.sh"],
                stdout=log,
                stderr=log,
                env=self.settings(),
                start_new_session=True,
            )
        end = time.monotonic() + 240
        while self.status("/health") != 200:
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < end, (self.folder / "server.log").read_text()[-3000:]
            time.sleep(0.5)

    def kill(self):
        """End all of its processes at once, in the middle of whatever they do."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def status(self, path, user=None, password=None):
        import base64

        request = urllib.request.Request(self.uri + path)
        if user is not None:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None


NAMES = [f"loss/{number}" for number in range(9)] + ["val_accuracy"]


def value(study, trial, step, name):
    """A figure that belongs to one place alone."""
    return float(((study * 100 + trial) * 1000 + step) * 10 + NAMES.index(name))


class Studies:
    """Studies that log at once, each through a tracker of its own, as so many drivers do.

    Args:
        server: see `conftest`.
        postgres: its database.
        experiment: name of theirs.
        studies, trials, steps: how many; each step has a report of ten figures.
    """

    def __init__(self, server, postgres, experiment, *, studies, trials, steps):
        self.server, self.postgres, self.experiment = server, postgres, experiment
        self.studies, self.trials, self.steps = studies, trials, steps
        self.trackers = [Tracker(server.uri, experiment, artifact_root=None) for _ in range(studies)]

    @property
    def points(self):
        return self.studies * self.trials * self.steps * len(NAMES)

    def log(self, study, pause):
        tracker, name = self.trackers[study], f"{self.experiment}-{study}"
        tags = {"raydd.study": name}
        tracker.open_study(name, params={"study": study}, tags=tags, description="", dataset={})
        for trial in range(self.trials):
            tracker.open_trial(trial, params={"lr_img": trial}, tags=tags)
        for step in range(self.steps):
            for trial in range(self.trials):
                tracker.log_trial(trial, {name: value(study, trial, step, name) for name in NAMES}, step)
            time.sleep(pause)
        for trial in range(self.trials):
            tracker.close_trial(trial, "complete")
        tracker.close_study()

    def run(self, *, pause, meanwhile=lambda: None, patience=300):
        Tracker.preflight(self.server.uri, self.experiment, None)
        drivers = [threading.Thread(target=self.log, args=(study, pause)) for study in range(self.studies)]
        for driver in drivers:
            driver.start()
        meanwhile()
        for driver in drivers:
            driver.join()
        assert all(tracker.flush(patience) for tracker in self.trackers), [t.problems for t in self.trackers]
        for tracker in self.trackers:
            tracker.close(30)
        assert [tracker.problems for tracker in self.trackers] == [[] for _ in self.trackers]

    def stored(self):
        """How many points the database holds of these studies now."""
        query = f"""
            select count(*) from metrics m join runs r using (run_uuid)
            join experiments e on e.experiment_id = r.experiment_id where e.name = '{self.experiment}'
        """
        return self.postgres.query(query, "mlflow")[0][0]

    def check(self):
        """Every point is there once, with its value, in a run of its own that is closed."""
        rows = self.postgres.query(
            f"""
            select s.value, t.value, m.key, m.step, m.value from metrics m join runs r using (run_uuid)
            join experiments e on e.experiment_id = r.experiment_id
            join tags s on s.run_uuid = r.run_uuid and s.key = 'raydd.study'
            join tags t on t.run_uuid = r.run_uuid and t.key = 'raydd.trial'
            where e.name = '{self.experiment}'
            """,
            "mlflow",
        )
        assert len(rows) == self.points
        found = {(study, int(trial), key, step): figure for study, trial, key, step, figure in rows}
        assert len(found) == self.points  # nothing twice
        for study in range(self.studies):
            for trial in range(self.trials):
                for step in range(self.steps):
                    for name in NAMES:
                        place = (f"{self.experiment}-{study}", trial, name, step)
                        assert found[place] == value(study, trial, step, name)
        ended = self.postgres.query(
            f"""
            select r.status, count(*) from runs r join experiments e on e.experiment_id = r.experiment_id
            where e.name = '{self.experiment}' group by r.status
            """,
            "mlflow",
        )
        assert ended == [("FINISHED", self.studies * (self.trials + 1))]


@pytest.fixture(scope="session")
def postgres():
    programs = binaries()
    folder = Path(
        tempfile.mkdtemp(prefix="raydd-postgres-")
    )  # pytest's own folders are closed to other users
    cluster = Postgres(folder, programs)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(postgres, tmp_path_factory):
    """The recipe's server, started once; `server.uri` wants a login."""
    made = Server(tmp_path_factory.mktemp("server"), postgres.database("mlflow"))
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def login(monkeypatch):
    """Log this process in as the administrator."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(name="studies")
def studies_fixture(server, postgres, login):
    """`studies(experiment, studies=8, trials=5, steps=50)`: studies that log at once into the server."""

    def make(experiment, **counts):
        return Studies(server, postgres, experiment, **counts)

    return make
