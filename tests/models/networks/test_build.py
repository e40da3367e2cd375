import shutil

import pytest
import torch
from third_party_package import installed
from torchvision.models import ResNet18_Weights, resnet18

from dhs.config import TrainConfig
from dhs.errors import DhsError, UsageError
from dhs.models.networks import registry
from dhs.models.networks.deeplens import Bottleneck


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file like torchvision's: a ResNet-18 with 1000 classes, at random values."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    with torch.random.fork_rng():
        torch.manual_seed(11)
        torch.save(resnet18().state_dict(), path)
    return path


@pytest.mark.parametrize("channels", [3, 6])
def test_network_has_one_logit_and_torchvisions_first_layer(channels):
    network = registry.build(channels)
    assert network.conv1.weight.shape == (64, channels, 7, 7)
    assert network.eval()(torch.zeros(2, channels, 64, 64)).shape == (2, 1)


def test_random_weights_follow_the_seed_and_leave_the_global_generator_alone():
    config = TrainConfig(pretrained="never")
    before = torch.get_rng_state()
    first, word = registry.make(config, 3, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert word == "random"
    again, other = registry.make(config, 3, seed=5)[0], registry.make(config, 3, seed=6)[0]
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_pretrained_first_layer_is_kept_for_three_channels(weights):
    network, word = registry.make(TrainConfig(pretrained=str(weights)), 3, seed=0)
    stored = torch.load(weights, weights_only=True)
    assert word.startswith("pretrained: resnet18.pth, sha256 ")
    for name in ("conv1.weight", "layer4.1.bn2.running_var"):
        assert torch.equal(network.state_dict()[name], stored[name])


def test_six_channels_answer_a_doubled_image_as_three_answer_the_image(weights):
    three = registry.make(TrainConfig(pretrained=str(weights)), 3, seed=0)[0]
    six = registry.make(TrainConfig(pretrained=str(weights)), 6, seed=0)[0]
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(six.conv1(torch.cat([image, image], 1)), three.conv1(image), rtol=1e-4, atol=1e-5)


def test_auto_takes_the_torch_cache_and_nothing_else(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    assert registry.make(TrainConfig(pretrained="auto"), 3, seed=0)[1] == "random"
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    name = ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
    shutil.copy(weights, cache / name)
    network, word = registry.make(TrainConfig(pretrained="auto"), 3, seed=0)
    assert word.startswith(f"pretrained: {name}")
    assert torch.equal(network.conv1.weight, torch.load(weights, weights_only=True)["conv1.weight"])
    assert registry.make(TrainConfig(pretrained="never"), 3, seed=0)[1] == "random"


class RunsCode:
    def __reduce__(self):
        return (eval, ("1/0",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "not a readable weights file"),
        (RunsCode(), "not a readable weights file"),
        ({"other": torch.zeros(1)}, "holds no ResNet-18 state dict"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"not a ResNet-18 state dict \(\d+ tensors missing"),
        ({"conv1.weight": torch.zeros(64, 5, 7, 7)}, "first 'conv1.weight'"),
    ],
)
def test_a_bad_weights_file_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "bad.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DhsError, match=message) as caught:
        registry.make(TrainConfig(pretrained=str(path)), 3, seed=0)
    assert str(path) in str(caught.value)


def test_a_missing_weights_file_is_refused(tmp_path):
    with pytest.raises(DhsError, match="no such file"):
        registry.make(TrainConfig(pretrained=str(tmp_path / "none.pth")), 3, seed=0)


def test_deeplens_has_the_layers_of_its_paper():
    network = registry.build(3, "deeplens")
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    shortcuts = [b.shortcut for b in network.stages if b.shortcut is not None]
    assert len(convolutions) - len(shortcuts) == 46 and len(network.stages) == 15
    assert [s.stride for s in shortcuts] == [(2, 2)] * 4
    assert network.conv1.weight.shape == (32, 3, 7, 7) and network.fc.in_features == 512
    widths = []
    for block in network.stages[::3]:
        block.register_forward_hook(lambda m, x, y: widths.append(tuple(y.shape[1:])))
    assert network.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1)
    assert widths == [(32, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_deeplens_passes_its_input_on_where_a_block_is_silent():
    block = Bottleneck(32, 32)
    torch.nn.init.zeros_(block.body[-1].weight)
    torch.nn.init.zeros_(block.body[-1].bias)
    image = torch.randn(2, 32, 8, 8)
    assert torch.equal(block(image), image)


def test_no_weights_file_fits_deeplens(weights):
    with pytest.raises(DhsError, match="no weights fit arch deeplens"):
        registry.make(TrainConfig(arch="deeplens", pretrained=str(weights)), 3, seed=0)
    assert registry.make(TrainConfig(arch="deeplens"), 3, seed=0)[1] == "random"


def test_the_seeds_replaced_first_layer_keeps_the_rest_pretrained(weights):
    network, word = registry.make(TrainConfig(pretrained=str(weights), conv1="replace"), 3, seed=0)
    stored = torch.load(weights, weights_only=True)
    assert word.endswith(", conv1 random")
    assert not torch.equal(network.conv1.weight, stored["conv1.weight"])
    assert torch.equal(network.layer1[0].conv1.weight, stored["layer1.0.conv1.weight"])


def test_missing_weights_are_said_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    registry.make(TrainConfig(pretrained="auto"), 3, seed=0)
    assert "training starts from random ones" in caplog.text and str(tmp_path) in caplog.text
    caplog.clear()
    registry.make(TrainConfig(pretrained="never"), 3, seed=0)
    assert not caplog.text


@pytest.mark.parametrize("arch", ["resnet18", "deeplens"])
@pytest.mark.parametrize("channels", [3, 6])
def test_head_of_body_is_the_network(arch, channels):
    torch.manual_seed(3)
    network, x = registry.build(channels, arch).eval(), torch.randn(4, channels, 64, 64)
    features = network.body(x)
    assert features.ndim == 2 and features.shape[1] == network.head.in_features
    torch.testing.assert_close(network.head(features), network(x), rtol=1e-4, atol=1e-5)
    for block in network.blocks(x).values():
        assert block.ndim == 2 and len(block) == 4


def test_resnet18_starts_from_what_torchvision_would_draw():
    torch.manual_seed(4)
    theirs = resnet18(num_classes=1).state_dict()
    torch.manual_seed(4)
    ours = registry.build(3).state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_an_unknown_network_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no network 'vgg': choose one of .*'deeplens'.*'resnet18'"):
        registry.make(TrainConfig(arch="vgg"), 3, seed=0)


def test_a_package_adds_a_network_that_trains_and_scores():
    with installed(registry.network):
        network, word = registry.make(TrainConfig(arch="tiny"), 6, seed=0)
        assert word == "random" and network(torch.zeros(2, 6, 64, 64)).shape == (2, 1) and network.blocks(None) == {}
        with pytest.raises(UsageError, match="no weights fit arch tiny"):
            registry.make(TrainConfig(arch="tiny", pretrained="x.pth"), 3, seed=0)
    assert "tiny" not in registry.network
