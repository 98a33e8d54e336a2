"""Peak memory of a process, watched from outside.

From outside, because a thread inside competes for the interpreter's lock with what it measures, and sleeps
through the peaks it is there to see.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
INTERVAL_S = 0.005


@dataclass(frozen=True)
class Peaks:
    """In bytes.

    Attributes:
        anonymous: largest sampled RssAnon: heap and stacks, without files the system may drop. Where there
            is no ``/proc``, the memory private to the process (USS).
        resident: largest resident set (VmHWM, exact; elsewhere sampled).
        exact: whether ``anonymous`` is really RssAnon.
    """

    anonymous: int
    resident: int
    exact: bool


def watch(command: Sequence[str]) -> tuple[Peaks, str]:
    """Run a command to its end; its peaks and its standard output.

    Raises:
        RuntimeError: it failed; carries the end of its error output.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The output must be drained while the memory is watched, or a full pipe would stop the process.
        result: dict[str, tuple[str, str]] = {}
        reader = threading.Thread(target=lambda: result.update(output=process.communicate()))
        reader.start()
        anonymous = resident = 0
        status = Path(f"/proc/{process.pid}/status")
        exact = status.exists()
        while reader.is_alive():
            sample = _from_proc(status) if exact else _from_psutil(process.pid)
            anonymous, resident = max(anonymous, sample[0]), max(resident, sample[1])
            time.sleep(INTERVAL_S)
        reader.join()
    output, errors = result["output"]
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}:\n{errors[-2000:]}")
    return Peaks(anonymous, resident, exact), output


def _from_proc(status: Path) -> tuple[int, int]:
    """RssAnon and VmHWM; zeros once the process has gone."""
    fields = {"RssAnon": 0, "VmHWM": 0}
    try:
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in fields:
                fields[name] = int(value.split()[0]) * 1024
    except (OSError, ValueError):
        pass
    return fields["RssAnon"], fields["VmHWM"]


def _from_psutil(pid: int) -> tuple[int, int]:
    import psutil

    try:
        memory = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0, 0
    return memory.uss, memory.rss
