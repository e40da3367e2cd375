import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhs.stats.bins import index, members

EDGES = (0.5, 1.0, 1.6, 3.1)


def test_edges_belong_up_and_the_last_to_its_own_bin_in_either_precision():
    values = [0.4, 0.5, 0.999, 1.0, 1.6, 3.1, 3.2, np.nan]
    want = [-1, 0, 0, 1, 2, 2, -1, -1]
    for kind in (np.float32, np.float64):  # in single precision 1.6 and 3.1 fall beyond themselves
        assert index(np.array(values, kind), EDGES).tolist() == want


@given(st.lists(st.floats(0.375, 3.25, width=32), max_size=60))
def test_every_value_inside_is_in_one_bin_as_numpys_histogram_counts(values):
    masks = np.array([mask for _, _, mask in members(values, EDGES)]).reshape(3, len(values))
    assert (masks.sum(axis=0) <= 1).all()
    near = [v for v in values if min(abs(v - e) for e in EDGES) > 1e-5]
    assert np.histogram(near, EDGES)[0] == pytest.approx([m.sum() for _, _, m in members(near, EDGES)])
