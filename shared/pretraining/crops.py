"""Batches of heavily augmented crops of a few procedural scenes, without end.

A few large pictures and very many crops of them carry almost as much as many pictures do (Asano and Saeed,
"Extrapolating from a single image to a thousand classes using distillation", ICLR 2023); drawing scenes is the slow
part, cutting is not.
"""

import threading
from collections.abc import Iterator
from queue import Empty, Full, Queue

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.pretraining import scenes
from shared.pretraining.textures import Picture, Rng

SCENE_SIDE = 512
POOL = 96
"""Scenes at hand at a time; one is replaced after every few batches."""


def crop(rng: Rng, picture: Picture, side: int) -> Picture:
    """A random part (5 to 100 % of the area, any rotation, mirrored or not), resized to ``(side, side, 3)``."""
    height = picture.shape[0]
    reach = height * np.sqrt(np.exp(rng.uniform(np.log(0.05), 0)))
    zoom = side / reach
    centre = rng.uniform(reach / 2, height - reach / 2 + 1e-3, 2)
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), rng.uniform(-180, 180), zoom)
    matrix[:, 2] += side / 2 - centre
    if zoom < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / zoom)
    cut = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cut[:, ::-1] if rng.random() < 0.5 else cut, np.uint8)


def photometric(rng: Rng, picture: Picture) -> Picture:
    """Strong changes of light, colour and sharpness, and the camera's faults; same shape."""
    values = picture.astype(np.float32) / 255
    if rng.random() < 0.15:
        values = np.repeat(values.mean(2, keepdims=True), 3, 2)
    values = values ** np.exp(rng.normal(0, 0.35))
    values = (values - 0.5) * np.exp(rng.normal(0, 0.35)) + 0.5 + rng.normal(0, 0.12)
    values = values * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    if rng.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 2.5))
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(0.005, 0.08), values.shape).astype(np.float32)
    result = np.asarray(np.clip(values, 0, 1) * 255 + 0.5, np.uint8)
    if rng.random() < 0.2:
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(25, 95))]
        result = np.asarray(cv2.imdecode(cv2.imencode(".jpg", result, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(result, np.uint8)


def batches(seed: int, *, batch: int, side: int, views: int = 1) -> Iterator[NDArray[np.uint8]]:
    """Batches ``(views, batch, side, side, 3)`` uint8 RGB for ever; views of one image are two cuts of one scene.

    A thread draws and cuts ahead (OpenCV and numpy release the interpreter), so that the learner need not wait. The
    sequence depends on the seed alone.
    """
    queue: Queue[NDArray[np.uint8]] = Queue(maxsize=8)
    stop = threading.Event()

    def work() -> None:
        rng = np.random.default_rng(seed)
        pool = [scenes.scene(rng, SCENE_SIDE) for _ in range(24)]
        while not stop.is_set():
            fresh = scenes.scene(rng, SCENE_SIDE)
            if len(pool) < POOL:
                pool.append(fresh)
            else:
                pool[rng.integers(POOL)] = fresh
            for _ in range(4):
                chosen = [pool[i] for i in rng.integers(0, len(pool), batch)]
                made = np.stack([[photometric(rng, crop(rng, p, side)) for p in chosen] for _ in range(views)])
                while not stop.is_set():
                    try:
                        queue.put(made, timeout=0.5)
                        break
                    except Full:
                        continue

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                yield queue.get(timeout=60)
            except Empty:
                raise RuntimeError("the thread that draws procedural scenes died; see its traceback") from None
    finally:
        stop.set()
        thread.join()
