"""What a run does with files in its folder that it has no record of: it uses or refuses them, and deletes nothing."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import yaml

import dhs
from dhs import fingerprint, storage
from dhs.book.run import Run
from dhs.config import load_profile
from dhs.datasets import resume
from dhs.errors import DhsError
from dhs.models.training.train import refuse_earlier, train

SMALL = {"hosts__n_mock": 8, "sources__spec": "mock", "injection__n_pairs": 8, "injection__supersampling": 1}


@pytest.fixture(scope="module")
def profile():
    return load_profile("smoke", **SMALL)


@pytest.fixture
def mine(profile, tmp_path):
    """A data set made by hand where the run has its own."""
    dhs.inject(tmp_path / "run/pairs", profile=profile, seed=5, engine="serial")
    return tmp_path / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def without_records(folder: Path) -> dict[str, bytes]:
    return {k: v for k, v in content(folder).items() if not k.startswith(".steps")}


def test_a_data_set_by_another_hand_is_used_as_it_is_and_said(mine, profile, caplog):
    (mine / "pairs/notes").mkdir()
    (mine / "pairs/notes/readme.txt").write_text("precious")
    before = without_records(mine)
    for run in (Run(mine, profile), Run(mine, profile), Run(mine, profile, seed=9)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert run.inject().manifest["seed"] == 5
        assert "not made by this run, used as it is" in caplog.text
    assert without_records(mine) == before


def test_a_data_set_put_in_place_of_the_run_s_own_is_kept(profile, tmp_path):
    run = Run(tmp_path, profile)
    run.inject()
    resume.clear(tmp_path / "pairs")
    dhs.inject(tmp_path / "pairs", profile=profile, seed=5, engine="serial")
    before = without_records(tmp_path)
    assert Run(tmp_path, profile, seed=9).inject().manifest["seed"] == 5
    assert without_records(tmp_path) == before


def test_a_finished_set_is_kept_although_the_run_had_begun_one(profile, tmp_path):
    run = Run(tmp_path, profile)
    storage.write_json(run._record("inject-begun"), run.depends("inject"))
    dhs.inject(tmp_path / "pairs", profile=profile, seed=5, engine="serial")
    before = without_records(tmp_path)
    assert Run(tmp_path, profile, seed=9).inject().manifest["seed"] == 5
    assert without_records(tmp_path) == before


@pytest.mark.parametrize("what", ["unfinished", "foreign folder", "file", "link to nowhere"])
@pytest.mark.parametrize("begun", [False, True])
def test_what_is_no_finished_data_set_is_refused_and_kept(mine, profile, what, begun):
    out, run = mine / "pairs", Run(mine, profile)
    if what == "unfinished":
        run_file = json.loads((out / "run.json").read_text()) | {"finished": False}
        (out / "run.json").write_text(json.dumps(run_file))
        (out / "manifest.json").unlink()
    else:
        shutil.rmtree(out)
        if what == "foreign folder":
            out.mkdir(parents=True)
            (out / "thesis.tex").write_text("years of work")
        elif what == "file":
            out.write_text("years of work")
        else:
            out.symlink_to(mine / "elsewhere")
    if begun:  # settings changed since, so the place would be cleared
        storage.write_json(run._record("inject-begun"), Run(mine, profile, seed=9).depends("inject"))
    before = without_records(mine)
    with pytest.raises(DhsError, match=r"pairs.*[Mm]ove"):
        run.inject()
    assert without_records(mine) == before and os.path.lexists(out)


def test_the_run_s_own_set_is_made_anew_but_not_over_files_of_others(profile, tmp_path):
    Run(tmp_path, profile).inject()
    note = tmp_path / "pairs/split=train/note.txt"
    note.write_text("precious")
    before = without_records(tmp_path)
    with pytest.raises(DhsError, match=r"split=train/note.txt.*nothing was deleted"):
        Run(tmp_path, profile, seed=9).inject()
    assert without_records(tmp_path) == before
    note.unlink()
    (tmp_path / "pairs/.tmp-abc").write_bytes(b"left by a kill")
    assert Run(tmp_path, profile, seed=9).inject().manifest["seed"] == 9
    assert not (tmp_path / "pairs/.tmp-abc").exists()


def checkpoints(folder: Path, profile, **changed):
    """Stand-ins for what a training leaves; the reader opens none of the weights."""
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("best", "last"):
        (folder / f"checkpoints/{name}.pt").write_bytes(b"weights of a week")
    data = profile.model_dump(mode="json")
    data["train"] |= changed
    (folder / "config.yaml").write_text(yaml.safe_dump({"profile": data}))
    (folder / "history.csv").write_text("epoch,loss_train,loss_val,auroc_val\n1,0.6,0.6,0.7\n")


def test_checkpoints_by_another_hand_are_used_if_asked_for_so_and_never_replaced(mine, profile, caplog):
    checkpoints(mine / "train", profile, lr=0.5)
    before = without_records(mine)
    with pytest.raises(DhsError, match=r"best.pt.*not made by this run.*other lr"):
        Run(mine, profile).train()
    assert without_records(mine) == before
    with caplog.at_level(logging.WARNING):
        assert len(Run(mine, profile).train(lr=0.5).history) == 1
    assert "best.pt: not made by this run, used as it is" in caplog.text
    (mine / "train/history.csv").unlink()
    before = without_records(mine)
    with pytest.raises(DhsError, match=r"history.csv is missing"):
        Run(mine, profile).train(lr=0.5)
    assert without_records(mine) == before


def test_results_of_another_data_set_are_refused(mine, profile):
    (mine / "preflight.json").write_text(json.dumps({"data": {"content_hash": "of another"}}))
    (mine / "pairs/plan.json").write_text("{}")
    before = without_records(mine)
    with pytest.raises(DhsError, match=r"preflight.json: not made by this run.*another data set"):
        Run(mine, profile).preflight()
    assert without_records(mine) == before


@pytest.mark.parametrize("there", ["checkpoints/best.pt", "history.csv", "config.yaml"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_training_writes_over_no_part_of_another(mine, profile, there, resume):
    file = mine / "train" / there
    file.parent.mkdir(parents=True)
    file.write_text("a week")
    with pytest.raises(DhsError, match=r"of an earlier run.*--output-dir"):
        train(mine / "pairs", mine / "train", profile=profile, resume=resume)
    assert content(mine / "train") == {there: b"a week"}


def test_only_the_run_that_was_killed_before_its_first_checkpoint_goes_on(profile, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"profile": profile.model_dump(mode="json")}))
    (tmp_path / "checkpoints/best.pt").write_bytes(b"saved a moment before")
    refuse_earlier(str(tmp_path), profile, resume=True, overwrite=False)
    with pytest.raises(DhsError, match=r"no checkpoints/last.pt"):
        refuse_earlier(str(tmp_path), profile.replace(train__epochs=7), resume=True, overwrite=False)


def test_a_step_depends_on_what_the_data_folder_holds_not_on_where_it_lies(profile, tmp_path, monkeypatch):
    run = Run(tmp_path / "run", profile)
    for place in ("one", "two"):
        for name, text in (("sources/cosmos/a.csv", "1"), ("lenses/b.png", "2"), ("elsewhere/c", place)):
            (tmp_path / place / name).parent.mkdir(parents=True)
            (tmp_path / place / name).write_text(text)

    def data(place) -> dict:
        monkeypatch.setenv("DHS_DATA_DIR", str(tmp_path / place))
        return {name: run.depends(name)["data"] for name in ("inject", "real_lenses", "signoff")}

    assert data("one") == data("two")
    before = data("one")
    (tmp_path / "one/sources/cosmos/a.csv").write_text("3")
    assert data("one")["inject"] != before["inject"] and data("one")["real_lenses"] == before["real_lenses"]
    (tmp_path / "one/lenses/d.png").write_text("4")
    assert data("one")["real_lenses"] != before["real_lenses"] and data("one")["signoff"] == before["signoff"]
    monkeypatch.setattr(fingerprint, "WHOLE", 2)
    monkeypatch.setattr(fingerprint, "ENDS", 1)
    (tmp_path / "one/lenses/d.png").write_text("first last")
    large = data("one")["real_lenses"]
    (tmp_path / "one/lenses/d.png").write_text("first  last")
    assert data("one")["real_lenses"] != large
