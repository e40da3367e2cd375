"""Tables: targets in coadds, known lenses, source catalogues; and coadd bricks."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from brick_samples import write_brick
from catalogue_samples import small_catalogue
from harness import plant, plants

from dhs.config import HostsConfig, SourcesConfig
from dhs.errors import InputRefused
from dhs.injection.sources.open import open_sources
from dhs.survey.hosts.coadds import BrickRefused, Coadds
from dhs.survey.hosts.open import open_hosts
from dhs.survey.hosts.record import HostRef
from dhs.survey.hosts.targets import read_targets
from dhs.survey.lenses.catalogues import known_lenses, read_catalogue
from dhs.survey.lenses.lens_list import build

RA, DEC = np.array([150.0, 151.0, 152.0]), np.array([2.0, 3.0, 4.0])

CSV = {
    "sexagesimal": b"name,ra,dec\nA,10:00:00,+02:00:00\n",
    "hours-in-header": b"name,ra (hours),dec\nA,10.0,2.0\n",
    "swapped": b"ra,dec\n-2.0,150.0\n",
    "dec-out-of-range": b"ra,dec\n10.0,120.0\n",
    "not-available": b"name,ra,dec\nA,N/A,2.0\n",
    "nan": b"ra,dec\nnan,2.0\n",
    "decimal-comma": b"ra;dec\n150,1;2,2\n",
    "underscore": b"ra,dec\n1_5,2.0\n",
    "no-header": b"150.1,2.2\n150.2,2.3\n",
    "no-dec": b"name,ra\nA,10.0\n",
    "column-twice": b"ra,dec,ra\n150.1,2.2,10.0\n",
    "case-twice": b"ra,RA,dec\n150.1,10.0,2.2\n",
    "short-row": b"name,ra,dec\nA,10.0\n",
    "open-quote": b'name,ra,dec\n"Eye,10,2\nB,11,3\n',
    "latin-1": "name,ra,dec\nB\u00f6hringer,10,2\n".encode("latin-1"),
    "utf-16": "name,ra,dec\nA,10,2\n".encode("utf-16"),
    "nul-bytes": b"ra,dec\n\x00\x00,2\n",
    "zip": b"PK\x03\x04whatever",
    "html": b"<!DOCTYPE html><html><body>Please log in</body></html>",
    "votable": b'<?xml version="1.0"?>\n<VOTABLE version="1.4"/>\n',
    "empty": b"",
}


def write(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


plants("lenses", CSV, lambda folder, data: read_catalogue(write(folder, "lenses.csv", data)))
plant("lenses-absent")(lambda folder: known_lenses(str(folder / "lenses.csv")))


@plant("lenses-no-lenscat")
def no_lenscat(folder):
    import dhs.survey.lenses.catalogues as module

    real, module.lenscat_file = module.lenscat_file, lambda: (None, "")
    try:
        return known_lenses("lenscat")
    finally:
        module.lenscat_file = real


@plant("lenses-torn-gzip")
def torn(folder):
    return read_catalogue(write(folder, "a.csv.gz", gzip.compress(b"ra,dec\n1,2\n" * 50)[:30]))


plant("lens-list-other-columns")(lambda folder: build(write(folder, "catalog.csv", b"name,ra,dec\nA,1,2\n")))

TARGETS = {
    "fits-no-position": {"flux_g": np.ones(3)},
    "fits-hours": {"ra": fits.Column("ra", "D", unit="hour", array=RA / 15), "dec": DEC},
    "fits-masked": {"ra": np.array([150.0, np.nan, 152.0]), "dec": DEC},
    "fits-two-names": {"RAJ2000": RA, "TARGET_RA": RA, "dec": DEC},
    "fits-vector": {"ra": np.stack([RA, RA], axis=1), "dec": DEC},
    "fits-sexagesimal": {"ra": np.array(["10:00:00"] * 3), "dec": DEC},
    "fits-sentinel": {"ra": np.array([150.0, -999.0, 152.0]), "dec": DEC},
    "fits-word-for-redshift": {"ra": RA, "dec": DEC, "z_phot": np.array(["0.4", "high", "0.5"])},
}


def target_fits(folder, columns):
    columns = dict(columns)
    if isinstance(columns["ra" if "ra" in columns else next(iter(columns))], fits.Column):
        made = [c if isinstance(c, fits.Column) else fits.Column(n, "D", array=c) for n, c in columns.items()]
        fits.BinTableHDU.from_columns(made).writeto(folder / "t.fits")
    else:
        Table(columns).write(folder / "t.fits")
    return read_targets(str(folder / "t.fits"))


plants("targets", TARGETS, target_fits)
PARQUET = {
    "parquet-null": {"ra": pa.array([150.0, None, 152.0]), "dec": DEC},
    "parquet-text": {"ra": ["10h"] * 3, "dec": DEC},
    "parquet-list": {"ra": [[1.0], [2.0], [3.0]], "dec": DEC},
    "parquet-no-dec": {"ra": RA},
}


def target_parquet(folder, columns):
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return read_targets(str(folder / "t.parquet"))


plants("targets", PARQUET, target_parquet)
plants(
    "targets",
    {
        "parquet-empty": lambda d: b"",
        "parquet-truncated": lambda d: d[: len(d) // 2],
        "parquet-bit-flipped": lambda d: d[:-8] + bytes([b ^ 255 for b in d[-8:-4]]) + d[-4:],
    },
    lambda folder, change: _damaged(folder, change),
)


def _damaged(folder, change):
    pq.write_table(pa.table({"ra": RA, "dec": DEC}), folder / "t.parquet")
    data = change((folder / "t.parquet").read_bytes())
    (folder / "t.parquet").write_bytes(data)
    return read_targets(str(folder / "t.parquet"))


plant("targets-fits-damaged")(lambda folder: read_targets(str(write(folder, "t.fits", b"SIMPLE  = T"))))


# ----------------------------------------------------------------------------------------------------------- bricks


def region(folder, change=None, **options):
    """A region with one brick, changed, and its hosts opened."""
    name, *_ = write_brick(folder, 150.1, 2.2, n_targets=2, size=200)
    brick = folder / "coadd" / name[:3] / name
    if change:
        change(brick, name)
    config = HostsConfig(spec=str(folder), known_lenses="none", **{"select": "none", **options})
    hosts = open_hosts(config, 1)
    return hosts.refusals[0] if hosts.refusals else hosts.read(0)


def remove(kind):
    return lambda brick, name: (brick / f"legacysurvey-{name}-{kind}.fits.fz").unlink()


def header(change, kind="image-r"):
    def edit(brick, name):
        path = brick / f"legacysurvey-{name}-{kind}.fits.fz"
        with fits.open(path) as hdus:
            data, head = hdus[1].data.copy(), hdus[1].header.copy()
        change(head)
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, head)]).writeto(path, overwrite=True)

    return edit


def spoil(brick, name):
    path = brick / f"legacysurvey-{name}-maskbits.fits.fz"
    with fits.open(path) as hdus:
        data, head = np.full_like(hdus[1].data, 1 << 1), hdus[1].header.copy()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, head)]).writeto(path, overwrite=True)


BRICKS = {
    "no-invvar": remove("invvar-g"),
    "no-band": remove("image-z"),
    "no-maskbits": remove("maskbits"),
    "no-psf": remove("psfsize-r"),
    "torn": lambda brick, name: (brick / f"legacysurvey-{name}-image-g.fits.fz").write_bytes(b"SIMPLE"),
    "wrong-units": header(lambda h: h.update({"MAGZERO": 30.0})),
    "adu": header(lambda h: h.update({"BUNIT": "adu"}), "image-g"),
    "masked": spoil,
}
plants("brick", BRICKS, lambda folder, change: region(folder, change))


@plant("brick-absent")
def brick_absent(folder):
    try:
        return Coadds(str(folder), "1501p022")
    except BrickRefused as error:
        from dhs.errors import Refusal

        raise InputRefused(Refusal("h", "a", 0, "host", error.code, str(error), error.remedy)) from None


@plant("brick-target-at-the-edge")
def at_the_edge(folder):
    name, wcs, _, _ = write_brick(folder, 150.1, 2.2, n_targets=1, size=200)
    ra, dec = wcs.wcs_pix2world([[5.0, 100.0]], 0)[0]
    return Coadds(str(folder), name).stamp(HostRef("h", ra, dec, name, 0.0, 0.0))


@plant("brick-catalogue-elsewhere")
def elsewhere(folder):
    write_brick(folder, 150.1, 2.2, n_targets=1, size=200)
    write(folder, "t.csv", b"ra,dec\n150.1,2.2\n10.0,-5.0\n")
    hosts = open_hosts(
        HostsConfig(spec=str(folder), catalogue=str(folder / "t.csv"), select="none", known_lenses=None), 1
    )
    return hosts.refusals[0]


@plant("brick-name-contradicts")
def contradicts(folder):
    """Hours taken for degrees: the row's brick is not the one its position lies in."""
    write_brick(folder, 150.1, 2.2, n_targets=1, size=200)
    write(folder, "t.csv", b"ra,dec,brickname\n150.1,2.2,1501p022\n10.0067,2.2,1501p022\n")
    hosts = open_hosts(
        HostsConfig(spec=str(folder), catalogue=str(folder / "t.csv"), select="none", known_lenses=None), 1
    )
    return hosts.refusals[0]


plant("brick-no-coadds")(lambda folder: region_of(folder / "coadd" / "150"))
plant("brick-lrg-columns")(lambda folder: lrg_columns(folder))


def region_of(path):
    path.mkdir(parents=True)
    return open_hosts(HostsConfig(spec=str(path.parents[1]), known_lenses=None), 1)


def lrg_columns(folder):
    write_brick(folder, 150.1, 2.2, n_targets=1, size=200)
    write(folder, "t.csv", b"ra,dec\n150.1,2.2\n")
    return open_hosts(HostsConfig(spec=str(folder), catalogue=str(folder / "t.csv"), known_lenses=None), 1)


# ---------------------------------------------------------------------------------------------------------- sources


def sources(folder, **options):
    return open_sources(SourcesConfig(spec=str(small_catalogue(folder / "c", **options))), 1)


SOURCES = {
    "pixel-scale-zero": {"PIXEL_SCALE": np.zeros(4)},
    "pixel-scale-nan": {"PIXEL_SCALE": np.full(4, np.nan)},
    "pixel-scale-degrees": {"PIXEL_SCALE": np.full(4, 0.03 / 3600)},
    "redshift-99": {"zphot": np.full(4, 99.0)},
    "redshift-words": {"zphot": np.array(["none"] * 4)},
    "magnitude-words": {"MAG": np.array(["bright"] * 4)},
    "no-redshift": {"drop": ("zphot",)},
    "no-column": {"drop": ("GAL_HDU",)},
    "too-faint": {"MAG": np.full(4, 29.0)},
    "negative-noise": {"NOISE_VARIANCE": np.full(4, -1.0)},
    "image-file-absent": {"GAL_FILENAME": np.array(["gone.fits"] * 4)},
}
plants("sources", SOURCES, lambda folder, options: sources(folder, **options))


@plant("sources-no-rows")
def no_rows(folder):
    path = small_catalogue(folder / "c")
    Table.read(path)[:0].write(path, overwrite=True)
    return open_sources(SourcesConfig(spec=str(path)), 1)


@plant("sources-same-galaxy-twice")
def twice(folder):
    path = small_catalogue(folder / "c", IDENT=np.array([7, 7, 7, 7]), zphot=np.array([99.0] * 4))
    return open_sources(SourcesConfig(spec=str(path)), 1)


def noise(folder, data):
    path = small_catalogue(folder / "c", NOISE_FILENAME=np.array(["noise.fits"] * 4))
    if isinstance(data, bytes):
        (folder / "c" / "noise.fits").write_bytes(data)
    else:
        fits.writeto(folder / "c" / "noise.fits", data)
    return open_sources(SourcesConfig(spec=str(path)), 1)


plants("sources-noise", {"html": b"<html>login</html>", "even": np.ones((10, 10)), "empty": b""}, noise)
plant("sources-absent")(lambda folder: open_sources(SourcesConfig(spec=str(folder / "c.fits")), 1))
plant("sources-folder")(lambda folder: open_sources(SourcesConfig(spec=str(folder)), 1))
plant("sources-damaged")(lambda folder: open_sources(SourcesConfig(spec=str(write(folder, "c.fits", b"SIMPLE"))), 1))


@plant("sources-companion-of-another")
def companion(folder):
    path = small_catalogue(folder / "c")
    fits.BinTableHDU.from_columns([fits.Column("zphot", "D", array=np.ones(2))]).writeto(
        folder / "c" / "catalog_fits.fits", overwrite=True
    )
    return open_sources(SourcesConfig(spec=str(path)), 1)
