"""TFLite: the network behind the resize as one float file, converted and asked in an environment of its own.

The converter wants other versions of packages than this project (0.8 gigabytes of them), so it lives in a virtual
environment in the user's cache folder, made at the first use. Torch, which is the same there, is lent from here.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import ExportError, Offline, require
from shared.export import certificate, plain, resizing
from shared.export.targets import Written
from shared.inference import Bundle
from shared.inference import bundle as bundles

PINS = Path(__file__).with_name("litert.txt")
PROCESS = Path(__file__).with_name("litert_process.py")
MODEL = "model.tflite"
_READY = "ready"


def write(bundle: Bundle, folder: Path, *, say: Callable[[str], None]) -> Written:
    """Convert the network and ask TFLite what it answers.

    Raises:
        MissingDependency: torch or onnx is not installed.
        Offline: The converter must be installed first, and cannot be had.
        ExportError: The converter does not know the network.
    """
    onnx = require("onnx", extra="train")
    require("torch", extra="train")
    python = environment(say)
    network = plain.fixed(onnx.load(str(bundle.path / bundles.MODEL)))
    size = network.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    say("converting with litert-torch, about a minute")
    with tempfile.TemporaryDirectory() as temporary:
        onnx.save(network, str(Path(temporary) / "plain.onnx"))
        _run(python, "convert", str(Path(temporary) / "plain.onnx"), str(folder / MODEL))
    quantised = any(n.op_type == "QuantizeLinear" for n in onnx.load(str(bundle.path / bundles.MODEL)).graph.node)
    notes = ["one picture at a time; class maps and features are left out"]
    if quantised:
        notes.append("the int8 weights became float numbers again, and the rounding between layers is left out")
    return Written(
        (MODEL,),
        f"LiteRT {_pinned('ai-edge-litert')} (TFLite)",
        True,
        f"picture: float32 RGB [1, {size}, {size}, 3], 0 to 255, resized to {size} x {size} by the antialiased "
        "bilinear filter in float (shared/export/resizing.py, Pillow's mode F); normalisation is inside the model",
        tuple(notes),
        _answer(python, folder / MODEL, size),
    )


def environment(say: Callable[[str], None]) -> Path:
    """The interpreter of the converter's environment, which is made where it is not there yet.

    Raises:
        Offline: Its packages cannot be installed.
    """
    from platformdirs import user_cache_path

    lent = sysconfig.get_paths()["purelib"]
    key = hashlib.sha256(f"{PINS.read_text()}{lent}{sys.version}".encode()).hexdigest()[:12]
    place = user_cache_path("loupe") / f"litert-{key}"
    python = place / "bin" / "python"
    if (place / _READY).is_file() and python.is_file():
        return python
    say(f"installing the TFLite converter into {place}, once, about a minute and 0.8 gigabytes")
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    line = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--retries", "1", "-r", str(PINS)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(place, ignore_errors=True)
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise Offline(
            f"--to tflite: its converter cannot be installed ({reason}); connect to a package index once, "
            "or take --to onnx or openvino"
        )
    site = next((place / "lib").glob("python*/site-packages"))
    # Behind the environment's own packages: torch and onnx from here, everything that it pins from there.
    (site / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    atomic.write(place / _READY, "")
    return python


def _answer(python: Path, model: Path, size: int) -> certificate.Answer:
    def answer(images: Sequence[NDArray[np.uint8]]) -> certificate.Outputs:
        with tempfile.TemporaryDirectory() as temporary:
            pictures, answers = Path(temporary) / "pictures.npy", Path(temporary) / "answers.npz"
            np.save(pictures, np.stack([resizing.resized(image, size) for image in images]))
            _run(python, "answer", str(model), str(pictures), str(answers))
            with np.load(answers, allow_pickle=False) as found:
                return certificate.Outputs(*(found[name] for name in certificate.OUTPUTS))

    return answer


def _run(python: Path, *arguments: str) -> None:
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([str(python), "-I", str(PROCESS), *arguments], capture_output=True, text=True, env=environ)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise ExportError(f"--to tflite: the converter stopped: {reason[:300]}; nothing was written")


def _pinned(package: str) -> str:
    lines = dict(line.split("==") for line in PINS.read_text(encoding="utf-8").split() if "==" in line)
    return lines[package]
