"""What an ingest has made so far, and the pictures it has written: one place that all kinds of input add to."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.data import images
from shared.errors import DataError, Problem
from shared.records import Finding, Sample
from shared.vertical import Ingested

_HECTARES = re.compile(r"(\d+\.\d+) ha of the field")


def tell_hectares(ha: float) -> str:
    """The words in which a sentence says how much of a field it is about; :func:`told_hectares` reads them again."""
    return f"{ha:.4f} ha of the field"


def told_hectares(sentences: Iterable[str]) -> float | None:
    """Hectares that sentences say, together; None where they say none.

    What nobody looked at has no Finding, so that its area travels in the reason why.
    """
    found = [float(number) for text in sentences for number in _HECTARES.findall(text)]
    return sum(found) if found else None


@dataclass
class Harvest:
    """What has been made so far.

    Attributes:
        folder: Where pictures are written, to become ``FRAMES``.
        samples: In the order of the files.
        labels: By Sample id.
        problems: What is not examined and why.
        remarks: What is to be told and is no frame.
        skipped: Fraction of a frame that no Sample covers, by frame.
        truth: What is known.
        hectares: Of rasters: ``field``, ``examined``, ``not_examined``.
        kinds: How many orthomosaics, drone frames and photographs.
    """

    folder: Path
    samples: list[Sample] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    skipped: dict[str, float] = field(default_factory=dict)
    truth: list[Finding] = field(default_factory=list)
    hectares: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    kinds: Counter[str] = field(default_factory=Counter)
    _written: dict[str, str] = field(default_factory=dict)

    def not_examined(self, frame: str, why: str) -> None:
        """Nothing of this frame was looked at."""
        self.problems.append(Problem(frame, why))
        self.skipped[frame] = 1.0

    def admit(self, path: Path, name: str) -> str:
        """The content hash of a picture that was written below ``folder``.

        Raises:
            DataError: The same bytes are there already; the file is taken away again.
        """
        content = images.content_hash(path)
        if content in self._written:
            path.unlink()
            raise DataError(
                f"{name}: holds the same pixels as {self._written[content]}; a copy is examined once, remove one"
            )
        self._written[content] = name
        return content

    def result(self, files: int) -> Ingested:
        """Everything as the core takes it.

        Args:
            files: How many files were read.
        """
        known = [sample.provenance for sample in self.samples]
        summary: Mapping[str, object] = {
            "files": files,
            **dict(sorted(self.kinds.items())),
            "samples": len(self.samples),
            "groups": len({sample.group for sample in self.samples}),
            "labelled": len(self.labels),
            "labels": dict(sorted(Counter(self.labels.values()).items())),
            "hectares": {name: round(value, 4) for name, value in self.hectares.items()},
            "synthetic": any(p.get("synthetic") for p in known),
        }
        return Ingested(
            samples=tuple(self.samples),
            labels=self.labels,
            problems=tuple(self.problems),
            remarks=tuple(self.remarks),
            skipped=self.skipped,
            truth=tuple(self.truth),
            summary=summary,
        )
