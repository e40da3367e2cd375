"""What a network expects of a stamp: bands, side, pixel scale, units, stretch; and what it gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import ndimage

from dhs import storage
from dhs.errors import UsageError
from dhs.survey.facts import BAND_NAMES, PIXEL_SCALE

MIN_PROBABILITY = 1e-7  # a probability of 0 or 1 is taken for this near to it


class Expects(BaseModel):
    """How a foreign network wants its stamps, and what its output means; the keys of its YAML.

    Attributes
    ----------
    bands : str
        Bands in the order it wants, of g, r, z; a band may be left out or repeated (``rrr``).
    side : int or None
        Pixels; a larger stamp is cropped about its centre pixel, a smaller one padded with its sky. None: as it is.
    pixel_scale : float
        Arcsec; another than the survey's is resampled by cubic splines, flux kept.
    flux_unit : float
        Nanomaggies that one unit of its input stands for.
    stretch : {"none", "asinh", "sqrt"}
        Applied to the flux over ``softening``.
    softening : float
        In its own flux unit.
    normalisation : {"none", "minmax", "standard"}
        Of each stamp over all bands, after the stretch.
    channel_last : bool
    output : {"logit", "probability", "two_logits", "two_probabilities"}
        Of two columns the second is the lens.
    layer : str or None
        Named module whose output are the features; by default the input of the last linear layer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bands: str = "grz"
    side: int | None = Field(None, ge=8, le=1024)
    pixel_scale: float = Field(PIXEL_SCALE, gt=0.01, lt=5.0)
    flux_unit: float = Field(1.0, gt=0)
    stretch: Literal["none", "asinh", "sqrt"] = "none"
    softening: float = Field(1.0, gt=0)
    normalisation: Literal["none", "minmax", "standard"] = "none"
    channel_last: bool = False
    output: Literal["logit", "probability", "two_logits", "two_probabilities"] = "logit"
    layer: str | None = None

    def inputs(self, stamps: np.ndarray) -> np.ndarray:
        """Stamps as the network wants them.

        Parameters
        ----------
        stamps : ndarray, (n, 3, y, x) float32
            Nanomaggies, g, r, z.

        Returns
        -------
        ndarray, (n, bands, side, side) float32, or channel last
        """
        x = stamps[:, [BAND_NAMES.index(b) for b in self.bands]].astype(np.float32)
        if abs(self.pixel_scale / PIXEL_SCALE - 1.0) > 0.01:
            factor = PIXEL_SCALE / self.pixel_scale
            x = ndimage.zoom(x, (1, 1, factor, factor), order=3, mode="nearest") / factor**2
        if self.side is not None:
            x = _to_side(x, self.side)
        x = x / np.float32(self.flux_unit)
        if self.stretch == "asinh":
            x = np.arcsinh(x / self.softening)
        elif self.stretch == "sqrt":
            x = np.sqrt(np.clip(x / self.softening, 0, None))
        if self.normalisation == "minmax":
            low, high = x.min(axis=(1, 2, 3), keepdims=True), x.max(axis=(1, 2, 3), keepdims=True)
            x = (x - low) / np.maximum(high - low, 1e-12)
        elif self.normalisation == "standard":
            spread = np.maximum(x.std(axis=(1, 2, 3), keepdims=True), 1e-12)
            x = (x - x.mean(axis=(1, 2, 3), keepdims=True)) / spread
        x = x.transpose(0, 2, 3, 1) if self.channel_last else x
        return np.ascontiguousarray(x, dtype=np.float32)

    def logits(self, output: np.ndarray, n: int) -> np.ndarray:
        """(n,) float32 logits from what a network gave.

        Raises
        ------
        ValueError
            Another shape than ``output`` says, or probabilities outside 0 to 1; the message says what to set.
        """
        columns = 2 if self.output.startswith("two") else 1
        out = np.asarray(output, dtype=np.float64)
        if out.size != n * columns:
            hint = "output: two_logits or two_probabilities" if out.size == 2 * n else "one score a stamp"
            raise ValueError(f"it gave shape {out.shape} for {n} stamps where output is {self.output!r}; set {hint}")
        out = out.reshape(n, columns)
        if self.output == "two_logits":
            return (out[:, 1] - out[:, 0]).astype(np.float32)
        if self.output == "logit":
            return out[:, 0].astype(np.float32)
        if not ((out >= -1e-6) & (out <= 1 + 1e-6))[np.isfinite(out)].all():
            said = f"it gave {out.min():.3g} to {out.max():.3g}"
            raise ValueError(f"{said}, which are no probabilities; set output: logit")
        p = np.clip(out[:, -1], MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        return (np.log(p) - np.log1p(-p)).astype(np.float32)


def _to_side(x: np.ndarray, side: int) -> np.ndarray:
    """Centre pixel n // 2 of each side on side // 2; new pixels hold the median of the stamp's own edge."""
    have = x.shape[-1]
    start = have // 2 - side // 2
    if start >= 0:
        return x[:, :, start : start + side, start : start + side]
    edge = np.concatenate([x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1]], axis=-1)
    out = np.broadcast_to(np.median(edge, axis=-1)[..., None, None], (*x.shape[:2], side, side)).copy()
    out[:, :, -start : have - start, -start : have - start] = x
    return out


def read_expects(path: str | Path) -> Expects:
    """Read the YAML that says what a network expects.

    Raises
    ------
    UsageError
        Not YAML, an unknown key, or a value out of range: the key is named.
    """
    try:
        data = yaml.safe_load(storage.read_bytes(path)) or {}
        return Expects.model_validate(data)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML ({error})") from None
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise UsageError(f"{path}: {said}. Known keys: {', '.join(Expects.model_fields)}.") from None
