"""The allocator's settings: once a process, and not against somebody's own."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, resource, sys
os.environ.update(dict(pair.split("=") for pair in sys.argv[1:]))
import numpy as np
from padim.network.allocation import keep_freed_memory
print(keep_freed_memory(), keep_freed_memory())
np.ones(2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    np.ones(2**20)  # 8 MB, freed at once
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 200)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is set up")


def run(*environment: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, *environment]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@glibc
def test_freed_memory_is_taken_again_without_a_fault() -> None:
    first, second, faults = run()
    assert (first, second) == ("True", "True")
    assert int(faults) < 20  # of the 2,048 pages of every array


def test_settings_of_ones_own_are_left_alone() -> None:
    assert run("MALLOC_ARENA_MAX=4")[:2] == ["False", "False"]


RETURNED = """
from pathlib import Path
import numpy as np
from padim.network.allocation import keep_freed_memory, return_freed_memory
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if "RssAnon" in line))
keep_freed_memory()
parts = [np.ones(2**20) for _ in range(25)]  # 8 MB each: kept when freed, not mapped one by one
held = resident()
del parts
kept = resident()
print(return_freed_memory(), held - kept, held - resident())
"""


@glibc
def test_kept_memory_goes_back_to_the_system_when_asked() -> None:
    command = [sys.executable, "-c", RETURNED]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert done[0] == "True"
    assert int(done[1]) < 100_000 < int(done[2])  # kB, of 200 MB


LIBRARY = """
import sys
sys.path.insert(0, sys.argv[1])
import padim.network.allocation
def called():
    raise AssertionError("the allocator's settings were changed")
padim.network.allocation.keep_freed_memory = called
import padim.network.extractor, padim.cli
from padim import Padim, PadimConfig
from tests.parts import normals
Padim(PadimConfig(input_size=64, n_features=6, grid_stride=16)).fit(normals(3))
print("fitted")
try:
    sys.argv = ["padim", "--version"]
    padim.cli.main()
except AssertionError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_library_leaves_the_process_alone_and_the_command_line_does_not() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", LIBRARY, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert done == ["fitted", "the allocator's settings were changed"]
