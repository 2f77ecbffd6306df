"""What flows through a network on images that it was trained on: where each tensor's 8 bits should begin and end."""

import contextlib
import io
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compression import qdq
from shared.compression.parent import Parent
from shared.compression.recipe import Quantization
from shared.data import images
from shared.data.manifest import Row
from shared.errors import require
from shared.inference import runtime

onnx: Any = require("onnx", extra="train")

_STRIDE = 4
"""Images whose tensors are in memory at a time."""

Pixels = NDArray[np.float32]


def balanced(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Up to ``count`` rows, as many of each label as there are to be had.

    Args:
        rows: Training images.
        count: How many.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    by_label: dict[str, list[Row]] = defaultdict(list)
    for i in rng.permutation(len(rows)):
        by_label[rows[i].label].append(rows[i])
    turns = [(turn, row) for own in by_label.values() for turn, row in enumerate(own)]
    return [row for _, row in sorted(turns, key=lambda t: t[0])[:count]]


def pixels(parent: Parent, parts: qdq.Apart, count: int, seed: int) -> Pixels:
    """Training images, balanced over the labels, as the network gets them: ``(n, 3, size, size)``.

    Args:
        parent: Whose images.
        parts: Its graph.
        count: How many.
        seed: Of the draw.
    """
    session = runtime.session(parts.before.SerializeToString(), threads=parent.work.recipe.threads)
    manifest = parent.work.manifest
    chosen = balanced(parent.parts["train"].rows, count, seed)
    read = (images.read(manifest.file(row.sample), window=row.sample.window) for row in chosen)
    return np.concatenate([session.run([qdq.PIXELS], {"image": picture[None]})[0] for picture in read])


def ranges(parts: qdq.Apart, given: Pixels, settings: Quantization) -> Any:
    """Smallest and largest value of each tensor between layers that its 8 bits are to cover.

    Args:
        parts: The graph.
        given: ``(n, 3, size, size)``.
        settings: Method of calibration.

    Returns:
        ``TensorsData`` of onnxruntime.
    """
    operators = None if settings.everything else [*qdq.LAYERS, "Add", "Relu", "Clip"]
    extremes = _calibrated(parts, given, operators, "MinMax")
    if settings.calibration == "minmax":
        return extremes
    return _calibrated(parts, given, operators, "Percentile", settings.percentile, extremes)


def _calibrated(
    parts: qdq.Apart,
    given: Pixels,
    operators: Sequence[str] | None,
    method: str,
    percentile: float = 100.0,
    extremes: Any = None,
) -> Any:
    quantization = require("onnxruntime.quantization", extra="train")
    calibrate = require("onnxruntime.quantization.calibrate", extra="train")
    # The calibrators talk on stdout, which belongs to the command's result.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "body.onnx"
        onnx.save(parts.body, path)
        calibrator = calibrate.create_calibrator(
            path,
            operators,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=getattr(quantization.CalibrationMethod, method),
            extra_options={"symmetric": False} | ({"percentile": percentile} if extremes else {}),
        )
        for start in range(0, len(given), _STRIDE):
            calibrator.collect_data(_reader(given[start : start + _STRIDE]))
            if start == 0 and extremes:
                _widen(calibrator.collector, extremes)
                calibrator.collect_data(_reader(given[:_STRIDE]))
        return calibrator.compute_data()


def _widen(collector: Any, extremes: Any) -> None:
    """Give every histogram its final range, empty.

    onnxruntime makes bins as wide as the first images want them and adds as many as later images need. A tensor that
    is all but zero at first, e.g. of a channel that hardly ever speaks, would get so many that no memory holds them.
    """
    for name in collector.histogram_dict:
        low, high = (np.float32(np.ravel(end)[0]) for end in extremes[name].range_value)
        widest = np.float32(max(abs(low), abs(high), np.finfo(np.float32).tiny))
        counts, edges = np.histogram(np.zeros(0, np.float32), collector.num_bins, range=(-float(widest), float(widest)))
        collector.histogram_dict[name] = (counts, edges.astype(np.float32), low, high, widest)


def _reader(given: Pixels) -> Any:
    base = require("onnxruntime.quantization", extra="train").CalibrationDataReader

    class Reader(base):  # type: ignore[misc, valid-type]
        """One image after the other."""

        def __init__(self) -> None:
            self._left = iter(feeds(given))

        def get_next(self) -> dict[str, Pixels] | None:
            """The next image, None at the end."""
            return next(self._left, None)

    return Reader()


def feeds(given: Pixels) -> Iterator[dict[str, Pixels]]:
    """One input of the body per image."""
    return ({qdq.PIXELS: image[None]} for image in given)
