"""The running server: one visitor's effect on another's work, and what remains after a visitor."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks import served
from benchmarks.memory import MB
from benchmarks.visitor import Visitor
from padim import Workspace
from tests.parts import normals

IMAGES = [(name, data) for name, data in normals(6) if isinstance(data, bytes)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "home"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[served.Server]:
    environment = {"PADIM_HOME": str(home), "PADIM_SESSION_GRACE": "1"}
    with served.serving(served.APP, log=home.parent / "log", environment=environment) as found:
        yield found


def until(server: served.Server, happened: Callable[[], bool]) -> None:
    """Request the server's health, which must be answered, until a condition holds."""
    for _ in range(200_000):
        if happened():
            return
        with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=120) as answer:
            assert answer.status == 200
    pytest.fail("it did not happen")


@pytest.mark.slow
def test_a_message_that_clears_the_caches_stops_no_work(server: served.Server, home: Path) -> None:
    with Visitor(server.url, "fit") as me, Visitor(server.url) as stranger:
        me.upload(IMAGES)
        until(server, lambda: me.run().button("fit-go") is not None)
        me.click("fit-go")
        assert me.busy
        stranger.send(clear_cache=True)
        stranger.run()
        assert me.run().busy or "model=" in me.query, "the page lost sight of its fit"
        assert "cannot" not in me.text
        until(server, lambda: bool(Workspace(home).models()))
        until(server, lambda: not me.run().busy)
        (entry,) = Workspace(home).models()
        assert f"model={entry.id}" in me.query.split("&"), "the fit ended, and the page knows"


@pytest.mark.slow
def test_a_fit_goes_on_when_its_session_leaves(server: served.Server, home: Path) -> None:
    before = len(Workspace(home).models())
    with Visitor(server.url, "fit") as me:
        me.query = "model=none"  # no model in use: the page is for a new one
        me.go("fit").upload(IMAGES)
        until(server, lambda: me.run().button("fit-go") is not None)
        me.click("fit-go")
        assert me.busy
    until(server, lambda: len(Workspace(home).models()) == before + 1)


@pytest.mark.slow
def test_uploads_go_with_their_session(server: served.Server) -> None:
    process = psutil.Process(server.process.pid)
    size = 96 * MB
    with Visitor(server.url, "fit", "model=none") as me:
        before = process.memory_info().rss
        me.upload([("images.zip", os.urandom(size))])
        held = process.memory_info().rss
        assert held - before > size * 0.9
    until(server, lambda: process.memory_info().rss < held - size * 0.8)


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_fit(tmp_path: Path) -> None:
    environment = {"PADIM_HOME": str(tmp_path / "home")}
    with served.serving(served.APP, log=tmp_path / "log", environment=environment) as server:
        with Visitor(server.url, "fit") as me:
            me.upload(IMAGES)
            until(server, lambda: me.run().button("fit-go") is not None)
            me.click("fit-go")
            until(server, lambda: bool(psutil.Process(server.process.pid).children()))
            (worker,) = psutil.Process(server.process.pid).children()
            worker.suspend()  # a fit that never ends
            server.process.send_signal(signal.SIGINT)
            server.process.wait(120)
        worker.resume()
        worker.wait(120)
    assert Workspace(tmp_path / "home").models() == []
