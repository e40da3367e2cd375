"""What a network's score is made of: integrated gradients on the way from a control to its positive.

Sundararajan et al. (2017, ICML, arXiv:1703.01365). The baseline is the pair's own control, so the attributions of all
pixels add up to what the arc changed in the logit, and nothing of the host's own contribution is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from captum.attr import IntegratedGradients

from dhs.models.decode import SCALARS, PairSource, read_parts
from dhs.models.score import Scorer
from dhs.stats.pixels import radius_map
from dhs.survey.facts import PIXEL_SCALE

N_STEPS = 24
RADIUS_EDGES = np.arange(0.0, 2.5, 0.25)
MIN_SNR = 30.0


@dataclass(frozen=True)
class Attribution:
    """Attributions of some pairs.

    Attributes
    ----------
    pair_id : ndarray, (n,)
    theta_e : ndarray, (n,)
        Arcsec.
    positive, control, light : ndarray, (n, 3, 64, 64)
        Nanomaggies; ``light`` is the noiseless arc.
    maps : ndarray, (n, 3, 64, 64)
        Contribution of each pixel to the logit's rise from control to positive.
    logit_positive, logit_control : ndarray, (n,)
    """

    pair_id: np.ndarray
    theta_e: np.ndarray
    positive: np.ndarray
    control: np.ndarray
    light: np.ndarray
    maps: np.ndarray
    logit_positive: np.ndarray
    logit_control: np.ndarray

    def profiles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shares of attribution and of arc light by radius over theta_E.

        Returns
        -------
        edges : ndarray, (k + 1,)
            r / theta_E.
        attribution, light : ndarray, (n, k)
            Share of each pair's sum of absolute attributions, and of its r-band arc light, within each ring.
        """
        radius = radius_map(self.maps.shape[-1]) * PIXEL_SCALE
        size = np.abs(self.maps).sum(1)
        out = []
        for weight in (size, np.clip(self.light[:, 1], 0, None)):
            rings = [np.histogram(radius / t, RADIUS_EDGES, weights=w)[0] for t, w in zip(self.theta_e, weight)]
            total = weight.sum((1, 2))[:, None]
            out.append(np.divide(rings, total, out=np.zeros((len(total), len(RADIUS_EDGES) - 1)), where=total > 0))
        return RADIUS_EDGES, *out


def integrated_gradients(
    scorer: Scorer, stamps: np.ndarray, controls: np.ndarray, n_steps: int = N_STEPS
) -> np.ndarray:
    """(n, 3, 64, 64) contribution of each pixel, in nanomaggies' own space, to logit(stamp) - logit(control).

    Parameters
    ----------
    scorer : Scorer
    stamps, controls : ndarray, (n, 3, 64, 64) float32
    n_steps : int
        Points of the Gauss-Legendre quadrature.
    """

    def logits(images: torch.Tensor) -> torch.Tensor:
        return scorer.network(scorer.preprocess(images))[:, 0]

    method = IntegratedGradients(logits)
    out = []
    for start in range(0, len(stamps), 8):
        ends = [torch.tensor(x[start : start + 8], device=scorer.device) for x in (stamps, controls)]
        maps = method.attribute(*ends, n_steps=n_steps, internal_batch_size=scorer.batch_size)
        out.append(maps.detach().float().cpu().numpy())
    return np.concatenate(out) if out else np.empty((0, *stamps.shape[1:]), np.float32)


def attribute(checkpoint: str | Path, pairs: PairSource, *, split: str = "val", n: int = 48) -> Attribution:
    """Attributions of the first pairs of a split whose arcs stand out (matched SNR above 30; any if there is none).

    Parameters
    ----------
    checkpoint : str or Path
    pairs : PairSource
    split : str
    n : int
        Pairs at most.

    Returns
    -------
    Attribution
    """
    scorer, kept = Scorer(checkpoint), []
    bright = (pairs.table(split, columns=["arc_snr_matched"])["arc_snr_matched"].to_numpy() > MIN_SNR).any()
    for part in read_parts(pairs, split, (*SCALARS, "arc", "arc_snr_matched")):
        chosen = np.flatnonzero((part.column("arc_snr_matched") > MIN_SNR) | (not bright))
        light = part.images("arc")
        kept += [
            (part.pair_id[i], part.theta_e[i], part.positive[i], part.control[i], light[i])
            for i in chosen[: n - len(kept)]
        ]
        if len(kept) >= n:
            break
    columns = [np.array([row[i] for row in kept]) for i in range(5)]
    pair_id, theta_e, positive, control, light = columns
    maps = integrated_gradients(scorer, positive, control)
    return Attribution(
        pair_id, theta_e, positive, control, light, maps, scorer.logits(positive), scorer.logits(control)
    )
