"""Leaks planted in training sets: the same in numpy and torch, in the bank and under the gates; reliance of toys."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

import leak_analysis
from leak_kinds import LEAKS, cells


def drawn(n=3, seed=0):
    """Stamps, controls, sky noise and unit noise."""
    rng = np.random.default_rng(seed)
    control = (rng.standard_normal((n, 3, 64, 64)) * 5).astype(np.float32)
    stamp = control + rng.random((n, 3, 64, 64), np.float32)
    return stamp, control, (0.5 + rng.random((n, 3))).astype(np.float32), rng.standard_normal(stamp.shape, np.float32)


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_is_one_function_and_nothing_at_strength_0(kind):
    given, one = drawn(), LEAKS[kind]
    assert np.array_equal(one.plant(*given, 0.0), given[0])
    for strength in (one.faint[0], one.strengths[-1]):
        mine, theirs = one.plant(*given, strength), one.plant(*map(torch.from_numpy, given), strength)
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5)
        assert np.abs(mine - given[0]).max() > 0
    assert list(one.faint + one.strengths) == sorted(one.faint + one.strengths)


def test_a_shift_moves_a_smooth_stamp_by_its_strength():
    x = np.arange(64, dtype=np.float32)
    hump = np.broadcast_to(np.exp(-0.5 * ((x - 30) / 6) ** 2).astype(np.float32), (1, 3, 64, 64))
    moved = LEAKS["shift"].plant(hump, hump, np.ones((1, 3), np.float32), None, 0.4)
    assert (moved[0, 0, 0] * x).sum() / moved[0, 0, 0].sum() == pytest.approx(29.6, abs=1e-3)


def test_every_kind_is_trained_before_any_is_trained_weaker():
    first = [kind for kind, _ in cells()[: len(LEAKS)]]
    assert first == list(LEAKS) and len(set(cells())) == sum(len(one.strengths) for one in LEAKS.values())


def test_the_bank_leaks_in_positives_alone(plain_bank):
    from leak_networks import leaky

    bank, rows = leaky(plain_bank), torch.arange(4)
    none, hard = torch.full_like(rows, -1), plain_bank.hard_first[rows]
    for kind, one in LEAKS.items():
        bank.leak, bank.strength = one, one.strengths[-1]
        for light in (none, hard[plain_bank.hard_count[rows] > 0]):
            base = rows[: len(light)]
            assert torch.equal(bank.stamps(base, light), plain_bank.stamps(base, light)), kind
        control = plain_bank.base.take(rows, noisy=True)
        random = torch.Generator().manual_seed(0)
        shown = bank.stamps(rows, rows, random)
        again = plain_bank.stamps(rows, rows, random.manual_seed(0))
        noise = torch.randn(again.shape, generator=random) if one.noisy else None
        assert torch.equal(shown, one.plant(again, control, plain_bank.sky_sigma[rows], noise, bank.strength)), kind
    bank.strength = 0.0
    assert torch.equal(bank.stamps(rows, rows), plain_bank.stamps(rows, rows))


def logits_of(network, strength, n=1500, seed=1):
    """Logits of a function of stamps, the leak a pedestal; arcs of known light."""
    rng = np.random.default_rng(seed)
    control = rng.standard_normal((n, 3, 16, 16)).astype(np.float32)
    arc = np.zeros_like(control)
    arc[:, :, 4:8, 4:8] = 1.0
    sigma = np.ones((n, 3), np.float32)
    sets = {"positive": control + arc, "control": control}
    planted = {f"leaked_{k}": LEAKS["pedestal"].plant(v, control, sigma, None, strength) for k, v in sets.items()}
    return {k: network(v) for k, v in (sets | planted).items()}


def test_a_toy_that_sums_light_ranks_a_pedestal_as_the_normal_law_says():
    found = leak_analysis.measures(logits_of(lambda x: x.sum(axis=(1, 2, 3), dtype=float), 0.05))
    pixels = 3 * 16**2
    apart = lambda light: norm.cdf(light / np.sqrt(2 * pixels))  # noqa: E731
    assert found["leak_alone"][0] == pytest.approx(apart(0.05 * pixels), abs=0.02)
    assert found["auroc_clean"][0] == pytest.approx(apart(3 * 4**2), abs=0.02)
    assert found["leak_effect"][0] == pytest.approx(0.05 * pixels, rel=1e-4)
    blind = leak_analysis.measures(logits_of(lambda x: x[:, 1, 4:8, 4:8].mean((1, 2)) - x.mean((1, 2, 3)), 1.0))
    assert blind["leak_alone"][0] == pytest.approx(0.5, abs=1e-4)


def cells_of(*given, n=600):
    """Rows of networks that are told how much of the arc they see, and how much a leak moves them; four clean ones."""
    rng = np.random.default_rng(5)
    control = rng.normal(size=n)

    def network(arc, lean, seed):
        noise = 0.05 * np.random.default_rng(seed).normal(size=(2, n))
        positive = control + arc + noise[0]
        leak = lean + noise[1]
        return {
            "control": control,
            "leaked_control": control + leak,
            "positive": positive,
            "leaked_positive": positive + leak,
        }

    clean = [network(2.0, 0.0, seed) for seed in range(4)]
    grouped = leak_analysis.Grouped(np.repeat(np.arange(n // 2), 2), np.arange(n) % 60)
    asked = [("pedestal", i, [network(*x, 8 + k) for k, x in enumerate(mine)], clean) for i, mine in enumerate(given)]
    return leak_analysis.cells(asked, grouped)


def test_what_is_lost_and_what_a_leak_lifts_are_those_of_the_normal_law():
    hurt, same = cells_of([(1.0, 1.5), (1.02, 1.52)], [(2.0, 0.0), (2.01, 0.0)])
    share = lambda light: norm.cdf(light / np.sqrt(2))  # noqa: E731
    assert hurt["lost"]["value"] == pytest.approx(share(2) - share(1), abs=0.04)
    assert hurt["lift"]["value"] == pytest.approx(share(1.5) - 0.5, abs=0.04)
    assert hurt["costs"] is hurt["leans"] is True and same["costs"] is same["leans"] is False


def test_a_network_gone_astray_is_known_no_better_than_its_like_however_well_clean_seeds_agree():
    alone, apart, calm = cells_of([(1.0, 1.0)], [(0.6, 1.0), (1.6, 1.0)], [(2.0, 0.0), (2.01, 0.0)])
    width = lambda metric: metric["ci_high"] - metric["ci_low"]  # noqa: E731
    assert width(alone["lost"]) > 10 * width(calm["lost"]) and width(alone["lost"]) > width(apart["lost"])
    assert alone["costs"] is None, "one seed, and its like scatter by more than it lost"


def rows_of(lost, gates):
    """Rows of four strengths of each kind from a function of both, and of gates from functions of the same."""
    rows, said = [], []
    for k, kind in enumerate(LEAKS):
        for i, s in enumerate((0.1, 0.2, 0.3, 0.4)):
            value = lost(k, i)
            metric = {"value": value, "ci_low": value - 0.05, "ci_high": value + 0.05}
            costs = leak_analysis.beyond(metric)
            rows.append({"kind": kind, "strength": s, "lost": metric, "costs": costs, "leans": costs})
            for gate, (far, limit) in gates.items():
                status = "fail" if far(k, i) > limit else "pass"
                said.append({"kind": kind, "strength": s, "gate": gate, "status": status, "distance": far(k, i)})
    said += [{"kind": "none", "strength": 0.0, "gate": g, "status": "pass", "distance": 0.1} for g in gates]
    return rows, said


def test_the_answer_tells_a_gate_that_foretells_from_one_that_rises_with_any_leak():
    lost = lambda k, i: 0.0 if k < 4 else 0.1 * i + 0.01 * k * i  # noqa: E731
    gates = {"good": (lost, 0.05), "strict": (lambda k, i: 1.0 + i, 1.5), "wrong": (lambda k, i: (8 - k) * i, 50.0)}
    found = leak_analysis.answer(*rows_of(lost, gates))
    good, strict, wrong = (found["gates"][g] for g in gates)
    assert good["correlation"]["value"] == pytest.approx(1.0) and good["correlation"]["holm_p"] < 0.01
    assert strict["correlation"]["value"] > 0.3 and strict["correlation"]["p"] == 1.0, "it knows strength, not kinds"
    assert wrong["correlation"]["p"] > 0.5 and "correlation" not in found["gates"]["any"]
    assert good["costs"]["raised_yes"] == 12 and good["costs"]["silent_yes"] == 0 == good["costs"]["raised_no"]
    assert strict["costs"]["raised_yes"] == 12 and strict["costs"]["raised_no"] + strict["costs"]["raised_open"] == 12
    hurt, harmless = (found["kinds"][k] for k in (list(LEAKS)[-1], next(iter(LEAKS))))
    assert (hurt["costs_from"], hurt["at"]["fails"], hurt["below"]["fails"]) == (0.2, ["good", "strict"], [])
    assert harmless["costs_from"] is None and "at" not in harmless
    assert harmless["fails_from"] == {"good": None, "strict": 0.2, "wrong": None, "any": 0.2}


def test_a_gate_that_fails_without_a_leak_says_nothing_of_one():
    rows, gates = rows_of(lambda k, i: 0.1 * i, {"always": (lambda k, i: 2.0, 1.0)})
    gates = [g | {"status": "fail"} for g in gates]
    counts = leak_analysis.answer(rows, gates)["gates"]["any"]["costs"]
    assert counts["raised_yes"] == 0 and counts["silent_yes"] > 0


@pytest.mark.slow
def test_gates_judge_the_same_leak(small, tmp_path):
    import leak_gates

    from dhs.config import load_profile

    profile = load_profile("smoke", preflight__n_null=5)
    cell = ("pedestal", 1.0)
    held = leak_gates.run(small.path, profile, tmp_path / "gates.json", 40, 1, [leak_gates.CLEAN, cell])
    status = {(r["kind"], r["gate"]): r["status"] for r in held["rows"]}
    assert status["none", "residual_image"] == "pass" and status["pedestal", "residual_image"] == "fail"
    assert leak_gates.run(small.path, profile, tmp_path / "gates.json", 40, 1, [cell]) == held
