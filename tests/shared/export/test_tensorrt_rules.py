from pathlib import Path

import numpy as np
import pytest

from shared.export import tensorrt_rules
from shared.inference import runtime

onnx = pytest.importorskip("onnx", reason="the train extra is not installed")


def test_each_node_that_breaks_a_rule_is_named_and_none_is_left_after_the_change(int8_bundle: Path) -> None:
    model = onnx.load(int8_bundle / "model.onnx")
    found = tensorrt_rules.violations(model)
    quantised = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert sum("type uint8" in f for f in found) >= 2 * sum(n.op_type == "QuantizeLinear" for n in quantised)
    assert any("type int32" in f for f in found), "biases"
    assert any(f.startswith("Resize") and "antialiasing" in f for f in found)
    first = next(n for n in quantised if n.op_type == "QuantizeLinear")
    assert any(f"QuantizeLinear {first.name}: " in f for f in found)
    changed, widened = tensorrt_rules.symmetric(model)
    assert tensorrt_rules.violations(changed) == [] and widened > 10


def test_the_symmetric_range_holds_the_old_one_and_costs_at_most_a_bit(
    int8_bundle: Path, some_pictures: list[np.ndarray]
) -> None:
    model = onnx.load(int8_bundle / "model.onnx")
    changed, _ = tensorrt_rules.symmetric(model)
    old = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    new = {i.name: onnx.numpy_helper.to_array(i) for i in changed.graph.initializer}
    pairs = [(old[n.removesuffix("_symmetric")], s) for n, s in new.items() if n.endswith("_scale_symmetric")]
    assert pairs and all(1.0 <= float(s / o) <= 2.01 for o, s in pairs)
    before, after = (runtime.session(m.SerializeToString()) for m in (model, changed))
    batch = np.stack(some_pictures)
    a, b = (s.run(["features"], {"image": batch})[0] for s in (before, after))
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert correlation > 0.9


def test_weights_that_are_not_symmetric_are_rounded_anew() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 256, (4, 3), dtype=np.uint8)
    scale, zero = np.array([0.1, 0.2, 0.3, 0.4], np.float32), np.array([10, 128, 200, 0], np.uint8)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"], axis=0, name="weights"),
            onnx.helper.make_node("MatMul", ["x", "v"], ["y"]),
        ],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])],
        [onnx.numpy_helper.from_array(v, n) for n, v in (("w", weights), ("s", scale), ("z", zero))],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    assert "weights" in tensorrt_rules.violations(model)[0]
    changed, _ = tensorrt_rules.symmetric(model)
    assert tensorrt_rules.violations(changed) == []
    x = rng.normal(size=(1, 4)).astype(np.float32)
    a, b = (runtime.session(m.SerializeToString()).run(None, {"x": x})[0] for m in (model, changed))
    largest = np.abs((weights.astype(float) - zero[:, None]) * scale[:, None]).max(1)
    assert (np.abs(a - b) <= (np.abs(x) @ (largest / 127 / 2 + 1e-4))[:, None]).all()
