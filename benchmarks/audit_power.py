"""Operating characteristic of the audit: what it catches, how weak a fault may be, and how often it cries wolf.

    python benchmarks/audit_power.py [--pairs 700] [--repetitions 3] [--clean 100] [--work FOLDER] [--json FILE]

One data set is made and measured. Each fault of ``audit_faults.py`` is then planted at five strengths into random parts
of it, what it changes is measured again, and the gates that look at that decide. Clean sets are random parts of it, of
two thirds of the pairs, and all gates decide. The file is written after every fault and a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
from audit_faults import FAULTS, Fault
from scipy.stats import beta

import dhs
from dhs import storage
from dhs.config import load_profile
from dhs.datasets.reader import open_pairs, rows
from dhs.datasets.rerender import SourceLookup
from dhs.datasets.schema import IMAGE, NEGATIVE_SCHEMA, PAIR_SCHEMA, SCALARS, SPLITS
from dhs.validation.preflight import image_statistics as statistics
from dhs.validation.preflight import pair_measures
from dhs.validation.preflight.gate import NO_GO, decide, registered, run_gates
from dhs.validation.preflight.preflight import NEGATIVE_SCALARS, PreflightData

SHARE = 2 / 3  # of the pairs, in each planted or clean set


class Bench:
    """One measured data set, and parts of it with changed rows.

    Parameters
    ----------
    path : Path
    profile : Profile
    """

    def __init__(self, path: Path, profile):
        self.pairs, self.profile = open_pairs(path), profile
        self.rows, self.lights = [], []
        for split in SPLITS:
            for batch in self.pairs.batches(split):
                table = pa.Table.from_batches([batch]).drop_columns(["invvar", "psf"])
                self.rows += [{**r, "folder_split": split} for r in rows(table)]
            for batch in self.pairs.batches(split, list(NEGATIVE_SCHEMA.names), negatives=True):
                self.lights += [{**r, "folder_split": split} for r in rows(pa.Table.from_batches([batch]))]
        self.place = {r["pair_id"]: i for i, r in enumerate(self.rows)}
        self.sources = SourceLookup(self.pairs.manifest)
        self.rendered: dict = {}
        pair_measures.rerender = self._rerender
        self.plain = self.measure(self.rows, tuple(pair_measures.GROUPS), True, lights=self.lights)
        self.parts = np.stack([self._part(r) for r in self.rows]).astype(np.float32)

    def _rerender(self, row, source, supersampling):
        """Rendered once a lens: a fault of pixels leaves the lens as it is."""
        from dhs.datasets.rerender import rerender

        names = (*statistics.LENS, "src_phi_rad", "flux_scale", "slope", *(f"psf_fwhm_{b}_arcsec" for b in "grz"))
        key = (row["pair_id"], *(float(row[k]) for k in names))
        if key == self._key(row["pair_id"], names):
            if row["pair_id"] not in self.rendered:
                self.rendered[row["pair_id"]] = rerender(row, source, supersampling)
            return self.rendered[row["pair_id"]]
        return rerender(row, source, supersampling)

    def _key(self, pair_id: int, names) -> tuple:
        own = self.rows[self.place[pair_id]]
        return (pair_id, *(float(own[k]) for k in names))

    def _part(self, row) -> np.ndarray:
        return pair_measures.residual(pair_measures.Item(row, self.profile, self.sources))

    def measure(self, chosen: list[dict], groups: tuple[str, ...], embed: bool, lights=()) -> statistics.Measured:
        """What the given rows measure in some groups."""
        out = statistics.Measured(statistics.Job("train", "", None, tuple(range(len(chosen)))))
        by_pair: dict = {}
        for light in lights:
            by_pair.setdefault(light["pair_id"], []).append(light)
        context = statistics.Context(self.pairs, self.profile, self.sources, groups, embed, residual=False)
        statistics.measure_rows(context, out, chosen, range(len(chosen)), by_pair)
        return statistics.finished(out)

    def data(self, members: np.ndarray, changed: dict, fault: Fault | None) -> PreflightData:
        """What preflight would hold of the member rows, some of them changed."""
        now = [changed.get(int(i), self.rows[i]) for i in members]
        again = np.array([k for k, i in enumerate(members) if int(i) in changed], dtype=int)
        images = {k: v[members].copy() for k, v in self.plain.pairs.items()}
        every = {k: v[members].copy() for k, v in self.plain.every.items() if k != "row"}
        bad = {k: [] for k in statistics.FAULTS}
        keep = np.ones(len(members), bool)
        if len(again):
            new = self.measure([now[k] for k in again], fault.groups, fault.embed)
            usable = again[new.every["row"]] if "row" in new.every else again[:0]
            keep[np.setdiff1d(again, usable)] = False
            bad = new.bad
            for store, found in ((images, new.pairs), (every, new.every)):
                for name, values in found.items():
                    if name != "row":
                        store[name][usable] = values
        data = PreflightData(self._pairs(now, fault), self.profile)
        data.scalars = _scalars(now, SCALARS, PAIR_SCHEMA)
        data.bad_images = bad
        data.images = {k: v[keep] for k, v in images.items()}
        data.every, data.every_rows = {k: v[keep] for k, v in every.items()}, np.flatnonzero(keep)
        data.image_rows = np.flatnonzero(keep)
        data.exact, data.residual = True, (None, 0)
        if fault is None or "residual_image" in fault.gates:
            untouched = [int(i) for k, i in enumerate(members) if int(i) not in changed]
            total = self.parts[untouched].sum(axis=0, dtype=float) if untouched else 0.0
            for k in again:
                total = total + self._part(now[k])
            data.residual = (np.asarray(total), len(members))
        mine = {r["pair_id"]: k for k, r in enumerate(now)}
        place = [mine.get(self.lights[i]["pair_id"], -1) for i in range(len(self.lights))]
        there = [i for i, k in enumerate(place) if k >= 0]
        data.negatives = _scalars([self.lights[i] for i in there], NEGATIVE_SCALARS, NEGATIVE_SCHEMA)
        owner = np.array([mine.get(self.rows[p]["pair_id"], -1) for p in self.plain.hard["pair"]])
        data.hard = {k: v[owner >= 0] for k, v in self.plain.hard.items()} | {"pair": owner[owner >= 0]}
        return data

    def _pairs(self, now: list[dict], fault: Fault | None):
        counts = {s: sum(r["folder_split"] == s for r in now) for s in SPLITS}

        def dataset(*_, **__):
            flat = pa.array(np.concatenate([r["control"].ravel() for r in now]), pa.float32())
            inner = pa.FixedSizeListArray.from_arrays(flat, 12288)
            columns = {"pair_id": [r["pair_id"] for r in now], "control": pa.ExtensionArray.from_storage(IMAGE, inner)}
            return pads.dataset(pa.table(columns))

        return SimpleNamespace(manifest=self.pairs.manifest | {"counts": counts}, dataset=dataset, path="")


def _scalars(chosen: list[dict], names, schema: pa.Schema) -> pa.Table:
    fields = [schema.field(n) for n in names] + [pa.field("folder_split", pa.string())]
    return pa.Table.from_pylist([{f.name: r.get(f.name) for f in fields} for r in chosen], schema=pa.schema(fields))


def drawn(n: int, seed: tuple[int, ...]) -> tuple[np.ndarray, np.random.Generator]:
    """A random part of n rows in their order, and a generator for what is planted in it."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    return np.sort(rng.permutation(n)[: round(SHARE * n)]), rng


def power(bench: Bench, number: int, fault: Fault, repetitions: int) -> dict:
    """How often each strength of a fault was caught, and by which gates."""
    caught, by, tried = [], [], []
    for strength in fault.strengths:
        hits, gates, done = 0, {}, 0
        for repetition in range(repetitions):
            members, rng = drawn(len(bench.rows), (11, number, repetition))
            members = np.sort(rng.permutation(members)[: fault.few]) if fault.few else members
            own = [bench.rows[i] for i in members]
            planted = {int(members[k]): row for k, row in fault.plant(own, strength, rng).items()}
            outcome = run_gates(bench.data(members, planted, fault), fault.gates)
            failed = [g.name for g in outcome if g.status == "fail"]
            hits, done = hits + bool(failed), done + 1
            for name in failed:
                gates[name] = gates.get(name, 0) + 1
        caught.append(hits)
        by.append(gates)
        tried.append(done)
        print(f"  {fault.name} {strength:g} {fault.unit}: {hits} of {done} {gates}", flush=True)
    sure = [s for s, k, n in zip(fault.strengths, caught, tried) if k >= 0.9 * n]
    strong = all(k >= 0.9 * n for k, n in zip(caught[-1:], tried[-1:]))
    return {
        "name": fault.name,
        "where": fault.where,
        "unit": fault.unit,
        "strengths": list(fault.strengths),
        "caught": caught,
        "tried": tried,
        "gates": sorted({name for found in by for name in found}),
        "by": by,
        "looked": list(fault.gates),
        "pairs_a_set": fault.few,
        "smallest_caught": sure[0] if sure and strong else None,
    }


def clean(bench: Bench, first: int, last: int) -> list[dict]:
    """Decisions of all gates on clean sets."""
    out = []
    for number in range(first, last):
        members, _ = drawn(len(bench.rows), (12, number))
        outcome = run_gates(bench.data(members, {}, None), alpha=bench.profile.preflight.alpha)
        decision, _ = decide(outcome)
        failed = {g.name: g.explanation for g in outcome if g.status == "fail"}
        out.append({"refused": decision == NO_GO, "failed": sorted(failed)})
        if failed:
            print(f"  clean set {number}: {failed}", flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=700)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--bootstrap", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("runs") / "audit_power")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "audit_power.json")
    args = parser.parse_args()
    options = {"preflight__n_bootstrap": args.bootstrap, "preflight__n_null": 10, "preflight__n_survey": 0}
    options |= {"preflight__max_rows": args.pairs}
    profile = load_profile("demo", hosts__n_mock=args.pairs, injection__n_pairs=args.pairs, **options)
    dhs.inject(args.work / "pairs", profile=profile, engine="serial", resume=True)
    start = time.time()
    bench = Bench(args.work / "pairs", profile)
    print(f"measured {len(bench.rows)} pairs in {time.time() - start:.0f} s", flush=True)
    key = {"pairs": args.pairs, "repetitions": args.repetitions, "seed": profile.seed, "bootstrap": args.bootstrap}
    key["content_hash"] = bench.pairs.manifest["content_hash"]
    held = json.loads(args.json.read_text()) if args.json.is_file() else {}
    if held.get("made_with") != key:
        held = {"made_with": key, "faults": [], "clean": {"n": 0, "false_failures": 0, "failed": {}}}
    done = {f["name"] for f in held["faults"]}
    for number, fault in enumerate(FAULTS):
        if fault.name not in done and args.only in fault.name:
            held["faults"].append(power(bench, number, fault, args.repetitions))
            _write(args.json, held)
        if number % 4 == 3:
            _more_clean(bench, held, min(args.clean, held["clean"]["n"] + 2), args.json)
    while held["clean"]["n"] < args.clean:
        _more_clean(bench, held, held["clean"]["n"] + 2, args.json)


def _more_clean(bench: Bench, held: dict, upto: int, out: Path) -> None:
    entry = held["clean"]
    for found in clean(bench, entry["n"], upto):
        entry["n"] += 1
        entry["false_failures"] += int(found["refused"])
        for name in found["failed"]:
            entry["failed"][name] = entry["failed"].get(name, 0) + 1
    k, n = entry["false_failures"], entry["n"]
    entry["upper_bound"] = float(beta.ppf(0.95, k + 1, n - k)) if k < n else 1.0
    entry["gates"] = len(registered())
    _write(out, held)


def _write(path: Path, held: dict) -> None:
    set_size = round(SHARE * held["made_with"]["pairs"])
    note = (
        "Every set is a random two thirds of one data set, so sets share pairs: counts are of decisions, not of "
        "independent skies. Faults are decided by the gates that look at what they change."
    )
    storage.write_json(path, held | {"pairs_a_set": set_size, "note": note})


if __name__ == "__main__":
    main()
