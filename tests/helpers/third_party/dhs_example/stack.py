"""Hosts kept as one array of stamps in a ``.npy`` file, with positions beside it in a CSV."""

from __future__ import annotations

import io

import numpy as np

from dhs import storage
from dhs.survey.hosts.cutouts import stamp_of
from dhs.survey.hosts.record import Found, HostRef, host_reader
from dhs_example.near_survey import NEAR


@host_reader("stack")
class StackReader:
    """``spec`` is a ``.npy`` file (n, 3, y, x) of the survey nearby, ``<spec>.csv`` its ids, RA and Dec."""

    def __init__(self, spec, seed):
        self.spec = spec

    @staticmethod
    def claims(config):
        return config.spec.endswith(".npy")

    def _stamp(self, row, host_id, ra, dec):
        images = np.load(io.BytesIO(storage.read_bytes(self.spec)), allow_pickle=False)
        content = {"image": NEAR.nanomaggies(images[row]), "survey": "near", "pixel_scale": NEAR.pixel_scale}
        content |= {"bands": list(NEAR.band_names), "ra": ra, "dec": dec}
        return stamp_of(content | {"host_id": host_id}, self.spec, row)

    def find(self, config):
        refs = []
        for row, line in enumerate(storage.read_bytes(self.spec + ".csv").decode().split()):
            host_id, ra, dec = line.split(",")
            s = self._stamp(row, host_id, float(ra), float(dec))
            refs.append(HostRef(host_id, s.ra, s.dec, s.brickname, s.brick_ra, s.brick_dec, self.spec, row))
        return Found(refs)

    def read(self, ref):
        return self._stamp(ref.row, ref.host_id, ref.ra, ref.dec)
