"""Decisions and truth in, one row per place out: what was said, what is done, what is there, and how large it is."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.records import Decision, Finding, Verdict
from verticals.agriculture.decide import Treatment, treatment
from verticals.agriculture.harvest import told_hectares
from verticals.agriculture.taxonomy import terms
from verticals.agriculture.taxonomy.terms import HEALTHY, UNKNOWN

HOLDS = 0.02
"""Share of a place's known area from which a condition counts as there: 2 % of a tile of 3 m is a circle of 0.5 m, one
plant of potato."""
_NEAR = 8
"""Tiles along a block whose places count as one case in intervals, as neighbours are alike."""
_TILE = re.compile(r"(?P<raster>.+)/r(?P<row>\d+)c(?P<column>\d+)")


@dataclass(frozen=True)
class Place:
    """One tile, frame or photograph.

    Attributes:
        frame: Its name.
        group: What its neighbours share.
        verdict: What was decided; NOT EXAMINED too where no decision is about it.
        treatment: What is done with it.
        risk: Probability of anything sought, None where nothing was scored.
        said: Code of what it was called, empty where nothing was scored; healthy where it was flagged for safety's sake
            though nothing sought is likelier than not.
        true: Code of what is there, empty where nothing is known: of conditions that hold :data:`HOLDS` of it that
            with the largest area, else what has the largest area.
        area_m2: Of the field in it, None where unknown, as of a drone's frame: the frames of a flight show the same
            ground several times, so that their areas add up to no field.
        examined: Share of it that was looked at, 0 to 1.
        areas_m2: Known area of each code in it; empty where the truth has no areas.
    """

    frame: str
    group: str
    verdict: Verdict
    treatment: Treatment
    risk: float | None
    said: str
    true: str
    area_m2: float | None
    examined: float
    areas_m2: Mapping[str, float] = field(default_factory=dict)

    @property
    def sick(self) -> bool:
        """Whether something sought is known to be there."""
        return bool(self.true) and terms.resolve(self.true).sought

    @property
    def sick_m2(self) -> float:
        """Known area of everything sought."""
        return sum(m2 for code, m2 in self.areas_m2.items() if terms.resolve(code).sought)


def places(decisions: Sequence[Decision], truth: Sequence[Finding]) -> tuple[list[Place], list[str]]:
    """Put together what is known about each place.

    Args:
        decisions: One per place.
        truth: What is known; of one place several codes, with areas where they are known.

    Returns:
        Places that a decision or a truth is about, and labels of the truth that the taxonomy does not have.
    """
    known: dict[str, list[Finding]] = defaultdict(list)
    foreign = set()
    for finding in truth:
        if terms.find(finding.label) is None:
            foreign.add(finding.label)
        else:
            known[finding.frame].append(finding)
    made = [_place(d.frame, d, known.get(d.frame, [])) for d in decisions]
    answered = {d.frame for d in decisions}
    made += [_place(frame, None, own) for frame, own in sorted(known.items()) if frame not in answered]
    return made, sorted(foreign)


def _place(frame: str, decision: Decision | None, known: Sequence[Finding]) -> Place:
    verdict = decision.verdict if decision else Verdict.NOT_EXAMINED
    findings = decision.findings if decision else ()
    areas: dict[str, float] = defaultdict(float)
    for finding in known:
        if finding.area_mm2 is not None:
            areas[terms.resolve(finding.label).code] += finding.area_mm2 / 1e6
    on_a_map = _TILE.fullmatch(frame) is not None
    own = sum(f.area_mm2 / 1e6 for f in findings if f.area_mm2 is not None) if on_a_map else 0.0
    told = told_hectares(decision.reasons) or 0.0 if decision else 0.0
    said = findings[0].label if findings else HEALTHY if verdict is Verdict.PASS else ""
    risk = max((f.risk for f in findings), default=None)
    entry = terms.find(HEALTHY if verdict is Verdict.FLAG and _only_possible(findings[:1]) else said)
    return Place(
        frame=frame,
        group=_group(frame),
        verdict=verdict,
        treatment=treatment(decision) if decision else Treatment.LEAVE,
        risk=risk,
        said=entry.code if entry else said,
        true=_true(areas, known),
        area_m2=own or sum(areas.values()) or 10_000 * told or None,
        examined=decision.examined if decision and verdict is not Verdict.NOT_EXAMINED else 0.0,
        areas_m2=dict(areas),
    )


def _only_possible(findings: Sequence[Finding]) -> bool:
    """Whether a condition was named although nothing sought is likelier than not."""
    named = [(terms.find(f.label), f.risk) for f in findings]
    return any(t is not None and t.sought and t.code != UNKNOWN and risk < 0.5 for t, risk in named)


def _true(areas: Mapping[str, float], known: Sequence[Finding]) -> str:
    if areas:
        total = sum(areas.values())
        held = {code: m2 for code, m2 in areas.items() if terms.resolve(code).sought and m2 >= HOLDS * total}
        chosen = held or areas
        return max(chosen, key=lambda code: chosen[code])
    entries = [terms.resolve(finding.label) for finding in known]
    return max(entries, key=lambda e: (e.sought, e.severity)).code if entries else ""


def _group(frame: str) -> str:
    """Tiles that lie near each other; any other place stands alone."""
    tile = _TILE.fullmatch(frame)
    if tile is None:
        return frame
    return f"{tile['raster']} {int(tile['row']) // _NEAR},{int(tile['column']) // _NEAR}"
