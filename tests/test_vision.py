from __future__ import annotations

import subprocess
import sys

import torch

from raydd import vision


def test_utils_makes_a_grid():
    images = torch.arange(4, dtype=torch.float32).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    grid = vision.utils().make_grid(images, nrow=2, padding=0)
    assert grid.shape == (3, 4, 4)
    assert grid[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_datasets_and_models_are_there():
    assert vision.datasets().CIFAR10.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
    net = vision.models().resnet18(weights=None, num_classes=10)
    assert sum(p.numel() for p in net.parameters()) == 11_181_642


def test_an_import_that_failed_before_does_not_matter():
    # Where the compiled operators are there, the first import succeeds; the second must too.
    code = """
try:
    import torchvision
except RuntimeError:
    pass
from raydd import vision
vision.datasets()
import torch
print(hasattr(torch.ops.torchvision, "nms"), hasattr(torch.ops.torchvision, "qnms"))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "True True"


def test_importing_the_module_imports_no_torch():
    code = "import sys; import raydd.vision; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
