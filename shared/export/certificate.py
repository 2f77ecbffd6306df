"""A bundle and its model in another runtime in, a parity certificate out: how far apart they are on real images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import ExportError
from shared.inference import Bundle, runtime

OUTPUTS = ("probabilities", "scores", "novelty")


class Outputs(NamedTuple):
    """What a runtime answers to n images.

    Attributes:
        probabilities: ``(n, labels)`` float32.
        scores: ``(n, labels)`` float32, before softmax.
        novelty: ``(n,)`` float32.
    """

    probabilities: NDArray[np.float32]
    scores: NDArray[np.float32]
    novelty: NDArray[np.float32]


Answer = Callable[[Sequence[NDArray[np.uint8]]], Outputs]
"""Images of any sizes, each ``(height, width, 3)`` uint8 RGB, to what a runtime answers."""


@dataclass(frozen=True)
class Limits:
    """How far another runtime may be from the bundle's own.

    Two runtimes round int8 in different places, and a rounding that falls the other way is carried through the network;
    that is why int8 has limits of its own, see :func:`limits_for`.

    Attributes:
        probability: Difference that counts as apart: of a probability, or of a score relative to the image's largest
            (a sure model's probabilities are 0 and 1 whatever it computes).
        apart: Share of the images that may be apart, 0 to 1.
        flips: Share of the images whose likeliest label may change, 0 to 1.
        golden_flips: Golden images whose likeliest label may change.
    """

    probability: float = runtime.SELF_TEST_TOLERANCE
    apart: float = 0.0
    flips: float = 0.0
    golden_flips: int = 0


def limits_for(*, int8: bool) -> dict[str, float]:
    """The limits that hold where nobody sets others: those of :class:`Limits`, wider for int8."""
    return {"probability": 0.25, "apart": 0.05, "flips": 0.05} if int8 else {}


@dataclass(frozen=True)
class Compared:
    """One set of images through both runtimes.

    Attributes:
        names: Of the images.
        probability: ``(n,)`` largest difference of a probability of each image.
        score: ``(n,)`` largest difference of a score, relative to the image's largest score (at least 1).
        novelty: ``(n,)`` difference of the novelty.
        flips: Images whose likeliest label differs.
        crossings: Images that one runtime flags at the bundle's threshold and the other does not.
    """

    names: tuple[str, ...]
    probability: NDArray[np.float64]
    score: NDArray[np.float64]
    novelty: NDArray[np.float64]
    flips: tuple[str, ...]
    crossings: tuple[str, ...]

    @property
    def difference(self) -> NDArray[np.float64]:
        """``(n,)`` what is held against :attr:`Limits.probability`."""
        return np.maximum(self.probability, self.score)


def compare(bundle: Bundle, own: Outputs, other: Outputs, names: Sequence[str]) -> Compared:
    """Compare the answers of two runtimes.

    Raises:
        ExportError: The other runtime gives another number of answers, or one that is not a number.
    """
    for name, a, b in zip(OUTPUTS, own, other, strict=True):
        if a.shape != b.shape or not np.isfinite(b).all():
            found = f"shape {b.shape}" if a.shape != b.shape else "values that are not numbers"
            raise ExportError(f"{name} of the exported model: {found}, the bundle gives {a.shape}; nothing was written")
    gap = np.abs(own.probabilities.astype(np.float64) - other.probabilities).max(1, initial=0)
    largest = np.maximum(np.abs(own.scores).max(1, initial=0), 1.0)
    flipped = own.probabilities.argmax(1) != other.probabilities.argmax(1)
    crossed = _flagged(bundle, own.probabilities) != _flagged(bundle, other.probabilities)
    return Compared(
        tuple(names),
        gap,
        np.abs(own.scores.astype(np.float64) - other.scores).max(1, initial=0) / largest,
        np.abs(own.novelty.astype(np.float64) - other.novelty),
        tuple(name for name, flip in zip(names, flipped, strict=True) if flip),
        tuple(name for name, cross in zip(names, crossed, strict=True) if cross),
    )


def _flagged(bundle: Bundle, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    if bundle.threshold is None:
        return np.zeros(len(probabilities), bool)
    risk = 1.0 - probabilities[:, np.isin(bundle.labels, bundle.unsought)].sum(1)
    result: NDArray[np.bool_] = risk >= bundle.threshold
    return result


def refusal(golden: Compared, real: Compared | None, limits: Limits) -> str:
    """Why the exported model is not the bundle's model; empty where it is."""
    reasons = []
    if len(golden.flips) > limits.golden_flips:
        reasons.append(f"{len(golden.flips)} of {len(golden.names)} golden images get another label")
    for what, found in (("golden images", golden), ("images", real)):
        if found is None or not len(found.names):
            continue
        n = len(found.names)
        apart = int((~(found.difference <= limits.probability)).sum())
        if apart > limits.apart * n:
            worst = found.names[int(found.difference.argmax())]
            reasons.append(
                f"{apart} of {n} {what} differ by more than {limits.probability:g} in a probability or score "
                f"(allowed {limits.apart:.0%} of them), most by {found.difference.max():.2g} on {worst}"
            )
        if found is real and len(found.flips) > limits.flips * n:
            shown = ", ".join(found.flips[:3])
            reasons.append(f"{len(found.flips)} of {n} images get another label (allowed {limits.flips:.0%}): {shown}")
    return "; ".join(reasons)


def record(golden: Compared, real: Compared | None, limits: Limits, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The certificate as plain data, with its sentence."""
    judged = real if real is not None and len(real.names) else golden
    where = "images" if judged is real else "golden images (no picture was given: drawn patterns only)"
    n = len(judged.names)
    sentence = (
        f"{facts['runtime']} against {facts['reference']} on {n} {where}: largest difference of a probability "
        f"{judged.probability.max():.2g}, {len(judged.flips)} other labels, "
        f"{len(judged.crossings)} other sides of the threshold"
    )
    return {
        **facts,
        "sentence": sentence,
        "limits": vars(limits),
        "golden": _numbers(golden),
        "images": _numbers(real) if real is not None else None,
    }


def _numbers(found: Compared) -> dict[str, Any]:
    return {
        "n": len(found.names),
        "probability": _spread(found.probability),
        "score": _spread(found.score),
        "novelty": _spread(found.novelty),
        "flips": list(found.flips),
        "crossings": list(found.crossings),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    if not len(values):
        return {"largest": 0.0, "p95": 0.0, "median": 0.0}
    return {
        "largest": float(values.max()),
        "p95": float(np.quantile(values, 0.95)),
        "median": float(np.median(values)),
    }


def by_onnxruntime(session: Any) -> Answer:
    """How an onnxruntime session of a bundle's graph answers."""

    def answer(images: Sequence[NDArray[np.uint8]]) -> Outputs:
        rows = [session.run(list(OUTPUTS), {"image": batch}) for batch in runtime.batches(images)]
        return Outputs(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    return answer
