"""Previews side by side."""

import io

import numpy as np
import pytest
from PIL import Image

from raydd.storage.contact_sheet import ACROSS, LONGEST, contact_sheet
from raydd.storage.preview import png


def picture(path, height, width, colour):
    path.write_bytes(png(np.full((height, width, 3), colour, dtype=np.uint8)))
    return path


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_every_preview_is_shown_in_its_order_and_beside_the_next(tmp_path):
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    cells = [(f"trial {i}", picture(tmp_path / f"{i}.png", 100, 200, c)) for i, c in enumerate(colours)]
    sheet = opened(contact_sheet("title", cells))
    lefts = []
    for colour in colours:
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        assert len(rows) == 100 * 200
        lefts.append((rows.min(), columns.min()))
    assert len({top for top, _ in lefts}) == 1
    assert [left for _, left in lefts] == sorted(left for _, left in lefts)
    assert lefts[1][1] - lefts[0][1] > 200


def test_titles_and_labels_are_written_in_black_on_white(tmp_path):
    cells = [("trial 3: 71.2 %", picture(tmp_path / "a.png", 40, 200, (255, 255, 255)))]
    assert (opened(contact_sheet("best trials", cells)) == 0).all(axis=2).sum() > 50


def test_the_fifth_preview_begins_a_second_row(tmp_path):
    cells = [("", picture(tmp_path / f"{i}.png", 50, 50, (10 + i, 0, 0))) for i in range(ACROSS + 1)]
    sheet = opened(contact_sheet("", cells))
    tops = [np.nonzero((sheet == (10 + i, 0, 0)).all(axis=2))[0].min() for i in range(ACROSS + 1)]
    assert len(set(tops[:ACROSS])) == 1
    assert tops[ACROSS] >= tops[0] + 50


def test_large_previews_are_made_smaller_and_of_tall_ones_the_first_classes_are_shown(tmp_path):
    wide = opened(contact_sheet("", [("", picture(tmp_path / "wide.png", 6000, 600, (9, 9, 9)))]))
    rows, columns = np.nonzero((wide == 9).all(axis=2))
    assert np.ptp(rows) + 1 == LONGEST
    assert np.ptp(columns) + 1 == pytest.approx(LONGEST * 600 / 662, abs=1)


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="at least one preview"):
        contact_sheet("title", [])
