"""Measurement of a process's peak memory from another process.

A thread in the measured process would compete with it for the interpreter's lock, and miss the peaks.
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
    """Peak memory of a process, in bytes.

    Attributes:
        anonymous: largest sampled RssAnon: heap and stacks, without file pages that the system may drop.
            Without ``/proc``, the memory private to the process (USS).
        resident: largest resident set: VmHWM, which is exact; without ``/proc`` sampled.
        exact: whether ``anonymous`` is RssAnon.
    """

    anonymous: int
    resident: int
    exact: bool


def watch(command: Sequence[str]) -> tuple[Peaks, str]:
    """Run a command to its end, and return its peak memory and its standard output.

    Raises:
        RuntimeError: the command failed; the message quotes the end of its error output.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The output is read during the measurement, as a full pipe would block the process.
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
    """Return RssAnon and VmHWM in bytes; zeros after the process has ended."""
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
