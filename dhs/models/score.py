"""Scoring: one logit per stamp, with everything the evaluation stratifies by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tqdm.auto import tqdm

from dhs.datasets.schema import SCALARS, SCORE_SCHEMA, STRATIFIERS
from dhs.errors import DhsError, UsageError
from dhs.models import checkpoints
from dhs.models.cpu_inference import Fused
from dhs.models.decode import PairSource, Part, read_parts
from dhs.models.networks import registry
from dhs.models.preprocess import Preprocess
from dhs.stats.pixels import radius_map
from dhs.survey.facts import mag_from_flux

APERTURE_PX = 12.0  # 3.1 arcsec
STEP = 8  # stamps in a batch: a multiple of it, since a processor prepares every layer anew for each other number
NOT_FINITE_REMEDY = (
    "Its weights are not finite or overflow: take an earlier checkpoint, or train again with a smaller learning rate."
)
IDENTITY = ("epoch", "seed", "weights", "content_hash", "network")
HARD_COLUMNS = ("pair_id", "kind", "arc_snr_matched", "source_id")


class Scorer:
    """A trained network: nanomaggies in, logits out.

    Parameters
    ----------
    checkpoint : str or Path
        Written by `dhs.models.training.train.train`.
    batch_size : int, optional
        Stamps at a time; the logits do not depend on it beyond rounding. By default 256 on a graphics processor, and
        64 elsewhere: what a processor's caches hold.
    precision : {"float32", "bfloat16"}
        Of the forward pass; the preprocessing stays in float32.

    Attributes
    ----------
    config : dhs.config.TrainConfig
        The configuration it was trained with.
    state : dict
        The checkpoint without the weights: ``epoch``, ``seed``, ``content_hash``, ``weights``, ``history``; and
        ``network``, the SHA-256 of the weights.

    Raises
    ------
    DhsError
        Not a checkpoint, or one of another version.
    """

    def __init__(self, checkpoint: str | Path, batch_size: int | None = None, precision: str = "float32"):
        state = checkpoints.load(checkpoint)
        self.config = checkpoints.config_of(state, checkpoint)
        self.preprocess = Preprocess.from_config(self.config)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.batch_size = batch_size or (256 if self.device.type == "cuda" else 64)
        network, digest = registry.build(self.preprocess.n_channels, self.config.arch), _digest(state["model"])
        try:
            network.load_state_dict(state.pop("model"))
        except RuntimeError as error:
            raise DhsError(
                f"{checkpoint}: its weights do not fit its own configuration, {self.config.channels!r} input "
                f"({str(error).splitlines()[-1].strip()}). Give the checkpoint of one training run."
            ) from None
        if precision not in ("float32", "bfloat16"):
            raise UsageError(f"precision {precision!r}: choose float32 or bfloat16")
        self.precision = precision
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)
        self._body = self._until_last()
        self.state = {k: v for k, v in state.items() if k not in ("optimizer", "schedule")} | {"network": digest}

    def _until_last(self) -> torch.nn.Module:
        """The network without its last layer, as this processor runs it fastest."""
        body = self.network.body
        slow = self.device.type != "cpu" or self.precision != "float32" or not torch.backends.mkldnn.is_available()
        if slow or not self.network.fuses:
            return body
        fused, shape = Fused(body), (2, self.preprocess.n_channels, 64, 64)
        probe = 4.0 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            # oneDNN's ReLU makes 0 of NaN: a network of NaN must go on saying so.
            same = torch.allclose(fused(probe), body(probe), rtol=1e-3, atol=1e-4)
        return fused if same else body

    def _run(self, network: Callable[[torch.Tensor], torch.Tensor], stamps, core_mask_px, sky_sigma) -> np.ndarray:
        stamps = np.asarray(stamps)
        if stamps.ndim != 4 or stamps.shape[1] != 3 or stamps.shape[2] != stamps.shape[3]:
            raise DhsError(f"stamps have shape {stamps.shape}; (n, 3, 64, 64) in g, r, z nanomaggies is needed.")
        if not np.isfinite(stamps).all():
            bad = np.flatnonzero(~np.isfinite(stamps).all(axis=(1, 2, 3)))
            raise DhsError(
                f"{len(bad)} of {len(stamps)} stamps hold NaN or Inf (first: {bad[0]}). Leave them out; "
                "dhs.survey refuses such cutouts with a reason."
            )
        out = []
        low = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with torch.inference_mode():
            for start in range(0, len(stamps), self.batch_size):
                part = slice(start, start + self.batch_size)
                batch = torch.tensor(np.ascontiguousarray(stamps[part], dtype=np.float32), device=self.device)
                sigma = None
                if sky_sigma is not None:
                    sigma = torch.tensor(np.asarray(sky_sigma[part], np.float32), device=self.device)
                images = self.preprocess(batch, core_mask_px, sky_sigma=sigma)
                images = torch.nn.functional.pad(images, (0, 0, 0, 0, 0, 0, 0, -len(images) % STEP))
                with low:
                    found = [
                        network(x.contiguous(memory_format=torch.channels_last)).float()
                        for x in orientations(images, self.config.symmetry)
                    ]
                found = found[0] if len(found) == 1 else torch.stack(found).mean(0)
                out.append(found[: len(batch)].cpu().numpy())
        return np.concatenate(out) if out else np.empty((0, 1), np.float32)

    def logits(
        self, stamps: np.ndarray, core_mask_px: float | None = None, sky_sigma: np.ndarray | None = None
    ) -> np.ndarray:
        """Logits in float32, whatever precision the network was trained in.

        Parameters
        ----------
        stamps : ndarray, (n, 3, 64, 64)
            Nanomaggies.
        core_mask_px : float, optional
            Radius of a central disc to fill with the sky level first.
        sky_sigma : ndarray, (n, 3), optional
            Noise per sky pixel from the inverse variance, for the floor of the normalisation; without it there is
            none, which tells on stamps with a mostly masked annulus only.

        Returns
        -------
        ndarray, (n,) float32

        Raises
        ------
        DhsError
            Another shape, or NaN or Inf in a stamp.
        """
        return self._run(lambda x: self.network.head(self._body(x)), stamps, core_mask_px, sky_sigma)[:, 0]

    def features(
        self, stamps: np.ndarray, core_mask_px: float | None = None, sky_sigma: np.ndarray | None = None
    ) -> np.ndarray:
        """(n, k) float32 penultimate features, the input of the last layer; 512 of a ResNet-18.

        Raises
        ------
        DhsError
            As `logits`, and where a feature is NaN or infinite.
        """
        out = _finite(self._run(self._body, stamps, core_mask_px, sky_sigma))
        return out if len(out) else np.empty((0, self.network.head.in_features), np.float32)

    def blocks(self, stamps: np.ndarray) -> dict[str, np.ndarray]:
        """Features at several depths, empty for a network that names none (`Network.blocks`).

        Of a ResNet-18 each stage averaged over pixels, ``layer1`` (n, 64) to ``layer4`` (n, 512).
        """
        widths: dict[str, int] = {}
        if type(self.network).blocks is registry.Network.blocks:
            return widths

        def side_by_side(images: torch.Tensor) -> torch.Tensor:
            found = self.network.blocks(images)
            widths.update({name: block.shape[1] for name, block in found.items()})
            return torch.cat(list(found.values()), dim=1) if found else images.new_zeros((len(images), 0))

        out = _finite(self._run(side_by_side, stamps, None, None))
        ends = np.cumsum([0, *widths.values()])
        return {name: out[:, a:b] for name, a, b in zip(widths, ends, ends[1:])}


def orientations(images: torch.Tensor, n: int) -> Iterator[torch.Tensor]:
    """Images as they are, then turned by quarters (n 4), and those mirrored (n 8).

    The last layer is linear: the mean of the features is the input of the mean logit.
    """
    for k in range(n):
        turned = torch.rot90(images, k % 4, (-2, -1))
        yield turned.flip(-1) if k >= 4 else turned


def _digest(weights: dict[str, torch.Tensor]) -> str:
    """SHA-256 of a state dict's names and values."""
    total = hashlib.sha256()
    for name, value in sorted(weights.items()):
        total.update(name.encode() + value.float().contiguous().numpy().tobytes())
    return total.hexdigest()


def _finite(features: np.ndarray) -> np.ndarray:
    """Features as they are; a `DhsError` where some are no numbers."""
    if bad := int((~np.isfinite(features).all(axis=1)).sum()):
        raise DhsError(
            f"the network's features are NaN or infinite for {bad} of {len(features)} stamps. {NOT_FINITE_REMEDY}"
        )
    return features


def refuse_other_network(scorer, evaluated: dict, where) -> None:
    """Stop where thresholds or probabilities were measured with another checkpoint than the one that scores now.

    Parameters
    ----------
    scorer : Scorer
        One without a ``state`` passes.
    evaluated : dict
        ``checkpoint`` of ``evaluation.json``.
    where : path
        Of that file.

    Raises
    ------
    DhsError
        Epoch, seed, first weights, training set or trained weights differ.
    """
    state = getattr(scorer, "state", None) or {}
    known = [k for k in IDENTITY if None not in (evaluated.get(k), state.get(k))]
    other = [f"{k} {str(evaluated[k])[:12]}, here {str(state[k])[:12]}" for k in known if evaluated[k] != state[k]]
    if other:
        raise DhsError(
            f"{where}: was made with another checkpoint ({'; '.join(other)}), whose logits mean something else. "
            "Run dhs evaluate with this checkpoint, or give the evaluation of this one."
        )


def host_mag_r(stamps: np.ndarray) -> np.ndarray:
    """(n,) float32 r magnitude within `APERTURE_PX` of the centre; NaN where the flux is not positive."""
    inside = radius_map(stamps.shape[-1]) < APERTURE_PX
    return mag_from_flux(stamps[:, 1, inside].sum(axis=1, dtype=np.float64)).astype(np.float32)


def score_table(columns: dict, n: int) -> pa.Table:
    """A table of `SCORE_SCHEMA` from the columns at hand; strings left out are null, numbers NaN, pair_id -1."""
    arrays = []
    for field in SCORE_SCHEMA:
        if field.name in columns:
            value = columns[field.name]
            arrays.append(pa.array([value] * n if isinstance(value, str) else value, type=field.type))
        elif field.name == "pair_id":
            arrays.append(pa.array(np.full(n, -1)))
        elif field.type == pa.float32():
            arrays.append(pa.array(np.full(n, np.nan, np.float32)))
        else:
            arrays.append(pa.nulls(n, field.type))
    return pa.table(arrays, schema=SCORE_SCHEMA)


def score_part(scorer: Scorer, part: Part, core_mask_px: float | None) -> list[pa.Table]:
    """Tables of the positives, controls and hard negatives of some decoded pairs."""
    kinds = {"positive": part.positive, "control": part.control, "hard_negative": part.hard}
    # All at once: small batches cost more a stamp.
    stamps = np.concatenate(list(kinds.values()))
    sigma = np.concatenate([part.sky_sigma, part.sky_sigma, part.sky_sigma[part.hard_row]])
    ends = np.cumsum([len(v) for v in kinds.values()])[:-1]
    logits = np.split(scorer.logits(stamps, sky_sigma=sigma), ends)
    masked = None if core_mask_px is None else np.split(scorer.logits(stamps, core_mask_px, sigma), ends)
    tables, mag = [], host_mag_r(part.control)
    for i, kind in enumerate(kinds):
        hard = kind == "hard_negative"
        rows = part.scalars.take(pa.array(part.hard_row)) if hard else part.scalars
        columns = {name: rows[name].to_numpy() for name in ("pair_id", *STRATIFIERS)}
        columns |= {name: rows[name].to_pylist() for name in ("host_id", "source_id", "split")}
        columns |= {"kind": kind, "subkind": "", "host_mag_r": mag[part.hard_row] if hard else mag}
        if hard:
            own = part.hard_scalars
            subkinds = own["kind"].to_pylist()
            columns |= {"kind": [f"{kind}:{name}" for name in subkinds], "subkind": subkinds}
            columns["arc_snr_matched"] = np.array(own["arc_snr_matched"].to_pylist(), np.float32)
            columns["source_id"] = own["source_id"].to_pylist()
        columns["logit"] = logits[i]
        if masked is not None:
            columns["logit_core_masked"] = masked[i]
        tables.append(score_table(columns, len(logits[i])))
    return tables


def score_pairs(
    scorer: Scorer, pairs: PairSource, splits: Sequence[str] = ("test",), core_mask_px: float | None = 5.0
) -> pa.Table:
    """Score positives, controls and hard negatives of some splits, some pairs in memory at a time.

    Parameters
    ----------
    scorer : Scorer
    pairs : PairSource
    splits : sequence of str
    core_mask_px : float or None
        Core that ``logit_core_masked`` hides; None leaves that column NaN and saves its forward passes.

    Returns
    -------
    pyarrow.Table
        Columns of `SCORE_SCHEMA`.
    """
    tables = [SCORE_SCHEMA.empty_table()]
    for split in splits:
        parts = read_parts(pairs, split, SCALARS, HARD_COLUMNS)
        for part in tqdm(parts, desc=f"score {split}", unit="part", disable=None):
            tables += score_part(scorer, part, core_mask_px)
    return pa.concat_tables(tables)
