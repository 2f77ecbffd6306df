"""What a reader says in, the note of a log's row out, and back: a label, how urgent, how sure.

A reading made before the answer is a row READ, the verdict after it a row of its own; their order in the hash chain is
the proof that the reader had not seen the answer.
"""

import json
from dataclasses import dataclass, replace

from shared.records import Action, Review
from shared.review.items import Item, canonical
from verticals.medical.reading.worklist import urgency_of
from verticals.medical.taxonomy import URGENCY

NO_TRIGGER = "NO-TRIGGER"
"""What a person records who sees nothing to refer; it names no disease, and is not the word benign."""
CONFIDENCE = ("a guess", "unsure", "fairly sure", "sure", "certain")
"""What a confidence of 1 to 5 is called."""


@dataclass(frozen=True)
class Answer:
    """What a reader says of one picture.

    Attributes:
        label: Code of the taxonomy, :data:`NO_TRIGGER`, or the label of what was not examined.
        urgency: 0 (same day) to 4, None where it was not asked.
        confidence: 1 (a guess) to 5 (certain), likewise.
        text: What the reader typed.
    """

    label: str
    urgency: int | None = None
    confidence: int | None = None
    text: str = ""


def note(answer: Answer) -> str:
    """The note of a row: canonical JSON, or the bare text where there is nothing else."""
    said = {"urgency": answer.urgency, "confidence": answer.confidence}
    known = {key: value for key, value in said.items() if value is not None}
    if not known:
        return answer.text
    return canonical({**known, **({"text": answer.text} if answer.text else {})})


def answer_of(review: Review) -> Answer:
    """The inverse of :func:`note`, with the row's label."""
    plain = Answer(review.label, text=review.note)
    if not review.note.startswith("{"):
        return plain
    try:
        said = json.loads(review.note)
        urgency, confidence = said.get("urgency"), said.get("confidence")
    except (ValueError, AttributeError):
        return plain
    right = urgency in (None, *range(len(URGENCY))) and confidence in (None, *range(1, len(CONFIDENCE) + 1))
    return Answer(review.label, urgency, confidence, str(said.get("text", ""))) if right else plain


@dataclass(frozen=True)
class Draft:
    """A reading while it is being made: one key for each of its three parts.

    Attributes:
        turn: The page's turn it belongs to.
        label: None until it is said.
        urgency: Likewise.
        since: When the present question came up, in seconds of a monotonic clock.
    """

    turn: int
    label: str | None = None
    urgency: int | None = None
    since: float = 0.0

    @property
    def asks(self) -> str:
        """What is asked next: ``label``, ``urgency`` or ``confidence``."""
        if self.label is None:
            return "label"
        return "urgency" if self.urgency is None else "confidence"

    def said(self, value: str | int, at: float) -> "Draft":
        """The draft with the next part: a code, or the urgency."""
        if self.label is None:
            return replace(self, label=str(value), since=at)
        return replace(self, urgency=int(value), since=at)

    def back(self, at: float) -> "Draft":
        """The draft one step before."""
        if self.urgency is not None:
            return replace(self, urgency=None, since=at)
        return replace(self, label=None, since=at)


def suggestion(item: Item) -> Answer:
    """What the model says, in the form of a reading; it claims no confidence of that kind."""
    return Answer(item.label, urgency_of(item))


def final(action: Action, label: str, item: Item, own: Answer | None, urgency: int | None, text: str) -> Answer:
    """What stands after a verdict.

    Args:
        action: What the reader did.
        label: For a relabel: what it is.
        item: The item.
        own: The reading before the answer was shown, None where there was none.
        urgency: What the reader chose beside the verdict, None for nothing.
        text: What the reader typed.
    """
    stands = {Action.CONFIRM: item.label, Action.REJECT: NO_TRIGGER}.get(action, label)
    before = own.urgency if own is not None and (own.label == stands or action is not Action.CONFIRM) else None
    suggested = urgency_of(item) if action is Action.CONFIRM else None
    chosen = next((u for u in (urgency, before, suggested) if u is not None), None)
    confidence = own.confidence if own is not None and own.label == stands else None
    return Answer(stands, chosen, confidence, text)
