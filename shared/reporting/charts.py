"""Charts as inline SVG text: no script, nothing loaded from elsewhere, readable on paper and by a screen reader."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

INK, PALE, BAR, SECOND = "#1b2733", "#e6eaee", "#8fb8dc", "#a65300"
STRONG = "#0b3d70"
STAGE_COLOURS = ("#0b3d70", "#a65300", "#117733", "#6b3fa0", "#882255", "#00695c", "#555555", "#7a5c00")
"""Each has a contrast of more than 4.5 to white (WCAG 2.2, 1.4.3)."""
_LEFT, _TOP, _SIDE, _WIDE = 46, 10, 260, 430
Point = tuple[float, float]


def interval_bar(value: float | None, low: float, high: float, said: str) -> str:
    """A bar from 0 to a share, with its interval as a whisker.

    Args:
        value: The share, 0 to 1; None where there are no cases, then the bar is left out.
        low: Lower end of the interval, 0 to 1.
        high: Upper end.
        said: The same in words, for a screen reader.
    """
    parts = [f'<rect x="0" y="2" width="200" height="12" fill="{PALE}"/>']
    if value is not None:
        a, b = 200 * low, 200 * high
        parts += [
            f'<rect x="0" y="2" width="{_n(200 * value)}" height="12" fill="{BAR}"/>',
            f'<path d="M{_n(a)} 8H{_n(b)}M{_n(a)} 4V12M{_n(b)} 4V12" stroke="{INK}" stroke-width="1.5" fill="none"/>',
        ]
    return _svg(202, 16, said, parts, css="bar", left=-1)


def reliability(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> str:
    """Accuracy over confidence, with the diagonal of a perfectly calibrated model.

    Args:
        before: Bins before the temperature, see :func:`shared.reporting.rates.reliability`; may be empty.
        after: Bins after it, drawn with their intervals.
    """

    def place(x: float, y: float) -> Point:
        return _LEFT + _SIDE * x, _TOP + _SIDE * (1 - y)

    ticks = [(t / 5, f"{20 * t}") for t in range(6)]
    parts = _axes(_SIDE, ticks, ticks, "stated confidence, %", "right, %")
    parts.append(_line([place(0, 0), place(1, 1)], "#5b6770", 'stroke-dasharray="2 4"'))
    parts.append(_line([place(b["confidence"], b["accuracy"]) for b in before], SECOND, 'stroke-dasharray="6 3"'))
    for b in before:
        x, y = place(b["confidence"], b["accuracy"])
        parts.append(f'<rect x="{_n(x - 3)}" y="{_n(y - 3)}" width="6" height="6" fill="white" stroke="{SECOND}"/>')
    for b in after:
        (x, low), (_, high) = place(b["confidence"], b["low"]), place(b["confidence"], b["high"])
        parts.append(f'<path d="M{_n(x)} {_n(low)}V{_n(high)}" stroke="{STRONG}" stroke-opacity=".45"/>')
    parts.append(_line([place(b["confidence"], b["accuracy"]) for b in after], STRONG))
    parts += [_dot(place(b["confidence"], b["accuracy"])) for b in after]
    said = "Reliability curve after the temperature: " + _told(after, "confidence", "accuracy")
    if before:
        said += ". Before: " + _told(before, "confidence", "accuracy")
    return _svg(_LEFT + _SIDE + 14, _TOP + _SIDE + 40, said, parts, css="chart")


def learning_curve(points: Sequence[Mapping[str, float]]) -> str:
    """Balanced accuracy over the number of training images, with intervals where they are known.

    Args:
        points: ``n`` and ``balanced_accuracy``, perhaps with ``low`` and ``high``; shares from 0 to 1.
    """
    points = sorted(points, key=lambda p: p["n"])
    known = all("low" in p and "high" in p for p in points)
    most = max(p["n"] for p in points) or 1
    floor = math.floor(10 * min(p.get("low", p["balanced_accuracy"]) for p in points)) / 10
    floor = min(max(floor, 0.0), 0.9)

    def place(x: float, y: float) -> Point:
        return _LEFT + _WIDE * x / most, _TOP + _SIDE * (1 - (y - floor) / (1 - floor))

    steps = round(10 * (1 - floor))
    up = [(t / steps, f"{100 * floor + 10 * t:.0f}") for t in range(steps + 1)]
    along = [(p["n"] / most, f"{p['n']:.0f}") for p in points]
    parts = _axes(_WIDE, _apart(along, 0.08), up, "training images", "balanced accuracy, %")
    if known:
        band = [place(p["n"], p["low"]) for p in points] + [place(p["n"], p["high"]) for p in reversed(points)]
        parts.append(f'<polygon points="{_points(band)}" fill="{BAR}" fill-opacity=".45"/>')
    parts.append(_line([place(p["n"], p["balanced_accuracy"]) for p in points], STRONG))
    parts += [_dot(place(p["n"], p["balanced_accuracy"])) for p in points]
    said = "Learning curve, training images and balanced accuracy: " + "; ".join(
        f"{p['n']:.0f} images {p['balanced_accuracy']:.1%}" + (f" ({p['low']:.1%} to {p['high']:.1%})" if known else "")
        for p in points
    )
    return _svg(_LEFT + _WIDE + 14, _TOP + _SIDE + 40, said, parts, css="chart")


def time_bar(stages: Sequence[Mapping[str, Any]], budget: float) -> str:
    """Where the time went, one part of a bar per stage, and what was left of the budget.

    Args:
        stages: ``name`` and ``seconds``, in the order in which they are drawn.
        budget: Seconds that were allowed; 0 where no budget is known.
    """
    spent = sum(s["seconds"] for s in stages)
    whole, at, parts = max(spent, budget, 1e-9), 0.0, [f'<rect width="700" height="30" fill="{PALE}"/>']
    for i, stage in enumerate(stages):
        width = 700 * stage["seconds"] / whole
        colour = STAGE_COLOURS[i % len(STAGE_COLOURS)]
        parts.append(f'<rect x="{_n(at)}" width="{_n(width)}" height="30" fill="{colour}" stroke="white"/>')
        if width > 8 * len(str(i + 1)) + 6:
            parts.append(f'<text x="{_n(at + width / 2)}" y="20" text-anchor="middle" fill="white">{i + 1}</text>')
        at += width
    if budget > spent:
        parts.append(f'<rect width="700" height="30" fill="none" stroke="{INK}"/>')
    said = "Time per stage: " + "; ".join(f"{s['name']} {s['seconds']:.1f} s" for s in stages)
    return _svg(702, 32, said, parts, css="wide", left=-1, top=-1)


def heat_map(counts: Sequence[Sequence[int]], said: str) -> str:
    """A confusion matrix with too many labels for a table: the darker a cell, the larger its share of the row.

    Args:
        counts: True label by predicted label.
        said: The same in words.
    """
    n, parts = len(counts), [f'<rect width="{len(counts)}" height="{len(counts)}" fill="#f4f6f8"/>']
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                colour = STRONG if i == j else "#8f1d1d"
                shade = 0.25 + 0.75 * count / sum(row)
                parts.append(f'<rect x="{j}" y="{i}" width="1" height="1" fill="{colour}" fill-opacity="{shade:.2f}"/>')
    return _svg(n, n, said, parts, css="heat")


def _axes(
    width: float, along: Iterable[tuple[float, str]], up: Iterable[tuple[float, str]], x: str, y: str
) -> list[str]:
    """Frame, grid and labels; ticks are a place from 0 to 1 and its text."""
    parts, bottom = [], _TOP + _SIDE
    for place, text in up:
        at = _n(bottom - _SIDE * place)
        parts.append(f'<path d="M{_LEFT} {at}H{_n(_LEFT + width)}" stroke="{PALE}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at}" dy="4" text-anchor="end">{text}</text>')
    for place, text in along:
        at = _n(_LEFT + width * place)
        parts.append(f'<path d="M{at} {bottom}v4" stroke="{INK}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 17}" text-anchor="middle">{text}</text>')
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{_n(_LEFT + width)}" stroke="{INK}" fill="none"/>')
    parts.append(f'<text x="{_n(_LEFT + width / 2)}" y="{bottom + 35}" text-anchor="middle">{escape(x)}</text>')
    turned = f'transform="translate(11 {_n(_TOP + _SIDE / 2)}) rotate(-90)"'
    return [*parts, f'<text {turned} text-anchor="middle">{escape(y)}</text>']


def _apart(ticks: Sequence[tuple[float, str]], least: float) -> list[tuple[float, str]]:
    """The ticks from the last to the first that have room for their text."""
    kept: list[tuple[float, str]] = []
    for tick in reversed(ticks):
        if not kept or kept[-1][0] - tick[0] >= least:
            kept.append(tick)
    return kept


def _told(bins: Sequence[Mapping[str, float]], x: str, y: str) -> str:
    return "; ".join(f"{b[x]:.0%} stated, {b[y]:.0%} right of {b['n']:.0f}" for b in bins)


def _line(points: Sequence[Point], colour: str, more: str = "") -> str:
    return f'<polyline points="{_points(points)}" fill="none" stroke="{colour}" stroke-width="2" {more}/>'


def _dot(point: Point) -> str:
    return f'<circle cx="{_n(point[0])}" cy="{_n(point[1])}" r="4" fill="{STRONG}"/>'


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _svg(width: float, height: float, said: str, parts: Iterable[str], *, css: str, left: int = 0, top: int = 0) -> str:
    box = f"{left} {top} {_n(width)} {_n(height)}"
    return f'<svg class="{css}" viewBox="{box}" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
