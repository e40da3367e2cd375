import pytest

from dhs.book.run import Run
from dhs.config import load_profile


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """One whole run, as small as every step allows: mock hosts, real source galaxies (xdf)."""
    profile = load_profile(
        "smoke",
        hosts__n_mock=60,
        sources__spec="xdf",
        injection__n_pairs=60,
        injection__supersampling=2,
        train__epochs=1,
        train__batch_size=16,
        evaluate__n_survey_negatives=40,
        evaluate__n_bootstrap=20,
        preflight__n_null=5,
        preflight__n_bootstrap=20,
    )
    run = Run(tmp_path_factory.mktemp("runs") / "tiny", profile)
    run.signoff()
    return run
