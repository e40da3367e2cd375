"""What a classifier reaches without seeing an arc's shape: two logistic regressions to hold the network against.

``radial_profile`` sees azimuthal means only, so all it can know is how much light of which colour lies at which
radius; ``core_only`` sees the pixels inside a few pixels of the centre. A network that does no better than the
first has learnt photometry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from dhs.config import TrainConfig
from dhs.datasets.reader import Pairs
from dhs.models.preprocess import normalise, sky_statistics
from dhs.models.residuals import radius_map
from dhs.models.training.data import Samples

RING_PX = 2.0
MAX_PAIRS = 20_000


def radial_profile_features(stamps: np.ndarray, config: TrainConfig) -> np.ndarray:
    """Azimuthal mean in rings of 2 pixels per band, and the colours of the rings.

    Parameters
    ----------
    stamps : ndarray, (n, 3, y, x)
        Nanomaggies.
    config : TrainConfig
        For the sky annulus.

    Returns
    -------
    ndarray, (n, 5 rings) float64
        asinh of the mean in g, r, z, each in units of its own noise (were the pixels' white); then g - r and
        r - z, differences of asinh magnitudes (Lupton et al. 1999) softened at the noise of the r-band mean. A
        band with sky sigma 0 gives 0.
    """
    images = torch.tensor(np.ascontiguousarray(stamps, np.float32))
    level, sigma = (x.numpy()[..., None] for x in sky_statistics(images, config.annulus_px))
    side = images.shape[-1]
    ring = (radius_map(side).numpy() / RING_PX).astype(int).ravel()
    members = (ring[:, None] == np.arange(int(side / 2 / RING_PX))).astype(np.float32)
    counts = members.sum(0)
    mean = images.flatten(-2).numpy() @ members / counts - level
    noise = np.where(sigma > 0, sigma, np.inf) / np.sqrt(counts)
    soft = np.arcsinh(mean / noise[:, 1:2])
    colours = [soft[:, 0] - soft[:, 1], soft[:, 1] - soft[:, 2]]
    return np.concatenate([*np.arcsinh(mean / noise).swapaxes(0, 1), *colours], axis=1)


def core_features(stamps: np.ndarray, config: TrainConfig) -> np.ndarray:
    """(n, 3 pixels) asinh-stretched, normalised pixels inside ``core_dropout_radius_px``, all bands."""
    images = torch.tensor(np.ascontiguousarray(stamps, np.float32))
    inside = radius_map(images.shape[-1]) < config.core_dropout_radius_px
    core = normalise(images, config.annulus_px)[..., inside] / config.asinh_softening
    return torch.asinh(core).flatten(1).numpy()


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline; ``logits`` takes stamps as `dhs.models.score.Scorer.logits` does."""

    features: partial
    pipeline: Pipeline

    def logits(self, stamps: np.ndarray) -> np.ndarray:
        """(n,) float64 decision function of (n, 3, 64, 64) stamps in nanomaggies."""
        return self.pipeline.decision_function(self.features(stamps)) if len(stamps) else np.empty(0)


def fit_baselines(pairs: Pairs, config: TrainConfig, max_pairs: int = MAX_PAIRS) -> dict[str, Baseline]:
    """Fit both baselines to positives and controls of the training split.

    Parameters
    ----------
    pairs : Pairs
    config : TrainConfig
        For sky annulus, core radius and softening.
    max_pairs : int
        Training pairs used at most, the first of the split; features only are held in memory.

    Returns
    -------
    dict
        ``radial_profile`` and ``core_only``, each a `Baseline`.

    Raises
    ------
    DhsError
        The training split is empty.
    """
    makers = {
        "radial_profile": partial(radial_profile_features, config=config),
        "core_only": partial(core_features, config=config),
    }
    collected: dict[str, list[np.ndarray]] = {name: [] for name in makers}
    labels, n = [], 0
    for part in Samples(pairs, "train", memory_limit=0).parts():
        for name, make in makers.items():
            collected[name] += [make(part.positive), make(part.control)]
        labels.append(np.repeat([1, 0], len(part.pair_id)))
        n += len(part.pair_id)
        if n >= max_pairs:
            break
    target = np.concatenate(labels)
    fitted = {}
    for name, make in makers.items():
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        fitted[name] = Baseline(make, pipeline.fit(np.concatenate(collected[name]), target))
    return fitted
