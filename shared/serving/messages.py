"""Requests of the protocol in, pictures out; answers in, tensors of the protocol out. Every fault is one sentence."""

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data import images
from shared.errors import DataError
from shared.serving import open_inference_pb2 as pb

IMAGE, ENCODED = "image", "encoded"
"""Inputs: decoded pixels ``[n, height, width, 3]`` UINT8 RGB, or files (JPEG, PNG ...) ``[n]`` BYTES."""
DEFAULT_OUTPUTS = ("probabilities", "novelty", "risk", "label", "verdict")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Asked:
    """A request that is sound in form.

    Attributes:
        pictures: Decoded pixels, or None where ``files`` are given.
        files: Encoded images.
        outputs: Names of the wanted outputs, in order.
    """

    pictures: tuple[NDArray[np.uint8], ...] | None
    files: tuple[bytes, ...]
    outputs: tuple[str, ...]


def asked(request: pb.ModelInferRequest, available: Sequence[str], *, most: int, max_pixels: int) -> Asked:
    """Check a request and take its images out.

    Args:
        request: As it came.
        available: Names of the outputs that the model has.
        most: Largest number of images of one request.
        max_pixels: Largest number of pixels of one image.

    Raises:
        DataError: It names other inputs or outputs than the model has, or its sizes do not agree.
    """
    if len(request.inputs) != 1 or request.inputs[0].name not in (IMAGE, ENCODED):
        found = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise DataError(f"inputs: found {found}; allowed is one, {IMAGE!r} or {ENCODED!r}")
    outputs = tuple(output.name for output in request.outputs) or tuple(
        name for name in DEFAULT_OUTPUTS if name in available
    )
    unknown = sorted(set(outputs) - set(available))
    if unknown:
        raise DataError(f"outputs: {', '.join(map(repr, unknown))} is not among {', '.join(available)}")
    tensor = request.inputs[0]
    raw = tuple(request.raw_input_contents)
    if raw and tensor.HasField("contents"):
        raise DataError(f"input {tensor.name!r}: has raw_input_contents and contents; send one of them")
    if len(raw) > 1:
        raise DataError(f"raw_input_contents: has {len(raw)} entries for one input; send one")
    if tensor.name == ENCODED:
        return Asked(None, _files(tensor, raw, most), outputs)
    return Asked(_pixels(tensor, raw, most, max_pixels), (), outputs)


def _files(tensor: pb.ModelInferRequest.InferInputTensor, raw: Sequence[bytes], most: int) -> tuple[bytes, ...]:
    _expect(tensor, "BYTES")
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or not 0 < shape[0] <= most:
        raise DataError(f"input {ENCODED!r}: has shape {shape}; allowed is [n] with n from 1 to {most}")
    found = tuple(_split(raw[0])) if raw else tuple(tensor.contents.bytes_contents)
    if len(found) != shape[0]:
        raise DataError(f"input {ENCODED!r}: shape {shape} promises {shape[0]} files, found {len(found)}")
    return found


def _split(data: bytes) -> Iterator[bytes]:
    """Each element is its length as 4 bytes, little-endian, and its bytes."""
    start = 0
    while start < len(data):
        if start + 4 > len(data):
            raise DataError(f"input {ENCODED!r}: its raw contents end inside a length; send 4 bytes and the file each")
        (length,) = _LENGTH.unpack_from(data, start)
        if start + 4 + length > len(data):
            raise DataError(f"input {ENCODED!r}: a length of {length} reaches beyond its raw contents")
        yield data[start + 4 : start + 4 + length]
        start += 4 + length


def _pixels(
    tensor: pb.ModelInferRequest.InferInputTensor, raw: Sequence[bytes], most: int, max_pixels: int
) -> tuple[NDArray[np.uint8], ...]:
    _expect(tensor, "UINT8")
    shape = list(tensor.shape)
    fits = len(shape) == 4 and shape[3] == 3 and 0 < shape[0] <= most and min(shape) > 0
    if not fits or shape[1] * shape[2] > max_pixels:
        raise DataError(
            f"input {IMAGE!r}: has shape {shape}; allowed is [n, height, width, 3] with n from 1 to {most} and "
            f"height x width up to {max_pixels:,}"
        )
    if raw:
        if len(raw[0]) != math.prod(shape):
            raise DataError(f"input {IMAGE!r}: shape {shape} needs {math.prod(shape)} bytes, found {len(raw[0])}")
        array = np.frombuffer(raw[0], np.uint8)
    else:
        values = tensor.contents.uint_contents
        if len(values) != math.prod(shape):
            raise DataError(f"input {IMAGE!r}: shape {shape} needs {math.prod(shape)} values, found {len(values)}")
        wide = np.fromiter(values, np.uint32, len(values))
        if wide.max() > 255:
            raise DataError(f"input {IMAGE!r}: a value is {wide.max()}; UINT8 goes from 0 to 255")
        array = wide.astype(np.uint8)
    return tuple(array.reshape(shape))


def _expect(tensor: pb.ModelInferRequest.InferInputTensor, datatype: str) -> None:
    if tensor.datatype != datatype:
        raise DataError(f"input {tensor.name!r}: has datatype {tensor.datatype!r}; allowed is {datatype}")


def decoded(files: Sequence[bytes], max_pixels: int) -> tuple[NDArray[np.uint8], ...]:
    """Decode the files of a request exactly as the command does.

    Raises:
        DataError: One of them is not a whole image; nothing of the request is answered then.
    """
    return tuple(
        images.decode(data, where=f"input {ENCODED!r}, file {i}", max_pixels=max_pixels) for i, data in enumerate(files)
    )


def answer(
    made: Mapping[str, Any], outputs: Sequence[str], response: pb.ModelInferResponse, parameters: Mapping[str, Any]
) -> pb.ModelInferResponse:
    """Put tensors and parameters into a response.

    Args:
        made: Every output by name: a float32 array, or a list of texts.
        outputs: Names in the order they were asked for.
        response: To be filled.
        parameters: What stands with every answer: text, numbers, booleans.
    """
    for name in outputs:
        value = made[name]
        texts = isinstance(value, list)
        shape = [len(value)] if texts else list(value.shape)
        response.outputs.add(name=name, datatype="BYTES" if texts else "FP32", shape=shape)
        response.raw_output_contents.append(_joined(value) if texts else np.ascontiguousarray(value, "<f4").tobytes())
    for key, value in parameters.items():
        fill(response.parameters[key], value)
    return response


def _joined(texts: Sequence[str]) -> bytes:
    return b"".join(_LENGTH.pack(len(data)) + data for data in (text.encode() for text in texts))


_FIELDS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (bool, "bool_param", bool),
    (int, "int64_param", int),
    (float, "double_param", float),
    (str, "string_param", str),
)


def fill(parameter: pb.InferParameter, value: bool | int | float | str) -> None:
    """Set a parameter by the type of its value."""
    field, convert = next((f, c) for kind, f, c in _FIELDS if isinstance(value, kind))
    setattr(parameter, field, convert(value))
