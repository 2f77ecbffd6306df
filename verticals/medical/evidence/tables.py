"""Measured numbers in, headings and rows that a person reads out: each share and area with its interval and count."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from shared.reporting.page import is_rate
from shared.reporting.rates import percent
from shared.wording import counted, spoken
from verticals.medical.evidence.strata import LEAST
from verticals.medical.evidence.usefulness import GOAL

_RISK = {
    "auc": "AUC (DeLong)",
    "partial_auc_above_80_sensitivity": "partial AUC above 80 % sensitivity (ISIC 2024: 0 to 0.2, chance 0.02)",
    "risk_brier": "Brier score (0 to 1, less is better)",
    "risk_calibration_error": "calibration error (15 bins of equal size)",
}
PATIENTS = "patients of whom one such lesion was flagged"


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


def number(value: Mapping[str, Any]) -> str:
    """An area or error with its interval: no share, so no per cent."""
    if not is_rate(value) or value["value"] is None:
        return said(value)
    return f"{value['value']:.3f} [{value['low']:.3f} .. {value['high']:.3f}] n={value['n']}"


def tables(measured: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Heading and rows of each table, what a clinician asks first standing first.

    Args:
        measured: What :func:`verticals.medical.evidence.metrics.measure` returns.
    """
    rate, counts = measured["lesion_detection_rate"], measured["counts"]
    ends = (rate["bootstrap_low"], rate["bootstrap_high"])
    over = "none can be told" if None in ends else f"{percent(ends[0])} .. {percent(ends[1])}"
    yield "What was counted", [("cases", _answered(counts)), *_alone(counts)]
    yield (
        "Malignant and pre-malignant lesions",
        [
            ("lesion detection rate", said(rate)),
            (f"lesion detection rate, interval over {rate['patients']} resampled patients", over),
            ("lesions that passed, lesions NOT EXAMINED", f"{rate['passed']}, {rate['not_examined']}"),
            (PATIENTS, said(measured["patient_detection_rate"])),
            *((name, said(row)) for name, row in measured["detection_by_kind"].items()),
            ("specificity", said(measured["specificity"])),
        ],
    )
    if "at_certified_threshold" in measured:
        yield "The certified threshold alone", list(_certified(measured["at_certified_threshold"]))
    yield "Early lesions", [(name, said(row)) for name, row in measured["early_lesion_sensitivity"].items()]
    yield "Risk", [(_RISK[name], number(measured[name])) for name in _RISK if name in measured]
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
    shares = [(spoken(n), said(own[n])) for n in ("balanced_multiclass_accuracy", "top_3") if n in own]
    errors = [(spoken(n), number(own[n])) for n in ("calibration_error", "brier") if n in own]
    yield "Single diseases", [*shares, *errors] or [("refused", said(own))]
    elsewhere = [_elsewhere(row) for row in measured.get("work_saved_at_other_prevalences", ())]
    work = [*_work(measured["work_saved"]), *elsewhere]
    yield "Work saved at 95 % of the lesions that must not be missed", work


def of_whom(counts: Mapping[str, int]) -> str:
    """What was measured on."""
    return (
        f"{counted(counts['pictures'], 'picture')} of {counted(counts['lesions'], 'lesion')} of "
        f"{counted(counts['patients'], 'patient')}, "
        f"{counted(counts['lesions_that_must_not_be_missed'], 'lesion')} malignant or pre-malignant"
    )


def _answered(counts: Mapping[str, int]) -> str:
    return (
        f"{of_whom(counts)}; pictures {counts['pass']} passed, {counts['flag']} flagged, {counts['not_examined']} NOT "
        "EXAMINED"
    )


def _alone(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What has to be said where nobody seems to know whose lesions they are."""
    if counts["lesions"] == counts["patients"] > 0:
        yield "patients", "each has one lesion, or nobody named them: intervals that count patients count lesions here"


def _certified(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "refused" in row:
        yield "refused", said(row)
        return
    yield "flagged from a risk of", f"{row['threshold']:.4g}"
    yield "sensitivity, per lesion", said(row["sensitivity"])
    yield "specificity, per lesion", said(row["specificity"])
    yield "what is counted", row["label"]
    here, *others = row["work_saved"]
    yield f"work saved at the prevalence here, {percent(here['prevalence'])}", _spared(here)
    yield from (_elsewhere(other) for other in others)
    least = row["prevalence_for_goal"]
    if least is None:
        why = f"none: it takes a specificity of {percent(1 - 1 / GOAL)} or more"
        yield f"prevalence at which {GOAL:g} times less is opened", why
    else:
        yield f"prevalence up to which {GOAL:g} times less is opened, simulated", percent(least)


def _elsewhere(row: Mapping[str, Any]) -> tuple[str, str]:
    return f"at a prevalence of {percent(row['prevalence'])}, simulated by reweighting these pictures", _spared(row)


def _spared(row: Mapping[str, Any]) -> str:
    if row["ratio"] is None:
        return "no such picture, or no other: nothing can be said"
    inside = "" if row["low"] is None else f" [{row['low']:.2f} .. {row['high']:.2f}]"
    opened = f", {row['opened']} of {row['n']} pictures opened" if "opened" in row else ""
    return f"{row['ratio']:.2f} times less opened{inside} n={row['n']}{opened}"


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
    ends = "no interval can be told" if math.isnan(row["low"]) else f"{row['low']:.3g} .. {row['high']:.3g}"
    inside = f"{row['model']:.3g} [{ends}]"
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
    """Strata of which something is shown, then in one row those that are too small for anything."""
    hidden = []
    for value, group in attribute["groups"].items():
        rates = {name: group[name] for name in ("sensitivity", "specificity", "auc")}
        if all("hidden" in rate for rate in rates.values()):
            hidden.append(f"{value} {group['n']}")
            continue
        told = [f"{name} {said(rates[name])}" for name in ("sensitivity", "specificity")]
        yield f"{value} ({group['n']} lesions)", "; ".join([*told, f"AUC {number(rates['auc'])}"])
    if hidden:
        yield f"hidden, since fewer than {LEAST} lesions", ", ".join(hidden)
    for name, gap in attribute["gap"].items():
        yield f"gap of {name}, best less worst", said(gap)
