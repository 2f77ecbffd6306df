"""The command as a person types it, in processes of its own."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from verticals import reviewing

LOUPE = Path(sys.executable).parent / "loupe"


def run(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LOUPE, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def refused(*arguments: object) -> str:
    """The one sentence of a refusal: exit 2, nothing on stdout, no traceback."""
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_help_is_quick_and_names_every_verb() -> None:
    done = run("--help")
    assert done.returncode == 0
    for verb in ("demo", "ingest", "check", "build", "evaluate", "predict", "review", "report"):
        assert f"  {verb}" in done.stdout
        one = run(verb, "--help")
        assert one.returncode == 0 and len(one.stdout.splitlines()) > 5


def test_a_wrong_verb_gets_advice_and_exit_2() -> None:
    done = run("bild")
    assert done.returncode == 2 and "build" in done.stderr


def test_build_prints_one_json_object_and_nothing_else(pictures: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.bundle"
    options = ["--budget", "2m", "--cache", cache, "--set", "image_size=64", "--set", "threads=1", "--json"]
    options += ["--set", "search=false", "--set", "finetune=false"]
    done = run("build", pictures, "-o", out, *options)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    wanted = {
        "bundle", "seconds", "budget_seconds", "first_model_seconds", "backbone", "chosen", "validation", "test",
        "certificate", "size_bytes", "onnx_parity",
    }  # fmt: skip
    assert wanted <= set(facts) and facts["budget_seconds"] == 120 and facts["bundle"] == str(out)
    assert "backbone loupe_mobile (embedded" in done.stderr
    evaluated = run("evaluate", out, pictures, "--json")
    facts = json.loads(evaluated.stdout)
    assert {"n", "accuracy", "balanced_accuracy", "macro_f1", "per_label", "bundle_hash", "data_hash"} <= set(facts)
    assert all(set(facts[k]) == {"value", "low", "high"} for k in ("accuracy", "balanced_accuracy", "macro_f1"))
    assert set(facts["per_label"]["spot"]) == {"n", "recall", "low", "high", "precision"}
    assert "balanced accuracy" in run("evaluate", out, pictures).stdout


def test_predict_answers_for_every_file_and_never_calls_the_unreadable_ok(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(pictures / "ok", folder)
    (folder / "notes.png").write_text("text")
    whole = cv2.imencode(".jpg", np.full((80, 80, 3), 99, np.uint8))[1].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "f.jsonl"
    done = run("predict", bundle, folder, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    verdicts = {Path(line["frame"]).name: line["verdict"] for line in lines}
    assert len(verdicts) == 62 and summary["frames"] == 62 and summary["not_examined"] == 2
    assert verdicts["notes.png"] == verdicts["cut.jpg"] == "not_examined"
    assert all(abs(sum(line["probabilities"].values()) - 1) < 1e-4 for line in lines if "probabilities" in line)
    assert run("predict", bundle, folder).stdout.count("\n") == 62


def test_a_policy_moves_the_threshold_and_a_wrong_one_is_refused(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("threshold = 1.0\nnovelty_limit = 1000.0\n")
    summary = json.loads(run("predict", bundle, pictures / "ok", "--policy", policy, "--json").stdout)
    assert summary["flag"] == 0 and summary["pass"] == 60
    policy.write_text("treshold = 1.0\n")
    assert "did you mean 'threshold'?" in refused("predict", bundle, pictures / "ok", "--policy", policy)


@pytest.mark.long
def test_an_interrupted_prediction_keeps_what_was_finished_and_never_looks_complete(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    big = cv2.resize(cv2.imread(str(next((pictures / "ok").iterdir()))), (2400, 2400))
    for i in range(60):
        cv2.imwrite(str(many / f"{i:03}.png"), big + np.uint8(i))
    out = tmp_path / "f.jsonl"
    work = subprocess.Popen(
        [LOUPE, "predict", str(bundle), str(many), "-o", str(out)], stderr=subprocess.PIPE, text=True
    )
    partial = tmp_path / "f.jsonl.partial"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.02)
    work.send_signal(signal.SIGINT)
    _, said = work.communicate(timeout=60)
    assert work.returncode == 130 and "what was finished is kept" in said and "Traceback" not in said
    lines = [json.loads(line) for line in partial.read_text().splitlines()]
    assert 0 < len(lines) < 60 and not out.exists()


def test_check_reports_and_fixes(pictures: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    (data / "spot" / "copy.png").write_bytes((data / "spot" / "000.png").read_bytes())
    (data / "ok" / "bad.png").write_text("text")
    fixed = data / "fixed.csv"
    facts = json.loads(run("check", data, "--fix", fixed, "--json").stdout)
    assert facts["images"] == 141 and facts["split"]["duplicates"] == 1 and "bad.png" in facts["problems"][0]
    again = json.loads(run("check", fixed, "--json").stdout)
    assert again["split"]["given"] and again["split"]["leaked_after"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "/nowhere", "-o", "x.bundle"), "does not exist; give a folder"),
        (("build", ".", "-o", "x.bundle", "--budget", "soon"), "expected a time above 0 like 90s, 10m or 1h"),
        (("build", ".", "-o", "x.bundle", "--set", "image_sise=64"), "did you mean 'image_size'?"),
        (("build", ".", "-o", "x.bundle", "--vertical", "industrail"), "did you mean 'industrial'?"),
        (("evaluate", "/nowhere", "."), "is not a bundle"),
        (("predict", "/nowhere", "."), "is not a bundle"),
        (("report", "/nowhere"), "cannot be read"),
        (("ingest", "industrial", "/nowhere", "-o", "x"), "nowhere"),
    ],
)
def test_what_the_user_must_change_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(*arguments)


def test_a_place_that_cannot_be_written_is_said_before_the_work(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("x")
    for out in ("/proc/x.bundle", tmp_path / "afile" / "x.bundle"):
        assert "give another place" in refused("build", pictures, "-o", out)
        assert "give another place" in refused("predict", bundle, pictures, "-o", out)
    assert "is a folder" in refused("predict", bundle, pictures, "-o", tmp_path)
    assert "give another place" in refused("ingest", "industrial", pictures, "-o", tmp_path / "afile")


def test_a_bundle_with_one_byte_changed_is_refused(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.bundle"
    shutil.copytree(bundle, copy)
    data = bytearray((copy / "model.onnx").read_bytes())
    data[len(data) // 3] ^= 1
    (copy / "model.onnx").write_bytes(data)
    assert "model.onnx was altered after the build" in refused("predict", copy, pictures / "ok")


@pytest.mark.long
def test_the_demo_goes_the_whole_way_and_ends_by_itself(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = run("demo", "industrial", "--no-open", "--small", "--dir", folder, "--cache", cache)
    assert done.returncode == 0, done.stderr
    assert "SYNTHETIC" in done.stdout and "defect recall" in done.stdout and "NOT EXAMINED" in done.stdout
    assert (folder / "report.html").is_file() and (folder / "reviews.sqlite").is_file()
    lines = [json.loads(text) for text in (folder / "findings.jsonl").read_text().splitlines()]
    assert len(lines) == 10 and all(0.999 < line["examined"] <= 1 for line in lines)
    page = (folder / "report.html").read_text()
    assert "://" not in page and "recall per type" in page
    # A second run clears its own folder, and only its own.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert "holds something that is not an earlier demo" in refused("demo", "--dir", tmp_path / "mine")


@pytest.mark.long
def test_a_strip_that_lost_lines_is_not_examined_rather_than_ok(cache: Path, tmp_path: Path) -> None:
    """Built on synthetic parts; then a good part whose file is cut off must not pass."""
    from verticals.industrial.synth import synth

    raw = synth(tmp_path / "raw", seed=5, small=True)
    assert run("ingest", "industrial", raw, "-o", tmp_path / "samples").returncode == 0
    out = tmp_path / "b.bundle"
    options = ["--budget", "3m", "--cache", cache, "--set", "image_size=64", "--set", "finetune=false"]
    built = run("build", tmp_path / "samples", "-o", out, *options)
    assert built.returncode == 0, built.stderr
    good = tmp_path / "good"
    good.mkdir()
    for file in raw.glob("part05.*"):
        shutil.copy(file, good / file.name)
    (data,) = (f for f in good.glob("part05.*") if f.suffix in (".raw", ".tif"))
    policy = tmp_path / "lenient.toml"
    policy.write_text("threshold = 1.0\nnovelty_limit = 1000000.0\n")
    whole = json.loads(run("predict", out, good, "--policy", policy, "--json").stdout)
    assert (whole["pass"], whole["not_examined"]) == (1, 0)
    if data.suffix == ".raw":
        data.write_bytes(data.read_bytes()[: data.stat().st_size * 3 // 4])
    else:
        pytest.fail("part05 was expected to be a raw strip")
    done = run("predict", out, good, "--policy", policy)
    (line,) = (json.loads(text) for text in done.stdout.splitlines())
    assert line["verdict"] == "not_examined" and line["examined"] == pytest.approx(0.75, abs=0.01)
    assert "not examined" in " ".join(line["reasons"])
    data.write_bytes(bytes(data.stat().st_size // 3 * 4))
    (line,) = (json.loads(text) for text in run("predict", out, good, "--policy", policy).stdout.splitlines())
    assert (line["verdict"], line["examined"]) == ("not_examined", 0.0)
    assert "each equal the one before over the whole width" in line["reasons"][0]


@pytest.mark.long
def test_review_serves_its_page_with_no_model_and_no_findings_until_it_is_interrupted(tmp_path: Path) -> None:
    store = tmp_path / "reviews.sqlite"
    line = [LOUPE, "review", "industrial", "--store", str(store), "--no-open", "--json"]
    page = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert page.stdout is not None
        facts = json.loads(page.stdout.readline())
        with urllib.request.urlopen(facts["address"], timeout=10) as answer:
            assert answer.status == 200
        assert facts["address"].startswith("http://127.0.0.1:") and store.is_file()
    finally:
        page.send_signal(signal.SIGINT)
        _, said = page.communicate(timeout=30)
    assert page.returncode == 130 and "interrupted; what was finished is kept" in said


def test_a_review_store_that_is_no_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    store = tmp_path / "reviews.sqlite"
    store.write_text("this is a letter" * 100)
    assert "reviews.sqlite" in refused("review", "industrial", "--store", store, "--no-open")
    foreign = tmp_path / "photos.sqlite"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE albums (name TEXT)")
    assert "is a database of something else" in refused("review", "industrial", "--store", foreign, "--no-open")


def test_a_lot_with_the_frame_names_of_another_is_refused_in_one_sentence_and_queued_nowhere(tmp_path: Path) -> None:
    store, box = tmp_path / "reviews.sqlite", {"x0": 1, "y0": 1, "x1": 9, "y1": 9}
    for lot, sample in (("a", "a" * 16), ("b", "b" * 16)):
        lines = []
        for frame in ("001.png", f"only-{lot}.png"):
            finding = {"frame": frame, "label": "SCR", "probability": 0.9, "risk": 0.9, "region": box}
            decision = {"frame": frame, "verdict": "flag", "reasons": ["why"], "examined": 1.0, "shown": {}}
            lines.append(json.dumps(decision | {"findings": [finding | {"samples": [sample]}]}))
        (tmp_path / f"{lot}.jsonl").write_text("\n".join(lines))
    assert reviewing.add_findings(tmp_path / "a.jsonl", str(store)).startswith("2 new")
    said = refused("review", "industrial", "--findings", tmp_path / "b.jsonl", "--store", store, "--no-open")
    assert "1 of the 2 items, first '001.png@1,1,8,8'" in said and "nothing was added: review the new lot" in said
    with closing(sqlite3.connect(store)) as connection:
        assert {row[0] for row in connection.execute("SELECT batch FROM items")} == {"a.jsonl"}
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (2,)


def test_export_prints_one_json_object_and_refuses_in_one_sentence(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    done = run("export", bundle, "--to", "onnx", "-o", tmp_path / "out", "--images", pictures, "--most", "8", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["images"]["n"] == 8 and facts["images"]["flips"] == [] and Path(facts["out"]) == tmp_path / "out"
    told = run("export", bundle, "--to", "tensorrt", "-o", tmp_path / "trt")
    assert (
        "parity: " in told.stdout and "trtexec" in told.stdout and "own runtime is not on this machine" in told.stdout
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong in (
        ["export", tmp_path / "no.bundle", "--to", "onnx", "-o", tmp_path / "x"],
        ["export", bundle, "--to", "onnx", "-o", tmp_path / "x", "--images", empty],
        ["export", bundle, "--to", "onnx", "-o", empty],
        ["export", bundle, "--to", "onnx", "-o", tmp_path / "x", "--set", "flops=1"],
        ["export", bundle, "--to", "coreml", "-o", tmp_path / "x"],
    ):
        assert refused(*wrong)
    assert not (tmp_path / "x").exists() and empty.is_dir()
