"""A pairs data set as labelled stamps: positives, their controls, hard negatives, each with what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dhs.datasets.reader import Pairs, images, per_band, stamps
from dhs.datasets.schema import SCALARS
from dhs.random import Stream

OF_HOST = ("pair_id", "host_id", "split", "brickname", "healpix", "ra", "dec", "z_lens", "lens_mag_r", "lag1")
OF_HOST += tuple(f"{n}_{b}{u}" for n, u in (("sky_sigma", ""), ("psf_fwhm", "_arcsec"), ("gain", "")) for b in "grz")
OF_PAIR = tuple(name for name in SCALARS if name not in ("flags", "rng_key"))
POSITIVE, CONTROL = "positive", "control"


@dataclass(frozen=True)
class Stamps:
    """Some stamps.

    Attributes
    ----------
    image, light : ndarray, (n, 3, 64, 64) float32
        Nanomaggies. ``image`` is control + light + the light's shot noise; ``light`` is noiseless, 0 for a control.
    table : pyarrow.Table
        ``label`` (1 for a lens), ``kind``, ``flags`` and the scalar columns of a pair; null what belongs to an arc
        where there is none.
    """

    image: np.ndarray
    light: np.ndarray
    table: pa.Table

    def __len__(self) -> int:
        return len(self.image)


def labelled(pairs: Pairs, split: str, batch_size: int = 128) -> Iterator[Stamps]:
    """Stream a split: of each batch the positives, the controls, the hard negatives."""
    columns = [*OF_PAIR, "flags", "rng_key", "control", "arc"]
    for batch in pairs.batches(split, columns, batch_size):
        table = pa.Table.from_batches([batch])
        control, arc, gain = images(table["control"], True), images(table["arc"]), per_band(table, "gain")
        keys, ids = table["rng_key"].to_pylist(), table["pair_id"].to_numpy()
        scalars = table.select(OF_PAIR).append_column("flags", _joined(table["flags"]))
        yield Stamps(stamps(control, arc, gain, keys, Stream.SHOT), arc, _told(scalars, POSITIVE, OF_PAIR))
        yield Stamps(control, np.zeros_like(control), _told(scalars, CONTROL, OF_HOST))
        between = (pc.field("pair_id") >= int(ids.min())) & (pc.field("pair_id") <= int(ids.max()))
        wanted = ["pair_id", "source_id", "kind", "arc_snr_matched", "light", "rng_key"]
        others = pairs.table(split, wanted, negatives=True, where=between)
        place = {pair: i for i, pair in enumerate(ids.tolist())}
        others = others.filter(pc.is_in(others["pair_id"], pa.array(ids)))
        if others.num_rows:
            at = np.array([place[pair] for pair in others["pair_id"].to_pylist()])
            light, base = images(others["light"]), control[at]
            image = stamps(base, light, gain[at], others["rng_key"].to_pylist(), Stream.NEGATIVE_SHOT)
            told = _told(scalars.take(pa.array(at)), None, OF_HOST)
            for name in ("kind", "source_id", "arc_snr_matched"):
                told = told.set_column(told.schema.get_field_index(name), name, others[name])
            yield Stamps(image, light, told)


def _joined(flags: pa.ChunkedArray) -> pa.Array:
    return pa.array([";".join(v or ()) for v in flags.to_pylist()], pa.string())


def _told(scalars: pa.Table, kind: str | None, known: tuple[str, ...]) -> pa.Table:
    """Label, kind and scalars, of which those not known are null."""
    n = scalars.num_rows
    columns = {"label": pa.array(np.full(n, int(kind == POSITIVE), np.int8)), "kind": pa.array([kind] * n, pa.string())}
    for name in scalars.column_names:
        field = scalars.schema.field(name)
        columns[name] = scalars[name] if name in (*known, "flags") else pa.nulls(n, field.type)
    return pa.table(columns)
