"""Copies of a picture: found by hash in any of the eight orientations, confirmed by comparing the pictures themselves.

A hash alone is not enough: on plain surfaces hashes of different pictures meet by chance, and those of brightened
copies drift apart. So candidates are taken from a wider distance of the hashes, and each is confirmed by the
correlation of small grey pictures, after what all pictures of the set have in common was taken away.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from shared.data.rgb import Picture

SIDE = 32
"""Side of the small grey picture, as in the perceptual hash."""
REACH = 6
"""Candidates may lie this many bits further apart than hashes that count without confirmation."""
LIKENESS = 0.95
"""Correlation that confirms a copy. Chosen on six public sets: of up to 150 recompressed, resized, brightened and
turned copies of each kind and set, at most 5 % lay below 0.969 (brightened steel, clipped to white, down to 0.81); of
about 1.1 million pairs of different groups one lay above it within the reach of the hash."""
ORIENTATIONS = 8
_FEW = 20
_FLAT = 1.0
_BLOCK = 2**22

Thumbnails = NDArray[np.uint8]
Pairs = NDArray[np.int64]


def thumbnail(picture: Picture) -> Thumbnails:
    """``(32, 32)`` uint8 grey, of ``(H, W, 3)`` or ``(H, W)`` uint8."""
    small = Image.fromarray(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)


def hashes(thumbnails: Thumbnails) -> NDArray[np.uint64]:
    """64-bit pHash (Zauner 2010, the bits of ``imagehash.phash``) of ``(n, 32, 32)`` thumbnails; shape ``(n,)``."""
    waves = dctn(thumbnails.astype(np.float64), axes=(1, 2))[:, :8, :8].reshape(-1, 64)
    bits = waves > np.median(waves, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def turned(thumbnails: Thumbnails, orientation: int) -> Thumbnails:
    """Thumbnails ``(n, 32, 32)`` in one of the eight orientations: 0 to 3 quarter turns, and the same mirrored."""
    quarter = np.rot90(thumbnails, orientation % 4, axes=(1, 2))
    return np.ascontiguousarray(quarter[:, :, ::-1] if orientation >= 4 else quarter)


def every_way(thumbnails: Thumbnails) -> NDArray[np.uint64]:
    """Hashes of ``(n, 32, 32)`` thumbnails in each orientation, first as they lie; shape ``(n, 8)``."""
    return np.stack([hashes(turned(thumbnails, orientation)) for orientation in range(ORIENTATIONS)], 1)


def written(hashed: NDArray[np.uint64]) -> str:
    """The hashes ``(k,)`` of one picture as text; the inverse is :func:`read`."""
    return " ".join(f"{h:016x}" for h in hashed.tolist())


def read(text: str) -> NDArray[np.uint64]:
    """Hashes ``(k,)`` of one picture, first as it lies; tables of earlier versions have that one alone."""
    return np.array([int(h, 16) for h in text.split()], np.uint64)


def known(thumbnails: Thumbnails, hashed: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Which of the pictures that are known by their hash alone each one shows, whichever way it was turned or mirrored.

    Args:
        thumbnails: ``(n, 32, 32)``.
        hashed: ``(m,)`` hashes of the known pictures, as they lie.
        bits: Greatest distance of two hashes of one picture, 0 to 64.

    Returns:
        Index of the nearest known picture ``(n,)``; -1 where none is as near as that.
    """
    n = len(thumbnails)
    found, nearest = np.full(n, -1, np.int64), np.full(n, bits + 1, np.int64)
    if not len(hashed):
        return found
    step = max(1, _BLOCK // len(hashed))
    for orientation in range(ORIENTATIONS):
        own = hashes(turned(thumbnails, orientation)) if n else np.zeros(0, np.uint64)
        for start in range(0, n, step):
            apart = np.bitwise_count(own[start : start + step, None] ^ hashed[None, :])
            best = apart.argmin(1)
            distance = apart[np.arange(len(apart)), best].astype(np.int64)
            closer = np.flatnonzero(distance < nearest[start : start + step]) + start
            found[closer], nearest[closer] = best[closer - start], distance[closer - start]
    return found


def alike(thumbnails: Thumbnails, bits: int) -> tuple[Pairs, NDArray[np.float32]]:
    """Pairs that are one picture, whichever way it was turned or mirrored.

    Args:
        thumbnails: ``(n, 32, 32)``.
        bits: Greatest distance of the hashes of a candidate, 0 to 64.

    Returns:
        Pairs ``(pairs, 2)`` with the lower number first, each once, and their correlation ``(pairs,)``, at least
        :data:`LIKENESS`.
    """
    n = len(thumbnails)
    own, plain = hashes(thumbnails), _standardised(thumbnails)
    # What a fixed camera sees in every picture proves nothing about two of them.
    usual = plain.mean(0) if n >= _FEW else np.zeros(SIDE * SIDE, np.float32)
    telling = thumbnails.reshape(n, -1).std(1) >= _FLAT
    left = _unit(plain - usual)
    best: dict[tuple[int, int], float] = {}
    for orientation in range(ORIENTATIONS):
        other = turned(thumbnails, orientation)
        theirs, right = hashes(other), _unit(_standardised(other) - usual)
        step = max(1, _BLOCK // max(n, 1))
        for start in range(0, n, step):
            near = np.bitwise_count(own[start : start + step, None] ^ theirs[None, :]) <= bits
            i, j = np.nonzero(np.triu(near, start + 1))
            i = i + start
            i, j = i[telling[i] & telling[j]], j[telling[i] & telling[j]]
            for a, b, like in zip(i, j, _correlations(left, right, i, j), strict=True):
                if like >= LIKENESS:
                    best[int(a), int(b)] = max(float(like), best.get((int(a), int(b)), 0.0))
    pairs = np.array(list(best), np.int64).reshape(-1, 2)
    return pairs, np.array(list(best.values()), np.float32)


def _correlations(left: NDArray[np.float32], right: NDArray[np.float32], i: Pairs, j: Pairs) -> NDArray[np.float32]:
    """``left[i] . right[j]``; as one product of matrices, because candidates come in clumps."""
    rows, to_row = np.unique(i, return_inverse=True)
    columns, to_column = np.unique(j, return_inverse=True)
    result: NDArray[np.float32] = (left[rows] @ right[columns].T)[to_row, to_column]
    return result


def _standardised(thumbnails: Thumbnails) -> NDArray[np.float32]:
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    return _unit(flat - flat.mean(1, keepdims=True))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return result
