"""The contract of a vertical: a name and four functions. The folder is the registry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Problem
from shared.records import Decision, Finding, Review, Sample


@dataclass(frozen=True)
class Ingested:
    """What an ingest made.

    Attributes:
        samples: One per image or window, paths relative to ``folder``.
        labels: Label of a Sample by its id, where truth came with the raw files.
        problems: What could not be read, with its reason; never dropped silently.
        remarks: What is to be told and concerns no frame, e.g. a line of a table without its file; nothing is decided
            about it, a Problem becomes a decision NOT EXAMINED.
        skipped: Fraction of a frame's area that no Sample covers, by frame (0 is not listed).
        truth: What is known to be in the frames, as Findings of probability 1; empty where no truth came with them.
        summary: Counts for the person at the terminal.
        groups: Part, patient or field that a frame shows, by frame, also of those that could not be read; a frame that
            is not listed shows one of its own.
    """

    samples: tuple[Sample, ...]
    labels: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    skipped: Mapping[str, float] = field(default_factory=dict)
    truth: tuple[Finding, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[Problem, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What the model saw in one Sample.

    Attributes:
        sample: The Sample.
        probabilities: Calibrated, one per label of the bundle, in its order; they add up to 1.
        novelty: 1.0 is the 99th percentile of images held out in the build.
        class_map: Contribution of each place to each label's score, ``(labels, rows, columns)`` as nested lists, or
            None where the place does not matter.
        possible: Labels of the prediction set, which holds the true one as often as the bundle promises; None where
            the bundle promises nothing.
        nearest: Training images that look most like it, the most similar first: path, label and similarity.
        in_build: Whether the bundle was built on it or on a copy of it, as far as that was asked.
    """

    sample: Sample
    probabilities: Mapping[str, float]
    novelty: float
    class_map: Any = None
    possible: tuple[str, ...] | None = None
    nearest: tuple[Mapping[str, Any], ...] = ()
    in_build: bool = False


@dataclass(frozen=True)
class Case:
    """Everything known about one frame when it is decided.

    Attributes:
        frame: Its name.
        seen: What the model saw, Sample by Sample.
        examined: Fraction of the frame's area that was looked at, 0 to 1.
        problems: Why the rest was not.
        ok_label: Label of the bundle that means "nothing wrong", None where it has none.
        threshold: The bundle's risk threshold for a flag, None where none could be certified.
        unsought: Labels of the bundle that its certificate does not cover; risk is the probability of all others.
        uncertified: Labels of the bundle that are in every prediction set, because the build had too few independent
            groups of them; that they are possible says nothing about this frame.
        novelty_limit: Novelty above which the bundle itself calls an image unlike its own; None where it states none.
        group: Part, patient or field that it shows; empty where it is one of its own.
    """

    frame: str
    seen: tuple[Seen, ...]
    examined: float
    problems: tuple[Problem, ...]
    ok_label: str | None
    threshold: float | None
    unsought: tuple[str, ...] = ()
    uncertified: tuple[str, ...] = ()
    novelty_limit: float | None = None
    group: str = ""


@dataclass(frozen=True)
class Vertical:
    """One field of use.

    Attributes:
        name: Its folder's name.
        folder: Where ``labels.toml``, ``recipe.toml``, ``policy.toml`` and ``app.py`` lie.
        ingest: ``(source, out) -> Ingested``: raw files to Samples; writes only below ``out``.
        decide: ``(case, policy_file) -> Decision``.
        report: ``(decisions, truth, reviews) -> dict``: the domain's numbers, each with count and interval.
        synth: ``(out, seed=, small=) -> Path``: raw input of its own kind, with truth, for the demo and the tests.
        finds: What it finds, in the plural, for the person at the terminal.
        samples: What its Samples are, for the person at the terminal.
        always_ingest: Whether ordinary images go through ``ingest`` before a prediction too, because a gate stands
            there; otherwise only raw files of a bundle that looks at tiles.
        notice: What must stand with every answer, wherever it is shown; empty where nothing must.
        blind: ``(picture) -> sentence``: why a whole picture ``(height, width, 3)`` shows nothing and no model is asked
            about it, None where it shows something; absent, only a picture of one single value does not.
        gate: ``(picture) -> sentence``: why ``ingest`` lets a whole picture be scored by nothing, None where it may be;
            an evaluation, which comes without it, tells how many such pictures it counts.
        frames: ``(pictures) -> frames``: pictures of the findings by their frame in, the frames of each file by the
            name that it had before ``ingest`` out; absent where frames are called as their files are.
    """

    name: str
    folder: Path
    ingest: Callable[[Path, Path], Ingested]
    decide: Callable[[Case, Path | None], Decision]
    report: Callable[[Sequence[Decision], Sequence[Finding], Sequence[Review]], dict[str, Any]]
    synth: Callable[..., Path]
    finds: str = "findings"
    samples: str = "images"
    always_ingest: bool = False
    notice: str = ""
    blind: Callable[[NDArray[np.uint8]], str | None] | None = None
    gate: Callable[[NDArray[np.uint8]], str | None] | None = None
    frames: Callable[[Mapping[str, Path]], Mapping[str, Sequence[str]]] | None = None
