"""The calls of the protocol, each a few lines over the repository; every refusal has its status code and sentence."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from shared.errors import BundleError, DataError, LoupeError, Problem
from shared.inference import Answers
from shared.records import Sample, Verdict, as_json
from shared.serving import messages
from shared.serving import open_inference_pb2 as pb
from shared.serving.batching import Overloaded, TooLate
from shared.serving.repository import Repository, Served, UnknownModel
from shared.serving.telemetry import Telemetry
from shared.vertical import Case, Seen

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
EXTENSIONS = ("model_repository",)
AHEAD = 16
"""Requests of one stream that are read before the first of them is answered; the client's next ones wait with it."""
_CODES: tuple[tuple[type[Exception], Any], ...] = (
    (Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooLate, grpc.StatusCode.DEADLINE_EXCEEDED),
    (UnknownModel, grpc.StatusCode.NOT_FOUND),
    (BundleError, grpc.StatusCode.FAILED_PRECONDITION),
    (DataError, grpc.StatusCode.INVALID_ARGUMENT),
    (LoupeError, grpc.StatusCode.FAILED_PRECONDITION),
)

_Asked = asyncio.Queue[asyncio.Task[pb.ModelInferResponse | LoupeError] | None]


class Service:
    """One method per call of the protocol; requests of all clients run in one event loop."""

    def __init__(
        self, repository: Repository, telemetry: Telemetry, *, version: str, most: int, max_pixels: int
    ) -> None:
        self._repository, self._telemetry, self._version = repository, telemetry, version
        self._most, self._max_pixels = most, max_pixels
        self._readers: set[asyncio.Task[None]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Read nothing more from open streams; what was read is answered, and then they end."""
        self._stopped = True
        for reader in self._readers:
            reader.cancel()

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:
        """Whether every model has passed its self-test."""
        return pb.ServerReadyResponse(ready=self._repository.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        """Whether this model, in this version where one is named, answers."""
        try:
            self._repository.get(request.name, request.version)
        except UnknownModel:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:
        """Name, version and extensions of the server."""
        return pb.ServerMetadataResponse(name="loupe", version=self._version, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        """Inputs and outputs of a model; -1 is any size."""
        try:
            served = self._repository.get(request.name, request.version)
        except LoupeError as error:
            await _refuse(context, error)
            raise
        response = pb.ModelMetadataResponse(name=served.name, versions=[served.version], platform="onnxruntime_onnx")
        response.inputs.add(name=messages.IMAGE, datatype="UINT8", shape=[-1, -1, -1, 3])
        response.inputs.add(name=messages.ENCODED, datatype="BYTES", shape=[-1])
        for name, (datatype, shape) in outputs(served).items():
            response.outputs.add(name=name, datatype=datatype, shape=shape)
        return response

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        """Answer for the images of one request: all of them, or none and the reason."""
        answer = await self._answered(request, context.time_remaining())
        if isinstance(answer, LoupeError):
            await _refuse(context, answer)
            raise answer
        return answer

    async def ModelStreamInfer(
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Answer the requests of a stream in their order; a refusal stands where its answer would, and ends nothing."""
        asked: _Asked = asyncio.Queue()
        room = asyncio.Semaphore(AHEAD)
        reader = asyncio.create_task(self._read(requests, context, asked, room))
        self._readers.add(reader)
        if self._stopped:
            reader.cancel()
        try:
            while (one := await asked.get()) is not None:
                answer = await one
                if isinstance(answer, LoupeError):
                    yield pb.ModelStreamInferResponse(error_message=f"{_code(answer).name}: {answer}")
                else:
                    yield pb.ModelStreamInferResponse(infer_response=answer)
                room.release()
            await reader
        finally:
            self._readers.discard(reader)
            reader.cancel()
            while not asked.empty():
                if (left := asked.get_nowait()) is not None:
                    left.cancel()
        if self._stopped:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping; open a stream to its successor")

    async def _read(
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Any, asked: _Asked, room: asyncio.Semaphore
    ) -> None:
        """Ask for each request as it comes; None is the end of them."""
        try:
            while True:
                await room.acquire()
                request = await anext(requests)
                asked.put_nowait(asyncio.create_task(self._answered(request, context.time_remaining())))
        except (StopAsyncIteration, asyncio.CancelledError):
            pass
        finally:
            asked.put_nowait(None)

    async def _answered(
        self, request: pb.ModelInferRequest, seconds: float | None
    ) -> pb.ModelInferResponse | LoupeError:
        """The answer to a request or why there is none, and a line in the metrics."""
        started = time.monotonic()
        # A name that nobody serves must not become a label of the metrics: there would be one for each typing error.
        name, code = "unknown", "CANCELLED"
        try:
            name = self._repository.get(request.model_name).name
            answer: pb.ModelInferResponse | LoupeError = await self._infer(request, seconds)
            code = "OK"
        except LoupeError as error:
            code, answer = _code(error).name, error
        except Exception:
            code = "INTERNAL"
            raise
        finally:
            # Counted before the client hears of it: who reads the metrics after an answer finds it there.
            self._telemetry.request(name, code, time.monotonic() - started)
        return answer

    async def _infer(self, request: pb.ModelInferRequest, seconds: float | None) -> pb.ModelInferResponse:
        started = time.monotonic()
        served = self._repository.get(request.model_name, request.model_version)
        asked = messages.asked(request, tuple(outputs(served)), most=self._most, max_pixels=self._max_pixels)
        pictures = asked.pictures
        if pictures is None:
            pictures = await asyncio.to_thread(messages.decoded, asked.files, self._max_pixels)
            # While files were decoded another version may have come; the old one takes nothing more.
            served = self._repository.get(request.model_name, request.model_version)
        left = None if seconds is None else seconds - (time.monotonic() - started)
        maps = "class_map" in asked.outputs or "decision" in asked.outputs
        answers = await served.batcher.ask(pictures, class_map=maps, features="features" in asked.outputs, seconds=left)
        made = _made(served, answers, pictures, request.id, asked.outputs)
        self._telemetry.answers(served.name, made["label"], int((answers.novelty > 1).sum()))
        response = pb.ModelInferResponse(model_name=served.name, model_version=served.version, id=request.id)
        return messages.answer(made, asked.outputs, response, served.stated)

    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, context: Any) -> pb.RepositoryIndexResponse:
        """Every model of the server with its state."""
        response = pb.RepositoryIndexResponse()
        for entry in self._repository.index():
            if entry.state == "READY" or not request.ready:
                response.models.add(name=entry.name, version=entry.version, state=entry.state, reason=entry.reason)
        return response

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Any
    ) -> pb.RepositoryModelLoadResponse:
        """Read a bundle again and swap it in, without dropping a request."""
        if request.parameters:
            given = ", ".join(sorted(request.parameters))
            await _refuse(context, DataError(f"parameters {given}: a bundle is loaded as it is; send none"))
        try:
            await self._repository.load(request.model_name)
        except LoupeError as error:
            await _refuse(context, error)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Any
    ) -> pb.RepositoryModelUnloadResponse:
        """Stop answering for a model."""
        try:
            await self._repository.unload(request.model_name)
        except LoupeError as error:
            await _refuse(context, error)
        return pb.RepositoryModelUnloadResponse()


def outputs(served: Served) -> dict[str, tuple[str, list[int]]]:
    """Datatype and shape of every output of a model; ``verdict`` and ``decision`` only where one picture is enough."""
    labels = len(served.runtime.labels)
    found: dict[str, tuple[str, list[int]]] = {
        "probabilities": ("FP32", [-1, labels]),
        "novelty": ("FP32", [-1]),
        "risk": ("FP32", [-1]),
        "label": ("BYTES", [-1]),
        "class_map": ("FP32", [-1, labels, -1, -1]),
        "features": ("FP32", [-1, -1]),
    }
    if served.judge.decide is not None:
        found |= {"verdict": ("BYTES", [-1]), "decision": ("BYTES", [-1])}
    return found


def _made(
    served: Served, answers: Answers, pictures: Any, request_id: str, wanted: tuple[str, ...]
) -> Mapping[str, Any]:
    """Every output by name, as far as it is wanted or counted; a picture that shows nothing has no label but that."""
    bundle = served.runtime.bundle
    unsought = [i for i, label in enumerate(bundle.labels) if label in bundle.unsought]
    blind = [served.judge.blind(picture) for picture in pictures]
    unseen = np.array([reason is not None for reason in blind], bool)
    made: dict[str, Any] = {
        "probabilities": answers.probabilities,
        "novelty": answers.novelty,
        "risk": np.where(unseen, 1.0, 1.0 - answers.probabilities[:, unsought].sum(1)),
        "label": [
            Verdict.NOT_EXAMINED.value if nothing else bundle.labels[i]
            for nothing, i in zip(unseen, answers.probabilities.argmax(1), strict=True)
        ],
        "class_map": answers.class_map,
        "features": answers.features,
    }
    if served.judge.decide is not None and {"verdict", "decision"} & set(wanted):
        possible: Sequence[tuple[str, ...] | None] = answers.possible or [None] * len(pictures)
        decided = [
            served.judge.decide(_case(served, answers, i, picture, possible[i], blind[i], request_id))
            for i, picture in enumerate(pictures)
        ]
        made["verdict"] = [d.verdict.value for d in decided]
        made["decision"] = [json.dumps(as_json(d)) for d in decided] if "decision" in wanted else []
    return made


def _case(
    served: Served,
    answers: Answers,
    i: int,
    picture: NDArray[np.uint8],
    possible: tuple[str, ...] | None,
    reason: str | None,
    request_id: str,
) -> Case:
    bundle = served.runtime.bundle
    frame = f"{request_id or 'request'}[{i}]"
    stated = (bundle.ok_label, bundle.threshold, bundle.unsought, served.uncertified)
    if reason is not None:
        return Case(frame, (), 0.0, (Problem(frame, reason),), *stated)
    sample = Sample(frame, "", picture.shape[1], picture.shape[0], frame=frame)
    probabilities = dict(zip(bundle.labels, map(float, answers.probabilities[i]), strict=True))
    maps = None if answers.class_map is None else answers.class_map[i]
    seen = Seen(sample, probabilities, float(answers.novelty[i]), maps, possible)
    return Case(frame, (seen,), 1.0, (), *stated)


def _code(error: Exception) -> Any:
    return next(code for kind, code in _CODES if isinstance(error, kind))


async def _refuse(context: Any, error: Exception) -> None:
    await context.abort(_code(error), str(error))


def handler(service: Service) -> Any:
    """The service as gRPC takes it, made from the protocol's own description."""
    from google.protobuf import message_factory

    methods = {}
    for method in SERVICE.methods:
        request = message_factory.GetMessageClass(method.input_type)
        streamed = method.client_streaming
        made = grpc.stream_stream_rpc_method_handler if streamed else grpc.unary_unary_rpc_method_handler
        methods[method.name] = made(
            getattr(service, method.name),
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)
