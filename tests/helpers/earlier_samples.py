"""Sets in the earlier data format, bad rows of every kind among them, with the truth behind every row.

Nothing here uses the code under test: lenses are shot with lenstronomy, noise and galaxies are drawn with numpy.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lenstronomy.LensModel.lens_model import LensModel
from scipy.ndimage import gaussian_filter

SIDE, PIXEL = 64, 0.262
SIGMA = np.array([0.0016, 0.0026, 0.0074])
GAIN = np.array([5e4, 4e4, 3e4])
LENS = LensModel(["SIE", "SHEAR"])
AXIS = (np.arange(SIDE) - (SIDE - 1) / 2) * PIXEL
X, Y = np.meshgrid(AXIS, AXIS)
FIRST_RA = {"train": 10.0, "val": 110.0, "test": 210.0}  # far enough apart to share no brick or cell


@dataclass
class Row:
    """One row: where it stands, the code it is refused with (or ""), what is written, and the arrays behind it."""

    split: str
    file: str
    row: int
    code: str
    columns: dict
    control: np.ndarray
    stamp: np.ndarray
    light: np.ndarray
    truth: dict = field(default_factory=dict)


def npz(image: np.ndarray, bands: str = "grz", **more) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f"image_{b}": image["grz".index(b)] for b in bands}, **more)
    return buffer.getvalue()


def make_row(split: str, file: str, number: int, rng: np.random.Generator) -> Row:
    """A good row."""
    theta_e, q, phi = rng.uniform(0.7, 2.0), rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
    shear, shear_phi = rng.uniform(0, 0.08), rng.uniform(0, np.pi)
    radius, angle = 0.4 * theta_e * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
    src = radius * np.cos(angle), radius * np.sin(angle)
    e = (1 - q) / (1 + q)
    fwhm = np.array([1.4, 1.25, 1.15]) * rng.uniform(0.9, 1.1)
    mass = {"theta_E": theta_e, "e1": e * np.cos(2 * phi), "e2": e * np.sin(2 * phi), "center_x": 0, "center_y": 0}
    tide = {"gamma1": shear * np.cos(2 * shear_phi), "gamma2": shear * np.sin(2 * shear_phi)}
    beta_x, beta_y = LENS.ray_shooting(X.ravel(), Y.ravel(), [mass, tide])
    light = np.exp(-((beta_x - src[0]) ** 2 + (beta_y - src[1]) ** 2) / (2 * 0.2**2)).reshape(SIDE, SIDE)
    light = np.stack([gaussian_filter(light, w / PIXEL / 2.355) for w in fwhm])
    snr = rng.uniform(10, 40)
    light *= snr * SIGMA[1] / light[1].max() * np.array([0.6, 1.0, 1.4])[:, None, None]
    galaxy = np.exp(-np.hypot(X, Y) / rng.uniform(0.5, 1.0)) * np.array([0.08, 0.25, 0.4])[:, None, None]
    control = (galaxy + rng.normal(size=light.shape) * SIGMA[:, None, None]).astype(np.float32)
    shot = (rng.poisson(light * GAIN[:, None, None]) / GAIN[:, None, None] - light).astype(np.float32)
    stamp = (control + light + shot).astype(np.float32)
    ra, dec = FIRST_RA[split] + rng.uniform(0, 20), rng.uniform(-10, 25)
    columns = {
        "task_id": f"{file}:{number}",
        "brickname": f"{int(ra * 10):04d}{'p' if dec >= 0 else 'm'}{int(abs(dec) * 10):03d}",
        "ra": ra,
        "dec": dec,
        "region_split": split,
        "theta_e_arcsec": theta_e,
        "arc_snr": float(((light + shot)[1] / SIGMA[1]).max()),
        "arc_snr_sum": float(light[1].sum() / SIGMA[1] / SIDE),
        "psfsize_r": fwhm[1],
        "psfdepth_r": 24.0,
        "ebv": 0.03,
        **{f"psf_fwhm_used_{band}": w for band, w in zip("grz", fwhm)},
        "src_x_arcsec": src[0],
        "src_y_arcsec": src[1],
        "src_gr": 0.4,
        "src_rz": 0.3,
        "lens_e": e,
        "lens_phi_rad": phi,
        "shear": shear,
        "shear_phi_rad": shear_phi,
        "magnification": rng.uniform(3, 12),
        "cosmos_index": int(rng.integers(1000)) + {"train": 0, "val": 1000, "test": 2000}[split],
        "is_control": False,
        "cutout_ok": True,
        "bad_pixel_frac": 0.0,
        "ctrl_stamp_npz": npz(control),
        "stamp_npz": npz(stamp),
    }
    truth = {"q": q, "gamma1": tide["gamma1"], "gamma2": tide["gamma2"], "fwhm": fwhm}
    return Row(split, file, number, "", columns, control, stamp, light, truth)


def _set(**values):
    return lambda row: row.columns.update(values)


def _images(change, *names):
    """Change a copy of an image and write it again under each name."""

    def apply(row):
        for name in names:
            image = (row.control if name.startswith("ctrl") else row.stamp).copy()
            row.columns[name] = npz(change(image))

    return apply


def _with(where, value):
    def change(image):
        image[where] = value
        return image

    return change


def _pickled(row):
    row.columns["stamp_npz"] = npz(row.stamp, "gr", image_z=np.array([{"a": 1}], dtype=object))


def _cut_short(row):
    row.columns["ctrl_stamp_npz"] = row.columns["ctrl_stamp_npz"][:4000]


BOTH = ("ctrl_stamp_npz", "stamp_npz")
FAULTS = [
    ("is_control", _set(is_control=True, theta_e_arcsec=None, arc_snr=None)),
    ("cutout_not_ok", _set(cutout_ok=False)),
    ("split_mismatch", _set(region_split="elsewhere")),
    ("missing_value", _set(theta_e_arcsec=None)),
    ("missing_value", _set(src_x_arcsec=float("nan"))),
    ("bad_value", _set(lens_e=1.2)),
    ("missing_image", _set(stamp_npz=None)),
    ("unreadable_npz", _set(ctrl_stamp_npz=b"not an archive at all")),
    ("unreadable_npz", _cut_short),
    ("unreadable_npz", _pickled),
    ("missing_band", lambda row: row.columns.update(stamp_npz=npz(row.stamp, "gr"))),
    ("wrong_shape", _images(lambda image: image[:, :, :-1], "stamp_npz")),
    ("not_finite", _images(_with((1, 10, 10), np.nan), "stamp_npz")),
    ("not_finite", _images(_with((2, 3, 4), np.inf), "ctrl_stamp_npz")),
    ("empty_band", _images(_with(0, 0.0), *BOTH)),
    ("missing_data", _images(_with((1, slice(0, 20)), 0.0), *BOTH)),
    ("implausible_units", _images(lambda image: image * 1e4, *BOTH)),
    ("implausible_value", _images(_with((0, 30, 30), 1e30), *BOTH)),
    ("bad_position", _set(dec=95.0)),
    ("no_arc", lambda row: row.columns.update(stamp_npz=row.columns["ctrl_stamp_npz"])),
    ("duplicate_id", _set(task_id="train/part-0.parquet:0")),
]


def write_file(path: Path, rows: list[Row], row_group_size: int | None = None, without: tuple = ()) -> None:
    table = pa.Table.from_pylist([row.columns for row in rows]).drop_columns(list(without))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=row_group_size)


def write_earlier(folder: Path, n: int = 6, seed: int = 0, faults: bool = True, files: int = 2) -> list[Row]:
    """Write a set of ``n`` good rows a file; bad rows stand between those of the first training file.

    Returns
    -------
    list of Row
        Every row of every readable file, in the order of their files.
    """
    rng, out = np.random.default_rng(seed), []
    for split in ("train", "val", "test"):
        for number in range(files):
            file = f"{split}/part-{number}.parquet"
            bad = FAULTS if faults and file == "train/part-0.parquet" else []
            where = dict(zip(range(1, 2 * len(bad), 2), bad))  # every second row
            rows = [make_row(split, file, i, rng) for i in range(n + len(bad))]
            for i, (code, spoil) in where.items():
                if i < len(rows):
                    rows[i].code = code
                    spoil(rows[i])
            assert sum(bool(r.code) for r in rows) == len(bad), "fewer good rows than bad ones to stand between"
            write_file(folder / file, rows, row_group_size=max(len(rows) // 2, 1))
            out += rows
    if faults:
        rows = [make_row("val", "val/part-8.parquet", i, rng) for i in range(2)]
        write_file(folder / "val/part-8.parquet", rows, without=("lens_e", "stamp_npz"))
        (folder / "val/part-9.parquet").write_bytes(b"PAR1 this is no parquet file PAR1")
        (folder / "train/_SUCCESS").write_bytes(b"")
    return out
