"""Decisions as JSON lines: written while they are made, read by review and report."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.errors import DataError
from shared.records import Box, Decision, Finding, Sample, Verdict, as_json, decision_from_json
from shared.vertical import Case


@dataclass(frozen=True)
class Shown:
    """Where the picture of a finding is.

    Attributes:
        image: The file.
        box: The finding's region in that file's pixels; None means the whole image.
        file: The beginning of the file's content hash when it was examined; empty where that is not known.
        more: The other files that a finding reaches into, where none shows all of it.
    """

    image: str
    box: Box | None = None
    file: str = ""
    more: tuple["Shown", ...] = ()


@dataclass(frozen=True)
class Line:
    """One frame's answer as it is read back.

    Attributes:
        decision: The decision.
        shown: Picture of each finding by its id, and of the frame by its name.
        extra: Everything else that the line carries.
    """

    decision: Decision
    shown: Mapping[str, Shown]
    extra: Mapping[str, Any]


def line(decision: Decision, case: Case, folder: Path, **extra: Any) -> dict[str, Any]:
    """A decision with its pictures, ready for ``json.dumps``; for examined whole images with all that was seen.

    What was not examined has no score: a number would be read as an answer.
    """
    by_id = {seen.sample.id: seen.sample for seen in case.seen}
    pictures = {f.id: _shown(f, by_id, folder) for f in decision.findings}
    if case.seen:
        pictures.setdefault(decision.frame, _picture(case.seen[0].sample, folder))
    # Another strip may come under the same name tomorrow: a verdict belongs to this content.
    seen = [seen.sample.id for seen in case.seen] or _unseen(case, folder)
    groups = {i: by_id[i].group for f in decision.findings for i in f.samples if i in by_id}
    record = {**extra, **as_json(decision), "shown": pictures, "content": content(seen), "groups": groups}
    examined = decision.verdict is not Verdict.NOT_EXAMINED
    if examined and len(case.seen) == 1 and case.seen[0].sample.window is None:
        only = case.seen[0]
        record |= {"probabilities": dict(only.probabilities), "novelty": only.novelty}
        record |= {"possible": only.possible, "nearest": list(only.nearest)}
    return record


def _unseen(case: Case, folder: Path) -> list[str]:
    """What tells a frame of which nothing was seen from another of that name, which may fail for the same reason."""
    found = [str(problem) for problem in case.problems]
    for name in {case.frame, *(problem.where for problem in case.problems)}:
        try:
            status = (folder / name).lstat()
        except (OSError, ValueError):  # a name that is not one of a file
            continue
        found.append(f"{name}: {status.st_size} bytes of {status.st_mtime_ns}")
    if len(found) == len(case.problems):
        # Nothing else tells them apart; a verdict of yesterday must not stand for what comes today.
        found.append(datetime.now(UTC).date().isoformat())
    return found


def content(ids: Iterable[str]) -> str:
    """One content hash of several Samples, in any order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def file_of(sample: str) -> str:
    """The part of a Sample's id that stands for its whole file: the beginning of the file's content hash."""
    return sample.partition("@")[0]


def _shown(finding: Finding, samples: Mapping[str, Sample], folder: Path) -> dict[str, Any]:
    if finding.region is None:
        return _picture(samples[finding.samples[0]], folder)
    # A long strip lies in several files: where one of them shows all of the finding that one, else each that it is in.
    first: dict[str, Sample] = {}
    for identity in finding.samples:
        first.setdefault(samples[identity].path, samples[identity])
    found = []
    for sample in first.values():
        corner = (sample.window.x0, sample.window.y0) if sample.window else (0, 0)
        box = finding.region.shifted(corner[0] - sample.origin[0], corner[1] - sample.origin[1])
        x1, y1 = _end(sample, samples)
        inside = {"x0": max(box.x0, 0), "y0": max(box.y0, 0), "x1": box.x1, "y1": box.y1}
        shown = _picture(sample, folder) | {"box": inside}
        if len(first) == 1 or (min(box.x0, box.y0) >= 0 and box.x1 <= x1 and box.y1 <= y1):
            return shown
        if min(box.x1, box.y1) > 0 and box.x0 < x1 and box.y0 < y1:
            found.append(shown)
    return (found or [shown])[0] | {"more": found[1:]}


def _end(sample: Sample, samples: Mapping[str, Sample]) -> tuple[int, int]:
    """Where a file ends to the right and below, as far as it was looked at, in its pixels."""
    windows = [s.window for s in samples.values() if s.path == sample.path and s.window is not None]
    return max((w.x1 for w in windows), default=sample.width), max((w.y1 for w in windows), default=sample.height)


def _picture(sample: Sample, folder: Path) -> dict[str, Any]:
    return {"image": str((folder / sample.path).resolve()), "box": None, "file": file_of(sample.id)}


@contextmanager
def writer(path: Path) -> Iterator[Any]:
    """A text stream that becomes ``path`` when the block ends; interrupted, it stays as ``<path>.partial``."""
    partial = path.with_name(path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8") as stream:
        yield stream
    partial.replace(path)


def read(path: Path) -> tuple[Line, ...]:
    """Read what ``loupe predict -o`` wrote.

    Raises:
        DataError: The file is missing or a line is not a decision.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a file that loupe predict -o wrote") from error
    return tuple(_parse(text.splitlines(), path))


def pictures_of(lines: Iterable[Line]) -> dict[str, Path]:
    """A picture of each frame that has one."""
    return {line.decision.frame: Path(shown.image) for line in lines for shown in line.shown.values()}


def used_in_build(lines: Sequence[Line]) -> str:
    """What has to be said before figures in which pictures that built the bundle are; empty where none is."""
    used = sum(bool(line.extra.get("used_in_build")) for line in lines)
    if not used:
        return ""
    return (
        f"{used} of {len(lines)} frames were used to build the bundle and are in these figures, which are no evidence "
        "of how well it does; loupe evaluate leaves such frames out"
    )


def _shown_from_json(value: Mapping[str, Any]) -> Shown:
    box, more = value["box"], tuple(map(_shown_from_json, value.get("more", ())))
    return Shown(value["image"], Box(**box) if box else None, str(value.get("file", "")), more)


def _parse(lines: Iterable[str], path: Path) -> Iterator[Line]:
    for number, content in enumerate(lines, start=1):
        try:
            record = json.loads(content)
            shown = {key: _shown_from_json(value) for key, value in record["shown"].items()}
            yield Line(decision_from_json(record), shown, record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} line {number}: is not a decision ({error!r}); run loupe predict again") from error
