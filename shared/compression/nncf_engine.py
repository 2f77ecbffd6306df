"""A second engine for whole numbers: OpenVINO's NNCF, which takes layers back to float32 until a measure holds."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from shared.building.candidates import Candidate
from shared.compression import calibrating, qdq
from shared.compression.parent import Parent, extractor_of, with_head_kept
from shared.compression.recipe import Compression
from shared.errors import require
from shared.inference import runtime
from shared.training.head import balanced_accuracy

MOST_ROUNDS = 5
"""Layers that it may take back."""
_STATISTICS = ["ReduceMean", "Sub", "Pow", "Sqrt", "Div", "Concat", "AveragePool", "Resize"]


def candidate(parent: Parent, recipe: Compression) -> Candidate:
    """One candidate; it keeps the parent's balanced accuracy on training images as far as the limits say.

    Args:
        parent: The larger model.
        recipe: Its ``allowed.drop`` is NNCF's limit too.

    Raises:
        ExportError: The parent is in whole numbers already.
        MissingDependency: NNCF is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nncf = require("nncf", extra="nncf")
        advanced = require("nncf.quantization.advanced_parameters", extra="nncf")
    nncf.set_log_level(logging.ERROR)
    parts = qdq.apart(parent.candidate.extractor.model)
    rows = calibrating.balanced(parent.parts["train"].rows, recipe.quantize.images, recipe.seed)
    given = calibrating.pixels(parent, parts, recipe.quantize.images, recipe.seed)
    truth = np.array([parent.work.labels.index(row.label) for row in rows], np.int64)

    def measure(model: Any, images: Iterable[dict[str, Any]]) -> tuple[float, None]:
        session = runtime.session(model.SerializeToString(), threads=recipe.threads)
        found = np.concatenate([session.run(["features"], image)[0] for image in images])
        return balanced_accuracy(parent.candidate.head.scores(found).argmax(1), truth), None

    data = nncf.Dataset(list(calibrating.feeds(given)))
    overflow = advanced.OverflowFix.ENABLE if recipe.quantize.reduce_range else advanced.OverflowFix.DISABLE
    # Its progress goes to stdout, which belongs to the command's result.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = nncf.quantize_with_accuracy_control(
            parts.body,
            data,
            data,
            measure,
            max_drop=recipe.allowed.drop,
            subset_size=len(given),
            ignored_scope=nncf.IgnoredScope(types=_STATISTICS, validate=False),
            advanced_quantization_parameters=advanced.AdvancedQuantizationParameters(overflow_fix=overflow),
            advanced_accuracy_restorer_parameters=advanced.AdvancedAccuracyRestorerParameters(
                max_num_iterations=MOST_ROUNDS
            ),
        )
    left = _in_float32(parts, body)
    name = "int8 by NNCF" + (f", {len(left)} of {len(parts.layers)} layers in float32" if left else "")
    extractor = extractor_of(parent, qdq.joined(parts, body), "int8 by NNCF")
    made = with_head_kept(parent, name, extractor, parent.features(extractor))
    return replace(made, details={**made.details, "layers": len(parts.layers), "float32_layers": left})


def _in_float32(parts: qdq.Apart, body: Any) -> list[str]:
    rounded = {output for n in body.graph.node if n.op_type == "DequantizeLinear" for output in n.output}
    nodes = {n.name: n for n in body.graph.node}
    return [qdq.said(layer) for layer in parts.layers if layer in nodes and nodes[layer].input[1] not in rounded]
