"""Files of weights: the networks of an asset, and weights that were trained elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from raydd.errors import ArtifactError
from raydd.nets import Network

MODEL = "model.safetensors"
"""An asset's file: tensors `<index>.<name>`, one index a network."""


def member(tensors: Mapping[str, torch.Tensor], index: int) -> dict[str, torch.Tensor]:
    """State of network `index` among the tensors of an asset's file."""
    prefix = f"{index}."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def read(path: Path) -> dict[str, torch.Tensor]:
    """Weights by name from a safetensors file, or from a file that torch saved; no code of the file is run.

    Of an asset's own file the first network is read.

    Raises:
        ArtifactError: there is no such file, or it holds something else than tensors by name.
    """
    if not path.is_file():
        raise ArtifactError(f"weights: there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            tensors = safetensors.torch.load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of a file that is none, torch's unpickler raises whatever its bytes lead it to
        tensors = None
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(each, torch.Tensor) for name, each in tensors.items()
    ):
        raise ArtifactError(f"weights: {path} holds no tensors by name, as safetensors or torch write them")
    return member(tensors, 0) or dict(tensors)


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """What weights are, whatever file they lie in: sha256, in hex, over name, dtype, shape and bytes of every tensor,
    in the order of the names.
    """
    found = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_into(net: Network, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Give a network its weights.

    Args:
        net: changed in place.
        state: its weights by name, shaped as its own.
        source: what they were read from, for the error.

    Raises:
        ArtifactError: they are another network's.
    """
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    given = {name: value.shape for name, value in state.items()}
    wrong = sorted(name for name in {*shapes, *given} if shapes.get(name) != given.get(name))
    if wrong:
        raise ArtifactError(
            f"weights: {source} holds another network's weights; {len(wrong)} tensors are missing, unknown or of "
            f"another shape, such as {wrong[0]!r}"
        )
    net.load_state_dict(dict(state))
