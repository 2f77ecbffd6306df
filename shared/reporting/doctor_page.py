"""The facts of a data check as one self-contained HTML page with small pictures: what to do first is on top."""

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from shared import atomic
from shared.data import images
from shared.errors import DataError
from shared.records import Box
from shared.reporting.diagnosis import interval

SIDE = 144
"""Longer side of a small picture in pixels."""
GROUPS, IN_GROUP, SUSPECTS, OF_A_KIND = 12, 4, 36, 8
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """One small picture with its text.

    Attributes:
        path: Of the image.
        picture: ``data:`` address of a JPEG, empty where it cannot be read any more.
        text: Lines under it.
    """

    path: str
    picture: str
    text: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """Small pictures that belong together, and how many more there are."""

    title: str
    cards: tuple[Card, ...]
    more: int


def write_page(facts: Mapping[str, Any], folder: Path, path: Path) -> None:
    """Write the page, whole or not at all.

    Args:
        facts: What :func:`shared.check.check` returns.
        folder: Where the images' paths start.
        path: The HTML file.
    """
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["interval"] = interval
    template = environment.get_template("doctor_page.html.jinja")
    shown = {
        "contradictions": _contradictions(facts, folder),
        "suspects": _suspects(facts, folder),
        "exact": _groups(facts["copies"]["exact"], folder),
        "near": _groups(facts["copies"]["near"], folder),
        "quality": _quality(facts, folder),
        "problems": facts["problems"][:50],
    }
    more = {
        "exact": max(0, len(facts["copies"]["exact"]) - GROUPS),
        "near": max(0, len(facts["copies"]["near"]) - GROUPS),
        "contradictions": max(0, sum(map(len, facts["contradictions"].values())) - len(shown["contradictions"])),
        "problems": max(0, len(facts["problems"]) - 50),
    }
    made = datetime.now(UTC).isoformat(timespec="seconds")
    atomic.write(path, template.render(facts=facts, shown=shown, more=more, made=made))


def small_picture(folder: Path, name: str) -> str:
    """``data:`` address of a small JPEG of an image, or of a window ``path@x,y,w,h``; empty where it cannot be read."""
    path, window = folder / name, None
    if not path.is_file() and "@" in name:
        file, _, numbers = name.rpartition("@")
        x, y, w, h = map(int, numbers.split(","))
        path, window = folder / file, Box(x, y, x + w, y + h)
    try:
        picture = images.read(path, window=window)
    except DataError:
        return ""
    height, width = picture.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    little = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(little), [cv2.IMWRITE_JPEG_QUALITY, 75])
    assert done, "OpenCV writes every uint8 array as JPEG"
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _card(folder: Path, path: str, *text: str) -> Card:
    return Card(path, small_picture(folder, path), tuple(t for t in text if t))


def _groups(found: Sequence[Mapping[str, Any]], folder: Path) -> list[Row]:
    rows = []
    for group in found[:GROUPS]:
        shown = zip(group["paths"][:IN_GROUP], group["labels"], group["splits"], strict=False)
        cards = tuple(_card(folder, path, label, split) for path, label, split in shown)
        rows.append(Row(f"{len(group['paths'])} images", cards, max(0, len(group["paths"]) - IN_GROUP)))
    return rows


def _contradictions(facts: Mapping[str, Any], folder: Path) -> list[Row]:
    rows = []
    for group in facts["contradictions"]["exact"][:GROUPS]:
        cards = tuple(_card(folder, path) for path in group["paths"][:IN_GROUP])
        rows.append(Row(group["what"], cards, max(0, len(group["paths"]) - IN_GROUP)))
    return rows + _groups(facts["contradictions"]["near"], folder)


def _suspects(facts: Mapping[str, Any], folder: Path) -> list[Card]:
    return [
        _card(
            folder,
            s["path"],
            f"given: {s['label']} ({100 * s['given_probability']:.0f} %)",
            f"likely: {s['likely']} ({100 * s['probability']:.0f} %)",
        )
        for s in (facts["suspects"] or [])[:SUSPECTS]
    ]


def _quality(facts: Mapping[str, Any], folder: Path) -> list[Row]:
    kinds = defaultdict(list)
    for row in facts["quality"]:
        kinds[row["kind"]].append(row)
    rows = []
    for kind, found in kinds.items():
        first = found[0]
        cards = tuple(_card(folder, r["path"], r["label"], f"{r['value']:.3g}") for r in found[:OF_A_KIND])
        title = f"{len(found)} {kind}: {first['measure']}, limit in this set {first['limit']:.3g}"
        rows.append(Row(title, cards, max(0, len(found) - OF_A_KIND)))
    return rows
