"""Gates as a thing: registration, decisions, the report."""

import json

import numpy as np
import pytest

from dhs.registry import Registry
from dhs.stats.metrics import Metric
from dhs.validation.preflight import gate as module
from dhs.validation.preflight.gate import Gate, PreflightReport, Registered, Skip, decide, gate, holm, run_gate, verdict


def outcome(status, blocking=True, name="g"):
    return Gate(name, status, blocking, explanation="why")


@pytest.mark.parametrize(
    "gates, mock, decision",
    [
        ([outcome("pass"), outcome("pass", False)], (), "GO"),
        ([outcome("pass"), outcome("warn", False), outcome("skip", False)], (), "GO"),
        ([outcome("warn")], (), "CONDITIONAL-GO"),
        ([outcome("skip")], (), "CONDITIONAL-GO"),
        ([outcome("fail", False)], (), "CONDITIONAL-GO"),
        ([outcome("pass")], ("hosts",), "CONDITIONAL-GO"),
        ([outcome("fail"), outcome("skip")], ("hosts", "sources"), "NO-GO"),
    ],
)
def test_decision(gates, mock, decision):
    got, reasons = decide(gates, mock)
    assert got == decision and bool(reasons) == (got != "GO")


def test_a_gate_of_ones_own_in_ten_lines(monkeypatch):
    monkeypatch.setattr(module, "REGISTRY", Registry("gate", "no.such", ""))

    @gate("enough", blocking=False, remedy="Make more.")
    def enough(data):
        return verdict("fail" if data < 3 else "pass", f"{data} there", metric=Metric(data, 1.0, 5.0, 7, 6, None))

    got = run_gate(module.REGISTRY["enough"], 2)
    assert (got.name, got.status, got.blocking, got.remedy) == ("enough", "fail", False, "Make more.")
    assert (got.value, got.ci_low, got.n, got.n_hosts) == (2, 1.0, 7, 6)
    assert run_gate(module.REGISTRY["enough"], 4).remedy == ""
    with pytest.raises(ValueError, match="registered already"):
        gate("enough")(enough)
    with pytest.raises(ValueError, match="choose one of"):
        verdict("maybe", "")


@pytest.mark.parametrize("error, text", [(Skip("3 pairs."), "3 pairs."), (ZeroDivisionError("x"), "ZeroDivisionError")])
def test_a_gate_that_raises_is_a_skip_with_the_reason(error, text):
    def broken(data):
        raise error

    got = run_gate(Registered("b", broken, True, "Do this."), None)
    assert got.status == "skip" and text in got.explanation and got.remedy == "Do this."


def test_report_survives_the_file_and_holds_no_nan(tmp_path):
    details = {
        "x": np.float32("nan"),
        "ids": np.arange(2),
        "m": Metric(np.inf, None, None, 1),
        "b": np.bool_(True),
    }
    report = PreflightReport(
        "NO-GO", (Gate("a<b", "fail", value=float("nan"), explanation="e", details=details),), ("r",)
    )
    report.write(tmp_path)
    back = PreflightReport.read(tmp_path / "preflight.json")
    assert json.loads((tmp_path / "preflight.json").read_text())["gates"][0]["value"] is None
    assert back["a<b"].details == {
        "x": None,
        "ids": [0, 1],
        "m": Metric(None, None, None, 1).as_dict(),
        "b": True,
    }
    assert back.exit_code == 20 and back.reasons == ("r",)
    assert "a&lt;b" in back._repr_html_() and "NO-GO" in str(back)
    with pytest.raises(KeyError, match="no gate 'z'"):
        back["z"]


def test_holm_is_the_textbook_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
