"""Measured facts and a bundle's card in, one self-contained HTML page out: what a validation states, and what not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from shared import atomic, config
from shared.records import Verdict
from shared.reporting.page import is_rate
from shared.reporting.rates import percent
from verticals.medical import taxonomy
from verticals.medical.evidence.readings import TEST, Reading, lesions
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
        tables=dict(_tables(measured)),
        guidelines=rows,
        not_filled=NOT_FILLED,
        tiers=f"Malignancy and urgency of the labels: {PROPOSED} (taxonomy {taxonomy.labels().version})",
    )
    atomic.write(path, page)


_RISK = {
    "auc": "AUC (DeLong)",
    "partial_auc_above_80_sensitivity": "partial AUC above 80 % sensitivity (ISIC 2024: 0 to 0.2, chance 0.02)",
    "risk_brier": "Brier score (0 to 1, less is better)",
    "risk_calibration_error": "calibration error (15 bins of equal size)",
}
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
        "counts": (
            f"{counts['pictures']} pictures of {counts['lesions']} lesions of {counts['patients']} patients, "
            f"{counts['lesions_that_must_not_be_missed']} lesions malignant or pre-malignant; {counts['not_examined']} "
            "pictures NOT EXAMINED, none of them scored"
        ),
        "labels": ", ".join(f"{name} {n}" for name, n in truths.most_common()),
        "excluded": f"{len(left_out)} left out" + (f": {'; '.join(left_out[:_NAMED])}" if left_out else ""),
        "misses": f"{len(missed)} malignant or pre-malignant lesions passed" + _names(missed),
        "performance": f"lesion detection rate {said(rate)}, specificity {said(measured['specificity'])}; tables above",
        "utility": f"AUC {_number(measured['auc'])}; calibration, net benefit and referrals per finding above",
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


def said(value: Any) -> str:
    """A rate, number, refusal or text as a person reads it."""
    if isinstance(value, Mapping) and (why := value.get("hidden") or value.get("refused")):
        return str(why)
    if is_rate(value):
        if value["value"] is None:
            return "no cases: nothing can be said"
        return f"{percent(value['value'])} [{percent(value['low'])} .. {percent(value['high'])}] n={value['n']}"
    if value is None:
        return "none can be told"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(value: Mapping[str, Any]) -> str:
    """An area or error with its interval: no share, so no per cent."""
    if not is_rate(value) or value["value"] is None:
        return said(value)
    return f"{value['value']:.3f} [{value['low']:.3f} .. {value['high']:.3f}] n={value['n']}"


def _tables(measured: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Heading and rows of each table of the page."""
    rate = measured["lesion_detection_rate"]
    ends = (rate["bootstrap_low"], rate["bootstrap_high"])
    over = "none can be told" if None in ends else f"{percent(ends[0])} .. {percent(ends[1])}"
    yield (
        "Malignant and pre-malignant lesions",
        [
            ("lesion detection rate", said(rate)),
            (f"its interval over {rate['patients']} resampled patients", over),
            ("lesions that passed, lesions NOT EXAMINED", f"{rate['passed']}, {rate['not_examined']}"),
            ("patients of whom one such lesion was flagged", said(measured["patient_detection_rate"])),
            *((name, said(row)) for name, row in measured["detection_by_kind"].items()),
            ("specificity", said(measured["specificity"])),
        ],
    )
    yield "Early lesions", [(name, said(row)) for name, row in measured["early_lesion_sensitivity"].items()]
    yield "Risk", [(_RISK[name], _number(measured[name])) for name in _RISK if name in measured]
    if "fixed" in measured:
        yield "Fixed operating points, thresholds from the calibration part alone", list(_fixed(measured["fixed"]))
    yield (
        "Lesions referred for one that must not be missed",
        [_referrals(r) for r in measured["number_needed_to_refer"]],
    )
    if "net_benefit" in measured:
        yield "Net benefit", [_benefit(row) for row in measured["net_benefit"]]
    for name, attribute in measured["strata"].items():
        yield f"By {name} (unknown of {attribute['unknown']} lesions)", list(_stratum(attribute))
    own = measured["diseases"]
    shares = [(n.replace("_", " "), said(own[n])) for n in ("balanced_multiclass_accuracy", "top_3") if n in own]
    errors = [(n.replace("_", " "), _number(own[n])) for n in ("calibration_error", "brier") if n in own]
    yield "Single diseases", [*shares, *errors] or [("refused", said(own))]
    yield "Work saved at 95 % of the lesions that must not be missed", list(_work(measured["work_saved"]))


def _fixed(fixed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "refused" in fixed:
        yield "refused", said(fixed)
        return
    for name, row in fixed.items():
        if isinstance(row, Mapping):
            text = f"sensitivity {said(row['sensitivity'])}; specificity {said(row['specificity'])}"
            yield f"{name} aimed at", f"{text}; flagged from {row['threshold']:.4g}"


def _referrals(row: Mapping[str, Any]) -> tuple[str, str]:
    inside = "" if row["low"] is None else f" [{row['low']:.3g} .. {row['high']:.3g}]"
    return f"at a prevalence of {percent(row['prevalence'])}", f"{said(row['referrals'])}{inside} n={row['n']}"


def _benefit(row: Mapping[str, float]) -> tuple[str, str]:
    inside = f"{row['model']:.3g} [{row['low']:.3g} .. {row['high']:.3g}]"
    return f"referring from {row['threshold']:.2f}", f"{inside}, referring everybody {row['all']:.3g}, nobody 0"


def _work(saved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "what is counted", saved["label"]
    if saved["ratio"] is None:
        yield "ratio", "no such lesion: nothing can be said"
        return
    inside = "" if saved["low"] is None else f" [{saved['low']:.3g} .. {saved['high']:.3g}]"
    yield "ratio", f"{saved['ratio']:.3g}{inside} n={saved['n']}"
    yield "pictures opened", f"{saved['arrival']:.3g} by arrival ({saved['order']}), {saved['model']:.3g} by the model"


def _stratum(attribute: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for value, group in attribute["groups"].items():
        rates = "; ".join(f"{name} {said(group[name])}" for name in ("sensitivity", "specificity"))
        yield f"{value} ({group['n']} lesions)", f"{rates}; AUC {_number(group['auc'])}"
    for name, gap in attribute["gap"].items():
        yield f"gap of {name}, best less worst", said(gap)
