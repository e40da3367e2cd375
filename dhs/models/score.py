"""Scoring: one logit per stamp, with everything the evaluation stratifies by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tqdm.auto import tqdm

from dhs import engines, storage
from dhs.config import Profile, load_profile
from dhs.datasets import plan, reader
from dhs.datasets.schema import SCALARS, SCORE_SCHEMA, STRATIFIERS
from dhs.errors import DhsError, InputRefused, UsageError
from dhs.models import checkpoints, networks
from dhs.models.parts import PairSource, Part, part_files, read_files, read_parts
from dhs.models.preprocess import Preprocess

CUTOUTS_A_TASK = 64
HARD_COLUMNS = ("pair_id", "kind", "arc_snr_matched", "source_id")


class Scorer:
    """A trained network: nanomaggies in, logits out.

    Parameters
    ----------
    checkpoint : str or Path
        Written by `dhs.models.train.train`.
    batch_size : int
        Stamps at a time; the logits do not depend on it beyond rounding.

    Attributes
    ----------
    config : dhs.config.TrainConfig
        The configuration it was trained with.
    state : dict
        The checkpoint without the weights: ``epoch``, ``seed``, ``content_hash``, ``weights``, ``history``.

    Raises
    ------
    DhsError
        Not a checkpoint, or one of another version.
    """

    def __init__(self, checkpoint: str | Path, batch_size: int = 256):
        state = checkpoints.load(checkpoint)
        self.config = checkpoints.config_of(state, checkpoint)
        self.preprocess = Preprocess.from_config(self.config)
        self.batch_size = batch_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = networks.build(self.preprocess.n_channels, self.config.arch)
        network.load_state_dict(state.pop("model"))
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)
        self.state = {k: v for k, v in state.items() if k not in ("optimizer", "schedule")}

    def _run(self, network: torch.nn.Module, stamps, core_mask_px, sky_sigma) -> np.ndarray:
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
        with torch.inference_mode():
            for start in range(0, len(stamps), self.batch_size):
                part = slice(start, start + self.batch_size)
                batch = torch.tensor(np.ascontiguousarray(stamps[part], dtype=np.float32), device=self.device)
                sigma = None
                if sky_sigma is not None:
                    sigma = torch.tensor(np.asarray(sky_sigma[part], np.float32), device=self.device)
                images = self.preprocess(batch, core_mask_px, sky_sigma=sigma)
                out.append(network(images.contiguous(memory_format=torch.channels_last)).cpu().numpy())
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
        return self._run(self.network, stamps, core_mask_px, sky_sigma)[:, 0]

    def features(
        self, stamps: np.ndarray, core_mask_px: float | None = None, sky_sigma: np.ndarray | None = None
    ) -> np.ndarray:
        """(n, 512) float32 penultimate features, the input of the last layer."""
        body = torch.nn.Sequential(*list(self.network.children())[:-1], torch.nn.Flatten())
        out = self._run(body, stamps, core_mask_px, sky_sigma)
        return out if len(out) else np.empty((0, self.network.fc.in_features), np.float32)


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


def _score_part(scorer: Scorer, part: Part, core_mask_px: float) -> list[pa.Table]:
    tables = []
    for kind, stamps in (("positive", part.positive), ("control", part.control), ("hard_negative", part.hard)):
        hard = kind == "hard_negative"
        rows = part.scalars.take(pa.array(part.hard_row)) if hard else part.scalars
        sigma = part.sky_sigma[part.hard_row] if hard else part.sky_sigma
        columns = {name: rows[name].to_numpy() for name in ("pair_id", *STRATIFIERS)}
        columns |= {name: rows[name].to_pylist() for name in ("host_id", "source_id", "split")}
        columns |= {"kind": kind, "subkind": ""}
        if hard:
            own = part.hard_scalars
            subkinds = own["kind"].to_pylist()
            columns |= {"kind": [f"{kind}:{name}" for name in subkinds], "subkind": subkinds}
            columns["arc_snr_matched"] = np.array(own["arc_snr_matched"].to_pylist(), np.float32)
            columns["source_id"] = own["source_id"].to_pylist()
        columns["logit"] = scorer.logits(stamps, sky_sigma=sigma)
        columns["logit_core_masked"] = scorer.logits(stamps, core_mask_px, sigma)
        tables.append(score_table(columns, len(stamps)))
    return tables


def score_pairs(
    scorer: Scorer, pairs: PairSource, splits: Sequence[str] = ("test",), core_mask_px: float = 5.0
) -> pa.Table:
    """Score positives, controls and hard negatives of some splits, some pairs in memory at a time.

    Returns
    -------
    pyarrow.Table
        Columns of `SCORE_SCHEMA`.
    """
    tables = [SCORE_SCHEMA.empty_table()]
    for split in splits:
        parts = read_parts(pairs, split, SCALARS, HARD_COLUMNS)
        for part in tqdm(parts, desc=f"score {split}", unit="part", disable=None):
            tables += _score_part(scorer, part, core_mask_px)
    return pa.concat_tables(tables)


def score_hosts(
    scorer: Scorer, hosts, kind: str = "cutout", core_mask_px: float = 5.0, split: str = ""
) -> tuple[pa.Table, list]:
    """Score every stamp of a host set (`dhs.survey.hosts.open_hosts`), a batch in memory at a time.

    Parameters
    ----------
    scorer : Scorer
    hosts : HostSet
    kind, split : str
        Columns of the rows; ``subkind`` is the stamp's own ``meta["kind"]`` where it has one.
    core_mask_px : float

    Returns
    -------
    table : pyarrow.Table
        Columns of `SCORE_SCHEMA`.
    refusals : list of dhs.errors.Refusal
        Cutouts that could not be read or used, those met on opening included.
    """
    tables, refusals = [SCORE_SCHEMA.empty_table()], list(hosts.refusals)
    for span in tqdm(_spans(len(hosts.refs), scorer.batch_size), desc=kind, unit="batch", disable=None):
        table, refused = _score_span(scorer, hosts, span, kind, core_mask_px, split)
        tables.append(table)
        refusals += refused
    return pa.concat_tables(tables), refusals


def _spans(n: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def _score_span(scorer: Scorer, hosts, span: tuple[int, int], kind: str, core_mask_px: float, split: str = ""):
    """Scores of the hosts ``span[0]`` to ``span[1]``, and those of them that were refused."""
    stamps, refusals = [], []
    for index in range(*span):
        try:
            stamps.append(hosts.read(index))
        except InputRefused as error:
            refusals.append(error.refusal)
    images = np.stack([s.image for s in stamps]) if stamps else np.empty((0, 3, 64, 64), np.float32)
    columns = {"kind": kind, "split": split, "host_id": [s.host_id for s in stamps]}
    columns["subkind"] = [str(s.meta.get("kind", "")) for s in stamps]
    for i, band in enumerate("grz"):
        columns[f"psf_fwhm_{band}_arcsec"] = [float(s.psf_fwhm[i]) for s in stamps]
        columns[f"sky_sigma_{band}"] = [float(s.sky_sigma[i]) for s in stamps]
    sigma = np.array([s.sky_sigma for s in stamps], np.float32).reshape(-1, 3)
    columns["logit"] = scorer.logits(images, sky_sigma=sigma)
    columns["logit_core_masked"] = scorer.logits(images, core_mask_px, sigma)
    return score_table(columns, len(stamps)), refusals


@dataclass(frozen=True)
class _Scoring:
    """What a worker of ``dhs score`` holds."""

    scorer: Scorer
    core_mask_px: float
    hosts: object


def _open_scoring(checkpoint: str, core_mask_px: float, hosts=None) -> _Scoring:
    # One thread each, whoever runs it: sums in another order would change the last bits of a logit.
    torch.set_num_threads(1)
    return _Scoring(Scorer(checkpoint), core_mask_px, hosts)


def _score_item(scoring: _Scoring, item: tuple[int, tuple]) -> tuple[int, list[pa.Table], list]:
    """Scores of one part, (file, negatives), or of one span of hosts, with its number."""
    number, what = item
    if scoring.hosts is None:
        parts = read_files(*what, SCALARS, HARD_COLUMNS)
        return number, [t for part in parts for t in _score_part(scoring.scorer, part, scoring.core_mask_px)], []
    table, refusals = _score_span(scoring.scorer, scoring.hosts, what, "cutout", scoring.core_mask_px)
    return number, [table], refusals


def score(
    checkpoint: str | Path,
    out: str | Path,
    *,
    data_path: str | Path | None = None,
    cutouts: str | None = None,
    profile: str | Path | Profile = "demo",
    splits: Sequence[str] = ("test",),
    engine: str = "processes",
    workers: int | None = None,
    master: str | None = None,
) -> pa.Table:
    """Score a pairs data set or a folder of cutouts and write the scores.

    Parameters
    ----------
    checkpoint : str or Path
    out : str or Path
        Parquet file, written atomically; refused cutouts go to ``quarantine.parquet`` beside it.
    data_path : str or Path, optional
        A pairs data set: positives, controls and hard negatives of ``splits``.
    cutouts : str, optional
        A host spec (``mock``, a folder of cutouts, one file, survey coadds), as for ``dhs inject --hosts``; known
        lenses are kept. Exactly one of the two is given.
    profile : str, Path or Profile
        Its ``evaluate.core_radius_px`` is the core that ``logit_core_masked`` hides.
    splits : sequence of str
    engine, workers, master
        As in `dhs.engines.run`; they change no byte.

    Returns
    -------
    pyarrow.Table
        What was written, columns of `SCORE_SCHEMA`.

    Raises
    ------
    UsageError
        Both inputs, or neither.
    DhsError
        A bad checkpoint or data set, a test split without a registered plan, or no cutout that could be scored.
    """
    if (data_path is None) == (cutouts is None):
        raise UsageError("give either data_path (--data-path) or cutouts (--cutouts), one of the two")
    profile = load_profile(profile)
    engines.check(engine, workers, master)
    radius = profile.evaluate.core_radius_px
    checkpoints.load(checkpoint)
    hosts, refusals = None, []
    if data_path is not None:
        pairs = reader.open_pairs(data_path)
        if "test" in splits and pairs.manifest["counts"].get("test"):
            plan.open_test(pairs)
        items = [f for split in splits for f in part_files(pairs, split)]
    else:
        from dhs.survey.hosts import open_hosts

        config = profile.hosts.model_copy(update={"spec": cutouts, "known_lenses": None, "allow_known_lenses": True})
        hosts = open_hosts(config, profile.seed)
        items, refusals = _spans(len(hosts.refs), CUTOUTS_A_TASK), list(hosts.refusals)
    threads, tables = torch.get_num_threads(), {}
    try:
        setup = (str(checkpoint), radius, hosts)
        for number, scored, refused in engines.run(
            _score_item, list(enumerate(items)), _open_scoring, setup, engine, workers, "score", master=master
        ):
            tables[number] = scored
            refusals += refused
    finally:
        torch.set_num_threads(threads)
    table = pa.concat_tables([SCORE_SCHEMA.empty_table(), *(t for number in sorted(tables) for t in tables[number])])
    if refusals:
        folder = str(out).rpartition("/")[0] or "."
        storage.write_quarantine(storage.join(folder, "quarantine.parquet"), refusals)
    if hosts is not None and table.num_rows == 0:
        first = refusals[0].message if refusals else "there is none"
        raise DhsError(f"{cutouts}: no cutout could be scored ({first}). See quarantine.parquet beside {out}.")
    storage.write_table(out, table)
    return table
