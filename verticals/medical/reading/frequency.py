"""A probability and two prevalences in, what it means in this clinic out: in counts of pictures, not in percent.

Readers grasp "30 of 1,000" better than a probability (Gigerenzer and Hoffrage 1995), and a probability that was
calibrated where half of the pictures are malignant says another thing where 3 of 100 are.
"""

from dataclasses import dataclass

from shared.errors import DataError
from shared.records import Verdict
from shared.review.items import NOT_EXAMINED, Item
from verticals.medical.taxonomy import UNKNOWN

PICTURES = 1000
_EDGE = 1e-4
"""Probabilities are taken as no surer than this: a build of a few thousand pictures knows no more."""


@dataclass(frozen=True)
class Clinic:
    """How many of the pictures of a clinic are malignant or pre-malignant.

    Attributes:
        share: Above 0 and below 1.
        assumed: Whether it is the software's default and nobody at the clinic has set it.
    """

    share: float
    assumed: bool = False


def shifted(probability: float, study: float, clinic: float) -> float:
    """The same evidence at another prevalence, by Bayes: the likelihood ratio stays, the prior odds change.

    It holds where malignant and other pictures look alike in both places and only their shares differ (label shift;
    Saerens, Latinne and Decaestecker 2002).

    Args:
        probability: As calibrated at the prevalence ``study``, 0 to 1.
        study: Share of malignant and pre-malignant pictures in the build, above 0 and below 1.
        clinic: The same share here.

    Raises:
        DataError: A prevalence is 0, 1 or no share.
    """
    if not (0 < study < 1 and 0 < clinic < 1):
        raise DataError(f"prevalences are {study} and {clinic}; allowed are shares above 0 and below 1")
    p = min(max(probability, _EDGE), 1 - _EDGE)
    odds = p / (1 - p) * (clinic / (1 - clinic)) / (study / (1 - study))
    return odds / (1 + odds)


def sentence(probability: float, study: float, clinic: Clinic) -> str:
    """What a risk means in this clinic, for a person.

    Raises:
        DataError: As for :func:`shifted`.
    """
    here = PICTURES * shifted(probability, study, clinic.share)
    about = "fewer than 1" if here < 1 else f"about {here:.0f}"
    if here > PICTURES - 1:
        about = f"more than {PICTURES - 1:,}"
    default = " (the software's default: set prevalence for this clinic)" if clinic.assumed else ""
    return (
        f"Of {PICTURES:,} pictures that score so, in a clinic where {_of_100(clinic.share)} are malignant or "
        f"pre-malignant{default}, {about} are; by Bayes from the build, where {_of_100(study)} are"
    )


def as_built(probability: float, study: float) -> str:
    """What a risk rests on as the bundle says it, for a person; ``study`` is 0 where the build's share is not known."""
    if not study:
        return (
            "All percentages are as built. How many pictures of the build were malignant or pre-malignant is not "
            "known, so that they cannot be carried over to this clinic."
        )
    return (
        f"All percentages are as built, where {_of_100(study)} pictures are malignant or pre-malignant: there "
        f"{100 * probability:.1f} % of pictures that score like this one are."
    )


def of_item(item: Item, study: float, clinic: Clinic) -> str:
    """:func:`sentence` of an item's risk; empty where there is no risk to speak of, or the build's share is not known.

    Args:
        item: The item; the score of what is unlike the build, or was not examined, is no probability.
        study: As for :func:`shifted`, or 0 where it is not known.
        clinic: The clinic's share.
    """
    spoken = item.verdict is Verdict.FLAG and item.label not in (UNKNOWN, NOT_EXAMINED)
    return sentence(item.risk, study, clinic) if spoken and 0 < study < 1 else ""


def _of_100(share: float) -> str:
    return f"{100 * share:.2g} of 100" if share >= 0.01 else f"{PICTURES * share:.2g} of {PICTURES:,}"
