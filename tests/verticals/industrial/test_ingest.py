from collections import defaultdict
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from shared.data import images
from shared.data.ingested import save
from shared.errors import ConfigError, DataError
from shared.records import Box, Decision, Sample, Verdict
from shared.vertical import Ingested
from verticals.industrial.defects import DRAW
from verticals.industrial.ingest import ingest
from verticals.industrial.pixels import open_strip
from verticals.industrial.report import report
from verticals.industrial.synth import synth

CODES = ["OK", *DRAW]
module = import_module("verticals.industrial.ingest")  # the package's attribute of that name is the function


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synth(tmp_path_factory.mktemp("drawn"), small=True)


@pytest.fixture(scope="module")
def done(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ingested, Path]:
    out = tmp_path_factory.mktemp("ingested")
    return ingest(drawn, out), out


def strip(path: Path, lines: int = 300, extra: str = "", seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (lines, 200)).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pixels.tobytes())
    path.with_suffix(".toml").write_text(
        f'width = 200\npixel_format = "Mono8"\nline_rate_hz = 9000\nmm_per_px = [0.05, 0.05]\n{extra}\n'
    )
    return pixels


def cores(samples: tuple[Sample, ...], frame: str, shape: tuple[int, int]) -> np.ndarray:
    """How often each pixel of a frame is answered for."""
    covered = np.zeros(shape, int)
    for s in samples:
        if s.frame == frame:
            assert s.core is not None and s.window is not None
            core = s.core.shifted(*s.origin)
            covered[core.y0 : core.y1, core.x0 : core.x1] += 1
    return covered


def test_the_cores_partition_every_strip_exactly(done: tuple[Ingested, Path]) -> None:
    ingested, _ = done
    frames = {s.frame for s in ingested.samples}
    assert frames == {f"part{n:02}" for n in range(1, 11)}
    for frame in frames:
        assert (cores(ingested.samples, frame, (1024, 512)) == 1).all()
    assert ingested.problems == () and dict(ingested.skipped) == {}
    assert len({s.id for s in ingested.samples}) == len(ingested.samples) == ingested.summary["tiles"]


def test_samples_hold_the_pixels_of_their_place_in_the_strip(done: tuple[Ingested, Path], drawn: Path) -> None:
    ingested, out = done
    opened = {p.stem: open_strip(p) for p in [*drawn.glob("*.raw"), *drawn.glob("*.tif")]}
    for sample in ingested.samples[:: len(ingested.samples) // 23]:
        x, y = sample.origin
        expected = opened[sample.frame].read(y, y + sample.height)[:, x : x + sample.width]
        seen = images.read(out / sample.path, window=sample.window)
        np.testing.assert_array_equal(seen, np.repeat(expected[..., None], 3, 2))
        assert sample.id.startswith(images.content_hash(out / sample.path)[:16] + "@")
        assert sample.group == sample.frame and sample.mm_per_px == (0.05, 0.05)
        assert sample.provenance["synthetic"] is True and sample.provenance["line_rate_hz"] == 20000


def test_labels_agree_with_the_masks(done: tuple[Ingested, Path], drawn: Path) -> None:
    ingested, _ = done
    masks = {s.frame: cv2.imread(str(drawn / f"{s.frame}.mask.png"), -1) for s in ingested.samples}
    found = set()
    for sample in ingested.samples:
        assert sample.core is not None
        (x, y), core = sample.origin, sample.core.shifted(*sample.origin)
        window = masks[sample.frame][y : y + sample.height, x : x + sample.width]
        inside = masks[sample.frame][core.y0 : core.y1, core.x0 : core.x1]
        word = ingested.labels.get(sample.id)
        if not window.any():
            assert word == "OK"
        elif word is not None:
            assert word != "OK" and (inside == CODES.index(word)).any()
        share = np.bincount(inside.ravel(), minlength=24)[1:] / inside.size
        if share.max() >= 0.04:
            assert word == CODES[1 + int(share.argmax())]
        found.add(word)
    assert set(CODES) <= found


def test_truth_is_the_list_of_defects(done: tuple[Ingested, Path], drawn: Path) -> None:
    ingested, _ = done
    got = sorted((t.frame, t.label, t.region, t.length_mm, t.area_mm2) for t in ingested.truth if t.region)
    table = pd.concat([pd.read_csv(f).assign(frame=f.name.split(".")[0]) for f in drawn.glob("*.csv")])
    assert len(got) == len(table) == ingested.summary["true_defects"]
    wanted = table.sort_values(["frame", "type", "x0", "y0"])
    for have, want in zip(got, wanted.itertuples(), strict=True):
        assert have[0] == want.frame and have[1] == want.type and have[2] is not None
        assert (have[2].x0, have[2].y0, have[2].x1, have[2].y1) == (want.x0, want.y0, want.x1, want.y1)
        assert have[3:] == (want.length_mm, want.area_mm2)
    assert {(t.label == "OK", t.risk) for t in ingested.truth} == {(False, 1.0), (True, 0.0)}
    assert {t.frame for t in ingested.truth if t.risk == 0} == {"part05", "part10"}, "parts drawn without a defect"


def test_pictures_that_no_ingest_wrote_are_never_replaced(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "frames").mkdir(parents=True)
    (tmp_path / "out" / "frames" / "holiday.png").write_bytes(b"mine")
    with pytest.raises(DataError, match="holds something that no ingest wrote"):
        ingest(drawn, tmp_path / "out")
    assert (tmp_path / "out" / "frames" / "holiday.png").read_bytes() == b"mine"


def test_a_long_strip_is_cut_into_pieces_and_no_tile_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = strip(tmp_path / "in.raw", lines=500)
    monkeypatch.setattr(module, "MAX_PIECE_PIXELS", 200 * 96 * 2)
    ingested = ingest(tmp_path / "in.raw", tmp_path / "out")
    assert len({s.path for s in ingested.samples}) == 3
    assert (cores(ingested.samples, "in", (500, 200)) == 1).all()
    for sample in ingested.samples:
        x, y = sample.origin
        assert (sample.width, sample.height) == (128, 128)
        seen = images.read(tmp_path / "out" / sample.path, window=sample.window)[..., 0]
        np.testing.assert_array_equal(seen, pixels[y : y + 128, x : x + 128])


@pytest.mark.parametrize("size", [(300, 300), (97, 500), (96, 96), (40, 20), (193, 289)])
def test_no_two_samples_share_their_window_and_the_cores_still_cover_all(tmp_path: Path, size: tuple[int, int]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, size).astype(np.uint8))
    samples = ingest(tmp_path, tmp_path / "out").samples
    assert len({s.id for s in samples}) == len(samples) == len({s.window for s in samples})
    assert (cores(samples, "a", size) == 1).all()


def test_missing_and_lost_lines_are_in_no_tile_and_counted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    strip(tmp_path / "in" / "short.raw", lines=300, extra='lines = 400\npart = "roll 7"')
    strip(tmp_path / "in" / "lossy.raw", lines=300, extra="lost_lines = [[100, 30]]", seed=1)
    ingested = ingest(tmp_path / "in", tmp_path / "out")
    assert dict(ingested.skipped) == {"short": pytest.approx(0.25), "lossy": pytest.approx(0.1)}
    assert {p.where for p in ingested.problems} == {"short", "lossy"}
    covered = cores(ingested.samples, "lossy", (300, 200))
    assert (covered[:100] == 1).all() and (covered[100:130] == 0).all() and (covered[130:] == 1).all()
    for s in ingested.samples:
        if s.frame == "lossy":
            assert s.origin[1] + s.height <= 100 or s.origin[1] >= 130, "no halo looks into lost lines"
    assert {s.group for s in ingested.samples} == {"roll 7", "lossy"}


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    strip(source / "good.raw")
    strip(source / "format.raw", extra='camera = "A"\nwidht = 3', seed=1)
    (source / "lonely.raw").write_bytes(b"\0" * 400)
    (source / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    (source / "gone.toml").write_text("width = 3")
    (source / "clip.avi").write_bytes(b"film")
    (source / "README.md").write_text("about these strips")
    ingested = ingest(source, tmp_path / "out")
    assert {s.frame for s in ingested.samples} == {"good"}
    reasons = {p.where: p.what for p in ingested.problems}
    assert set(reasons) == {"format", "lonely", "cut", "gone", "clip.avi"}
    assert "did you mean 'width'" in reasons["format"]
    assert "copy it beside it" in reasons["gone"]
    assert dict(ingested.skipped) == dict.fromkeys(reasons, 1.0)


def test_a_wrong_value_costs_only_its_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strip(tmp_path / "in.raw", lines=960)
    pixels = np.random.default_rng(0).integers(0, 4096, (960, 200)).astype("<u2")
    pixels[700, 3] = 5000
    (tmp_path / "in.raw").write_bytes(pixels.tobytes())
    note = tmp_path / "in.toml"
    note.write_text(note.read_text().replace("Mono8", "Mono12"))
    monkeypatch.setattr(module, "MAX_PIECE_PIXELS", 200 * 96 * 5)
    ingested = ingest(tmp_path / "in.raw", tmp_path / "out")
    assert ingested.skipped["in"] == pytest.approx(0.5)
    assert "hold the value 5000" in ingested.problems[0].what


def test_a_copy_of_a_frame_is_a_buffer_sent_twice_and_counts_as_not_examined(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    strip(source / "a.raw")
    strip(source / "b.raw")
    ingested = ingest(source, tmp_path / "out")
    assert {s.frame for s in ingested.samples} == {"a"} and ingested.skipped["b"] == 1.0
    assert "same pixels as a from line 0" in ingested.problems[0].what


def test_ordinary_images_become_frames_of_one_group_each(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "shift").mkdir(parents=True)
    rng = np.random.default_rng(3)
    for name in ("a.png", "a.jpg", "shift/b.bmp", "shift/c.tif"):
        cv2.imwrite(str(source / name), rng.integers(0, 256, (90, 130, 3)).astype(np.uint8))
    ingested = ingest(source, tmp_path / "out", tile=64, halo=8)
    assert {s.frame for s in ingested.samples} == {"a.png", "a.jpg", "shift/b", "shift/c"}
    assert all(s.group == s.frame and s.mm_per_px is None for s in ingested.samples)
    assert len(ingested.samples) == 4 * 4 and ingested.labels == {} and ingested.truth == ()
    assert all((tmp_path / "out" / s.path).suffix == ".png" for s in ingested.samples)


def test_a_mask_of_another_size_costs_the_labels_and_nothing_else(tmp_path: Path) -> None:
    strip(tmp_path / "a.raw")
    images.write_png(tmp_path / "a.mask.png", np.zeros((10, 10), np.uint8))
    ingested = ingest(tmp_path / "a.raw", tmp_path / "out")
    assert ingested.labels == {} and len(ingested.samples) == 6 and dict(ingested.skipped) == {}
    assert "its truth is left out" in ingested.problems[0].what


def test_a_short_strip_keeps_the_labels_of_the_lines_that_are_there(tmp_path: Path) -> None:
    strip(tmp_path / "a.raw", lines=200, extra="lines = 300")
    mask = np.zeros((300, 200), np.uint8)
    mask[20:60, 20:60] = 1
    mask[240:260, 20:60] = 3
    images.write_png(tmp_path / "a.mask.png", mask)
    ingested = ingest(tmp_path / "a.raw", tmp_path / "out")
    assert set(ingested.labels.values()) == {"SCR", "OK"}
    assert ingested.skipped["a"] == pytest.approx(1 / 3)


def test_a_sidecar_beside_a_photograph_is_told_to_be_in_vain(tmp_path: Path) -> None:
    strip(tmp_path / "a.raw")
    (tmp_path / "a.raw").unlink()
    images.write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (90, 90)).astype(np.uint8))
    ingested = ingest(tmp_path, tmp_path / "out")
    assert len(ingested.samples) == 1 and "sidecar is not read" in ingested.problems[0].what


@pytest.mark.parametrize("said", ["lost_lines = [[10, 20]]", "lines = 400"])
def test_a_photograph_whose_sidecar_tells_of_lost_lines_is_not_examined(tmp_path: Path, said: str) -> None:
    """Which of its lines are empty stands in a file that is not read: it passed as examined completely."""
    pixels = strip(tmp_path / "a.raw", extra=said)
    (tmp_path / "a.raw").unlink()
    images.write_png(tmp_path / "a.png", pixels)
    found = ingest(tmp_path, tmp_path / "out")
    assert (found.samples, dict(found.skipped)) == ((), {"a": 1.0})
    assert "tells of lines that are lost, and its sidecar is not read" in found.problems[0].what


def test_lost_lines_that_the_strip_does_not_have_make_it_not_examined(tmp_path: Path) -> None:
    """A camera that counts lines from the start of the roll says that some are lost, and nobody knows which."""
    strip(tmp_path / "a.raw", extra="lost_lines = [[48010, 20]]")
    strip(tmp_path / "tail.raw", extra="lost_lines = [[290, 20]]", seed=1)
    found = ingest(tmp_path, tmp_path / "out")
    assert {s.frame for s in found.samples} == {"tail"}
    assert dict(found.skipped) == {"a": 1.0, "tail": pytest.approx(10 / 300)}
    assert "names line 48010 as lost, and the strip has lines 0 to 299" in found.problems[0].what


def test_an_unknown_type_in_the_list_is_refused_with_advice(tmp_path: Path) -> None:
    strip(tmp_path / "a.raw")
    (tmp_path / "a.defects.csv").write_text("type,x0,y0,x1,y1,length_mm,area_mm2\nscrach,1,2,30,40,1.5,\n")
    ingested = ingest(tmp_path / "a.raw", tmp_path / "out")
    assert ingested.truth == () and "line 2: label 'scrach' is unknown; did you mean 'scratch" in str(
        ingested.problems[0]
    )
    (tmp_path / "a.defects.csv").write_text("type,x0,y0,x1,y1,length_mm,area_mm2\nScratch,1,2,30,40,1.5,\n")
    finding = ingest(tmp_path / "a.raw", tmp_path / "out").truth[0]
    assert (finding.label, finding.length_mm, finding.area_mm2) == ("SCR", 1.5, None)


def boxed(path: Path, *boxes: tuple[str, int, int, int, int]) -> None:
    """An image of 300 x 300 pixels, and beside it a file as LabelImg writes it."""
    picture = np.random.default_rng(len(boxes)).integers(90, 110, (300, 300, 3)).astype(np.uint8)
    cv2.imwrite(str(path), picture)
    objects = "".join(
        f"<object><name>{word}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for word, x0, y0, x1, y1 in boxes
    )
    path.with_suffix(".xml").write_text(
        f"<annotation><filename>{path.name}</filename><size><width>300</width><height>300</height></size>{objects}</annotation>"
    )


def test_boxes_of_labelimg_give_truth_and_labels(tmp_path: Path) -> None:
    boxed(tmp_path / "a.png", ("Scratches", 20, 30, 60, 80), ("wormhole", 200, 200, 240, 230))
    ingested = ingest(tmp_path, tmp_path / "out")
    assert {(t.label, t.region) for t in ingested.truth} == {
        ("SCR", Box(20, 30, 60, 80)),
        ("UNKNOWN", Box(200, 200, 240, 230)),
    }
    assert "names 'wormhole'" in ingested.problems[0].what and len(ingested.problems) == 1
    by_core = {s.origin: ingested.labels.get(s.id) for s in ingested.samples}
    assert by_core[0, 0] == "SCR" and "OK" in by_core.values()
    assert by_core[172, 172] == "UNKNOWN" and len(by_core) == len(ingested.samples) == 9


def test_an_image_with_an_empty_list_of_boxes_is_ok_and_one_without_list_is_unlabelled(tmp_path: Path) -> None:
    boxed(tmp_path / "a.png")
    ingested = ingest(tmp_path, tmp_path / "out")
    assert set(ingested.labels.values()) == {"OK"} and len(ingested.labels) == len(ingested.samples)
    (tmp_path / "a.xml").unlink()
    assert ingest(tmp_path, tmp_path / "out").labels == {}


@pytest.mark.parametrize("text", ["<annotation>", "<annotation><object><name>a</name></object></annotation>"])
def test_boxes_that_cannot_be_read_cost_the_labels_and_nothing_else(tmp_path: Path, text: str) -> None:
    boxed(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(text)
    ingested = ingest(tmp_path, tmp_path / "out")
    assert ingested.labels == {} and len(ingested.samples) == 9
    assert "its truth is left out" in ingested.problems[0].what


def test_known_defects_of_a_frame_that_cannot_be_read_stay_known_and_count_as_missed(tmp_path: Path) -> None:
    listed = "type,x0,y0,x1,y1,length_mm,area_mm2\n"
    for name in ("empty", "gone", "clean"):
        strip(tmp_path / f"{name}.raw")
        defect = "scratch,1,2,30,40,1.5,\ndent,5,6,90,80,2.5,\n" if name != "clean" else ""
        (tmp_path / f"{name}.defects.csv").write_text(listed + defect)
        (tmp_path / f"{name}.raw").write_bytes(b"")
    (tmp_path / "gone.raw").unlink()
    boxed(tmp_path / "cut.png", ("scratch", 5, 6, 70, 30))
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    found = ingest(tmp_path, tmp_path / "out")
    known = {"empty": ["SCR", "DEN"], "gone": ["SCR", "DEN"], "clean": ["OK"], "cut": ["SCR"]}
    assert {n: [t.label for t in found.truth if t.frame == n] for n in known} == known and len(found.truth) == 6
    decisions = [Decision(name, Verdict.NOT_EXAMINED, ("why",), (), 0.0) for name in found.skipped]
    facts = report(decisions, found.truth, [])
    assert (facts["recall"]["value"], facts["recall"]["n"], facts["without_truth"]) == (0.0, 5, 0)


def test_an_interrupted_run_leaves_nothing_and_the_next_one_is_whole(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = images.write_png

    def stop_at_the_third(path: Path, array: np.ndarray) -> None:
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(path, array)

    monkeypatch.setattr(images, "write_png", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ingest(drawn, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.undo()
    first = ingest(drawn, tmp_path / "out")
    assert ingest(drawn, tmp_path / "out") == first
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["frames"]


def test_an_output_folder_inside_of_the_source_is_not_read_again(tmp_path: Path) -> None:
    strip(tmp_path / "a.raw")
    first = ingest(tmp_path, tmp_path / "out")
    assert ingest(tmp_path, tmp_path / "out") == first
    assert ingest(tmp_path, tmp_path).samples == ingest(tmp_path, tmp_path).samples


def test_what_loupe_itself_wrote_beside_the_strips_is_no_part(tmp_path: Path) -> None:
    """A second prediction in the folder of the shift counted the pieces of the first one as whole parts."""
    strip(tmp_path / "a.raw", extra="lost_lines = [[100, 100]]")
    first = tmp_path / "monday.jsonl.frames"
    save(ingest(tmp_path, first), first, "industrial")
    for name in ("monday.jsonl", "later.jsonl.partial", "reviews.sqlite", "reviews.sqlite-wal", "report.html"):
        (tmp_path / name).write_text("{}")
    again = ingest(tmp_path, tmp_path / "again.jsonl.frames")
    assert {s.frame for s in again.samples} == {"a"} and set(again.skipped) == {"a"} and len(again.problems) == 1


def test_pictures_that_an_ingest_cut_are_no_source_because_they_forget_what_was_lost(tmp_path: Path) -> None:
    strip(tmp_path / "in" / "a.raw", extra="lost_lines = [[100, 100]]")
    ingest(tmp_path / "in", tmp_path / "out")
    (piece, _) = sorted((tmp_path / "out" / "frames").glob("*.png"))
    for source in (tmp_path / "out" / "frames", piece):
        with pytest.raises(DataError, match="pictures that an ingest cut, without the lines that were lost"):
            ingest(source, tmp_path / "again")
    with pytest.raises(DataError, match="holds neither strips"):
        ingest(tmp_path / "out", tmp_path / "again")  # killed before its record was written


def test_no_frame_takes_the_name_of_another(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 90, 90)).astype(np.uint8)
    names = ("a.png", "a.bmp", "a.bmp.png")
    for name, picture in zip(names, pixels, strict=True):
        cv2.imwrite(str(tmp_path / name), picture)
    found = ingest(tmp_path, tmp_path / "out")
    assert sorted(s.frame for s in found.samples) == sorted(names)
    assert len({s.path for s in found.samples}) == 3


def test_nothing_to_read_and_impossible_tiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ingest(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither strips"):
        ingest(tmp_path / "empty", tmp_path / "out")
    strip(tmp_path / "a.raw")
    with pytest.raises(ConfigError, match="tile is 0"):
        ingest(tmp_path / "a.raw", tmp_path / "out", tile=0)


def test_real_frames_are_covered_whole(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "industrial" / "magnetic_tile" / "images").iterdir())[:4]
    source = tmp_path / "in"
    source.mkdir()
    for file in files:
        (source / file.name).write_bytes(file.read_bytes())
    ingested = ingest(source, tmp_path / "out")
    assert ingested.problems == ()
    counts: dict[str, int] = defaultdict(int)
    for s in ingested.samples:
        assert s.core is not None
        counts[s.frame] += s.core.width * s.core.height
    assert counts == {f.stem: int(np.prod(images.size(f))) for f in files}


def test_links_that_lead_nowhere_are_listed_and_masks_of_a_table_are_no_parts(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "masks").mkdir(parents=True)
    strip(source / "good.raw")
    images.write_png(source / "masks" / "a.png", np.eye(90, dtype=np.uint8))
    images.write_png(source / "a.png", np.random.default_rng(0).integers(0, 256, (90, 90)).astype(np.uint8))
    (source / "labels.csv").write_text("path,label,mask\na.png,scratch,masks/a.png\n")
    (source / "b.raw").symlink_to(tmp_path / "gone.raw")
    (source / "shift").symlink_to(tmp_path)
    ingested = ingest(source, tmp_path / "out")
    assert {s.frame for s in ingested.samples} == {"good", "a"}
    said = {p.where: p.what for p in ingested.problems}
    assert set(said) == {"b.raw", "shift"} and "is a link to nothing" in said["b.raw"]
    assert ingested.skipped["b.raw"] == ingested.skipped["shift"] == 1.0
    assert "1 files are masks" in ingested.remarks[0].what
