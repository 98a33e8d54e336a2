"""What the app's server does beside its pages, from its start to its end: watched folders, and sinks.

It begins with the server, not with the first visit: after a restart the line goes on with nobody at a screen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from padim.installation import workspace_folder

if TYPE_CHECKING:
    from padim.service.watch_processes import WatchProcesses

__all__ = ["HOSTED", "Hosted", "HostedWork", "lifespan"]

_LOGGER = logging.getLogger(__name__)


class HostedWork(Protocol):
    """Something that runs in the background; both methods return soon, and may be called in any thread."""

    def start(self) -> None:
        """Begin, in a thread of its own."""

    def stop(self) -> None:
        """End, and wait for it."""


def _watch_processes() -> HostedWork:
    from padim.service.watch_processes import WatchProcesses

    return WatchProcesses(workspace_folder())


def _sink_dispatcher() -> HostedWork:
    from padim.service.dispatcher import SinkDispatcher

    return SinkDispatcher(workspace_folder())


# By name, what makes each; it is called once, when the server starts.
MAKERS: dict[str, Callable[[], HostedWork]] = {"watches": _watch_processes, "sinks": _sink_dispatcher}


class Hosted:
    """The work of this server; nothing runs in a process that only draws pages, as tests do."""

    def __init__(self) -> None:
        self._running: dict[str, HostedWork] = {}

    @property
    def watches(self) -> WatchProcesses | None:
        """The processes of watched folders; None if this process looks after none."""
        found: Any = self._running.get("watches")
        return found

    def get(self, name: str) -> Any:
        """Return one of the works, or None if it does not run here."""
        return self._running.get(name)

    def start(self) -> None:
        """Start all; one that cannot be started costs only itself, and is in the server's log."""
        for name, make in MAKERS.items():
            try:
                work = make()
                work.start()
            except Exception:
                _LOGGER.exception("The server starts without its %s", name)
            else:
                self._running[name] = work

    def stop(self) -> None:
        """Stop all."""
        for name, work in list(self._running.items()):
            try:
                work.stop()
            except Exception:
                _LOGGER.exception("The %s did not stop as they should", name)
        self._running.clear()


HOSTED = Hosted()


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Run the hosted work for as long as the server runs."""
    # In a thread: what is imported takes a while, and the first page must not wait for it.
    starting = asyncio.get_running_loop().run_in_executor(None, HOSTED.start)
    try:
        yield
    finally:
        await starting
        await asyncio.get_running_loop().run_in_executor(None, HOSTED.stop)
