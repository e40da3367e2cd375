"""One row of the earlier data format (`dhs.datasets.earlier.convert`) as one of ours, or the reason why not."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, replace
from zipfile import BadZipFile

import numpy as np

from dhs.datasets import writer as parts
from dhs.datasets.schema import BANDS
from dhs.encoding import encode, quantise
from dhs.errors import InputRefused, Refusal
from dhs.injection.lens import ISOTHERMAL
from dhs.injection.noise import INFINITE_GAIN
from dhs.injection.pair import ARC_LEVELS, noise_variance
from dhs.injection.snr import R_BAND, snr_matched
from dhs.random import rng_key
from dhs.survey import facts
from dhs.survey.hosts.cutouts import PLAUSIBLE_FWHM, stamp_of
from dhs.survey.hosts.cutouts.archive import check
from dhs.survey.hosts.stamp import HostStamp

SEED = 0  # of rng_key; no stream is drawn from it
FLAGS = ("earlier_format", "arc_has_shot_noise")
IMAGES = ("ctrl_stamp_npz", "stamp_npz")
NUMBERS = (
    *("ra", "dec", "theta_e_arcsec", "src_x_arcsec", "src_y_arcsec", "lens_e", "lens_phi_rad"),
    *("shear", "shear_phi_rad", "arc_snr"),
)
OPTIONAL = (
    *("task_id", "brickname", "region_split", "is_control", "cutout_ok", "cosmos_index", "magnification"),
    *("psfsize_r", *(f"psf_fwhm_used_{band}" for band in BANDS)),
)
NPZ_ERRORS = (
    *(BadZipFile, zlib.error, ValueError, EOFError, OSError, TypeError, AttributeError),
    *(NotImplementedError, RuntimeError),
)
AGAIN = "Make the row again, or leave it out."
REMEDIES = {
    "is_control": "Nothing to do: every pair brings its own control.",
    "cutout_not_ok": "Nothing to do: the set itself marks the cutout as bad.",
    "split_mismatch": "Put the row into the folder of its region_split, or correct the column.",
    "duplicate_id": "Give every row a task_id of its own.",
    "no_arc": "Leave the row out, or mark it is_control.",
    "implausible_value": "Look for saturated or wrongly scaled pixels (AB zero-point 22.5).",
}

DERIVED = {
    "pair_id": "position of the row over all readable files (train, val, test; files by name), refused rows counted",
    "host_id": "brickname, ra and dec",
    "source_id": "cosmos_index; empty where there is none",
    "split": "folder; region_split must agree where there is one",
    "brickname": "the row's, else the brick of ra, dec",
    "healpix": "cell, nested, of the centre of the brick that holds ra, dec",
    "arc": "stamp - control: the arc with its own shot noise",
    "sky_sigma_{g,r,z}": "1.4826 MAD of the control's sky pixels",
    "lag1": "correlation of the control's sky pixels",
    "gain_{g,r,z}": f"{INFINITE_GAIN:g}, which stands for infinite: the arc has its shot noise and gets no other",
    "q": "(1 - lens_e) / (1 + lens_e)",
    "phi_rad": "lens_phi_rad",
    "gamma1, gamma2": "shear cos, sin of 2 shear_phi_rad",
    "slope": "2: the earlier lenses are isothermal",
    "lens_x_arcsec, lens_y_arcsec": "0: the centre of the stamp",
    "arc_snr_maxpix": "arc_snr, as the earlier pipeline measured it",
    "arc_snr_matched": "matched filter on the arc, host shot noise with the gain that the sky noise implies; the arc's "
    "own shot noise makes it somewhat high",
    "arc_flux_{g,r,z}": "sum of the arc",
    "psf_fwhm_{g,r,z}_arcsec": "psf_fwhm_used_*, in r else psfsize_r; a band without either has the survey's typical "
    "ratio to r and the flag psf_assumed",
    "flags": ", ".join((*FLAGS, "gain_assumed", "sigma_from_mad", "psf_assumed")),
    "rng_key": "0:pair_id; nothing is drawn from it",
}
"""How each column was got that the earlier format does not hold as it is."""

UNKNOWN = (
    *("src_phi_rad", "flux_scale", "z_lens", "z_source", "n_images", "src_r50_arcsec", "arc_r50_arcsec"),
    *("sigma_v_kms", "lens_mag_r", "population_weight", "n_rejected", "invvar", "psf"),
)
"""Columns that stay null or NaN."""


@dataclass(frozen=True)
class Place:
    """Where a row stands: its file within the set, row in the file, split of its folder, and ``pair_id``."""

    file: str
    row: int
    split: str
    pair_id: int


def convert_row(row: dict, place: Place, repeated: bool, nside: int) -> dict:
    """Columns of the stored form of `PAIR_SCHEMA` from one earlier row.

    Parameters
    ----------
    row : dict
        ``stamp_npz``, ``ctrl_stamp_npz`` (bytes) and scalars; a column may be missing.
    place : Place
    repeated : bool
        Whether an earlier row has the same ``task_id``.
    nside : int
        Of the column ``healpix``.

    Raises
    ------
    InputRefused
        With stage ``row``.
    """
    _refuse_marked(row, place, repeated)
    number = {name: _number(row, name) for name in NUMBERS}
    _check_numbers(row, number, place)
    control, stamp = (_read_image(row, name, place) for name in IMAGES)
    host = _host(row, number, control, place)
    step = host.sky_sigma / ARC_LEVELS
    try:
        columns = parts.host_columns(host, nside)
        arc = quantise(stamp - host.image, step)
        encoded = encode(arc, step)
    except ValueError as error:
        raise _refuse(row, place, "implausible_value", str(error)) from None
    if arc[R_BAND].max() <= 0:
        raise _refuse(row, place, "no_arc", "stamp and control are the same in r: no light was added")
    source = row.get("cosmos_index")
    own = {
        "pair_id": place.pair_id,
        "split": place.split,
        "rng_key": rng_key(SEED, place.pair_id),
        "source_id": "" if source is None else f"cosmos-{source}",
        "arc": encoded,
        **{name: number[name] for name in ("theta_e_arcsec", "src_x_arcsec", "src_y_arcsec")},
        "q": (1.0 - number["lens_e"]) / (1.0 + number["lens_e"]),
        "phi_rad": number["lens_phi_rad"],
        "gamma1": number["shear"] * np.cos(2.0 * number["shear_phi_rad"]),
        "gamma2": number["shear"] * np.sin(2.0 * number["shear_phi_rad"]),
        "slope": ISOTHERMAL,
        "lens_x_arcsec": 0.0,
        "lens_y_arcsec": 0.0,
        "arc_snr_maxpix": number["arc_snr"],
        "arc_snr_matched": snr_matched(arc, noise_variance(host), host.lag1),
        "magnification": _number(row, "magnification"),
        **{f"gain_{band}": INFINITE_GAIN for band in BANDS},
        **parts.arc_flux_columns(arc),
        "flags": sorted({*host.flags, *FLAGS}),
    }
    unknown = {name: None if name in ("invvar", "psf", "n_images", "n_rejected") else np.nan for name in UNKNOWN}
    return {**unknown, **columns, **own}


def _refuse(row: dict, place: Place, code: str, message: str, remedy: str = "") -> InputRefused:
    ident = "" if row.get("task_id") is None else str(row["task_id"])
    remedy = remedy or REMEDIES.get(code, AGAIN)
    return InputRefused(Refusal(ident, place.file, place.row, "row", code, message, remedy))


def _refuse_marked(row: dict, place: Place, repeated: bool) -> None:
    if row.get("is_control"):
        raise _refuse(row, place, "is_control", "the row is a control: no arc was added to its stamp")
    if row.get("cutout_ok") not in (None, True, 1):
        raise _refuse(row, place, "cutout_not_ok", "cutout_ok is false")
    said = row.get("region_split")
    if said is not None and said != place.split:
        raise _refuse(row, place, "split_mismatch", f"region_split is {said!r}, the folder is {place.split!r}")
    if repeated:
        raise _refuse(row, place, "duplicate_id", f"task_id {row['task_id']!r} is taken by an earlier row")


def _number(row: dict, name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError):
        return float("nan")


def _check_numbers(row: dict, number: dict, place: Place) -> None:
    absent = [name for name, value in number.items() if not np.isfinite(value)]
    if absent:
        raise _refuse(row, place, "missing_value", f"no finite number under {', '.join(absent)}")
    limits = {"theta_e_arcsec": (0.0, np.inf), "lens_e": (0.0, 1.0), "shear": (-1.0, 1.0), "arc_snr": (0.0, np.inf)}
    for name, (low, high) in limits.items():
        value = number[name]
        inside = low < value < high or (value == low and name == "lens_e")
        if not inside:
            raise _refuse(row, place, "bad_value", f"{name} is {value:g}, not between {low:g} and {high:g}")


def _read_image(row: dict, name: str, place: Place) -> np.ndarray:
    """(3, 64, 64) float32 of one npz column."""
    if not isinstance(row[name], bytes) or not row[name]:
        raise _refuse(row, place, "missing_image", f"{name} is empty")
    try:
        check(row[name])
        with np.load(io.BytesIO(row[name]), allow_pickle=False) as archive:
            bands = {band: archive[f"image_{band}"] for band in BANDS if f"image_{band}" in archive.files}
    except NPZ_ERRORS as error:
        raise _refuse(row, place, "unreadable_npz", f"{name} is not a readable npz ({error})") from None
    missing = [band for band in BANDS if band not in bands]
    if missing:
        raise _refuse(row, place, "missing_band", f"{name} has no {', '.join(missing)} band")
    for band, image in bands.items():
        if image.shape != (facts.STAMP, facts.STAMP) or image.dtype.kind not in "fiu":
            raise _refuse(
                row,
                place,
                "wrong_shape",
                f"{name}, image_{band} has shape {image.shape} and dtype {image.dtype}, not ({facts.STAMP}, "
                f"{facts.STAMP}) numbers",
            )
    with np.errstate(over="ignore"):
        cube = np.stack([bands[band] for band in BANDS]).astype(np.float32)
    bad = int(cube.size - np.isfinite(cube).sum())
    if bad:
        raise _refuse(row, place, "not_finite", f"{name} has {bad} NaN or infinite pixels")
    return cube


def _host(row: dict, number: dict, control: np.ndarray, place: Place) -> HostStamp:
    """The control as a host stamp, checked as a cutout is, its noise measured."""
    ra, dec = number["ra"], number["dec"]
    fwhm, flags = _psf_fwhm(row)
    content = {
        "image": control,
        "bands": list(BANDS),
        "ra": ra,
        "dec": dec,
        "pixel_scale": facts.PIXEL_SCALE,
        "psf_fwhm": fwhm,
        "brickname": row.get("brickname") or None,
        "flags": flags,
    }
    try:
        host = stamp_of(content, place.file, place.row)
    except InputRefused as error:
        found = error.refusal
        raise _refuse(row, place, found.code, f"ctrl_stamp_npz: {found.message}", found.remedy) from None
    return replace(host, host_id=f"{host.brickname}_{ra % 360.0:.6f}_{dec:+.6f}")


def _psf_fwhm(row: dict) -> tuple[np.ndarray, list[str]]:
    """(3,) FWHM in arcsec, and the flag of a band that had none."""
    low, high = PLAUSIBLE_FWHM
    used = np.array([_number(row, f"psf_fwhm_used_{band}") for band in BANDS])
    if not low <= used[R_BAND] <= high:
        used[R_BAND] = _number(row, "psfsize_r")
    known = (used >= low) & (used <= high)
    typical = np.array([band.psf_fwhm_arcsec for band in facts.BANDS])
    scale = used[R_BAND] / typical[R_BAND] if known[R_BAND] else 1.0
    return np.where(known, used, np.clip(typical * scale, low, high)), [] if known.all() else ["psf_assumed"]
