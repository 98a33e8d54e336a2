"""Figures of a running service, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from padim._version import __version__

__all__ = ["CONTENT_TYPE_LATEST", "ServiceMetrics"]

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class ServiceMetrics:
    """The figures of one service; each has its own registry, so that a process may have several.

    Args:
        waiting: returns the number of images that wait.
        open_images: returns the number of those that wait or are being inspected.
        limit: most that may wait.
    """

    def __init__(self, waiting: Callable[[], int], open_images: Callable[[], int], limit: int) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.requests = Counter(
            "padim_http_requests",
            "Requests by address, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "padim_http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.inspections = Counter(
            "padim_inspections",
            "Images inspected, by model and verdict.",
            ["model", "verdict"],
            registry=self.registry,
        )
        self.problems = Counter(
            "padim_problems", "Images and requests refused, by kind.", ["kind"], registry=self.registry
        )
        self.repeated = Counter(
            "padim_inspections_repeated",
            "Requests whose inspection was on record already.",
            registry=self.registry,
        )
        self.inspection_seconds = Histogram(
            "padim_inspection_seconds",
            "Time from an image's arrival to its result, which is on record then.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        gauges: Iterable[tuple[str, str, Callable[[], float]]] = (
            ("padim_queue_images", "Images that wait.", waiting),
            ("padim_open_images", "Images that wait or are being inspected.", open_images),
            ("padim_queue_limit", "Most images that may wait.", lambda: limit),
        )
        for name, text, value in gauges:
            Gauge(name, text, registry=self.registry).set_function(value)
        info = Gauge("padim_info", "The version of the program.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)

    def add(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Add figures that are asked for whenever the text is made."""
        self.registry.register(_Asked(collect))

    def text(self) -> bytes:
        """Return all figures as text."""
        return generate_latest(self.registry)


class _Asked(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()
