"""A seed in, a folder of drawn line-camera strips with sidecars, masks and defect lists out; labelled synthetic."""

from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from shared import atomic
from shared.data import images
from shared.errors import require
from verticals.industrial.defects import DRAW, mirrored, press
from verticals.industrial.pixels import BITS
from verticals.industrial.shapes import Stamp
from verticals.industrial.surface import FINISHES, Field, Look, Surface, expose, plain, random_look, shade

MM_PER_PX = 0.05
LINE_RATE_HZ = 20_000.0
"""20 kHz at 0.05 mm per line is a part moving at 1 m/s."""
_FORMATS = (("Mono8", ".raw"), ("Mono12", ".raw"), ("Mono16", ".tif"))
_FLAWLESS = 5
"""Every so many parts one is without a defect: without good parts nobody can see what is flagged for nothing."""
_REDRAWN = 8
_GAP_PX = 14
"""Least distance between the patches of two defects."""

Mask = NDArray[np.uint8]


def synth(out: Path, *, seed: int = 0, small: bool = False, parts: int | None = None) -> Path:
    """Draw parts with defects of all 23 types, one strip each; every fifth part is without a defect.

    Beside each data file ``<stem>.raw`` or ``<stem>.tif`` lie ``<stem>.toml`` (the sidecar, written last),
    ``<stem>.mask.png`` (0 or the place of the type in ``labels.toml``, from 1) and ``<stem>.defects.csv``. The same
    arguments give the same bytes; without tifffile the TIFF becomes a raw Mono16 strip.

    Args:
        out: Folder; made where it does not exist, files of the same names are replaced.
        seed: Seed of everything random.
        small: Ten strips of 512 x 1024 pixels instead of sixty of 1024 x 1024.
        parts: Number of strips, instead of ten or sixty.

    Returns:
        ``out``.
    """
    width, lines, per_part = (512, 1024, 12) if small else (1024, 1024, 21)
    count = parts if parts is not None else (10 if small else 60)
    deck = iter(_deck(np.random.default_rng([seed, 0]), count * per_part))
    for part in tqdm(range(count), desc="drawing parts", unit="part", disable=None, leave=False):
        rng = np.random.default_rng([seed, 1 + part])
        look = random_look(rng, FINISHES[part % len(FINISHES)])
        surface = plain(rng, (lines, width), look)
        mask, table = scatter(
            rng, surface, look, [] if part % _FLAWLESS == _FLAWLESS - 1 else list(islice(deck, per_part))
        )
        pixel_format, suffix = _FORMATS[part % len(_FORMATS)]
        if suffix == ".tif" and find_spec("tifffile") is None:
            suffix = ".raw"
        stem = out / f"part{part + 1:02d}"
        _write_pixels(stem.with_suffix(suffix), expose(shade(surface, look), look, rng), pixel_format)
        images.write_png(stem.with_suffix(".mask.png"), mask)
        atomic.write(stem.with_suffix(".defects.csv"), table.to_csv(index=False, lineterminator="\n"))
        atomic.write(stem.with_suffix(".toml"), _sidecar(stem.name, pixel_format, width, lines, look.finish))
    return out


def scatter(rng: np.random.Generator, surface: Surface, look: Look, codes: list[str]) -> tuple[Mask, pd.DataFrame]:
    """Lay one defect of each code on a surface, in place, so that none touches another.

    A defect that finds no room is drawn anew up to eight times, then left out.

    Returns:
        ``(H, W)`` uint8 with the types' places in the taxonomy, and the list of what was laid: type, box in pixels
        (half-open), length in mm and area in mm2.
    """
    mask = np.zeros(surface.height.shape, np.uint8)
    taken = np.zeros(mask.shape, bool)
    index = {code: place for place, code in enumerate(DRAW, start=1)}
    # Long and wide ones first: small ones still find room between them.
    drawn = sorted(((DRAW[code](rng, look), code) for code in codes), key=lambda pair: -pair[0].mask.size)
    rows = []
    for each, code in drawn:
        place = _room(rng, taken, each, look)
        for _ in range(_REDRAWN):
            if place is None:
                place = _room(rng, taken, DRAW[code](rng, look), look)
        if place is None:
            continue
        x, y, turned = place
        # A stamp may overhang the part's edge; what is seen of it counts.
        pressed = press(surface, turned, x, y)
        top, left = max(y, 0), max(x, 0)
        h, w = pressed.shape
        mask[top : top + h, left : left + w][pressed] = index[code]
        taken[max(top - _GAP_PX, 0) : top + h + _GAP_PX, max(left - _GAP_PX, 0) : left + w + _GAP_PX] = True
        rows.append(_row(code, pressed, left, top))
    columns = ["type", "x0", "y0", "x1", "y1", "length_mm", "area_mm2"]
    return mask, pd.DataFrame(rows, columns=columns).sort_values(["y0", "x0"], kind="stable")


def _deck(rng: np.random.Generator, count: int) -> list[str]:
    """Types in shuffled rounds, so that all occur equally often."""
    rounds = [rng.permutation(list(DRAW)) for _ in range(-(-count // len(DRAW)))]
    return [str(code) for code in np.concatenate(rounds)[:count]] if count else []


def _room(rng: np.random.Generator, taken: NDArray[np.bool_], each: Stamp, look: Look) -> tuple[int, int, Stamp] | None:
    """A free place for a stamp (x, y of its corner), and the stamp as it fits there."""
    lines, width = taken.shape
    h, w = each.mask.shape
    inset = look.margin + 8
    if h > lines - 8 or (each.at_edge is None and w > width - 2 * inset):
        return None
    for _ in range(300):
        y = int(rng.integers(4, lines - h - 3))
        turned = each
        if each.at_edge is None:
            x = int(rng.integers(inset, width - inset - w + 1))
        elif rng.random() < 0.5:
            x = look.margin - each.at_edge
        else:
            turned = mirrored(each)
            x = width - look.margin + each.at_edge - w
        if not taken[y : y + h, max(x, 0) : x + w].any():
            return x, y, turned
    return None


def _row(code: str, pressed: NDArray[np.bool_], left: int, top: int) -> list[str | int | float]:
    y, x = np.nonzero(pressed)
    x0, y0, x1, y1 = int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
    # Greatest extent as the longest of the projections on 36 directions, within 0.1 % of the greatest diameter.
    turns = np.linspace(0, np.pi, 36, endpoint=False)
    along = np.outer(np.cos(turns), x) + np.outer(np.sin(turns), y)
    length_px = float((along.max(axis=1) - along.min(axis=1)).max()) + 1
    length_mm, area_mm2 = round(length_px * MM_PER_PX, 3), round(len(x) * MM_PER_PX**2, 4)
    return [code, left + x0, top + y0, left + x1, top + y1, length_mm, area_mm2]


def _write_pixels(path: Path, light: Field, pixel_format: str) -> None:
    full = 2 ** BITS[pixel_format] - 1
    values = np.rint(light * np.float32(full)).astype(np.uint8 if full == 255 else "<u2")
    if path.suffix == ".raw":
        atomic.write(path, values.tobytes())
        return
    with atomic.file(path) as temporary:
        require("tifffile", extra="industrial").imwrite(temporary, values, metadata=None, software=False)


def _sidecar(part: str, pixel_format: str, width: int, lines: int, finish: str) -> str:
    return (
        f"# Drawn by loupe, not photographed: a {finish} surface.\n"
        f'width = {width}\nlines = {lines}\npixel_format = "{pixel_format}"\nline_rate_hz = {LINE_RATE_HZ}\n'
        f'mm_per_px = [{MM_PER_PX}, {MM_PER_PX}]\npart = "{part}"\ncamera = "drawn"\nsynthetic = true\n'
    )
