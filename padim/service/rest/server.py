"""Running the service: listening, being stopped, and finishing then what was taken."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from padim.errors import PadimError
from padim.service.allowed_roots import AllowedRoots
from padim.service.dispatcher import SinkDispatcher
from padim.service.inspecting_models import InspectingModels
from padim.service.inspector import Inspector
from padim.service.rest.app import ServiceParts, service_app
from padim.service.rest.gate import is_loopback
from padim.service.rest.limits import ServiceLimits
from padim.service.rest.served_models import ServedModels
from padim.service.rest.sink_metrics import sink_metrics

__all__ = ["RunningService", "ServiceOptions"]

# After the wish to stop, requests that are open have so many seconds to end.
_STOP_SECONDS = 60
# Connections at a time; further ones are refused with 503.
_MOST_CONNECTIONS = 512


@dataclass(frozen=True)
class ServiceOptions:
    """How a service is run.

    Attributes:
        root: the workspace's folder.
        target: the model of requests that name none: a path, id, name or part number; None: there is none.
        address, port: where it listens; port 0: any that is free.
        allow_roots: folders below which images may be named by their path.
        allowed_hosts: further names under which requests are answered.
        require_key: whether a key is needed on this machine, too.
        record: whether results are put on record.
        sinks: whether it delivers the messages of the workspace's sinks.
        threads: threads that inspect.
        certificate, private_key: files in PEM format, for HTTPS.
        limits: what requests may take.
    """

    root: Path
    target: str | None = None
    address: str = "127.0.0.1"
    port: int = 8600
    allow_roots: Sequence[Path] = ()
    allowed_hosts: Sequence[str] = ()
    require_key: bool = False
    record: bool = True
    sinks: bool = True
    threads: int = 2
    certificate: Path | None = None
    private_key: Path | None = None
    limits: ServiceLimits = field(default_factory=ServiceLimits)

    @property
    def local(self) -> bool:
        """Whether it listens on this machine alone."""
        return is_loopback(self.address)

    @property
    def needs_key(self) -> bool:
        """Whether a request without a key is refused."""
        return self.require_key or not self.local


class RunningService:
    """A service that listens; the constructor opens the model and takes the port.

    Args:
        options: how it is run.

    Raises:
        PadimError: the model cannot be opened, or the port is taken.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self.options = options
        models = ServedModels(InspectingModels(options.root), options.target)
        self.model = models.open_default()
        if self.model is not None:
            # The network's session and the self-test, so that the first request need not wait for them.
            self.model.model.state.run_check()
        names = None if not options.local and not options.allowed_hosts else options.allowed_hosts
        dispatcher = SinkDispatcher(options.root) if options.sinks else None
        self.app: FastAPI = service_app(
            ServiceParts(
                models,
                Inspector(record=options.record),
                AllowedRoots(options.allow_roots),
                options.limits,
                require_key=options.needs_key,
                names=names,
                threads=options.threads,
                on_start=None if dispatcher is None else dispatcher.start,
                on_stop=None if dispatcher is None else dispatcher.stop,
                add_metrics=lambda metrics: metrics.add(sink_metrics(options.root)),
            )
        )
        self._socket = _listening(options.address, options.port)

    @property
    def url(self) -> str:
        """The address under which it is reached from this machine."""
        scheme = "http" if self.options.certificate is None else "https"
        address = self.options.address
        shown = "127.0.0.1" if address in ("0.0.0.0", "::") else f"[{address}]" if ":" in address else address
        return f"{scheme}://{shown}:{self._socket.getsockname()[1]}"

    def run(self, started: Callable[[], None] | None = None) -> None:
        """Answer requests until the process is told to stop by SIGTERM or Ctrl-C, and finish those then.

        Args:
            started: called once requests are answered.
        """
        options = self.options
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.private_key,
        )
        _Server(config, started).run(sockets=[self._socket])


class _Server(uvicorn.Server):
    """Says when it has started, and ends after a signal as a program that is done."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_start is not None:
            self._on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        former = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in former.items():
                signal.signal(one, handler)


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=512)
    except OSError as error:
        raise PadimError(
            f"cannot listen on {address}, port {port} ({error.strerror or error}); is another service "
            "running? Choose another with --port"
        ) from error
