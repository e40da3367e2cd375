import ast
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import dhs
from dhs.config import TrainConfig
from dhs.models.training.augment import Draws
from dhs.random import HOST_ORDER, Stream, generator, keyed, of_text, rng_key

PACKAGE = Path(dhs.__file__).parent
GENERATORS = {"Philox", "PCG64", "PCG64DXSM", "MT19937", "SFC64", "default_rng", "RandomState", "SeedSequence", "seed"}


def counters(rng) -> tuple:
    """Key and counter a generator stands at: numpy's own account of where its numbers will come from."""
    state = rng.bit_generator.state["state"]
    return tuple(int(v) for v in state["key"]), tuple(int(v) for v in state["counter"])


def test_no_generator_is_made_outside_the_one_list():
    """numpy's generators are built in dhs/random.py alone, so nothing can fall outside the enum."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GENERATORS:
                owner = ast.unparse(node.func.value)
                if owner.endswith("random") and not owner.startswith("torch"):
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    # Intervals and the stored table of their coverage keep the numbers they were measured with.
    kept = ("random.py", "stats/clusters.py", "book/studies/interval_coverage.py")
    assert [f for f in found if not f.startswith(kept)] == []


def test_no_two_streams_share_a_region_of_the_counter():
    begins = {}
    for stream, seed, index, epoch, attempt in product(Stream, (0, 7), (0, 1, 5, HOST_ORDER), (0, 3), (0, 1, 99)):
        at = counters(keyed(seed, stream, index, epoch=epoch, attempt=attempt))
        assert begins.setdefault(at, stream) == stream
        assert at == ((seed, index), (0, epoch, int(stream), attempt))
    # A stream counts up in the first word: 2^64 blocks of four numbers before it would touch the next region.
    rng = keyed(7, Stream.DRAW, 5)
    rng.standard_normal(100_000)
    (_, index), (blocks, epoch, stream, attempt) = counters(rng)
    assert (index, epoch, stream, attempt) == (5, 0, 0, 0) and 20_000 < blocks < 2**20


def test_the_numbers_of_different_streams_differ():
    first = {s: keyed(7, s, 5).integers(0, 2**63, 8).tolist() for s in Stream}
    assert len({tuple(v) for v in first.values()}) == len(Stream)


@pytest.mark.parametrize("epoch", [0, 1, 12])
def test_training_shares_no_numbers_with_the_pairs_of_its_seed(epoch):
    """As they did: the order of epoch e was the draw of pair e, its augmentation that pair's photon noise."""
    shot = [generator(rng_key(7, epoch), Stream.SHOT, step).random(40) < 0.3 for step in range(3)]
    config = TrainConfig(core_dropout_prob=0.3)
    assert not any((Draws.of(config, 7, epoch, step, 40).dropped == shot[step]).all() for step in range(3))
    order = keyed(7, Stream.EPOCH, epoch).random(5)
    assert not (order == generator(rng_key(7, epoch), Stream.DRAW).random(5)).any()


def test_a_pairs_key_says_seed_pair_and_epoch():
    for key, words in (("3:9", (3, 9, 0)), ("3:9:4", (3, 9, 4))):
        assert rng_key(*words) == key
        assert counters(generator(key, Stream.NEGATIVE, 2)) == ((words[0], words[1]), (0, words[2], 2, 2))


def test_what_a_text_decides_is_the_same_in_every_process():
    assert (of_text("a").random(3) == of_text("a").random(3)).all()
    assert not (of_text("a").random(3) == of_text("b").random(3)).any()
    assert np.isclose(of_text("redshift:xdf-001").random(), of_text("redshift:xdf-001").random())
