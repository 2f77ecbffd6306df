import cv2
import numpy as np
import pytest

from shared.errors import ExportError
from shared.export import graph, parity
from shared.recipe import Recipe
from shared.training import backbones

torch = pytest.importorskip("torch", reason="the train extra is not installed")


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    small = [rng.uniform(0, 255, (7, 9, 3)).astype(np.float32) for _ in range(4)]
    sizes = [(80, 60), (64, 64), (200, 31), (33, 120)]
    return [
        cv2.resize(s, size, interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        for s, size in zip(small, sizes, strict=True)
    ]


@pytest.fixture(scope="module")
def net() -> backbones.FieldNet:
    return backbones.create(Recipe(image_size=64))[0]


def test_onnxruntime_agrees_with_torch_preprocessing_included(
    net: backbones.FieldNet, photographs: list[np.ndarray]
) -> None:
    model, found = parity.export(net, photographs)
    assert found.exporter == "torchscript" and found.images == 4 and found.max_difference < parity.TOLERANCE
    assert np.allclose(
        parity.torch_features(net, photographs), parity.onnx_features(model, photographs), atol=1e-3, rtol=1e-3
    )


def test_the_features_are_the_mean_of_the_field(net: backbones.FieldNet) -> None:
    pixels = torch.randn(2, 3, 64, 64)
    features, field = net(pixels)
    assert field.shape[2:] == (4, 4)
    assert torch.allclose(features, field.mean((2, 3)), atol=1e-6)


def test_the_field_keeps_each_stages_mean_and_deviation(net: backbones.FieldNet) -> None:
    pixels = torch.randn(1, 3, 64, 64)
    features, _ = net(pixels)
    first = net.model.forward_intermediates(pixels, indices=net.indices, intermediates_only=True)[0]
    channels = first.shape[1]
    assert torch.allclose(features[0, :channels], first.mean((2, 3))[0], atol=1e-5)
    deviation = first.var((2, 3), unbiased=False).add(1e-6).sqrt()[0]
    assert torch.allclose(features[0, channels : 2 * channels], deviation, atol=2e-3)


def test_an_exporter_that_gives_wrong_numbers_is_passed_over_and_two_such_are_refused(
    net: backbones.FieldNet, photographs: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = parity._dynamo(net)

    def wrong(_: object) -> object:
        model = graph.onnx.ModelProto()
        model.CopyFrom(right)
        stem = next(i for i in model.graph.initializer if len(i.dims) == 4 and i.dims[1] == 3)
        stem.CopyFrom(graph.onnx.numpy_helper.from_array(graph.onnx.numpy_helper.to_array(stem) * 1.5, stem.name))
        return model

    monkeypatch.setattr(parity, "_torchscript", wrong)
    monkeypatch.setattr(parity, "_dynamo", lambda _: right)
    _, found = parity.export(net, photographs)
    assert found.exporter == "dynamo" and "features differ" in found.tried[0]
    monkeypatch.setattr(parity, "_dynamo", wrong)
    with pytest.raises(ExportError, match="does not agree with torch"):
        parity.export(net, photographs)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "mobilenetv2_100"]
)
def test_networks_of_every_kind_are_exported(name: str, photographs: list[np.ndarray]) -> None:
    size = 224 if "swin" in name else 64
    recipe = Recipe(backbone=name, image_size=size)
    model = backbones._create(name, recipe, pretrained=False).eval().requires_grad_(False)
    net = backbones.FieldNet(model, recipe, (0.5,) * 3, (0.5,) * 3).eval()
    _, found = parity.export(net, photographs)
    assert found.max_difference < parity.TOLERANCE


@pytest.mark.parametrize("name", ["", "efficientnet_b0", "tf_efficientnet_lite0"])
def test_padding_is_a_constant_of_the_graph_and_the_answers_stay(name: str, photographs: list[np.ndarray]) -> None:
    """TensorFlow's SAME padding asks for the size of its input; at 96 px both even and odd sides come up."""
    net, _ = backbones.create(Recipe(backbone=name, weights="random", image_size=96))
    fixed = parity.with_fixed_padding(net)
    pixels = backbones.torch.linspace(-2, 2, 2 * 3 * 96 * 96).view(2, 3, 96, 96)
    for before, after in zip(net(pixels), fixed(pixels), strict=True):
        assert backbones.torch.equal(before, after)
    model, _ = parity.export(net, photographs)
    assert not {node.op_type for node in model.graph.node} & {"OneHot", "Tile", "Ceil", "Gather"}
