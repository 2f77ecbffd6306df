"""What the server did, as Prometheus metrics; the registry is the server's own."""

from collections.abc import Callable

from shared.errors import require

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Telemetry:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        client = require("prometheus_client", extra="serve")
        self.registry = client.CollectorRegistry()
        shared = {"registry": self.registry}
        self._requests = client.Counter(
            "loupe_requests", "Inference requests by outcome (gRPC status code).", ["model", "code"], **shared
        )
        self._latency = client.Histogram(
            "loupe_request_seconds", "From the request's arrival to its answer.", ["model"], buckets=_SECONDS, **shared
        )
        self._run = client.Histogram(
            "loupe_run_seconds", "One run of the model, without waiting.", ["model"], buckets=_SECONDS, **shared
        )
        self._batch = client.Histogram("loupe_batch_images", "Images of one run.", ["model"], buckets=_IMAGES, **shared)
        self._waiting = client.Gauge("loupe_waiting_images", "Images in the queue.", ["model"], **shared)
        self._answers = client.Counter("loupe_answers", "Images by likeliest label.", ["model", "label"], **shared)
        self._novel = client.Counter(
            "loupe_novel_images",
            "Images less like the training images than 99 % of others.",
            ["model"],
            **shared,
        )

    def request(self, model: str, code: str, seconds: float) -> None:
        """One inference request is over."""
        self._requests.labels(model, code).inc()
        self._latency.labels(model).observe(seconds)

    def answers(self, model: str, labels: list[str], novel: int) -> None:
        """What was said about the images of one request."""
        for label in labels:
            self._answers.labels(model, label).inc()
        self._novel.labels(model).inc(novel)

    def ran(self, model: str) -> Callable[[int, float], None]:
        """What a batcher calls after each run, with the number of images and the seconds."""

        def note(images: int, seconds: float) -> None:
            self._batch.labels(model).observe(images)
            self._run.labels(model).observe(seconds)

        return note

    def watch(self, model: str, waiting: Callable[[], int]) -> None:
        """Read the queue's length whenever the metrics are asked for."""
        self._waiting.labels(model).set_function(waiting)

    def serve(self, host: str, port: int) -> int:
        """Answer ``GET /metrics`` from a thread of its own; returns the port."""
        client = require("prometheus_client", extra="serve")
        server, _ = client.start_http_server(port, addr=host, registry=self.registry)
        return int(server.server_address[1])
