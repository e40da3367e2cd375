import importlib.util
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from brick_samples import write_brick
from synthetic import write_synthetic_pairs

from dhs import storage
from dhs.config import HostsConfig, TrainConfig
from dhs.datasets import reader
from dhs.datasets.schema import SCORE_SCHEMA
from dhs.errors import DhsError, InputRefused, Refusal, UsageError
from dhs.models import checkpoints
from dhs.models.networks import registry
from dhs.models.score import Scorer, host_mag_r, score_pairs
from dhs.models.shards import CUTOUT_SCHEMA, score_hosts, score_shards
from dhs.survey.hosts import coadds
from dhs.survey.hosts.open import open_hosts
from dhs.survey.hosts.stamp import HostStamp

has_spark = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
needs_spark = pytest.mark.skipif(not has_spark, reason="pyspark (extra `spark`) or Java is not installed")


@pytest.fixture(scope="module")
def scorer(trained):
    return Scorer(trained.last)


@pytest.fixture(scope="module")
def bricks(tmp_path_factory):
    """Three bricks of three targets."""
    root = tmp_path_factory.mktemp("dr10")
    for ra in (150.1, 150.4, 150.9):
        write_brick(root, ra, 2.2, n_targets=3, size=300, seed=int(ra * 10))
    return root


@pytest.fixture(scope="module")
def stamps(tiny):
    return np.stack([reader.stamp(tiny[i]) for i in range(64, 84)])


def test_logits_do_not_depend_on_the_batch_size(trained, scorer, stamps):
    expected = scorer.logits(stamps)
    assert expected.dtype == np.float32 and expected.shape == (20,) and expected.std() > 0
    for size in (1, 7):
        np.testing.assert_allclose(Scorer(trained.last, batch_size=size).logits(stamps), expected, atol=1e-4)


def test_core_mask_hides_the_core_and_only_the_core(scorer, stamps):
    y, x = np.mgrid[:64, :64] - 31.5
    other = stamps + 0.3 * (np.hypot(x, y) < 5).astype(np.float32)
    np.testing.assert_allclose(scorer.logits(other, 5.0), scorer.logits(stamps, 5.0), atol=1e-4)
    assert np.abs(scorer.logits(other) - scorer.logits(stamps)).max() > 1e-3


def test_features_are_what_the_last_layer_sees(scorer, stamps):
    features = scorer.features(stamps)
    assert features.shape == (20, 512)
    weight, bias = (p.detach().numpy() for p in (scorer.network.fc.weight, scorer.network.fc.bias))
    np.testing.assert_allclose((features @ weight.T + bias)[:, 0], scorer.logits(stamps), atol=1e-4)


@pytest.mark.parametrize("channels", ["raw", "raw+residual"])
def test_the_fused_network_says_what_the_trained_one_says(trained, stamps, channels, tmp_path):
    state = checkpoints.load(trained.last)
    network = registry.build(6 if channels == "raw+residual" else 3).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training; at its start folding it in is trivial
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    path = tmp_path / "other.pt"
    checkpoints.save(path, state | {"train": state["train"] | {"channels": channels}, "model": network.state_dict()})
    scorer = Scorer(path)
    with torch.inference_mode():
        want = network(scorer.preprocess(torch.from_numpy(stamps)))[:, 0].numpy()
    np.testing.assert_allclose(scorer.logits(stamps), want, atol=1e-5)
    assert scorer.logits(stamps).std() > 1e-3


def test_features_that_are_no_numbers_are_refused(trained, stamps, tmp_path):
    state = checkpoints.load(trained.last)
    state["model"]["layer2.0.conv1.weight"].fill_(np.nan)
    checkpoints.save(tmp_path / "broken.pt", state)
    broken = Scorer(tmp_path / "broken.pt")
    for features in (broken.features, broken.blocks):
        with pytest.raises(DhsError, match=rf"NaN or infinite for {len(stamps)} of {len(stamps)} stamps. Its weights"):
            features(stamps)


def test_empty_input_gives_empty_output(scorer):
    nothing = np.empty((0, 3, 64, 64), np.float32)
    assert scorer.logits(nothing).shape == (0,) and scorer.features(nothing).shape == (0, 512)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.transpose(0, 2, 3, 1), "have shape"),
        (lambda s: s[0], "have shape"),
        (np.sqrt, "hold NaN or Inf"),
    ],
)
def test_bad_stamps_are_refused(scorer, stamps, change, message):
    with np.errstate(invalid="ignore"), pytest.raises(DhsError, match=message):
        scorer.logits(change(stamps))


def test_scores_of_pairs_are_the_logits_of_their_stamps(tiny, scorer, stamps):
    table = score_pairs(scorer, tiny)
    frame = table.to_pandas()
    assert table.schema.equals(SCORE_SCHEMA)
    assert frame["kind"].value_counts().to_dict() == {
        "positive": 20,
        "control": 20,
        "hard_negative:azimuthal_shuffle": 10,
    }
    assert set(frame["split"]) == {"test"} and set(frame["pair_id"]) == set(range(64, 84))
    positive = frame[frame["kind"] == "positive"].sort_values("pair_id")
    np.testing.assert_allclose(positive["logit"], scorer.logits(stamps), atol=1e-4)
    np.testing.assert_allclose(positive["logit_core_masked"], scorer.logits(stamps, 5.0), atol=1e-4)
    assert np.isnan(score_pairs(scorer, tiny, core_mask_px=None)["logit_core_masked"].to_numpy()).all()
    control = frame[frame["kind"] == "control"].sort_values("pair_id")
    np.testing.assert_allclose(positive["host_mag_r"], control["host_mag_r"])
    controls = np.stack([tiny[i]["control"] for i in range(64, 84)])
    np.testing.assert_allclose(control["logit"], scorer.logits(controls), atol=1e-4)
    np.testing.assert_allclose(positive["theta_e_arcsec"], [tiny[i]["theta_e_arcsec"] for i in range(64, 84)])
    np.testing.assert_allclose(control["theta_e_arcsec"], positive["theta_e_arcsec"])
    hard = frame[frame["kind"].str.startswith("hard")]
    assert set(hard["subkind"]) == {"azimuthal_shuffle"}
    light = reader.rows(tiny.table("test", ["pair_id", "light", "rng_key"], negatives=True))
    for row in light[:2]:
        pair = {k: v for k, v in tiny[row["pair_id"]].items() if k != "arc"}
        expected = scorer.logits(reader.stamp(pair | row)[None])[0]
        ours = hard.loc[hard["pair_id"] == row["pair_id"]].iloc[0]
        assert ours["logit"] == pytest.approx(expected, abs=1e-4)
        assert ours["host_id"] == pair["host_id"]


def test_splits_can_be_chosen_and_an_empty_one_gives_an_empty_table(tiny, scorer, tmp_path):
    assert set(score_pairs(scorer, tiny, ("val",))["split"].to_pylist()) == {"val"}
    none = write_synthetic_pairs(tmp_path / "none", {"train": 2, "val": 0, "test": 0})
    assert score_pairs(scorer, none).num_rows == 0


def test_host_magnitude_is_that_of_the_light_within_the_aperture():
    stamps = np.zeros((2, 3, 64, 64), np.float32)
    stamps[0, 1, 30:34, 30:34] = 10 / 16  # 10 nanomaggies: 20 mag
    stamps[0, 1, 0, 0] = 100
    assert host_mag_r(stamps)[0] == pytest.approx(20.0, abs=1e-4) and np.isnan(host_mag_r(stamps)[1])


def test_blocks_end_in_what_the_features_are(scorer, stamps):
    blocks = scorer.blocks(stamps)
    assert {k: v.shape for k, v in blocks.items()} == {f"layer{i}": (20, 32 * 2**i) for i in (1, 2, 3, 4)}
    np.testing.assert_allclose(blocks["layer4"], scorer.features(stamps), atol=1e-4)


def test_low_precision_ranks_as_full_precision_does(trained, scorer, stamps):
    low = Scorer(trained.last, precision="bfloat16").logits(stamps)
    assert low.dtype == np.float32 and np.abs(low - scorer.logits(stamps)).max() < 0.1
    with pytest.raises(UsageError, match="choose float32 or bfloat16"):
        Scorer(trained.last, precision="float8")


def test_a_checkpoint_whose_weights_are_of_another_input_kind_is_refused(trained, tmp_path):
    state = torch.load(trained.last, weights_only=True)
    state["model"]["conv1.weight"] = state["model"]["conv1.weight"].repeat(1, 2, 1, 1)
    torch.save(state, tmp_path / "six.pt")
    with pytest.raises(DhsError, match="do not fit its own configuration, 'raw' input"):
        Scorer(tmp_path / "six.pt")


class SyntheticHosts:
    """A host set of labelled synthetic stamps; the third cannot be read."""

    def __init__(self, stamps):
        self.stamps, self.refs = stamps, [SimpleNamespace(host_id=f"h{i}", file="f", row=i) for i in range(len(stamps))]
        self.refusals = [Refusal("x", "x.fits", -1, "host", "missing_band", "no z band", "Give one.")]

    def read(self, i):
        if i == 2:
            raise InputRefused(Refusal("h2", "h2.npz", 0, "host", "nan", "NaN in band r", "Fix it."))
        sigma = np.array([1, 2, 3.0])
        return HostStamp(
            f"h{i}",
            "b",
            0,
            0,
            0,
            0,
            self.stamps[i],
            None,
            None,
            sigma,
            sigma / 900,
            sigma,
            meta={"kind": "ring"},
        )


def test_scores_of_a_host_set_leave_out_what_cannot_be_read(trained, stamps):
    scorer = Scorer(trained.last, batch_size=8)
    table, refusals = score_hosts(scorer, SyntheticHosts(stamps), kind="survey_negative", split="test")
    frame = table.to_pandas()
    assert frame["host_id"].tolist() == [f"h{i}" for i in range(20) if i != 2]
    np.testing.assert_allclose(frame["logit"], np.delete(scorer.logits(stamps), 2), atol=1e-4)
    assert set(frame["kind"]) == {"survey_negative"} and set(frame["subkind"]) == {"ring"}
    assert set(frame["pair_id"]) == {-1} and frame["theta_e_arcsec"].isna().all()
    np.testing.assert_allclose(frame["psf_fwhm_r_arcsec"], 2)
    np.testing.assert_allclose(frame["sky_sigma_r"], 2 / 900, rtol=1e-6)
    assert [r.code for r in refusals] == ["nan"]
    assert frame["ra"].eq(0).all() and frame["brickname"].eq("b").all()


def test_bfloat16_checkpoints_are_scored_in_float32(scorer):
    assert {p.dtype for p in scorer.network.parameters()} == {torch.float32}


def test_shards_are_written_once_and_together_hold_every_stamp(scorer, stamps, tmp_path, monkeypatch):
    monkeypatch.setattr("dhs.models.shards.SHARD_STAMPS", 6)
    hosts = SyntheticHosts(stamps)
    for number in (1, 0):
        paths = score_shards(tmp_path, scorer=scorer, hosts=hosts, shard=(number, 2))
    assert len(paths) == 4 and all(storage.exists(p) for p in paths)
    tables = [storage.read_table(p) for p in paths]
    assert all(t.schema.equals(CUTOUT_SCHEMA) for t in tables)
    found = {h: x for t in tables for h, x in zip(t["host_id"].to_pylist(), t["logit"].to_pylist())}
    expected = scorer.logits(stamps)
    assert set(found) == {f"h{i}" for i in range(20) if i != 2}
    np.testing.assert_allclose([found[f"h{i}"] for i in range(3, 20)], expected[3:], atol=1e-4)
    assert [p.rsplit("/", 1)[-1] for p in storage.list_files(tmp_path)].count("quarantine-000000.parquet") == 1
    before = (tmp_path / "part-000001.parquet").stat().st_mtime_ns
    (tmp_path / "part-000002.parquet").unlink()
    score_shards(tmp_path, scorer=scorer, hosts=hosts)
    assert (tmp_path / "part-000001.parquet").stat().st_mtime_ns == before and storage.exists(paths[2])


def test_a_folder_begun_with_other_inputs_is_refused(tiny, scorer, stamps, tmp_path):
    score_shards(tmp_path, scorer=scorer, pairs=tiny)
    with pytest.raises(DhsError, match="other inputs, another checkpoint or other options"):
        score_shards(tmp_path, scorer=scorer, hosts=SyntheticHosts(stamps))
    with pytest.raises(DhsError, match="other inputs"):
        score_shards(tmp_path, scorer=scorer, pairs=tiny, core_mask_px=3.0)


@pytest.mark.parametrize("engine", ["processes", pytest.param("spark", marks=needs_spark)])
def test_every_engine_writes_the_same_shards(tiny, trained, tmp_path, engine):
    found = []
    for name in ("serial", engine):
        options = {"engine": name, "workers": 2, "splits": ("val", "test")}
        paths = score_shards(tmp_path / name, checkpoint=trained.last, pairs=tiny, **options)
        found.append([storage.read_bytes(p) for p in paths])
    assert found[0] == found[1] and len(found[0]) == 2


@pytest.mark.parametrize("engine", ["processes", pytest.param("spark", marks=needs_spark)])
def test_every_engine_scores_coadds_to_the_same_shards(bricks, trained, tmp_path, engine, monkeypatch):
    monkeypatch.setattr("dhs.models.shards.SHARD_STAMPS", 4)
    found = []
    for name in ("serial", engine):
        hosts = open_hosts(HostsConfig(spec=str(bricks), known_lenses=None), 1)
        paths = score_shards(tmp_path / name, checkpoint=trained.last, hosts=hosts, engine=name, workers=2)
        found.append([storage.read_bytes(p) for p in paths])
    assert found[0] == found[1] and len(found[0]) == 3
    logits = [x for p in paths for x in storage.read_table(p)["logit"].to_pylist()]
    stamps = np.stack([hosts.read(i).image for i in range(9)])
    sigma = np.stack([hosts.read(i).sky_sigma for i in range(9)])
    np.testing.assert_allclose(logits, Scorer(trained.last).logits(stamps, sky_sigma=sigma), atol=1e-4)


def test_a_brick_of_coadds_is_never_cut_between_shards(bricks, scorer, tmp_path, monkeypatch):
    """Three bricks of three: one or two to a shard, however many stamps a shard may hold, and each opened once."""
    opened = []
    init = coadds.Coadds.__init__
    monkeypatch.setattr(coadds.Coadds, "__init__", lambda self, root, b: (opened.append(b), init(self, root, b))[1])
    for most, rows in ((1, [3, 3, 3]), (5, [3, 3, 3]), (6, [6, 3]), (100, [9])):
        monkeypatch.setattr("dhs.models.shards.SHARD_STAMPS", most)
        hosts = open_hosts(HostsConfig(spec=str(bricks), known_lenses=None), 1)
        opened.clear()
        paths = score_shards(tmp_path / str(most), scorer=scorer, hosts=hosts)
        tables = [storage.read_table(p) for p in paths]
        assert [t.num_rows for t in tables] == rows and len(opened) == len(set(opened)) == 3
    (tmp_path / "1" / "part-000001.parquet").unlink()
    opened.clear()
    monkeypatch.setattr("dhs.models.shards.SHARD_STAMPS", 1)
    score_shards(tmp_path / "1", scorer=scorer, hosts=hosts)
    assert opened == sorted({r.brickname for r in hosts.refs})[1:2], "what is done is not done again"
    monkeypatch.setattr("dhs.models.shards.SHARD_STAMPS", 6)
    with pytest.raises(DhsError, match="other inputs"):
        score_shards(tmp_path / "1", scorer=scorer, hosts=hosts)


def test_symmetry_averages_the_logits_of_all_orientations(tiny, trained, tmp_path):
    stamps = np.stack([tiny[i]["control"] for i in range(6)])
    state, plain = checkpoints.load(trained.last), Scorer(trained.last)
    state["train"]["symmetry"] = 8
    checkpoints.save(tmp_path / "eight.pt", state)
    turned = [np.rot90(flipped, k, (2, 3)) for flipped in (stamps, stamps[..., ::-1]) for k in range(4)]
    expected = np.mean([plain.logits(x) for x in turned], axis=0)
    np.testing.assert_allclose(Scorer(tmp_path / "eight.pt").logits(stamps), expected, rtol=1e-4, atol=1e-5)
    assert len({x.tobytes() for x in turned}) == 8


def test_a_small_network_scores_as_it_does_in_training(tiny, tmp_path):
    network = registry.build(3, "small").eval()
    path = tmp_path / "small.pt"
    train = TrainConfig(arch="small").model_dump(mode="json")
    checkpoints.save(path, {"model": network.state_dict(), "train": train, "seed": 0})
    scorer, stamps = Scorer(path), np.stack([tiny[i]["control"] for i in range(5)])
    with torch.no_grad():
        expected = network(scorer.preprocess(torch.from_numpy(stamps)))[:, 0].numpy()
    np.testing.assert_allclose(scorer.logits(stamps), expected, rtol=1e-4, atol=1e-5)
    assert scorer.features(stamps).shape == (5, 384) and scorer.blocks(stamps) == {}
