"""A bundle is put into whole numbers: what is rounded, what it costs, and that everything still works with it."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from shared import packing
from shared.build import build
from shared.compress import compress
from shared.compression import (
    bias_correction,
    calibrating,
    head_recovery,
    parent,
    qdq,
    whole_number_training,
    worst_layers,
)
from shared.compression.ladder import Ladder
from shared.compression.parent import Parent
from shared.compression.recipe import Allowed, Compression, Quantization
from shared.data import images, sources
from shared.data.manifest import Manifest
from shared.errors import BundleError, ExportError
from shared.export import graph, plain, tensorrt_rules
from shared.inference import Runtime, explanation, runtime
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.update import Wish, update
from shared.updating.gate import Limits, Refused
from tests.conftest import texture

torch = pytest.importorskip("torch", reason="the train extra is not installed")

FEW = Quantization(images=24)


@pytest.fixture(scope="module")
def manifest(pictures: Path) -> Manifest:
    return sources.read(pictures)[0]


@pytest.fixture(scope="module")
def own(bundle: Path, manifest: Manifest, cache: Path) -> Parent:
    return parent.opened(bundle, manifest, cache=cache, budget_seconds=300, threads=1, say=lambda _: None)


@pytest.fixture(scope="module")
def ladder(own: Parent) -> Ladder:
    return Ladder.of(own, Compression(quantize=FEW, threads=1))


@pytest.fixture(scope="module")
def small(
    bundle: Path, manifest: Manifest, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The bundle in whole numbers, with limits wide enough for 28 validation images."""
    out = tmp_path_factory.mktemp("small") / "int8.bundle"
    recipe = Compression(allowed=Allowed(drop=0.05, label_drop=0.2, brier=0.1), quantize=FEW, threads=1)
    facts = compress(bundle, manifest, recipe, "quantize", out, cache=cache, say=lambda _: None)
    return out, facts


def drift(own: Parent, ladder: Ladder, body: Any) -> np.ndarray:
    """How far the features of the training images moved, in units of their deviation."""
    known = ladder.features(body)
    head = own.candidate.head
    return head.standardise(own.of(known)["train"].x) - head.standardise(own.parts["train"].x)


def test_a_small_bundle_is_whole_and_smaller_and_says_what_was_done(
    bundle: Path, small: tuple[Path, dict[str, Any]]
) -> None:
    out, facts = small
    made, before = Runtime.open(out), Runtime.open(bundle)
    step = made.bundle.card["compression"][-1]
    assert step["parent"] == before.bundle.hash and step["chosen"].startswith("int8")
    assert step["details"]["layers"] == 51 and step["details"]["weight_bits"] == 7
    assert step["size_bytes"]["before"] >= 3.5 * step["size_bytes"]["after"] == 3.5 * facts["size_bytes"]
    assert made.bundle.card["temperature"] != before.bundle.card["temperature"]
    assert made.bundle.card["certificate"]["groups"] > 0
    assert made.bundle.card["candidates"] > before.bundle.card["candidates"]
    pictures = [texture(label, 7000 + i) for i in range(10) for label in ("ok", "scratch", "spot")]
    a, b = before.predict(pictures), made.predict(pictures)
    assert (a.probabilities.argmax(1) == b.probabilities.argmax(1)).mean() >= 0.9
    assert 0 < np.abs(a.probabilities - b.probabilities).max() < 0.5
    np.testing.assert_allclose(a.novelty, b.novelty, rtol=0.5)


def test_layers_are_in_whole_numbers_and_preprocessing_and_statistics_are_not(small: tuple[Path, Any]) -> None:
    model = onnx.load(small[0] / bundles.MODEL)
    made_by = {output: node for node in model.graph.node for output in node.output}
    layers = [n for n in model.graph.node if n.op_type == "Conv" and n.output[0] != "class_map"]
    assert len(layers) == 51
    for layer in layers:
        assert {made_by[name].op_type for name in layer.input[:2]} == {"DequantizeLinear"}
    weights = [i for i in model.graph.initializer if i.data_type == onnx.TensorProto.INT8 and len(i.dims) == 4]
    values = [onnx.numpy_helper.to_array(w) for w in weights]
    assert len(values) == 51 and all(v.min() >= -64 and v.max() <= 64 for v in values)
    for kind in ("Resize", "ReduceMean", "Sqrt", "Pow", "AveragePool", "MatMul"):
        nodes = [n for n in model.graph.node if n.op_type == kind]
        assert nodes
        followed = [n.op_type for node in nodes for n in model.graph.node if node.output[0] in n.input]
        assert "QuantizeLinear" not in followed


def test_calibration_takes_the_labels_in_turn(own: Parent) -> None:
    rows = own.parts["train"].rows
    chosen = calibrating.balanced(rows, 12, 0)
    assert sorted(r.label for r in chosen) == ["ok"] * 4 + ["scratch"] * 4 + ["spot"] * 4
    assert chosen == calibrating.balanced(rows, 12, 0) != calibrating.balanced(rows, 12, 1)
    assert len(calibrating.balanced(rows, 10_000, 0)) == len(rows)


def test_re_estimated_biases_take_the_shift_out(own: Parent, ladder: Ladder) -> None:
    fixed = ladder.fixed(())
    rough, fine = (drift(own, ladder, body) for body in (ladder.plain, fixed))
    assert np.abs(fine.mean(0)).mean() < 0.6 * np.abs(rough.mean(0)).mean()
    last = [ladder.parts.layers[-1]]
    few = ladder.given[:4]
    expected, before, after = (
        bias_correction.channel_means(body, last, few, 1)[0] for body in (ladder.parts.body, ladder.plain, fixed)
    )
    assert np.abs(after - expected).mean() < 0.6 * np.abs(before - expected).mean()


def test_the_head_is_moved_with_its_features_and_taught_the_parents_answers(own: Parent, ladder: Ladder) -> None:
    known = ladder.features(ladder.plain)
    old, new = own.parts["train"], own.of(known)["train"]
    moved = head_recovery.standardised(own, known)
    taught = head_recovery.taught(own, moved, known)
    wanted = own.candidate.head.scores(old.x)
    off = [np.abs(head.scores(new.x) - wanted).mean() for head in (own.candidate.head, moved, taught)]
    assert off[1] < off[0] and off[2] < 0.5 * off[1]
    same = head_recovery.taught(own, head_recovery.standardised(own, own.candidate.known), own.candidate.known)
    np.testing.assert_allclose(same.weights, own.candidate.head.weights, atol=1e-9)


def test_a_layer_whose_input_has_a_far_outlier_is_found_and_stays_in_float32(own: Parent, ladder: Ladder) -> None:
    """A range three hundred times too wide, as one extreme value in calibration makes it, leaves a level or two."""
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    name = ladder.parts.layers[20]
    layer = next(n for n in ladder.parts.body.graph.node if n.name == name)
    clip = next(n for n in ladder.parts.body.graph.node if layer.input[0] in n.output)
    wide = calibrate.TensorData(lowest=np.float32(0), highest=np.float32(1800))
    spoilt = calibrate.TensorsData(
        calibrate.CalibrationMethod.MinMax,
        {k: wide if k in (layer.input[0], clip.input[0]) else v for k, v in ladder.ranges.data.items()},
    )
    body = qdq.quantized(ladder.parts, spoilt, reduce_range=True)
    noise = worst_layers.noise(ladder.parts, body, ladder.given[:2])
    assert set(noise) == set(ladder.parts.layers) and list(noise.values()) == sorted(noise.values(), reverse=True)
    assert next(iter(noise)) == name and noise[name] > 10 * sorted(noise.values())[-2]
    before = qdq.partner(ladder.parts, name)
    assert before == ladder.parts.layers[19]
    left = qdq.quantized(ladder.parts, spoilt, [name, before], reduce_range=True)
    assert next(n for n in left.graph.node if n.name == name).input[1] == layer.input[1]
    rough, better, clean = (drift(own, ladder, b) for b in (body, left, ladder.body([name, before])))
    np.testing.assert_allclose(better, clean, atol=1e-6)
    assert np.abs(rough).mean() > 1.2 * np.abs(better).mean()


def test_a_layer_left_out_is_named_by_its_rung(ladder: Ladder) -> None:
    worst = ladder.worst(0.1)
    made = ladder.rung("int8", ladder.body(worst), worst)
    assert 6 <= len(worst) <= 7 and f"{len(worst)} of 51 layers in float32 (" in made.name
    assert qdq.said(worst[0]) in made.name
    assert made.details["float32_layers"] == [qdq.said(layer) for layer in worst]


def test_names_of_layers_are_short() -> None:
    assert qdq.said("/blocks.1/blocks.1.0/conv_dw/Conv") == "blocks.1.0.conv_dw"
    assert qdq.said("/conv_stem/Conv") == "conv_stem" and qdq.said("node_conv2d_3") == "node_conv2d_3"


def test_what_is_in_whole_numbers_is_not_put_there_again(
    small: tuple[Path, Any], manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="in whole numbers already"):
        compress(small[0], manifest, Compression(threads=1), "quantize", tmp_path / "b", cache=cache)
    assert not (tmp_path / "b").exists()


@pytest.mark.long
def test_limits_that_nothing_keeps_are_a_refusal_that_names_every_rung(
    bundle: Path, manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    recipe = Compression(
        allowed=Allowed(size=0.05), quantize=Quantization(images=12, left_out=(0.1,), recovery=0), threads=1
    )
    with pytest.raises(Refused, match=r"int8, biases re-estimated.*[67] of 51 layers in float32.*nothing was written"):
        compress(bundle, manifest, recipe, "quantize", tmp_path / "b", cache=cache, say=lambda _: None)
    assert not (tmp_path / "b").exists()


def test_a_model_in_whole_numbers_states_its_tolerance_and_a_broken_one_still_fails(
    small: tuple[Path, Any], tmp_path: Path
) -> None:
    model = onnx.load(small[0] / bundles.MODEL)
    stated = json.loads({p.key: p.value for p in model.metadata_props}["loupe"])
    assert runtime.SELF_TEST_TOLERANCE <= stated["tolerance"] < runtime.MOST_TOLERANCE
    runtime.self_test(runtime.session(model.SerializeToString(), as_written=True), "as written")
    for place in (0, 25, 50):
        broken = onnx.ModelProto()
        broken.CopyFrom(model)
        weight = [i for i in broken.graph.initializer if i.data_type == onnx.TensorProto.INT8 and len(i.dims) == 4][
            place
        ]
        turned = onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name)
        weight.CopyFrom(turned)
        with pytest.raises(BundleError, match="does not compute the same model"):
            runtime.self_test(runtime.session(broken.SerializeToString()), "broken")
    onnx.helper.set_model_props(model, {"loupe": json.dumps({**stated, "tolerance": 0.5})})
    with pytest.raises(BundleError, match=r"allowed is up to 0\.1"):
        runtime.self_test(runtime.session(model.SerializeToString()), "lenient")


@pytest.mark.parametrize("rewritten", [plain.in_float, lambda model: tensorrt_rules.symmetric(model)[0]])
def test_what_stands_in_a_range_of_8_bits_alone_is_not_lost_for_other_runtimes(
    rewritten: Any, small: tuple[Path, Any], pictures: Path
) -> None:
    """The quantizer drops activation functions that the range behind them already expresses."""
    model = onnx.load(small[0] / bundles.MODEL)
    functions = [n for n in model.graph.node if n.op_type in ("Relu", "Clip") and not n.name.startswith("loupe")]
    assert len(functions) < 20  # of 35 in the float network
    some = np.stack([images.read(file) for file in sorted((pictures / "spot").iterdir())[:8]])
    own, other = (
        runtime.session(m.SerializeToString(), threads=1).run(["probabilities", "scores"], {"image": some})
        for m in (model, rewritten(model))
    )
    assert float(np.abs(own[1] - other[1]).max()) < 0.15 * float(np.abs(own[1]).max())
    assert float(np.abs(own[0] - other[0]).max()) < 0.1


def test_golden_inputs_of_whole_numbers_are_those_that_rounding_moves_least(small: tuple[Path, Any]) -> None:
    model = onnx.load(small[0] / bundles.MODEL)
    stated = json.loads({p.key: p.value for p in model.metadata_props}["loupe"])
    session = runtime.session(model.SerializeToString(), threads=1)
    plain = runtime.session(model.SerializeToString(), as_written=True)

    def moved(patterns: list[np.ndarray]) -> list[float]:
        return [packing._difference(session, plain, pattern) for pattern in patterns]

    chosen = moved([runtime.golden_image(golden) for golden in stated["golden"]])
    every = np.array([moved(packing.golden_patterns(variant)) for variant in range(packing.VARIANTS)])
    np.testing.assert_allclose(chosen, every.min(0), atol=1e-6)
    assert len({image.tobytes() for v in range(packing.VARIANTS) for image in packing.golden_patterns(v)}) == every.size
    assert stated["tolerance"] == pytest.approx(
        max(packing.ROUNDING_MARGIN * max(chosen), runtime.SELF_TEST_TOLERANCE), rel=1e-3
    )


@pytest.mark.parametrize("calibration", ["percentile", "minmax"])
def test_a_channel_that_is_silent_on_the_first_images_costs_no_memory(calibration: str) -> None:
    """onnxruntime alone would want a billion times as many bins as it begins with."""
    shape, weight = [1, 3, 8, 8], np.ones((2, 3, 1, 1), np.float32)
    body = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Conv", [qdq.PIXELS, "w"], ["y"], name="conv")],
            "body",
            [onnx.helper.make_tensor_value_info(qdq.PIXELS, onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, 8, 8])],
            [onnx.numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=9,
    )
    given = np.random.default_rng(0).uniform(-1, 3, (12, 3, 8, 8)).astype(np.float32)
    given[:4] *= 1e-9
    found = calibrating.ranges(qdq.Apart(body, body), given, Quantization(calibration=calibration, percentile=99.0))
    low, high = (float(np.ravel(end)[0]) for end in found["y"].range_value)
    seen = given.sum(1).ravel()
    if calibration == "minmax":
        assert (low, high) == pytest.approx((seen.min(), seen.max()), rel=1e-5)
    else:  # half a per cent is cut off at each end; few of 768 values lie there
        assert low == pytest.approx(np.percentile(seen, 0.5), abs=0.1)
        assert high == pytest.approx(np.percentile(seen, 99.5), abs=0.1)


def test_the_novelty_of_a_small_bundle_is_what_its_numbers_say(small: tuple[Path, Any]) -> None:
    made = Runtime.open(small[0])
    before, head, novel = graph.taken_apart(onnx.load(small[0] / bundles.MODEL))
    assert graph.in_whole_numbers(before)
    answers = made.predict([texture("ok", 1), texture("spot", 2), np.zeros((64, 64, 3), np.uint8)], features=True)
    np.testing.assert_allclose(novel.score(head.standardise(answers.features)), answers.novelty, rtol=1e-4)


def test_a_small_bundle_is_explained_compared_and_taught(
    small: tuple[Path, Any], pictures: Path, tmp_path: Path
) -> None:
    made = Runtime.open(small[0])
    picture = texture("spot", 4711)
    answers = made.predict([picture], class_map=True, features=True)
    best = int(answers.probabilities[0].argmax())
    places = explanation.contrast(answers.class_map[0], best)
    assert explanation.overlay(picture, places).shape == picture.shape
    nearest = made.nearest(answers, 3)[0]
    assert len(nearest) == 3 and nearest[0]["label"] == made.labels[best]
    data = tmp_path / "new" / "spot"
    data.mkdir(parents=True)
    for i in range(12):
        cv2.imwrite(str(data / f"{i}.png"), texture("spot", 90_000 + i))
    wide = Limits(drop=0.1, label_drop=0.3, brier=0.1, size=0.1)
    update(small[0], tmp_path / "next.bundle", Wish(data=data.parent, limits=wide), say=lambda _: None)
    after = Runtime.open(tmp_path / "next.bundle")
    stated = json.loads(after._session.get_modelmeta().custom_metadata_map["loupe"])
    assert stated["tolerance"] >= runtime.SELF_TEST_TOLERANCE
    again = after.predict([picture])
    assert again.probabilities[0].argmax() == best


@pytest.mark.long
def test_a_bundle_without_its_torch_network_is_quantized_from_its_graph_alone(
    bundle: Path, manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.bundle"
    shutil.copytree(bundle, stranger)
    card = json.loads((stranger / bundles.CARD).read_text())
    card["backbone"]["sha256"] = "0" * 64
    bundles.seal(stranger, {k: v for k, v in card.items() if k not in ("files", "format", "bundle_hash")})
    said: list[str] = []
    recipe = Compression(allowed=Allowed(size=0.01), quantize=Quantization(images=8, left_out=()), threads=1)
    with pytest.raises(Refused, match="int8"):
        compress(stranger, manifest, recipe, "quantize", tmp_path / "b", cache=cache, say=said.append)
    assert any("training in whole numbers: left out" in line for line in said)


@pytest.mark.long
def test_training_as_if_rounded_brings_the_answers_closer_and_leaves_a_plain_network(
    bundle: Path, manifest: Manifest, cache: Path, ladder: Ladder
) -> None:
    opened = parent.opened(bundle, manifest, cache=cache, budget_seconds=90, threads=1, say=lambda _: None)
    made = next(whole_number_training.rungs(opened, Compression(quantize=FEW, threads=1)))
    teacher, _ = opened.network()
    assert made.kept.net.state_dict().keys() == teacher.state_dict().keys()
    pixels = torch.rand(2, 3, 64, 64)
    assert not torch.equal(made.kept.net(pixels)[0], teacher(pixels)[0])
    plain = ladder.rung("int8", ladder.plain)
    wanted = opened.candidate.probabilities(opened.parts["train"])
    far = [np.abs(c.probabilities(opened.of(c.known)["train"]) - wanted).mean() for c in (plain, made)]
    assert far[1] < far[0] and "trained in whole numbers" in made.name


@pytest.mark.long
def test_where_squeeze_excite_collapses_the_ladder_says_which_layers_it_took_back(
    pictures: Path, manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    """One channel a thousand times louder, read as much more softly: the same in float32, and too much for 8 bits."""
    timm, save_file = pytest.importorskip("timm"), pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(0)
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    state["blocks.0.0.bn2.weight"][0] *= 1000
    state["blocks.0.0.bn2.bias"][0] *= 1000
    state["blocks.1.0.conv_pw.weight"][:, 0] /= 1000
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "loud.safetensors")
    recipe = Recipe(
        backbone="mobilenetv3_small_050", weights=str(tmp_path / "loud.safetensors"), image_size=64, threads=1,
        search=False, finetune=False,
    )  # fmt: skip
    build(pictures, tmp_path / "parent", recipe=recipe, budget_seconds=120, cache=cache)
    first = Quantization(images=24, calibration="minmax", everything=True, left_out=(0.05, 0.2), recovery=0)
    wide = Compression(allowed=Allowed(drop=0.08, label_drop=0.25, brier=0.1), quantize=first, threads=1)
    compress(tmp_path / "parent", manifest, wide, "quantize", tmp_path / "small", cache=cache, say=lambda _: None)
    step = Runtime.open(tmp_path / "small").bundle.card["compression"][-1]
    assert step["rungs"][0]["name"] == "int8" and "balanced accuracy -" in step["rungs"][0]["why"]
    assert "layers in float32" in step["chosen"]
    assert {"blocks.0.0.conv_pw", "blocks.1.0.conv_pw"} <= set(step["details"]["float32_layers"])


@pytest.mark.long
def test_the_second_engine_gives_a_bundle_too(bundle: Path, manifest: Manifest, cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="the extra nncf is not installed")
    recipe = Compression(
        allowed=Allowed(drop=0.1, label_drop=0.3, brier=0.2),
        quantize=Quantization(engine="nncf", images=24),
        threads=1,
    )
    facts = compress(bundle, manifest, recipe, "quantize", tmp_path / "b", cache=cache, say=lambda _: None)
    made = Runtime.open(tmp_path / "b").bundle
    assert made.card["compression"][-1]["chosen"].startswith("int8 by NNCF")
    assert graph.in_whole_numbers(onnx.load(tmp_path / "b" / bundles.MODEL))
    assert facts["compression"][-1]["size_bytes"]["before"] > 3 * facts["size_bytes"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": "other"},
        {"calibration": "mean"},
        {"percentile": 40},
        {"images": 1},
        {"left_out": (1.5,)},
        {"recovery": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Quantization(**wrong)
