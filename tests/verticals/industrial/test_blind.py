"""What a dead camera gives, through the ingest: none of it is examined, and each reason is said."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared import decisions
from shared.vertical import Ingested
from tests.conftest import texture
from verticals.industrial.ingest import ingest
from verticals.steps import predict_source

WIDTH, LINES = 512, 1024
Pixels = NDArray[np.uint8]


def live(seed: int = 0) -> Pixels:
    """A part with its grain, and beside it a background that is clipped to black."""
    pixels = np.random.default_rng(seed).normal(110, 9, (LINES, WIDTH)).clip(0, 255).astype(np.uint8)
    pixels[:, 220:] = 0
    return pixels


def strip(path: Path, pixels: NDArray[np.generic], kind: str = "Mono8") -> Path:
    path.write_bytes(pixels.tobytes())
    note = f'width = {pixels.shape[1]}\nlines = {len(pixels)}\npixel_format = "{kind}"\nline_rate_hz = 9000\n'
    path.with_suffix(".toml").write_text(note + "mm_per_px = [0.05, 0.05]\n")
    return path


def ingested(tmp_path: Path, pixels: NDArray[np.generic], kind: str = "Mono8") -> Ingested:
    return ingest(strip(tmp_path / "in.raw", pixels, kind), tmp_path / "out")


def noise(top: int) -> Pixels:
    return np.random.default_rng(1).integers(0, top + 1, (LINES, WIDTH)).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((LINES, WIDTH), np.uint8), "lines 0 to 1023 (1024 in all) each equal the one before"),
        (np.full((LINES, WIDTH), 255, np.uint8), "stopped, covered or saturated"),
        (np.full((LINES, WIDTH), 98, np.uint8), "they count as not examined: scan the part again"),
        (np.tile(live()[:1], (LINES, 1)), "lines 0 to 1023"),
        (noise(3), "the lens is covered or the light is off"),
        (noise(12), "99.9 % of the pixels lie below 5 % of full scale"),
    ],
    ids=["black", "white", "grey", "one line", "lens cap", "dark"],
)
def test_a_strip_from_a_dead_camera_has_no_tile_and_says_why(pixels: Pixels, said: str, tmp_path: Path) -> None:
    found = ingested(tmp_path, pixels)
    assert found.samples == () and dict(found.skipped) == {"in": 1.0}
    assert said in found.problems[0].what and len(found.problems) == 1


def test_a_live_strip_beside_clipped_background_is_examined_to_the_last_line(tmp_path: Path) -> None:
    found = ingested(tmp_path, live())
    assert found.problems == () and dict(found.skipped) == {}
    assert any((s.origin[0] >= 220 - 16) for s in found.samples), "tiles of nothing but background are there"


def test_a_dim_strip_is_live(tmp_path: Path) -> None:
    assert ingested(tmp_path, (live() * 0.3).astype(np.uint8)).problems == ()


def change(where: slice, to: slice | None = None) -> Callable[[Pixels], Pixels]:
    """The lines ``where`` become those of ``to``, or the line before them."""

    def done(pixels: Pixels) -> Pixels:
        pixels[where] = pixels[where.start - 1] if to is None else pixels[to].copy()
        return pixels

    return done


@pytest.mark.parametrize(
    ("broken", "blind", "said"),
    [
        (change(slice(300, 1024)), (299, 1024), "lines 299 to 1023 (725 in all) each equal the one before"),
        (change(slice(300, 315)), (299, 315), "lines 299 to 314 (16 in all)"),
        (change(slice(512, 1024), slice(0, 512)), (512, 1024), "those from line 512 on are lines 0 to 511"),
        (change(slice(700, 716), slice(40, 56)), (700, 716), "a buffer that the camera sent twice"),
    ],
    ids=["stopped", "stopped for sixteen lines", "half sent twice", "sixteen lines sent twice"],
)
def test_still_and_repeated_lines_are_in_no_tile_and_counted(
    broken: Callable[[Pixels], Pixels], blind: tuple[int, int], said: str, tmp_path: Path
) -> None:
    found = ingested(tmp_path, broken(live()))
    assert dict(found.skipped) == {"in": pytest.approx((blind[1] - blind[0]) / LINES)}
    assert said in found.problems[0].what and len(found.problems) == 1
    for sample in found.samples:
        assert sample.origin[1] + sample.height <= blind[0] or sample.origin[1] >= blind[1]


def test_a_buffer_sent_three_times_whose_own_lines_stand_still_in_part_is_seen_once(tmp_path: Path) -> None:
    pixels = live()
    pixels[100:140] = pixels[99]
    pixels[256:768] = np.tile(pixels[:256], (2, 1))
    found = ingested(tmp_path, pixels)
    examined = (1024 - 512) - 41
    # The first line of the stillness in a copy repeats no line at the copies' distance, and stands still itself.
    assert dict(found.skipped) == {"in": pytest.approx(1 - examined / LINES)}
    assert [p.what.split(" (")[0] for p in found.problems] == [
        "lines 99 to 139, 355 to 395, 611 to 651",
        "lines 256 to 354, 396 to 610, 652 to 767",
    ]


def test_fifteen_equal_lines_are_left_alone(tmp_path: Path) -> None:
    pixels = change(slice(300, 314))(live())
    assert ingested(tmp_path, change(slice(700, 715), slice(40, 55))(pixels)).problems == ()


def test_deeper_pixels_are_judged_by_their_own_full_scale(tmp_path: Path) -> None:
    deep = np.random.default_rng(2).integers(0, 204, (LINES, WIDTH)).astype("<u2")
    assert ingested(tmp_path, deep, "Mono12").samples == ()
    (tmp_path / "bright").mkdir()
    assert ingested(tmp_path / "bright", deep, "Mono10").problems == ()


def test_lines_that_are_lost_already_are_not_counted_twice(tmp_path: Path) -> None:
    pixels = live()
    pixels[100:200] = 0
    path = strip(tmp_path / "in.raw", pixels)
    with path.with_suffix(".toml").open("a") as note:
        note.write("lost_lines = [[100, 100]]\n")
    found = ingest(path, tmp_path / "out")
    assert dict(found.skipped) == {"in": pytest.approx(100 / LINES)} and len(found.problems) == 1


def test_pictures_that_show_nothing_are_refused_and_a_thresholded_one_with_still_lines_is_not(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    circuit = np.zeros((LINES, WIDTH), np.uint8)
    circuit[:, 30:60] = circuit[400:430] = 255
    pictures = {"white": np.full((LINES, WIDTH), 255, np.uint8), "cap": noise(3), "circuit": circuit, "good": live()}
    pictures["one_line"] = np.tile(live()[:1], (LINES, 1))
    pictures["stopped"] = change(slice(300, 1024))(live(3))
    pictures["padded"] = live(4)
    pictures["padded"][:100] = 0
    for name, pixels in pictures.items():
        cv2.imwrite(str(source / f"{name}.png"), pixels)
    found = ingest(source, tmp_path / "out")
    said = {p.where: p.what for p in found.problems}
    assert {s.frame for s in found.samples} == {"circuit", "good", "padded"}
    assert dict(found.skipped) == dict.fromkeys(("cap", "one_line", "stopped", "white"), 1.0)
    assert "lines 299 to 1023 are the same line with all its grain" in said["stopped"]
    assert "every pixel has the value 255" in said["white"] and "the lens is covered" in said["cap"]
    assert "all its 1024 lines are the same" in said["one_line"]


def test_whole_pictures_that_show_nothing_are_not_examined_whatever_the_policy_says(
    plant: Path, tmp_path: Path
) -> None:
    source, policy = tmp_path / "in", tmp_path / "lenient.toml"
    source.mkdir()
    policy.write_text("threshold = 1.0\nnovelty_limit = 1000000.0\n")
    line = np.tile(texture("ok", 3)[:1], (64, 1, 1))
    for name, pixels in {"white": line * 0 + 255, "one_line": line, "cap": noise(3), "good": texture("ok", 3)}.items():
        cv2.imwrite(str(source / f"{name}.png"), pixels)
    out = tmp_path / "findings.jsonl"
    predict_source(plant, source, out, policy=policy, threads=1, lines_to_stdout=False)
    found = {line.decision.frame.removesuffix(".png"): line.decision for line in decisions.read(out)}
    assert {name: d.verdict.value for name, d in found.items()} == {
        **dict.fromkeys(("cap", "one_line", "white"), "not_examined"),
        "good": "pass",
    }
    assert "every pixel has the value 255" in found["white"].reasons[0]
    assert "all its 64 lines are the same" in found["one_line"].reasons[0]
    assert "the lens is covered or the light is off" in found["cap"].reasons[0]
