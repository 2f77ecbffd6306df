"""Run by the interpreter of the TFLite converter's own environment: ONNX to TFLite, and TFLite's answers.

    python -I litert_process.py convert MODEL.onnx MODEL.tflite
    python -I litert_process.py answer MODEL.tflite PICTURES.npy ANSWERS.npz

It imports nothing of this project, since that environment holds other versions of shared dependencies.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

OUTPUTS = ("probabilities", "scores", "novelty")


def convert(source: str, target: str) -> None:
    """Write a fixed ONNX network (see ``shared/export/plain.py``) as TFLite."""
    import litert_torch
    import onnx
    import torch

    model = onnx.load(source)
    sides = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    network = network_of(model).eval()
    # A dictionary of outputs keeps their names in the file.
    litert_torch.convert(network, sample_kwargs={"picture": torch.zeros(*sides)}).export(target)


def answer(source: str, pictures: str, target: str) -> None:
    """Write what TFLite answers to ``(n, size, size, 3)`` float32 pictures, 0 to 255."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=source, num_threads=1).get_signature_runner()
    found = [runner(picture=picture[None]) for picture in np.load(pictures)]
    answers: dict[str, Any] = {name: np.concatenate([f[name] for f in found]) for name in OUTPUTS}
    np.savez(target, **answers)


def network_of(model: Any) -> Any:
    """A torch module that computes an ONNX graph, node by node."""
    import torch
    from onnx import helper, numpy_helper

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fixed: dict[str, Any] = {}
            for i, tensor in enumerate(model.graph.initializer):
                value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
                self.register_buffer(f"number_{i}", value)
                self.fixed[tensor.name] = value
            self.nodes = [
                (n.op_type, list(n.input), n.output[0], {a.name: helper.get_attribute_value(a) for a in n.attribute})
                for n in model.graph.node
            ]

        def forward(self, picture: Any) -> dict[str, Any]:
            values = {**self.fixed, model.graph.input[0].name: picture}
            for kind, inputs, output, attributes in self.nodes:
                values[output] = OPERATIONS[kind]([values[i] if i else None for i in inputs], attributes)
            return {name: values[name] for name in OUTPUTS}

    unknown = sorted({n.op_type for n in model.graph.node} - set(OPERATIONS))
    if unknown:
        sys.exit(f"the TFLite route does not know the operation {', '.join(unknown)}; take --to onnx or openvino")
    return Network()


def _conv(x: list[Any], a: dict[str, Any]) -> Any:
    import torch

    pads = list(a.get("pads", [0, 0, 0, 0]))
    picture, strides, dilations = x[0], a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    half = len(pads) // 2
    if pads[:half] != pads[half:]:
        picture, pads = torch.nn.functional.pad(picture, _torch_pads(pads)), [0] * len(pads)
    bias = x[2] if len(x) > 2 else None
    return torch.nn.functional.conv2d(picture, x[1], bias, strides, pads[:half], dilations, a.get("group", 1))


def _torch_pads(pads: list[int]) -> list[int]:
    """ONNX: all starts, then all ends; torch: start and end of the last axis first."""
    half = len(pads) // 2
    return [side for axis in reversed(range(half)) for side in (pads[axis], pads[half + axis])]


def _pad(x: list[Any], a: dict[str, Any]) -> Any:
    import torch

    value = float(x[2]) if len(x) > 2 and x[2] is not None else 0.0
    return torch.nn.functional.pad(x[0], _torch_pads(x[1].tolist()), value=value)


def _pool(x: list[Any], a: dict[str, Any]) -> Any:
    import torch

    pads = list(a.get("pads", [0, 0, 0, 0]))
    if pads[:2] != pads[2:] or a.get("auto_pad", b"NOTSET") != b"NOTSET":
        sys.exit("the TFLite route does not know a pooling with uneven borders; take --to onnx or openvino")
    return torch.nn.functional.avg_pool2d(
        x[0],
        a["kernel_shape"],
        a.get("strides", [1, 1]),
        pads[:2],
        bool(a.get("ceil_mode", 0)),
        bool(a.get("count_include_pad", 0)),
    )


def _clip(x: list[Any], a: dict[str, Any]) -> Any:
    low, high = [float(v) if v is not None else None for v in (*x[1:], None, None)[:2]]
    return x[0].clamp(low, high)


def _gemm(x: list[Any], a: dict[str, Any]) -> Any:
    left = x[0].t() if a.get("transA") else x[0]
    right = x[1].t() if a.get("transB") else x[1]
    product = a.get("alpha", 1.0) * (left @ right)
    return product + a.get("beta", 1.0) * x[2] if len(x) > 2 else product


def _axes(x: list[Any], a: dict[str, Any]) -> list[int]:
    return x[1].tolist() if len(x) > 1 and x[1] is not None else list(a.get("axes", range(x[0].ndim)))


def _mean(x: list[Any], a: dict[str, Any]) -> Any:
    return x[0].mean(_axes(x, a), keepdim=bool(a.get("keepdims", 1)))


def _sum_of_squares(x: list[Any], a: dict[str, Any]) -> Any:
    return (x[0] * x[0]).sum(_axes(x, a), keepdim=bool(a.get("keepdims", 1)))


def _reshape(x: list[Any], a: dict[str, Any]) -> Any:
    return x[0].reshape([x[0].shape[i] if side == 0 else side for i, side in enumerate(x[1].tolist())])


def _unsqueeze(x: list[Any], a: dict[str, Any]) -> Any:
    rank = x[0].ndim + len(x[1])
    found = x[0]
    for axis in sorted(axis % rank for axis in x[1].tolist()):
        found = found.unsqueeze(axis)
    return found


def _pow(x: list[Any], a: dict[str, Any]) -> Any:
    return x[0] * x[0] if x[1].numel() == 1 and float(x[1]) == 2.0 else x[0] ** x[1]


def _concat(x: list[Any], a: dict[str, Any]) -> Any:
    import torch

    return torch.cat(x, a["axis"])


def _tile(x: list[Any], a: dict[str, Any]) -> Any:
    import torch

    found = x[0]
    # torch's own repeat becomes a broadcast over twice as many axes, more than TFLite has.
    for axis, times in enumerate(x[1].tolist()):
        found = torch.cat([found] * times, axis) if times > 1 else found
    return found


def _resize(x: list[Any], a: dict[str, Any]) -> Any:
    import torch

    if a.get("mode") != b"nearest" or a.get("coordinate_transformation_mode") != b"asymmetric" or len(x) < 4:
        sys.exit("the TFLite route knows a resize inside the network by the nearest place only; take --to openvino")
    return torch.nn.functional.interpolate(x[0], size=x[3].tolist()[2:], mode="nearest")


def _hard_sigmoid(x: list[Any], a: dict[str, Any]) -> Any:
    return (x[0] * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1)


OPERATIONS: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {
    "Add": lambda x, a: x[0] + x[1],
    "AveragePool": _pool,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": lambda x, a: x[0] / x[1],
    "Gemm": _gemm,
    "GlobalAveragePool": lambda x, a: x[0].mean((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x, a: x[0] * (x[0] / 6 + 0.5).clamp(0, 1),
    "Identity": lambda x, a: x[0],
    "MatMul": lambda x, a: x[0] @ x[1],
    "Mul": lambda x, a: x[0] * x[1],
    "Pad": _pad,
    "Pow": _pow,
    "ReduceMean": _mean,
    "ReduceSumSquare": _sum_of_squares,
    "Resize": _resize,
    "Relu": lambda x, a: x[0].relu(),
    "Reshape": _reshape,
    "Sigmoid": lambda x, a: x[0].sigmoid(),
    "Softmax": lambda x, a: x[0].softmax(a.get("axis", -1)),
    "Sqrt": lambda x, a: x[0].sqrt(),
    "Sub": lambda x, a: x[0] - x[1],
    "Tile": _tile,
    "Transpose": lambda x, a: x[0].permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""What each ONNX operation is in torch; ``x`` its inputs, ``a`` its attributes."""

if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"convert": convert, "answer": answer}
    verbs[sys.argv[1]](*sys.argv[2:])
