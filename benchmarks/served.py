"""A Streamlit app in a separate process, and a Chromium browser, for benchmarks and browser tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
APP = (sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"))
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Options that disable the browser's own network access and background work.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Return the browser's executable: ``PADIM_CHROMIUM``, or one on the path; None if there is none."""
    given = os.environ.get("PADIM_CHROMIUM", "").strip()
    if given:
        return given
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """Launch a headless Chromium, which is closed when the block ends.

    Raises:
        RuntimeError: no Chromium is installed.
    """
    from playwright.sync_api import sync_playwright

    executable = chromium()
    if executable is None:
        raise RuntimeError(f"no browser: none of {', '.join(_BROWSERS)} is on the path; set PADIM_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: its address, without a trailing slash.
        seconds: from the start of the process to the first answer of its health check.
        process: the server's process.
    """

    url: str
    seconds: float
    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        """Whether the process is running and its health check answers."""
        return self.process.poll() is None and _healthy(self.url)


def free_port() -> int:
    """Return a port that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    patience: float = 60.0,
    base: str = "",
    port: int | None = None,
) -> Iterator[Server]:
    """Run a Streamlit command until the block ends.

    Args:
        command: the command, without port and address.
        log: file to which the server's output is appended.
        environment: environment variables in addition to those of this process.
        folder: the server's working directory.
        patience: seconds to wait for the first answer.
        base: prefix of the path of all its URLs, as the command sets it.
        port: its port; None takes a free one.

    Raises:
        RuntimeError: the server ended, or did not answer in time; the message quotes its log.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}{base}"
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    begin = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, *options, "--browser.gatherUsageStats=false"],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not _healthy(url):
            if process.poll() is not None or time.perf_counter() - begin > patience:
                text = log.read_text(encoding="utf-8", errors="replace")[-4000:]
                raise RuntimeError(f"the server did not start ({process.poll()}):\n{text}")
            time.sleep(0.02)  # interval between two checks
        yield Server(url, time.perf_counter() - begin, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
