"""An item and a camera in, the PNG that the page shows out: whole frame or its place, nothing of a defect covered."""

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.data import images
from shared.errors import DataError
from shared.records import Box
from shared.review import unchanged
from shared.review.items import Item

STEPS = (1 / 32, 1 / 24, 1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 1, 2, 3, 4, 6, 8, 12, 16)
"""Magnifications: screen pixels per image pixel, whole numbers or whole reductions."""
_BACKGROUND = 48
_GAP, _SMALLEST = 4, 10  # screen pixels between region and outline, and half an outline's least side
_YELLOW, _BLACK = (255, 214, 0), (0, 0, 0)
_CONTEXT, _NEAREST = 3.0, 4  # a place is shown with its own size around it, and at most so many times enlarged
_CACHED = 12


@dataclass(frozen=True)
class Camera:
    """How an item is looked at.

    Attributes:
        whole: The whole image instead of the item's place.
        zoom: Steps of :data:`STEPS` nearer (or, below 0, farther) than the fitting magnification.
        pan: Half screens (right, down) away from the middle.
        outline: Whether the region is outlined.
    """

    whole: bool = False
    zoom: int = 0
    pan: tuple[int, int] = (0, 0)
    outline: bool = True


@dataclass(frozen=True)
class View:
    """What the page shows.

    Attributes:
        png: The picture, exactly as large as the canvas.
        magnification: Screen pixels per image pixel.
        window: The part of the image that is in sight, in its pixels.
        size_wh: The image's size in pixels.
    """

    png: bytes
    magnification: float
    window: Box
    size_wh: tuple[int, int]


def magnification(size_wh: tuple[int, int], box: Box | None, camera: Camera, canvas_wh: tuple[int, int]) -> float:
    """Screen pixels per image pixel."""
    fit = min(canvas_wh[0] / size_wh[0], canvas_wh[1] / size_wh[1])
    fit = max((s for s in STEPS if 1 <= s <= fit), default=fit)
    if box is None or camera.whole:
        start = fit
    else:
        room = min(canvas_wh[0] / (box.width * _CONTEXT), canvas_wh[1] / (box.height * _CONTEXT))
        start = max(fit, max((s for s in STEPS if s <= min(room, _NEAREST)), default=fit))
    nearer = [s for s in STEPS if s > start]
    farther = [s for s in reversed(STEPS) if fit < s < start] + ([fit] if fit < start else [])
    ladder = nearer if camera.zoom > 0 else farther
    return ladder[min(abs(camera.zoom), len(ladder)) - 1] if camera.zoom and ladder else start


def window(size_wh: tuple[int, int], box: Box | None, camera: Camera, canvas_wh: tuple[int, int]) -> Box:
    """The part of the image that is in sight, in its pixels."""
    scale = magnification(size_wh, box, camera, canvas_wh)
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) if box else (size_wh[0] / 2, size_wh[1] / 2)
    spans = []
    for axis in (0, 1):
        length = min(max(1, int(canvas_wh[axis] / scale + 1e-6)), size_wh[axis])
        start = round(middle[axis] + camera.pan[axis] * length / 2 - length / 2)
        start = min(max(start, 0), size_wh[axis] - length)
        spans.append((start, start + length))
    return Box(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def moved(
    camera: Camera, size_wh: tuple[int, int], box: Box | None, canvas_wh: tuple[int, int], **change: int
) -> Camera:
    """The camera one step on (``zoom``, ``right`` or ``down`` of 1 or -1), or the same where that shows nothing new."""
    right, down = change.get("right", 0), change.get("down", 0)
    new = replace(camera, zoom=camera.zoom + change.get("zoom", 0), pan=(camera.pan[0] + right, camera.pan[1] + down))
    same = window(size_wh, box, new, canvas_wh) == window(size_wh, box, camera, canvas_wh)
    scales = [magnification(size_wh, box, c, canvas_wh) for c in (camera, new)]
    return camera if same and scales[0] == scales[1] else new


def render(item: Item, camera: Camera, canvas_wh: tuple[int, int]) -> View:
    """Draw an item.

    Raises:
        DataError: There is no picture, it cannot be read, or it is not the one that was examined.
    """
    if not item.image:
        raise DataError(f"{item.frame}: there is no picture of it; the reason beside it says what to do")
    path = Path(item.image)
    size_wh = images.size(path)
    box = _inside(item.box, size_wh)
    scale = magnification(size_wh, box, camera, canvas_wh)
    part = window(size_wh, box, camera, canvas_wh)
    pixels = images.read(path, window=part)
    unchanged.check(item, anew=False)  # after the pixels: a file that is replaced in between is found
    wide, high = (max(1, min(c, round(n * scale))) for c, n in zip(canvas_wh, (part.width, part.height), strict=True))
    how = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    canvas = np.full((canvas_wh[1], canvas_wh[0], 3), _BACKGROUND, np.uint8)  # (H, W, RGB)
    left, top = (canvas_wh[0] - wide) // 2, (canvas_wh[1] - high) // 2
    canvas[top : top + high, left : left + wide] = cv2.resize(pixels, (wide, high), interpolation=how)
    if camera.outline and box and (box.width, box.height) != size_wh:
        _outline(canvas, box.shifted(-part.x0, -part.y0), scale, (left, top))
    done, data = cv2.imencode(".png", canvas[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return View(data.tobytes(), scale, part, size_wh)


def _inside(box: Box | None, size_wh: tuple[int, int]) -> Box | None:
    """The box as far as it lies in the image; None where it does not."""
    if box is None:
        return None
    x0, y0, x1, y1 = max(box.x0, 0), max(box.y0, 0), min(box.x1, size_wh[0]), min(box.y1, size_wh[1])
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _outline(canvas: NDArray[np.uint8], box: Box, scale: float, corner: tuple[int, int]) -> None:
    """Two thin lines around the region, outside of it: yellow for dark surfaces, black for bright ones."""
    ends = []
    for axis, (low, high) in enumerate(((box.x0, box.x1), (box.y0, box.y1))):
        first, last = corner[axis] + low * scale, corner[axis] + high * scale
        slack = max(_GAP, _SMALLEST - (last - first) / 2)
        ends.append((int(first - slack), int(np.ceil(last + slack))))
    (x0, x1), (y0, y1) = ends
    cv2.rectangle(canvas, (x0 - 1, y0 - 1), (x1 + 1, y1 + 1), _BLACK, 1)
    cv2.rectangle(canvas, (x0, y0), (x1, y1), _YELLOW, 1)


Key = tuple[str, str, Box | None, Camera, tuple[int, int], tuple[int, ...]]


class Viewer:
    """Draws views once, and the next one while the present one is looked at; shared by all sessions of a page."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="view")
        self._views: OrderedDict[Key, Future[View]] = OrderedDict()
        self._lock = threading.Lock()

    def prefetch(self, item: Item, camera: Camera, canvas_wh: tuple[int, int]) -> Future[View]:
        """Begin to draw, or give what is drawn already."""
        key = (
            item.id,
            unchanged.examined(item) + item.image,
            item.box,
            camera,
            canvas_wh,
            unchanged.written(item.image),
        )
        with self._lock:
            future = self._views.get(key)
            if future is None or (future.done() and future.exception()):
                # A picture that was missing may be there by now.
                future = self._views[key] = self._pool.submit(render, item, camera, canvas_wh)
            self._views.move_to_end(key)
            while len(self._views) > _CACHED:
                self._views.popitem(last=False)
        return future

    def get(self, item: Item, camera: Camera, canvas_wh: tuple[int, int], *, drawn: Item | None = None) -> View:
        """The drawn view.

        Args:
            item: What is looked at.
            camera: How.
            canvas_wh: Pixels across and down.
            drawn: Whose picture stands in place of the item's own, e.g. the same with a map over it.

        Raises:
            DataError: There is no picture, it cannot be read, or the item's is not the one that was examined.
        """
        if drawn is not None and drawn.image != item.image:
            unchanged.check(item)
            item = replace(drawn, payload={})
        return self.prefetch(item, camera, canvas_wh).result()
