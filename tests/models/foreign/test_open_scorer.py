"""Networks that others made: whatever their form, they are fed the same stamps and can't grade themselves."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from dhs.errors import DhsError, UsageError
from dhs.models.foreign.expects import Expects, read_expects
from dhs.models.foreign.open import identity, open_scorer
from dhs.models.foreign.scorer import ForeignScorer, mask_core


class Centre(torch.nn.Module):
    """A score from the mean of each band within the central 8 pixels."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 1)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[1.0, -2.0, 0.5]]))
            self.fc.bias.fill_(0.25)

    def forward(self, x):
        return self.fc(x[:, :, 28:36, 28:36].mean(dim=(2, 3)))


def by_hand(stamps):
    return stamps[:, :, 28:36, 28:36].mean(axis=(2, 3)) @ np.array([1.0, -2.0, 0.5]) + 0.25


def flat(images):
    return images.mean(axis=(1, 2, 3))


def broken(images):
    raise ValueError("I want 101 pixels")


@pytest.fixture
def stamps():
    return np.random.default_rng(0).normal(0, 1, (5, 3, 64, 64)).astype(np.float32)


def write_onnx(path, batch):
    """The same network as an ONNX graph, by hand."""
    ints = {"starts": [28, 28], "ends": [36, 36], "axes": [2, 3], "mean": [2, 3]}
    weights = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in ints.items()]
    weights.append(numpy_helper.from_array(np.array([[1.0], [-2.0], [0.5]], np.float32), "w"))
    weights.append(numpy_helper.from_array(np.array([0.25], np.float32), "b"))
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["core"]),
        helper.make_node("ReduceMean", ["core", "mean"], ["m"], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["mw"]),
        helper.make_node("Add", ["mw", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "centre",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.mark.parametrize("form", ["script", "export", "onnx", "onnx_fixed_batch", "callable", "ensemble"])
def test_every_form_gives_the_scores_of_the_same_network(tmp_path, stamps, form):
    path = str(tmp_path / "net.pt")
    torch.jit.script(Centre()).save(path)
    if form == "export":
        path = str(tmp_path / "net.pt2")
        batch = {0: torch.export.Dim("batch")}
        torch.export.save(torch.export.export(Centre(), (torch.zeros(2, 3, 64, 64),), dynamic_shapes=(batch,)), path)
    elif form.startswith("onnx"):
        path = str(tmp_path / "net.onnx")
        write_onnx(path, 4 if form.endswith("batch") else "n")
    elif form == "callable":
        path = f"{__name__}:by_hand"
    elif form == "ensemble":
        path = f"{path},{__name__}:by_hand"
    scorer = open_scorer(path)
    assert scorer.logits(stamps) == pytest.approx(by_hand(stamps), abs=1e-5)
    assert len(scorer.state["network"] or "") != 1 and len(identity(path)) == 64


def test_a_network_cannot_ignore_the_core_mask(stamps):
    scorer = open_scorer(f"{__name__}:by_hand")
    masked = scorer.logits(stamps, core_mask_px=8.0)
    assert masked == pytest.approx(by_hand(mask_core(stamps, 8.0)), abs=1e-5)
    assert np.abs(masked - scorer.logits(stamps)).min() > 1e-4


def test_a_masked_core_holds_the_level_of_the_sky(stamps):
    shifted = stamps + np.array([0.0, 5.0, -3.0], np.float32)[:, None, None]
    masked = mask_core(shifted, 5.0)
    assert masked[:, :, 32, 32].mean(axis=0) == pytest.approx([0.0, 5.0, -3.0], abs=0.2)
    assert np.array_equal(masked[:, :, :20], shifted[:, :, :20])


def test_a_callable_has_no_features_to_probe():
    assert not hasattr(open_scorer(f"{__name__}:flat"), "features")


def test_a_state_dict_opens_with_its_architecture_alone(tmp_path, stamps):
    from torchvision import models

    torch.manual_seed(0)
    network = models.resnet18(weights=None, num_classes=1).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    scorer = open_scorer(f"torchvision:resnet18@{tmp_path}/w.pth")
    with torch.inference_mode():
        want = network(torch.as_tensor(stamps))[:, 0].numpy()
    assert scorer.logits(stamps) == pytest.approx(want, abs=1e-4)
    assert scorer.features(stamps).shape == (5, 512)
    with pytest.raises(DhsError, match=r"State dict|state dict"):
        open_scorer(tmp_path / "w.pth")
    with pytest.raises(DhsError, match="not the weights of torchvision's resnet34"):
        open_scorer(f"torchvision:resnet34@{tmp_path}/w.pth")
    with pytest.raises(UsageError, match="give its weights too"):
        open_scorer("torchvision:resnet18")


def test_a_pickled_module_is_refused_without_running_it(tmp_path):
    torch.save(Centre(), tmp_path / "module.pt")
    with pytest.raises(DhsError, match="pickled module can't be opened safely"):
        open_scorer(tmp_path / "module.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.here:f", "No module named"),
        (f"{__name__}:absent", "has no attribute"),
        (f"{__name__}:TensorProto.FLOAT", "not a network"),
        ("net.h5", "not a network that can be opened"),
    ],
)
def test_what_is_no_network_is_said(name, message):
    with pytest.raises(UsageError, match=message):
        open_scorer(name)


def test_what_a_network_raises_is_one_sentence(stamps):
    with pytest.raises(DhsError, match=r"failed on an input of shape \(5, 3, 64, 64\) \(ValueError: I want 101 pixels"):
        open_scorer(f"{__name__}:broken").logits(stamps)


def test_nan_scores_are_refused(stamps):
    with pytest.raises(DhsError, match="NaN or infinite scores for 5 of 5"):
        ForeignScorer("n", lambda x: np.full(len(x), np.nan), Expects()).logits(stamps)


@pytest.mark.parametrize(
    ("output", "given", "want"),
    [
        ("probability", [0.5, 0.731059, 1.0], [0.0, 1.0, 16.118]),
        ("two_logits", [[0, 0], [1, 2], [3, 0]], [0.0, 1.0, -3.0]),
        ("two_probabilities", [[0.5, 0.5], [0.268941, 0.731059], [1, 0]], [0.0, 1.0, -16.118]),
    ],
)
def test_outputs_become_logits(output, given, want):
    assert Expects(output=output).logits(np.array(given), 3) == pytest.approx(want, abs=1e-3)


def test_outputs_of_another_kind_are_named():
    with pytest.raises(ValueError, match="set output: logit"):
        Expects(output="probability").logits(np.array([0.2, 3.0]), 2)
    with pytest.raises(ValueError, match="two_logits or two_probabilities"):
        Expects().logits(np.zeros((3, 2)), 3)


def test_inputs_follow_the_yaml(tmp_path, stamps):
    (tmp_path / "m.yaml").write_text("bands: zr\nside: 101\nchannel_last: true\nstretch: asinh\nsoftening: 2.0\n")
    made = read_expects(tmp_path / "m.yaml").inputs(stamps)
    assert made.shape == (5, 101, 101, 2) and made.dtype == np.float32
    assert made[:, 50, 50, 0] == pytest.approx(np.arcsinh(stamps[:, 2, 32, 32] / 2.0), abs=1e-6)
    cropped = Expects(side=32).inputs(stamps)
    assert np.array_equal(cropped, stamps[:, :, 16:48, 16:48])
    with pytest.raises(UsageError, match="sidee.*Known keys"):
        (tmp_path / "bad.yaml").write_text("sidee: 3\n")
        read_expects(tmp_path / "bad.yaml")


def test_resampling_keeps_the_flux():
    y, x = np.indices((64, 64)) - 32
    stamp = np.exp(-(x**2 + y**2) / 50.0)[None, None].repeat(3, 1).astype(np.float32)
    assert Expects(pixel_scale=0.168).inputs(stamp).sum() == pytest.approx(stamp.sum(), rel=0.02)
