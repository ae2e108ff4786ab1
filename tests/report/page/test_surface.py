import math

import numpy as np
import pytest

from raydd.report.page.surface import BANDWIDTH, CELLS, surface


def test_a_cell_is_the_mean_of_the_trials_weighted_by_their_distance():
    x, y, z = [0.5, 0.6], [0.5, 0.5], [1.0, 3.0]
    found = surface(x, y, z)
    middle = (CELLS - 1) // 2
    far = math.exp(-(0.1**2) / (2 * BANDWIDTH**2))
    assert found[middle, middle] == pytest.approx((1.0 + 3.0 * far) / (1.0 + far))


def test_the_surface_is_blank_where_there_is_no_trial_near():
    found = surface([0.0], [0.0], [0.7])
    assert found[0, 0] == pytest.approx(0.7)
    assert np.isnan(found[-1, -1])


def test_rows_are_the_second_axis():
    found = surface([0.0, 0.0], [0.0, 1.0], [1.0, 2.0])
    assert found[0, 0] == pytest.approx(1.0)
    assert found[-1, 0] == pytest.approx(2.0)
