"""What the app's server does beside its pages: started and stopped with it, and none costs another."""

from __future__ import annotations

import asyncio

import pytest

from ui.app import hosted
from ui.app.hosted import Hosted


class Work:
    """Work that notes what becomes of it."""

    def __init__(self, events: list[str], fails: str = "") -> None:
        self.events, self.fails = events, fails
        self._do("made")

    def start(self) -> None:
        self._do("started")

    def stop(self) -> None:
        self._do("stopped")

    def _do(self, what: str) -> None:
        if self.fails == what:
            raise RuntimeError(f"it cannot be {what}")
        self.events.append(what)


@pytest.mark.parametrize("fails", ["made", "started", "stopped"])
def test_work_that_fails_costs_only_itself(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(hosted, "MAKERS", {"first": lambda: Work([], fails), "second": lambda: Work(events)})
    work = Hosted()
    work.start()
    assert (work.get("first") is None) is (fails != "stopped")
    assert work.get("second") is not None
    work.stop()
    assert events == ["made", "started", "stopped"]
    assert work.get("second") is None


def test_it_lasts_as_long_as_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(hosted, "HOSTED", Hosted())
    monkeypatch.setattr(hosted, "MAKERS", {"work": lambda: Work(events)})

    async def serve() -> None:
        async with hosted.lifespan(None):
            events.append("serving")

    asyncio.run(serve())
    # The server does not wait for it at its start, and waits for it at its end.
    assert events.index("serving") < events.index("stopped") == len(events) - 1
    assert events.index("started") < events.index("stopped")
