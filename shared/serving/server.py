"""One process that serves bundles: the protocol, health, reflection and metrics, until it is told to stop."""

import asyncio
import hmac
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.data.images import MAX_PIXELS
from shared.errors import ConfigError, require
from shared.serving.batching import Limits
from shared.serving.repository import Judge, Repository, names
from shared.serving.telemetry import Telemetry

GRACE_S = 10.0
"""How long what is being answered may take after the server was told to stop."""
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        host: Address to bind.
        port: Port of gRPC, 0 for a free one.
        metrics_port: Port of ``/metrics`` on the same address, 0 for a free one, None for none.
        limits: What each model takes at a time.
        message_bytes: Largest request in bytes.
        max_pixels: Largest image in pixels.
        request_images: Most images of one request.
        threads: Threads of each model, 0 means all cores.
        certificate: TLS certificate chain (PEM), None for plain text.
        key: Its private key (PEM).
        token: File with the token that clients send as ``authorization: Bearer``; None for no token.
        open_to_all: Whether an address beyond this machine may be bound without TLS and token.
    """

    host: str = "127.0.0.1"
    port: int = 8001
    metrics_port: int | None = None
    limits: Limits = field(default_factory=Limits)
    message_bytes: int = 64 * 2**20
    max_pixels: int = MAX_PIXELS // 4
    request_images: int = 64
    threads: int = 0
    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None
    open_to_all: bool = False

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("TLS needs both --tls-cert and --tls-key; give both or none")
        guarded = self.certificate is not None and self.token is not None
        if self.host not in _LOCAL and not guarded and not self.open_to_all:
            raise ConfigError(
                f"--host {self.host}: others could reach it; give --tls-cert, --tls-key and --token-file, or say "
                "--open-to-all where the network itself is guarded"
            )


@dataclass(frozen=True)
class Running:
    """What a started server says about itself.

    Attributes:
        host: Its address.
        port: Port of gRPC.
        metrics_port: Port of the metrics, None without.
        models: Version of each model.
    """

    host: str
    port: int
    metrics_port: int | None
    models: dict[str, str]


async def serve(
    bundles: Sequence[Path],
    settings: Settings,
    *,
    version: str,
    judge: Callable[[str], Judge],
    started: Callable[[Running], None],
) -> None:
    """Serve until SIGINT or SIGTERM; then nothing new is taken and what is being answered is finished.

    Args:
        bundles: Folders of bundles.
        settings: How.
        version: Of this program.
        judge: What a vertical of this name adds; the empty name is no vertical.
        started: Called when every model has passed its self-test.

    Raises:
        ConfigError: The port is taken, or a file of the settings cannot be read.
        BundleError: A bundle is damaged or fails its self-test: a server that lacks a model does not start.
    """
    names(bundles)
    telemetry = Telemetry()
    repository = Repository(bundles, judge, settings.limits, telemetry, settings.threads)
    own, server, port, health = await _bound(repository, telemetry, settings, version)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        metrics = None if settings.metrics_port is None else telemetry.serve(settings.host, settings.metrics_port)
        await server.start()
        # Answers "not ready" from here on, and only then reads the models: whoever waits can see that it lives.
        models = {name: (await repository.load(name)).version for name in names(bundles)}
        await _healthy(health, True)
        started(Running(settings.host, port, metrics, models))
        await stop.wait()
    finally:
        await _healthy(health, False)
        own.stop()
        await server.stop(GRACE_S)
        await repository.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _bound(repository: Repository, telemetry: Telemetry, settings: Settings, version: str) -> Any:
    """The service of the protocol, a server with all services at its port, the port, and the health service."""
    grpc = require("grpc", extra="serve")
    # The service needs grpc as it is imported; here the sentence for a missing extra has been said.
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection

    from shared.serving import service

    own = service.Service(
        repository, telemetry, version=version, most=settings.request_images, max_pixels=settings.max_pixels
    )
    server = grpc.aio.server(
        interceptors=[_guard(grpc, _read(settings.token).decode().strip())] if settings.token else [],
        options=[
            ("grpc.max_receive_message_length", settings.message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
        # Beyond the queue itself, so that it is the queue that refuses, with its sentence.
        maximum_concurrent_rpcs=4 * settings.limits.images,
    )
    server.add_generic_rpc_handlers((service.handler(own),))
    states = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    shown = (service.SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(shown, server)
    where = f"{settings.host}:{settings.port}" if ":" not in settings.host else f"[{settings.host}]:{settings.port}"
    try:
        if settings.certificate is not None and settings.key is not None:
            pair = (_read(settings.key), _read(settings.certificate))
            port = server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
        else:
            port = server.add_insecure_port(where)
    except RuntimeError as error:
        raise ConfigError(f"{where}: cannot be bound ({error}); take another --port, 0 for a free one") from error
    for name in ("", service.SERVICE.full_name):
        await states.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    return own, server, port, (states, health_pb2.HealthCheckResponse, ("", service.SERVICE.full_name))


async def _healthy(health: Any, serving: bool) -> None:
    states, response, services = health
    for name in services:
        await states.set(name, response.SERVING if serving else response.NOT_SERVING)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _guard(grpc: Any, token: str) -> Any:
    """An interceptor that lets only calls with the token through; health is free, so that probes need none."""
    if not token:
        raise ConfigError("the token file is empty; write a secret of your choice into it")
    expected = f"Bearer {token}".encode()

    class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        """Compares in constant time."""

        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            given = dict(details.invocation_metadata).get("authorization", "")
            free = details.method.startswith("/grpc.health.v1.")
            if free or hmac.compare_digest(str(given).encode(), expected):
                return await continuation(details)

            async def refuse(_: Any, context: Any) -> None:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "send the server's token as authorization: Bearer")

            return grpc.unary_unary_rpc_method_handler(refuse)

    return Guard()
