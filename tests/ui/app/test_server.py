"""A running server's answers to a browser, to the page of another site and to another machine."""

from __future__ import annotations

import http.client
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from streamlit import config
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from benchmarks import served
from tests.pages.session import Session
from ui.app import server as gate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[served.Server]:
    """Start the app with its default settings."""
    folder = tmp_path_factory.mktemp("served")
    environment = {"PADIM_HOME": str(folder / "home")}
    with served.serving(served.APP, log=folder / "server.log", environment=environment) as running:
        yield running


def ask(
    server: served.Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send one request with these headers in place of the client's."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_it_listens_on_this_machine_alone(server: served.Server) -> None:
    listening = [
        found.laddr.ip
        for found in psutil.Process(server.process.pid).net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize(
    "path", ["/", "/fit", "/_stcore/health", "/_stcore/host-config", "/nothing.js", "/media/0"]
)
def test_every_answer_keeps_the_browser_strict(server: served.Server, path: str) -> None:
    _, headers, _ = ask(server, path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert f"ws://{urlsplit(server.url).netloc}" in policy


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/metrics",
        "/_stcore/metrics/",
        "//_stcore/metrics",
        "/_stcore/%6detrics",
        "/_stcore/metrics?x=1",
    ],
)
def test_the_metrics_are_closed(server: served.Server, path: str, method: str) -> None:
    status, _, body = ask(server, path, method)
    assert status in {400, 404}
    assert b"cache_memory" not in body


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::",
        "10.0.0.7",
    ],
)
def test_a_foreign_name_in_front_of_its_address_is_refused(server: served.Server, host: str) -> None:
    name = host.format(port=urlsplit(server.url).port)
    status, headers, body = ask(server, "/", Host=name)
    assert status == 403
    assert b"localhost" in body
    assert headers["X-Frame-Options"] == "DENY"
    # A page fetched under that name would open its web socket under it too.
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            f"{server.url.replace('http', 'ws')}/_stcore/stream",
            origin=Origin(f"http://{name}"),
            subprotocols=[Subprotocol("streamlit")],
            additional_headers={"Host": name},
        ),
    ):
        pass
    assert refused.value.response.status_code in {400, 403}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.9.1:80", "[::1]:99", "app.localhost"]
)
def test_the_names_of_this_machine_are_answered(server: served.Server, host: str) -> None:
    status, _, _ = ask(server, "/_stcore/health", Host=host)
    assert status == 200


def test_a_page_of_another_site_cannot_open_a_session(server: served.Server) -> None:
    url = f"{server.url.replace('http', 'ws')}/_stcore/stream"
    with pytest.raises(InvalidStatus), connect(url, origin=Origin("http://elsewhere.example")):
        pass
    with connect(url, origin=Origin(server.url)):
        pass


@pytest.mark.slow
def test_a_name_that_the_configuration_gives_is_answered(tmp_path: Path) -> None:
    environment = {
        "PADIM_HOME": str(tmp_path / "home"),
        "STREAMLIT_SERVER_ALLOWED_HOSTS": "inspection.example.com 127.0.0.1",
    }
    with served.serving(served.APP, log=tmp_path / "server.log", environment=environment) as running:
        assert ask(running, "/", Host="inspection.example.com")[0] == 200
        assert ask(running, "/", Host="evil.example")[0] == 403


@pytest.mark.parametrize(
    ("address", "open_to_others"),
    [
        ("127.0.0.1", False),
        ("localhost", False),
        ("::1", False),
        ("0.0.0.0", True),
        ("", True),
        ("10.0.0.7", True),
    ],
)
def test_a_server_that_others_can_reach_says_so(
    address: str, open_to_others: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    before = config.get_option("server.address")
    config.set_option("server.address", address)
    try:
        assert gate.reachable_from_elsewhere() is open_to_others
        report = [caption.value for caption in Session().app.sidebar.caption]
    finally:
        config.set_option("server.address", before)
    assert any("other machines" in text and "no accounts" in text for text in report) is open_to_others


@pytest.mark.slow
def test_tables_offer_no_csv_of_their_own() -> None:
    """Streamlit's export would pass on names that are formulas; ``padim.output.results`` defuses them."""
    settings = tomllib.loads((served.ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["client"]["disableDataExport"] is True
    assert config.get_option("client.disableDataExport") is True  # the release knows the option
