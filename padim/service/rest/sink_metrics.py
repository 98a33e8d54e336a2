"""Figures of the workspace's sinks: what waits for each, what was delivered, and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from padim.errors import PadimError
from padim.records.outbox import Outbox

__all__ = ["sink_metrics"]


def sink_metrics(root: Path) -> Callable[[], Iterable[Metric]]:
    """Return a function that reads the figures of all sinks; it returns none while they cannot be read."""

    def collect() -> Iterable[Metric]:
        try:
            found = Outbox(root).counts()
        except (PadimError, OSError):
            return []
        waiting = GaugeMetricFamily("padim_sink_waiting", "Messages to be delivered.", labels=["sink"])
        refused = GaugeMetricFamily("padim_sink_refused", "Messages that were refused.", labels=["sink"])
        delivered = CounterMetricFamily("padim_sink_delivered", "Messages delivered.", labels=["sink"])
        failed = CounterMetricFamily("padim_sink_failed", "Attempts that failed.", labels=["sink"])
        latency = SummaryMetricFamily(
            "padim_sink_latency_seconds", "Time from an image to its delivery.", labels=["sink"]
        )
        for name, counts in sorted(found.items()):
            waiting.add_metric([name], counts.waiting)
            refused.add_metric([name], counts.refused)
            delivered.add_metric([name], counts.delivered)
            failed.add_metric([name], counts.failed)
            latency.add_metric([name], counts.latency_count, counts.latency_total)
        return [waiting, refused, delivered, failed, latency]

    return collect
