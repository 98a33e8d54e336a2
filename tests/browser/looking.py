"""What a visitor does and sees. Everything waits for what should appear; nothing sleeps."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks import served

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Locator, Page, Request

Upload = tuple[str, bytes]
_HERE = {"127.0.0.1", "localhost"}
# Milliseconds: for what the server computes, on a machine that has other things to do. Only a test that fails
# waits so long.
PATIENCE = 120_000
# Whether the page's script has ended, looked at two frames after whatever came before: a click's own handlers
# and a component's messages have asked for a run by then.
_AT_REST = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>
    done(document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'))))"""


def require_chromium() -> None:
    """Skip the test where there is no browser; on continuous integration, fail it."""
    if served.chromium() is None:
        reason = "no Chromium found; install it, or set PADIM_CHROMIUM to an executable"
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(reason)
        pytest.skip(reason)


class Visitor:
    """One browser session on the app.

    Attributes:
        page: Playwright's page.
        requested: every URL asked for, web sockets too.
        dialogs: what alert, confirm and prompt said: nothing should.
    """

    def __init__(self, page: Page, server: served.Server) -> None:
        from playwright.sync_api import expect

        expect.set_options(timeout=PATIENCE)
        page.set_default_timeout(PATIENCE)
        self.page = page
        self.server = server
        self.requested: list[str] = []
        self.dialogs: list[str] = []
        page.context.on("request", self._request)
        page.on("websocket", lambda socket: self.requested.append(socket.url))
        page.on("dialog", self._dismiss)

    def leave(self) -> None:
        """Note no more of what the session asks for, which another visitor may take over."""
        self.page.context.remove_listener("request", self._request)

    def _request(self, request: Request) -> None:
        self.requested.append(request.url)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def strangers(self) -> list[str]:
        """Requests that went elsewhere than to this machine."""
        return [
            url
            for url in self.requested
            if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname not in _HERE
        ]

    def check_stayed_here(self) -> None:
        """Raises AssertionError for a request to elsewhere, a dialog, or a visit that asked for nothing."""
        assert self.requested, "the page was never opened"
        assert self.strangers() == []
        assert self.dialogs == []

    # -- going about ----------------------------------------------------------------------------------

    def open(self, path: str = "/") -> None:
        """Open a page by its address, as from a link in a mail."""
        self.page.goto(f"{self.server.url}{path}")

    def go(self, name: str) -> Visitor:
        """To another page by the sidebar."""
        # The tick of a step that is done is read as a word after the page's name.
        words = re.compile(rf"^{re.escape(name)}(\W*done)?$")
        self.page.get_by_test_id("stSidebar").get_by_role("link", name=words).click()
        self.see_heading(name)
        return self

    def open_tab(self, label: str) -> None:
        """Open another tab of the page, and wait for its contents."""
        self.main.get_by_role("tab", name=label, exact=True).click()
        self.main.locator("[role=tab][aria-selected=true]").get_by_text(label, exact=True).wait_for()
        self.settle()

    def see_heading(self, name: str) -> None:
        """Wait for a page by its heading, and for its script to end."""
        heading = self.page.get_by_role("heading", name=name, level=1, exact=True)
        # A page that cannot run should fail the test now, not when its patience is over.
        failed = self.page.get_by_test_id("stException")
        heading.or_(failed).first.wait_for()
        assert failed.count() == 0, failed.first.inner_text()
        self.settle()

    def settle(self) -> None:
        """Wait until the page's script has ended and nothing has asked for another run."""
        # Not wait_for_function: to that a promise is true whatever it comes to.
        self.until(lambda: bool(self.page.evaluate(_AT_REST)), "the page's script has ended")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds that no element of the page shows, such as what is saved on disk."""
        for _ in range(PATIENCE // 20):
            if condition():
                return
            self.page.wait_for_timeout(20)  # between two looks, not instead of one
        raise AssertionError(f"in {PATIENCE / 1000:.0f} s it did not come about that {what}")

    @property
    def main(self) -> Locator:
        """The page without sidebar."""
        return self.page.get_by_test_id("stMain")

    def button(self, name: str) -> Locator:
        """A button by its text; Streamlit puts the icon's name before it."""
        return self.page.get_by_role("button", name=re.compile(re.escape(name) + r"\b"))

    def keyed(self, key: str) -> Locator:
        """A widget by its Streamlit key."""
        return self.page.locator(f".st-key-{key}")

    @property
    def model_id(self) -> str:
        """The model that the URL names."""
        (found,) = parse_qs(urlsplit(self.page.url).query).get("model", [""])
        return found

    # -- images -------------------------------------------------------------------------------------

    def drop(self, files: Sequence[Upload]) -> None:
        """Upload files into the place for images that is on the page."""
        payloads: list[FilePayload] = [
            {"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files
        ]
        self.page.locator("input[type=file]").set_input_files(payloads)

    def problems(self) -> dict[str, str]:
        """The files that cannot be used, by name, each with its reason."""
        entries = self.main.locator(".pv-problems li")
        entries.first.wait_for()
        return {
            entry.locator("b").inner_text(): entry.inner_text().removeprefix(entry.locator("b").inner_text())
            for entry in entries.all()
        }

    # -- the Calibrate page ---------------------------------------------------------------------------

    def put_to_use(self) -> None:
        """Press "Use this threshold" and wait until it is saved.

        The button is disabled once the threshold is in use. The words beside it may still be those of the run
        before, so they say nothing by themselves.
        """
        from playwright.sync_api import expect

        button = self.keyed("calibrate-use").get_by_role("button")
        button.click()
        expect(button).to_be_disabled()
        self.main.get_by_text("This threshold is in use.").wait_for()
        self.settle()

    # -- the Inspect page -----------------------------------------------------------------------------

    def see_list_of(self, count: int) -> None:
        """Wait until that many images are listed and no more are to come."""
        self.keyed("inspect-show").get_by_text(f"All {count}", exact=True).wait_for()
        # While a run takes the place of another, the element can be there twice for a moment.
        self.keyed("inspect-csv").first.wait_for()
        self.page.locator("[class*='st-key-job-inspect']").wait_for(state="detached")
        self.settle()

    def shown_name(self) -> str:
        """The image shown in the panels."""
        return self.main.locator(".headline .name").inner_text()

    def see_shown(self, name: str) -> None:
        """Wait for that image to be shown, at its full resolution."""
        self.main.locator(".headline .name").get_by_text(name, exact=True).wait_for()
        self.main.locator('.row[data-drawn*=":"]').first.wait_for()
        self.main.locator(".original img.full:visible").first.wait_for()
        self.settle()

    def full_image(self) -> tuple[str, int, int]:
        """Source, width and height of the original as the browser has really loaded it."""
        source, width, height = self.main.locator(".original img.full").first.evaluate(
            """async image => {
                await image.decode();
                return [image.src, image.naturalWidth, image.naturalHeight];
            }"""
        )
        return str(source), int(width), int(height)

    def table(self) -> list[dict[str, str]]:
        """The lines of the results in sight, top first."""
        rows: list[list[str]] = (
            self.main.locator("table.results")
            .locator("tr:not([aria-hidden])")
            .evaluate_all(
                "rows => rows.map(row => [...row.querySelectorAll('th, td')].map(cell => cell.textContent))"
            )
        )
        head, *body = rows
        return [dict(zip(head, row, strict=True)) for row in body]

    # -- files ----------------------------------------------------------------------------------------

    def download(self, key: str, folder: Path) -> Path:
        """Click a download button, when no run of the page is about to replace it, and save its file."""
        from playwright.sync_api import TimeoutError as TooLong

        button = self.keyed(key).get_by_role("button")
        # A selection in the viewer reaches the server a moment later: a file that is asked for just then
        # belongs to the run before, and is asked for again.
        for patience in (PATIENCE / 8, PATIENCE / 4):
            self.settle()
            try:
                return self._downloaded(button, folder, patience)
            except TooLong:
                continue
        self.settle()
        return self._downloaded(button, folder)

    def download_mask(self, folder: Path) -> Path:
        """Save the mask of the image shown."""
        return self._downloaded(self.main.locator(".take-mask"), folder)

    def _downloaded(self, button: Locator, folder: Path, patience: float = PATIENCE) -> Path:
        with self.page.expect_download(timeout=patience) as waiting:
            button.click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path


def results(file: Path) -> list[dict[str, str]]:
    """The rows of a downloaded CSV."""
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
