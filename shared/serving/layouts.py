"""The same bundle in the folders that other servers read: Triton (the model file unchanged), OpenVINO Model Server.

There the numbers are those of the graph: no verdict, no notice and no self-test. What the answers mean stands in the
model's metadata and in ``bundle.json``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from shared import atomic
from shared.export.targets import openvino as target
from shared.inference import Bundle, runtime
from shared.inference import bundle as bundles

_TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
MOST = 16
"""Images that Triton may join into one run."""


def triton(bundle: Bundle, repository: Path, name: str) -> Path:
    """Write ``repository/<name>/config.pbtxt`` and ``1/model.onnx``.

    Triton joins requests only where all images of a run have one size (model configuration, "Dynamic Batcher").

    Args:
        bundle: A checked bundle.
        repository: Triton's model repository; other models in it stay.
        name: Of the model.

    Returns:
        The model's folder.
    """
    session = runtime.session(str(bundle.path / bundles.MODEL))
    lines = [f'name: "{name}"', 'platform: "onnxruntime_onnx"', f"max_batch_size: {MOST}"]
    for kind, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        for tensor in tensors:
            dims = ", ".join(str(d) if isinstance(d, int) else "-1" for d in tensor.shape[1:])
            # A tensor of one number per image has no further dimension; Triton wants it said by a reshape.
            shape = f"dims: [ {dims} ]" if dims else "dims: [ 1 ], reshape: { shape: [ ] }"
            lines.append(f'{kind} [ {{ name: "{tensor.name}", data_type: {_TYPES[tensor.type]}, {shape} }} ]')
    lines.append("dynamic_batching { }")
    lines += [f'parameters {{ key: "{k}", value: {{ string_value: {json.dumps(v)} }} }}' for k, v in _said(bundle)]
    with atomic.folder(repository / name) as folder:
        (folder / "config.pbtxt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "1").mkdir()
        shutil.copyfile(bundle.path / bundles.MODEL, folder / "1" / bundles.MODEL)
    return repository / name


def openvino(bundle: Bundle, repository: Path, name: str) -> Path:
    """Write ``repository/<name>/1/model.xml`` and ``.bin``, and add the model to ``repository/config.json``.

    Not the ONNX file: the server would read its resize as one without antialiasing and give other answers, see
    :mod:`shared.export.targets.openvino`. Sizes that change from request to request need its option ``shape: auto`` or
    a dynamic shape, which is what stands in the configuration.

    Returns:
        The model's folder.

    Raises:
        MissingDependency: OpenVINO is not installed.
        ExportError: OpenVINO cannot convert the model.
    """
    with atomic.folder(repository / name) as folder:
        (folder / "1").mkdir()
        target.write(bundle, folder / "1")
    file = repository / "config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    others = [m for m in config.get("model_config_list", []) if m["config"]["name"] != name]
    own = {"name": name, "base_path": str((repository / name).resolve()), "shape": {"image": "(-1,-1,-1,3)"}}
    atomic.write(file, json.dumps({**config, "model_config_list": [*others, {"config": own}]}, indent=2))
    return repository / name


def _said(bundle: Bundle) -> list[tuple[str, str]]:
    certificate = bundle.card["certificate"]
    said = [("bundle_hash", bundle.hash), ("labels", json.dumps(list(bundle.labels)))]
    return said + ([("certificate", str(certificate["sentence"]))] if certificate else [])
