from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.variants import Variant

torch.set_num_threads(1)  # threads of tiny tensors only wait for each other


@pytest.fixture(scope="session")
def eager() -> Variant:
    return Variant("fp32, eager")


@pytest.fixture
def settings() -> dict[str, Any]:
    """Matching on a problem of three classes with networks of a tenth of their width."""
    return {
        "classes": 3,
        "size": 32,
        "per_class": 12,
        "test_per_class": 20,
        "ipc": 3,
        "batch_real": 8,
        "width": 12,
        "extractor_width": 8,
        "pool_size": 2,
        "lr_img": 1.0,
        "momentum": 0.5,
        "lambda_cc": 0.05,
        "lambda_cm": 0.01,
    }
