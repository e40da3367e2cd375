import pytest
import torch

from dhs.config import TrainConfig
from dhs.errors import DhsError
from dhs.models import checkpoints


def test_round_trip_of_tensors_and_plain_values(tmp_path):
    path = tmp_path / "a" / "last.pt"
    train = TrainConfig(lr=0.5).model_dump(mode="json")
    checkpoints.save(path, {"model": {"w": torch.arange(3.0)}, "history": [{"epoch": 1}], "train": train})
    state = checkpoints.load(path)
    assert torch.equal(state["model"]["w"], torch.arange(3.0)) and state["history"] == [{"epoch": 1}]
    assert checkpoints.config_of(state, path) == TrainConfig(lr=0.5)
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"], "nothing temporary stays behind"


class RunsCode:
    def __reduce__(self):
        return (eval, ("1/0",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable checkpoint"),
        ({"format": 2, "model": RunsCode()}, "not a readable checkpoint"),
        ({"weights": 1}, "not a checkpoint that `dhs train` of this version wrote"),
        ({"format": 99, "model": {}}, "not a checkpoint that `dhs train` of this version wrote"),
        (torch.zeros(2), "not a checkpoint that `dhs train` of this version wrote"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "bad.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DhsError, match=message) as caught:
        checkpoints.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_checkpoint_and_a_foreign_configuration_are_refused(tmp_path):
    with pytest.raises(DhsError, match="no such file"):
        checkpoints.load(tmp_path / "none.pt")
    with pytest.raises(DhsError, match="not one of this version"):
        checkpoints.config_of({"train": {"lr": -1}}, "x.pt")


def test_an_interrupted_write_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    checkpoints.save(path, {"model": {}, "epoch": 1})
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            checkpoints.save(path, {"model": {}, "epoch": 2})
    assert checkpoints.load(path)["epoch"] == 1
