"""The parts of a trained model in, a sealed bundle out: nothing is written that does not compute what was trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared import atomic
from shared.errors import ExportError
from shared.evaluate import SAMPLES
from shared.export import graph
from shared.inference import Bundle, calibration, runtime
from shared.inference import bundle as bundles
from shared.inference.novelty import Novelty
from shared.reporting import card


class Kept(Protocol):
    """What a bundle keeps of its images."""

    def save(self, folder: Path) -> Path:
        """Write itself as one file into a folder."""


TOLERANCE = 1e-4
"""Largest difference between a probability of the graph (float32) and of the head (float64)."""
ROUNDING_MARGIN = 4.0
"""Times what two ways of computing whole numbers differ by on the golden inputs, here, is what processors may."""
VARIANTS = 5
"""Patterns of each kind among which a model in whole numbers has the choice."""


def whole_model(
    features: Any, head: graph.Head, novel: Novelty, metadata: Mapping[str, Any], pictures: Sequence[NDArray[np.uint8]]
) -> tuple[bytes, dict[str, Any]]:
    """Join the parts into one ONNX file with golden inputs, and prove on real images that it computes the head.

    Args:
        features: ModelProto from image to features and field.
        head: The trained head.
        novel: The novelty statistics.
        metadata: What the file says about itself.
        pictures: Real images to compare on.

    Returns:
        The file's bytes, and the comparison.

    Raises:
        ExportError: The graph gives other probabilities than the head.
    """
    model = graph.with_head(features, head, novel, {**metadata, "golden": []})
    session = runtime.session(model.SerializeToString())
    difference = 0.0
    for batch in runtime.batches(pictures):
        probabilities, h = session.run(["probabilities", "features"], {"image": batch})
        expected = calibration.softmax(head.scores(h))
        difference = max(difference, float(np.abs(expected - probabilities).max()))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported model's probabilities differ from the trained head's by {difference:.2g} "
            f"(allowed {TOLERANCE:g}); nothing was written"
        )
    patterns, stated = golden_patterns(), {}
    agreement = {"head_images": len(pictures), "head_max_probability_difference": difference}
    if graph.in_whole_numbers(features):
        patterns, stated["tolerance"] = _calmest(session, model)
        agreement["golden_tolerance"] = stated["tolerance"]
    probabilities, scores = session.run(["probabilities", "scores"], {"image": np.stack(patterns)})
    golden = [runtime.golden(i, p, s) for i, p, s in zip(patterns, probabilities, scores, strict=True)]
    model = graph.with_head(features, head, novel, {**metadata, **stated, "golden": golden})
    return model.SerializeToString(), agreement


def _calmest(session: Any, model: Any) -> tuple[list[NDArray[np.uint8]], float]:
    """Golden inputs for a model in whole numbers, and by how much their answers may differ in another runtime.

    Of each kind of pattern the one whose answer depends least on how numbers are rounded: another runtime rounds
    elsewhere, and the smaller that difference, the smaller a fault the self-test sees.

    Raises:
        ExportError: They differ by more than a self-test may allow.
    """
    plain = runtime.session(model.SerializeToString(), as_written=True)
    variants = [golden_patterns(variant) for variant in range(VARIANTS)]
    differences = np.array([[_difference(session, plain, pattern) for pattern in v] for v in variants])
    chosen = [variants[best][kind] for kind, best in enumerate(differences.argmin(0))]
    seen = float(differences.min(0).max())
    if not ROUNDING_MARGIN * seen <= runtime.MOST_TOLERANCE:
        raise ExportError(
            f"two ways of rounding differ by {seen:.2g} in a golden answer, and {ROUNDING_MARGIN:g} times that is more "
            f"than the allowed {runtime.MOST_TOLERANCE:g}; nothing was written"
        )
    return chosen, max(ROUNDING_MARGIN * seen, runtime.SELF_TEST_TOLERANCE)


def _difference(session: Any, plain: Any, pattern: NDArray[np.uint8]) -> float:
    """What a self-test would see between two ways of rounding."""
    (p, s), (other, further) = (
        one.run(["probabilities", "scores"], {"image": pattern[None]}) for one in (session, plain)
    )
    return max(float(np.abs(other - p).max()), float(np.abs(further - s).max() / max(np.abs(s).max(), 1.0)))


def golden_patterns(variant: int = 0) -> list[NDArray[np.uint8]]:
    """Four kinds of 64-pixel images made by formula, so that no person's picture travels inside a model; uint8 RGB.

    Args:
        variant: 0 for those of every model; others turn colours, frequencies and places.
    """
    y, x = np.mgrid[0:64, 0:64] / 64.0
    rng = np.random.default_rng(20 + variant)

    def wave(f: float, g: float, colour: tuple[float, float, float]) -> NDArray[np.float64]:
        stripes: NDArray[np.float64] = np.sin(2 * np.pi * ((f + variant) * x + (g - variant) * y))[..., None] * np.roll(
            colour, variant
        )
        return stripes

    centre = (x - 0.4 - 0.05 * variant) ** 2 + (y - 0.6 + 0.05 * variant) ** 2
    blob = np.exp(-centre / 0.02)[..., None] * np.array((-1.0, -0.8, -0.6))
    broad = wave(2, 1, (1, 0.5, 0))
    fields = [broad, wave(7, 3, (0, 1, 1)), blob + 0.3 * broad, rng.normal(0, 0.5, (64, 64, 3))]
    return [np.clip(127.5 + 100 * f, 0, 255).astype(np.uint8) for f in fields]


def write(
    out: Path,
    model: bytes,
    facts: Mapping[str, Any],
    samples: pd.DataFrame,
    memory: Sequence[Kept] = (),
) -> Bundle:
    """Write the folder whole or not at all; it is loaded and self-tested before it takes its name.

    Args:
        out: The bundle's folder; an older bundle there is replaced.
        model: Content of ``model.onnx``.
        facts: Content of ``bundle.json`` and of the model card.
        samples: The images that were used, and for what, see :func:`shared.evaluate.samples_table`.
        memory: What else it keeps of its images, each a file; no picture is among them.
    """
    with atomic.folder(out) as folder:
        (folder / bundles.MODEL).write_bytes(model)
        samples.to_csv(folder / SAMPLES, index=False)
        for kept in memory:
            kept.save(folder)
        (folder / "MODEL_CARD.md").write_text(card.render(facts), encoding="utf-8")
        bundles.seal(folder, facts)
        runtime.Runtime.open(folder)
    return bundles.load(out)
