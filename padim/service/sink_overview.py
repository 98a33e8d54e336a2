"""How the sinks of a workspace are doing, for the page, the shell and the metrics: seen from any program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from padim.records.outbox import UNASSIGNED, Outbox, SinkCounts
from padim.records.sink_settings import AnySink
from padim.records.sinks_file import SinksFile
from padim.service.dispatcher import is_delivered_to

__all__ = ["SinkCondition", "SinkOverview", "overview"]

# idle: nothing waits; delivering: messages wait, and the last one arrived; away: the receiver cannot be
# reached; stopped: no program delivers; off: switched off; removed: no longer in the file of sinks.
SinkCondition = Literal["idle", "delivering", "away", "stopped", "off", "removed"]


@dataclass(frozen=True)
class SinkOverview:
    """One sink, what waits for it and what happened at it.

    Attributes:
        name: the sink's name.
        settings: the sink; None if it is no longer in the file.
        condition: how it is doing.
        counts: messages, attempts and latencies.
    """

    name: str
    settings: AnySink | None
    condition: SinkCondition
    counts: SinkCounts

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON, without secrets; times are ISO 8601, UTC, and latencies in seconds."""
        counts, settings = self.counts, self.settings
        return {
            "name": self.name,
            "kind": None if settings is None else settings.kind,
            "receiver": None if settings is None else settings.where,
            "condition": self.condition,
            "waiting": counts.waiting,
            "refused": counts.refused,
            "oldest": None if counts.oldest is None else counts.oldest.isoformat(),
            "delivered": counts.delivered,
            "failed": counts.failed,
            "last_delivered": None if counts.last_delivered is None else counts.last_delivered.isoformat(),
            "last_failed": None if counts.last_failed is None else counts.last_failed.isoformat(),
            "last_error": counts.last_error,
            "latency_last": counts.latency_last,
            "latency_mean": counts.latency_mean,
        }


def overview(root: str | Path) -> list[SinkOverview]:
    """Return the sinks of a workspace in the order of the file, then those that only messages are left of.

    Raises:
        PadimError: the file of sinks is not valid, or the database cannot be read.
    """
    counts = Outbox(root).counts()
    counts.pop(UNASSIGNED, None)  # given to the sinks as soon as a program delivers
    found = []
    for settings in SinksFile(root).read().sinks:
        mine = counts.pop(settings.name, SinkCounts())
        found.append(SinkOverview(settings.name, settings, _condition(Path(root), settings, mine), mine))
    left = [SinkOverview(name, None, "removed", mine) for name, mine in sorted(counts.items())]
    return [*found, *(one for one in left if one.counts.waiting or one.counts.refused)]


def _condition(root: Path, settings: AnySink, counts: SinkCounts) -> SinkCondition:
    if not settings.enabled:
        return "off"
    if not is_delivered_to(root, settings.name):
        return "stopped"
    if counts.last_error:
        return "away"
    return "delivering" if counts.waiting else "idle"
