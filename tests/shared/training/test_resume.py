from pathlib import Path

import pytest
import torch

from shared import atomic
from shared.training import resume
from shared.training.resume import Progress
from shared.training.soup import Member, Score


def progress(step: int) -> Progress:
    weights = {"w": torch.full((3,), float(step)), "counter": torch.tensor(step)}
    members = [Member(f"average {step - 1}", Score(0.5, 1.0, 2.0), weights)]
    return Progress(step, step / 10, weights, weights, members, [{"step": step}], {"image_size": 32}, {}, 8.0 * step)


def test_what_was_saved_is_loaded_and_the_older_weights_are_gone(tmp_path: Path) -> None:
    for step in (3, 5):
        resume.save(tmp_path, "key", progress(step))
    found = resume.load(tmp_path, "key")
    assert found is not None and found.step == 5 and found.way == 0.5 and found.seconds == 40
    assert torch.equal(found.raw["w"], torch.full((3,), 5.0)) and int(found.average["counter"]) == 5
    assert [(m.name, m.score) for m in found.members] == [("average 4", Score(0.5, 1.0, 2.0))]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_kill_between_the_weights_and_the_list_leaves_the_older_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume.save(tmp_path, "key", progress(3))
    write = atomic.write

    def killed(path: Path, data: bytes | str) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(atomic, "write", killed)
        resume.save(tmp_path, "key", progress(5))
    found = resume.load(tmp_path, "key")
    assert found is not None and found.step == 3 and torch.equal(found.raw["w"], torch.full((3,), 3.0))


def test_other_inputs_find_nothing(tmp_path: Path) -> None:
    resume.save(tmp_path, "key", progress(3))
    assert resume.load(tmp_path, "other") is None and resume.load(tmp_path / "nowhere", "key") is None
    resume.clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_like_training_is_writing_stays(tmp_path: Path) -> None:
    written = tmp_path / ".at-9.safetensors.abc.safetensors"
    written.write_bytes(b"half of it")
    resume.save(tmp_path, "key", progress(3))
    assert written.exists()
