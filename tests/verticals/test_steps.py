import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import pandas as pd
import pytest

from shared import decisions
from shared.data import images, ingested
from shared.errors import DataError, ReviewError
from shared.evaluate import SAMPLES, read_table
from shared.inference import bundle as bundles
from shared.records import Action, Box, Finding, Review, Sample, Verdict
from shared.review.items import Item
from shared.review.store import Store
from shared.vertical import Ingested
from tests.conftest import texture
from verticals.industrial.ingest import ingest
from verticals.steps import evaluate_bundle, predict_source, report_findings


def test_answers_about_pictures_that_built_the_bundle_are_marked(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    """A report over them would praise the bundle for what it has learned by heart."""
    out = tmp_path / "findings.jsonl"
    predict_source(bundle, pictures / "spot", out, policy=None, threads=1, lines_to_stdout=False)
    table = pd.read_csv(bundle / SAMPLES, dtype="string")
    used = set(table["id"][table["split"].isin(["train", "validation"])])
    named = {f.name: images.content_hash(f)[:16] in used for f in (pictures / "spot").iterdir()}
    marked = {Path(line.decision.frame).name: line.extra["used_in_build"] for line in decisions.read(out)}
    assert len(marked) == 40 and all(marked[name] for name, taught in named.items() if taught)
    assert 0 < list(marked.values()).count(False) < 40, "the test part is no part of the build"


def test_a_copy_of_what_built_the_bundle_is_known_however_it_was_saved(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    """An ingest gives a photograph another name, another format and another id."""
    used = set(read_table(bundles.load(bundle)).query("split == 'train'")["id"])
    taught = [f for f in sorted((pictures / "ok").iterdir()) if images.content_hash(f)[:16] in used][:5]
    for file in taught:
        cv2.imwrite(str(tmp_path / f"{file.stem}.jpg"), cv2.flip(cv2.imread(str(file)), 1))
    cv2.imwrite(str(tmp_path / "new.jpg"), texture("ok", 7777))
    out = tmp_path / "out" / "findings.jsonl"
    predict_source(bundle, tmp_path, out, policy=None, threads=1, lines_to_stdout=False)
    marked = {line.decision.frame: line.extra["used_in_build"] for line in decisions.read(out)}
    assert marked == {**{f"{f.stem}.jpg": True for f in taught}, "new.jpg": False}


def test_an_evaluation_scores_no_picture_that_a_prediction_would_not_examine(plant: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    for label, word in {"ok": "good", "spot": "blowhole"}.items():
        (source / word).mkdir(parents=True)
        for seed in range(7):
            cv2.imwrite(str(source / word / f"{seed}.png"), texture(label, 5000 + seed))
    cv2.imwrite(str(source / "blowhole" / "dark.png"), texture("spot", 5100) // 16)
    facts = evaluate_bundle(plant, source, None)
    predicted = predict_source(plant, source, None, policy=None, threads=1, lines_to_stdout=False)
    assert facts["n"] + facts["used_for_building"] == 14, "the discs of some are alike"
    assert facts["not_examined"] == facts["report"]["parts"]["not_examined"] == predicted["not_examined"] == 1
    assert any("dark.png" in why and "the lens is covered" in why for why in facts["left_out"])


def test_the_answers_about_a_table_go_by_its_paths(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    """Also where a picture is missing: what joins answers with a truth finds it under no other name."""
    shutil.copytree(pictures / "spot", tmp_path / "spot")
    rows = ["spot/001.png,train", "spot/002.png,night shift", "spot/gone.png,", "spot/001.png,test"]
    (tmp_path / "list.csv").write_text("path,split\n" + "\n".join(rows) + "\n")
    out = tmp_path / "findings.jsonl"
    predict_source(bundle, tmp_path / "list.csv", out, policy=None, threads=1, lines_to_stdout=False)
    found = {line.decision.frame: line.decision.verdict for line in decisions.read(out)}
    assert set(found) == {"spot/001.png", "spot/002.png", "spot/gone.png"}
    assert [frame for frame, verdict in found.items() if verdict is Verdict.NOT_EXAMINED] == ["spot/gone.png"]


def judged(plant: Path, source: Path, out: Path) -> Path:
    predict_source(plant, source, out, policy=None, threads=1, lines_to_stdout=False)
    return out


def test_a_type_that_the_bundle_calls_by_an_alias_is_the_right_type(
    plant: Path, pictures: Path, tmp_path: Path
) -> None:
    """The bundle says blowhole, as its folder did; truth is read as the taxonomy's POR."""
    source = tmp_path / "in"
    for word, alias in {"ok": "good", "spot": "blowhole"}.items():
        shutil.copytree(pictures / word, source / alias)
    findings = judged(plant, source, tmp_path / "findings.jsonl")
    assert {f.label for line in decisions.read(findings) for f in line.decision.findings} >= {"blowhole"}
    rows = [f"{path.relative_to(source)},{path.parent.name}" for path in sorted(source.rglob("*.png"))]
    truth = tmp_path / "truth.csv"
    truth.write_text("\n".join(["path,label", *rows]) + "\n")
    page = tmp_path / "page.html"
    pores = report_findings(findings, truth=truth, store=None, page=page)["recall_per_type"]["POR"]
    assert pores["n"] == 40 and pores["typed_right"] >= 35
    told = page.read_text(encoding="utf-8")
    assert "<th>typed right</th>" in told and f'<td class="number">{pores["typed_right"]}</td>' in told
    in_words = tmp_path / "truth.jsonl"
    ingested.write_truth([Finding(f"blowhole/{n:03}.png", "blowhole", 1.0, 1.0) for n in range(40)], in_words)
    assert report_findings(findings, truth=in_words, store=None, page=None)["recall_per_type"]["POR"] == pores


def test_two_predictions_in_one_file_are_no_report(plant: Path, pictures: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    shutil.copytree(pictures / "spot", source)
    findings = judged(plant, source, tmp_path / "findings.jsonl")
    assert report_findings(findings, truth=None, store=None, page=None)["bundle_hash"]
    findings.write_text(findings.read_text() * 2)
    with pytest.raises(DataError, match=r"holds 2 decisions about '.*report each prediction by itself"):
        report_findings(findings, truth=None, store=None, page=None)


def test_a_report_counts_the_verdicts_about_its_own_findings_and_what_was_taken_back(
    plant: Path, pictures: Path, tmp_path: Path
) -> None:
    source, store = tmp_path / "in", str(tmp_path / "reviews.sqlite")
    shutil.copytree(pictures / "spot", source)
    findings = judged(plant, source, tmp_path / "findings.jsonl")
    lines = [line for line in decisions.read(findings) if line.decision.findings]
    opened = Store.open(store)
    opened.add(lines)
    ids = [line.decision.findings[0].id for line in lines]
    foreign = Item("other part", "other part", "", None, "SCR", 0.9, 0.9)
    opened.add_items([foreign])

    def confirm(item: str) -> None:
        opened.record(Review(item, Action.CONFIRM, "POR", "Ann", "2026-01-01T00:00:00Z", 2.0))

    for item in (ids[0], ids[1], foreign.id, ids[2], ids[3]):
        confirm(item)
    assert opened.undo("Ann") is not None and opened.undo("Ann") is not None
    facts = report_findings(findings, truth=None, store=store, page=None)
    assert (facts["review"]["confirm"], facts["review"]["undo"]) == (2, 2)
    assert facts["notes"][-1].startswith("1 verdicts of the review store are about other findings")
    waiting = f"{len(lines) - 2} of {len(lines)} things to review have no verdict (0 of them NOT EXAMINED)"
    assert waiting in facts["notes"]
    head = opened.head()
    assert facts["review_log"] == {"rows": head.count, "last_hash": head.hash} and head.count == 7
    # Another part comes under the name of one that was judged: no verdict is about it.
    cv2.imwrite(str(source / lines[0].decision.frame), texture("spot", 77))
    again = judged(plant, source, tmp_path / "again.jsonl")
    assert report_findings(again, truth=None, store=store, page=None)["review"]["confirm"] == 1
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DROP TRIGGER reviews_no_update")
        connection.execute("UPDATE reviews SET action = 'reject' WHERE seq = 1")
    with pytest.raises(ReviewError, match=r"row 1 .* was altered"):
        report_findings(findings, truth=None, store=store, page=None)


def test_a_part_of_which_one_camera_saw_nothing_is_no_part_that_passed(plant: Path, tmp_path: Path) -> None:
    policy, pixels = tmp_path / "lenient.toml", texture("ok", 1)[..., 0]
    policy.write_text("threshold = 1.0\nnovelty_limit = 1000000.0\n")
    for camera in ("left", "right", "below"):
        file = tmp_path / "in" / camera / "0815.raw"
        file.parent.mkdir(parents=True)
        file.write_bytes(pixels.tobytes() if camera == "left" else b"")
        note = 'width = 64\npixel_format = "Mono8"\nline_rate_hz = 9000\nmm_per_px = [0.05, 0.05]\npart = "P-0815"\n'
        file.with_suffix(".toml").write_text(note)
    file.unlink()  # of the last one only the sidecar has come
    ingested.save(ingest(tmp_path / "in", tmp_path / "samples"), tmp_path / "samples", "industrial")
    findings = tmp_path / "findings.jsonl"
    predict_source(plant, tmp_path / "samples", findings, policy=policy, threads=1, lines_to_stdout=False)
    facts = report_findings(findings, truth=None, store=None, page=None)
    assert facts["pictures"] == {"pass": 1, "flag": 0, "not_examined": 2}
    assert facts["parts"] == {"pass": 0, "flag": 0, "not_examined": 1}


def test_a_picture_that_was_changed_or_lost_after_the_ingest_is_not_examined(plant: Path, tmp_path: Path) -> None:
    """Two pieces of one strip and three frames; a piece and a frame are overwritten, another frame is gone."""
    folder, policy = tmp_path / "samples", tmp_path / "lenient.toml"
    policy.write_text("threshold = 1.0\nnovelty_limit = 1000000.0\n")
    (folder / "frames").mkdir(parents=True)
    made = []
    for name, frame, top in (("a0", "a", 0), ("a1", "a", 64), ("b", "b", 0), ("c", "c", 0), ("d", "d", 0)):
        path = folder / "frames" / f"{name}.png"
        cv2.imwrite(str(path), texture("ok", len(made)))
        identity, box = images.content_hash(path)[:16], Box(0, 0, 64, 64)
        made.append(Sample(f"{identity}@0,0,64,64", f"frames/{name}.png", 64, 64, box, box, frame, (0, top), frame))
    ingested.save(Ingested(tuple(made), {}, skipped={"a": 0.2}), folder, "industrial")
    for name in ("a1", "b"):
        cv2.imwrite(str(folder / "frames" / f"{name}.png"), texture("scratch", 50))
    (folder / "frames" / "c.png").unlink()
    findings = tmp_path / "findings.jsonl"
    predict_source(plant, folder, findings, policy=policy, threads=1, lines_to_stdout=False)
    found = {line.decision.frame: line.decision for line in decisions.read(findings)}
    assert {frame: d.examined for frame, d in found.items()} == {"a": pytest.approx(0.4), "b": 0.0, "c": 0.0, "d": 1.0}
    assert {f for f, d in found.items() if d.verdict is Verdict.NOT_EXAMINED} == {"a", "b", "c"}
    assert all("was changed after the ingest" in found[frame].reasons[0] for frame in "ab")
