import hashlib
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from verticals.industrial.defects import DRAW, press
from verticals.industrial.pixels import open_strip
from verticals.industrial.surface import FINISHES, Surface, expose, plain, random_look, shade
from verticals.industrial.synth import MM_PER_PX, synth

CODES = list(DRAW)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synth(tmp_path_factory.mktemp("drawn"), small=True)


def hashes(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def test_a_small_set_has_every_type_and_every_kind_of_file(drawn: Path) -> None:
    tables = pd.concat([pd.read_csv(f) for f in drawn.glob("*.defects.csv")])
    assert set(tables["type"]) == set(CODES)
    assert {f.suffix for f in drawn.iterdir()} == {".raw", ".tif", ".toml", ".png", ".csv"}
    formats = {tomllib.loads(f.read_text())["pixel_format"] for f in drawn.glob("*.toml")}
    assert formats == {"Mono8", "Mono12", "Mono16"}


def test_every_strip_opens_whole_and_says_that_it_is_synthetic(drawn: Path) -> None:
    for note in drawn.glob("*.toml"):
        strip = open_strip(next(note.with_suffix(s) for s in (".raw", ".tif") if note.with_suffix(s).is_file()))
        assert strip.problems == () and strip.sidecar.synthetic and strip.sidecar.mm_per_px == (MM_PER_PX, MM_PER_PX)
        picture = strip.read(0, strip.lines)
        assert 50 < np.median(picture) < 200 and np.mean(picture == 255) < 0.01


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(drawn: Path, tmp_path: Path) -> None:
    assert hashes(synth(tmp_path / "again", small=True)) == hashes(drawn)
    one = hashes(synth(tmp_path / "one", small=True, parts=1))
    other = hashes(synth(tmp_path / "other", small=True, parts=1, seed=1))
    assert len(one) == 4 and one["part01.raw"] != other["part01.raw"]


def test_the_mask_agrees_with_the_list_of_defects(drawn: Path) -> None:
    for table in drawn.glob("*.defects.csv"):
        mask = cv2.imread(str(table).replace(".defects.csv", ".mask.png"), cv2.IMREAD_UNCHANGED)
        assert mask.ndim == 2
        area = 0
        for row in pd.read_csv(table).itertuples():
            box = mask[row.y0 : row.y1, row.x0 : row.x1]
            here = box == CODES.index(row.type) + 1
            assert here[0].any() and here[-1].any() and here[:, 0].any() and here[:, -1].any(), row
            assert here.sum() * MM_PER_PX**2 == pytest.approx(row.area_mm2, abs=1e-4)
            longest, diagonal = max(here.shape) * MM_PER_PX, np.hypot(*here.shape) * MM_PER_PX
            assert 0.99 * longest <= row.length_mm <= diagonal + MM_PER_PX
            area += int(here.sum())
        assert area == (mask > 0).sum()


@pytest.mark.parametrize("code", CODES)
def test_a_defect_changes_the_picture_where_its_mask_is_and_hardly_elsewhere(code: str) -> None:
    """The same surface with and without it, in grey values of 8 bits, over eight drawings and all finishes."""
    inside, outside = [], []
    for seed in range(8):
        rng = np.random.default_rng([seed, CODES.index(code)])
        look = random_look(rng, FINISHES[seed % len(FINISHES)])
        stamp = DRAW[code](rng, look)
        h, w = stamp.mask.shape
        surface = plain(rng, (h + 40, w + 120), look)
        whole = Surface(surface.height.copy(), surface.reflect.copy(), surface.gloss.copy())
        x, y = (60, 20) if stamp.at_edge is None else (look.margin - stamp.at_edge, 20)
        mask = np.zeros((h + 40, w + 120), np.uint8)
        mask[y : y + h, x : x + w] = press(surface, stamp, x, y)
        before, after = (expose(shade(s, look), look, np.random.default_rng(seed)) for s in (whole, surface))
        change = 255 * np.abs(after - before)
        inside.append(change[mask > 0].mean())
        outside.append(change[cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0].mean())
    assert np.median(inside) > 5.0, "grey values; the noise of one pixel is about 2"
    assert min(inside) > 0.8
    assert np.median(outside) < 0.1 * np.median(inside)


@pytest.mark.parametrize("code", [c for c in CODES if c not in ("CHP", "BUR")])
def test_a_stamp_ends_without_a_step_that_no_real_defect_has(code: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, CODES.index(code)])
        stamp = DRAW[code](rng, random_look(rng, FINISHES[seed % len(FINISHES)]))
        for rim in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            assert not stamp.mask[rim].any()
            assert np.abs(stamp.height[rim]).max() < 0.03 and np.abs(stamp.reflect[rim] - 1).max() < 0.03
            assert stamp.cover[rim].max() < 0.03


def test_finishes_look_different_and_parts_too() -> None:
    pictures = []
    for seed, finish in enumerate([*FINISHES, "ground"]):
        rng = np.random.default_rng(seed)
        look = random_look(rng, finish)
        pictures.append(shade(plain(rng, (200, 200), look), look)[:, 40:160])
    roughness = [float(np.abs(np.diff(p, axis=1)).mean() / p.mean()) for p in pictures]
    assert max(roughness) > 2 * min(roughness)
    assert len({round(float(p.mean()), 3) for p in pictures}) == len(pictures)
