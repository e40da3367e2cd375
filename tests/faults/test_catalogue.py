"""Every planted fault meets exactly the words that the catalogue holds, and the book's page is made of them."""

import plants_cutouts
import plants_runs
import plants_tables
import pytest
from harness import PLANTS, meet, table
from page import PAGE, page

ROWS = table()
MODULES = (plants_cutouts, plants_runs, plants_tables)


def test_every_fault_is_in_the_catalogue_once_with_its_reason_and_remedy():
    ids = [row["id"] for row in ROWS]
    assert sorted(ids) == sorted(PLANTS) and len(set(ids)) == len(ids) >= 100
    assert all(row["planted"] and row["says"] for row in ROWS)
    assert len({row["stage"] for row in ROWS}) >= 12


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_what_is_said(row, tmp_path):
    said = meet(row["id"], tmp_path)
    assert (said.code, said.says, said.remedy) == (row["code"], row["says"], row["remedy"])


def test_the_page_of_the_book_is_made_of_the_catalogue():
    assert PAGE.read_text() == page(ROWS), "run python tests/faults/page.py"
