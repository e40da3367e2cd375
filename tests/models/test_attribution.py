import numpy as np
import pytest
import torch

from dhs.datasets import reader
from dhs.models.attribution import attribute, integrated_gradients
from dhs.models.score import Scorer


@pytest.fixture(scope="module")
def found(tiny, trained):
    return attribute(trained.best, tiny, n=12)


def test_contributions_add_up_to_what_the_arc_changed(found):
    rise = found.logit_positive - found.logit_control
    np.testing.assert_allclose(found.maps.sum((1, 2, 3)), rise, atol=0.03 * np.abs(rise).max() + 0.01)
    assert np.abs(rise).max() > 0.01


def test_pairs_are_those_of_the_split(tiny, found):
    assert found.pair_id.tolist() == list(range(40, 52))
    np.testing.assert_array_equal(found.positive[3], reader.stamp(tiny[43]))
    np.testing.assert_array_equal(found.light[3], tiny[43]["arc"])


def test_for_a_linear_network_they_are_weight_times_light(trained):
    """Analytic: logit = w . x, so each pixel contributes w (x - x0)."""
    scorer = Scorer(trained.best)
    rng = np.random.default_rng(0)
    weight = torch.tensor(rng.normal(size=(3, 64, 64)), dtype=torch.float32)

    class Linear(torch.nn.Module):
        def forward(self, x):
            return (x * weight).sum((1, 2, 3))[:, None]

    scorer.network, scorer.preprocess = Linear(), lambda images: images
    stamps, controls = rng.normal(size=(2, 5, 3, 64, 64)).astype(np.float32)
    maps = integrated_gradients(scorer, stamps, controls, n_steps=4)
    np.testing.assert_allclose(maps, weight.numpy() * (stamps - controls), rtol=1e-3, atol=1e-4)


def test_profiles_are_shares(found):
    edges, attribution, light = found.profiles()
    assert attribution.shape == light.shape == (12, len(edges) - 1)
    for shares in (attribution, light):
        assert (shares >= 0).all() and (shares.sum(1) <= 1 + 1e-6).all()
    middle = 0.5 * (edges[1:] + edges[:-1])
    assert (np.abs(middle[light.argmax(1)] - 1) < 0.3).all(), "the arc lies at theta_E"
