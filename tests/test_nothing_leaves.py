"""Nothing leaves the machine: no name is looked up and nothing is sent, by the shell, the app or an example.

ONNX Runtime looks its collector up nine seconds after it was loaded: the server is watched for longer than
that, while the shell's commands run. What it would send is on disk at once, so a short command shows too.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from benchmarks.served import ROOT, free_port
from tests.parts import normals
from tests.tracing import Trace, leaves, run, strace

# Longer than ONNX Runtime waits with its first look-up.
_WATCHED_SECONDS = 12.0
_PROTOCOL = Subprotocol("streamlit")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    for name, content in normals(6):
        assert isinstance(content, bytes)
        (folder / name).write_bytes(content)
    return folder


@dataclass(frozen=True)
class Traced:
    """A running server and what is noted of it."""

    trace: Trace
    host: str
    process: subprocess.Popen[bytes]


@contextmanager
def traced_server(folder: Path, **environment: str) -> Iterator[Traced]:
    """The app as its users start it, except that no browser opens; from another folder than its own."""
    trace, port, log = Trace(folder / "server"), free_port(), folder / "server.log"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            trace.command(
                *(sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")),
                *("--server.headless=true", f"--server.port={port}"),
            ),
            cwd=elsewhere,
            env=trace.environment(PADIM_HOME=str(folder / "workspace"), **environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 240
        while not _answers(f"http://127.0.0.1:{port}/_stcore/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "the server does not answer"
        yield Traced(trace, f"127.0.0.1:{port}", process)
    finally:
        # The tracer and the server together: a tracer that ends alone leaves its server running.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(120)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        time.sleep(0.05)  # between two attempts
        return False


def _visit(host: str) -> None:
    """A visit of a page, as a browser makes it: the document, then the session that runs its script."""
    with urllib.request.urlopen(f"http://{host}/fit", timeout=120) as answer:
        assert answer.status == 200
    with connect(
        f"ws://{host}/_stcore/stream",
        origin=Origin(f"http://{host}"),
        subprotocols=[_PROTOCOL],
        max_size=None,
    ) as socket:
        for page in ("fit", ""):
            message = BackMsg()
            message.rerun_script.page_name = page
            socket.send(message.SerializeToString())
            while True:
                content = socket.recv(60)
                assert isinstance(content, bytes)
                answered = ForwardMsg.FromString(content)
                if answered.WhichOneof("type") == "script_finished":
                    break


def _foreign_page_connects(host: str) -> None:
    """A page of another site opens a connection; Streamlit asks for its own address to judge the origin."""
    with (
        pytest.raises(InvalidStatus),
        connect(
            f"ws://{host}/_stcore/stream", origin=Origin("http://elsewhere.example"), subprotocols=[_PROTOCOL]
        ),
    ):
        pass


@pytest.mark.slow
def test_a_server_and_the_shell_send_nothing_and_look_nothing_up(parts: Path, tmp_path: Path) -> None:
    with traced_server(tmp_path) as server:
        _visit(server.host)
        begun = time.monotonic()
        _foreign_page_connects(server.host)
        seen = _use_the_shell(parts, tmp_path)
        while time.monotonic() < begun + _WATCHED_SECONDS:  # for its own look-ups, which come late
            assert server.process.poll() is None
            time.sleep(0.2)
        seen += [*server.trace.calls(), *server.trace.left_behind()]
    assert seen == []


def test_a_server_for_other_machines_asks_nobody_for_its_address(tmp_path: Path) -> None:
    with traced_server(tmp_path, STREAMLIT_SERVER_ADDRESS="0.0.0.0") as server:
        _foreign_page_connects(server.host)
        assert server.trace.calls() == []


def _use_the_shell(parts: Path, tmp_path: Path) -> list[str]:
    """Fit, score, export, and score with the exported file alone; what was noted."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("input_size: 64\ngrid_stride: 8\nn_features: 20\n")
    model, shell = str(tmp_path / "model"), Trace(tmp_path / "shell")
    caches = {"PADIM_CACHE": os.environ["PADIM_CACHE"]}
    fit = ("-m", "padim", "fit", str(parts), "-o", model, "-c", str(settings))
    scorer, image = tmp_path / "scorer.onnx", next(parts.glob("*.png"))
    seen: list[str] = []
    for command in (
        fit,
        ("-m", "padim", "score", model, str(parts), "-o", str(tmp_path / "results")),
        ("-m", "padim", "export", model, "-o", str(scorer)),
        (str(ROOT / "examples" / "score_onnx.py"), str(scorer), str(image)),
    ):
        run(shell, *command, cwd=ROOT, **caches)
        seen += shell.calls()
    return [*seen, *shell.left_behind()]


def test_the_trace_tells_what_leaves_the_machine() -> None:
    asked = 'connect(8, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0'
    assert leaves(asked)
    assert leaves(
        'sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("8.8.8.8")}, 16)'
    )
    six = 'connect(5, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "%s", &sin6_addr)}, 28)'
    assert leaves(six % "2001:db8::1")
    assert not leaves(six % "::1")
    assert not leaves('connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd"}, 110) = -1 ENOENT')
    assert not leaves('bind(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("8.8.8.8")}, 16)')


def test_the_trace_sees_a_look_up(tmp_path: Path) -> None:
    trace = Trace(tmp_path)
    code = "import socket\ntry: socket.getaddrinfo('nowhere.invalid', 80)\nexcept OSError: pass"
    run(trace, "-c", code, cwd=tmp_path)
    if strace() is None or Path("/etc/resolv.conf").exists():
        assert trace.calls()


def test_whatever_loads_onnx_runtime_silences_it_before() -> None:
    loud = []
    folders = ("padim", "ui", "pages", "benchmarks", "examples")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "onnxruntime" not in text:
            continue
        silent = path.is_relative_to(ROOT / "padim")  # padim/__init__.py runs before every module of it
        for node in ast.parse(text).body:
            # What stands in a function is loaded later, and must find the module silent already.
            loads = {
                name.name.partition(".")[0] if isinstance(found, ast.Import) else found.module
                for found in ast.walk(node)
                if isinstance(found, ast.Import | ast.ImportFrom)
                for name in found.names
            }
            if "onnxruntime" in loads and not silent:
                loud.append(str(path.relative_to(ROOT)))
            said = ast.unparse(node) == "os.environ['ORT_DISABLE_TELEMETRY'] = '1'"
            silent = silent or said or ast.unparse(node).startswith(("from padim", "import padim"))
    assert loud == []


@pytest.mark.parametrize("said", [None, "0", ""])
def test_the_package_silences_onnx_runtime_whatever_the_environment_says(said: str | None) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    if said is not None:
        environment["ORT_DISABLE_TELEMETRY"] = said
    done = subprocess.run(
        [sys.executable, "-c", "import padim, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
