"""What was decided and what is known, joined: one Reading per picture, one Lesion per lesion, for all the metrics."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.data.manifest import read_table
from shared.decisions import Line
from shared.errors import DataError
from shared.records import Decision, Verdict
from verticals.medical import taxonomy
from verticals.medical.taxonomy import Node
from verticals.medical.triage import gravest, roll_up

TEST, CALIBRATION = "test", "calibration"
_CHOOSING, _TAUGHT = (CALIBRATION, "validation", "valid", "val"), ("train", "training")
"""Words of the column ``part`` for what may only choose a threshold, and for what is not measured at all."""
AGE_BANDS = (30, 50, 70)
"""Lower ends of the age bands after the first, in years."""
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "lesion": ("lesion_id", "lesion"),
    "patient": ("patient_id", "patient", "group"),
    "part": ("part", "split"),
    "arrived": ("arrived", "acquisition_day"),
    "age": ("age_approx", "age"),
    "sex": ("sex",),
    "site": ("anatom_site_general", "localization", "site"),
    "skin tone": ("fitzpatrick_skin_type", "skin_tone"),
    "device": ("device", "camera"),
    "thickness": ("mel_thick_mm",),
    "diameter": ("clin_size_long_diam_mm",),
}
"""Columns in which each fact is looked for: names of isic-metadata first, then of HAM10000, then plain ones."""
_LEARNT = "is of the part that a model learns from"
_NOTHING = ("", "unknown", "nan", "none", "na")
_FACTS = {"sex": "sex", "site": "body_site_name", "skin tone": "fitzpatrick", "device": "device"}
"""Which fact of a decision gives each stratum."""
_SEXES = {"M": "male", "F": "female", "O": "other"}
"""DICOM's code strings for Patient's Sex, in the words of the public tables."""


@dataclass(frozen=True)
class Reading:
    """One picture with its answer and its truth.

    Attributes:
        image: Its frame.
        truth: What is known to be there.
        verdict: What was decided.
        risk: Probability of malignant and pre-malignant labels, 0 to 1; None where there is no score.
        threshold: Risk from which the decision flags, None where none was certified or nobody wrote it down.
        probabilities: By code of the taxonomy; empty where they were not written down.
        lesion: Which lesion of the patient it shows; pictures of one lesion count as one.
        patient: Whose it is; intervals count patients.
        part: ``test``, or ``calibration`` for pictures that may only serve to choose a threshold.
        arrived: Anything that sorts pictures by arrival; None where unknown.
        strata: Known of ``age band``, ``sex``, ``site``, ``skin tone``, ``device``.
        thickness_mm: Breslow thickness of a melanoma, None where unknown.
        diameter_mm: Long clinical diameter, None where unknown.
    """

    image: str
    truth: Node
    verdict: Verdict
    risk: float | None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    lesion: str = ""
    patient: str = ""
    part: str = TEST
    arrived: float | None = None
    strata: Mapping[str, str] = field(default_factory=dict)
    thickness_mm: float | None = None
    diameter_mm: float | None = None
    threshold: float | None = None

    @property
    def of_lesion(self) -> tuple[str, str]:
        """What its lesion is known by: two patients may each have a lesion 1; without a name it is its own."""
        return (self.patient, self.lesion) if self.lesion else ("picture", self.image)


@dataclass(frozen=True)
class Lesion:
    """All pictures of one lesion as one.

    Attributes:
        name: A picture of it, the first: a lesion's own name in a table may be a patient's.
        patient: Whose.
        truth: The gravest truth of its pictures.
        risk: The greatest risk of its pictures, None where none was scored.
        verdict: Flag where one picture is flagged, pass where all passed, else NOT EXAMINED.
        strata: Those of its first picture.
        thickness_mm: Breslow thickness, None where unknown.
        diameter_mm: Long clinical diameter, likewise.
    """

    name: str
    patient: str
    truth: Node
    risk: float | None
    verdict: Verdict
    strata: Mapping[str, str] = field(default_factory=dict)
    thickness_mm: float | None = None
    diameter_mm: float | None = None

    @property
    def flagged(self) -> bool:
        """Whether a clinician was told to look; a lesion that was not examined does not count as found."""
        return self.verdict is Verdict.FLAG

    @property
    def spared(self) -> bool:
        """Whether nobody needs to look at it for the software's sake; what was not examined was not spared."""
        return self.verdict is Verdict.PASS


def lesions(readings: Iterable[Reading]) -> tuple[Lesion, ...]:
    """One Lesion per lesion, in the order of first appearance; a picture without a lesion's name is its own."""
    members: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    for reading in readings:
        members[reading.of_lesion].append(reading)
    return tuple(_lesion(own) for own in members.values())


def _lesion(own: Sequence[Reading]) -> Lesion:
    name = f"picture {own[0].image}"
    risks = [r.risk for r in own if r.risk is not None]
    verdicts = {r.verdict for r in own}
    one = verdicts.pop() if len(verdicts) == 1 else Verdict.NOT_EXAMINED
    return Lesion(
        name=name,
        patient=own[0].patient or own[0].lesion or name,
        truth=gravest(r.truth for r in own),
        risk=max(risks, default=None),
        verdict=Verdict.FLAG if Verdict.FLAG in {r.verdict for r in own} else one,
        strata=own[0].strata,
        thickness_mm=next((r.thickness_mm for r in own if r.thickness_mm is not None), None),
        diameter_mm=next((r.diameter_mm for r in own if r.diameter_mm is not None), None),
    )


def risk_of(decision: Decision) -> float | None:
    """The risk that a decision carries; None where nothing was examined."""
    if decision.verdict is Verdict.NOT_EXAMINED:
        return None
    return max((finding.risk for finding in decision.findings), default=None)


def of_decision(decision: Decision, truth: Node) -> Reading:
    """A decision with its truth; lesion, patient, strata and probabilities are those of its facts.

    Args:
        decision: As :func:`verticals.medical.decide.decide` makes it.
        truth: What is known to be there.
    """
    facts = decision.facts
    age = facts.get("age_years")
    strata = {name: str(facts[fact]) for name, fact in _FACTS.items() if facts.get(fact)}
    if "sex" in strata:
        strata["sex"] = _SEXES.get(strata["sex"], strata["sex"])
    return Reading(
        image=decision.frame,
        truth=truth,
        verdict=decision.verdict,
        risk=risk_of(decision),
        probabilities=facts.get("probabilities", {}),
        lesion=str(facts.get("lesion", "")),
        patient=str(facts.get("patient", "")),
        strata=({} if age is None else {"age band": age_band(float(age))}) | strata,
        thickness_mm=facts.get("thickness_mm"),
        diameter_mm=facts.get("diameter_mm"),
        threshold=facts.get("threshold"),
    )


def join(lines: Sequence[Line], known: Path) -> tuple[tuple[Reading, ...], list[str]]:
    """Answers of ``loupe predict -o`` with a table of what is known; what it does not say is taken from the answers.

    Args:
        lines: See :func:`shared.decisions.read`.
        known: Table with ``path,label`` and any of the columns of isic-metadata or HAM10000: lesion, patient, age, sex,
            site, skin tone, device, thickness, diameter, arrival, part (``calibration``, ``train``, or else ``test``).

    Returns:
        The readings, and one sentence for each row or answer that could not be used, without any path of a file.

    Raises:
        DataError: A needed column is missing, or no row that is measured has an answer.
    """
    table = read_table(known)
    missing = [name for name in ("path", "label") if name not in table.columns]
    if missing:
        raise DataError(f"{known}: column {missing[0]!r} is missing; needed are path,label")
    answers = {line.decision.frame: line for line in lines}
    rows: dict[str, list[tuple[Node, dict[str, str]]]] = defaultdict(list)
    left_out = []
    for number, record in enumerate(table.to_dict("records"), start=1):
        row = {str(k): str(v) for k, v in record.items()}
        # Of what has no answer the number alone is told: files are called after patients.
        where, part = row["path"] if row["path"] in answers else f"row {number}", _part(row)
        truth = taxonomy.find(row["label"])
        if truth is None:
            left_out.append(f"{where}: label {row['label']!r} is not in the taxonomy")
        elif part in _TAUGHT:
            left_out.append(f"{where}: {_LEARNT}, on which nothing is measured")
        elif row["path"] not in answers:
            left_out.append(f"{where}: there is no answer about it")
        else:
            if row["path"] in rows:
                left_out.append(f"row {number}: is about {where} as another row is; the graver of their labels counts")
            rows[row["path"]].append((truth, row))
    named = set(table["path"])
    left_out = [*(f"{frame}: nothing is known about it" for frame in sorted(set(answers) - named)), *left_out]
    readings = [_reading(gravest(t for t, _ in own), answers[path], own[0][1]) for path, own in rows.items()]
    if not readings:
        learnt = sum(_LEARNT in text for text in left_out)
        raise DataError(
            f"{known}: no row has an answer ({learnt} of {len(table)} {_LEARNT}); predict on the folder from which the "
            "table's paths start"
        )
    return tuple(readings), left_out


def _part(row: Mapping[str, Any]) -> str:
    return _text(row, _COLUMNS["part"]).lower()


def _reading(truth: Node, line: Line, row: Mapping[str, Any]) -> Reading:
    own = of_decision(line.decision, truth)
    said = {fact: _text(row, names) for fact, names in _COLUMNS.items()}
    # Where nobody said whose a picture is, an ingest takes it, or its lesion, for a patient of its own.
    whose = "" if own.patient in (line.decision.frame, own.lesion) else own.patient
    age, thickness, diameter = (number(said[name]) for name in ("age", "thickness", "diameter"))
    bands = {"age band": age_band(age)} if age is not None else {}
    strata = {name: said[name] for name in ("sex", "site", "skin tone", "device") if said[name]}
    return replace(
        own,
        probabilities=dict(roll_up(line.extra.get("probabilities", own.probabilities)).labels),
        lesion=said["lesion"] or own.lesion,
        patient=said["patient"] or whose or said["lesion"] or own.patient,
        part=CALIBRATION if _part(row) in _CHOOSING else TEST,
        arrived=number(said["arrived"]),
        strata={**own.strata, **bands, **strata},
        thickness_mm=own.thickness_mm if thickness is None else thickness,
        diameter_mm=own.diameter_mm if diameter is None else diameter,
    )


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    found = (str(row[name]).strip() for name in names if name in row)
    return next((text for text in found if text.lower() not in _NOTHING), "")


def number(text: str) -> float | None:
    """A finite number, or None; ``85+`` is 85, as isic-metadata writes ages."""
    try:
        value = float(text.rstrip("+ "))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def age_band(years: float) -> str:
    """E.g. ``30 to 49``."""
    lower = [0, *(a for a in AGE_BANDS if years >= a)][-1]
    upper = next((a for a in AGE_BANDS if years < a), None)
    return f"{lower} and over" if upper is None else f"{lower} to {upper - 1}"
