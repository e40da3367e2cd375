"""Configuration, paths, data sets on disk, gates, networks, scores, stores, workers."""

import errno
import json
import os
import shutil
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from cutout_samples import channel_first, npz
from drawn_pairs import write_pairs
from engine_tasks import die
from harness import plant, plants

import dhs
from dhs import engines, storage
from dhs.artefacts.evaluation import Evaluation
from dhs.book.parameters import refuse_unknown
from dhs.config import load_profile
from dhs.datasets import preregistration
from dhs.datasets.reader import images, open_pairs
from dhs.models import checkpoints
from dhs.models.foreign.open import open_scorer
from dhs.owner import owned
from dhs.validation.preflight.gate import run_gates
from dhs.validation.preflight.preflight import collect

# ----------------------------------------------------------------------------------------------------- configuration


def profile(folder, text, **changes):
    (folder / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_profile(str(folder / "mine.yaml"), **changes)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
PROFILES = {
    "unknown-key": "train:\n  epoch: 3\n",
    "unknown-section": "trian:\n  epochs: 3\n",
    "out-of-range": "train:\n  epochs: -3\n",
    "wrong-type": "injection:\n  n_pairs: many\n",
    "splits": "splits: {train: 0.7, val: 0.2, test: 0.2}\n",
    "latin-1": "# Jos\u00e9\nseed: 3\n".encode("latin-1"),
    "no-yaml": "seed: [1, 2\n",
    "a-list": "- 1\n- 2\n",
    "python-object": "seed: !!python/object/apply:os.system ['true']\n",
    "seed-huge": "seed: 20261126235959123456\n",
    "seed-negative": "seed: -1\n",
    "seed-text": "seed: today\n",
    "nan": "train:\n  lr: .nan\n",
    "alias-bomb": BOMB,
    "deep": "[" * 3000 + "]" * 3000,
    "weights-empty": "injection:\n  hard_negative_kinds: {}\n",
    "weight-negative": "injection:\n  hard_negative_kinds: {companions: -1}\n",
    "ratios": "train: {hard_negative_ratio: 0.7, survey_negative_ratio: 0.6}\n",
}
plants("profile", PROFILES, profile)
plant("profile-absent")(lambda folder: load_profile("dmeo"))
plant("profile-folder")(lambda folder: load_profile(str(folder)))
plant("option-unknown")(lambda folder: dhs.inject(folder / "out", sources="mock", colour="red"))
plant("option-of-another-section")(lambda folder: dhs.inject(folder / "out", injektion__n_pairs=3))
plant("option-workers")(lambda folder: dhs.inject(folder / "out", workers=0))
plant("option-engine")(lambda folder: dhs.inject(folder / "out", engine="slurm"))
plant("option-master")(lambda folder: dhs.inject(folder / "out", master="yarn"))
plant("option-hard-negative")(
    lambda folder: dhs.inject(
        folder / "out", hosts="mock", sources="mock", injection__hard_negative_kinds={"rings": 1.0}, engine="serial"
    )
)


@plant("notebook-parameter")
def notebook_parameter(folder):
    names = {}
    exec("epochs: int = 0\nprofile: str = 'demo'\nepoch = 2", names)
    refuse_unknown(names)


@plant("script-without-guard")
def script_without_guard(folder):
    """What `dhs.engines` sees where a script starts workers at its top level."""
    (folder / "mine.py").write_text("import runner\nrunner.work()\n")
    names = {"__file__": str(folder / "mine.py"), "runner": mock.Mock(work=engines._refuse_unguarded)}
    main = mock.Mock(__file__=names["__file__"])
    main.__dict__.update(names)
    with mock.patch.dict("sys.modules", {"__main__": main}):
        exec(compile("\nrunner.work()\n", "mine.py", "exec"), vars(main))


# ------------------------------------------------------------------------------------------------------------- paths

TINY = {"hosts": "mock", "sources": "mock", "n_pairs": 2, "profile": "smoke", "engine": "serial"}


@plant("out-holds-other-files")
def out_other_files(folder):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("x")
    return dhs.inject(folder / "out", **TINY)


def begun(folder, **record):
    (folder / "out").mkdir()
    storage.write_json(folder / "out" / "run.json", {"identity": "other", "finished": True} | record)
    return folder / "out"


plant("out-of-another-configuration")(lambda folder: dhs.inject(begun(folder), **TINY))


@plant("out-in-use")
def out_in_use(folder):
    """Two runs on one output folder."""
    with owned(folder / "out", "inject"):
        return dhs.inject(folder / "out", **TINY)


@plant("out-is-a-file")
def out_is_a_file(folder):
    (folder / "out").write_text("x")
    return dhs.inject(folder / "out", **TINY)


@plant("out-below-a-file")
def out_below_a_file(folder):
    (folder / "a.txt").write_text("x")
    return dhs.inject(folder / "a.txt" / "out", **TINY)


plant("out-unknown-scheme")(lambda folder: dhs.inject("ftp://server/out", **TINY))
plant("score-out-folder")(lambda folder: dhs.score("finder", f"{folder}/results/", cutouts=str(folder)))
plant("score-out-csv")(lambda folder: dhs.score("finder", folder / "c.csv", cutouts=str(folder)))
plant("score-both-inputs")(lambda folder: dhs.score("finder", folder / "c.parquet", cutouts="a", data_path="b"))


@plant("run-of-another-hand")
def run_of_another_hand(folder):
    """A notebook on a folder where something lies that no run has made."""
    (folder / "run" / "pairs").mkdir(parents=True)
    (folder / "run" / "pairs" / "run.json").write_text(json.dumps({"identity": "other", "finished": False}))
    return dhs.Run(folder / "run", "smoke").inject()


@contextmanager
def failing(code):
    """Every write fails as the operating system says it."""
    with mock.patch("os.fdopen", side_effect=OSError(code, os.strerror(code))):
        yield


def write_failing(folder, code):
    with failing(code):
        storage.write_bytes(folder / "a", b"x")


plants(
    "disk",
    {"full": errno.ENOSPC, "quota": errno.EDQUOT, "read-only": errno.EACCES},
    lambda folder, code: write_failing(folder, code),
)
plant("path-empty")(lambda folder: storage.read_bytes(""))
plant("profile-empty-text")(lambda folder: load_profile("smoke", train__nonlenses=""))
plant("file-is-a-folder")(lambda folder: storage.read_bytes(folder))
plant("json-torn")(lambda folder: ((folder / "a.json").write_text('{"a": '), storage.read_json(folder / "a.json")))


# --------------------------------------------------------------------------------------------------------- data sets


def pairs_of(folder):
    pairs = write_pairs(folder / "pairs")
    for split in ("train", "val", "test"):
        rewritten(consistent, split)(folder / "pairs")
    return pairs


def consistent(table):
    """Stored numbers of the arcs that are theirs, so that a gate has one fault to speak of."""
    arcs, sigma = images(table["arc"]), table["sky_sigma_r"].to_numpy()
    numbers = {f"arc_flux_{b}": arcs[:, i].sum(axis=(1, 2)) for i, b in enumerate("grz")}
    numbers["arc_snr_maxpix"] = arcs[:, 1].max(axis=(1, 2)) / sigma
    for name, values in numbers.items():
        table = column(name, lambda _, values=values: values.astype(float).tolist())(table)
    return table


def with_manifest(folder, change):
    pairs = pairs_of(folder)
    manifest = json.loads((folder / "pairs" / "manifest.json").read_text())
    (folder / "pairs" / "manifest.json").write_text(change(manifest))
    return open_pairs(pairs.path)


MANIFESTS = {
    "version": lambda m: json.dumps(m | {"schema_version": 99}),
    "torn": lambda m: json.dumps(m)[:50],
    "empty": lambda m: "",
    "a-list": lambda m: "[]",
    "no-version": lambda m: json.dumps({"counts": m["counts"]}),
    "no-counts": lambda m: json.dumps({k: v for k, v in m.items() if k != "counts"}),
}
plants("manifest", MANIFESTS, with_manifest)
plant("pairs-absent")(lambda folder: open_pairs(folder / "pairs"))
plant("pairs-split")(lambda folder: pairs_of(folder).table("dev"))


def gate_after(folder, name, change):
    """One gate on a data set, after a change to its files."""
    pairs = pairs_of(folder)
    change(folder / "pairs")
    with np.errstate(all="ignore"):
        data = collect(pairs, load_profile("smoke"), "serial")
        return run_gates(data, [name])[0]


def rewritten(change, split="train", negatives=False):
    def edit(root):
        base = root / "negatives" if negatives else root
        path = base / f"split={split}" / "part-00000.parquet"
        pq.write_table(change(pq.read_table(path, partitioning=None)), path)

    return edit


def column(name, change):
    def edit(table):
        i, old = table.schema.get_field_index(name), table[name].combine_chunks()
        return table.set_column(i, table.schema.field(i), pa.array(change(old.to_pylist()), old.type))

    return edit


def nan_control(table):
    pixels = images(table["control"]).copy()
    pixels[2, 1, 10, 10] = np.nan
    i = table.schema.get_field_index("control")
    return table.set_column(i, table.schema.field(i), pa.FixedShapeTensorArray.from_numpy_ndarray(pixels))


def damaged(where):
    def edit(root):
        path = root / "split=train" / "part-00000.parquet"
        path.write_bytes(where(path.read_bytes()))

    return edit


GATES = {
    "part-truncated": ("data_integrity", damaged(lambda d: d[:1000])),
    "part-empty": ("data_integrity", damaged(lambda d: b"")),
    "part-missing": ("data_integrity", lambda root: shutil.rmtree(root / "split=val")),
    "part-no-rows": ("data_integrity", rewritten(lambda t: t.slice(0, 0))),
    "column-missing": ("data_integrity", rewritten(lambda t: t.drop_columns(["theta_e_arcsec"]))),
    "column-of-text": ("data_integrity", rewritten(lambda t: _as_text(t, "theta_e_arcsec"))),
    "nan-pixel": ("data_integrity", rewritten(nan_control)),
    "id-twice": ("data_integrity", rewritten(column("pair_id", lambda v: [v[0], *v[:-1]]))),
    "random-key": ("data_integrity", rewritten(column("rng_key", lambda v: ["2:0", *v[1:]]))),
    "sky-in-adu": ("data_integrity", rewritten(column("sky_sigma_r", lambda v: [x * 1000 for x in v]))),
    "gain-zero": ("data_integrity", rewritten(column("gain_g", lambda v: [0.0] * len(v)))),
    "host-in-two-splits": (
        "split_integrity",
        rewritten(column("host_id", lambda v: [f"host_id-{30 + i}" for i in range(len(v))])),
    ),
    "source-in-two-splits": ("split_integrity", rewritten(column("source_id", lambda v: ["source_id-24"] * len(v)))),
    "one-class": ("class_balance", lambda root: shutil.rmtree(root / "negatives")),
}


def _as_text(table, name):
    i = table.schema.get_field_index(name)
    return table.set_column(i, name, pa.array(["wide"] * table.num_rows))


plants("gate", GATES, lambda folder, case: gate_after(folder, *case))


@plant("test-without-plan")
def without_plan(folder):
    return preregistration.open_test(pairs_of(folder), network=None, what="evaluate")


# ---------------------------------------------------------------------------------------------------------- networks


class RunsCode:
    def __reduce__(self):
        return (os.system, ("true",))


def saved(folder, content):
    path = folder / "best.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    return path


CHECKPOINTS = {
    "empty": b"",
    "text": b"hello",
    "pickle-that-runs-code": {"format": 2, "model": RunsCode()},
    "other-format": {"format": 99, "model": {}},
    "foreign-state": {"weights": {}},
    "bare-tensor": torch.zeros(2),
}
plants("checkpoint", CHECKPOINTS, lambda folder, content: checkpoints.load(saved(folder, content)))
plant("checkpoint-absent")(lambda folder: open_scorer(str(folder / "best.pt")))
plant("checkpoint-foreign-train")(lambda folder: checkpoints.config_of({"train": {"lr": -1}}, "best.pt"))
plant("network-no-module")(lambda folder: open_scorer("no_such_package.net:load"))
plant("network-torn-onnx")(lambda folder: ((folder / "n.onnx").write_bytes(b"x"), open_scorer(str(folder / "n.onnx"))))


@plant("checkpoint-other-channels")
def other_channels(folder):
    train = load_profile("smoke", train__arch="small").train.model_dump(mode="json")
    state = {"model": {"body.weight": torch.zeros(4, 6, 3, 3)}, "train": train, "format": checkpoints.FORMAT}
    torch.save(state, folder / "best.pt")
    return open_scorer(str(folder / "best.pt"))


@plant("train-over-an-earlier-run")
def train_over(folder):
    pairs = pairs_of(folder)
    (folder / "train" / "checkpoints").mkdir(parents=True)
    (folder / "train" / "checkpoints" / "best.pt").write_bytes(b"x")
    return dhs.train(pairs.path, folder / "train", profile="smoke")


@plant("train-on-known-lenses")
def train_on_lenses(folder):
    pairs = pairs_of(folder)
    rewritten(column("flags", lambda v: [["host_is_candidate"]] * len(v)))(folder / "pairs")
    return dhs.train(pairs.path, folder / "train", profile="smoke")


@plant("evaluation-torn")
def evaluation_torn(folder):
    (folder / "evaluation.json").write_text("{")
    return Evaluation.read(folder)


@plant("evaluation-other-version")
def evaluation_version(folder):
    (folder / "evaluation.json").write_text(json.dumps({"artefact_version": 99}))
    return Evaluation.read(folder)


@plant("evaluation-no-calibration")
def evaluation_no_calibration(folder):
    (folder / "h").mkdir()
    (folder / "h" / "a.npz").write_bytes(npz(**channel_first()))
    (folder / "evaluation.json").write_text("{}")
    return score(folder, cutouts=str(folder / "h"), evaluation=folder / "evaluation.json")


plant("signoff-nothing")(lambda folder: dhs.signoff(folder))
plant("realism-absent")(lambda folder: dhs.realism(str(folder / "a"), str(folder / "b"), folder / "out"))
plant("real-lenses-catalogue")(
    lambda folder: dhs.real_lenses("finder", folder, cutouts=str(folder), catalogue=str(folder / "none.csv"))
)


def score(folder, **options):
    return dhs.score("", folder / "c.parquet", scorer=mock.Mock(state=None), **options)


plant("known-lenses-of-score")(lambda folder: score(folder, cutouts="mock", known=str(folder / "none.csv")))
plant("shard")(lambda folder: score(folder, data_path=pairs_of(folder).path, shard=(4, 4)))
plant("fetch-what")(lambda folder: dhs.fetch("galaxies", folder))


# ----------------------------------------------------------------------------------------------------------- engines


@plant("worker-lost")
def worker_lost(folder):
    return list(engines.run(die, range(4), tuple, (), engines.Engine("processes", 2)))


@plant("java-elsewhere")
def java_elsewhere(folder):
    with mock.patch.dict(os.environ, {"JAVA_HOME": "/nosuch"}):
        return engines.Engine("spark")


@plant("python-of-another-environment")
def other_python(folder):
    fake = folder / "python"
    fake.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'dhs'\" >&2\nexit 1\n")
    fake.chmod(0o755)
    from dhs.engines import spark

    return spark._check_python(str(fake))


# ------------------------------------------------------------------------------------------------------------ stores


class Answer(BaseHTTPRequestHandler):
    code, reset, short = 500, False, False

    def do(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.connection.close()
            return
        self.send_response(self.code)
        if self.code == 301:
            self.send_header("x-amz-bucket-region", "us-west-2")
        self.send_header("Content-Length", "1000" if self.short else "0")
        self.end_headers()
        if self.short:
            self.wfile.write(b"x" * 10)
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do

    def log_message(self, *arguments):
        pass


@contextmanager
def store(**answer):
    """An S3 endpoint that gives one answer to everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answer,), answer))
    server.handle_error = lambda *a: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    env |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_EC2_METADATA_DISABLED": "true"}
    try:
        with mock.patch.dict(os.environ, env), mock.patch.object(storage, "ATTEMPTS", 1):
            storage._s3.cache_clear()
            yield
    finally:
        storage._s3.cache_clear()
        server.shutdown()


def asked(folder, answer):
    with store(**answer):
        return storage.read_bytes("s3://bucket/file")


STORES = {
    "other-region": {"code": 301},
    "bad-request": {"code": 400},
    "forbidden": {"code": 403},
    "absent": {"code": 404},
    "error": {"code": 500},
    "throttled": {"code": 503},
    "partial-read": {"code": 200, "short": True},
    "reset": {"reset": True},
}
plants("s3", STORES, asked)
plant("s3-empty-name")(lambda folder: storage.read_bytes("s3://bucket//key"))
plant("s3-no-bucket")(lambda folder: storage.read_bytes("s3:///key"))
plant("s3-secret-in-address")(lambda folder: storage.read_bytes("s3://key:secret@bucket/file"))


@plant("archive-leaves-its-folder")
def archive_leaves(folder):
    """A downloaded archive whose member climbs out of the folder it is unpacked in."""
    import tarfile

    (folder / "x").write_text("x")
    with tarfile.open(folder / "a.tar.gz", "w:gz") as packed:
        packed.add(folder / "x", arcname="../../escaped.txt")
    try:
        return dhs.fetch("cosmos", folder / "data", url=(folder / "a.tar.gz").as_uri())
    finally:
        assert not (folder.parent / "escaped.txt").exists() and not (folder / "escaped.txt").exists()
