"""How long the command line takes to say what it can do."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.machine import ROOT

SCRIPT = ROOT / "benchmarks" / "reference" / "help.py"


class CommandWork(Work):
    """A command in a process of its own, from its start to its end."""

    def __init__(self, command: list[str], settings: Settings) -> None:
        self.command = command

    def run(self) -> None:
        """Run it."""
        subprocess.run(self.command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _raydd() -> list[str]:
    script = Path(sys.executable).with_name("raydd")
    return [str(script)] if script.exists() else [sys.executable, "-m", "raydd"]


CASES = (
    Case(
        name="cli-help",
        module=__name__,
        title="`raydd --help`; the reference is a script that imports torch, numpy and scipy at its top",
        unit="command",
        sides=(
            Side(REFERENCE, partial(CommandWork, [sys.executable, str(SCRIPT), "--help"])),
            Side("raydd --help", partial(CommandWork, [*_raydd(), "--help"])),
        ),
        full={},
        quick={},
        warmups=1,
    ),
)
