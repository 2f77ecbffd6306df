"""The report of a build as one self-contained HTML page, in the order in which a person who must sign reads it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from shared import atomic
from shared.reporting import charts, rates
from shared.reporting.cautions import cautions
from shared.reporting.page import words
from shared.wording import counted, spoken

MATRIX_LABELS = 30
"""With more labels the confusion matrix is a map and a list of pairs, not a table of counts."""
HARDEST = 24
_PAIRS = 15
_FOLDER = Path(__file__).parent
_THUMBNAIL = re.compile(r"data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/=]+")


def write(facts: Mapping[str, Any], path: Path, *, hardest: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the page, whole or not at all.

    Args:
        facts: What :func:`shared.build.build` returns, or the content of ``bundle.json``. What an older bundle does not
            hold is left out, or "not measured".
        path: The HTML file.
        hardest: Held-out images, the wrong ones first: ``path``, ``label``, ``predicted``, ``probability`` and
            ``thumbnail`` (a ``data:`` URI of a JPEG, PNG or WebP picture, or empty); where its class map was checked
            also ``map`` (likewise), ``telling``, ``believable`` and ``over_chance``, see
            :class:`shared.inference.explanation.Faithfulness`. At most 24 are shown; they are part of the page only,
            so that no picture travels in a bundle.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"pct": rates.percent, "words": words}
    environment.filters["spoken"] = spoken
    environment.globals["counted"] = counted
    test = {"n": 0, **(facts.get("test") or {})}
    shown = [_shown(image) for image in hardest[:HARDEST]]
    content = {
        "facts": facts,
        "title": _title(facts),
        "status": _status(facts),
        "cautions": cautions(facts),
        "test": test,
        "recalls": _recalls(test),
        "confusion": _confusion(test, facts.get("labels", [])),
        "hardest": shown,
        "maps": _maps(shown),
        "chance": rates.gap_by_chance(test["reliability"]) if test.get("reliability") else None,
        "stages": _stages(facts),
        "charts": charts,
    }
    atomic.write(path, environment.get_template("build_page.html.jinja").render(**content))


def _title(facts: Mapping[str, Any]) -> str:
    name = Path(str(facts.get("bundle", ""))).name or facts.get("data", {}).get("source", "")
    return f"Report of a build: {name}" if name else "Report of a build"


def _status(facts: Mapping[str, Any]) -> str:
    """``met``, ``short`` (something is certified, or nothing, but not what was asked for) or ``none``."""
    certificate = facts.get("certificate")
    if not certificate:
        return "none"
    return "short" if certificate["more_needed"] else "met"


def _recalls(test: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Recall per label, the worst first, those without a case last."""
    rows = [{"label": label, **row} for label, row in test.get("per_label", {}).items()]
    return sorted(rows, key=lambda r: (r["recall"] is None, r["recall"] or 0.0, r["low"], r["label"]))


def _confusion(test: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any] | None:
    """Counts, the pairs that are confused most, and whether a table of them can be read."""
    matrix = test.get("confusion")
    if not matrix:
        return None
    if not isinstance(matrix, Mapping):  # bundles of the first version hold the counts alone
        matrix = {"labels": labels, "counts": matrix}
    names, counts = list(matrix["labels"]), matrix["counts"]
    pairs = [
        {"label": names[i], "predicted": names[j], "count": count, "n": sum(row)}
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if count and i != j
    ]
    pairs.sort(key=lambda p: (-p["count"], -p["count"] / p["n"], p["label"]))
    return {
        "labels": names,
        "counts": counts,
        "pairs": pairs[:_PAIRS],
        "all_pairs": len(pairs),
        "as_table": len(names) <= MATRIX_LABELS,
    }


def _shown(image: Mapping[str, Any]) -> dict[str, Any]:
    """A hard image; what is no picture inside the page is dropped, so that nothing is ever loaded."""
    pictures = {name: str(image.get(name, "")) for name in ("thumbnail", "map")}
    return {**image, **{name: uri if _THUMBNAIL.fullmatch(uri) else "" for name, uri in pictures.items()}}


def _maps(shown: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many class maps there are, how many could be checked, and how many can be believed."""
    checked = [image for image in shown if image["map"]]
    return {"n": len(checked), **{name: sum(bool(i[name]) for i in checked) for name in ("telling", "believable")}}


def _stages(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Time per stage, with what no stage accounts for."""
    stages = [{"name": s["name"], "seconds": float(s["seconds"])} for s in facts.get("stages", [])]
    rest = float(facts.get("seconds", 0.0)) - sum(s["seconds"] for s in stages)
    # Less than a tenth of a second is rounding.
    return [*stages, {"name": "other", "seconds": rest}] if stages and rest > 0.1 else stages
