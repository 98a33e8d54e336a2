"""A client of a running Streamlit server that exchanges a browser's WebSocket messages without a browser.

It serves for tests where a browser takes too many resources, such as ten sessions at once, or for messages
that no page would send.
"""

from __future__ import annotations

import http.cookiejar
import urllib.request
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect
from websockets.typing import Origin

PATIENCE = 120.0
# Uploads that a browser has under way at once.
_UPLOADS_AT_ONCE = 6


class Visitor:
    """One session.

    Attributes:
        url: the server's address.
        query: the page's query string.
        session: the session's id on the server.
        page: the name of the current page; empty for the first page.
        elements: the page's elements by type, in order of arrival; of full runs only.
    """

    def __init__(self, url: str, page: str = "", query: str = "") -> None:
        """Open the page and wait until it is drawn."""
        self.url, self.page, self.query = url, page, query
        self.session = ""
        self.elements: dict[str, list[Any]] = {}
        self._hash = ""
        self._widgets: dict[str, WidgetState] = {}
        jar = http.cookiejar.CookieJar()
        self._http = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        with self._http.open(f"{url}/_stcore/health", timeout=PATIENCE):
            pass
        self._token = next((cookie.value or "" for cookie in jar if "xsrf" in cookie.name), "")
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(
                f"ws{url.removeprefix('http')}/_stcore/stream",
                max_size=None,
                origin=Origin(url),
                additional_headers={"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)},
                # The server sends nothing while a page runs for a long time.
                ping_interval=None,
                ping_timeout=None,
            )
        )
        self.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the connection, as a closed tab does."""
        self._open.close()

    def go(self, page: str) -> Self:
        """Switch to another page of the app."""
        self.page, self._hash = page, ""
        self._widgets.clear()
        return self.run()

    def send(self, **message: Any) -> None:
        """Send any message, given as the field of ``BackMsg`` with its value."""
        self._socket.send(BackMsg(**message).SerializeToString())

    def run(self, *, trigger: str | None = None) -> Self:
        """Run the page with the current widget states, and wait until it is drawn.

        Args:
            trigger: the id of a button to press, or None.
        """
        message = BackMsg()
        state = message.rerun_script
        # A page is requested by name the first time, then by hash.
        state.query_string, state.page_script_hash = self.query, self._hash
        state.page_name = "" if self._hash else self.page
        state.widget_states.widgets.extend(self._widgets.values())
        if trigger is not None:
            state.widget_states.widgets.append(WidgetState(id=trigger, trigger_value=True))
        self._socket.send(message.SerializeToString())
        # A page may rerun itself: the end of the last run counts.
        self._wait_until_drawn()
        return self

    def _wait_until_drawn(self) -> None:
        again = True
        while again:
            message = self._receive()
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session = message.new_session.initialize.session_id or self.session
                self.elements = {}
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                element = message.delta.new_element
                name = str(element.WhichOneof("type"))
                self.elements.setdefault(name, []).append(getattr(element, name))
            elif kind == "navigation":
                self._hash = message.navigation.page_script_hash
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "script_finished":
                again = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN

    def _receive(self) -> ForwardMsg:
        raw = self._socket.recv(timeout=PATIENCE)
        assert isinstance(raw, bytes)
        message = ForwardMsg()
        message.ParseFromString(raw)
        return message

    @property
    def text(self) -> str:
        """The text of the page."""
        found = []
        for kind in ("html", "markdown", "alert", "progress"):
            shown = self.elements.get(kind, [])
            found += [getattr(one, "body", "") or getattr(one, "text", "") for one in shown]
        return "\n".join(found)

    @property
    def busy(self) -> bool:
        """Whether the page shows a running job."""
        return any("-cancel-" in one.id for one in self.elements.get("button", []))

    def button(self, key: str) -> str | None:
        """Return the id of the button with that key; None if it does not exist or is disabled."""
        for one in self.elements.get("button", []):
            if one.id.endswith(f"-{key}") and not one.disabled:
                return str(one.id)
        return None

    def click(self, key: str) -> Self:
        """Press the button with that key.

        Raises:
            LookupError: the button does not exist or is disabled.
        """
        found = self.button(key)
        if found is None:
            there = [one.id for one in self.elements.get("button", [])]
            raise LookupError(f"no button {key!r}; there are {there}")
        return self.run(trigger=found)

    def upload(self, files: Sequence[tuple[str, bytes]]) -> Self:
        """Upload files, given as names and contents, with the page's first uploader."""
        uploader = self.elements["file_uploader"][0]
        message = BackMsg()
        request = message.file_urls_request
        request.request_id, request.session_id = uuid.uuid4().hex, self.session
        request.file_names.extend(name for name, _ in files)
        self._socket.send(message.SerializeToString())
        while (answer := self._receive()).WhichOneof("type") != "file_urls_response":
            pass
        state = WidgetState(id=uploader.id)
        places = list(answer.file_urls_response.file_urls)
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            list(pool.map(self._put, [place.upload_url for place in places], *zip(*files, strict=True)))
        for (name, data), place in zip(files, places, strict=True):
            info = state.file_uploader_state_value.uploaded_file_info.add()
            info.name, info.size, info.file_id = name, len(data), place.file_id
            info.file_urls.CopyFrom(place)
        self._widgets[uploader.id] = state
        return self.run()

    def _put(self, path: str, name: str, data: bytes) -> None:
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=head.encode() + data + f"\r\n--{boundary}--\r\n".encode(),
            method="PUT",
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "X-Xsrftoken": self._token,
            },
        )
        with self._http.open(request, timeout=PATIENCE):
            pass
