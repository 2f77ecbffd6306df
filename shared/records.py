"""The nouns that travel between all parts: Sample, Finding, Decision, Review. All frozen, all plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from shared.errors import DataError

Provenance = Mapping[str, str | int | float]


@dataclass(frozen=True, order=True)
class Box:
    """Axis-aligned box in pixels: origin at the top left corner, half-open, so that width = x1 - x0."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise DataError(f"box {self.x0},{self.y0} .. {self.x1},{self.y1} is empty; allowed: x0 < x1 and y0 < y1")

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.y1 - self.y0

    def shifted(self, dx: int, dy: int) -> "Box":
        """The same box, ``dx`` pixels to the right and ``dy`` down."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def intersects(self, other: "Box", gap: int = 0) -> bool:
        """Whether the boxes overlap or lie at most ``gap`` pixels apart (0: touching edges count)."""
        return (
            self.x0 <= other.x1 + gap
            and other.x0 <= self.x1 + gap
            and self.y0 <= other.y1 + gap
            and other.y0 <= self.y1 + gap
        )

    def union(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))


@dataclass(frozen=True)
class Sample:
    """One image, or one window of a larger frame, as the model sees it.

    Attributes:
        id: First 16 hex digits of the file's SHA-256; for a window, ``@x,y,w,h`` follows.
        path: The file; relative paths are relative to the manifest that names them.
        width: Pixels across, of the window where there is one.
        height: Pixels down, likewise.
        window: Part of the file that is this Sample; None means the whole file.
        core: Part of the Sample (in its own pixels) that it answers for; the rest is halo. None means all of it.
        frame: What this Sample is a window of (strip, part, slide); decisions are taken per frame.
        origin: Position of the Sample's top left pixel in the frame, (x, y) in pixels.
        group: What a split must not tear apart: part, patient, field.
        mm_per_px: Millimetres per pixel (across, down), or None where unknown.
        provenance: Where it came from: camera, line rate, capture time ...
    """

    id: str
    path: str
    width: int
    height: int
    window: Box | None = None
    core: Box | None = None
    frame: str = ""
    origin: tuple[int, int] = (0, 0)
    group: str = ""
    mm_per_px: tuple[float, float] | None = None
    provenance: Provenance = field(default_factory=dict)

    @property
    def area(self) -> int:
        """Pixels that it answers for."""
        box = self.core or self.window
        return box.width * box.height if box else self.width * self.height


@dataclass(frozen=True)
class Finding:
    """Something seen in one frame.

    Attributes:
        frame: The frame (or whole image) it was seen in.
        label: What it is thought to be.
        probability: Calibrated probability of ``label``, 0 to 1.
        risk: Probability that it is anything but OK, 0 to 1; what thresholds act on.
        region: Where, in the frame's pixels; None means the whole image.
        length_mm: Greatest extent in millimetres, None where the scale is unknown.
        area_mm2: Area in square millimetres, likewise.
        samples: Ids of the Samples in which it was seen.
        novelty: How unlike the training images it is; 1.0 is the 99th percentile of images held out in the build.
        why: One sentence a person can check: what was seen, and the rule that makes it a finding.
    """

    frame: str
    label: str
    probability: float
    risk: float
    region: Box | None = None
    length_mm: float | None = None
    area_mm2: float | None = None
    samples: tuple[str, ...] = ()
    novelty: float = 0.0
    why: str = ""

    @property
    def id(self) -> str:
        """Stable name: the frame, and the place in it."""
        place = f"@{self.region.x0},{self.region.y0},{self.region.width},{self.region.height}" if self.region else ""
        return f"{self.frame}{place}"


class Verdict(StrEnum):
    """What to do with a frame. There is no fourth answer, and NOT_EXAMINED is never OK."""

    PASS = "pass"
    FLAG = "flag"
    NOT_EXAMINED = "not_examined"


@dataclass(frozen=True)
class Decision:
    """What to do with one frame, and because of which Findings.

    Attributes:
        frame: The frame (or whole image) decided about.
        verdict: pass, flag or NOT EXAMINED.
        reasons: Each one sentence a person can check.
        findings: Those that led to the verdict, gravest first.
        examined: Fraction of the frame's area that was looked at, 0 to 1.
        facts: What else the vertical knows about the frame, as plain data for its report and its exports; the core only
            carries it.
    """

    frame: str
    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    examined: float = 1.0
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


class Action(StrEnum):
    """What a reviewer did with an item."""

    CONFIRM = "confirm"
    """It is what the model said."""
    REJECT = "reject"
    """Nothing is there: the item is OK."""
    RELABEL = "relabel"
    """Something is there, but something else."""
    UNDO = "undo"
    """Takes an earlier verdict back; the log keeps both."""
    READ = "read"
    """What a person said before the model's answer was shown; no verdict, and nothing takes it back."""
    SIGN = "sign"
    """A person has put a name to a document about it; no verdict either."""


@dataclass(frozen=True)
class Review:
    """One person's verdict on one item: a row of the append-only log.

    Attributes:
        item: Id of the Finding or Sample judged.
        action: What the person did.
        label: The label that stands after the verdict.
        reviewer: Who.
        at: When, ISO 8601 in UTC.
        seconds: How long the item was on the screen before the verdict.
        note: Free text.
        undoes: For an undo: number of the row taken back.
    """

    item: str
    action: Action
    label: str
    reviewer: str
    at: str
    seconds: float
    note: str = ""
    undoes: int | None = None


def as_json(record: Sample | Finding | Decision | Review) -> dict[str, Any]:
    """A record as plain dictionaries, lists and numbers, ready for ``json.dumps``."""
    return asdict(record)


def finding_from_json(data: Mapping[str, Any]) -> Finding:
    """The inverse of :func:`as_json` for a Finding."""
    region = data.get("region")
    return Finding(**{**data, "region": Box(**region) if region else None, "samples": tuple(data.get("samples", ()))})


def decision_from_json(data: Mapping[str, Any]) -> Decision:
    """The inverse of :func:`as_json` for a Decision."""
    return Decision(
        frame=data["frame"],
        verdict=Verdict(data["verdict"]),
        reasons=tuple(data["reasons"]),
        findings=tuple(finding_from_json(f) for f in data["findings"]),
        examined=data["examined"],
        facts=data.get("facts", {}),
    )
