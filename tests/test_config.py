"""Profiles: what is accepted, what is refused, and how it is said."""

import pytest
import yaml

from dhs.config import Profile, digest, load_profile, parse_profile
from dhs.errors import UsageError


@pytest.mark.parametrize("name", ["smoke", "demo", "paper"])
def test_profiles_load_and_round_trip(name):
    profile = load_profile(name)
    assert profile.name == name
    assert parse_profile(yaml.safe_load(profile.to_yaml()), "again") == profile


def test_paper_profile_is_the_seed_s_plan():
    paper = load_profile("paper")
    assert (paper.injection.n_pairs, paper.train.epochs, paper.train.batch_size) == (300_000, 50, 128)
    assert (paper.train.lr, paper.train.weight_decay, paper.train.hard_negative_ratio) == (1e-4, 1e-4, 0.3)
    assert paper.injection.theta_e_arcsec == (0.5, 3.0) and paper.injection.arc_snr_maxpix == (3.0, 50.0)


def test_unknown_keys_get_a_suggestion(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train: {epoch: 3}\n")
    with pytest.raises(UsageError, match=r"unknown key 'epoch' in TrainConfig: did you mean 'epochs'\?"):
        load_profile(path)
    with pytest.raises(UsageError, match="no profile 'dmeo'"):
        load_profile("dmeo")
    path.write_text("[1, 2")
    with pytest.raises(UsageError, match="not YAML"):
        load_profile(path)


def test_changes_are_checked_and_none_is_ignored():
    assert load_profile("demo", train__epochs=3, train__lr=None).train.epochs == 3
    with pytest.raises(UsageError, match="train"):
        load_profile("demo", train__epochs=0)
    with pytest.raises(UsageError, match="unknown section 'trian'"):
        load_profile("demo", trian__epochs=1)


def test_splits_must_sum_to_one():
    with pytest.raises(UsageError, match="must be 1"):
        load_profile("demo", splits__train=0.9)


def test_digest_depends_on_values_alone():
    assert digest(load_profile("demo")) == digest(Profile.model_validate(load_profile("demo").model_dump()))
    assert digest(load_profile("demo")) != digest(load_profile("demo", seed=1))


def test_a_profile_in_another_encoding_and_a_seed_too_large_are_one_line(tmp_path):
    (tmp_path / "p.yaml").write_bytes(b"# Jos\xe9\nseed: 3\n")
    with pytest.raises(UsageError, match=r"p.yaml: not UTF-8 \(byte 5\)"):
        load_profile(tmp_path / "p.yaml")
    with pytest.raises(UsageError, match="seed"):
        load_profile("smoke", seed=20261126235959123456)
