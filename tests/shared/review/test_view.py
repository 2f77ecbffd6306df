from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data import images
from shared.errors import DataError
from shared.records import Box
from shared.review.items import Item
from shared.review.view import STEPS, Camera, View, Viewer, magnification, moved, render, window

CANVAS = (400, 300)
PLACE = Box(600, 300, 640, 320)


def picture(folder: Path) -> Path:
    pixels = np.random.default_rng(3).integers(0, 256, (700, 1000, 3), dtype=np.uint8)
    path = folder / "frame.png"
    images.write_png(path, pixels)
    return path


def item(path: Path | str, box: Box | None = PLACE) -> Item:
    return Item("f@600,300,40,20", "f", str(path), box, "SCR", 0.9, 0.9)


def decoded(view: View) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(view.png, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_a_place_is_shown_pixel_for_pixel_at_a_whole_magnification(tmp_path: Path) -> None:
    path = picture(tmp_path)
    view = render(item(path), Camera(outline=False), CANVAS)
    assert view.magnification == 3
    part = images.read(path, window=view.window)
    shown = decoded(view)
    left, top = (CANVAS[0] - part.shape[1] * 3) // 2, (CANVAS[1] - part.shape[0] * 3) // 2
    inner = shown[top : top + part.shape[0] * 3, left : left + part.shape[1] * 3]
    assert shown.shape == (300, 400, 3)
    np.testing.assert_array_equal(inner, part.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("box", [PLACE, Box(0, 0, 3, 3), Box(997, 690, 1000, 700), Box(0, 0, 1000, 20)])
@pytest.mark.parametrize("whole", [True, False])
def test_the_outline_covers_no_pixel_of_the_region(tmp_path: Path, box: Box, whole: bool) -> None:
    path = picture(tmp_path)
    bare, drawn = (decoded(render(item(path, box), Camera(whole=whole, outline=o), CANVAS)) for o in (False, True))
    view = render(item(path, box), Camera(whole=whole), CANVAS)
    changed = (bare != drawn).any(2)
    left = (CANVAS[0] - round(view.window.width * view.magnification)) // 2
    top = (CANVAS[1] - round(view.window.height * view.magnification)) // 2
    x0, x1 = (left + (x - view.window.x0) * view.magnification for x in (box.x0, box.x1))
    y0, y1 = (top + (y - view.window.y0) * view.magnification for y in (box.y0, box.y1))
    region = changed[max(int(y0), 0) : int(np.ceil(y1)), max(int(x0), 0) : int(np.ceil(x1))]
    assert changed.any()
    assert not region.any()


def test_the_whole_image_is_in_sight_when_asked_for(tmp_path: Path) -> None:
    view = render(item(picture(tmp_path)), Camera(whole=True), CANVAS)
    assert view.window == Box(0, 0, 1000, 700)
    assert render(item(picture(tmp_path), None), Camera(), CANVAS).window == view.window


def test_nearer_and_farther_walk_the_steps_and_stop_at_their_ends() -> None:
    size, camera = (1000, 700), Camera()
    seen = [magnification(size, PLACE, camera, CANVAS)]
    for _ in range(20):
        camera = moved(camera, size, PLACE, CANVAS, zoom=1)
        seen.append(magnification(size, PLACE, camera, CANVAS))
    assert seen[:4] == [3, 4, 6, 8]
    assert seen[-1] == STEPS[-1]
    back = moved(camera, size, PLACE, CANVAS, zoom=-1)
    assert magnification(size, PLACE, back, CANVAS) == STEPS[-2]
    for _ in range(20):
        camera = moved(camera, size, PLACE, CANVAS, zoom=-1)
    assert window(size, PLACE, camera, CANVAS) == Box(0, 0, 1000, 700)


def test_panning_reaches_every_pixel_and_never_leaves_the_image() -> None:
    size, camera, covered = (1000, 700), Camera(whole=True, zoom=2), np.zeros((700, 1000), bool)
    for _ in range(12):
        camera = moved(camera, size, None, CANVAS, right=-1, down=-1)
    for _ in range(12):
        across = camera
        for _ in range(12):
            part = window(size, None, across, CANVAS)
            assert 0 <= part.x0 < part.x1 <= 1000
            assert 0 <= part.y0 < part.y1 <= 700
            covered[part.y0 : part.y1, part.x0 : part.x1] = True
            across = moved(across, size, None, CANVAS, right=1)
        camera = moved(camera, size, None, CANVAS, down=1)
    assert covered.all()


def test_deep_samples_are_shown_as_eight_bits(tmp_path: Path) -> None:
    deep = (np.arange(200 * 300).reshape(200, 300) % 4096).astype(np.uint16)
    path = tmp_path / "deep.tiff"
    cv2.imwrite(str(path), deep)
    view = render(item(path, None), Camera(), CANVAS)
    assert view.png.startswith(b"\x89PNG")
    assert decoded(view).max() > 200


def test_a_region_that_sticks_out_of_its_image_is_shown_as_far_as_it_lies_inside(tmp_path: Path) -> None:
    view = render(item(picture(tmp_path), Box(980, 650, 1200, 900)), Camera(), CANVAS)
    assert (view.window.x1, view.window.y1) == (1000, 700)


@pytest.mark.parametrize("image", ["", "nowhere.png"])
def test_a_missing_picture_is_one_sentence_and_is_looked_for_again(tmp_path: Path, image: str) -> None:
    path = tmp_path / image if image else ""
    viewer = Viewer()
    with pytest.raises(DataError, match=r"no picture|cannot be read"):
        viewer.get(item(path, None), Camera(), CANVAS)
    if path:
        picture(tmp_path).rename(path)
        assert viewer.get(item(path, None), Camera(), CANVAS).size_wh == (1000, 700)


def test_another_picture_in_the_place_of_the_one_that_was_examined_is_not_shown(tmp_path: Path) -> None:
    path, viewer = picture(tmp_path), Viewer()
    one = replace(item(path), payload={"samples": [f"{images.content_hash(path)[:16]}@0,0,64,64"]})
    examined, before = path.read_bytes(), viewer.get(one, Camera(), CANVAS)
    images.write_png(path, np.full((700, 1000, 3), 120, np.uint8))
    with pytest.raises(DataError, match=r"frame\.png: was changed after it was examined as f"):
        viewer.get(one, Camera(), CANVAS)
    over = tmp_path / "map.png"
    images.write_png(over, np.full((700, 1000, 3), 60, np.uint8))
    with pytest.raises(DataError, match="holds another picture now"):
        viewer.get(one, Camera(), CANVAS, drawn=replace(one, image=str(over)))
    path.write_bytes(examined)
    assert viewer.get(one, Camera(), CANVAS) == before
    assert decoded(viewer.get(one, Camera(), CANVAS, drawn=replace(one, image=str(over), box=None))).max() == 60


def test_a_prefetched_view_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("shared.review.view.render", lambda *a: drawn.append(a) or "view")
    viewer, one = Viewer(), item("x")
    viewer.prefetch(one, Camera(), CANVAS).result()
    assert viewer.get(one, Camera(), CANVAS) == "view"
    assert len(drawn) == 1
