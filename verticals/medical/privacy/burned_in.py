"""A picture in, places that look like text out: names and dates burned into pixels, which no tag removes.

No characters are read. Text is recognised by what all writing shares: thin strokes of one strength that stand out from
their surroundings, in pieces of like height that stand on one line. Hairs are longer and cross lines, ticks of a ruler
are narrow, which few characters are; digits of a ruler are text and count as such.

It is a gate for a person's attention, and no certificate: text of one or two characters, smaller than about 8 pixels,
with strokes wider than a fortieth of the picture, handwritten, upright, turned by more than a few degrees, or barely
visible is not found. Faces are not looked for at all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError
from shared.records import Box

Picture = NDArray[np.uint8]
Grey = NDArray[np.uint8]

LIMIT = 5.25
"""Score from which a line is called text. Set on drawn skin of all tones alone, with hairs, bubbles and rulers on it;
``benchmarks/medical_gates.py`` without data measures it there."""
_SMALLEST_SIDE = 224
"""Pictures are halved until their shorter side would fall below this, and looked at in every size on the way."""
_STROKE_PX = 11
"""Side of the structuring element: strokes up to ten pixels wide stand out from it, larger spots do not."""
_STRENGTHS = (24, 40, 64, 100)
"""Levels at which strokes are cut, in grey levels: faint text needs a low one, a busy ground a high one."""
_HEIGHT_PX, _LEAST_AREA_PX = (6, 60), 6
_STRAIGHT = 0.25
"""Breadth over length below which a piece is a straight line, as are ticks and hairs, and few characters."""
_SLENDER = 0.45
"""Mean breadth over length of a line's pieces below which it looks like ticks: nearly all drawn rows of ticks lie
below, and few drawn lines of text."""
_STRONG = 80
"""Strength from which more says nothing more: the skin between two hairs stands out by as much as they are dark."""
_FEWEST = 3
"""Pieces that make a line; two things of like height are side by side everywhere."""
_TILE_PX = 32
"""Side of the tiles of which a mask is asked whether anything is in them."""
_QUICK_PX = 2**22
"""Largest picture that a quick look takes as it is: of 12 megapixels it sees half of the height and width."""
_COLUMNS = ("x", "y", "width", "height", "strength", "stroke", "breadth")


@dataclass(frozen=True)
class Text:
    """A line of what looks like text.

    Attributes:
        box: Where, in the picture's pixels.
        pieces: Number of characters, or parts of them.
        score: How much it looks like text; called text from :data:`LIMIT`.
    """

    box: Box
    pieces: int
    score: float


def find(picture: Picture, *, quick: bool = False) -> tuple[Text, ...]:
    """Look for lines of text.

    Args:
        picture: ``(rows, columns, 3)`` uint8 RGB.
        quick: Halve pictures of more than :data:`_QUICK_PX` pixels first, so that the time has a bound; in those,
            letters of less than about 16 pixels are not found. Never enough for a picture that leaves the site.

    Returns:
        The lines, the likeliest first; empty where nothing looks like text.

    Raises:
        DataError: Another shape or dtype.
    """
    return tuple(line for line in candidates(picture, quick=quick) if line.score >= LIMIT)


def candidates(picture: Picture, *, quick: bool = False) -> tuple[Text, ...]:
    """All lines of like pieces, text or not, the likeliest first and each place once; for measuring :data:`LIMIT`.

    Raises:
        DataError: ``picture`` is not ``(rows, columns, 3)`` uint8 RGB.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise DataError(f"a picture of shape {picture.shape} and dtype {picture.dtype}; allowed is (H, W, 3) uint8 RGB")
    rows, columns = picture.shape[:2]
    found: list[Text] = []
    for factor, scaled in _sizes(picture, _QUICK_PX if quick else rows * columns):
        # Red and blue beside grey: cyan or yellow on skin differ from it in colour and hardly in brightness.
        for grey in (cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY), scaled[..., 0], scaled[..., 2]):
            plane = np.ascontiguousarray(grey)
            for sign, strokes in zip((1, -1), _strokes(plane), strict=True):
                for level in _STRENGTHS:
                    pieces = _pieces(strokes, level, plane, sign)
                    found += [_text(pieces[line], factor, columns, rows) for line in _groups(pieces, _follows)]
    best: list[Text] = []
    for line in sorted(found, key=lambda text: -text.score):
        if not any(line.box.intersects(other.box) for other in best):
            best.append(line)
    return tuple(best)


def _sizes(picture: Picture, most_px: int) -> Iterator[tuple[int, Picture]]:
    """The picture, and it shrunk by 2, 4 ... in which large text has strokes thin enough; none above ``most_px``."""
    factor, scaled = 1, picture
    while True:
        rows, columns = scaled.shape[:2]
        if rows * columns <= most_px:
            yield factor, scaled
            if min(rows, columns) // 2 < _SMALLEST_SIDE:
                return
        factor *= 2
        half = (max(columns // 2, 1), max(rows // 2, 1))
        scaled = np.asarray(cv2.resize(scaled, half, interpolation=cv2.INTER_AREA), np.uint8)


def _strokes(grey: Grey) -> tuple[Grey, Grey]:
    """How far bright and dark strokes stand out, in grey levels: white and black top-hat (Meyer 1979)."""
    element = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE_PX, _STROKE_PX))
    bright = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, element)
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, element)
    return np.asarray(bright, np.uint8), np.asarray(dark, np.uint8)


def _pieces(strokes: Grey, level: int, plane: Grey, sign: int) -> NDArray[np.float64]:
    """Connected strokes that could be characters and are not alone, ``(n, 7)``: :data:`_COLUMNS`, ordered by x."""
    mask = (strokes >= level).view(np.uint8)
    if cv2.countNonZero(mask) < _FEWEST * _LEAST_AREA_PX:
        return np.zeros((0, len(_COLUMNS)))
    numbers, stats = _connected(mask)
    width, height, area = stats[:, 2], stats[:, 3], stats[:, 4]
    shape = (height >= _HEIGHT_PX[0]) & (height <= _HEIGHT_PX[1]) & (width <= 2.2 * height + 4)
    stats = stats[shape & (area >= _LEAST_AREA_PX)]
    # By place alone first: looking closely at a piece costs ten times as much, and most have no neighbour.
    stats = stats[np.lexsort(stats[:, 3::-1].T)]
    groups = _groups(stats[:, :4].astype(np.float64), _placed)
    pieces = []
    for i in sorted(member for group in groups for member in group):
        x, y, w, h, _, number = map(int, stats[i])
        inside = numbers[y : y + h, x : x + w] == number
        seen = _closely(inside, (x, y), strokes, plane, sign * level)
        if seen is not None:
            pieces.append((x, y, w, h, *seen))
    return np.array(pieces, np.float64).reshape(-1, len(_COLUMNS))


def _connected(mask: Grey) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Connected components of a mask: their numbers by pixel, and ``(n, 6)`` x, y, width, height, area and number.

    Strokes are few: the components of a large, nearly empty mask are found where something is, and not by numbering all
    of it, which was four fifths of the time of the search.
    """
    numbers = np.zeros(mask.shape, np.int32)
    found, count = [np.zeros((0, 6), np.int32)], 0
    for x0, y0, x1, y1 in _islands(mask):
        several, own, stats, _ = cv2.connectedComponentsWithStats(mask[y0:y1, x0:x1], connectivity=8)
        own[own > 0] += count
        numbers[y0:y1, x0:x1] = own
        stats[:, :2] += (x0, y0)
        found.append(np.column_stack([stats[1:], np.arange(count + 1, count + several, dtype=np.int32)]))
        count += several - 1
    return numbers, np.concatenate(found)


def _islands(mask: Grey) -> list[tuple[int, int, int, int]]:
    """Boxes ``(x0, y0, x1, y1)`` that share no pixel, of which each component of the mask lies in one."""
    rows, columns = mask.shape
    points = cv2.findNonZero(mask)
    if points is None or len(points) > mask.size / 50:
        return [(0, 0, columns, rows)]
    tiles = np.zeros((rows // _TILE_PX + 1, columns // _TILE_PX + 1), np.uint8)
    columns_of, rows_of = points.reshape(-1, 2).T // _TILE_PX
    tiles[rows_of, columns_of] = 1
    _, _, stats, _ = cv2.connectedComponentsWithStats(tiles, connectivity=8)
    boxes = [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:]]
    apart: list[tuple[int, int, int, int]] = []
    while boxes:
        box = boxes.pop()
        other = next((o for o in apart if o[0] < box[2] and box[0] < o[2] and o[1] < box[3] and box[1] < o[3]), None)
        if other is None:
            apart.append(box)
            continue
        apart.remove(other)
        boxes.append((min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3])))
    ends = np.minimum(np.array(apart) * _TILE_PX, (columns, rows, columns, rows))
    return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in ends]


def _closely(
    inside: NDArray[np.bool_], at: tuple[int, int], strokes: Grey, plane: Grey, level: int
) -> tuple[float, float, float] | None:
    """Strength, stroke width and breadth of a piece; None where it is a gap between two others.

    A character differs from what lies above and below it. The skin between two ticks or hairs does not: it stands out
    from them alone.

    Args:
        inside: Where in its box the piece is.
        at: x and y of the box.
        strokes: How far strokes stand out.
        plane: The picture they stand out of.
        level: At which they were cut; below zero for dark ones.
    """
    (h, w), (x, y) = inside.shape, at
    above, below = plane[max(0, y - 2) : y, x : x + w], plane[y + h : y + h + 2, x : x + w]
    if count := above.size + below.size:
        ground = (int(above.sum()) + int(below.sum())) / count
        if (float(plane[y : y + h, x : x + w][inside].mean()) - ground) / level < 0.5:
            return None
    framed = np.zeros((h + 2, w + 2), np.uint8)
    framed[1:-1, 1:-1] = inside
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    strength = np.percentile(strokes[y : y + h, x : x + w][inside], 75)
    return float(strength), 2 * float(np.percentile(depth[inside], 90)), _breadth(inside)


def _breadth(piece: NDArray[np.bool_]) -> float:
    """Breadth over length of a piece, 0 (a straight line) to 1, from its second moments."""
    y, x = np.nonzero(piece)
    y, x = y - y.mean(), x - x.mean()
    # A pixel is a square of one: its own second moment is a twelfth.
    yy, xx, xy = (float(v) / (len(x) - 1) for v in (y @ y, x @ x, x @ y))
    mean, apart = (yy + xx) / 2 + 1 / 12, float(np.hypot((yy - xx) / 2, xy))
    return float(np.sqrt(max(mean - apart, 0) / (mean + apart)))


Follows = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def _groups(pieces: NDArray[np.float64], follows: Follows) -> list[list[int]]:
    """Numbers of pieces that follow each other, in groups of at least :data:`_FEWEST`; pieces are ordered by x."""
    parent = list(range(len(pieces)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    ends = np.searchsorted(pieces[:, 0], pieces[:, 0] + pieces[:, 2] + _HEIGHT_PX[1], side="right")
    for i, piece in enumerate(pieces):
        for j in np.nonzero(follows(piece, pieces[i + 1 : ends[i]]))[0]:
            parent[root(i + 1 + int(j))] = root(i)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(pieces)):
        groups[root(i)].append(i)
    return [members for members in groups.values() if len(members) >= _FEWEST]


def _placed(piece: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the others, all further right, stand on the same line as the piece, near it and of like height."""
    x, y, width, height = piece[:4]
    xs, ys, widths, heights = others.T[:4]
    taller = np.maximum(heights, height)
    level = (np.abs(ys + heights - y - height) <= 0.3 * taller) | (np.abs(ys - y) <= 0.2 * taller)
    near = (xs - x - width <= taller) & (xs >= x + width - 0.3 * np.minimum(widths, width))
    fits: NDArray[np.bool_] = near & level & (np.minimum(heights, height) >= 0.55 * taller)
    return fits


def _follows(piece: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the others are placed behind the piece and are alike in strength and stroke, too."""
    strength, stroke, (strengths, strokes) = piece[4], piece[5], others.T[4:6]
    alike = np.minimum(strengths, strength) >= 0.6 * np.maximum(strengths, strength)
    alike &= np.minimum(strokes, stroke) >= 0.5 * np.maximum(strokes, stroke)
    fits: NDArray[np.bool_] = alike & _placed(piece, others)
    return fits


def _text(line: NDArray[np.float64], factor: int, columns: int, rows: int) -> Text:
    x, y, width, height = (line[:, i] for i in range(4))
    x1, y1 = min(columns, int((x + width).max()) * factor), min(rows, int((y + height).max()) * factor)
    return Text(Box(int(x.min()) * factor, int(y.min()) * factor, x1, y1), len(line), score(line))


def score(line: Sequence[Sequence[float]] | NDArray[np.float64]) -> float:
    """How much a line of pieces looks like text: many, strong, of one height and strength, on one straight level line.

    Args:
        line: ``(n, 7)``: x, y, width, height, strength, stroke width and breadth over length of each piece.

    Returns:
        A sum of terms with weights set by hand on drawn text; no bounds.
    """
    x, y, width, height, strength, _, breadth = np.asarray(line, np.float64).T
    bottom = y + height
    uneven = float(np.median(np.abs(bottom - np.median(bottom))) / height.mean())
    slope = abs(float(np.polyfit(x + width / 2, bottom, 1)[0]))
    straight = float((breadth < _STRAIGHT).mean())
    spread = 6 * height.std() / height.mean() + 3 * strength.std() / strength.mean()
    total = (
        min(len(x), 9) / 2
        + min(strength.mean(), _STRONG) / 15
        - 12 * uneven
        - 15 * slope
        - spread
        - 12 * max(straight - 0.4, 0)
        - 30 * max(_SLENDER - float(breadth.mean()), 0)
    )
    return float(total)
