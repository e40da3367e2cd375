"""A writer of survey bricks: file names, HDUs, header keywords and compression of Legacy Surveys DR9 and DR10.

Taken from legacysurvey.org/dr10/files and legacypipe (``survey.find_file``, ``survey.get_compression_string``,
``coadds.write_coadd_images``, ``utils.copy_header_with_wcs``): RICE compression in 100 x 100 tiles, images quantised at
1e-4 nanomaggies with subtractive dither, one TAN WCS with its reference pixel at the middle.
"""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from dhs.survey.bricks import brick

PIXEL_DEG = 0.262 / 3600
BANDS = ("g", "r", "z")
SIGMA = (0.0016, 0.0026, 0.0074)
FWHM = (1.35, 1.25, 1.15)
RELEASE = 10000


def brick_wcs(ra: float, dec: float, size: int) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [size / 2 + 0.5] * 2
    wcs.wcs.cd = [[-PIXEL_DEG, 0.0], [0.0, PIXEL_DEG]]
    return wcs


def header(wcs: WCS, name: str, ra: float, dec: float, kind: str, product: str, band: str = "") -> fits.Header:
    h = fits.Header()
    h["BRICKNAM"] = (name, "LegacySurvey brick RRRr[pm]DDd")
    h["BRICKRA"], h["BRICKDEC"] = ra, dec
    h.update(wcs.to_header())
    for i in (1, 2):
        h[f"CTYPE{i}"] = wcs.wcs.ctype[i - 1]
        for j in (1, 2):
            h.pop(f"PC{i}_{j}", None)
            h[f"CD{i}_{j}"] = wcs.wcs.cd[i - 1, j - 1]
        h.pop(f"CDELT{i}", None)
    h["EQUINOX"] = (2000.0, "WCS epoch")
    h["IMTYPE"], h["PRODTYPE"] = kind, product
    if band:
        h["FILTERX"], h["TELESCOP"], h["INSTRUME"] = band, "CTIO 4.0-m telescope", "DECam"
    if kind == "image":
        h["MAGZERO"], h["BUNIT"] = 22.5, "nanomaggy"
    elif kind == "invvar":
        h["BUNIT"] = "1/nanomaggy^2"
    elif kind == "psfsize":
        h["BUNIT"] = "arcsec"
    return h


def write(path: Path, data, head: fits.Header, extname: str, quantum: float | None = None) -> None:
    kind = {"compression_type": "RICE_1", "tile_shape": (100, 100)}
    if quantum is None and data.dtype.kind == "f":
        kind["compression_type"] = "GZIP_1"
        kind["quantize_level"] = 0.0
    elif quantum is not None:
        kind |= {"quantize_level": -quantum, "quantize_method": 2, "dither_seed": 1}
    hdu = fits.CompImageHDU(data, head, name=extname, **kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def write_brick(root, ra: float, dec: float, n_targets: int = 6, size: int = 800, seed: int = 0, copsf: bool = False):
    """Write the coadds of the brick that holds a position, its targets on it, and its Tractor catalogue.

    Returns
    -------
    name : str
    wcs : astropy.wcs.WCS
    images : dict of ndarray
        What was written, before compression: (kind, band) and ``maskbits``.
    catalogue : astropy.table.Table
    """
    name, ra_c, dec_c = brick(ra, dec)
    folder = Path(root) / "coadd" / name[:3] / name
    wcs, rng = brick_wcs(ra_c, dec_c, size), np.random.default_rng(seed)
    centres = np.linspace(60, size - 60, int(np.ceil(np.sqrt(n_targets))))
    grid = np.array([(x, y) for y in centres for x in centres])[:n_targets] + rng.uniform(-0.5, 0.5, (n_targets, 2))
    images, (y, x) = {}, np.mgrid[:size, :size].astype(np.float32)
    peaks = 10 ** rng.uniform(-0.1, 0.1, n_targets)
    for band, sigma, fwhm, amplitude in zip(BANDS, SIGMA, FWHM, (0.12, 0.6, 1.3)):
        image = rng.normal(0, sigma, (size, size)).astype(np.float32)
        for (x0, y0), peak in zip(grid, peaks):
            near = np.s_[max(int(y0) - 40, 0) : int(y0) + 41, max(int(x0) - 40, 0) : int(x0) + 41]
            r2 = (x[near] - x0) ** 2 + ((y[near] - y0) / 0.8) ** 2
            image[near] += amplitude * peak * (1 + r2 / 9) ** -2.0
        images["image", band] = image
        images["invvar", band] = np.full((size, size), sigma**-2, np.float32)
        images["psfsize", band] = np.full((size, size), fwhm, np.float32)
    images["maskbits"] = np.zeros((size, size), np.int16)
    write_coadds(folder, name, wcs, (ra_c, dec_c), images, copsf)
    catalogue = tractor(name, wcs.wcs_pix2world(grid, 0), rng)
    path = Path(root) / "tractor" / name[:3] / f"tractor-{name}.fits"
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue.write(path, overwrite=True)
    return name, wcs, images, catalogue


def write_coadds(folder: Path, name: str, wcs: WCS, centre, images: dict, copsf: bool = False) -> None:
    quanta = {"image": 1e-4, "invvar": 16.0, "psfsize": None}
    products = {"image": "image", "invvar": "wtmap", "psfsize": "psfsize"}
    for band in BANDS:
        for kind, quantum in quanta.items():
            head = header(wcs, name, *centre, kind, products[kind], band)
            path = folder / f"legacysurvey-{name}-{kind}-{band}.fits.fz"
            write(path, images[kind, band], head, f"{kind.upper()}_{band}", quantum)
        if copsf:
            axis = np.arange(-31, 32) * 0.262
            alpha = FWHM[BANDS.index(band)] / (2 * np.sqrt(2 ** (1 / 3.5) - 1))
            psf = (1 + (axis[:, None] ** 2 + axis**2) / alpha**2) ** -3.5
            path = folder / f"legacysurvey-{name}-copsf-{band}.fits.fz"
            write(path, (psf / psf.sum()).astype(np.float32), fits.Header({"BAND": band}), "COPSF")
    head = header(wcs, name, *centre, "maskbits", "maskbits")
    write(folder / f"legacysurvey-{name}-maskbits.fits.fz", images["maskbits"], head, "MASKBITS")


def tractor(name: str, positions: np.ndarray, rng) -> Table:
    """A Tractor catalogue of LRGs at the positions: lower-case columns, fluxes in nanomaggies, as the survey writes."""
    n = len(positions)
    brickid = int(name[:4]) * 1000 + int(name[5:])
    table = Table({"release": np.full(n, RELEASE, np.int16), "brickid": np.full(n, brickid, np.int32)})
    table["brickname"], table["objid"] = np.full(n, name), np.arange(n, dtype=np.int32)
    table["brick_primary"], table["maskbits"] = np.ones(n, bool), np.zeros(n, np.int32)
    table["type"], table["ra"], table["dec"] = np.full(n, "SER"), positions[:, 0], positions[:, 1]
    # An LRG at z = 0.6: g, r, z, W1 of 22.6, 20.9, 19.6, 18.4 (Zhou et al. 2023, figure 2)
    magnitude = {"g": 22.6, "r": 20.9, "z": 19.6, "w1": 18.4}
    for band, mag in magnitude.items():
        flux = 10 ** (0.4 * (22.5 - mag - rng.normal(0, 0.02, n)))
        table[f"flux_{band}"] = flux.astype(np.float32)
        table[f"flux_ivar_{band}"] = np.full(n, 400.0, np.float32)
        table[f"mw_transmission_{band}"] = np.full(n, 0.95, np.float32)
    table["fiberflux_z"] = (0.55 * table["flux_z"]).astype(np.float32)
    table["fibertotflux_z"] = table["fiberflux_z"]
    for band in BANDS:
        table[f"nobs_{band}"] = np.full(n, 3, np.int16)
    table["gaia_phot_g_mean_mag"] = np.zeros(n, np.float32)
    return table
