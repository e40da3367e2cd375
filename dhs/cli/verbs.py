"""The verbs: thin, the same that notebooks call."""

from __future__ import annotations

from typing import Annotated

import typer

import dhs
from dhs.cli.app import app
from dhs.cli.options import (
    Checkpoint,
    DataPath,
    Engine,
    Master,
    Profile,
    SurveyNegatives,
    Workers,
    read_yaml,
    scored_on,
)
from dhs.errors import UsageError


@app.command()
def inject(
    out: Annotated[str, typer.Option(help="Where the data set is written.")],
    hosts: Annotated[
        str | None,
        typer.Option(help="mock, auto (real ones under DHS_DATA_DIR), a folder of cutouts, or one with coadd/."),
    ] = None,
    sources: Annotated[str | None, typer.Option(help="auto, xdf, mock, or a GalSim RealGalaxyCatalog file.")] = None,
    n_pairs: Annotated[int | None, typer.Option(min=1, help="Accepted pairs over all splits.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of every random stream. The profile's by default.")] = None,
    profile: Profile = "demo",
    engine: Engine = "processes",
    workers: Workers = None,
    master: Master = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    host_catalogue: Annotated[
        str | None, typer.Option(help="Targets in the coadds: Tractor or sweep files, or a table; tractor/ by default.")
    ] = None,
    host_select: Annotated[str | None, typer.Option(help="Cuts on that catalogue: lrg or none.")] = None,
    allow_known_lenses: Annotated[
        bool, typer.Option("--allow-known-lenses", help="Keep published lenses among the hosts, marked.")
    ] = False,
    known_lenses: Annotated[
        str | None, typer.Option(help="lenscat, or a CSV with RA and Dec, matched within 11 arcsec.")
    ] = None,
):
    """Inject lensed galaxies into hosts: a pairs data set, its manifest, its quarantine."""
    pairs = dhs.inject(
        out,
        hosts=hosts,
        sources=sources,
        n_pairs=n_pairs,
        seed=seed,
        profile=profile,
        engine=engine,
        workers=workers,
        master=master,
        resume=resume,
        host_catalogue=host_catalogue,
        host_select=host_select,
        allow_known_lenses=allow_known_lenses or None,
        known_lenses=known_lenses,
    )
    typer.echo(repr(pairs))
    for line in (*pairs.assumptions, *_refused(pairs)):
        typer.echo(line)
    typer.echo(f"content hash {pairs.manifest['content_hash']}")


def _refused(pairs) -> list[str]:
    """What was refused, by stage and reason, and the splits that stayed empty."""
    from dhs import storage

    empty = [split for split, n in pairs.manifest["counts"].items() if not n]
    said = _quarantined(storage.join(pairs.path, "quarantine.parquet"))
    return said + [f"the {split} split is empty: give more hosts" for split in empty]


def _quarantined(path: str) -> list[str]:
    """What a quarantine holds, one line for each stage."""
    from collections import Counter

    from dhs import storage

    rows = storage.read_table(path).select(["stage", "code"]).to_pylist() if storage.exists(path) else []
    said = []
    for stage in sorted({row["stage"] for row in rows}):
        codes = Counter(row["code"] for row in rows if row["stage"] == stage)
        listed = ", ".join(f"{n} {code}" for code, n in codes.most_common())
        said.append(f"refused, {stage}: {listed}; see {path}")
    return said


@app.command()
def audit(
    data: Annotated[
        str,
        typer.Argument(help="Stamps: a folder (a class a sub-folder), .npy, .npz, .h5, .zarr, .parquet, or our pairs."),
    ],
    out: Annotated[str, typer.Option(help="Folder for audit.json, audit.html and quarantine.parquet.")],
    labels: Annotated[
        str | None,
        typer.Option(help="Table of labels (CSV, parquet, FITS, npy), by file name or in the stamps' order."),
    ] = None,
    negatives: Annotated[
        str | None, typer.Option(help="Folder of the second class; DATA then holds the first.")
    ] = None,
    survey: Annotated[str, typer.Option(help="legacy, des, hsc, euclid-vis, lsst, or a YAML file.")] = "legacy",
    positive: Annotated[str | None, typer.Option(help="Which label is the lens.")] = None,
    bands: Annotated[str | None, typer.Option(help="Of the planes, in their order: grz, or names with commas.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of labels.")] = None,
    split: Annotated[str | None, typer.Option(help="Column of splits.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of what may not be torn apart, e.g. the host galaxy.")
    ] = None,
    ra: Annotated[str | None, typer.Option(help="Column of right ascension, degrees.")] = None,
    dec: Annotated[str | None, typer.Option(help="Column of declination, degrees.")] = None,
    file: Annotated[str | None, typer.Option(help="Column of file names in the table.")] = None,
    image: Annotated[str | None, typer.Option(help="Array or column that holds the stamps.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Workers = None,
):
    """Audit anyone's stamps and labels; exit 0 (GO), 10 (CONDITIONAL-GO) or 20 (NO-GO)."""
    columns = {"positive": positive, "bands": bands, "label": label, "split": split, "group": group}
    columns |= {"ra": ra, "dec": dec, "file": file, "image": image}
    options = {"labels": labels, "negatives": negatives, "survey": survey, "seed": seed, "workers": workers}
    report = dhs.audit(data, out, **options, **columns)
    typer.echo(str(report))
    typer.echo(f"{out.rstrip('/')}/audit.html has the pictures")
    raise typer.Exit(report.exit_code)


@app.command()
def preflight(
    data_path: DataPath,
    out: Annotated[str, typer.Option(help="Folder for preflight.json.")],
    profile: Profile = "demo",
    workers: Workers = None,
    survey_negatives: SurveyNegatives = None,
):
    """Run the gates; exit 0 (GO), 10 (CONDITIONAL-GO) or 20 (NO-GO)."""
    profile = scored_on(profile, survey_negatives)
    report = dhs.preflight(data_path, out, profile=profile, workers=workers)
    typer.echo(f"plan {report.data['plan'][:12]} registered in {data_path.rstrip('/')}/plan.json")
    typer.echo(str(report))
    raise typer.Exit(report.exit_code)


@app.command()
def train(
    data_path: DataPath,
    output_dir: Annotated[str, typer.Option(help="Folder for history.csv, config.yaml, checkpoints/.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training pairs. The profile's by default.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Stamps a step. The profile's by default.")] = None,
    lr: Annotated[float | None, typer.Option(help="AdamW's greatest learning rate. The profile's by default.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="AdamW's. The profile's by default.")] = None,
    hard_negative_ratio: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of negatives that are look-alikes. The profile's by default."),
    ] = None,
    core_dropout_prob: Annotated[
        float | None, typer.Option(min=0, max=1, help="Chance that a stamp's core is filled. The profile's by default.")
    ] = None,
    wandb_project: Annotated[str | None, typer.Option(help="Log to this Weights & Biases project.")] = None,
    wandb_run: Annotated[str | None, typer.Option(help="The run's name there.")] = None,
    profile: Profile = "demo",
    seed: Annotated[int | None, typer.Option(min=0, help="Of every random stream. The profile's by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from checkpoints/last.pt.")] = False,
    arch: Annotated[
        str | None, typer.Option(help="resnet18, deeplens, small, efficientnet_lite0, or another package's.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="raw or raw+residual.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="auto, never, or a .pth file.")] = None,
    survey_negative_ratio: Annotated[
        float | None, typer.Option(min=0, max=1, help="Negatives that are survey-like galaxies of seeds of their own.")
    ] = None,
    nonlenses: Annotated[str | None, typer.Option(help="Cutouts known not to be lenses: half of those.")] = None,
    mine: Annotated[
        str | None, typer.Option(help="A checkpoint: half of them are those it takes most for lenses.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of the profile's train section, as KEY=VALUE.")
    ] = None,
):
    """Train a network; an option left out is the profile's. Several processes: torchrun -m dhs train ..."""
    flags = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "hard_negative_ratio": hard_negative_ratio,
        "core_dropout_prob": core_dropout_prob,
        "wandb_project": wandb_project,
        "wandb_run": wandb_run,
        "arch": arch,
        "channels": channels,
        "pretrained": pretrained,
        "survey_negative_ratio": survey_negative_ratio,
        "nonlenses": nonlenses,
        "mine": mine,
    }
    options = {k: v for k, v in flags.items() if v is not None} | _options(option or [])
    result = dhs.train(data_path, output_dir, profile=profile, seed=seed, resume=resume, **options)
    typer.echo(repr(result))


def _options(pairs: list[str]) -> dict:
    """Values of ``KEY=VALUE`` words, read as YAML."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--set {pair!r}: give KEY=VALUE, e.g. --set core_dropout=scaled")
        options[key] = read_yaml(value, f"--set {key}")
    return options


@app.command()
def ablate(
    data_path: DataPath,
    out: Annotated[str, typer.Option(help="Folder for ablation.parquet and the runs.")],
    plan: Annotated[
        str, typer.Option(help="default, full, smoke, or a YAML file that lists the variants.")
    ] = "default",
    profile: Profile = "demo",
    survey_negatives: SurveyNegatives = None,
):
    """Train the variants of a plan and compare them pair by pair; a plan that was begun goes on."""
    profile = scored_on(profile, survey_negatives)
    typer.echo(str(dhs.ablate(data_path, out, plan=plan, profile=profile)))


@app.command()
def score(
    out: Annotated[str, typer.Option(help="Parquet file of candidates; the rest is written beside it.")],
    checkpoint: Checkpoint = "finder",
    data_path: Annotated[str | None, typer.Option(help="A pairs data set.")] = None,
    cutouts: Annotated[
        str | None, typer.Option(help="A folder of cutouts, one cutout, or a folder that holds the survey's coadd/.")
    ] = None,
    host_catalogue: Annotated[
        str | None, typer.Option(help="Targets in the coadds: Tractor or sweep files, or a table; tractor/ by default.")
    ] = None,
    host_select: Annotated[str | None, typer.Option(help="Cuts on that catalogue: lrg or none.")] = None,
    profile: Profile = "demo",
    evaluation: Annotated[str | None, typer.Option(help="evaluation.json, for calibrated probabilities.")] = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of lenses; the evaluation's by default.")] = None,
    known_lenses: Annotated[str, typer.Option(help="auto, lenscat, none, or a CSV with RA and Dec.")] = "auto",
    top: Annotated[int, typer.Option(min=1, help="Candidates in the table.")] = 1000,
    shard: Annotated[str, typer.Option(help="This process and how many there are, e.g. 0/4.")] = "0/1",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    engine: Engine = "processes",
    workers: Workers = None,
    master: Master = None,
):
    """Score cutouts or the test split of a pairs data set: candidates, and a contact sheet to grade them."""
    number, _, of = shard.partition("/")
    if not (number.isdigit() and of.isdigit()):
        raise UsageError(f"--shard {shard!r}: give it as 0/4, counted from 0")
    table = dhs.score(
        checkpoint,
        out,
        data_path=data_path,
        cutouts=cutouts,
        host_catalogue=host_catalogue,
        host_select=host_select,
        profile=profile,
        evaluation=evaluation,
        prevalence=prevalence,
        known=known_lenses,
        top=top,
        shard=(int(number), int(of)),
        precision=precision,
        engine=engine,
        workers=workers,
        master=master,
    )
    from dhs.validation.candidates.candidates import stem_of

    stem = stem_of(out)
    said = f"{table.num_rows} candidates" if table.num_rows else "other shards are not done yet"
    typer.echo(f"{stem}.parquet: {said}")
    for line in _quarantined(f"{stem}.quarantine.parquet"):
        typer.echo(line)


@app.command()
def evaluate(
    data_path: DataPath,
    checkpoint: Checkpoint,
    out: Annotated[str, typer.Option(help="Folder for scores.parquet and evaluation.json.")],
    profile: Profile = "demo",
    real: Annotated[str | None, typer.Option(help="Real lenses (cutouts or pictures) for the realism probe.")] = None,
    workers: Workers = None,
    survey_negatives: SurveyNegatives = None,
):
    """Evaluate a checkpoint on the test split."""
    options = {"profile": scored_on(profile, survey_negatives), "real": real, "workers": workers}
    typer.echo(str(dhs.evaluate(data_path, checkpoint, out, **options)))


@app.command()
def realism(
    first: Annotated[str, typer.Option(help="Folder of cutouts or pictures, e.g. real lenses.")],
    second: Annotated[str, typer.Option(help="Folder of cutouts or pictures to tell from them.")],
    out: Annotated[str, typer.Option(help="Folder for realism.json.")],
    control: Annotated[str | None, typer.Option(help="Real stamps of another class; else halves of the first.")] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", "--model", help="A network whose features are probed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
):
    """Can a linear probe tell two folders of stamps apart, and by what?"""
    typer.echo(str(dhs.realism(first, second, out, control=control, checkpoint=checkpoint, seed=seed)))


@app.command("real-lenses")
def real_lenses(
    checkpoint: Checkpoint,
    out: Annotated[str, typer.Option(help="Folder with scores.parquet; real_lenses.json is written there.")],
    cutouts: Annotated[str | None, typer.Option(help="Real cutouts; by default those under DHS_DATA_DIR.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="CSV with RA, Dec and names.")] = None,
    negatives: Annotated[str | None, typer.Option(help="Real cutouts known not to be lenses.")] = None,
    profile: Profile = "demo",
):
    """Score real lenses against the survey negatives of the last evaluation."""
    found = dhs.real_lenses(checkpoint, out, cutouts=cutouts, catalogue=catalogue, negatives=negatives, profile=profile)
    typer.echo(str(found))


@app.command()
def signoff(run: Annotated[str, typer.Option(help="The run's folder, e.g. runs/demo.")]):
    """GO, CONDITIONAL-GO or NO-GO, with the reasons; exit 0, 10 or 20."""
    decision = dhs.signoff(run)
    typer.echo(str(decision))
    raise typer.Exit(decision.exit_code)


@app.command()
def fetch(
    what: Annotated[str, typer.Argument(help="demo, cosmos, hosts or lenses.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// prefix to fill.")],
    catalogue: Annotated[str | None, typer.Option(help="hosts: CSV with RA and Dec.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address than the public one.")] = None,
    sha256: Annotated[str | None, typer.Option(help="cosmos, lenses: expected checksum.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Downloads at a time.")] = 4,
    second: Annotated[
        list[str] | None, typer.Option(help="lenses: tables to check coordinates against; else those of DHS_DATA_DIR.")
    ] = None,
    training: Annotated[
        list[str] | None, typer.Option(help="lenses: tables of positions trained on, to leave out.")
    ] = None,
):
    """Download data, only because you ask for it: checksummed and resumable."""
    lists = {"second": second or None, "training": training or ()}
    files = dhs.fetch(what, out, catalogue=catalogue, url=url, sha256=sha256, parallel=parallel, **lists)
    for path in files:
        typer.echo(path)
    if what == "demo":
        from dhs import storage

        typer.echo("\n" + storage.read_bytes(files[-1]).decode() + f"\nexport DHS_DATA_DIR={out}")


@app.command()
def selftest():
    """Check in about a minute that this installation is sound; needs no data and no network."""
    dhs.selftest()


@app.command()
def book(
    profile: Annotated[str, typer.Option(help="smoke, demo, paper, or a YAML file.")] = "demo",
    seed: Annotated[int | None, typer.Option(min=0, help="Of every random stream. The profile's by default.")] = None,
):
    """Execute the notebooks and build the book; unchanged steps are not run again."""
    from dhs.book.build import build

    build(profile, seed=seed)
