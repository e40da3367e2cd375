"""The reader of built pages finds each fault of prose that a page once had, and none in a page that reads well."""

import pytest

from dhs.book.pages import faults

PAGE = "<html><body><nav>n = 3</nav><article><h1>A title</h1>{}</article><footer>None</footer></body></html>"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The AUROC is 0.688 (0.679 to 0.698, n = 2,369, hosts = 2,369).", "sizes inside a sentence"),
        ("Recall at a rate of not measured: not measured (no real stamp was scored)", "a number that is not there"),
        ("The value is None.", "a number that is not there"),
        ("Against {number}`evaluation.auroc`.", "a number that was not filled in"),
        ("core_swap: auroc outer", "a key in prose"),
        ("pairs with azimuthal_shuffle against those without", "a key in prose"),
        ("['blend', 'lrg']", "a mapping or list as text"),
        ("1130.000 pairs a second", "float noise"),
        ("an FPR of 8.708e-05", "float noise"),
        ("from -0.00 to 0.01", "float noise"),
        ("of a stated redshift.. The end.", "a full stop twice"),
        ("The network ( ) is trained.", "an empty parenthesis"),
        ("The AUROC is 0.914 (0.893 to 0.933).", "more decimals than the interval leaves"),
    ],
)
def test_each_fault_is_found_where_a_reader_would_meet_it(text, fault):
    for block in (f"<p>{text}</p>", f"<ul><li>{text}</li></ul>", f"<img alt='{text.replace(chr(39), '&#39;')}'>"):
        assert fault in " ".join(faults.of_page(PAGE.format(block))), block
    assert not faults.of_page(PAGE.format(f"<pre>{text}</pre>")), "code is read otherwise"


def test_a_page_that_reads_well_has_none():
    text = "The AUROC is 0.91 (0.89 to 0.93), and the difference 0.000 (-0.001 to +0.001). "
    text += (
        "See <code>theta_e_arcsec</code> (<code>x</code>, and so on) ... None of a Sersic n = 2 is told from perfect."
    )
    assert (
        faults.of_page(
            PAGE.format(f"<p>{text}</p><figure><img alt='A curve rising to 0.9'><figcaption>All.</figcaption></figure>")
        )
        == []
    )


def test_a_caption_without_a_picture_is_found_and_pages_are_named(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "book" / "index.html").write_text(
        PAGE.format("<figure><figcaption>Six look-alikes.</figcaption></figure>")
    )
    (tmp_path / "_static" / "x.html").write_text(PAGE.format("<p>n = 3</p>"))
    assert faults.of_pages(tmp_path) == ["book/index.html: a figure without a picture: Six look-alikes."]


def test_results_of_code_are_data_and_their_figures_are_read():
    table = "<table><tr><td>theta_e_arcsec</td><td>1.000</td></tr></table>"
    figure = "<figure><img alt='A curve'><figcaption>By theta_e_arcsec.</figcaption></figure>"
    page = PAGE.format(f"<div class='cell_output docutils'><div>{table}</div>{figure}</div><p>Text.</p>")
    assert faults.of_page(page) == ["a key in prose: By theta_e_arcsec."]
    empty = PAGE.format("<div class='cell_output'><p>ablation: skipped: not run</p></div>")
    assert faults.of_page(empty) == ["a result that says it is empty: skipped: not run"]
