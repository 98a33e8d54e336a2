"""The site of the documentation: built strictly, complete, loading nothing from elsewhere, narrow or wide."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer

import padim
from benchmarks import served
from padim.cli.app import app
from padim.config import PadimConfig
from padim.network import registry
from tests.browser.looking import require_chromium

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it; a warning is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads, links to, and says.

    Attributes:
        loads: addresses that a browser fetches by itself.
        ids: anchors.
        text: all text, with blanks made single.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self._said: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self._said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.add(found["id"])
        if tag == "link":
            self.loads.append(found.get("href", ""))
        if tag != "a":
            self.loads += [found[name] for name in ("src", "srcset", "poster", "data") if name in found]

    def handle_data(self, data: str) -> None:
        self._said.append(data)


_ELSEWHERE = re.compile(r"(?:https?:)?//", re.I)


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        found = [address for address in Page(path).loads if _ELSEWHERE.match(address)]
        assert found == [], path.name
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]*)", text)
        assert found == [], path.name


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    page = Page(site / "reference" / "cli.html")
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert name in page.ids
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-"):
                    assert option in page.text, (name, option)
    assert "[bold]" not in page.text
    assert "[/]" not in page.text


def test_every_key_of_the_configuration_is_in_the_reference(site: Path) -> None:
    text = (site / "reference" / "config-keys.html").read_text(encoding="utf-8")
    for name, field in PadimConfig.model_fields.items():
        assert f"<code>{name}</code>" in text
        assert field.description, f"{name}: a field of PadimConfig without a description"


def test_every_network_is_in_the_reference(site: Path) -> None:
    text = Page(site / "reference" / "networks.html").text
    for network in registry.REGISTRY.values():
        assert network.name in text
        for layer in network.layers:
            assert layer.name in text


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = Page(site / "reference" / "api.html")
    for name in padim.__all__:
        home = getattr(padim, name).__module__
        assert f"{home}.{name}" in page.ids
    # What :class:`Padim` inherits is a part of it.
    assert {
        f"padim.model.Padim.{name}" for name in ("fit", "predict", "set_decision", "get_params")
    } <= page.ids
    assert not re.search(r":(class|func|meth|attr|data|mod):", page.text)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the site is served on this machine."""
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.browser
def test_in_a_browser_it_stays_here_is_found_and_fits_a_narrow_window(site: Path, address: str) -> None:
    require_chromium()
    with served.launched() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(120_000)
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for path in sorted(site.rglob("*.html")):
            page.goto(f"{address}/{path.relative_to(site).as_posix()}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        page.set_viewport_size({"width": 1300, "height": 800})
        page.goto(f"{address}/index.html")
        page.get_by_placeholder("Search").click()
        page.locator(".md-search-result__meta").get_by_text("Type to start searching").wait_for()
        page.get_by_placeholder("Search").press_sequentially("overkill")
        page.locator(".md-search-result__item").get_by_text("Glossary").first.wait_for()
        assert errors == []
        assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
