"""A step is AdamW's; what it changes can be put back; captured it is the same."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from dhs.models.on_device.steps import State, Steps, fastest
from dhs.models.training.schedule import averaged

SHAPE = (6, 3, 64, 64)
RATES = (1e-2, 3e-3, 1e-3)


def tiny():
    torch.manual_seed(2)
    layers = [torch.nn.Conv2d(3, 4, 5, stride=4, bias=False), torch.nn.BatchNorm2d(4), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 1))
    return network.to(memory_format=torch.channels_last)


def samples(device="cpu"):
    made = torch.Generator().manual_seed(4)
    images = torch.randn((len(RATES), *SHAPE), generator=made)
    return images.to(device), (torch.rand((len(RATES), SHAPE[0]), generator=made) > 0.5).float().to(device)


def take(state, way="plain", device="cpu", first=0):
    steps = Steps(state, SHAPE, torch.float32, way)
    images, label = samples(device)
    for k in range(first, len(RATES)):
        steps.step(images[k], label[k], torch.tensor(RATES[k], device=device))
    return steps


def test_a_step_is_that_of_a_plain_loop():
    ours, plain = tiny(), tiny()
    state = State.of(ours, 0.1, decay=0.9)
    take(state)
    optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=0.1, foreach=False)
    average, losses = averaged(plain, 0.9), []
    for images, label, rate in zip(*samples(), RATES):
        optimizer.param_groups[0]["lr"] = rate
        loss = binary_cross_entropy_with_logits(plain(images)[:, 0], label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        average.update_parameters(plain)
    for got, expected in ((ours, plain), (state.average, average.module)):
        for a, b in zip(got.parameters(), expected.parameters()):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state.average[1].running_var, average.module[1].running_var)
    assert state.totals[0].item() == pytest.approx(sum(losses), rel=1e-6) and state.totals[1] == 3
    assert 0 < state.totals[3] <= state.totals[2]


def test_a_state_put_back_goes_on_as_if_nothing_was():
    whole = State.of(tiny(), 0.1, decay=0.9)
    take(whole)
    part = State.of(tiny(), 0.1, decay=0.9)
    steps = Steps(part, SHAPE, torch.float32, "plain")
    images, label = samples()
    steps.step(images[0], label[0], torch.tensor(RATES[0]))
    kept = {k: v.clone() for k, v in part.tensors().items()}
    steps.step(images[2], label[2], torch.tensor(0.5))  # led astray
    places = {k: v.data_ptr() for k, v in part.tensors().items()}
    part.load(kept)
    assert {k: v.data_ptr() for k, v in part.tensors().items()} == places
    take(part, first=1)
    for name, value in whole.tensors().items():
        torch.testing.assert_close(part.tensors()[name], value, rtol=0, atol=0)


def test_moments_that_were_not_saved_become_nothing():
    state = State.of(tiny(), 0.1)
    before = {k: v.clone() for k, v in state.tensors().items()}
    take(state)
    state.load(before)
    assert all((v == 0).all() for k, v in state.tensors().items() if k.startswith("optimizer."))
    take(state)
    fresh = State.of(tiny(), 0.1)
    take(fresh)
    for a, b in zip(state.network.parameters(), fresh.network.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_on_a_processor_steps_are_plain():
    steps, times = fastest(State.of(tiny(), 0.1), SHAPE, torch.float32)
    assert steps.way == "plain" and times == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captured steps need a CUDA device")
def test_captured_steps_are_plain_ones():
    torch.backends.cudnn.allow_tf32 = False
    captured, plain = (State.of(tiny().cuda(), 0.1, decay=0.9) for _ in range(2))
    before = {k: v.clone() for k, v in captured.tensors().items()}
    steps = Steps(captured, SHAPE, torch.float32, "captured")
    captured.load(before)
    captured.totals.zero_()
    images, label = samples("cuda")
    for k, rate in enumerate(RATES):
        steps.step(images[k], label[k], torch.tensor(rate, device="cuda"))
    take(plain, device="cuda")
    for name, value in plain.tensors().items():
        torch.testing.assert_close(captured.tensors()[name], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(captured.totals, plain.totals, rtol=1e-4, atol=1e-5)
