"""LRG cuts, quality, positions: what is chosen from a survey catalogue, what goes, and what is said about it."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from brick_samples import tractor, write_brick
from cutout_samples import DATA, needs_data

from dhs import storage
from dhs.config import HostsConfig
from dhs.errors import DhsError
from dhs.survey.hosts import selection
from dhs.survey.hosts.open import index_table, open_hosts
from dhs.survey.hosts.targets import read_targets


def is_lrg(g, r, z, w1, z_fiber, north=False):
    """The published cuts (Zhou et al. 2023, equations 1 and 2), one object at a time."""
    if not z - w1 > 0.8 * (r - z) - 0.6:
        return False
    if not z_fiber < (21.61 if north else 21.6):
        return False
    if not (g - w1 > (2.97 if north else 2.9) or r - w1 > 1.8):
        return False
    if r - w1 > (3.4 if north else 3.3):
        return True
    if north:
        return r - w1 > (w1 - 17.13) * 1.83 and r - w1 > w1 - 16.31
    return r - w1 > (w1 - 17.14) * 1.8 and r - w1 > w1 - 16.33


@pytest.mark.parametrize("north", [False, True])
def test_lrg_cuts_agree_with_the_published_ones(north):
    rng = np.random.default_rng(4)
    g, r, z, w1 = rng.uniform(19, 25, 4000), *(rng.uniform(17, 23, (3, 4000)))
    w1 = np.where(rng.random(4000) < 0.5, r - rng.uniform(1.5, 3.8, 4000), w1)
    fiber = rng.uniform(20.5, 22.5, 4000)
    cuts = selection.NORTH if north else selection.SOUTH
    expected = [is_lrg(*row, north=north) for row in zip(g, r, z, w1, fiber)]
    assert selection.lrg_colours(g, r, z, w1, fiber, cuts).tolist() == expected
    assert 100 < sum(expected) < 3900


@pytest.fixture
def catalogue():
    positions = np.stack([150.0 + 0.01 * np.arange(9), np.full(9, 2.0)], axis=1)
    return tractor("1500p020", positions, np.random.default_rng(1))


def columns(table):
    return {name: np.asarray(table[name]) for name in table.colnames}


@pytest.mark.parametrize(
    ("column", "value", "cut"),
    [
        ("brick_primary", False, "not_primary"),
        ("flux_r", -0.1, "no_flux"),
        ("flux_ivar_w1", 0.0, "no_flux"),
        ("nobs_g", 0, "not_observed_in_grz"),
        ("maskbits", 1 << 1, "masked"),
        ("maskbits", 1 << 12, "masked"),
        ("type", "PSF", "point_source"),
        ("gaia_phot_g_mean_mag", 17.0, "bright_star"),
        ("fibertotflux_z", 200.0, "bright_star"),
        ("fiberflux_z", 0.5, "not_lrg"),
        ("flux_g", 30.0, "not_lrg"),
        ("mw_transmission_g", 8.0, "not_lrg"),
    ],
)
def test_each_cut_removes_its_row_and_says_so(catalogue, column, value, cut):
    if column in ("flux_g", "mw_transmission_g"):
        catalogue["flux_w1"][3] = catalogue["flux_r"][3]
    catalogue[column][3] = value
    keep, steps = selection.select_lrgs(columns(catalogue), "t")
    assert np.flatnonzero(~keep).tolist() == [3] and {k: n for k, n in steps if n} == {cut: 1}


def test_north_rows_get_the_northern_cuts(catalogue):
    catalogue["fiberflux_z"][:] = 10 ** (0.4 * (22.5 - 21.605)) * 0.95
    assert not selection.select_lrgs(columns(catalogue), "t")[0].any()
    catalogue["release"][:] = 9011
    assert selection.select_lrgs(columns(catalogue), "t")[0].all()


def test_a_table_without_fluxes_cannot_be_cut(tmp_path):
    write_brick(tmp_path, 150.1, 2.2, n_targets=1, size=200)
    (tmp_path / "t.csv").write_text("ra,dec\n150.1,2.2\n")
    config = HostsConfig(spec=str(tmp_path), catalogue=str(tmp_path / "t.csv"), known_lenses=None)
    with pytest.raises(DhsError, match=r"the LRG cuts need columns \['type', 'maskbits'.*--host-select none"):
        open_hosts(config, 1)
    with pytest.raises(DhsError, match="absent.csv: no such file"):
        open_hosts(config.model_copy(update={"select": "none", "catalogue": str(tmp_path / "absent.csv")}), 1)


def test_selection_is_recorded_and_its_population_compared(tmp_path):
    _, _, _, table = write_brick(tmp_path, 150.1, 2.2, n_targets=9, size=500)
    table["type"][0], table["maskbits"][1], table["fiberflux_z"][2] = "PSF", 1 << 11, 0.1
    path = next((tmp_path / "tractor").rglob("*.fits"))
    table.write(path, overwrite=True)
    hosts = open_hosts(HostsConfig(spec=str(tmp_path), known_lenses=None), 1)
    record = hosts.selection
    assert (record["rows"], record["selected"], len(hosts)) == (9, 6, 6)
    assert {k: n for k, n in record["cuts"] if n} == {"masked": 1, "point_source": 1, "not_lrg": 1}
    magnitude = 22.5 - 2.5 * np.log10(table["flux_r"][3:] / table["mw_transmission_r"][3:])
    assert record["population"]["mag_r"]["hosts"][2] == pytest.approx(np.median(magnitude), abs=1e-3)
    assert 0 < record["population"]["mag_r"]["ks_distance"] <= 1


def test_population_of_the_deflectors_themselves_is_at_no_distance():
    from dhs.survey.mock.deflectors import deflectors

    draws = deflectors().transform(np.random.default_rng(0).standard_normal((4000, 4)))
    mag_r, g_r, r_z, z_phot = draws.T
    flux = {"r": mag_r, "g": mag_r + g_r, "z": mag_r - r_z, "w1": mag_r - r_z}
    targets = {f"flux_{b}": 10 ** (0.4 * (22.5 - m)) for b, m in flux.items()}
    targets |= {f"mw_transmission_{b}": np.ones(4000) for b in flux} | {"z_phot": z_phot, "ra": mag_r}
    targets |= {"fiberflux_z": targets["flux_z"], "fibertotflux_z": targets["flux_z"]}
    compared = selection.population(targets)
    for name in ("mag_r", "g_r", "r_z", "z_phot"):
        # 1.63 / sqrt(n) is the 1 % point of the distribution of the distance
        assert compared[name]["ks_distance"] < 1.63 / np.sqrt(4000)


def test_lenses_duplicates_and_positions_outside_every_brick_are_refused(tmp_path):
    _, _, _, table = write_brick(tmp_path, 150.1, 2.2, n_targets=4, size=300)
    rows = Table(table)
    far = Table(table[:1])
    far["ra"], far["brickname"], far["objid"] = 200.0, "2001p022", 77
    twin = Table(table[1:2])
    twin["dec"] += 0.4 / 3600
    twin["objid"] = 78
    wrong = Table(table[2:3])
    wrong["brickname"], wrong["objid"] = "0100p022", 79
    path = tmp_path / "sweep.fits"
    sweep = vstack([rows, far, twin, wrong])
    sweep.rename_columns(sweep.colnames, [c.upper() for c in sweep.colnames])
    sweep.write(path)
    known = tmp_path / "known.csv"
    known.write_text(f"ra,dec\n{table['ra'][3]},{table['dec'][3] + 10.9 / 3600}\n")
    hosts = open_hosts(HostsConfig(spec=str(tmp_path), catalogue=str(path), known_lenses=str(known)), 1)
    assert {r.row: r.code for r in hosts.refusals} == {
        3: "known_lens",
        4: "outside_every_brick",
        5: "duplicate",
        6: "brick_mismatch",
    }
    assert sorted(r.row for r in hosts.refs) == [0, 1, 2] and hosts.refs[0].host_id.startswith("10000-")
    marked = open_hosts(
        HostsConfig(spec=str(tmp_path), catalogue=str(path), known_lenses=str(known), allow_known_lenses=True), 1
    )
    assert [r.row for r in marked.refs if r.known_lens] == [3]


def test_hosts_outside_every_brick_stop_the_run_before_it_starts(tmp_path):
    write_brick(tmp_path, 150.1, 2.2, n_targets=1, size=200)
    (tmp_path / "t.csv").write_text("ra,dec\n10.0067,2.2\n10.1,2.2\n")  # hours that say they are degrees
    config = HostsConfig(spec=str(tmp_path), catalogue=str(tmp_path / "t.csv"), select="none", known_lenses=None)
    with pytest.raises(DhsError, match=r"none of its 2 candidates can be a host \(2 outside_every_brick\).*degrees"):
        open_hosts(config, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ra_hours,dec\n10.0,2.2\n", "hours or sexagesimal"),
        ("ra,dec\n10:00:24,2.2\n", "sexagesimal"),
        ("ra,dec,z_phot\n150.1,2.2,bright\n", "column 'z_phot'"),
    ],
)
def test_positions_that_are_not_degrees(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DhsError, match=message):
        read_targets(str(tmp_path / "t.csv"))


def test_tables_of_every_format_say_the_same(tmp_path, catalogue):
    catalogue.write(tmp_path / "t.fits")
    pq.write_table(
        pa.table({n.upper(): columns(catalogue)[n].tolist() for n in catalogue.colnames}), tmp_path / "t.parquet"
    )
    catalogue.write(tmp_path / "t.csv")
    expected = selection.select_lrgs(read_targets(str(tmp_path / "t.fits")), "t")
    for name in ("t.parquet", "t.csv"):
        table = read_targets(str(tmp_path / name))
        assert np.allclose(table["ra"], catalogue["ra"]) and set(table) >= {"objid", "type", "flux_w1"}
    keep, steps = selection.select_lrgs(read_targets(str(tmp_path / "t.parquet")), "t")
    assert keep.tolist() == expected[0].tolist() and steps == expected[1]


def test_fits_tables_with_other_units_or_no_table_are_refused(tmp_path, catalogue):
    hdu = fits.BinTableHDU(catalogue)
    hdu.columns["ra"].unit = "hour"
    hdu.writeto(tmp_path / "hours.fits")
    with pytest.raises(DhsError, match="column 'ra' is in hour"):
        read_targets(str(tmp_path / "hours.fits"))
    (tmp_path / "bad.fits").write_bytes(b"SIMPLE")
    with pytest.raises(DhsError, match="not a readable FITS table"):
        read_targets(str(tmp_path / "bad.fits"))
    catalogue["ra"] = catalogue["ra"] - 200
    catalogue.write(tmp_path / "range.fits")
    with pytest.raises(DhsError, match=r"row 1, column 'ra': -50 is outside 0 to 360"):
        read_targets(str(tmp_path / "range.fits"))
    pq.write_table(pa.table({"ra": ["10h", "11h"], "dec": [1.0, 2.0]}), tmp_path / "text.parquet")
    with pytest.raises(DhsError, match="'10h' is no number. Give decimal degrees"):
        read_targets(str(tmp_path / "text.parquet"))


def test_an_index_brings_back_the_same_hosts(tmp_path):
    write_brick(tmp_path, 150.1, 2.2, n_targets=4, size=300)
    config = HostsConfig(spec=str(tmp_path), known_lenses=None)
    hosts = open_hosts(config, 1)
    storage.write_table(tmp_path / "hosts.parquet", index_table(hosts))
    shutil.rmtree(tmp_path / "tractor")
    again = open_hosts(config, 1, index=str(tmp_path / "hosts.parquet"))
    assert [(r.host_id, r.row, r.brickname) for r in again.refs] == [
        (r.host_id, r.row, r.brickname) for r in hosts.refs
    ]
    assert again.selection == hosts.selection and again.kind == "bricks"
    assert np.array_equal(again.read(2).image, hosts.read(2).image)


@needs_data
def test_real_deflector_tables_can_be_hosts_without_cuts(tmp_path):
    """A real table of lens galaxies: read, none in a brick that is there, each refused with its brick's name."""
    write_brick(tmp_path, 150.1, 2.2, n_targets=1, size=200)
    table = DATA / "catalogues/stein2022/new_lenses.tsv"
    config = HostsConfig(spec=str(tmp_path), catalogue=str(table), select="none", known_lenses=None)
    with pytest.raises(DhsError, match=r"none of its 1192 candidates can be a host \(1192 outside_every_brick"):
        open_hosts(config, 1)
