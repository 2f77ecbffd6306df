"""Whether a candidate takes the place of the best so far: decided by a paired test on the validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.building.candidates import Candidate
from shared.building.second_opinion import Opinion
from shared.building.work import Work, parts
from shared.data.manifest import Row
from shared.reporting.paired import Difference, paired, surely_better

SURE = 0.95
"""Confidence in better probabilities that is enough where balanced accuracy is no lower."""


@dataclass(frozen=True)
class Trial:
    """A candidate and what became of it.

    Attributes:
        name: What was tried.
        candidate: The model, None where none came of it.
        adopted: Whether it became the best so far.
        difference: To the best before it, on validation; None for the first.
        why: One sentence.
    """

    name: str
    candidate: Candidate | None
    adopted: bool
    difference: Difference | None
    why: str

    @property
    def details(self) -> Mapping[str, Any]:
        """What else is known about the candidate."""
        return self.candidate.details if self.candidate else {}

    def facts(self) -> dict[str, Any]:
        """As plain values for the report."""
        return {
            "name": self.name,
            "adopted": self.adopted,
            "inner": self.candidate.inner if self.candidate else None,
            "difference": None if self.difference is None else dict(vars(self.difference)),
            "why": self.why,
            "details": {k: v for k, v in self.details.items() if k not in ("evaluations", "tried")},
        }


def first(candidate: Candidate) -> Trial:
    """The candidate that needs no comparison."""
    return Trial(candidate.name, candidate, True, None, "the default: everything else must beat it")


def best(trials: Sequence[Trial]) -> Candidate:
    """The candidate that was adopted last; the first one always was."""
    return [trial.candidate for trial in trials if trial.candidate and trial.adopted][-1]


def compared(trials: Sequence[Trial]) -> int:
    """Models among which the validation images were used to choose."""
    return sum(trial.candidate is not None for trial in trials)


def nothing(work: Work, name: str, why: str) -> Trial:
    """What was tried without a model coming of it."""
    work.say(f"{name}: {why}")
    return Trial(name, None, False, None, why)


def undecided(trial: Trial) -> bool:
    """Whether a model was refused that is no worse, only not surely better: more images could tell."""
    return trial.difference is not None and not trial.adopted and trial.difference.value >= 0


def against(
    work: Work, champion: Candidate, challenger: Candidate, rows: list[Row], further: Opinion | None = None
) -> Trial:
    """Compare on the validation images, pairwise; the best so far stays unless the challenger is better.

    Better is a higher balanced accuracy with the confidence of the recipe, or one that is no lower together with
    better probabilities with :data:`SURE`: on a hundred images a gain of three points is three images, and the
    probabilities tell what the labels cannot.

    Args:
        work: The build; its recipe says how sure it must be.
        champion: The best so far.
        challenger: The new one.
        rows: All usable rows.
        further: Images that are judged together with the validation images, because those could not tell.
    """
    old, new = (parts(work, rows, c.known)["validation"] for c in (champion, challenger))
    said = [c.probabilities(p) for c, p in ((champion, old), (challenger, new))]
    y, groups, where = old.y, old.groups, "validation"
    if further:
        y, groups = np.concatenate([y, further.y]), [*groups, *further.groups]
        said = [np.concatenate(both) for both in zip(said, (further.old, further.new), strict=True)]
        where = f"validation and on {len(further.y)} training images, which both did without in turn,"
    difference = paired(y, said[0].argmax(1), said[1].argmax(1), groups, seed=work.recipe.seed)
    lower, sure = surely_better(y, said[0], said[1], groups, seed=work.recipe.seed)
    wanted = work.recipe.adopt_confidence
    adopted = difference.p_better >= wanted or (difference.value >= 0 and sure >= SURE)
    verdict = "adopted" if adopted else f"not adopted, which takes {wanted:.0%} confidence, or {SURE:.0%} in the latter"
    why = f"on {where} {difference}; Brier score {-lower:+.3f} (better with {sure:.1%} confidence): {verdict}"
    work.say(f"{challenger.name} against {champion.name}: {why}")
    return Trial(challenger.name, challenger, adopted, difference, why)
