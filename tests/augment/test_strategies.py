from __future__ import annotations

import pytest
import torch

from raydd import augment
from raydd.errors import ConfigError
from raydd.seeding import generator


@pytest.mark.parametrize(
    ("strategy", "kind", "ops"),
    [
        ("color_crop", augment.DSA, ("color", "crop")),
        ("", augment.DSA, ()),
        ("none", augment.DSA, ()),
        ("idc:color_crop_cutout", augment.DiffAug, ("color", "crop", "cutout")),
        ("idc:none", augment.DiffAug, ()),
        ("idc:", augment.DiffAug, ()),
        ("standard:crop_flip", augment.Standard, ("crop", "flip")),
        ("standard:rrc_flip", augment.Standard, ("rrc", "flip")),
        ("standard:none", augment.Standard, ()),
    ],
)
def test_a_strategy_names_the_augmentation(strategy: str, kind: type, ops: tuple[str, ...]) -> None:
    built = augment.build(strategy)
    assert type(built) is kind
    assert (built.strategy, built.ops) == (strategy, ops)
    assert augment.build(built.strategy).ops == ops


@pytest.mark.parametrize("strategy", ["", "none", "idc:none", "idc:", "standard:none"])
@pytest.mark.parametrize("samples", [None, 3])
def test_no_op_is_the_identity_and_draws_nothing(strategy: str, samples: int | None) -> None:
    built, stream = augment.build(strategy), generator(0, "draw")
    before = stream.get_state()
    draw = built.draw(stream, samples)
    assert torch.equal(stream.get_state(), before)
    assert (draw.op, draw.uniforms.shape) == ("none", (samples or 1, 0))
    x = torch.randn(3, 1, 8, 8, generator=generator(0, "images"))
    assert torch.equal(built(x, draw), x)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            "icd:color",
            r"augmentation: unknown prefix 'icd': did you mean 'idc'\? \(allowed: idc, standard\) in 'icd:color'",
        ),
        ("idc:colour", r"augmentation: unknown op 'colour': did you mean 'color'\?.* in 'idc:colour'"),
        ("idc:idc:color", r"augmentation: unknown op 'idc:color'.* in 'idc:idc:color'"),
        ("color_", r"augmentation: unknown op ''.* in 'color_'"),
    ],
)
def test_an_unknown_prefix_or_op_is_refused(strategy: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        augment.build(strategy)
    assert len(caught.value.problems) == 1
