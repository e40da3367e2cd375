"""The published completeness grid comes out of our functions exactly."""

import os
from pathlib import Path

import pytest

from dhs.book.studies.published_grid import published_grid
from dhs.errors import DhsError

DATA = os.environ.get("DHS_DATA_DIR")


@pytest.mark.skipif(not DATA, reason="the published grid needs DHS_DATA_DIR")
def test_published_completeness_grid_comes_out():
    got = published_grid(Path(DATA) / "published" / "completeness_grid.csv")
    assert (got["k"], got["n"]) == (5697, 110_000)
    assert (round(100 * got["total"].ci_low, 2), round(100 * got["total"].ci_high, 2)) == (5.05, 5.31)
    assert [m["k"] for m in got["theta_e"]] == [22, 33, 153, 339, 559, 652, 799, 802, 833, 790, 715]
    assert all(m["n"] == 10_000 for m in got["theta_e"])
    assert got["largest_difference"] < 1e-6


def test_another_table_is_refused(tmp_path):
    table = tmp_path / "grid.csv"
    table.write_text("theta_e,threshold\n1,0.3\n")
    with pytest.raises(DhsError, match="no column .'threshold_type'"):
        published_grid(table)
