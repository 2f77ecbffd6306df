"""A bundle in, answers out: uint8 RGB images to probabilities, novelty and class maps, with onnxruntime and numpy."""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import BundleError, DataError
from shared.inference import bundle as bundles
from shared.inference import conformal, nearest, registry
from shared.inference.bundle import Bundle

SELF_TEST_TOLERANCE = 1e-3
"""Largest difference of a probability from the golden one; runtimes and processors differ by about 1e-5."""
MOST_TOLERANCE = 0.1
"""What a model in whole numbers may state instead: one runtime rounds up where another rounds down."""
_BATCH_PIXELS = 8_000_000


@dataclass(frozen=True)
class Answers:
    """What the model says about n images.

    Attributes:
        probabilities: ``(n, labels)`` float32, calibrated, rows add up to 1.
        novelty: ``(n,)`` float32; 1.0 is the 99th percentile of images held out in the build.
        class_map: ``(n, labels, rows, columns)`` float32: what each place adds to each label's score (the mean over
            the places is the score before softmax); None where it was not asked for.
        features: ``(n, features)`` float32, what the head works on, not standardised; None where not asked for.
        possible: The prediction set of each image where somebody has put it here, see :meth:`Runtime.possible`.
    """

    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32]
    class_map: NDArray[np.float32] | None = None
    features: NDArray[np.float32] | None = None
    possible: Sequence[tuple[str, ...]] | None = None


def session(model: str | bytes, *, threads: int = 0, as_written: bool = False) -> Any:
    """An onnxruntime session on the CPU; 0 threads means all cores.

    With ``as_written`` the graph is computed node by node as it stands, whole numbers as rounded real ones: slow, and
    the reference for how far another runtime may differ.

    The threads sleep rather than spin between calls: a spinning pool beside any other busy process loses more than it
    gains (measured: a factor of 2 to 3).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Runtime:
    """A loaded bundle. It has passed its hash check and its self-test, or it does not exist."""

    def __init__(self, bundle: Bundle, session: Any, exemplars: nearest.Exemplars | None) -> None:
        self.bundle = bundle
        self._session = session
        stored = (bundle.card.get("conformal") or {}).get("sets")
        self._sets = conformal.from_json(stored) if stored else None
        self._exemplars = exemplars

    @classmethod
    def open(cls, path: Path, *, threads: int = 0) -> "Runtime":
        """Load a bundle, or the version that answers in a registry, check it, and run its golden inputs.

        What is loaded is what was checked: another bundle may take the folder's place at any moment.

        Raises:
            BundleError: It is incomplete or altered, was replaced meanwhile, or this machine gives other answers than
                the build did.
        """
        bundle = bundles.load(registry.resolve(path))
        model, exemplars = bundle.content(bundles.MODEL), nearest.of(bundle)
        try:
            opened = session(model, threads=threads)
        except Exception as error:  # onnxruntime raises its own unrelated classes
            raise BundleError(f"{path}: {bundles.MODEL} cannot be loaded ({error}); build it again") from error
        self_test(opened, str(path))
        return cls(bundle, opened, exemplars)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the probabilities."""
        return self.bundle.labels

    def possible(self, answers: Answers) -> list[tuple[str, ...]] | None:
        """The prediction set of each image; None where the bundle has none."""
        if self._sets is None:
            return None
        inside = self._sets.sets(answers.probabilities)
        return [tuple(label for label, i in zip(self.labels, row, strict=True) if i) for row in inside]

    def nearest(self, answers: Answers, k: int) -> list[tuple[dict[str, Any], ...]]:
        """The ``k`` training images that look most like each image, as path, label and similarity; empty without any.

        Args:
            answers: With features.
            k: How many.
        """
        if self._exemplars is None or answers.features is None:
            return [()] * len(answers.probabilities)
        found = self._exemplars.nearest(answers.features, k) if len(answers.features) else ()
        return [tuple({"path": n.path, "label": n.label, "similarity": n.similarity} for n in row) for row in found]

    def predict(
        self, images: Sequence[NDArray[np.uint8]], *, class_map: bool = False, features: bool = False
    ) -> Answers:
        """Answer for images of any sizes, in their order.

        Args:
            images: Each ``(height, width, 3)`` uint8 RGB.
            class_map: Whether to give the class maps too.
            features: Whether to give the features too.

        Raises:
            DataError: An image has another shape or dtype.
        """
        names = ["probabilities", "novelty"] + (["class_map"] if class_map else []) + (["features"] if features else [])
        results: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
        for batch in batches(images):
            for name, output in zip(names, self._session.run(names, {"image": batch}), strict=True):
                results[name].append(output)
        sizes = {"probabilities": (0, len(self.labels)), "novelty": (0,), "class_map": (0,) * 4, "features": (0, 0)}
        joined = {n: np.concatenate(r) if r else np.zeros(sizes[n], np.float32) for n, r in results.items()}
        return Answers(**joined)  # type: ignore[arg-type]


def batches(images: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Runs of images with the same size, each run as ``(n, height, width, 3)`` of bounded memory.

    Raises:
        DataError: An image has another shape or dtype than ``(height, width, 3)`` uint8.
    """
    start = 0
    for end in range(1, len(images) + 1):
        image = images[end - 1]
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise DataError(
                f"image {end - 1} has shape {image.shape} and dtype {image.dtype}; "
                "allowed is (height, width, 3) uint8 RGB"
            )
        full = (end - start) * image.size >= _BATCH_PIXELS
        if end == len(images) or full or images[end].shape != image.shape:
            yield np.stack(images[start:end])
            start = end


def self_test(session: Any, where: str) -> None:
    """Run the golden inputs that lie in the model's metadata and compare with their expected outputs.

    Raises:
        BundleError: An answer differs by more than :data:`SELF_TEST_TOLERANCE`, or than the model itself states, which
            may be up to :data:`MOST_TOLERANCE`.
    """
    metadata = read_metadata(session)
    allowed = float(metadata.get("tolerance", SELF_TEST_TOLERANCE))
    if not allowed <= MOST_TOLERANCE:
        raise BundleError(
            f"{where}: states that its answers may differ by {allowed:g} between runtimes; allowed is up to "
            f"{MOST_TOLERANCE:g}, build or quantize it again"
        )
    for i, golden in enumerate(metadata["golden"]):
        image = golden_image(golden)
        answer, scores = session.run(["probabilities", "scores"], {"image": image[None]})
        difference = float(np.abs(answer[0] - np.array(golden["probabilities"])).max())
        # Probabilities of a sure model are 0 and 1 whatever it computes; the scores behind them are not.
        expected = np.array(golden["scores"])
        apart = np.abs(scores[0] - expected).max() / max(float(np.abs(expected).max()), 1.0)
        difference = max(difference, float(apart))
        if not difference <= allowed:
            raise BundleError(
                f"{where}: golden image {i} gives an answer {difference:.2g} away from the build's "
                f"(allowed {allowed:g}); this runtime does not compute the same model, do not use it here"
            )


def golden_image(golden: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The image ``(height, width, 3)`` uint8 of a golden input."""
    return np.frombuffer(zlib.decompress(base64.b64decode(golden["image"])), np.uint8).reshape(golden["shape"])


def read_metadata(session: Any) -> dict[str, Any]:
    """What the build wrote into ``model.onnx``: labels, hashes, thresholds, golden inputs with expected outputs."""
    try:
        metadata: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map["loupe"])
    except (KeyError, ValueError) as error:
        raise BundleError("model.onnx carries no metadata of a build; take a model made by loupe build") from error
    return metadata


def golden(image: NDArray[np.uint8], probabilities: NDArray[np.float32], scores: NDArray[np.float32]) -> dict[str, Any]:
    """One golden input with its expected outputs, as it lies in the metadata."""
    return {
        "image": base64.b64encode(zlib.compress(image.tobytes(), 9)).decode(),
        "shape": list(image.shape),
        "probabilities": [float(p) for p in probabilities],
        "scores": [float(s) for s in scores],
    }
