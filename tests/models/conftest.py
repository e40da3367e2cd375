"""A small synthetic data set and a short run on it; see ``synthetic.py``."""

import pytest
from synthetic import write_synthetic_pairs


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """40 training, 24 validation and 20 test pairs; half of them with a hard negative."""
    return write_synthetic_pairs(tmp_path_factory.mktemp("synthetic"), {"train": 40, "val": 24, "test": 20})


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory):
    """A short run on ``tiny``, in float32."""
    from dhs.models.training.train import train

    out = tmp_path_factory.mktemp("run")
    options = {"epochs": 2, "batch_size": 20, "lr": 1e-3, "precision": "float32", "core_masked_every": 2}
    return train(tiny.path, out, profile="smoke", **options)
