"""``dhs selftest``: whether an installation is sound, in about a minute and without data or network."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dhs.errors import DhsError

LIBRARIES = ("numpy", "scipy", "astropy", "pyarrow", "torch", "lenstronomy", "galsim", "scikit-learn")
TOLERANCE = 1e-3  # of the arc's peak, between the fast renderer and lenstronomy
SMALL = {
    "hosts__spec": "mock",
    "hosts__n_mock": 24,
    "sources__spec": "mock",
    "injection__n_pairs": 24,
    "injection__pairs_per_part": 12,
    "injection__supersampling": 2,
    "preflight__n_null": 5,
    "preflight__n_bootstrap": 20,
    "preflight__n_survey": 0,
}


def _libraries(_: Path) -> str:
    return ", ".join(f"{name} {version(name)}" for name in LIBRARIES)


def _renderer(_: Path) -> str:
    from dhs.book.studies.renderer_checks import agreement
    from dhs.config import SourcesConfig
    from dhs.injection.sources.open import open_sources

    worst = agreement(open_sources(SourcesConfig(spec="mock"), 0), n=4, seed=0)["error_over_peak"].max()
    if not worst < TOLERANCE:
        raise DhsError(f"arcs differ from lenstronomy's by {worst:.1e} of their peak, more than {TOLERANCE:g}")
    return f"arcs agree with lenstronomy's to {worst:.1e} of their peak"


def _injection(folder: Path) -> str:
    import dhs
    from dhs.config import load_profile

    profile = load_profile("smoke", **SMALL)
    sets = [dhs.inject(folder / name, profile=profile, engine="serial") for name in ("a", "b")]
    hashes = {pairs.manifest["content_hash"] for pairs in sets}
    if len(hashes) != 1:
        raise DhsError("the same seed gave two different data sets")
    return f"the same {sum(sets[0].manifest['counts'].values())} pairs twice, to the byte"


def _gates(folder: Path) -> str:
    import dhs
    from dhs.config import load_profile

    report = dhs.preflight(folder / "a", folder, profile=load_profile("smoke", **SMALL))
    return f"{len(report.gates)} gates measured (24 pairs are too few to judge by)"


def _network(folder: Path) -> str:
    import torch

    from dhs.config import TrainConfig
    from dhs.datasets.reader import open_pairs, stamp
    from dhs.models.networks.registry import make
    from dhs.models.preprocess import Preprocess

    pairs, config = open_pairs(folder / "a"), TrainConfig(pretrained="never")
    preprocess = Preprocess.from_config(config)
    images = preprocess(torch.as_tensor(np.stack([stamp(pairs[i]) for i in range(4)])))
    network, _ = make(config, preprocess.n_channels, 0)
    with torch.inference_mode():
        logits = network.eval()(images).reshape(-1)
    if not torch.isfinite(logits).all():
        raise DhsError("the network gave logits that are not finite")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return f"4 stamps through {config.arch} (torch sees: {device})"


CHECKS: dict[str, Callable[[Path], str]] = {
    "libraries": _libraries,
    "renderer": _renderer,
    "injection": _injection,
    "gates": _gates,
    "network": _network,
}


def selftest() -> bool:
    """Check an installation on a tiny mock data set in a temporary folder, and print a line for each check.

    Returns
    -------
    bool
        True where every check passed.

    Raises
    ------
    DhsError
        A check failed; the message names it. The other checks have run all the same.
    """
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    failed = []
    with tempfile.TemporaryDirectory(prefix="dhs-selftest-") as folder:
        for name, check in CHECKS.items():
            begun = time.perf_counter()
            try:
                said, status = check(Path(folder)), "ok"
            except Exception as error:  # whatever is broken is what the user is to hear of
                said, status = f"{type(error).__name__}: {error}", "FAILED"
                failed.append(name)
            print(f"{status:7s}{name:10s}{time.perf_counter() - begun:6.1f} s  {said}", flush=True)
    if failed:
        raise DhsError(f"this installation is not sound: {', '.join(failed)} failed (see the lines above)")
    return True
