"""Two workers of one machine: one decodes, the other waits, and the pages of the pixels are there once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WORKER = """
import json, logging, sys
import numpy as np
from raydd.data import load_data
from raydd.data.images import MappedImages

said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logger = logging.getLogger("raydd.data.decode")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
print("ready", flush=True)
sys.stdin.readline()
data = load_data(sys.argv[1])
total = sum(int(images.sum()) for part in (data.train, data.val, data.test) for images, _ in part.iterate(256))
print("read", flush=True)
sys.stdin.readline()
kilobytes, inside = {}, False
for line in open("/proc/self/smaps"):
    if "-" in line.split()[0] and ":" not in line.split()[0]:
        inside = line.rstrip().endswith("pixels.npy")
    elif inside:
        name, amount = line.split()[:2]
        if amount.isdigit():
            kilobytes[name.rstrip(":")] = kilobytes.get(name.rstrip(":"), 0) + int(amount)
print(json.dumps({"decoded": len(said), "total": total, "smaps": kilobytes}), flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="this system does not tell whose pages are whose"
)
def test_two_workers_decode_once_and_share_the_pages_of_the_pixels(pictures: Callable[..., Path]) -> None:
    root = pictures({"cat": 220, "dog": 220}, size=(48, 48))
    command = [sys.executable, "-c", WORKER, str(root)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = []
    try:
        for step in ("ready", "read", "answer"):  # together, so that both find nothing decoded at first
            lines = [worker.stdout.readline().strip() for worker in workers]  # type: ignore[union-attr]
            if step == "answer":
                answers = [json.loads(line) for line in lines]
            else:
                assert lines == [step, step]
            for worker in workers:
                worker.stdin.write("\n")  # type: ignore[union-attr]
                worker.stdin.flush()  # type: ignore[union-attr]
    finally:
        for worker in workers:
            worker.communicate(timeout=60)
    assert sorted(answer["decoded"] for answer in answers) == [0, 1]
    assert answers[0]["total"] == answers[1]["total"]
    pixels = 440 * 3 * 48 * 48 / 1024  # KiB
    for answer in answers:
        pages = answer["smaps"]
        assert pages["Rss"] >= pixels
        assert pages["Shared_Clean"] + pages["Shared_Dirty"] == pages["Rss"]
        assert pages["Private_Clean"] + pages["Private_Dirty"] == 0
        assert pages["Pss"] <= pages["Rss"] / 2 + 4
