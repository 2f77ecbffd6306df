"""A bundle in, a folder for another runtime out with its parity certificate, or the reason why there is none."""

import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import atomic, config
from shared.data import images, sources
from shared.errors import BundleError, DataError, ExportError, require
from shared.export import certificate
from shared.export.certificate import Answer, Compared, Limits, Outputs
from shared.export.targets import Written
from shared.inference import Bundle, Runtime, registry, runtime
from shared.inference import bundle as bundles

TARGETS = {"onnx": "onnx_file", "openvino": "openvino", "tflite": "tflite", "tensorrt": "tensorrt"}
CERTIFICATE, SIDE_CAR = "parity.json", "model.json"
_CHUNK = 64


def export(
    bundle: Path,
    target: str,
    out: Path,
    *,
    source: Path | None = None,
    most: int = 200,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> dict[str, Any]:
    """Write a bundle for another runtime, after that runtime was seen to give the same answers.

    Args:
        bundle: Folder of the bundle, or of a registry.
        target: One of :data:`TARGETS`.
        out: Folder; an older export there is replaced.
        source: Pictures to compare on, see :func:`shared.data.sources.samples`; without, the golden inputs alone.
        most: Pictures that are compared, evenly spread over the source.
        overrides: ``key=value`` over the limits, see :class:`shared.export.certificate.Limits`.
        say: Told what is being done.

    Returns:
        The certificate, with the folder.

    Raises:
        BundleError: It is no bundle, or ``out`` is something else than an older export.
        DataError: No picture of the source can be decoded.
        ExportError: The target cannot hold the model, or gives other answers; nothing was written.
        Offline: A converter must be installed first, and there is no network.
        MissingDependency: A converter of an extra is not installed.
    """
    if out.exists() and not (out / CERTIFICATE).is_file():
        raise BundleError(f"{out}: exists and is no export; give another name after -o, nothing is overwritten")
    atomic.check(out)
    opened = Runtime.open(registry.resolve(bundle))
    own = opened.bundle
    int8 = is_int8(own)
    limits = config.load(
        Limits, overrides=[*(f"{k}={v}" for k, v in certificate.limits_for(int8=int8).items()), *overrides]
    )
    session = runtime.session(str(own.path / bundles.MODEL))
    names, pictures, problems = _pictures(source, most)
    module = import_module(f"shared.export.targets.{TARGETS[target]}")
    with atomic.folder(out) as folder:
        written: Written = module.write(own, folder, say=say) if target == "tflite" else module.write(own, folder)
        say(f"comparing on {len(names)} pictures and the golden inputs")
        golden = _golden(own, session, written.answer)
        real = _compared(own, certificate.by_onnxruntime(session), written.answer, names, pictures)
        refused = certificate.refusal(golden, real, limits)
        if refused:
            raise ExportError(
                f"{target}: {written.runtime} does not give the bundle's answers: {refused}; nothing was written"
            )
        facts = _facts(own, folder, written, target=target, int8=int8, problems=problems)
        found = certificate.record(golden, real, limits, facts)
        side_car = _side_car(own, written, target)
        (folder / SIDE_CAR).write_text(json.dumps(side_car, indent=2) + "\n", encoding="utf-8")
        (folder / CERTIFICATE).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return {"out": str(out), **found}


def is_int8(bundle: Bundle) -> bool:
    """Whether a bundle's graph holds quantised tensors."""
    onnx = require("onnx", extra="train")
    model = onnx.load(str(bundle.path / bundles.MODEL))
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def _pictures(source: Path | None, most: int) -> tuple[list[str], list[Path], list[str]]:
    if source is None:
        return [], [], []
    samples, folder, problems = sources.samples(source)
    step = max(1, len(samples) // most)
    chosen = samples[::step][:most]
    if not chosen:
        raise DataError(f"{source}: no picture can be decoded; first reason: {problems[0]}")
    return [s.path for s in chosen], [folder / s.path for s in chosen], [str(p) for p in problems]


def _golden(bundle: Bundle, session: Any, answer: Answer) -> Compared:
    """The golden inputs, against what the build wrote down."""
    golden = runtime.read_metadata(session)["golden"]
    patterns = [runtime.golden_image(g) for g in golden]
    novelty = certificate.by_onnxruntime(session)(patterns).novelty
    expected = Outputs(
        np.array([g["probabilities"] for g in golden], np.float32),
        np.array([g["scores"] for g in golden], np.float32),
        novelty,
    )
    names = [f"golden input {i}" for i in range(len(golden))]
    return certificate.compare(bundle, expected, answer(patterns), names)


def _compared(
    bundle: Bundle, own: Answer, other: Answer, names: Sequence[str], files: Sequence[Path]
) -> Compared | None:
    if not names:
        return None
    pairs: list[tuple[Outputs, Outputs]] = []
    for start in range(0, len(files), _CHUNK):
        pictures: list[NDArray[np.uint8]] = [images.read(file) for file in files[start : start + _CHUNK]]
        pairs.append((own(pictures), other(pictures)))
    ours, theirs = (
        Outputs(*(np.concatenate(column) for column in zip(*side, strict=True))) for side in zip(*pairs, strict=True)
    )
    return certificate.compare(bundle, ours, theirs, names)


def _facts(
    bundle: Bundle, folder: Path, written: Written, *, target: str, int8: bool, problems: Sequence[str]
) -> dict[str, Any]:
    import onnxruntime

    return {
        "target": target,
        "int8": int8,
        "bundle_hash": bundle.hash,
        "runtime": written.runtime,
        "own_runtime": written.own_runtime,
        "reference": f"onnxruntime {onnxruntime.__version__}",
        "files": {name: bundles.file_hash(folder / name) for name in written.files},
        "size_bytes": sum((folder / name).stat().st_size for name in written.files),
        "preprocessing": written.takes,
        "notes": list(written.notes),
        "problems": list(problems),
        **dict(written.said),
    }


def _side_car(bundle: Bundle, written: Written, target: str) -> dict[str, Any]:
    """What a program on the target needs to use the answers."""
    stated = bundle.card["certificate"]
    return {
        "target": target,
        "files": list(written.files),
        "input": written.takes,
        "outputs": list(certificate.OUTPUTS),
        "labels": list(bundle.labels),
        "unsought": list(bundle.unsought),
        "threshold": bundle.threshold,
        "certificate": stated["sentence"] if stated else None,
        "image_size": int(bundle.card["backbone"]["image_size"]),
        "bundle_hash": bundle.hash,
        **dict(written.said),
    }
