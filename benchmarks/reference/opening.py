"""Reading a folder of images as the reference code does: all of it into one float tensor, every time it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.reference.evaluation import normalise, to_tensor


class FolderPictures:
    """Class-per-folder images, decoded whenever one is asked for.

    Args:
        root: its folders are the classes; a folder `train` in it is taken instead.
        mean, std: of each channel.
    """

    def __init__(self, root: Path, mean: Sequence[float], std: Sequence[float]) -> None:
        root = root / "train" if (root / "train").is_dir() else root
        classes = sorted(folder for folder in root.iterdir() if folder.is_dir())
        self.files = [(file, c) for c, folder in enumerate(classes) for file in sorted(folder.iterdir())]
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self.files[index]
        with Image.open(file) as picture:
            return normalise(to_tensor(picture.convert("RGB")), self.mean, self.std), label


def read(root: Path, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """All training images (N, 3, S, S) and labels (N,); each list of the two decodes every image."""
    pictures = FolderPictures(root, mean, std)
    images_all = [torch.unsqueeze(pictures[i][0], dim=0) for i in range(len(pictures))]
    labels_all = [pictures[i][1] for i in range(len(pictures))]
    return torch.cat(images_all, dim=0), torch.tensor(labels_all, dtype=torch.long)
