"""Measured facts and a bundle's card in, one self-contained HTML page out: what a validation states, and what not."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from shared import atomic, config
from shared.records import Verdict
from shared.reporting.rates import percent
from shared.wording import counted
from verticals.medical import taxonomy
from verticals.medical.evidence.readings import TEST, Reading, lesions
from verticals.medical.evidence.tables import number, of_whom, said, tables
from verticals.medical.taxonomy import PROPOSED
from verticals.medical.triage import DISCLAIMER

ITEMS = Path(__file__).parent / "validation_items.toml"
TEMPLATE = "validation.html.jinja"
NOT_FILLED = "NOT FILLED BY SOFTWARE"
_NAMED = 30


@dataclass(frozen=True)
class Item:
    """One thing that a guideline asks for.

    Attributes:
        guideline: Which.
        asks: In our words.
        answers: Name of the fact that answers it, empty where no software can.
    """

    guideline: str
    asks: str
    answers: str


@dataclass(frozen=True)
class _Listed:
    items: tuple[Mapping[str, str], ...]


def items() -> tuple[Item, ...]:
    """What the guidelines ask for, in the order of ``validation_items.toml``."""
    listed = config.load(_Listed, ITEMS).items
    return tuple(Item(row["guideline"], row["asks"], row["from"]) for row in listed)


def write_validation(
    readings: Sequence[Reading],
    measured: Mapping[str, Any],
    path: Path,
    *,
    card: Mapping[str, Any] | None = None,
    left_out: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the page, whole or not at all; nothing on it is loaded from elsewhere.

    Args:
        readings: What was measured.
        measured: What :func:`verticals.medical.evidence.metrics.measure` says of them.
        path: The HTML file.
        card: Content of the bundle's ``bundle.json``; what it would answer is otherwise marked as not known.
        left_out: What could not be used, one sentence each.
        notes: What has to be said before any number, such as that images are synthetic.
    """
    answers = _answers(readings, measured, card or {}, left_out)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["said"] = said
    rows: dict[str, list[tuple[str, str]]] = {}
    for item in items():
        answer = answers.get(item.answers) or (f"not known: {_WANTING[item.answers]}" if item.answers else NOT_FILLED)
        rows.setdefault(item.guideline, []).append((item.asks, answer))
    page = environment.get_template(TEMPLATE).render(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        disclaimer=DISCLAIMER,
        notes=[*notes, *(card or {}).get("notes", ())],
        facts=measured,
        tables=dict(tables(measured)),
        guidelines=rows,
        not_filled=NOT_FILLED,
        tiers=f"Malignancy and urgency of the labels: {PROPOSED} (taxonomy {taxonomy.labels().version})",
    )
    atomic.write(path, page)


_CARD, _TABLE = "give the bundle that was measured", "give a table that names it"
_WANTING = {
    "counts": _TABLE, "skin tone": _TABLE, "demographics": _TABLE, "strata": _TABLE, "performance": _TABLE,
    "utility": _TABLE, "misses": _TABLE, "excluded": _TABLE, "labels": _TABLE, "disclaimer": _TABLE,
    "split": _CARD, "model": _CARD, "certificate": _CARD, "novelty": _CARD, "versions": _CARD,
}  # fmt: skip


def _answers(
    readings: Sequence[Reading], measured: Mapping[str, Any], card: Mapping[str, Any], left_out: Sequence[str]
) -> dict[str, str]:
    """Each fact as a sentence; a fact that is not known is absent."""
    test = [r for r in readings if r.part == TEST]
    counts = measured["counts"]
    truths = Counter(r.truth.name for r in test)
    missed = [x.name for x in lesions(test) if x.truth.sought and x.verdict is Verdict.PASS]
    rate, strata = measured["lesion_detection_rate"], measured["strata"]
    return {
        "disclaimer": DISCLAIMER,
        "counts": f"{of_whom(counts)}; {counted(counts['not_examined'], 'picture')} NOT EXAMINED, none of them scored",
        "labels": ", ".join(f"{name} {n}" for name, n in truths.most_common()),
        "excluded": f"{len(left_out)} left out" + (f": {'; '.join(left_out[:_NAMED])}" if left_out else ""),
        "misses": f"{len(missed)} malignant or pre-malignant lesions passed" + _names(missed),
        "performance": f"lesion detection rate {said(rate)}, specificity {said(measured['specificity'])}; tables above",
        "utility": f"AUC {number(measured['auc'])}; calibration, net benefit and referrals per finding above",
        "strata": f"rates by {', '.join(strata)} above; strata too small are hidden with the reason" if strata else "",
        "skin tone": _distribution(strata, ["skin tone"]),
        "demographics": _distribution(strata, ["age band", "sex", "site"]),
        **(_card_answers(card) if card else {}),
    }


def _names(missed: Sequence[str]) -> str:
    shown = ": " + ", ".join(missed[:_NAMED]) if missed else ""
    return shown + (f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else "")


def _distribution(strata: Mapping[str, Any], names: Sequence[str]) -> str:
    known = []
    for name in names:
        if name in strata:
            sizes = ", ".join(f"{value} {group['n']}" for value, group in strata[name]["groups"].items())
            known.append(f"{name}: {sizes}, unknown {strata[name]['unknown']}")
    return "; ".join([*known, "how it was determined is not filled by software"]) if known else ""


def _card_answers(card: Mapping[str, Any]) -> dict[str, str]:
    split, certificate, backbone = card["data"]["split"], card["certificate"], card["backbone"]
    return {
        "split": (
            f"train : validation : test {split['ratio']} by components of same patient, lesion, content or near copy; "
            f"{percent(split['leaked_after'])} of the test images share one with training"
        ),
        "model": (
            f"{backbone['name']}, weights {backbone['weights']}, {backbone['image_size']} px, resized and normalised "
            f"inside the model; {card['chosen']['name']}, temperature {card['temperature']:.4g}"
        ),
        "certificate": certificate["sentence"] if certificate else "no threshold is certified, so nothing passes",
        "novelty": f"flagged as UNKNOWN, no disease is named; {card['novelty']['sentence']}",
        "versions": (
            f"bundle {card.get('bundle_hash', 'not sealed')}, data {card['data']['hash']}, "
            + ", ".join(f"{name} {number}" for name, number in card["made"]["with"].items())
        ),
    }
