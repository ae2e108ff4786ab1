from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test decodes into a cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RAYDD_CACHE", str(folder))
    return folder / "decoded"


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Write class folders of random PNG files: `pictures({"train/cat": 3, ...}, size=(8, 8), mode="RGB")`."""

    def write(
        counts: Mapping[str, int], size: tuple[int, int] = (8, 8), mode: str = "RGB", name: str = "pets"
    ) -> Path:
        rng = np.random.default_rng(7)
        root = tmp_path / name
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{index:03d}.png")
        return root

    return write
