"""A gate with a threshold of its own."""

from dhs.validation.preflight.gate import gate, threshold, verdict


@gate("bright_arcs", blocking=False, remedy="Draw more pairs.", thresholds={"least": 3, "snr": 60.0})
def bright_arcs(data):
    """Whether there are arcs that nobody could miss."""
    least, limit = threshold(data, "bright_arcs.least"), threshold(data, "bright_arcs.snr")
    n = int((data.column("arc_snr_matched") > limit).sum())
    said = f"{n} arcs have a matched SNR above {limit:g}."
    return verdict("pass" if n >= least else "fail", said, value=n, threshold=least, n=data.n)
