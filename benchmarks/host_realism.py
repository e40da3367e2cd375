"""How far mock hosts are from real galaxies: ``python benchmarks/host_realism.py [--hosts FOLDER] [--json FILE]``.

Real hosts are by default the 46 DES coadd galaxies under ``DHS_DATA_DIR``. Mocks are made under their seeing and noise,
both are degraded to one, matched in magnitude and colour, and told apart by named features and, with ``--checkpoint``,
by a network's. Sizes, ellipticities, gradients and companions of the mocks were set by these same galaxies, so the
AUC is not of galaxies that nobody looked at; ``seeds`` shows how much it owes to the mocks that were drawn. The book
shows ``benchmarks/results/host_realism.json``, so a run without the data still says it.
"""

from __future__ import annotations

import argparse

from dhs import storage
from dhs.datasets.resume import made_by
from dhs.errors import UsageError
from dhs.survey.hosts.open import resolved
from dhs.validation.realism.hosts import compare_hosts


def measure(spec: str, seeds: list[int], checkpoint: str | None) -> dict:
    if spec == "mock":
        raise UsageError("no real hosts under DHS_DATA_DIR: give a folder with --hosts.")
    scorer = None
    if checkpoint:
        from dhs.models.score import Scorer

        scorer = Scorer(checkpoint)
    found = [compare_hosts(spec, seed=seed, scorer=scorer if seed == seeds[0] else None) for seed in seeds]
    return {**made_by(), "seeds": {s: f["probe"]["value"] for s, f in zip(seeds, found)}, **found[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--checkpoint")
    parser.add_argument("--json", help="file to write the result to")
    options = parser.parse_args()
    result = measure(resolved(options.hosts), options.seeds, options.checkpoint)
    for name in ("probe", "control", *(["network"] if "network" in result else [])):
        print(name, {k: result[name][k] for k in ("value", "ci_low", "ci_high", "n")})
    print({k: round(v["value"], 3) for k, v in result["families"].items()}, result["seeds"])
    if options.json:
        storage.write_json(options.json, result)
