"""What the three priors draw, beside what lenses are; stored for the book as ``benchmarks/results/priors.json``.

    python benchmarks/priors.py [pairs]

Under every prior the same mock hosts and source galaxies of the demo profile. The response grid was the default before
the joint prior, so the two are "before" and "after". Beside them the colours of arcs and of the blue companions that
survey negatives have.
"""

from __future__ import annotations

import sys

import numpy as np

from dhs import storage
from dhs.book.studies import prior_checks
from dhs.config import load_profile
from dhs.datasets.resume import made_by

OUT = "benchmarks/results/priors.json"


def main(n_pairs: int = 1500) -> dict:
    profile = load_profile("demo")
    drawn = {prior: prior_checks.draw(prior, n_pairs) for prior in prior_checks.PRIORS}
    result = {
        **made_by(),
        "n_pairs": n_pairs,
        "seed": profile.seed,
        "injection": profile.injection.model_dump(mode="json"),
        "priors": {prior: prior_checks.summary(columns) for prior, columns in drawn.items()},
        "histograms": {prior: prior_checks.histograms(columns) for prior, columns in drawn.items()},
        "above_floor": prior_checks.above_floor(drawn["population"], profile.injection),
        "colours": {
            "arcs": prior_checks.arc_colours(drawn["joint"]),
            "blue_companions": prior_checks.companion_colours(drawn["joint"], profile.seed),
        },
    }
    storage.write_json(OUT, result)
    return result


if __name__ == "__main__":
    summary = main(*(int(a) for a in sys.argv[1:]))
    for prior, numbers in summary["priors"].items():
        print(prior, {k: np.round(v, 3).tolist() for k, v in numbers.items()})
    print(summary["colours"], summary["above_floor"])
