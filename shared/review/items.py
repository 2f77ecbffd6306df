"""Decisions in, queue items out: one per finding, and one per frame (or rest of a frame) that nobody has looked at."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shared.decide import UNKNOWN
from shared.decisions import Line, Shown, content, file_of
from shared.records import Box, Decision, Finding, Verdict, as_json

NOT_EXAMINED = Verdict.NOT_EXAMINED.value
"""Label of an item that asks a person to look because the machine has not."""
CARRIED = ("probabilities", "possible", "nearest")
"""What of a line goes with its finding, where the line has it; a vertical's page may show it."""
GROUPS = "groups"
"""Key of a line and of a payload: group of each picture by its id, which an update must not tear apart."""
FILE = "file"
"""Key of a frame's payload: the beginning of the content hash of the file that is shown, where that is known."""


@dataclass(frozen=True)
class Item:
    """One thing that a person is asked about.

    Attributes:
        id: The Finding's id (with label and sample where several findings share it, and a number where it reaches into
            several files), or the frame's name; where there is no picture of it also what tells it from the next frame
            of that name.
        frame: The frame it is in.
        image: The file to show; empty where there is none.
        box: Where in that file's pixels; None means all of it.
        label: What it is thought to be; :data:`NOT_EXAMINED` for what was not looked at.
        probability: Calibrated probability of ``label``, 0 to 1.
        risk: Probability that it is anything but OK, 0 to 1.
        novelty: 1.0 is the 99th percentile of images held out in the build.
        length_mm: Greatest extent in millimetres, None where unknown.
        area_mm2: Area in square millimetres, likewise.
        verdict: What was decided about this item.
        reasons: Why it is in the queue, each one sentence.
        examined: Fraction of the frame's area that the machine looked at.
        batch: Where it came from: file, lot, shift.
        payload: The Finding as plain data with the :data:`GROUPS` of its pictures and what else of its line is
            :data:`CARRIED`, or of a frame what tells its picture from another; and the decision's ``facts``, where it
            has any.
    """

    id: str
    frame: str
    image: str
    box: Box | None
    label: str
    probability: float
    risk: float
    novelty: float = 0.0
    length_mm: float | None = None
    area_mm2: float | None = None
    verdict: Verdict = Verdict.FLAG
    reasons: tuple[str, ...] = ()
    examined: float = 1.0
    batch: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A database gives 1.0 back for 1; the digest must be that of what was written.
        for name in ("probability", "risk", "novelty", "length_mm", "area_mm2", "examined"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @property
    def digest(self) -> str:
        """SHA-256 of everything that a person is shown about it; signed together with each verdict."""
        return hashlib.sha256(canonical(asdict(self)).encode()).hexdigest()

    @property
    def samples(self) -> tuple[str, ...]:
        """Ids of what was looked at, or one content hash of it all; empty where neither is known."""
        return tuple(self.payload.get("samples", ()))

    def same_picture(self, other: "Item") -> bool:
        """Whether both are about one picture, by content where it is known, else by the file's path."""
        ours, theirs = self.samples, other.samples
        if not ours or not theirs:
            return (ours, self.image) == (theirs, other.image)
        # Not their windows: cut into other tiles, the same place may be found from more or fewer of them.
        if {file_of(sample) for sample in ours} == {file_of(sample) for sample in theirs}:
            return True
        return (content(ours),) == theirs or (content(theirs),) == ours


def canonical(data: Mapping[str, Any]) -> str:
    """JSON that is the same for the same content on every machine: sorted keys, no blanks, ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def items_of(lines: Iterable[Line], *, batch: str = "") -> Iterator[Item]:
    """What a person has to see; frames that pass are not queued.

    A flagged frame of which a part was not examined gives one more item, for that rest: rejecting all its findings
    must not make it OK.
    """
    for line in lines:
        decision = line.decision
        notes, known = tuple(line.extra.get("notes", ())), str(line.extra.get("content", ""))
        if decision.verdict is Verdict.PASS:
            continue
        ids = _ids(decision.findings)
        for finding, identity in zip(decision.findings, ids, strict=True):
            for suffix, shown, part, said in _pictures(finding, line.shown.get(finding.id)):
                carried = _carried(line) | _groups(line, part)
                yield _of_finding(identity + suffix, part, decision, shown, batch, (*said, *notes), carried)
        if not decision.findings:
            yield _of_frame(decision, line.shown.get(decision.frame), decision.verdict, batch, notes, known)
        elif decision.examined < 1 and decision.frame not in ids:
            yield _of_frame(decision, line.shown.get(decision.frame), Verdict.NOT_EXAMINED, batch, notes, known)


def _pictures(finding: Finding, shown: Shown | None) -> Iterator[tuple[str, Shown | None, Finding, tuple[str, ...]]]:
    """Each file that a finding is in: end of an id, file, what of the finding is there, and what to say of it.

    Whoever sees the first of two files must not judge what the second one shows.
    """
    if shown is None or not shown.more:
        yield "", shown, finding, ()
        return
    every = (shown, *shown.more)
    for number, one in enumerate(every, start=1):
        part = replace(finding, samples=tuple(s for s in finding.samples if file_of(s) == one.file))
        said = f"picture {number} of {len(every)} that it reaches into: judge in each what that one shows"
        yield "" if number == 1 else f"/{number}", one, part, (said,)


def _ids(findings: Sequence[Finding]) -> list[str]:
    """An id for each: its own, and where several findings share one, each also its label and first sample.

    Not a number: if the next prediction gave them in another order, a verdict would hide the finding it was not about.
    """
    shared = Counter(finding.id for finding in findings)
    return [f.id if shared[f.id] == 1 else f"{f.id}#{f.label}:{''.join(f.samples[:1])}" for f in findings]


def _carried(line: Line) -> dict[str, Any]:
    return _facts(line.decision) | {key: line.extra[key] for key in CARRIED if line.extra.get(key) is not None}


def _groups(line: Line, finding: Finding) -> dict[str, Any]:
    """Group of each picture of a finding; nothing where an earlier version wrote the line."""
    known = line.extra.get(GROUPS)
    return {} if known is None else {GROUPS: {s: known[s] for s in finding.samples if s in known}}


def _facts(decision: Decision) -> dict[str, Any]:
    return {"facts": dict(decision.facts)} if decision.facts else {}


def _of_finding(
    identity: str,
    finding: Finding,
    decision: Decision,
    shown: Shown | None,
    batch: str,
    notes: tuple[str, ...],
    carried: Mapping[str, Any],
) -> Item:
    own = (finding.why,) if finding.why else decision.reasons
    return Item(
        id=identity,
        frame=finding.frame,
        image=shown.image if shown else "",
        box=shown.box if shown else finding.region,
        label=finding.label,
        probability=finding.probability,
        risk=finding.risk,
        novelty=finding.novelty,
        length_mm=finding.length_mm,
        area_mm2=finding.area_mm2,
        verdict=Verdict.FLAG,
        reasons=(*own, *notes),
        examined=decision.examined,
        batch=batch,
        payload=json.loads(json.dumps({**carried, **as_json(finding)})),
    )


def _of_frame(
    decision: Decision, shown: Shown | None, verdict: Verdict, batch: str, notes: tuple[str, ...], known: str
) -> Item:
    about = {"samples": [known] if known else [], FILE: shown.file if shown else ""}
    # A file that could not be read is copied again under its name, as its reason says; each of the two is asked about.
    unseen = verdict is Verdict.NOT_EXAMINED and shown is None and bool(known)
    return Item(
        id=f"{decision.frame}#{known[:12]}" if unseen else decision.frame,
        frame=decision.frame,
        image=shown.image if shown else "",
        box=None,
        label=NOT_EXAMINED if verdict is Verdict.NOT_EXAMINED else UNKNOWN,
        probability=0.0,
        risk=1.0,
        verdict=verdict,
        reasons=(*decision.reasons, *notes),
        examined=decision.examined,
        batch=batch,
        payload=json.loads(json.dumps(_facts(decision) | {k: v for k, v in about.items() if v})),
    )
