"""A workspace with a small model, and ``padim serve`` in a process of its own: for benchmarks and tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from padim import Padim, PadimConfig
from padim.records.recipes import Recipes
from padim.workspace import Workspace
from tests.parts import normals

ROOT = Path(__file__).resolve().parents[1]
PART_NUMBER = "4711"


def make_workspace(
    root: Path, config: PadimConfig, *, parts: int = 22, side: tuple[int, int] = (96, 96)
) -> str:
    """Fit a model to good parts, save it in a new workspace with a part number, and return its id."""
    workspace = Workspace(root)
    entry = workspace.create("Flange")
    model = Padim(config, work_dir=workspace.work_dir(entry.id)).fit(normals(parts, size=side))
    workspace.save(entry.id, model)
    Recipes(root).set(PART_NUMBER, entry.id, "benchmark")
    return entry.id


class ServiceProcess:
    """``padim serve`` in a process of its own, which listens when the constructor returns.

    Args:
        root: the workspace's folder.
        arguments: further arguments of the command.
        port: the port; 0: any that is free.
    """

    def __init__(self, root: Path, arguments: Sequence[str] = (), port: int = 0) -> None:
        command = [sys.executable, "-m", "padim", "serve", "--json", "--port", str(port), *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PADIM_HOME": str(root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        if self.process.poll() is not None or not lines:
            raise RuntimeError("the service did not start")
        self.document = json.loads("".join(lines))
        self.url = str(self.document["url"])
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 60) -> int:
        """Tell it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


def form(content: bytes, name: str, **fields: str) -> tuple[bytes, str]:
    """Return the body of a form with an image and fields, and its Content-Type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    body = b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"
