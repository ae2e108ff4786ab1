"""Files of `torch.save` made by others: tensors, numbers and containers are read, nothing in them is ever run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raydd.errors import ArtifactError

# The authors' scripts save their accuracies as NumPy scalars, which torch does not read unless told. What these names
# stand for builds a number from bytes, and no more; the second spelling is that of NumPy before 2.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMBERS: list[Any] = [
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "float16", "int64", "int32", "bool")),
]


def load(path: Path) -> Any:
    """What `torch.save` wrote into a file, on the CPU.

    Raises:
        ArtifactError: there is no such file, it is damaged, or it holds other objects than tensors, numbers, texts
            and containers of them, which only running it could rebuild.
    """
    if not path.is_file():
        raise ArtifactError(f"there is no file {path}")
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "Unsupported" in reason or "WeightsUnpickler" in reason or "GLOBAL" in reason:
            raise ArtifactError(
                f"{path} holds more than tensors and numbers, and reading that would run code from the file; load it "
                "where you trust it, and save its images and labels alone with torch.save"
            ) from None
        raise ArtifactError(f"{path} is not a whole file of torch.save") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile):
        raise ArtifactError(f"{path} is not a whole file of torch.save") from None
