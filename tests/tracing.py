"""Runs commands and notes what they do to the network: by strace, or where it may not trace, in Python alone.

strace sees every system call of the process and its children, native code included. The substitute is an
audit hook in every Python process: it sees what Python's own sockets do, and nothing of native libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Name resolution, a connection or a datagram; with the address in strace's spelling.
_CALL = re.compile(r"\b(connect|sendto|sendmsg|sendmmsg)\(.*?sa_family=(AF_INET6?)\b.*")
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
_HOOK = """
import os, sys

def _note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
        where = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        host = str(where[0] if isinstance(where, tuple) else where)
        unix = isinstance(where, (str, bytes)) and event in ("socket.connect", "socket.sendto")
        if not unix and host not in ("None", "", "localhost", "0.0.0.0", "::1", "::"):
            if not host.startswith("127."):
                with open(os.environ["PADIM_TEST_TRACE"], "a", encoding="utf-8") as file:
                    file.write(f"{event} {where}\\n")

sys.addaudithook(_note)
"""


@cache
def strace() -> str | None:
    """The tracer, where it is installed and allowed to trace."""
    found = shutil.which("strace")
    if found is None:
        return None
    tried = subprocess.run(
        [found, "-f", "-qq", "--seccomp-bpf", "-e", "trace=network", "true"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    return found if tried.returncode == 0 else None


@dataclass(frozen=True)
class Trace:
    """How to run a command so that it is traced, and what was seen.

    Attributes:
        folder: of its own: the trace, and the home directory of what is run.
    """

    folder: Path

    @property
    def log(self) -> Path:
        """Where the calls are noted."""
        return self.folder / "trace.log"

    @property
    def home(self) -> Path:
        """The home directory of what is run: telemetry leaves an identity of the machine below it."""
        return self.folder / "home"

    def command(self, *arguments: str) -> list[str]:
        """The command, with the tracer before it."""
        tracer = strace()
        if tracer is None:
            return list(arguments)
        return [
            tracer,
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-e",
            "trace=network",
            "-s",
            "64",
            "-o",
            str(self.log),
            *arguments,
        ]

    def environment(self, **more: str) -> dict[str, str]:
        """The environment to run it in: a home of its own, and no wish of the caller's about telemetry."""
        self.home.mkdir(parents=True, exist_ok=True)
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("STREAMLIT_", "ORT_", "XDG_")) and key != "PYTHONPATH"
        }
        kept |= {"HOME": str(self.home), "USERPROFILE": str(self.home), **more}
        if strace() is None:
            hook = self.folder / "hook"
            hook.mkdir(exist_ok=True)
            (hook / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
            kept |= {"PYTHONPATH": str(hook), "PADIM_TEST_TRACE": str(self.log)}
        return kept

    def calls(self) -> list[str]:
        """What was noted: look-ups of names, and what was sent anywhere but to this machine."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines if strace() is None else [line for line in lines if leaves(line)]

    def left_behind(self) -> list[str]:
        """Files of telemetry in the home directory: an identity of the machine, events to be sent later."""
        words = ("microsoft", "deviceid", "telemetry", "machine_id", "onnxruntime")
        return [
            str(path.relative_to(self.home))
            for path in sorted(self.home.rglob("*"))
            if any(word in path.name.lower() for word in words)
        ]


def leaves(line: str) -> bool:
    """Whether a line of strace is a look-up of a name, or a connection or datagram to another machine."""
    if not _CALL.search(line):
        return False
    port, address = _PORT.search(line), _ADDRESS.search(line)
    if port is not None and int(port[1]) in {53, 853, 5353, 5355}:
        return True  # a resolver on the loopback would pass the question on
    host = (address[1] or address[2]) if address is not None else ""
    return not host.startswith("127.") and host not in {"::1", "0.0.0.0", "::"}


def run(trace: Trace, *arguments: str, cwd: Path, **environment: str) -> str:
    """Run a Python command to its end, traced; standard output. It must succeed."""
    done = subprocess.run(
        trace.command(sys.executable, *arguments),
        cwd=cwd,
        env=trace.environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
