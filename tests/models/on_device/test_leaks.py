"""Leaks planted in training sets: the same in numpy and torch, in the bank and under the gates; reliance of toys."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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


def logits_of(network, strength, n=400, seed=1):
    """Logits of a function of stamps, the leak a pedestal; arcs of known light."""
    rng = np.random.default_rng(seed)
    control = rng.standard_normal((n, 3, 64, 64)).astype(np.float32)
    arc = np.zeros_like(control)
    arc[:, :, 20:24, 20:24] = 3.0
    sigma = np.ones((n, 3), np.float32)
    sets = {"positive": control + arc, "control": control, "swapped": control + 0.25 * arc}
    planted = {f"leaked_{k}": LEAKS["pedestal"].plant(v, control, sigma, None, strength) for k, v in sets.items()}
    return {k: network(v) for k, v in (sets | planted).items()}


def test_a_toy_that_sums_light_relies_on_a_pedestal_as_much_as_arithmetic_says():
    total = lambda x: x.sum(axis=(1, 2, 3), dtype=float) / 1000  # noqa: E731
    found = leak_analysis.measures(logits_of(total, 0.05))
    assert found["reliance"][0] == pytest.approx(0.05 * 64**2 / (3.0 * 4**2), rel=1e-4)
    assert found["core_swap_clean"][0] == pytest.approx(0.75, rel=1e-4)
    blind = leak_analysis.measures(
        logits_of(lambda x: x[:, 1, 20:24, 20:24].mean(axis=(1, 2)) - x.mean((1, 2, 3)), 1.0)
    )
    assert blind["reliance"][0] == pytest.approx(0.0, abs=1e-5)


def test_excess_is_what_training_added_and_its_interval_holds_the_seeds():
    rng, n = np.random.default_rng(5), 600
    hosts, sources = np.repeat(np.arange(n // 2), 2), np.arange(n) % 60
    grouped = leak_analysis.Grouped(hosts, sources)

    def network(lean, seed):
        noise = np.random.default_rng(seed).normal(size=(2, n))
        arc = 4 + noise[0]
        x = {"control": rng.normal(size=n), "leaked_control": lean * 4 + 0.4 * noise[1]}
        x = {"control": x["control"], "leaked_control": x["control"] + x["leaked_control"]}
        x |= {"positive": x["control"] + arc, "swapped": x["control"] + 0.5 * arc}
        return x | {"leaked_positive": x["positive"] + lean * 4, "leaked_swapped": x["swapped"] + lean * 4}

    clean = [network(0.1, seed) for seed in range(4)]
    row = leak_analysis.cell("pedestal", 1.0, [network(0.6, 8), network(0.6, 9)], clean, grouped)
    e = row["excess_reliance"]
    assert e["ci_low"] < 0.5 < e["ci_high"] and e["ci_high"] - e["ci_low"] < 0.1
    assert row["leans"] and row["leans_materially"] and row["reliance"]["value"] == pytest.approx(0.6, abs=0.02)
    apart = leak_analysis.cell("pedestal", 1.0, [network(0.2, 8), network(1.0, 9)], clean, grouped)
    assert apart["excess_reliance"]["se_seeds"] > 0.1 and not apart["leans_materially"]
    same = leak_analysis.cell("pedestal", 1.0, [network(0.1, 8), network(0.1, 9)], clean, grouped)
    assert same["no_material_lean"] and not same["leans_materially"]


def test_the_answer_tells_a_gate_that_foretells_from_one_that_does_not():
    gates, rows = [], []
    for k, kind in enumerate(LEAKS):
        for i, s in enumerate((0.1, 0.2, 0.3, 0.4)):
            lean = i + 0.1 * k
            e = {"value": lean, "ci_low": lean - 0.5, "ci_high": lean + 0.5}
            row = {"kind": kind, "strength": s, "excess_reliance": e, "leans": lean > 0.5}
            rows.append(row | {"leans_materially": lean > 0.6})
            for gate, far in (("good", lean), ("blind", (k * 7 + i * 3) % 5)):
                status = "fail" if gate == "good" and lean > 0.5 else "pass"
                gates.append({"kind": kind, "strength": s, "gate": gate, "status": status, "distance": far})
    gates += [
        {"kind": "none", "strength": 0.0, "gate": g, "status": "pass", "distance": 0.1} for g in ("good", "blind")
    ]
    found = leak_analysis.answer(rows, gates)
    good, blind = found["gates"]["good"], found["gates"]["blind"]
    assert good["correlation"]["value"] == pytest.approx(1.0) and abs(blind["correlation"]["value"]) < 0.4
    assert good["fail_leans"] == {"raised_leans": 26, "raised_not": 0, "silent_leans": 0, "silent_not": 6}
    assert blind["fail_leans"]["raised_leans"] == 0 and found["n_cells"] == 32
    first = found["kinds"]["core brighter"]
    assert first["leans_from"] == 0.2 and first["fails_from"] == {"good": 0.2, "blind": None, "any": 0.2}


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
