"""What the rungs to whole numbers stand on: one calibration, and networks with more or fewer layers in 8 bits."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from shared.building.candidates import Candidate
from shared.building.work import Vectors
from shared.compression import bias_correction, calibrating, qdq, worst_layers
from shared.compression.calibrating import Pixels
from shared.compression.parent import Parent, extractor_of, with_head_kept
from shared.compression.recipe import Compression, Quantization
from shared.export.graph import Head

CORRECTED_ON = 16
"""Images on which biases are re-estimated; each channel's mean is over all places of all of them."""
DEBUGGED_ON = 4
"""Images on which rounding noise is compared: all that flows through the network is in memory for them."""
_NAMED = 3
"""Layers left out that a rung's name spells out; all stand in its details."""


@dataclass(frozen=True)
class Ladder:
    """What all rungs share.

    Attributes:
        parent: The larger model.
        parts: Its graph.
        given: ``(n, 3, size, size)`` training images, balanced over the labels.
        ranges: What each tensor's 8 bits cover.
        settings: Of the recipe.
    """

    parent: Parent
    parts: qdq.Apart
    given: Pixels
    ranges: Any
    settings: Quantization

    @classmethod
    def of(cls, parent: Parent, recipe: Compression, model: Any = None) -> "Ladder":
        """Calibrate a graph: the parent's, or another one from image to features."""
        parts = qdq.apart(model or parent.candidate.extractor.model)
        given = calibrating.pixels(parent, parts, recipe.quantize.images, recipe.seed)
        ranges = calibrating.ranges(parts, given, recipe.quantize)
        return cls(parent, parts, given, ranges, recipe.quantize)

    def body(self, without: Collection[str] = ()) -> Any:
        """The network in whole numbers but for some layers."""
        return qdq.quantized(
            self.parts,
            self.ranges,
            without,
            reduce_range=self.settings.reduce_range,
            everything=self.settings.everything,
        )

    @cached_property
    def plain(self) -> Any:
        """The network with every layer in whole numbers."""
        return self.body()

    def fixed(self, without: Collection[str]) -> Any:
        """The same with biases re-estimated."""
        threads = self.parent.work.recipe.threads
        return bias_correction.corrected(self.parts, self.body(without), self.given[:CORRECTED_ON], threads)

    @cached_property
    def noise(self) -> dict[str, float]:
        """Rounding noise of each layer, the worst first."""
        return worst_layers.noise(self.parts, self.plain, self.given[:DEBUGGED_ON])

    def worst(self, share: float) -> list[str]:
        """That share of the layers, by noise, at least one; each with the one that feeds it."""
        count = max(1, math.ceil(share * len(self.noise)))
        found: dict[str, None] = {}
        for layer in self.noise:
            if len(found) >= count:
                break
            found |= dict.fromkeys(name for name in (layer, qdq.partner(self.parts, layer)) if name)
        return list(found)

    def features(self, body: Any) -> Vectors:
        """Features of every image by a network in whole numbers."""
        return self.parent.features(extractor_of(self.parent, qdq.joined(self.parts, body), "int8"))

    def rung(
        self,
        name: str,
        body: Any,
        without: Collection[str] = (),
        *,
        known: Vectors | None = None,
        head: Head | None = None,
    ) -> Candidate:
        """A candidate whose name says which layers are not in whole numbers."""
        extractor = extractor_of(self.parent, qdq.joined(self.parts, body), "int8")
        known = self.parent.features(extractor) if known is None else known
        said = [qdq.said(layer) for layer in without]
        count = len(self.parts.layers)
        if said:
            more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
            name += f", {len(said)} of {count} layers in float32 ({', '.join(said[:_NAMED])}{more})"
        made = with_head_kept(self.parent, name, extractor, known, head)
        details = {
            "layers": count,
            "float32_layers": said,
            "calibration": f"{self.settings.calibration} on {len(self.given)} training images",
            "weight_bits": 7 if self.settings.reduce_range else 8,
        }
        if without:
            details["noise"] = {qdq.said(layer): round(value, 6) for layer, value in self.noise.items()}
        return replace(made, details={**made.details, **details})
