import cv2
import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.data import copies


def scene(seed: int, side: int = 96) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (7, 7, 3)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def jpeg(picture: NDArray[np.uint8], quality: int = 60) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)


CHANGES = {
    "recompressed": lambda p: jpeg(p),
    "resized": lambda p: cv2.resize(p, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
    "brightened": lambda p: cv2.convertScaleAbs(p, alpha=1.1, beta=10),
    "quarter turn": lambda p: np.ascontiguousarray(np.rot90(p)),
    "half turn": lambda p: np.ascontiguousarray(np.rot90(p, 2)),
    "mirrored": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "transposed and recompressed": lambda p: jpeg(np.ascontiguousarray(p.transpose(1, 0, 2))),
}


def test_the_hash_is_that_of_imagehash() -> None:
    pictures = [scene(i) for i in range(20)]
    ours = copies.hashes(np.stack([copies.thumbnail(p) for p in pictures]))
    theirs = [int(str(imagehash.phash(Image.fromarray(p))), 16) for p in pictures]
    assert ours.tolist() == theirs


def test_the_eight_orientations_differ_and_bring_every_turn_back() -> None:
    one = copies.thumbnail(scene(3))[None]
    seen = {copies.turned(one, o).tobytes() for o in range(copies.ORIENTATIONS)}
    assert len(seen) == 8
    assert all({copies.turned(copies.turned(one, o), p).tobytes() for p in range(8)} == seen for o in range(8))


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_in_any_orientation(change: str) -> None:
    pictures = [scene(i) for i in range(30)]
    pictures += [CHANGES[change](p) for p in pictures[:10]]
    pairs, likeness = copies.alike(np.stack([copies.thumbnail(p) for p in pictures]), 10)
    assert sorted(map(tuple, pairs.tolist())) == [(i, 30 + i) for i in range(10)]
    assert likeness.min() >= copies.LIKENESS


def test_different_parts_before_a_fixed_camera_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    background = scene(1).astype(np.float32)
    pictures = []
    for _ in range(40):
        spots = cv2.resize(rng.normal(0, 14, (12, 12)).astype(np.float32), (96, 96), interpolation=cv2.INTER_CUBIC)
        pictures.append((background + spots[..., None]).clip(0, 255).astype(np.uint8))
    pictures.append(jpeg(pictures[5]))
    small = np.stack([copies.thumbnail(p) for p in pictures])
    raw = small.reshape(len(small), -1).astype(float)
    assert np.corrcoef(raw).min() > 0.85  # by eye and by plain correlation they are all one scene
    assert copies.alike(small, 64)[0].tolist() == [[5, 40]]


def test_plain_surfaces_are_no_copies_of_each_other() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.normal(128, 6, (200, 200, 1)).clip(0, 255).astype(np.uint8).repeat(3, 2) for _ in range(60)]
    blank = [np.full((50, 50, 3), level, np.uint8) for level in (0, 90, 91, 255)]
    pairs, _ = copies.alike(np.stack([copies.thumbnail(p) for p in pictures + blank]), 10)
    assert len(pairs) == 0


def test_one_image_alone_and_two_copies_alone() -> None:
    one = copies.thumbnail(scene(0))[None]
    assert len(copies.alike(one, 10)[0]) == 0
    assert copies.alike(np.concatenate([one, copies.turned(one, 5)]), 10)[0].tolist() == [[0, 1]]
