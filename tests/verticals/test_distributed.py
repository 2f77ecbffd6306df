"""``loupe build --distributed`` as a person types it."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.shared.training.test_finetune import discs
from tests.shared.training.test_launch import wait_for
from tests.verticals.test_cli import LOUPE, refused, run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    for i, (picture, label) in enumerate(zip(*discs(160, seed=5), strict=True)):
        place = folder / ("same" if label else "other")
        place.mkdir(exist_ok=True)
        Image.fromarray(picture).save(place / f"{i:03}.png")
    return folder


def options(tmp_path: Path, **tuning: Any) -> list[str]:
    """A build at 32 px whose head is held back so much that fine-tuning surely wins."""
    values = {"image_size": 32, "search": "false", "near_duplicate_bits": 0, "lambdas": "[100000.0]"}
    values |= {"tuning.image_size": 32, "tuning.learning_rate": 5e-3, "tuning.soup": 1, "tuning.epochs": 8}
    values |= {f"tuning.{name}": value for name, value in tuning.items()} | {"launch.device": "cpu"}
    sets = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    return ["--budget", "30m", "--cache", str(tmp_path / "cache"), *sets]


@pytest.mark.long
def test_two_processes_fine_tune_and_what_they_made_is_adopted(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.bundle"
    done = run("build", folders, "-o", out, *options(tmp_path), "--distributed", "--nproc", "2", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["chosen"]["name"] == "fine-tuned", done.stderr
    assert facts["recipe"]["launch"]["nproc"] == 2
    launched = facts["tried"][2]["details"]["launch"]
    assert launched["ranks"] == 2 and launched["device"] == "cpu"
    assert "fine-tuning on 2 processes" in done.stderr and "on all 9" in done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "cache" / "tuning").glob("*-job"))
    measured = json.loads(run("evaluate", out, folders, "--json").stdout)
    assert measured["balanced_accuracy"]["value"] == pytest.approx(facts["test"]["balanced_accuracy"]["value"])


@pytest.mark.long
def test_ctrl_c_ends_every_rank_and_the_first_bundle_stays(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.bundle"
    line = [LOUPE, "build", folders, "-o", out, *options(tmp_path, epochs=100000), "--distributed", "--nproc", "2"]
    line += ["--set", "launch.checkpoint_seconds=0.1"]
    with subprocess.Popen([*map(str, line)], stderr=subprocess.PIPE, text=True) as build:
        wait_for(lambda: bool(list((tmp_path / "cache").glob("tuning/*/progress.json"))))
        os.kill(build.pid, signal.SIGINT)
        said = build.communicate(timeout=180)[1]
    assert build.returncode == 130 and "interrupted" in said and "Traceback" not in said, said
    assert (out / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--nproc", "2"], "--nproc: is for --distributed alone"),
        (["--distributed", "--nproc", "-2"], "nproc is -2; allowed is 1 or more"),
        (["--distributed", "--nproc", "0"], "nproc is 0; allowed is 1 or more"),
        (["--distributed", "--set", "launch.sharding=half"], "sharding is 'half'; allowed: none, full, hybrid"),
        (["--distributed", "--set", "launch.torchrun=['--nodes-of-mine=2']"], "torchrun says"),
    ],
    ids=["alone", "negative", "none", "sharding", "torchrun"],
)
def test_what_cannot_be_is_said_before_the_work(more: list[str], said: str, folders: Path, tmp_path: Path) -> None:
    assert said in refused("build", folders, "-o", tmp_path / "b.bundle", "--cache", tmp_path / "cache", *more)
    assert not (tmp_path / "b.bundle").exists()
