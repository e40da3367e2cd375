"""A foreign network behind the interface of `dhs.models.score.Scorer`.

Every change of a stamp is made here, on nanomaggies, before the network sees it: a network can't be asked to mask its
own core, since one that ignored the request would be given a clean bill.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from dhs.errors import DhsError
from dhs.models.foreign.expects import Expects
from dhs.stats.pixels import radius_map
from dhs.survey.facts import STAMP

BATCH = 64
SKY_ANNULUS_PX = (26.0, 32.0)


def mask_core(stamps: np.ndarray, radius_px: float) -> np.ndarray:
    """Stamps whose central disc is filled with each band's sky level, the median of an outer annulus.

    Parameters
    ----------
    stamps : ndarray, (n, bands, 64, 64)
    radius_px : float

    Returns
    -------
    ndarray, of the same shape
    """
    radius = radius_map()
    annulus = (radius >= SKY_ANNULUS_PX[0]) & (radius < SKY_ANNULUS_PX[1])
    sky = np.median(stamps[..., annulus], axis=-1)[..., None, None]
    return np.where(radius < radius_px, sky, stamps)


class ForeignScorer:
    """Any function of images as a scorer.

    Parameters
    ----------
    name : str
        For messages and results.
    run : callable
        (n, bands, y, x) float32, as ``expects`` makes them, to an array of scores.
    expects : Expects
    digest : str
        SHA-256 of the file or code behind it; "" where there is none.
    features : callable, optional
        Images to (n, k) features.
    batch : int, optional
        The one batch size it takes; smaller batches are padded.

    Attributes
    ----------
    state : dict
        ``network``: the digest.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[np.ndarray], np.ndarray],
        expects: Expects,
        digest: str = "",
        features: Callable[[np.ndarray], np.ndarray] | None = None,
        batch: int | None = None,
    ):
        self.name, self.expects, self._call, self._fixed = name, expects, run, batch
        self.batch_size = batch or BATCH
        self.state = {"network": digest or None}
        self._lock = threading.Lock()  # nobody promised that it may be called from several threads
        if features is not None:
            self._features = features
            self.features = self._penultimate

    def logits(
        self, stamps: np.ndarray, core_mask_px: float | None = None, sky_sigma: np.ndarray | None = None
    ) -> np.ndarray:
        """(n,) float32 logits of (n, 3, 64, 64) stamps in nanomaggies; see `dhs.models.score.Scorer.logits`.

        Raises
        ------
        DhsError
            Another shape, NaN or Inf in a stamp or a score, or whatever the network itself raised.
        """
        stamps = self._checked(stamps)
        if core_mask_px is not None:
            stamps = mask_core(stamps, core_mask_px)
        found = [self.expects_logits(self._run(self._call, part), len(part)) for part in self._parts(stamps)]
        out = np.concatenate(found) if found else np.empty(0, np.float32)
        if bad := int((~np.isfinite(out)).sum()):
            raise DhsError(f"{self.name}: NaN or infinite scores for {bad} of {len(out)} stamps. Check its weights.")
        return out

    def expects_logits(self, output, n: int) -> np.ndarray:
        try:
            return self.expects.logits(output, n)
        except (TypeError, ValueError) as error:
            raise DhsError(f"{self.name}: {error}.") from None

    def _penultimate(self, stamps: np.ndarray, core_mask_px=None, sky_sigma=None) -> np.ndarray:
        """(n, k) float32 features of the layer that ``expects`` names, or of the last but one."""
        stamps = self._checked(stamps)
        if core_mask_px is not None:
            stamps = mask_core(stamps, core_mask_px)
        found = [np.asarray(self._run(self._features, part), np.float32)[: len(part)] for part in self._parts(stamps)]
        return np.concatenate(found) if found else np.empty((0, 0), np.float32)

    def blocks(self, stamps: np.ndarray) -> dict[str, np.ndarray]:
        """No features at several depths: nobody has named them."""
        return {}

    def _checked(self, stamps) -> np.ndarray:
        stamps = np.asarray(stamps, dtype=np.float32)
        if stamps.ndim != 4 or stamps.shape[1:] != (3, STAMP, STAMP):
            raise DhsError(
                f"stamps have shape {stamps.shape}; (n, 3, {STAMP}, {STAMP}) in g, r, z nanomaggies is needed"
            )
        if bad := int((~np.isfinite(stamps).all(axis=(1, 2, 3))).sum()):
            raise DhsError(f"{bad} of {len(stamps)} stamps hold NaN or Inf. Leave them out.")
        return stamps

    def _parts(self, stamps: np.ndarray):
        for start in range(0, len(stamps), self.batch_size):
            yield stamps[start : start + self.batch_size]

    def _run(self, call, stamps: np.ndarray) -> np.ndarray:
        images = self.expects.inputs(stamps)
        if self._fixed and len(images) < self._fixed:
            images = np.concatenate([images, np.repeat(images[-1:], self._fixed - len(images), axis=0)])
        try:
            with self._lock:
                out = np.asarray(call(images))
        except DhsError:
            raise
        except Exception as error:  # whatever somebody's network raises
            said = str(error).strip().splitlines()
            raise DhsError(
                f"{self.name}: it failed on an input of shape {images.shape} ({type(error).__name__}: "
                f"{said[0] if said else 'no message'}). Say what it expects (bands, side, channel_last, ...) in a YAML."
            ) from error
        return out[: len(stamps)] if self._fixed else out


class Ensemble:
    """Several scorers, their logits averaged.

    Attributes
    ----------
    members : tuple
    """

    def __init__(self, members: Sequence):
        self.members = tuple(members)
        self.name = ", ".join(m.name if hasattr(m, "name") else type(m).__name__ for m in members)
        self.batch_size = min(m.batch_size for m in members)
        known = [(m.state or {}).get("network") for m in members]
        self.state = {"network": "+".join(known) if all(known) else None}

    def logits(self, stamps, core_mask_px=None, sky_sigma=None) -> np.ndarray:
        """(n,) float32 mean of the members' logits."""
        return self.each(stamps, core_mask_px, sky_sigma).mean(axis=0, dtype=np.float64).astype(np.float32)

    def each(self, stamps, core_mask_px=None, sky_sigma=None) -> np.ndarray:
        """(members, n) float32 logits; their spread is the members' disagreement."""
        return np.stack([m.logits(stamps, core_mask_px, sky_sigma) for m in self.members])

    def blocks(self, stamps) -> dict:
        return {}
