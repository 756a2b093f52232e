"""What a server counts, for Prometheus; nothing in it tells one photo from another."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_PREFIX = "vit_sentiment_"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Measures:
    """Counters of one server."""

    def __init__(self, batch_sizes: Sequence[int]) -> None:
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self._requests = Counter(
            f"{_PREFIX}requests", "Requests.", ["method", "route", "status"], **own
        )
        self._seconds = Histogram(
            f"{_PREFIX}request_seconds", "From a request to its answer.", ["route"],
            buckets=_SECONDS, **own,
        )  # fmt: skip
        self._images = Counter(f"{_PREFIX}images", "Images.", ["outcome"], **own)
        self._batch_images = Histogram(
            f"{_PREFIX}batch_images", "Images of a batch.", buckets=batch_sizes, **own
        )
        self._batch_seconds = Histogram(
            f"{_PREFIX}batch_seconds", "From the start of a batch to its outputs.",
            buckets=_SECONDS, **own,
        )  # fmt: skip

    def tell(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Adds a figure that is asked for when somebody looks."""
        Gauge(_PREFIX + name, text, registry=self.registry).set_function(value)

    def describe(self, **facts: str) -> None:
        """Adds what is served."""
        gauge = Gauge(f"{_PREFIX}model_info", "The model.", list(facts), registry=self.registry)
        gauge.labels(**facts).set(1)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def images(self, outcome: str, count: int) -> None:
        self._images.labels(outcome).inc(count)

    def batch(self, images: int, seconds: float) -> None:
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
