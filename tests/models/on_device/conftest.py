"""A small mock data set, and its training split on the CPU with survey negatives beside it."""

import pytest
import torch

CPU = torch.device("cpu")
SURVEY_SEED = 77


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    from dhs.datasets.inject import inject

    return inject(tmp_path_factory.mktemp("small") / "pairs", profile="smoke", n_pairs=60, engine="serial")


@pytest.fixture(scope="session")
def plain_bank(small):
    from dhs.models.on_device.bank import load

    return load(small, "train", CPU, workers=2)


@pytest.fixture(scope="session")
def bank(small, plain_bank):
    from dhs.models.on_device.bank import with_survey

    return with_survey(plain_bank, small.path, (SURVEY_SEED, 12))


@pytest.fixture(scope="session")
def val_bank(small):
    from dhs.models.on_device.bank import load, with_survey

    return with_survey(load(small, "val", CPU, workers=1), small.path, (SURVEY_SEED + 1, 10))
