"""Cutouts, npz and FITS: pixels, masks, positions, units, PSF."""

import gzip
import io
import zipfile

import numpy as np
from astropy.io import fits
from cutout_samples import channel_first, npz
from harness import buffer, plant, plants

from dhs.config import HostsConfig
from dhs.survey.hosts.cutouts import read_cutout
from dhs.survey.hosts.open import open_hosts

SIGMAS = (0.0016, 0.0026, 0.0074)
IMAGE = channel_first()["image_nmgy"]
INVVAR = np.stack([np.full((80, 80), s**-2, np.float32) for s in SIGMAS])
Y, X = np.mgrid[:80, :80] - 40


def read(folder, data, name="a.npz"):
    (folder / name).write_bytes(data)
    return read_cutout(folder / name)


def changed(where, value, of=IMAGE):
    out = of.copy()
    out[where] = value
    return out


def patch(value, of=IMAGE):
    """A tenth of the middle of every band."""
    return changed(np.s_[:, 30:42, 20:60], value, of)


def gaussian(fwhm_px=4.6, side=63, dx=0.0):
    a = np.arange(side) - side // 2
    psf = np.exp(-((a[:, None]) ** 2 + (a - dx) ** 2) / (2 * (fwhm_px / 2.3548) ** 2))
    return np.stack([psf / psf.sum()] * 3)


def square(side, value=1, dtype=np.int16):
    return np.where((abs(Y) < side / 2) & (abs(X) < side / 2), value, 0).astype(dtype)


NPZ = {
    "nan-pixel": {"image_nmgy": changed(np.s_[0, 40, 41], np.nan)},
    "inf-pixel": {"image_nmgy": changed(np.s_[2, 40, 41], np.inf)},
    "overflow": {"image_nmgy": IMAGE.astype(float) * 1e300},
    "masked-core": {"image_nmgy": np.where(square(10) > 0, np.nan, IMAGE)},
    "zero-band": {"image_nmgy": changed(1, 0)},
    "constant-band": {"image_nmgy": changed(1, 0.05)},
    "zero-patch": {"image_nmgy": patch(0.0)},
    "fill-99": {"image_nmgy": patch(-99.0)},
    "fill-small": {"image_nmgy": patch(-3e-4)},
    "fill-huge": {"image_nmgy": patch(1e20)},
    "dithered-zeros": {"image_nmgy": patch(np.random.default_rng(0).uniform(-5e-5, 5e-5, (3, 12, 40)))},
    "scattered-zeros": {"image_nmgy": np.where(np.random.default_rng(0).random((3, 80, 80)) < 0.04, 0, IMAGE)},
    "one-fill-pixel": {"image_nmgy": changed(np.s_[1, 40, 45], -999.0)},
    "saturated": {"image_nmgy": np.where(abs(X + 1j * Y) < 9, 20.0, IMAGE).astype(np.float32)},
    "bright-pixel": {"image_nmgy": changed(np.s_[1, 40, 40], 1e6)},
    "noise-free": {"image_nmgy": np.ones((3, 1, 1)) * np.exp(-(X**2 + Y**2) / 18.0)},
    "negative-image": {"image_nmgy": np.where(abs(X + 1j * Y) < 5, -1.0, 0) + IMAGE},
    "adu": {"image_nmgy": IMAGE * 1000},
    "jansky": {"image_nmgy": IMAGE * 3.631e-6},
    "clipped-integers": {"image_nmgy": np.clip(IMAGE * 100, 0, 255).astype(np.uint8)},
    "text-image": {"image_nmgy": IMAGE.astype(str)},
    "complex-image": {"image_nmgy": IMAGE.astype(complex)},
    "boolean-image": {"image_nmgy": IMAGE > 0},
    "one-band": {"image_nmgy": IMAGE[0]},
    "four-dimensions": {"image_nmgy": IMAGE[None]},
    "no-rows": {"image_nmgy": IMAGE[:0]},
    "channel-last": {"image_nmgy": IMAGE.transpose(1, 2, 0)},
    "small": channel_first(48),
    "band-missing": {"bands": np.array(["g", "r", "i"])},
    "band-twice": {"bands": np.array(["g", "g", "r", "z"]), "image_nmgy": IMAGE[[0, 0, 1, 2]]},
    "bands-capital": {"bands": np.array(["G", "R", "Z"])},
    "bands-other-number": {"bands": np.array(["g", "r", "z", "Y"])},
    "coarse-pixels": {"pixscale": 0.4},
    "pixels-in-degrees": {"pixscale": 0.262 / 3600},
    "pixels-zero": {"pixscale": 0.0},
    "pixels-absent": {"pixscale": None},
    "ra-hours": {"ra": "10:00:00"},
    "ra-sentinel": {"ra": -99.0},
    "dec-sentinel": {"dec": -99.0},
    "dec-beyond-pole": {"dec": 95.0},
    "swapped-position": {"ra": 2.0, "dec": 150.0},
    "ra-alone": {"dec": None},
    "ra-infinite": {"ra": np.inf},
    "two-positions": {"ra": np.array([150.0, 151.0])},
    "invvar-negative": {"invvar": -INVVAR},
    "invvar-nan": {"invvar": np.full_like(INVVAR, np.nan)},
    "invvar-zero": {"invvar": np.zeros_like(INVVAR)},
    "invvar-half": {"invvar": np.where(X < 0, 0, INVVAR)},
    "invvar-is-sigma": {"invvar": INVVAR**-0.5},
    "invvar-one-band": {"invvar": INVVAR[1]},
    "invvar-text": {"invvar": INVVAR.astype(str)},
    "mask-large": {"mask": square(30)},
    "mask-per-band": {"mask": np.stack([square(0), square(40), square(0)])},
    "maskbits-large": {"maskbits": square(30, 1 << 5)},
    "mask-other-shape": {"mask": square(30)[:50]},
    "mask-of-floats": {"mask": square(3, 0.5, np.float32)},
    "ivar-key": {"ivar": INVVAR},
    "weight-key": {"weight": INVVAR},
    "capital-ra-key": {"ra": None, "RA": 150.0},
    "redshift-key": {"redshift": 0.4},
    "z-text": {"z_phot": "unknown"},
    "z-two": {"z_phot": np.array([0.4, 0.5])},
    "fwhm-sigma": {"psf_fwhm": np.array([1.3, 1.2, 1.1]) / 2.3548},
    "fwhm-pixels": {"psf_fwhm": np.array([1.3, 1.2, 1.1]) / 0.262},
    "fwhm-nan": {"psf_fwhm": np.array([1.3, np.nan, 1.1])},
    "fwhm-one": {"psf_fwhm": 1.3},
    "fwhm-text": {"psf_fwhm": np.array(["1.3", "n/a", "1.1"])},
    "exptime-zero": {"exptime": np.array([90.0, 0.0, 90.0])},
    "exptime-one": {"exptime": 90.0},
    "psf-off-centre": {"psf": np.roll(gaussian(), 5, axis=2)},
    "psf-half-pixel": {"psf": gaussian(dx=1.0)},
    "psf-pedestal": {"psf": gaussian() - 0.98 / 63**2},
    "psf-negative": {"psf": -gaussian()},
    "psf-nan": {"psf": np.full((3, 63, 63), np.nan)},
    "psf-even": {"psf": gaussian()[:, :-1, :-1]},
    "psf-flat": {"psf": np.ones((3, 63, 63))},
    "psf-wide": {"psf": gaussian(20.0, 91)},
    "psf-sigma": {"psf": gaussian(1.6)},
    "psf-tiny": {"psf": gaussian(side=9)},
    "psf-two-bands": {"psf": gaussian()[:2]},
    "psf-cut-off": {"psf": 0.2 * gaussian(4.6, 91) + 0.8 * gaussian(40.0, 91)},
    "host-id-list": {"host_id": np.array(["a", "b"])},
    "survey-unknown": {"survey": "sdss"},
}
plants("npz", NPZ, lambda folder, change: read(folder, _npz(change)))


def _npz(change):
    return npz(**{k: v for k, v in (channel_first() | change).items() if v is not None})


@plant("npz-pickled-object")
def pickled(folder):
    stream = io.BytesIO()
    np.savez(stream, **(channel_first() | {"z_phot": np.array({"z": 0.4}, dtype=object)}))
    return read(folder, stream.getvalue())


@plant("npz-object-image")
def object_image(folder):
    stream = io.BytesIO()
    np.savez(stream, **(channel_first() | {"image_nmgy": np.array([1, "a", None], dtype=object)}))
    return read(folder, stream.getvalue())


plants(
    "npz",
    {
        "truncated": lambda d: d[: len(d) // 2],
        "empty-file": lambda d: b"",
        "bit-flipped": lambda d: d[:2000] + bytes([d[2000] ^ 255]) + d[2001:],
        "bare-array": lambda d: npy(IMAGE),
        "html": lambda d: b"<html>Not found</html>",
        "zip-of-text": lambda d: archive({"readme.txt": b"hello"}),
        "header-bomb": lambda d: archive({"image_nmgy.npy": npy(IMAGE)[:10] + b"(" * 118}),
        "header-lies": lambda d: archive({"image_nmgy.npy": npy_header((3, 100_000, 100_000)) + b"0" * 64}),
    },
    lambda folder, change: read(folder, change(npz(**channel_first()))),
)


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(shape) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def archive(members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return stream.getvalue()


@plant("npz-bomb")
def bomb(folder):
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        with packed.open("image_nmgy.npy", "w", force_zip64=True) as member:
            for _ in range(600):
                member.write(bytes(1 << 20))
    return read_cutout(folder / "a.npz")


@plant("gzip-bomb")
def gzip_bomb(folder):
    with gzip.open(folder / "a.fits.gz", "wb", compresslevel=1) as stream:
        for _ in range(600):
            stream.write(bytes(1 << 20))
    return read_cutout(folder / "a.fits.gz")


plant("gzip-truncated")(lambda folder: read(folder, gzip.compress(npz(**channel_first()))[:3000], "a.npz.gz"))
plant("jpeg")(lambda folder: read(folder, b"\xff\xd8\xff", "a.jpg"))


# ------------------------------------------------------------------------------------------------------------- FITS


def service(size=80, change=lambda h: None, image=None, bands="grz", **more):
    """A cutout as the survey's service writes it, changed."""
    h = fits.Header({"SURVEY": "LegacySurvey", "IMAGETYP": "IMAGE", "BANDS": bands})
    for i, band in enumerate(bands):
        h[f"BAND{i}"] = band
    h.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0})
    h.update({"CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2})
    h.update({"CD1_1": -0.262 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.262 / 3600})
    change(h)
    hdus = [fits.PrimaryHDU(channel_first(size)["image_nmgy"] if image is None else image, h)]
    for kind, data in more.items():
        own = h.copy()
        own["IMAGETYP"] = kind.upper()
        hdus.append(fits.ImageHDU(data, own))
    return fits.HDUList(hdus)


def without(*keys):
    return lambda h: [h.remove(k) for k in keys]


FITS = {
    "no-wcs": {"change": without("CTYPE1", "CTYPE2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")},
    "no-crval": {"change": without("CRVAL1")},
    "no-crpix": {"change": without("CRPIX2")},
    "singular-wcs": {"change": lambda h: h.update({"CD1_1": 0.0})},
    "pixel-scale": {"change": lambda h: h.update({"CD1_1": -0.4 / 3600, "CD2_2": 0.4 / 3600})},
    "not-square": {"change": lambda h: h.update({"CD1_1": -0.275 / 3600, "CD2_2": 0.25 / 3600})},
    "no-bands": {"change": without("BANDS", "BAND0", "BAND1", "BAND2")},
    "bands-contradict": {"change": lambda h: h.update({"BANDS": "zrg"})},
    "two-bands": {"bands": "gr", "image": IMAGE[:2]},
    "channel-last": {"image": IMAGE.transpose(1, 2, 0)},
    "one-plane": {"image": IMAGE[0]},
    "unit-adu": {"change": lambda h: h.update({"BUNIT": "adu"})},
    "zero-point": {"change": lambda h: h.update({"MAGZERO": 25.0})},
    "small": {"size": 48},
    "maskbits": {"maskbits": square(30, 1 << 6)},
    "maskbits-shape": {"maskbits": square(30, 1 << 6)[:40]},
    "invvar-negative": {"invvar": -INVVAR},
    "invvar-other-size": {"invvar": INVVAR[:, :70]},
    "nan": {"image": changed(np.s_[0, 40, 40], np.nan)},
    "blank-integers": {
        "image": changed(np.s_[:, 30:50, 30:60], 0, (IMAGE * 1e4).astype(np.int16)),
        "change": lambda h: h.update({"BSCALE": 1e-4, "BZERO": 0.0}),
    },
}
plants("fits", FITS, lambda folder, case: read(folder, buffer(service(**case)), "a.fits"))
plants(
    "fits",
    {
        "truncated": lambda d: d[:40_000],
        "header-only": lambda d: d[:2880],
        "nonsense": lambda d: b"SIMPLE  = nonsense",
        "empty-file": lambda d: b"",
        "no-image": lambda d: buffer(fits.HDUList([fits.PrimaryHDU()])),
        "table": lambda d: buffer(fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(3, [("a", "f4")]))])),
        "huge-naxis": lambda d: d.replace(b"NAXIS1  =                   80", b"NAXIS1  =           4000000000"),
    },
    lambda folder, change: read(folder, change(buffer(service())), "a.fits"),
)


@plant("fits-subimage-at-the-edge")
def subimage(folder):
    """A target near its brick's edge: the service cuts the piece off there."""
    header = service()[0].header
    hdus = [fits.PrimaryHDU()]
    for band, plane in zip("grz", IMAGE):
        own = header.copy()
        own.update({"BRICK": "1500p022", "BAND": band, "BRICK_X0": 0, "BRICK_Y0": 900})
        hdus.append(fits.ImageHDU(plane[:, :70], own))
    return read(folder, buffer(fits.HDUList(hdus)), "a.fits")


# ------------------------------------------------------------------------------------------------ folders and cubes


def opened(folder, **options):
    return open_hosts(HostsConfig(spec=str(folder), known_lenses="none", **options), 1)


def first_refusal(folder):
    hosts = opened(folder)
    assert len(hosts.refs) >= 1
    return hosts.refusals[0]


def write_hosts(folder, n=3, **changes):
    for i in range(n):
        (folder / f"h{i}.npz").write_bytes(_npz(channel_first(seed=i, ra=10.0 + i) | changes))


@plant("folder-same-galaxy-twice")
def twins(folder):
    write_hosts(folder, 2, ra=10.0)
    return first_refusal(folder)


@plant("folder-same-id-twice")
def same_id(folder):
    write_hosts(folder, 2, host_id="ngc-1")
    return first_refusal(folder)


@plant("folder-twins-across-zero")
def across_zero(folder):
    """RA 359.9999 and 0.0001: 0.7 arcsec apart."""
    for name, ra in (("a", 359.9999), ("b", 0.0)):
        (folder / f"{name}.npz").write_bytes(_npz(channel_first(ra=ra, dec=0.0)))
    return first_refusal(folder)


@plant("folder-twins-at-the-pole")
def at_the_pole(folder):
    for name, ra in (("a", 10.0), ("b", 190.0)):
        (folder / f"{name}.npz").write_bytes(_npz(channel_first(ra=ra, dec=89.99995)))
    return first_refusal(folder)


@plant("folder-overlapping-bricks")
def overlapping(folder):
    """One galaxy cut from two bricks that overlap."""
    for name in ("1500p020", "1503p020"):
        content = channel_first(ra=150.125, dec=2.0) | {"brickname": name}
        (folder / f"{name}.npz").write_bytes(npz(**content))
    return first_refusal(folder)


@plant("folder-other-files")
def other_files(folder):
    write_hosts(folder)
    (folder / "notes.md").write_text("x")
    return first_refusal(folder)


@plant("folder-bad-file-among-good")
def bad_among_good(folder):
    write_hosts(folder)
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 torn")
    return first_refusal(folder)


@plant("folder-known-lens")
def known_lens(folder):
    write_hosts(folder)
    (folder.parent / "lenses.csv").write_text("name,ra,dec\nA,10.0,2.0\n")
    hosts = open_hosts(HostsConfig(spec=str(folder), known_lenses=str(folder.parent / "lenses.csv")), 1)
    return hosts.refusals[0]


plant("folder-absent")(lambda folder: opened(folder / "absent"))
plant("folder-empty")(opened)


@plant("folder-all-bad")
def all_bad(folder):
    write_hosts(folder, pixscale=0.4)
    return opened(folder)


@plant("hosts-archive")
def hosts_archive(folder):
    (folder / "hosts.zip").write_bytes(archive({"a.npz": b"x"}))
    return opened(folder / "hosts.zip")


@plant("hosts-list")
def hosts_list(folder):
    (folder / "list.txt").write_text("a.npz\n")
    return opened(folder / "list.txt")


CUBE = {
    "no-pixscale": {"pixscale": None},
    "short-positions": {"ra": np.zeros(2), "dec": np.zeros(2)},
    "ivar-key": {"ivar": np.stack([INVVAR] * 3)},
    "masked": {"mask": square(40)},
    "pixscale-list": {"pixscale": np.full(3, 0.262)},
    "one-redshift": {"z_phot": np.float64(0.4)},
}


def cube(folder, change):
    many = np.stack([channel_first(seed=i)["image_nmgy"] for i in range(3)])
    content = {"image_nmgy": many, "bands": np.array(["g", "r", "z"]), "pixscale": 0.262} | change
    np.savez(folder / "cube.npz", **{k: v for k, v in content.items() if v is not None})
    return opened(folder)


plants("cube", CUBE, cube)


@plant("cube-table-of-another")
def cube_table(folder):
    (folder / "about.csv").write_text("star_snr_r,star_fwhm_r\n20,1.1\n")
    return cube(folder, {})
