"""What the pixels of somebody's stamps are: bands, scale, zero-point; by the name of a survey or from a YAML file.

A `dhs.survey.survey.Survey` is what injection needs to know and has three bands; to look at stamps less is needed, and
they may have any bands.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dhs import storage
from dhs.errors import UsageError
from dhs.survey.survey import NANOMAGGY, surveys


class Imaging(BaseModel):
    """The pixels of a survey's stamps; the keys of its YAML.

    Attributes
    ----------
    name : str
    bands : tuple of str
        In the order of the stored planes.
    pixel_scale : float
        Arcsec.
    zero_point : float
        AB magnitude of one unit.
    seeing : float
        Typical FWHM, arcsec.
    depth : float
        Typical 5 sigma depth of a point source in the deepest band, AB: units that miss it by far are wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "own"
    bands: tuple[str, ...] = Field(("g", "r", "z"), min_length=1)
    pixel_scale: float = Field(0.262, gt=0.001, lt=20)
    zero_point: float = Field(NANOMAGGY, gt=0, lt=40)
    seeing: float = Field(1.2, gt=0.01, lt=20)
    depth: float = Field(24.5, gt=10, lt=35)

    def depth_of(self, sigma) -> np.ndarray:
        """5 sigma depth (AB, point source) of a noise a pixel in stored units (King 1983, PASP 95, 163)."""
        s = self.seeing / np.sqrt(8 * np.log(2)) / self.pixel_scale
        return self.zero_point - 2.5 * np.log10(np.maximum(5 * np.asarray(sigma) * s * np.sqrt(4 * np.pi), 1e-30))


OTHERS = {
    # Aihara et al. 2022, PASJ 74, 247: 0.168 arcsec, coadds at zero-point 27, i seeing 0.6, i depth 26.2
    "hsc": {"bands": tuple("grizy"), "pixel_scale": 0.168, "zero_point": 27.0, "seeing": 0.6, "depth": 26.4},
    # mosaics of the Quick Release, 0.1 arcsec; their zero-point is near this and stands in each header
    "euclid-vis": {"bands": ("VIS",), "pixel_scale": 0.1, "zero_point": 24.6, "seeing": 0.16, "depth": 26.5},
    # coadds of Rubin's pipelines: 0.2 arcsec, nanojansky
    "lsst": {"bands": tuple("ugrizy"), "pixel_scale": 0.2, "zero_point": 31.4, "seeing": 0.8, "depth": 26.5},
}
DEPTHS = {"legacy": 24.6, "des": 25.2}


def imaging(spec: str | Path | Imaging | None) -> Imaging:
    """The record of a name, of a YAML file, or as given; the Legacy Surveys' by default.

    Raises
    ------
    UsageError
        Neither a known name nor a readable YAML with these keys.
    """
    if isinstance(spec, Imaging):
        return spec
    name = "legacy" if spec is None else str(spec)
    if name in OTHERS:
        return Imaging(name=name, **OTHERS[name])
    if name.endswith((".yaml", ".yml")):
        try:
            return Imaging.model_validate({"name": Path(name).stem} | (yaml.safe_load(storage.read_bytes(name)) or {}))
        except (yaml.YAMLError, TypeError) as error:
            raise UsageError(f"{name}: not YAML with keys and values ({error})") from None
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
            raise UsageError(f"{name}: {said}. Known keys: {', '.join(Imaging.model_fields)}.") from None
    if name in surveys:
        s = surveys[name]
        seeing = float(np.median(s.psf_fwhm))
        own = {"pixel_scale": s.pixel_scale, "zero_point": s.zero_point, "seeing": seeing}
        return Imaging(name=name, bands=s.band_names, depth=DEPTHS.get(name, 24.5), **own)
    raise UsageError(f"no survey {name!r}: choose one of {sorted({*surveys, *OTHERS})}, or give a YAML file.")
