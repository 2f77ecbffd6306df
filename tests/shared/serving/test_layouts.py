"""What is written for other servers is what their own description language takes, and names the model's tensors."""

import json
from pathlib import Path

import onnxruntime
import pytest

from shared.inference import bundle as bundles
from shared.serving import layouts

model_config_pb2 = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="tritonclient is not installed")


def test_triton_reads_the_configuration_and_its_tensors_are_those_of_the_model(bundle: Path, tmp_path: Path) -> None:
    from google.protobuf import text_format

    folder = layouts.triton(bundles.load(bundle), tmp_path, "tile")
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    session = onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    assert config.name == "tile" and config.max_batch_size > 1 and config.HasField("dynamic_batching")
    for own, theirs in ((session.get_inputs(), config.input), (session.get_outputs(), config.output)):
        assert [t.name for t in own] == [t.name for t in theirs]
        for tensor, described in zip(own, theirs, strict=True):
            rest = [d if isinstance(d, int) else -1 for d in tensor.shape[1:]]
            shape = list(described.reshape.shape) if described.HasField("reshape") else list(described.dims)
            assert shape == rest
    assert (folder / "1" / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    assert config.parameters["bundle_hash"].string_value == bundles.load(bundle).hash


def test_openvino_model_server_gets_one_entry_for_each_model(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    for name in ("tile", "weld", "tile"):
        layouts.openvino(bundles.load(bundle), tmp_path, name)
    models = json.loads((tmp_path / "config.json").read_text())["model_config_list"]
    assert [m["config"]["name"] for m in models] == ["weld", "tile"]
    assert all((Path(m["config"]["base_path"]) / "1" / "model.xml").is_file() for m in models)
