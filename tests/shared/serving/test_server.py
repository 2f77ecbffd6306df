"""The server through a client that is not ours; the server is the command, in a process of its own.

Nothing of ``shared.serving`` is imported here: its messages and the client's have the same names, and one process
cannot hold both.
"""

import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import pytest

from shared import config
from shared.decide import decide
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.policy import Policy
from shared.records import Sample
from shared.vertical import Case, Seen
from tests.conftest import texture

grpc = pytest.importorskip("grpc", reason="the extra serve is not installed")
client = pytest.importorskip("tritonclient.grpc", reason="no client of the protocol: tritonclient is not installed")
from tritonclient.grpc import service_pb2, service_pb2_grpc  # noqa: E402

LOUPE = str(Path(sys.executable).parent / "loupe")


@contextmanager
def serving(*arguments: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command ``loupe serve`` until the block ends, and what it said when it was ready."""
    line = [LOUPE, "serve", *map(str, arguments), "--threads", "1", "--json"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        said = process.stdout.readline()
        assert said, process.stderr.read()
        yield process, json.loads(said)
    finally:
        process.kill()
        process.communicate()


def connect(facts: dict[str, Any]) -> Any:
    return client.InferenceServerClient(f"127.0.0.1:{facts['port']}")


def raw(pictures: np.ndarray) -> list[Any]:
    tensor = client.InferInput("image", pictures.shape, "UINT8")
    tensor.set_data_from_numpy(pictures)
    return [tensor]


def encoded(*files: bytes) -> list[Any]:
    tensor = client.InferInput("encoded", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=object))
    return [tensor]


def jpeg(label: str, seed: int) -> bytes:
    return cv2.imencode(".jpg", texture(label, seed))[1].tobytes()


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[dict[str, Any]]:
    with serving(bundle, "--port", 0, "--metrics-port", 0) as (process, facts):
        yield facts | {"pid": process.pid}


@pytest.fixture(scope="module")
def triton(served: dict[str, Any]) -> Any:
    return connect(served)


def test_a_foreign_client_finds_a_live_ready_server_and_a_described_model(triton: Any, bundle: Path) -> None:
    assert triton.is_server_live() and triton.is_server_ready() and triton.is_model_ready("small")
    assert not triton.is_model_ready("other") and not triton.is_model_ready("small", "1")
    metadata = triton.get_model_metadata("small", as_json=True)
    assert {t["name"]: t["datatype"] for t in metadata["inputs"]} == {"image": "UINT8", "encoded": "BYTES"}
    assert metadata["versions"] == [bundles.load(bundle).hash[:12]]
    assert triton.get_server_metadata().name == "loupe"
    (entry,) = triton.get_model_repository_index().models
    assert (entry.name, entry.state) == ("small", "READY")


def test_raw_pixels_and_files_get_the_answers_that_the_runtime_gives(triton: Any, bundle: Path) -> None:
    runtime = Runtime.open(bundle, threads=1)
    pictures = np.stack([texture(label, 7) for label in ("ok", "scratch", "spot")])
    expected = runtime.predict(list(pictures), class_map=True)
    outputs = [client.InferRequestedOutput(name) for name in ("probabilities", "novelty", "class_map", "label")]
    answer = triton.infer("small", raw(pictures), outputs=outputs)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("novelty"), expected.novelty, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("class_map"), expected.class_map, atol=1e-4)
    labels = [runtime.labels[i] for i in expected.probabilities.argmax(1)]
    assert [text.decode() for text in answer.as_numpy("label")] == labels

    files = [cv2.imencode(".png", p[..., ::-1])[1].tobytes() for p in pictures]
    same = triton.infer("small", encoded(*files))
    np.testing.assert_allclose(same.as_numpy("probabilities"), expected.probabilities, atol=1e-6)


def test_every_answer_carries_bundle_certificate_gate_and_the_verdict_of_the_policy(triton: Any, bundle: Path) -> None:
    made = bundles.load(bundle)
    pictures = [texture("ok", 11), texture("scratch", 12)]
    answer = triton.infer("small", raw(np.stack(pictures)), request_id="strip-4")
    stated = answer.get_response().parameters
    assert stated["bundle_hash"].string_param == made.hash
    assert json.loads(stated["labels"].string_param) == list(made.labels)
    assert stated["certificate"].string_param == made.card["certificate"]["sentence"]
    assert stated["threshold"].double_param == made.threshold
    assert {"gate", "notice"} <= set(stated)

    runtime = Runtime.open(bundle, threads=1)
    answers = runtime.predict(pictures)
    for i, verdict in enumerate(answer.as_numpy("verdict")):
        probabilities = dict(zip(made.labels, map(float, answers.probabilities[i]), strict=True))
        sample = Sample("x", "", 64, 64)
        case = Case("x", (Seen(sample, probabilities, float(answers.novelty[i])),), 1.0, (), "ok", made.threshold)
        assert verdict.decode() == decide(case, config.load(Policy)).verdict.value
    np.testing.assert_allclose(
        answer.as_numpy("risk"), 1 - answers.probabilities[:, made.labels.index("ok")], atol=1e-6
    )


def test_a_picture_of_one_value_gets_no_other_verdict_than_not_examined(triton: Any) -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    outputs = [client.InferRequestedOutput(name) for name in ("verdict", "decision", "label", "risk")]
    answer = triton.infer("small", raw(np.stack([white, texture("ok", 11)])), outputs=outputs)
    first, second = (verdict.decode() for verdict in answer.as_numpy("verdict"))
    assert first == "not_examined" != second
    assert [label.decode() for label in answer.as_numpy("label")] == ["not_examined", "ok"]
    assert answer.as_numpy("risk")[0] == 1.0 > answer.as_numpy("risk")[1]
    assert "every pixel has the value 255" in json.loads(answer.as_numpy("decision")[0])["reasons"][0]


@contextmanager
def stream(facts: dict[str, Any], **options: Any) -> Iterator[tuple[Any, "queue.Queue[tuple[Any, Any]]"]]:
    """An open stream of requests, and what comes back: result or error, one after the other."""
    own, back = connect(facts), queue.Queue()
    own.start_stream(lambda result, error: back.put((result, error)), **options)
    try:
        yield own, back
    finally:
        own.stop_stream()


def test_a_stream_is_answered_in_its_order_and_a_refusal_in_it_ends_nothing(
    served: dict[str, Any], triton: Any, bundle: Path
) -> None:
    """More requests than are read ahead, of several sizes, which the runtime answers in batches of one size each."""
    n, sides = 50, (64, 96, 48)
    pictures = [texture(("ok", "scratch", "spot")[i % 3], i, side=sides[i % 3]) for i in range(n)]
    with stream(served) as (own, back):
        for i, picture in enumerate(pictures):
            own.async_stream_infer("other" if i == 7 else "small", raw(picture[None]), request_id=str(i))
        found = [back.get(timeout=120) for _ in range(n)]
    refused = [(i, str(error)) for i, (_, error) in enumerate(found) if error is not None]
    assert [i for i, _ in refused] == [7] and "NOT_FOUND: " in refused[0][1] and "small" in refused[0][1]
    answers = {i: result for i, (result, _) in enumerate(found) if result is not None}
    assert [result.get_response().id for result in answers.values()] == [str(i) for i in answers]
    runtime = Runtime.open(bundle, threads=1)
    for i in (0, 8, n - 1):
        expected = runtime.predict([pictures[i]]).probabilities
        np.testing.assert_allclose(answers[i].as_numpy("probabilities"), expected, atol=1e-5)


def test_broken_bytes_end_their_stream_and_no_other(served: dict[str, Any], triton: Any) -> None:
    with stream(served) as (own, back), grpc.insecure_channel(f"127.0.0.1:{served['port']}") as channel:
        call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError):
            list(call(iter([b"\xff" * 100])))
        own.async_stream_infer("small", raw(texture("ok", 1)[None]))
        assert back.get(timeout=60)[1] is None
    assert triton.is_server_ready()


def test_an_open_stream_hears_that_the_server_stops_and_what_it_sent_is_answered(bundle: Path) -> None:
    with serving(bundle, "--port", 0) as (process, facts), stream(facts) as (own, back):
        for _ in range(6):
            own.async_stream_infer("small", raw(np.repeat(texture("ok", 1, side=256)[None], 32, 0)))
        assert back.get(timeout=60)[1] is None, "the others are on their way or wait"
        process.send_signal(signal.SIGTERM)
        while (error := back.get(timeout=60)[1]) is None:
            pass
        assert "the server is stopping; open a stream to its successor" in str(error)
        assert process.wait(20) == 0


def test_health_and_reflection_answer_beside_the_protocol(served: dict[str, Any]) -> None:
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(f"127.0.0.1:{served['port']}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
        assert health.Check(request).status == health_pb2.HealthCheckResponse.SERVING
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        described = pool.FindServiceByName("inference.GRPCInferenceService")
        assert "ModelInfer" in described.methods_by_name


def faulty() -> dict[str, tuple[str, Any, str, str]]:
    """Requests by what is wrong with them: model, inputs, status, a word of the sentence."""

    def tensor(name: str, shape: list[int], datatype: str, data: bytes) -> Any:
        request = service_pb2.ModelInferRequest(model_name="small", raw_input_contents=[data])
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        return request

    long_length = (2**31).to_bytes(4, "little") + b"x"
    other = tensor("image", [1, 2, 2, 3], "UINT8", bytes(12))
    other.model_name = "large"
    wanted = tensor("image", [1, 2, 2, 3], "UINT8", bytes(12))
    wanted.outputs.add(name="diagnosis")
    return {
        "another model": (other, "NOT_FOUND", "ready are: small"),
        "another input": (tensor("picture", [1, 2, 2, 3], "UINT8", bytes(12)), "INVALID_ARGUMENT", "'picture'"),
        "another output": (wanted, "INVALID_ARGUMENT", "'diagnosis'"),
        "floats": (tensor("image", [1, 2, 2, 3], "FP32", bytes(48)), "INVALID_ARGUMENT", "FP32"),
        "grey": (tensor("image", [1, 2, 2, 1], "UINT8", bytes(4)), "INVALID_ARGUMENT", "[1, 2, 2, 1]"),
        "too few bytes": (tensor("image", [1, 9, 9, 3], "UINT8", bytes(12)), "INVALID_ARGUMENT", "needs 243 bytes"),
        "negative": (tensor("image", [1, -1, -1, 3], "UINT8", bytes(3)), "INVALID_ARGUMENT", "[1, -1, -1, 3]"),
        "huge": (tensor("image", [1, 2**40, 2**20, 3], "UINT8", b""), "INVALID_ARGUMENT", "height x width"),
        "no images": (tensor("image", [0, 2, 2, 3], "UINT8", b""), "INVALID_ARGUMENT", "n from 1"),
        "a length beyond": (tensor("encoded", [1], "BYTES", long_length), "INVALID_ARGUMENT", "beyond"),
        "half a length": (tensor("encoded", [1], "BYTES", b"\1"), "INVALID_ARGUMENT", "inside a length"),
        "no file": (tensor("encoded", [1], "BYTES", bytes(4)), "INVALID_ARGUMENT", "is empty"),
        "half a file": (
            tensor("encoded", [1], "BYTES", (200).to_bytes(4, "little") + jpeg("ok", 1)[:200]),
            "INVALID_ARGUMENT",
            "file 0",
        ),
        "nothing": (service_pb2.ModelInferRequest(model_name="small"), "INVALID_ARGUMENT", "found none"),
    }


def test_a_wrong_request_gets_its_code_and_one_sentence(served: dict[str, Any]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served['port']}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for what, (request, code, words) in faulty().items():
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(request)
            assert refused.value.code().name == code and words in refused.value.details(), (what, refused.value)


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_thousand_malformed_requests_do_no_harm(served: dict[str, Any], triton: Any) -> None:
    rng = np.random.default_rng(0)
    sound = triton.infer("small", raw(texture("ok", 3)[None])).as_numpy("probabilities")
    wrong = [request.SerializeToString() for request, _, _ in faulty().values()]

    def one(i: int) -> bytes:
        if i % 3 == 0:
            return rng.bytes(int(rng.integers(1, 4000)))
        message = bytearray(wrong[i % len(wrong)])
        for _ in range(int(rng.integers(1, 6))):
            message[int(rng.integers(len(message)))] = int(rng.integers(256))
        return bytes(message[: int(rng.integers(1, len(message) + 1))]) if i % 3 == 1 else bytes(message)

    with grpc.insecure_channel(f"127.0.0.1:{served['port']}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        before, codes = 0, set()
        for i in range(1000):
            if i == 200:  # what a first use allocates is no leak
                before = resident(served["pid"])
            try:
                call(one(i), timeout=10)
            except grpc.RpcError as error:
                codes.add(error.code().name)
    assert codes <= {"INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNKNOWN"} and "INVALID_ARGUMENT" in codes
    assert resident(served["pid"]) - before < 20 * 2**20
    np.testing.assert_array_equal(triton.infer("small", raw(texture("ok", 3)[None])).as_numpy("probabilities"), sound)


def test_metrics_count_requests_images_and_answers(served: dict[str, Any], triton: Any) -> None:
    def values() -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{served['metrics_port']}/metrics") as page:
            lines = page.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    before = values()
    triton.infer("small", raw(np.stack([texture("ok", i) for i in range(3)])))
    with pytest.raises(client.InferenceServerException):
        triton.infer("small", encoded(b"no image"))
    after = values()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown('loupe_requests_total{code="OK",model="small"}') == 1
    assert grown('loupe_requests_total{code="INVALID_ARGUMENT",model="small"}') == 1
    answers = [k for k in after if k.startswith("loupe_answers_total")]
    assert sum(after[k] - before.get(k, 0) for k in answers) == 3
    assert grown('loupe_batch_images_sum{model="small"}') == 3


def test_an_overloaded_server_refuses_and_recovers(bundle: Path) -> None:
    pictures = raw(np.repeat(texture("ok", 1, side=128)[None], 8, 0))
    with serving(bundle, "--port", 0, "--queue", 8, "--batch", 8) as (_, facts):
        triton, outcomes = connect(facts), []
        done = threading.Event()

        def finished(result: Any, error: Any) -> None:
            outcomes.append("OK" if error is None else error.status())
            if len(outcomes) == 80:
                done.set()

        for _ in range(80):
            triton.async_infer("small", pictures, callback=finished)
        assert done.wait(60)
        assert set(outcomes) == {"OK", "StatusCode.RESOURCE_EXHAUSTED"}, set(outcomes)
        assert triton.infer("small", pictures).as_numpy("probabilities").shape == (8, 3)
        with pytest.raises(client.InferenceServerException, match="DEADLINE_EXCEEDED"):
            triton.infer("small", pictures, client_timeout=0.0005)


def another(bundle: Path, out: Path, text: str) -> None:
    """The same model under another hash, as a new build would replace it: whole, by a rename."""
    fresh = out.with_name("fresh")
    shutil.copytree(bundle, fresh)
    (fresh / "MODEL_CARD.md").write_text(text)
    card = {k: v for k, v in bundles.load(bundle).card.items() if k not in ("files", "bundle_hash")}
    bundles.seal(fresh, card)
    if out.exists():
        out.rename(out.with_name("old"))
    fresh.rename(out)


def test_a_model_is_reloaded_under_load_without_a_failed_request(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "line.bundle"
    another(bundle, path, "first")
    with serving(path, "--port", 0) as (_, facts):
        stop, versions, failures = threading.Event(), [], []

        def keep_asking() -> None:
            own = connect(facts)
            while not stop.is_set():
                try:
                    versions.append(own.infer("line", encoded(jpeg("ok", 1))).get_response().model_version)
                except client.InferenceServerException as error:
                    failures.append(error)

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        triton = connect(facts)
        another(bundle, path, "second")
        triton.load_model("line")
        seen = len(versions)
        while len(versions) < seen + 20:
            time.sleep(0.01)
        (path / "MODEL_CARD.md").write_text("altered")
        with pytest.raises(client.InferenceServerException, match="was altered after the build"):
            triton.load_model("line")
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert list(dict.fromkeys(versions)) == [facts["models"]["line"], versions[-1]] and len(set(versions)) == 2
        (entry,) = triton.get_model_repository_index().models
        assert entry.state == "READY" and "was altered" in entry.reason
        triton.unload_model("line")
        assert not triton.is_model_ready("line") and triton.is_server_ready()


def test_a_killed_server_starts_again_at_its_port_and_a_stopped_one_answers_first(bundle: Path) -> None:
    with serving(bundle, "--port", 0) as (process, facts):
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(bundle, "--port", facts["port"]) as (process, again):
        assert again["port"] == facts["port"]
        outcome: list[Any] = []
        done = threading.Event()

        def finished(result: Any, error: Any) -> None:
            outcome.extend((result, error))
            done.set()

        triton = connect(again)
        triton.infer("small", raw(texture("ok", 1)[None]))
        pictures = np.repeat(texture("ok", 1, side=256)[None], 32, 0)
        triton.async_infer("small", raw(pictures), callback=finished)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert done.wait(30) and outcome[1] is None
        assert process.wait(20) == 0


def test_tls_and_token_keep_strangers_out(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate, token = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "token"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    line += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(line, check=True, capture_output=True)
    token.write_text("a secret\n")
    guarded = ["--tls-cert", certificate, "--tls-key", key, "--token-file", token]
    with serving(bundle, "--port", 0, *guarded) as (_, facts):
        where = f"localhost:{facts['port']}"
        own = client.InferenceServerClient(where, ssl=True, root_certificates=str(certificate))
        with pytest.raises(client.InferenceServerException, match="UNAUTHENTICATED"):
            own.is_server_live()
        with pytest.raises(client.InferenceServerException, match="UNAUTHENTICATED"):
            own.is_server_live(headers={"authorization": "Bearer a guess"})
        assert own.is_server_live(headers={"authorization": "Bearer a secret"})
        heard: queue.Queue[Any] = queue.Queue()
        own.start_stream(lambda result, error: heard.put(error))
        own.async_stream_infer("small", raw(texture("ok", 1)[None]))
        assert "UNAUTHENTICATED" in str(heard.get(timeout=60)) or "send the server's token" in str(
            heard.get(timeout=60)
        )
        own.stop_stream()
        with pytest.raises(client.InferenceServerException):
            client.InferenceServerClient(where).is_server_live()


def refused(*arguments: Any) -> str:
    done = subprocess.run([LOUPE, "serve", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_server_that_cannot_serve_says_why_in_one_sentence(
    bundle: Path, tmp_path: Path, served: dict[str, Any]
) -> None:
    assert "is not a bundle" in refused(tmp_path / "none.bundle")
    damaged = tmp_path / "damaged.bundle"
    shutil.copytree(bundle, damaged)
    (damaged / "model.onnx").write_bytes((damaged / "model.onnx").read_bytes()[:-9])
    assert "model.onnx was altered after the build" in refused(damaged, "--port", 0)
    assert "others could reach it" in refused(bundle, "--host", "0.0.0.0")
    assert "cannot be bound" in refused(bundle, "--port", served["port"])
    assert "would be served as 'small'" in refused(bundle, bundle)
