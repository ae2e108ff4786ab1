"""torchvision, imported here and nowhere else, also where its compiled operators are missing.

A CPU build of torch beside the registry's torchvision cannot load torchvision's C++ library, and then
`import torchvision` fails because two operators that it describes do not exist. They are declared here,
without a kernel, so that datasets, models, transforms and utils work; detection operators do not.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@functools.cache
def _declare_missing_operators() -> torch.library.Library | None:
    """Declare what torchvision's own library does not define; the result must stay alive, hence the cache."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    for folder in spec.submodule_search_locations or () if spec else ():
        for library in sorted(Path(folder).glob("_C.*")):
            with contextlib.suppress(OSError, ImportError):
                torch.ops.load_library(library)
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        declared.define(_SCHEMAS[name])
    return declared


def _import(module: str) -> ModuleType:
    _declare_missing_operators()
    return importlib.import_module(module)


def datasets() -> ModuleType:
    """`torchvision.datasets`."""
    return _import("torchvision.datasets")


def models() -> ModuleType:
    """`torchvision.models`."""
    return _import("torchvision.models")


def utils() -> ModuleType:
    """`torchvision.utils`."""
    return _import("torchvision.utils")
