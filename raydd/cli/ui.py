"""`raydd ui`: the MLflow UI of a study's tracking store, on this machine only."""

from __future__ import annotations

import click

from raydd.cli import options
from raydd.errors import ConfigError, StageFailed, StudyError

EPILOG = options.examples("raydd ui first", "raydd ui first --port 5050 --no-browser")

START_SECONDS = 120.0  # the first start of MLflow on a cold disk takes half a minute
POLL_SECONDS = 0.2
HOST = "127.0.0.1"
DEFAULT_PORT = 5000


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--port", type=click.IntRange(1, 65535), help="Port.  [default: 5000, or the next free one]")
@click.option("--no-browser", is_flag=True, help="Print the address and leave the browser alone.")
@options.home
def ui(name: str, port: int | None, no_browser: bool, home: str | None) -> None:
    """Run the MLflow UI on 127.0.0.1 until Ctrl-C, and print the address of study NAME's parent run."""
    import webbrowser

    from raydd.tuning import Study
    from raydd.tuning.store_uri import restored, scheme, ui_command, ui_url

    study = Study.open(options.home_folder(home), name)
    links = study.links()
    if links is None:
        raise StudyError(f"study {name!r} has no tracking run yet; it has not been started, or could not log")
    if scheme(links["uri"]) in ("http", "https"):  # somebody's server, which runs already
        address = ui_url(links["experiment_id"], links["run_id"], uri=links["uri"])
        click.echo(address)
        if not no_browser:
            webbrowser.open(address)
        return
    port = _port(port)
    address = ui_url(links["experiment_id"], links["run_id"], port)
    _serve(ui_command(restored(links["uri"]), port), port, address, browser=not no_browser)


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _port(asked: int | None) -> int:
    if asked is None:
        return next(
            (port for port in range(DEFAULT_PORT, DEFAULT_PORT + 100) if _is_free(port)), DEFAULT_PORT
        )
    if not _is_free(asked):
        raise ConfigError(f"--port: {asked} is in use or not allowed; leave it out to take a free one")
    return asked


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.settimeout(POLL_SECONDS)
        return probe.connect_ex((HOST, port)) == 0


def _serve(command: list[str], port: int, address: str, *, browser: bool) -> None:
    """Run the server until it or we are told to stop; its own noise is shown only if it dies."""
    import os
    import signal
    import subprocess
    import sys
    import tempfile
    import time
    import webbrowser

    # SIGTERM must end the server as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # A shell starts its background jobs with SIGINT ignored, which Python would keep to.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryFile("w+") as log:
        # A session of its own: Ctrl-C reaches us alone, and we end all of the server's processes.
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = log.read().strip().splitlines()[-1:] or ["it said nothing"]
                    raise StageFailed(f"the MLflow UI did not start: {said[0]}")
                time.sleep(POLL_SECONDS)
            click.echo(f"{address}\nCtrl-C stops the UI")
            if browser:
                webbrowser.open(address)
            server.wait()
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
        finally:
            try:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(timeout=10)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
