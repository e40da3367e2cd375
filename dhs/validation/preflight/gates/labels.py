"""Whether labels are true: positives hold an arc, controls hold none."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from scipy.stats import binom

from dhs.random import Stream, keyed
from dhs.validation.preflight import lens_search
from dhs.validation.preflight.gate import Gate, Skip, gate, verdict

DARK_SNR = 3.0  # arc over sky noise, matched over all bands: below it nobody can see that there is an arc
SHARE_ALLOWED = 0.002  # arcs without light, or with other light than their row says
SURE = 0.01  # p-value of a binomial count
STORED_CLOSURE = 0.02  # peak and flux of one arc, stored over measured
MIN_PAIRS = 20
SHOWN = 50


@gate(
    "arcs_have_light",
    number=16,
    remedy="Look at the pairs named: a positive without an arc teaches that a galaxy alone is a lens. Make them again, "
    "or drop them.",
)
def arcs_have_light(data) -> Gate:
    """Arcs one by one: light at all, and as much as the row says, in every pair of the set."""
    n = len(data.every_rows)
    if n < MIN_PAIRS:
        raise Skip(f"{n} pairs have usable images, {MIN_PAIRS} are needed.")

    def column(name: str) -> np.ndarray:
        return data.column(name)[data.every_rows].astype(float)

    snr, total, peak = (data.every[name] for name in ("arc_snr", "arc_total", "arc_peak"))
    dark = (snr < DARK_SNR) | (total[:, 1] <= 0)
    stored = column("arc_snr_maxpix")
    earlier = "earlier_format" in data.pairs.manifest
    other = np.zeros(n, bool)
    if not earlier:
        flux = np.stack([column(f"arc_flux_{b}") for b in "grz"], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.abs(total - flux) > STORED_CLOSURE * np.abs(flux).max(axis=1, keepdims=True)
            other = off.any(axis=1) | (
                np.abs(peak[:, 1] / stored - 1) > STORED_CLOSURE + 1e-3 / np.maximum(stored, 1e-3)
            )
    other &= ~dark
    ids = data.column("pair_id")[data.every_rows]
    natural = data.profile.injection.prior == "population"  # there a lens may be too faint to see
    k = int(other.sum() + (0 if natural else dark.sum()))
    sure = binom.sf(k - 1, n, SHARE_ALLOWED) < SURE if k else False
    text = (
        f"Of {n} arcs {int(dark.sum())} have no light to speak of (below {DARK_SNR:g} sigma in all bands together) and "
        f"{int(other.sum())} another peak or flux than their row says; {SHARE_ALLOWED:g} is allowed."
    )
    text += f" pair_id {', '.join(str(i) for i in ids[dark | other][:5])}." if (dark | other).any() else ""
    details = {
        "dark_pair_ids": ids[dark][:SHOWN].tolist(),
        "other_pair_ids": ids[other][:SHOWN].tolist(),
        "dark": int(dark.sum()),
        "other": int(other.sum()),
    }
    status = "fail" if sure else "warn" if (dark | other).any() else "pass"
    return verdict(status, text, value=k / n, threshold=SHARE_ALLOWED, n=n, details=details)


LENSED_SHARE = 0.01  # of controls that may hold a lens: ten times what an LRG sample has
MIN_REFERENCE = 80
OWN_ARC = 0.9  # correlation of a control's blue light with its pair's arc
CHANCE_OWN = 0.01  # of blue neighbours where an arc of that brightness will be put
REFERENCE_FILE, REFERENCE_SEED = "unlensed.csv", 77_001
OF_REAL_SKY = 5.0  # times as many, where hosts are real and the reference is not
CAP = 20.0  # of the odds that one stamp counts with


def odds_model(positive: np.ndarray, reference: np.ndarray):
    """Odds of a stamp to hold an arc, learnt on stamps that do and on unlensed galaxies of the same kind."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    model = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression(C=0.1, max_iter=300))
    labels = np.repeat([1, 0], [len(positive), len(reference)])
    weight = np.where(labels == 1, 1 / len(positive), 1 / len(reference)) * len(labels) / 2
    model.fit(np.concatenate([positive, reference]), labels, logisticregression__sample_weight=weight)
    return lambda x: np.minimum(np.exp(np.clip(model.decision_function(x), -10, 10)), CAP)


def lensed_share(control: np.ndarray, positive: np.ndarray, reference: np.ndarray, seed: int) -> dict:
    """Share of controls that hold an arc, from a mixture: controls = (1 - share) reference + share positives.

    The odds are learnt on one half of the reference and of the positives and read on the other, both ways.
    """
    rng = keyed(seed, Stream.HALVES, 1)
    halves = [np.array_split(rng.permutation(len(x)), 2) for x in (control, positive, reference)]
    of = [np.empty(len(x)) for x in (control, positive, reference)]
    for k in (0, 1):
        odds = odds_model(positive[halves[1][1 - k]], reference[halves[2][1 - k]])
        for values, x, half in zip(of, (control, positive, reference), halves):
            values[half[k]] = odds(x[half[k]])
    means = [v.mean() for v in of]
    errors = [v.std(ddof=1) / np.sqrt(len(v)) for v in of]
    lever = max(means[1] - means[2], 1e-9)
    share = (means[0] - means[2]) / lever
    return {"share": share, "error": float(np.hypot(errors[0], errors[2]) / lever), "odds": of[0], "reference": of[2]}


@gate(
    "controls_hold_no_arc",
    number=17,
    remedy="Look at the controls named: hosts that are lenses already, or controls that were taken after the arc was "
    "put in. Take them out; a negative with an arc teaches that arcs are nothing.",
)
def controls_hold_no_arc(data) -> Gate:
    """Controls searched for blue arcs, against unlensed galaxies, and for the very arc of their own pair."""
    data.need_images(MIN_PAIRS)
    own, ids = data.images["own_arc"], data.of_images("pair_id")
    visible = np.isfinite(own)
    twins = visible & (own > OWN_ARC)
    expected = binom.sf(int(twins.sum()) - 1, max(int(visible.sum()), 1), CHANCE_OWN)
    faults = []
    if twins.any() and expected < SURE:
        faults.append(f"{int(twins.sum())} controls hold the arc of their own pair (pair_id {_some(ids[twins])})")
    details: dict = {"own_arc_pair_ids": ids[twins][:SHOWN].tolist()}
    control, positive = data.images["search_control"], data.images["search_positive"]
    mock = bool(data.pairs.manifest["hosts"]["mock"])
    limit = LENSED_SHARE * (1 if mock else OF_REAL_SKY)
    text = f"{int(twins.sum())} of {int(visible.sum())} controls whose arc would show hold their own pair's arc."
    fields: dict = {"value": float(twins.mean()), "threshold": CHANCE_OWN}
    if data.n_images < MIN_REFERENCE:
        text += f" Other arcs were not looked for: fewer than {MIN_REFERENCE} pairs."
    else:
        found = lensed_share(control, positive, reference(), data.profile.seed)
        low = found["share"] - 2.33 * found["error"]
        suspects = np.argsort(-found["odds"], kind="stable")
        suspects = suspects[found["odds"][suspects] > np.quantile(found["reference"], 0.99)]
        details |= {
            "share": found["share"],
            "error": found["error"],
            "suspect_pair_ids": ids[suspects][:SHOWN].tolist(),
        }
        text += (
            f" Searched for blue arcs, {found['share']:.3f} +- {found['error']:.3f} of the controls look like "
            f"positives beyond what {len(reference())} mock unlensed galaxies do; {limit:g} is allowed."
        )
        fields = {"value": found["share"], "ci_low": low, "threshold": limit}
        fields["ci_high"] = found["share"] + 2.33 * found["error"]
        if low > limit:
            faults.append(f"lensed controls, first of all pair_id {_some(ids[suspects])}")
    text += f" At fault: {'; '.join(faults)}." if faults else ""
    text += " Arcs as red as their hosts are not seen."
    return verdict(
        "fail" if faults else "pass", text, n=data.n_images, n_hosts=len(set(data.hosts)), details=details, **fields
    )


def _some(values, n: int = 5) -> str:
    return ", ".join(str(v) for v in values[:n]) + (", ..." if len(values) > n else "")


def reference_features(first: int, last: int) -> np.ndarray:
    """`lens_search.features` of mock hosts first to last of `REFERENCE_SEED`; all of them are in `REFERENCE_FILE`."""
    from dhs.survey.mock.hosts import mock_host, mock_refs

    refs = mock_refs(REFERENCE_SEED, last)
    made = (mock_host(REFERENCE_SEED, i, refs[i]) for i in range(first, last))
    return np.array([lens_search.features(h.image, h.psf_fwhm, h.gain) for h in made])


@cache
def reference() -> np.ndarray:
    """(n, 8) features of unlensed mock hosts, as the package carries them; made by `write_reference`."""
    text = (resources.files("dhs.validation.preflight") / REFERENCE_FILE).read_text()
    return np.loadtxt(text.splitlines(), delimiter=",", skiprows=1, dtype=np.float32)


def write_reference(path: str, n: int = 1500) -> None:
    """Make `REFERENCE_FILE` anew; for changes of the mock hosts or of the search."""
    header = ",".join(lens_search.FEATURES)
    np.savetxt(path, reference_features(0, n), fmt="%.4f", delimiter=",", header=header, comments="")
