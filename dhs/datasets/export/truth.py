"""``dhs export truth``: the lens of each pair in the COOLEST standard (Galan et al. 2023, JOSS 8, 5567), one file each.

COOLEST measures angles in degrees from north through east and puts the shear's origin at the middle of the frame; there
a pair's source lies elsewhere by what the shear does to the lens's own place.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pyarrow as pa

from dhs import storage
from dhs.datasets import preregistration
from dhs.datasets.reader import Pairs, open_pairs, rows, stamp
from dhs.datasets.schema import SCALARS, SPLITS
from dhs.errors import DhsError, UsageError
from dhs.injection.snr import R_BAND
from dhs.survey.cosmology import COSMOLOGY
from dhs.survey.facts import PIXEL_SCALE, STAMP

R_ZERO_POINT = 22.5
SOURCE = (
    "The source is a galaxy's image; the Sersic profile here has its position and half-light radius, not its shape: "
    "index and axis ratio stand for nothing, and no brightness is given."
)


def export_truth(
    data_path: str | Path, out: str | Path, *, format: str = "coolest", split: str = "val", n: int | None = None
) -> list[str]:
    """Write one JSON a lens, ``pair-<pair_id>.json``, and its stamp in r beside it, ``pair-<pair_id>.fits``.

    Parameters
    ----------
    data_path : str or Path
        A pairs data set.
    out : str or Path
        Folder.
    format : {"coolest"}
    split : str
        ``test`` is given out only where a plan is registered.
    n : int, optional
        At most so many, from the split's start.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    UsageError
        No such format or split.
    DhsError
        The split is empty, or is the test split and no plan is registered.
    """
    if format != "coolest" or split not in SPLITS:
        raise UsageError(
            f"--format {format} --split {split}: the format is coolest, the split one of {', '.join(SPLITS)}"
        )
    pairs = open_pairs(data_path)
    if split == "test":
        preregistration.open_test(pairs, what="export")
    paths: list[str] = []
    for batch in pairs.batches(split, [*SCALARS, "control", "arc"]):
        for row in rows(pa.Table.from_batches([batch])):
            if n is not None and len(paths) >= 2 * n:
                return paths
            stem = storage.join(out, f"pair-{row['pair_id']}")
            storage.write_json(f"{stem}.json", coolest(row, pairs))
            storage.write_bytes(f"{stem}.fits", _fits(stamp(row)[R_BAND]))
            paths += [f"{stem}.json", f"{stem}.fits"]
    if not paths:
        raise DhsError(f"{data_path}: the {split} split is empty. Give another --split.")
    return paths


def _fits(image: np.ndarray) -> bytes:
    from astropy.io import fits

    buffer, hdu = io.BytesIO(), fits.PrimaryHDU(image.astype(np.float32))
    hdu.header["BUNIT"] = "nanomaggy"
    hdu.writeto(buffer)
    return buffer.getvalue()


def coolest(row: dict, pairs: Pairs) -> dict:
    """The COOLEST document of one pair: its r-band frame, lens, shear and source."""
    half = STAMP * PIXEL_SCALE / 2
    x, y, g1, g2 = (float(row[k]) for k in ("lens_x_arcsec", "lens_y_arcsec", "gamma1", "gamma2"))
    mass = {"gamma": row.get("slope") or 2.0, "theta_E": row["theta_e_arcsec"], "q": row["q"]}
    mass |= {"phi": east_of_north(row["phi_rad"]), "center_x": x, "center_y": y}
    shear = {"gamma_ext": math.hypot(g1, g2), "phi_ext": east_of_north(math.atan2(g2, g1) / 2)}
    place = {"center_x": row["src_x_arcsec"] - (g1 * x + g2 * y), "center_y": row["src_y_arcsec"] - (g2 * x - g1 * y)}
    light = {"I_eff": None, "n": 1.0, "q": 1.0, "phi": 0.0, "theta_eff": row["src_r50_arcsec"]} | place
    fwhm = {
        "description": "Moffat profile, or the host's own PSF image",
        "fwhm": row["psf_fwhm_r_arcsec"] / PIXEL_SCALE,
    }
    lens = {"type": "Galaxy", "name": "lens", "redshift": _number(row["z_lens"]), "light_model": []}
    lens["mass_model"] = [_profile(1, "mass", "PEMD", mass)]
    source = {"type": "Galaxy", "name": "source", "redshift": _number(row["z_source"]), "mass_model": []}
    source["light_model"] = [_profile(2, "light", "Sersic", light)]
    field: dict = {"type": "MassField", "name": "shear", "redshift": _number(row["z_lens"])}
    field["mass_model"] = [_profile(0, "mass", "ExternalShear", shear, "massfield")]
    return {
        "standard": "COOLEST",
        "mode": "MOCK",
        "coordinates_origin": {"ra": f"{row['ra']:.8f}d", "dec": f"{row['dec']:.8f}d"},
        "cosmology": {"H0": COSMOLOGY.H0.value, "Om0": COSMOLOGY.Om0, "astropy_name": "FlatLambdaCDM"},
        "instrument": {"name": "Legacy Surveys", "band": "r", "pixel_size": PIXEL_SCALE, "readout_noise": 0.0}
        | {"psf": {"type": "GaussianPSF"} | fwhm},
        "observation": {
            "exposure_time": None,
            "mag_zero_point": R_ZERO_POINT,
            "mag_sky_brightness": None,
            "noise": {"type": "UniformGaussianNoise", "std_dev": row["sky_sigma_r"]},
            "pixels": {
                "field_of_view_x": [-half, half],
                "field_of_view_y": [-half, half],
                "num_pix_x": STAMP,
                "num_pix_y": STAMP,
                "fits_file": {"path": f"pair-{row['pair_id']}.fits"},
            },
        },
        "lensing_entities": [field, lens, source],
        "meta": {
            "pair_id": row["pair_id"],
            "host_id": row["host_id"],
            "source_id": row["source_id"],
            "mock_host": pairs.manifest["hosts"]["mock"],
            "source_light": SOURCE,
            "content_hash": pairs.manifest["content_hash"],
        },
    }


def east_of_north(radians: float) -> float:
    """Degrees from +y counter-clockwise, above -90 to 90, of an axis counter-clockwise from +x."""
    return 90.0 - (180.0 - math.degrees(radians)) % 180.0


def _number(value) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _profile(entity: int, part: str, kind: str, values: dict, owner: str = "galaxy") -> dict:
    stem = f"{entity}-{owner}-{part}-0-{kind}"
    parameters = {
        name: {"id": f"{stem}-{name}", "point_estimate": {"value": _number(v)}, "prior": {"type": None}}
        for name, v in values.items()
    }
    return {"id": stem, "type": kind, "parameters": parameters}
