"""Networks trained one after the other on one device, their positives with a leak, and their logits of test pairs."""

from __future__ import annotations

import time

import numpy as np
from leak_kinds import LEAKS

WARM_UP = 0.1  # of the steps
SETS = ("positive", "control")


class Networks:
    """Trains and tests networks on one device, one after the other with the same captured steps.

    Parameters
    ----------
    pairs : Pairs
    profile : Profile
    device : torch.device
    args : Namespace
    """

    def __init__(self, pairs, profile, device, args):
        import torch

        from dhs.models.on_device import bank
        from dhs.models.on_device.train import Recipe, prepare
        from dhs.models.preprocess import Preprocess

        precision = "bfloat16" if device.type == "cuda" else "float32"
        self.config = profile.replace(train__precision=precision).train
        self.device, self.profile = device, profile
        self.preprocess = Preprocess.from_config(self.config)
        self.prepared = prepare(Recipe(self.config, profile.seed), device, self.config.batch_size)
        self.ways = self.prepared.seconds_a_step
        self.n_steps = max(args.stamps // self.config.batch_size, 1)
        columns = (*bank.SCALARS, "source_id")
        test = bank.load(pairs, "test", device, columns=columns, workers=args.workers)
        order = np.random.default_rng(profile.seed).permutation(len(test))[: args.test_pairs]
        rows = torch.from_numpy(np.sort(order)).to(device)
        self.test = self._test(test, rows)
        table = test.scalars.take(np.sort(order))
        self.about = {k: np.array([v or "" for v in table[k].to_pylist()], str) for k in ("host_id", "source_id")}
        self.about["pair_id"] = table["pair_id"].to_numpy()
        del test
        self.train_bank = leaky(bank.load(pairs, "train", device, workers=args.workers))

    def _test(self, test, rows) -> dict:
        """Clean test stamps, their noise fixed."""
        import torch

        random = torch.Generator(self.device).manual_seed(self.profile.seed + 1)
        control = test.base.take(rows, noisy=True)
        positive = test.stamps(rows, rows, random)
        noise = torch.randn(control.shape, generator=random, device=self.device)
        return {"positive": positive, "control": control, "noise": noise, "sigma": test.sky_sigma[rows]}

    def train(self, kind: str, strength: float, seed: int) -> dict:
        """Train one network from its start; it is left in ``prepared``."""
        import torch

        from dhs.models.networks import registry
        from dhs.models.on_device.batches import Batches
        from dhs.models.training.schedule import lr_factor

        state, steps, n = self.prepared.state, self.prepared.steps, self.n_steps
        state.load(self.prepared.first)
        start = registry.make(self.config, self.preprocess.n_channels, self.profile.seed + seed)[0]
        state.network.load_state_dict(start.state_dict())
        state.totals.zero_()
        state.network.train()
        self.train_bank.leak, self.train_bank.strength = LEAKS.get(kind), strength
        batches, done, epoch = Batches(self.train_bank, self.config, self.profile.seed + seed), 0, 0
        rates = torch.tensor([self.config.lr * lr_factor(i, n, WARM_UP * n) for i in range(n)], device=self.device)
        begun = time.monotonic()
        last = torch.zeros(4, dtype=torch.float64, device=self.device)
        while done < n:
            epoch += 1
            for images, label in batches.epoch(epoch):
                for k in range(min(len(images), n - done)):
                    if done == n - n // 5:
                        last = state.totals.clone()
                    steps.step(images[k], label[k], rates[done])
                    done += 1
                if done >= n:
                    break
        total, late = state.totals.tolist(), (state.totals - last).tolist()
        if not np.isfinite(total[:3]).all():
            raise ValueError(f"the loss of {kind} {strength:g} is not finite")
        out = {"kind": kind, "strength": strength, "seed": seed, "steps": done, "stamps": done * batches.batch}
        return (
            out
            | {"loss": total[0] / total[1], "loss_last_fifth": late[0] / max(late[1], 1)}
            | {"train_s": time.monotonic() - begun}
        )

    def logits(self, kinds: list[tuple[str, float]]) -> dict[str, np.ndarray]:
        """Of the network in ``prepared``: (n,) of each clean set, (leaks, n) of each set with each leak."""
        import torch

        test, out = self.test, {}
        with torch.inference_mode():
            for name in SETS:
                out[name] = self._forward(test[name])
            for name in SETS:
                rows = [self._forward(self._planted(test[name], *cell)) for cell in kinds]
                out[f"leaked_{name}"] = np.stack(rows) if rows else np.empty((0, len(test["sigma"])), np.float32)
        return out

    def _planted(self, stamps, kind: str, strength: float):
        test = self.test
        return LEAKS[kind].plant(stamps, test["control"], test["sigma"], test["noise"], strength)

    def _forward(self, stamps) -> np.ndarray:
        """Logits, with no more rounding than TF32 has: what it leaves in a mean over pairs is far below any leak."""
        import torch

        from dhs.models.on_device.train import forward

        parts = zip(stamps.split(1024), self.test["sigma"].split(1024))
        images = torch.cat([self.preprocess(s, sky_sigma=sigma) for s, sigma in parts])
        return forward(self.prepared.state.network, images, torch.float32).cpu().numpy()


def leaky(bank):
    """The same bank, whose positives have its ``leak`` at its ``strength``; None for none."""
    import torch

    from dhs.models.on_device.bank import Bank, shot_noise

    class Leaky(Bank):
        leak, strength = None, 0.0

        def stamps(self, base, light, generator=None):
            control = self.base.take(base, noisy=True)
            added = self.light.take(light.clamp_min(0)) * (light >= 0)[:, None, None, None]
            sigma = self.sky_sigma.index_select(0, base)
            shown = control + added
            if generator is not None:
                shown = shown + shot_noise(added, self.gain.index_select(0, base), generator)
            if self.leak is None or not self.strength:
                return shown
            noise = None
            if self.leak.noisy:
                noise = torch.randn(shown.shape, generator=generator, device=shown.device)
            positive = (light >= 0) & (light < len(self))
            planted = self.leak.plant(shown, control, sigma, noise, self.strength)
            return torch.where(positive[:, None, None, None], planted, shown)

    return Leaky(**vars(bank))
