"""Security middleware in front of Streamlit: which requests are answered, and with which headers.

A server that listens on this machine alone can still be reached by the pages of other sites in a browser on
this machine. Therefore it answers only requests for the names of this machine (DNS rebinding, by which such a
page gets around the same-origin policy, needs a foreign name for its address), refuses to be shown in a
frame, and lets its own pages fetch from nowhere else.

Streamlit looks up the machine's addresses, once by asking a service on the internet, to decide whether the
page that opens a connection is its own. :func:`silence` replaces that lookup by the address at which the
request arrived, which answers the same question without any network traffic.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

# Imported first, before any module loads ONNX Runtime: see the comment at the top of padim/__init__.py.
import padim  # noqa: F401
from ui.app import under_load
from ui.app.late_timers import LateTimers
from ui.app.pages import MOVED
from ui.app.upload_addresses import UploadAddresses

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Figures about the server's memory and sessions concern only its operator, who has other means to get them.
_CLOSED = ("_stcore/metrics",)

# Streamlit's own pages need inline styles and scripts, and its charts compile functions at run time.
_POLICY = "; ".join(
    (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:",
        "connect-src 'self' blob: data: {sockets}",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_arrived_at: ContextVar[str | None] = ContextVar("arrived_at", default=None)


def middleware() -> list[Middleware]:
    """Return the ASGI middleware that the app's server runs before Streamlit handles a request."""
    from starlette.middleware import Middleware

    silence()
    under_load.prepare_interpreter()
    under_load.read_settings_without_waiting()
    # Its notes on every plugin and migration would fill the server's log.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return [Middleware(Gate), Middleware(LateTimers), Middleware(UploadAddresses)]


def apply_settings() -> None:
    """Set up the log and the largest upload as the settings of this installation say.

    Raises:
        PadimError: a setting is misspelled or has a bad value.
    """
    from streamlit import config

    from padim import settings
    from padim.service.logs import configure_logs

    configure_logs()
    found = settings.current()
    if "max_upload_mb" in found.model_fields_set:
        config.set_option("server.maxUploadSize", found.max_upload_mb)


def silence() -> None:
    """Keep Streamlit from looking up the machine's addresses on the network."""
    from streamlit import net_util

    def external() -> None:
        return None

    def internal() -> str | None:
        return _arrived_at.get()

    # Streamlit has no setting for either. tests/test_nothing_leaves.py fails if a release looks them up in
    # another way.
    net_util.get_external_ip = external
    net_util.get_internal_ip = internal


def reachable_from_elsewhere() -> bool:
    """Whether other machines can open a connection to this server."""
    return not _is_local(_address())


def is_this_machine(name: str) -> bool:
    """Whether a host name is always this machine's, so that browsers trust it without https."""
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


class Gate:
    """ASGI middleware that refuses requests not meant for this server and adds protective headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request according to the ASGI specification."""
        if scope["type"] not in {"http", "websocket"}:
            under_load.wake_once(asyncio.get_running_loop())  # at the server's start
            await self._app(scope, receive, send)
            return
        arrived = scope.get("server") or (None,)
        token = _arrived_at.set(arrived[0])
        try:
            host = _host(scope)
            if not _is_own_name(host):
                await _refuse(scope, receive, send, 403, _wrong_name(host))
            elif scope["type"] == "http" and _path(scope) in _CLOSED:
                await _refuse(scope, receive, send, 404, "Not found.\n")
            elif scope["type"] == "http" and _path(scope) in MOVED:
                await _redirect(scope, receive, send, host)
            else:
                await self._app(
                    scope,
                    receive,
                    _with_headers(send, host, scope) if scope["type"] == "http" else send,
                )
        finally:
            _arrived_at.reset(token)


def _with_headers(send: Send, host: str, scope: Scope | None = None) -> Send:
    # Not every browser lets 'self' include web sockets.
    sockets = f"ws://{host} wss://{host}" if _plain(host) else ""
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY.format(sockets=sockets).strip()}

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            from starlette.datastructures import MutableHeaders

            found = MutableHeaders(raw=message.setdefault("headers", []))
            found.update(headers)
            if scope is not None and found.get("content-type", "").startswith("text/html"):
                found.append("Set-Cookie", _cookie(scope))
        await send(message)

    return send_with_headers


def _cookie(scope: Scope) -> str:
    """Return the Set-Cookie header of a page that is being loaded (``ui.app.cookie``)."""
    from ui.app import browsers, cookie

    given = next((value for key, value in scope["headers"] if key.lower() == b"cookie"), b"")
    former = cookie.of_header(bytes(given).decode("latin-1"))
    renewed = cookie.renewed(former, browsers.keep_hours())
    return cookie.to_header(renewed, f"/{base_path()}", secure=scope.get("scheme") == "https")


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    from starlette.responses import PlainTextResponse

    if scope["type"] == "websocket":
        # Closing a web socket before it is accepted sends a plain 403.
        await send({"type": "websocket.close", "code": 1008})
        return
    await PlainTextResponse(text, status)(scope, receive, _with_headers(send, ""))


async def _redirect(scope: Scope, receive: Receive, send: Send, host: str) -> None:
    """Send the browser from the address of a former page to the tab that has taken its place."""
    from starlette.responses import RedirectResponse

    path = str(scope["path"]).strip("/")
    former = _path(scope)
    page, tab = MOVED[former]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in query if name != "tab"]
    target = f"/{path.removesuffix(former)}{page}?{urlencode([*kept, ('tab', tab)])}"
    await RedirectResponse(target, 307)(scope, receive, _with_headers(send, host))


def _host(scope: Mapping[str, Any]) -> str:
    found = next((value for key, value in scope["headers"] if key.lower() == b"host"), b"")
    return bytes(found).decode("latin-1")


def _path(scope: Mapping[str, Any]) -> str:
    base = base_path()
    path = "/".join(part for part in str(scope["path"]).split("/") if part)
    return path.removeprefix(f"{base}/") if base else path


def base_path() -> str:
    """Return the path below which the server's pages are, without slashes at its ends."""
    from streamlit import config

    return str(config.get_option("server.baseUrlPath") or "").strip("/")


def _plain(host: str) -> bool:
    """Whether a Host header can be copied into another header without escaping."""
    return bool(host) and all(c.isascii() and (c.isalnum() or c in ".-:[]") for c in host)


def _is_own_name(host: str) -> bool:
    """Whether a request's Host is a name of this server; always true unless it listens on this machine alone.

    A server that other machines reach may have names that it does not know itself.
    """
    from streamlit import config

    address = _address()
    if not _is_local(address) or address.startswith("unix:") or not config.get_option("server.enableCORS"):
        return True
    if config.get_option("server.allowedHosts"):
        from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

        if is_host_allowed(host):
            return True
    name = _name(f"//{host}")
    known = {_name(url if "//" in url else f"//{url}") for url in _configured_names()}
    return is_this_machine(name) or name in known


def _wrong_name(host: str) -> str:
    name = _name(f"//{host}")
    shown = f"not to “{name[:100]}”" if name.isprintable() and name else "and the request names none"
    return (
        f"This server answers to localhost, {shown}. "
        "Where it stands behind a proxy, start it with --server.allowedHosts and the proxy's name.\n"
    )


def _configured_names() -> Iterable[str]:
    """Yield the names that the configuration gives the server."""
    from streamlit import config

    if config.is_manually_set("browser.serverAddress"):
        yield str(config.get_option("browser.serverAddress"))
    for origin in config.get_option("server.corsAllowedOrigins"):
        yield str(origin).strip()


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # malformed, such as an unclosed bracket
        return ""


def _address() -> str:
    from streamlit import config

    return str(config.get_option("server.address") or "")


def _is_local(address: str) -> bool:
    return address.startswith("unix:") or address == "localhost" or _is_loopback(address)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
