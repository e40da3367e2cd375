"""Sets of stamps from folders, the display path, and what can be measured on a stamp whatever its units."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, UnidentifiedImageError

from dhs import storage
from dhs.datasets.reader import Pairs, rows, stamp
from dhs.datasets.schema import BANDS
from dhs.errors import DhsError, InputRefused, Refusal
from dhs.stats.pixels import radius_map
from dhs.survey.facts import STAMP

DISPLAY_NATIVE, DISPLAY_DRAWN, WHITE = 101, 154, 250  # pixels of the cutout, of its drawing, and the border's level
CLIP = 99.5  # percentile of a whole cutout, its channels together, drawn as full brightness
CENTRAL = (DISPLAY_NATIVE / STAMP) ** 2  # its brightest pixels lie in the central stamp: their share there is larger


@dataclass(frozen=True)
class StampSet:
    """Stamps to compare with others.

    Attributes
    ----------
    name : str
    images : ndarray, (n, 3, 64, 64) float32
        g, r, z: nanomaggies, or display levels between 0 and 1.
    group : ndarray, (n,) str
        Host of each stamp: what folds and intervals are grouped by.
    display : bool
    refusals : list of Refusal
    """

    name: str
    images: np.ndarray
    group: np.ndarray
    display: bool = False
    refusals: list[Refusal] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    def where(self, mask: np.ndarray) -> StampSet:
        return StampSet(self.name, self.images[mask], self.group[mask], self.display)


SHUFFLE = "hard_negative"
_PAIR_COLUMNS = ["pair_id", "host_id", "control", "arc", "rng_key", "theta_e_arcsec", "arc_snr_matched"]
_PAIR_COLUMNS += [f"{name}_{band}" for name in ("gain", "sky_sigma") for band in BANDS]


def _read(pairs: Pairs, ids: list[int], columns: list[str], negatives: bool = False) -> dict[int, dict]:
    dataset = pairs.dataset(negatives=negatives)
    if dataset is None or not ids:
        return {}
    found: dict[int, dict] = {}
    wanted = pc.field("pair_id").isin(ids)
    for batch in dataset.to_batches(columns=columns, filter=wanted, batch_readahead=2, fragment_readahead=1):
        found |= {row["pair_id"]: row for row in rows(pa.Table.from_batches([batch]))} if batch.num_rows else {}
    return found


def by_pair(pairs: Pairs, pair_ids: Iterable[int], kind: str = "positive") -> tuple[np.ndarray, list[dict]]:
    """Stamps of some pairs.

    Parameters
    ----------
    pairs : Pairs
    pair_ids : iterable of int
        Those that the set does not hold, or of which no hard negative was made, are left out.
    kind : str
        ``positive``, ``control``, ``arc``, or one that starts with ``hard_negative``.

    Returns
    -------
    stamps : ndarray, (n, 3, 64, 64) float32
        Nanomaggies.
    rows : list of dict
        The row of each.
    """
    ids = [int(i) for i in pair_ids]
    found = _read(pairs, ids, _PAIR_COLUMNS)
    if kind.startswith(SHUFFLE):
        light = _read(pairs, ids, ["pair_id", "light", "rng_key"], negatives=True)
        found = {i: {k: v for k, v in found[i].items() if k != "arc"} | light[i] for i in light if i in found}
    chosen = [found[i] for i in ids if i in found]
    if kind in ("control", "arc"):
        images = [row[kind] for row in chosen]
    else:
        images = [stamp(row) for row in chosen]
    return (np.stack(images) if images else np.empty((0, 3, 64, 64), np.float32)), chosen


def of_pairs(pairs: Pairs, split: str = "test", kind: str = "positive", limit: int = 2000) -> StampSet:
    """Positives (or controls) of a split, at most ``limit`` from its start."""
    images, group = [], []
    for batch in pairs.batches(split, _PAIR_COLUMNS):
        for row in rows(pa.Table.from_batches([batch])):
            if len(images) < limit:
                images.append(stamp(row) if kind == "positive" else row[kind])
                group.append(str(row["host_id"]))
        if len(images) >= limit:
            break
    stack = np.stack(images).astype(np.float32) if images else np.empty((0, 3, STAMP, STAMP), np.float32)
    return StampSet(f"{kind}s", stack, np.array(group, dtype=str))


def of_folder(spec: str) -> StampSet:
    """Cutouts (npz, FITS) or display pictures (PNG) of a folder.

    Raises
    ------
    DhsError
        No such folder, both kinds in one folder, or nothing in it that can be read.
    """
    name = str(spec).rstrip("/").rsplit("/", 1)[-1]
    pictures = storage.list_files(spec, (".png",))
    if pictures and storage.list_files(spec, (".npz", ".fits", ".fits.gz", ".fits.fz")):
        raise DhsError(f"{spec}: holds display pictures and flux cutouts. Keep them in folders of their own.")
    images, group, refusals = [], [], []
    if pictures:
        for file in pictures:
            try:
                images.append(read_display(storage.read_bytes(file), file))
                group.append(file.rsplit("/", 1)[-1])
            except InputRefused as error:
                refusals.append(error.refusal)
    else:
        from dhs.survey.hosts.open import open_cutouts

        hosts = open_cutouts(spec)
        refusals = list(hosts.refusals)
        images = [hosts.read(i).image for i in range(len(hosts.refs))]
        group = [ref.host_id for ref in hosts.refs]
    if not images:
        raise DhsError(f"{spec}: no stamp could be read ({refusals[0].message if refusals else 'it is empty'}).")
    return StampSet(name, np.stack(images).astype(np.float32), np.array(group), bool(pictures), refusals)


def _resize(levels: np.ndarray, side: int) -> np.ndarray:
    """(y, x, 3) uint8 resampled with a Hamming window, as the pictures were drawn."""
    return np.asarray(Image.fromarray(levels).resize((side, side), Image.Resampling.HAMMING))


def read_display(data: bytes, name: str) -> np.ndarray:
    """A display picture as (3, 64, 64) levels 0 to 1 in the order g, r, z.

    The pictures are 101-pixel cutouts, RGB = z, r, g, linear from 0 to the 99.5 percentile of the three channels
    together (z saturates in about 1 % of pixels, g in none), drawn on 154 pixels within a white border. The border is
    cut, the native pixels are restored and the central 64 are kept.

    Raises
    ------
    InputRefused
        Not a picture, or not one of this layout.
    """
    try:
        levels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise _refused(name, "unreadable", f"not a readable picture ({error})") from None
    inside = ~(levels >= WHITE).all(axis=2)
    lines, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    shape = (len(lines) and int(np.ptp(lines)) + 1, len(columns) and int(np.ptp(columns)) + 1)
    if any(abs(n - DISPLAY_DRAWN) > 1 for n in shape):
        raise _refused(name, "wrong_shape", f"its picture is {shape} pixels, {DISPLAY_DRAWN} are expected")
    native = _resize(
        np.ascontiguousarray(levels[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1]), DISPLAY_NATIVE
    )
    start = (DISPLAY_NATIVE - STAMP) // 2
    crop = native[start : start + STAMP, start : start + STAMP, ::-1]
    return np.ascontiguousarray(crop[::-1].transpose(2, 0, 1), dtype=np.float32) / 255


def _refused(name: str, code: str, message: str) -> InputRefused:
    remedy = "Give pictures drawn as those of stronglens-realism-gap, or flux cutouts."
    return InputRefused(Refusal(name.rsplit("/", 1)[-1], name, -1, "host", code, message, remedy))


def as_display(stamps: StampSet) -> StampSet:
    """Flux stamps through the stretch and the drawing of `read_display`'s pictures.

    A 64-pixel stamp is the middle of a 101-pixel cutout. As many pixels are clipped at the bright end as there, where
    nearly all of them lie in the middle.
    """
    if stamps.display:
        return stamps
    percentile = 100 - (100 - CLIP) * CENTRAL
    drawn = round(STAMP * DISPLAY_DRAWN / DISPLAY_NATIVE)
    out = np.empty_like(stamps.images)
    for i, image in enumerate(stamps.images):
        levels = np.round(255 * np.clip(image / max(np.percentile(image, percentile), 1e-12), 0, 1)).astype(np.uint8)
        there_and_back = _resize(_resize(np.ascontiguousarray(levels.transpose(1, 2, 0)), drawn), STAMP)
        out[i] = there_and_back.transpose(2, 0, 1) / 255
    return StampSet(stamps.name, out, stamps.group, True, stamps.refusals)


CORE_PX, BODY_PX = 6.0, 12.0
RINGS = (0.0, 2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 18.0, 23.0, 28.0)
AT_A_TIME = 256
FREQUENCIES = (0.15, 0.25, 0.35, 0.5)  # cycles a pixel


def describe(images: np.ndarray) -> dict[str, np.ndarray]:
    """What is measured on each stamp, by family; logarithms and ratios, so that units drop out.

    Parameters
    ----------
    images : ndarray, (n, 3, 64, 64)
        Measured some at a time: each takes far more room than its pixels.

    Returns
    -------
    dict of str to ndarray, (n, k)
        ``match``: log flux in r, g/r and z/r within 6 pixels, log half-light radius within 12 pixels: the host.
        ``radial profile``: log mean surface brightness in r by ring over that within 2 pixels.
        ``colour``: g/r and z/r between 4 and 12 pixels, and over the core's: where arcs lie.
        ``high-frequency power``: share of the power spectrum above 0.15 cycles a pixel, in three bands, for g, r, z.
    """
    some = [_describe(images[i : i + AT_A_TIME]) for i in range(0, max(len(images), 1), AT_A_TIME)]
    return {family: np.concatenate([part[family] for part in some]) for family in some[0]}


def _describe(images: np.ndarray) -> dict[str, np.ndarray]:
    radius = radius_map().ravel()
    flat = images.reshape(len(images), 3, -1).astype(float)
    sky = np.median(flat[..., radius > RINGS[-1]], axis=-1)
    flat = flat - sky[..., None]
    floor = 1e-3 * np.abs(flat[:, 1, radius < CORE_PX].sum(axis=1)).clip(1e-12)

    def light(mask):
        return np.maximum(flat[..., mask].sum(axis=-1), floor[:, None])

    core, zone = light(radius < CORE_PX), light((radius >= 4) & (radius < BODY_PX))
    order = np.argsort(radius)
    body = order[: int((radius < BODY_PX).sum())]
    growth = np.cumsum(flat[:, 1, body], axis=1)
    half = radius[body][np.argmax(growth >= growth[:, -1:] / 2, axis=1)]
    ratio = {name: np.log(x[:, [0, 2]] / x[:, 1:2]) for name, x in (("core", core), ("zone", zone))}
    rings = [flat[:, 1, (radius >= a) & (radius < b)].mean(axis=1) for a, b in pairwise(RINGS)]
    centre = np.maximum(rings[0], 1e-12)
    profile = np.stack([np.arcsinh(30 * ring / centre) for ring in rings[1:]], axis=1)
    window = np.outer(np.hanning(STAMP), np.hanning(STAMP))
    power = np.abs(np.fft.rfft2(flat.reshape(images.shape) * window)) ** 2
    k = np.hypot(np.fft.fftfreq(STAMP)[:, None], np.fft.rfftfreq(STAMP)[None, :])
    total = power[..., k > 0.02].sum(axis=-1)
    bands = [power[..., (k >= a) & (k < b)].sum(axis=-1) for a, b in pairwise(FREQUENCIES)]
    return {
        "match": np.column_stack([np.log(core[:, 1]), ratio["core"], np.log(np.maximum(half, 0.7))]),
        "radial profile": profile,
        "colour": np.column_stack([ratio["zone"], ratio["zone"] - ratio["core"]]),
        "high-frequency power": np.column_stack([np.log(np.maximum(b / total.clip(1e-30), 1e-12)) for b in bands]),
    }
