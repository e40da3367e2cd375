"""What the three priors draw, beside what lenses are: ``python benchmarks/priors.py [--pairs N] [--json FILE]``.

Under every prior the same mock hosts and source galaxies of the demo profile. The response grid was the default before
the joint prior, so those two are "before" and "after". Beside them the colours of arcs and of the blue companions that
survey negatives have. The book shows ``benchmarks/results/priors.json``.
"""

from __future__ import annotations

import argparse

import numpy as np

from dhs import storage
from dhs.book.studies import prior_checks
from dhs.config import load_profile
from dhs.datasets.resume import made_by


def measure(n_pairs: int) -> dict:
    profile = load_profile("demo")
    drawn = {prior: prior_checks.draw(prior, n_pairs) for prior in prior_checks.PRIORS}
    return {
        **made_by(),
        "n_pairs": n_pairs,
        "seed": profile.seed,
        "injection": profile.injection.model_dump(mode="json"),
        "priors": {prior: prior_checks.summary(columns) for prior, columns in drawn.items()},
        "histograms": {prior: prior_checks.histograms(columns) for prior, columns in drawn.items()},
        "above_floor": prior_checks.above_floor(drawn["population"], profile.injection),
        "selected_by_flux": prior_checks.magnification_bias(drawn["population"], profile.injection.counts_slope),
        "colours": {
            "arcs": prior_checks.arc_colours(drawn["joint"]),
            "blue_companions": prior_checks.companion_colours(drawn["joint"], profile.seed),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--json", help="file to write the result to")
    options = parser.parse_args()
    result = measure(options.pairs)
    for prior, numbers in result["priors"].items():
        print(prior, {k: np.round(v, 3).tolist() for k, v in numbers.items()})
    print(result["colours"], result["above_floor"], result["selected_by_flux"])
    if options.json:
        storage.write_json(options.json, result)
