"""Gates with an outside witness: clean passes, and what agrees with its own row is caught, at several strengths."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from planted_pairs import GAIN, SIGMA, make_rows, write

from dhs.datasets import rerender
from dhs.datasets.reader import stamp
from dhs.stats.duplicates import turned
from dhs.validation.preflight import host_light, lens_search, pair_measures, pixel_noise
from dhs.validation.preflight.gate import run_gates
from dhs.validation.preflight.gates import labels, priors
from dhs.validation.preflight.gates.pixels import duplicates, residual_image
from dhs.validation.preflight.image_statistics import LENS
from dhs.validation.preflight.preflight import collect

WITNESSES = (
    "residual_image",
    "host_duplicates",
    "source_duplicates",
    "arcs_have_light",
    "controls_hold_no_arc",
    "mass_and_light",
    "noise_gain_psf",
    "priors_as_registered",
)


@pytest.fixture
def run(tmp_path, profile):
    def gates(pairs, *names, **options):
        data = collect(write(tmp_path / "pairs", pairs, []), profile.replace(**options), engine="serial")
        return {g.name: g for g in run_gates(data, names)}

    return gates


@pytest.fixture
def run_all(tmp_path, profile):
    def gates(pairs, negatives, *names):
        data = collect(write(tmp_path / "pairs", pairs, negatives), profile, engine="serial")
        return {g.name: g for g in run_gates(data, names)}

    return gates


@pytest.fixture(scope="module")
def made_rows():
    return make_rows(60)


@pytest.fixture(scope="module")
def made(made_rows):
    return made_rows[0]


@pytest.fixture(scope="module")
def base_negatives(made_rows):
    return made_rows[1]


@pytest.fixture
def few(made):
    return [dict(r) for r in made]


@pytest.fixture(autouse=True, scope="module")
def rendered_once():
    """The same lens is rendered again once, not in every test."""
    known, plain = {}, pair_measures.rerender

    def again(row, source, supersampling):
        lens = tuple(float(row[k]) for k in (*LENS, "src_phi_rad", "flux_scale", "psf_fwhm_r_arcsec"))
        key = (source.source_id, lens)
        if key not in known:
            known[key] = plain(row, source, supersampling)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_measures, "rerender", again)
        yield


def put_in(row, light):
    """The row with light added to its arc, its numbers those of the arc as it then is."""
    arc = (row["arc"] + light).astype(np.float32)
    flux = {f"arc_flux_{b}": f for b, f in zip("grz", arc.sum(axis=(1, 2)))}
    return {**row, "arc": arc, "arc_snr_maxpix": float(arc[1].max() / SIGMA[1]), **flux}


def test_a_clean_set_passes_them_all(few, run):
    got = run(few, *WITNESSES)
    assert {n: g.status for n, g in got.items()} == dict.fromkeys(WITNESSES, "pass"), got
    assert set(got) == set(WITNESSES) and all(g.blocking and g.explanation for g in got.values())


def corner(sigmas):
    light = np.zeros((3, 64, 64))
    light[1, 1, 62] = sigmas * SIGMA[1]
    return lambda row, rng: light


def four_corners(sigmas):
    light = np.zeros((3, 64, 64))
    for (y, x), sign in zip(((0, 0), (63, 63), (0, 63), (63, 0)), (1, 1, -1, -1)):
        light[:, y, x] = sign * sigmas * SIGMA
    return lambda row, rng: light


def offset(sigmas):
    return lambda row, rng: np.full((3, 64, 64), sigmas) * SIGMA[:, None, None]


def noise(sigmas):
    return lambda row, rng: rng.normal(size=(3, 64, 64)) * sigmas * SIGMA[:, None, None]


def seam(sigmas):
    light = np.zeros((3, 64, 64))
    light[:, :, 31], light[:, :, 32] = sigmas, -sigmas
    return lambda row, rng: light * SIGMA[:, None, None]


@pytest.mark.parametrize(
    "plant", [corner(0.03), corner(1), four_corners(0.03), four_corners(3), offset(0.02), noise(0.1), seam(0.05)]
)
def test_what_is_neutral_in_flux_and_centroid_shows_in_its_pixel(plant, few, run):
    rng = np.random.default_rng(0)
    got = run([put_in(r, plant(r, rng)) for r in few], "residual_image")["residual_image"]
    assert got.status == "fail" and got.value > got.threshold


def test_the_pixel_is_named(few, run):
    got = run([put_in(r, corner(0.5)(r, None)) for r in few], "residual_image")["residual_image"]
    assert "mean in r at (x 62, y 1)" in got.explanation


def test_a_watermark_of_hard_negatives_shows_as_well(few, base_negatives, run_all):
    plain = run_all(few, base_negatives, "residual_image")["residual_image"]
    marked = [{**n, "light": n["light"] + corner(1.0)(n, None).astype(np.float32)} for n in base_negatives]
    got = run_all(few, marked, "residual_image")["residual_image"]
    assert plain.status == "pass" and got.status == "fail" and "hard negatives in r at (x 62, y 1)" in got.explanation


def test_tails_of_few_photons_raise_no_alarm():
    """Honest shot noise of faint and bright light, many frames over: the greatest z stays below the limit."""
    rng = np.random.default_rng(3)
    for n, level in ((30, 1e-5), (30, 1e-3), (200, 1e-5)):
        light = level * np.exp(rng.normal(0, 1.5, (n, 3, 64, 64)))
        noisy = rng.poisson(light * GAIN[:, None, None]) / GAIN[:, None, None]
        total = sum(residual_image.sums(a, e, SIGMA, GAIN) for a, e in zip(noisy, light))
        z = residual_image.compare(total, n, 0.01)
        assert all(z[name].max() < limit for name, limit in residual_image.LIMITS.items())


@pytest.mark.parametrize("share, status", [(0.02, "warn"), (0.05, "fail"), (0.3, "fail")])
def test_empty_arcs_are_counted_one_by_one(share, status, few, run):
    n = max(1, round(share * len(few)))
    pairs = [put_in(r, -r["arc"]) if i < n else r for i, r in enumerate(few)]
    got = run(pairs, "arcs_have_light")["arcs_have_light"]
    assert got.status == status and set(got.details["dark_pair_ids"]) == {r["pair_id"] for r in few[:n]}
    dimmed = [{**r, "arc": 0.5 * r["arc"]} if i < 4 else r for i, r in enumerate(few)]
    got = run(dimmed, "arcs_have_light")["arcs_have_light"]
    assert got.status == "fail" and set(got.details["other_pair_ids"]) == {r["pair_id"] for r in few[:4]}


def test_arcs_beyond_the_measured_rows_are_counted_as_well(few, run):
    pairs = [put_in(r, -r["arc"]) if i >= 50 else r for i, r in enumerate(few)]
    assert run(pairs, "arcs_have_light", preflight__max_rows=5)["arcs_have_light"].status == "fail"


def test_costly_gates_draw_their_rows_over_all_parts(few, profile, tmp_path):
    pairs = write(tmp_path / "pairs", few, [], parts=4)
    one, two, other = (
        collect(pairs, profile.replace(preflight__max_rows=n, seed=s), engine="serial").image_rows
        for n, s in ((6, 1), (12, 1), (6, 2))
    )
    assert set(one) < set(two) and set(one) != set(other)
    train = [i for i in two if i < 42]
    assert len(train) == 12 and max(train) > 30 and min(train) < 12


@pytest.mark.parametrize("turn", range(8))
def test_a_host_is_known_again_across_splits(turn, few, run):
    train = next(r for r in few if r["split"] == "train")
    rng = np.random.default_rng(turn)
    fresh = rng.normal(size=(3, 64, 64)) * SIGMA[:, None, None] * (turn % 2)
    copy = np.roll(turned(train["control"], turn), (turn % 3, -(turn % 2)), axis=(1, 2)) + fresh
    test = next(i for i, r in enumerate(few) if r["split"] == "test")
    few[test] = {**few[test], "control": copy.astype(np.float32)}
    got = run(few, "host_duplicates", preflight__max_rows=0)["host_duplicates"]
    assert got.status == "fail" and got.value == 1
    assert set(got.details["across"][0]["ids"]) == {str(train["pair_id"]), str(few[test]["pair_id"])}


def test_twins_inside_a_split_are_listed(few, run):
    first, second = [i for i, r in enumerate(few) if r["split"] == "train"][:2]
    few[second] = {**few[second], "control": few[first]["control"]}
    got = run(few, "host_duplicates", preflight__max_rows=0)["host_duplicates"]
    assert got.status == "fail" and got.value == 0 and len(got.details["inside"]) == 1


def test_sources_under_other_ids_are_known_by_redshift_and_size(few, run):
    size = {name: 0.1 + 0.01 * i for i, name in enumerate(sorted({r["source_id"] for r in few}))}
    own = [{**r, "z_source": 1 + size[r["source_id"]], "src_r50_arcsec": size[r["source_id"]]} for r in few]
    assert run(own, "source_duplicates", preflight__max_rows=0)["source_duplicates"].status == "pass"
    train = next(r for r in own if r["split"] == "train")
    again = {k: train[k] for k in ("z_source", "src_r50_arcsec")}
    pairs = [{**r, **again, "source_id": "renamed"} if r["split"] == "test" else r for r in own]
    got = run(pairs, "source_duplicates", preflight__max_rows=0)["source_duplicates"]
    assert got.status == "fail" and "renamed" in got.explanation


def test_ids_that_no_source_set_knows_are_known_by_their_arcs(few, run, monkeypatch):
    monkeypatch.setattr(duplicates, "TRIED", 80)
    train = next(r for r in few if r["split"] == "train")
    test = next(i for i, r in enumerate(few) if r["split"] == "test")
    lens = {k: train[k] for k in (*LENS, "arc", "flux_scale", "magnification", "arc_snr_maxpix", "arc_snr_matched")}
    few[test] = {**few[test], **lens, "source_id": "renamed"}
    got = run(few, "source_duplicates", preflight__max_rows=0)["source_duplicates"]
    assert got.status == "fail" and f"renamed = {train['source_id']}" in got.explanation


def test_sources_under_other_ids_are_known_by_their_image(few, run, monkeypatch):
    plain = rerender.SourceLookup.get

    def twins(self, name):  # of the test split, those of train turned
        number = int(name[-3:])
        if number < 30:
            return plain(self, name)
        return replace(plain(self, name), image=turned(plain(self, f"mock-{number - 30:03d}").image, number % 8))

    monkeypatch.setattr(rerender.SourceLookup, "get", twins)
    pairs = [{**r, "source_id": f"mock-{i % 3:03d}"} if r["split"] == "train" else r for i, r in enumerate(few)]
    pairs = [{**r, "source_id": f"mock-{30 + i % 3:03d}"} if r["split"] == "test" else r for i, r in enumerate(pairs)]
    got = run(pairs, "source_duplicates", preflight__max_rows=0)["source_duplicates"]
    assert got.status == "fail" and got.value == 3


@pytest.mark.parametrize("arcsec, status", [(0.05, "pass"), (0.2, "fail"), (0.5, "fail"), (1.0, "fail")])
def test_mass_beside_its_galaxy_is_seen_in_any_direction(arcsec, status, few, run):
    angles = np.linspace(0, 2 * np.pi, len(few), endpoint=False)
    pairs = [
        {**r, "lens_x_arcsec": arcsec * np.cos(a), "lens_y_arcsec": arcsec * np.sin(a)} for r, a in zip(few, angles)
    ]
    assert run(pairs, "mass_and_light")["mass_and_light"].status == status


def test_mass_across_its_light_is_seen(few, run):
    y, x = np.mgrid[:64, :64] - 31.5
    long = np.exp(-0.5 * ((x / 6) ** 2 + (y / 3) ** 2)) * 60 * SIGMA[:, None, None]
    rng = np.random.default_rng(1)
    made = [(long + rng.normal(size=long.shape) * SIGMA[:, None, None]).astype(np.float32) for _ in few]
    for phi, status in ((0.1, "pass"), (np.pi / 2, "fail"), (np.pi / 4, "fail")):
        pairs = [{**r, "control": c, "phi_rad": phi, "q": 0.7} for r, c in zip(few, made)]
        assert run(pairs, "mass_and_light")["mass_and_light"].status == status


def test_the_host_is_measured_whatever_stands_beside_it():
    y, x = np.mgrid[:64, :64].astype(float)
    galaxy = np.exp(-0.5 * (((x - 32) / 4) ** 2 + ((y - 31) / 2.5) ** 2))
    alone = host_light.measure(galaxy)
    beside = host_light.measure(galaxy + 0.8 * np.exp(-0.5 * ((x - 41) ** 2 + (y - 36) ** 2) / 4))
    for found in (alone, beside):
        assert found["x"] == pytest.approx(0.5, abs=0.1) and found["y"] == pytest.approx(-0.5, abs=0.1)
        assert found["e1"] > 0.1 and abs(found["e2"]) < 0.3 * found["e1"]


@pytest.mark.parametrize("factor, status", [(5, "fail"), (0.2, "fail"), (1, "pass"), (1.3, "pass")])
def test_gain_against_the_sky_and_the_photons(factor, status, few, run):
    pairs = [{**r, **{f"gain_{b}": r[f"gain_{b}"] * factor for b in "grz"}} for r in few]
    assert run(pairs, "noise_gain_psf")["noise_gain_psf"].status == status


def test_sky_noise_that_is_not_the_pixels(few, run):
    pairs = [{**r, **{f"sky_sigma_{b}": r[f"sky_sigma_{b}"] * 1.4 for b in "grz"}} for r in few]
    got = run(pairs, "noise_gain_psf")["noise_gain_psf"]
    assert got.status == "fail" and "sky noise in g" in got.explanation


def test_photon_noise_of_bright_pixels_gives_the_gain():
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:64, :64] - 31.5
    light = np.exp(-np.hypot(x, y) / 5)[None] * 300 * SIGMA[:, None, None]
    found = []
    for gain in (GAIN, GAIN / 4):
        total = np.zeros((3, 3))
        for _ in range(40):
            electrons = rng.poisson(light * gain[:, None, None]) / gain[:, None, None]
            total += pixel_noise.shot_noise(electrons + rng.normal(size=light.shape) * SIGMA[:, None, None], SIGMA)
        found.append(total[:, 1] / (GAIN * SIGMA**2) / total[:, 0])
    assert found[0] == pytest.approx(1, abs=0.25) and found[1] == pytest.approx(0.25, abs=0.08)


def test_stars_are_as_wide_as_the_psf():
    from dhs.survey.psf import MOFFAT_BETA, moffat_alpha

    y, x = np.mgrid[:64, :64].astype(float)
    rng = np.random.default_rng(4)
    for stored, expected in ((1.2, 1.0), (1.44, 0.83), (1.0, 1.2)):
        alpha = moffat_alpha(1.2 / 0.262)
        star = (1 + ((x - 48.3) ** 2 + (y - 14.6) ** 2) / alpha**2) ** -MOFFAT_BETA
        image = np.stack([star * 80 * s + rng.normal(size=star.shape) * s for s in SIGMA])
        found = pixel_noise.star_ratios(image, SIGMA, np.full(3, stored))
        assert found[0] == pytest.approx(expected, abs=0.05) and np.isnan(found[1])


@pytest.mark.parametrize("share, status", [(0.0, "pass"), (0.1, "fail"), (0.3, "fail")])
def test_controls_that_hold_their_own_arc_are_listed(share, status, few, run):
    n = round(share * len(few))
    pairs = [{**r, "control": stamp(r)} if i < n else r for i, r in enumerate(few)]
    got = run(pairs, "controls_hold_no_arc")["controls_hold_no_arc"]
    assert got.status == status and set(got.details["own_arc_pair_ids"]) <= {r["pair_id"] for r in few[:n]}


def test_share_of_lensed_controls_from_a_mixture():
    rng = np.random.default_rng(5)

    def drawn(n, shift):
        x = rng.normal(size=(n, len(lens_search.FEATURES)))
        x[:, :5] += shift
        return x

    for share in (0.0, 0.05, 0.3):
        k = round(600 * share)
        control = np.concatenate([drawn(600 - k, 0), drawn(k, 1.3)])
        found = labels.lensed_share(control, drawn(600, 1.3), drawn(800, 0), 1)
        assert abs(found["share"] - share) < 3 * found["error"] and found["error"] < 0.03


def test_the_stored_reference_is_what_the_search_gives():
    stored = labels.reference()
    assert stored.shape[1] == len(lens_search.FEATURES) and len(stored) >= 500
    assert labels.reference_features(0, 3) == pytest.approx(stored[:3], abs=2e-3)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: {"theta": 0.5 + 0.08 * x["theta"]}, "theta_E does not fill"),
        (lambda x: {"snr": 2 * x["snr"]}, "outside the registered"),
        (lambda x: {"theta": 2 * x["theta"]}, "theta_E outside"),
        (lambda x: {}, ""),
    ],
)
def test_priors_other_than_registered(change, words, profile):
    rng = np.random.default_rng(8)
    drawn = {"theta": rng.uniform(0.5, 3, 600), "snr": np.exp(rng.uniform(np.log(3), np.log(50), 600))}
    drawn |= change(drawn)
    columns = {"theta_e_arcsec": drawn["theta"], "arc_snr_maxpix": drawn["snr"]}
    columns |= dict.fromkeys(("arc_flux_r", "magnification"), np.ones(600))
    columns |= dict.fromkeys(("lens_mag_r", "z_lens", "z_source"), np.full(600, np.nan))
    profile = profile.replace(injection__prior="response_grid")
    data = SimpleNamespace(n=600, profile=profile, pairs=SimpleNamespace(manifest={}), column=columns.__getitem__)
    got = priors.priors_as_registered(data)
    assert got.status == ("fail" if words else "pass") and words in got.explanation


def test_priors_against_nature_do_not_block_and_name_what_is_off(few, run):
    got = run(few, "priors_against_nature")["priors_against_nature"]
    assert not got.blocking and got.status == "warn" and "sigma_v" in got.explanation
    tight = [{**r, "theta_e_arcsec": 0.5 + 0.08 * r["theta_e_arcsec"]} for r in few]
    assert "where half of lenses do" in run(tight, "priors_against_nature")["priors_against_nature"].explanation
