"""Every verb from S3 to S3 through the command line; what comes out is what a run on local files gives."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("moto", reason="moto is not installed: no S3 server to test with")
from brick_samples import write_brick
from catalogue_samples import small_catalogue
from s3_server import only, s3_server, upload

import dhs
from dhs import cli, storage
from dhs.survey.mock.hosts import write_mock_hosts

BUCKET = "s3://bucket"
OUT = f"{BUCKET}/x"
CHECKPOINT = f"{BUCKET}/run/train/checkpoints/best.pt"
PAIRS = f"{BUCKET}/run/pairs"


@pytest.fixture(scope="module")
def world(run, tmp_path_factory):
    """A store with a finished run, six stamps to play real lenses, a catalogue of them, and two coadd bricks."""
    local = tmp_path_factory.mktemp("world")
    write_mock_hosts(local / "lenses", 6, 77)
    hosts = dhs.survey.hosts.open.open_hosts(dhs.config.HostsConfig(spec=str(local / "lenses"), known_lenses=None), 1)
    rows = "".join(f"lens {i},{r.ra},{r.dec}\n" for i, r in enumerate(hosts.refs))
    (local / "lenses.csv").write_text(f"name,ra,dec\n{rows}")
    for ra in (150.1, 170.4):
        write_brick(local / "dr10", ra, 2.2, n_targets=4, size=300, seed=int(ra))
    tables = sorted((local / "dr10" / "tractor").rglob("*.fits"))
    (local / "dr10" / "tractor").rename(local / "targets")
    small_catalogue(local / "cosmos", n=6)
    (local / "profile.yaml").write_text(run.profile.to_yaml())
    assert len(tables) == 2
    with s3_server("bucket") as store, pytest.MonkeyPatch.context() as patch:
        only(patch, store.environment)
        upload(local, f"{BUCKET}/in")
        upload(run.path, f"{BUCKET}/run")
        store.local = local
        yield store


@pytest.fixture
def store(world, monkeypatch, tmp_path):
    only(monkeypatch, world.environment)
    monkeypatch.setenv("DHS_CACHE_DIR", str(tmp_path / "cache"))
    world.asked.clear()
    return world


@pytest.fixture
def say(monkeypatch, capsys):
    """Run the command line in this process: exit code, and what it wrote to stderr."""

    def call(*args) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["dhs", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, capsys.readouterr().err

    return call


def json_of(path) -> dict:
    return storage.read_json(path)


def test_inject_reads_every_input_from_the_store_and_opens_each_coadd_once(store, say, tmp_path):
    (store.local / "far.csv").write_text("ra,dec\n10.0,-50.0\n")
    storage.copy(store.local / "far.csv", f"{BUCKET}/in/far.csv")

    def options(root) -> list:
        places = {"hosts": "dr10", "host-catalogue": "targets", "sources": "cosmos/catalog.fits"}
        places |= {"known-lenses": "far.csv", "profile": "profile.yaml"}
        return [x for name, place in places.items() for x in (f"--{name}", f"{root}/{place}")]

    common = ["--n-pairs", 16, "--seed", 3, "--engine", "serial"]
    code, said = say("inject", *options(f"{BUCKET}/in"), "--out", f"{BUCKET}/made", *common)
    assert code == 0, said
    files = store.opened(".fits.fz")
    assert len(files) == len(set(files)) == 2 * 10, "image, invvar and psfsize in three bands, and one mask, a brick"
    code, said = say("inject", *options(store.local), "--out", tmp_path / "made", *common)
    assert code == 0, said

    def content(out) -> dict:
        return {f.removeprefix(str(out)): storage.read_bytes(f) for f in storage.list_files(out, (".parquet",), True)}

    made = content(f"{BUCKET}/made")
    assert {k: v for k, v in made.items() if k != "/hosts.parquet"} == {
        k: v for k, v in content(tmp_path / "made").items() if k != "/hosts.parquet"
    }, "the index of hosts names their files, the pairs do not"
    one, other = (dhs.open_pairs(p).manifest for p in (f"{BUCKET}/made", tmp_path / "made"))
    assert one["content_hash"] == other["content_hash"] and one["sources"]["spec"] == "cosmos/catalog.fits"
    assert one["sources"]["kind"] == "real_galaxy" and one["hosts"]["selection"]["selected"] == 8
    code, said = say("inject", *options(f"{BUCKET}/in"), "--out", f"{BUCKET}/made", *common)
    assert code == 3 and "Add --resume" in said
    part = next(name for name in sorted(made) if name.startswith("/split="))
    fs, inner = storage.resolve(f"{BUCKET}/made{part}")
    fs.delete_file(inner)
    fs.delete_file(storage.resolve(f"{BUCKET}/made/manifest.json")[1])
    code, said = say("inject", *options(f"{BUCKET}/in"), "--out", f"{BUCKET}/made", *common, "--resume")
    assert code == 0 and content(f"{BUCKET}/made") == made, said


def test_preflight(store, say, run):
    code, said = say(
        "preflight", "--data-path", PAIRS, "--out", f"{BUCKET}/gates", "--profile", f"{BUCKET}/in/profile.yaml"
    )
    local = json_of(run.path / "preflight.json")
    assert code == {"CONDITIONAL-GO": 10, "NO-GO": 20}[local["decision"]], said
    assert json_of(f"{BUCKET}/gates/preflight.json") == local


def test_train_and_take_up_again(store, say, run):
    out, profile = f"{BUCKET}/train", f"{BUCKET}/in/profile.yaml"
    command = ["train", "--data-path", PAIRS, "--output-dir", out, "--profile", profile]
    code, said = say(*command)
    assert code == 0, said
    here, there = (
        pd.read_csv(io.BytesIO(storage.read_bytes(f"{folder}/history.csv"))) for folder in (run.path / "train", out)
    )
    assert here["loss_train"].tolist() == there["loss_train"].tolist() and len(there) == run.profile.train.epochs
    assert {f.rsplit("/", 1)[-1] for f in storage.list_files(out, recursive=True)} == {
        "history.csv", "config.yaml", "last.pt", "best.pt"
    }  # fmt: skip
    code, said = say(*command)
    assert code == 3 and "--resume" in said
    code, said = say(*command, "--resume")
    assert code == 0 and f"{out}/checkpoints/last.pt" in [f"s3:/{p}" for p in store.opened("last.pt")], said


def test_score_pairs(store, say, run, tmp_path):
    common = ["--top", 20, "--engine", "serial", "--known-lenses", f"{BUCKET}/in/lenses.csv"]
    code, said = say(
        "score", "--data-path", PAIRS, "--checkpoint", CHECKPOINT, "--out", f"{BUCKET}/scored/a.parquet", *common
    )
    assert code == 0, said
    local = ["--data-path", run.path / "pairs", "--checkpoint", run.checkpoint, "--out", tmp_path / "a.parquet"]
    assert say("score", *local, *common)[0] == 0
    for suffix in ("parquet", "fits", "html"):
        assert storage.read_bytes(f"{BUCKET}/scored/a.{suffix}") == storage.read_bytes(tmp_path / f"a.{suffix}")


def test_score_coadds_opens_each_once_and_goes_on_where_it_was(store, say, tmp_path):
    common = ["--checkpoint", CHECKPOINT, "--known-lenses", "none"]
    one = [
        "--cutouts",
        f"{BUCKET}/in/dr10",
        "--host-catalogue",
        f"{BUCKET}/in/targets",
        "--out",
        f"{BUCKET}/found/c.parquet",
    ]
    code, said = say("score", *one, *common, "--engine", "serial")
    assert code == 0, said
    files = store.opened(".fits.fz")
    assert set(map(files.count, files)) == {2}, "once to be scored, once for the contact sheet"
    table = storage.read_table(f"{BUCKET}/found/c.parquet")
    assert table.num_rows == 8 and len(set(table["brickname"].to_pylist())) == 2
    local = [
        "--cutouts",
        store.local / "dr10",
        "--host-catalogue",
        store.local / "targets",
        "--out",
        tmp_path / "c.parquet",
    ]
    assert say("score", *local, *common, "--engine", "processes", "--workers", 2)[0] == 0
    assert storage.read_bytes(tmp_path / "c.parquet") == storage.read_bytes(f"{BUCKET}/found/c.parquet")
    store.asked.clear()
    code, said = say("score", *one, *common)
    assert code == 0 and set(map(store.opened(".fits.fz").count, files)) == {1}, "for the contact sheet alone"
    code, said = say("score", *one, *common, "--host-select", "red")
    assert code == 2 and "'lrg' or 'none'" in said


def test_evaluate_real_lenses_and_sign_off(store, say, run):
    profile = ["--profile", f"{BUCKET}/in/profile.yaml"]
    out = f"{BUCKET}/judged"
    code, said = say("evaluate", "--data-path", PAIRS, "--checkpoint", CHECKPOINT, "--out", out, *profile,
                     "--real", f"{BUCKET}/in/lenses")  # fmt: skip
    assert code == 0, said
    here, there = json_of(run.path / "evaluation.json"), json_of(f"{out}/evaluation.json")
    assert {k: v for k, v in there.items() if k != "realism"} == {k: v for k, v in here.items() if k != "realism"}
    assert storage.read_bytes(f"{out}/scores.parquet") == storage.read_bytes(run.path / "scores.parquet")
    lenses = ["--cutouts", f"{BUCKET}/in/lenses", "--catalogue", f"{BUCKET}/in/lenses.csv"]
    code, said = say("real-lenses", "--checkpoint", CHECKPOINT, "--out", out, *lenses, *profile,
                     "--negatives", f"{BUCKET}/in/lenses")  # fmt: skip
    assert code == 0, said
    found = json_of(f"{out}/real_lenses.json")
    assert found["n_lenses"] == 6 and {s["name"] for s in found["stamps"]} == {f"lens {i}" for i in range(6)}
    code, said = say("signoff", "--run", f"{BUCKET}/run")
    local, there = json_of(run.path / "signoff.json"), json_of(f"{BUCKET}/run/signoff.json")
    again = [r for r in there["recommended_changes"] if r["rule"] == "test_split_read_again"]
    assert len(again) == 1, "the copy's test split was read once more, and that is on record"
    for found in (local, there):  # other tests may have read the local run's once more, too
        kept = [r for r in found["recommended_changes"] if r["rule"] != "test_split_read_again"]
        found["recommended_changes"] = kept
    assert code in (10, 20) and there == local, said


def test_ablate(store, say):
    plan = {"n_survey_negatives": 0, "seeds": [1], "variants": [{"name": "reference", "question": "The reference."}]}
    plan["train"] = {"epochs": 1, "batch_size": 32, "pretrained": "never", "core_masked_every": 0}
    storage.write_bytes(f"{BUCKET}/in/plan.yaml", json.dumps(plan).encode())
    profile, out = f"{BUCKET}/in/profile.yaml", f"{BUCKET}/ablation"
    command = ["ablate", "--data-path", PAIRS, "--out", out, "--plan", f"{BUCKET}/in/plan.yaml", "--profile", profile]
    code, said = say(*command)
    assert code == 0, said
    rows = storage.read_table(f"{out}/ablation.parquet").to_pylist()
    assert {"reference", "radial profile"} <= {r["variant"].replace("_", " ") for r in rows}
    assert np.isfinite([r["value"] for r in rows if r["metric"] == "auroc"]).all()
    store.asked.clear()
    assert say(*command)[0] == 0 and not [p for m, p in store.asked if m == "PUT" and "/runs/" in p], "nothing again"


def test_fetch_fills_a_prefix(store, say, tmp_path):
    (tmp_path / "lenses.csv").write_text("ra,dec\n1.5,2.5\n")
    url = (tmp_path / "lenses.csv").as_uri()
    for _ in range(2):
        code, said = say("fetch", "lenses", "--out", f"{BUCKET}/fetched", "--url", url)
        assert code == 0, said
    assert storage.read_bytes(f"{BUCKET}/fetched/lenscat.csv") == b"ra,dec\n1.5,2.5\n"
    assert not (Path.cwd() / "s3:").exists(), "a bucket is no folder of this machine"


NOTHING = f"{BUCKET}/nothing"
COMMANDS = {
    "inject hosts": ["inject", "--hosts", NOTHING, "--out", OUT],
    "inject sources": ["inject", "--sources", f"{NOTHING}/catalog.fits", "--out", OUT],
    "inject catalogue": ["inject", "--hosts", f"{BUCKET}/in/dr10", "--host-catalogue", NOTHING, "--out", OUT],
    "inject lenses": ["inject", "--hosts", f"{BUCKET}/in/lenses", "--known-lenses", f"{NOTHING}.csv", "--out", OUT],
    "inject profile": ["inject", "--profile", f"{NOTHING}.yaml", "--out", OUT],
    "inject out": ["inject", "--hosts", "mock", "--sources", "mock", "--n-pairs", "3", "--out", "s3://nobucket/x"],
    "preflight": ["preflight", "--data-path", NOTHING, "--out", OUT],
    "train": ["train", "--data-path", NOTHING, "--output-dir", OUT],
    "score": ["score", "--data-path", NOTHING, "--checkpoint", CHECKPOINT, "--out", OUT],
    "score checkpoint": ["score", "--data-path", PAIRS, "--checkpoint", NOTHING, "--out", OUT],
    "score cutouts": ["score", "--cutouts", NOTHING, "--checkpoint", CHECKPOINT, "--out", OUT],
    "evaluate": ["evaluate", "--data-path", NOTHING, "--checkpoint", CHECKPOINT, "--out", OUT],
    "ablate": ["ablate", "--data-path", NOTHING, "--out", OUT],
    "ablate plan": ["ablate", "--data-path", PAIRS, "--out", OUT, "--plan", f"{NOTHING}.yaml"],
    "real lenses": ["real-lenses", "--cutouts", NOTHING, "--checkpoint", CHECKPOINT, "--out", OUT],
    "signoff": ["signoff", "--run", NOTHING],
    "fetch": ["fetch", "lenses", "--out", "s3://nobucket/x"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_prefix_that_does_not_exist_is_named(store, say, name):
    code, said = say(*COMMANDS[name])
    (line,) = [text for text in said.splitlines() if text.startswith("dhs: ")]
    assert code == 3 and ("nothing" in line or "nobucket" in line), said
    assert not [p for method, p in store.asked if method in ("PUT", "POST") and p.startswith("/bucket/x")]


@pytest.mark.parametrize("verb", ["inject hosts", "preflight", "train", "score", "evaluate", "ablate", "signoff"])
def test_missing_credentials_are_named(store, say, monkeypatch, verb):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(store, "guarded", True)
    code, said = say(*COMMANDS[verb])
    assert code == 3 and "credentials are missing or refused. Set AWS_ACCESS_KEY_ID" in said


def test_public_hosts_are_read_without_credentials(store, say, monkeypatch, tmp_path):
    for path in sorted((store.local / "lenses").iterdir()):
        store.put(f"bucket/public/{path.name}", path.read_bytes(), **{"x-amz-acl": "public-read"})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(store, "guarded", True)
    command = ["inject", "--sources", "mock", "--n-pairs", 6, "--engine", "serial", "--profile", "smoke"]
    command += ["--hosts", "s3://anonymous@bucket/public", "--known-lenses", "none"]
    code, said = say(*command, "--out", tmp_path / "pairs")
    assert code == 0 and len(dhs.open_pairs(tmp_path / "pairs")) == 6, said
