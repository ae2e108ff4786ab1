"""Initial images and labels, and the decode specification that this version knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raydd.data import ArrayImages
from raydd.errors import ArtifactError, ConfigError, DataError
from raydd.formation import check_decode, decode, initial_images, initial_labels
from raydd.normalisation import Normalisation

NORMALISATION = Normalisation((0.5,), (0.25,))


def numbered(counts: tuple[int, ...]) -> ArrayImages:
    """Grey 4 px images; image k of class c is filled with 50 c + k."""
    labels = np.repeat(np.arange(len(counts)), counts)
    values = np.concatenate([50 * class_ + np.arange(count) for class_, count in enumerate(counts)])
    return ArrayImages(
        np.broadcast_to(values[:, None, None, None], (len(labels), 1, 4, 4)).astype(np.uint8), labels
    )


def test_real_images_are_distinct_images_of_their_class_in_class_major_order() -> None:
    images = initial_images(numbered((10, 20, 9)), 5, NORMALISATION, seed=0)
    assert images.shape == (15, 1, 4, 4)
    assert images.dtype == torch.float32
    values = ((images[:, 0, 0, 0] * 0.25 + 0.5) * 255).round().int()
    assert torch.equal(values // 50, torch.arange(3, dtype=torch.int32).repeat_interleave(5))
    assert len(set(values.tolist())) == 15
    assert (values % 50 < torch.tensor([10, 20, 9]).repeat_interleave(5)).all()


def test_the_seed_decides_and_each_class_has_its_own_stream() -> None:
    data = numbered((10, 20, 9))
    first = initial_images(data, 5, NORMALISATION, seed=0)
    assert torch.equal(first, initial_images(data, 5, NORMALISATION, seed=0))
    assert not torch.equal(first, initial_images(data, 5, NORMALISATION, seed=1))
    fewer = initial_images(numbered((10, 20)), 5, NORMALISATION, seed=0)
    assert torch.equal(fewer, first[:10])


def test_noise_is_standard_normal_in_normalised_units() -> None:
    noise = initial_images(numbered((3, 3)), 200, NORMALISATION, seed=0, how="noise")
    assert noise.shape == (400, 1, 4, 4)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.05)
    assert noise.std().item() == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(noise[:200], noise[200:])


def test_a_class_with_too_few_images_and_an_unknown_start_are_refused() -> None:
    with pytest.raises(DataError, match="ipc is 10, but class 2 has 9 training images: ipc may be at most 9"):
        initial_images(numbered((10, 20, 9)), 10, NORMALISATION, seed=0)
    with pytest.raises(ConfigError, match=r"unknown initial images 'reel': did you mean 'real'\?"):
        initial_images(numbered((3, 3)), 1, NORMALISATION, seed=0, how="reel")


def test_labels_are_class_major() -> None:
    assert initial_labels(3, 2).tolist() == [0, 0, 1, 1, 2, 2]
    assert initial_labels(3, 2).dtype == torch.int64


def test_only_the_identity_decodes() -> None:
    images = torch.rand(2, 1, 4, 4)
    assert torch.equal(decode(images, {"kind": "identity"}), images)
    for spec in ({"kind": "factor", "factor": 2}, {}, {"kind": "identity", "factor": 2}):
        with pytest.raises(ArtifactError, match=r"is not \{'kind': 'identity'\}"):
            check_decode(spec)
