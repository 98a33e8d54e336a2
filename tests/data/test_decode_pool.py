"""Decoding in helper processes: the same pixels; they end at the deadline, on request, with their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from padim.data import decode
from padim.data.decode import decode_here
from padim.data.decode_pool import DecodePool, TooSlow, WorkerDied
from padim.errors import Cancelled, ImageError
from tests import bombs, hostile

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 600_000_000
WEBP = hostile.encode(np.full((9, 8, 3), 7, np.uint8), "WEBP", lossless=True)
# Some seconds of work for any machine, which a helper process would do to the end.
SLOW = bombs.jpeg_of_scans(3000, 3000, 3000)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2)
    yield pool
    pool.close()


def ask(pool: DecodePool, data: bytes, seconds: float = 60.0, memory: int = MEMORY, **more: object) -> object:
    with pool.slot():
        return pool.decode(data, pixels=10**8, memory=memory, seconds=seconds, **more)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    """Ended and reaped: neither at work nor a zombie."""
    return not psutil.pid_exists(pid)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_pixels_are_those_decoded_here(pool: DecodePool, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    samples = data.draw(st.sampled_from([1, 3, 4]))
    pixels = rng.integers(0, 256, (height, width, samples)).astype(np.uint8)
    pixels[0, 0] = 255  # something to see
    image = np.squeeze(pixels, 2) if samples == 1 else pixels
    turned = Image.Exif()
    turned[274] = data.draw(st.integers(1, 8))
    kinds: dict[str, dict[str, Any]] = {
        "PNG": {"exif": turned},
        "TIFF": {"compression": data.draw(st.sampled_from(["raw", "tiff_lzw", "tiff_adobe_deflate"]))},
        "WEBP": {"lossless": data.draw(st.booleans()), "exif": turned},
        "BMP": {},
        "JPEG": {"progressive": data.draw(st.booleans()), "exif": turned},
    }
    kind = data.draw(st.sampled_from(sorted(kinds if samples != 4 else kinds.keys() - {"JPEG"})))
    file = hostile.encode(image, kind, **kinds[kind])
    here, there = decode_here(file, 10**8), ask(pool, file)
    assert isinstance(here, np.ndarray)
    assert isinstance(there, np.ndarray)
    np.testing.assert_array_equal(there, here)
    assert there.flags["C_CONTIGUOUS"]
    assert there.flags["WRITEABLE"]


def test_every_kind_of_pixels_fits_into_what_is_reserved_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded under the very limit that the header gives, in a helper process."""
    side = 1500
    shade = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)  # quick to pack
    gray, deep = Image.fromarray(shade), np.repeat(shade[..., None], 4, axis=2).astype(np.uint16) * 257
    rgb = Image.merge("RGB", [gray] * 3)
    rgba = Image.merge("RGBA", [gray] * 4)
    files = [
        *(hostile.encode(np.asarray(image), "WEBP", method=0) for image in (rgb, rgba)),
        hostile.encode(np.asarray(rgba), "WEBP", method=0, lossless=True, quality=0),
        hostile.encode(np.asarray(rgb), "JPEG", progressive=True, subsampling=0),
        hostile.png(deep),
        # Read twice, for the lower bytes.
        *(hostile.png(deep[..., :count] >> 4) for count in (2, 3, 4)),
        *(hostile.tiff([deep[..., :count] >> 4], compression=8) for count in (3, 4)),
        *(hostile.tiff([page], [{274: 6}], compression=8) for page in (shade, deep[..., :3], deep)),
        hostile.tiff([shade.astype(np.float32) / 255], compression=8),
        hostile.tiff([shade.astype(np.int32) << 22], compression=8),
    ]
    # All of them in a helper process, whatever their header says.
    real = decode.image_headers.read

    def unbounded(data: bytes, kind: str, **options: int) -> decode.Header:
        header = real(data, kind, **options)
        return decode.Header(header.size, header.bytes_per_pixel, scans=header.scans, bounded=False)

    monkeypatch.setattr(decode.image_headers, "read", unbounded)
    for file in files:
        assert decode.decode(file, "a").shape == (side, side, 3)


def test_reasons_come_back(pool: DecodePool) -> None:
    assert "damaged or cut short" in str(ask(pool, WEBP[:-9]))
    assert "animation" in str(ask(pool, hostile.animated_webp()))
    assert "over the limit" in str(ask(pool, bombs.webp_uniform(16384, 16384)))


def test_memory_is_limited(pool: DecodePool) -> None:
    """And the process is as good as before."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system limits no process's memory")
    assert "needs more memory" in str(ask(pool, bombs.png_deep(4000, 4000), memory=1_000_000))
    assert "damaged" in str(ask(pool, bombs.webp_uniform(5000, 5000), memory=1_000_000))  # as libwebp says it
    assert isinstance(ask(pool, WEBP), np.ndarray)


def test_it_is_stopped_at_the_deadline() -> None:
    pool = DecodePool(1)
    ask(pool, WEBP)
    (before,) = pool.pids
    with pytest.raises(TooSlow):
        ask(pool, SLOW, seconds=0.2)
    assert gone(before)
    assert pool.pids == []
    assert isinstance(ask(pool, WEBP), np.ndarray)  # the place is free, a new process takes it
    pool.close()


def test_it_is_stopped_on_request() -> None:
    pool = DecodePool(1)
    seen: list[int] = []

    def cancel() -> bool:
        seen.extend(pool.pids)
        return len(seen) > 2

    with pytest.raises(Cancelled):
        ask(pool, SLOW, cancel=cancel)
    assert seen
    assert all(map(gone, seen))
    assert pool.pids == []


def test_who_waits_for_a_place_can_leave() -> None:
    pool = DecodePool(1)
    with pool.slot(), pytest.raises(Cancelled), pool.slot(lambda: True):
        pass


def test_one_that_was_ended_from_outside_is_replaced() -> None:
    pool = DecodePool(1)
    ask(pool, WEBP)
    (pid,) = pool.pids
    psutil.Process(pid).kill()
    assert isinstance(ask(pool, WEBP), np.ndarray)
    assert pool.pids != [pid]
    pool.close()


def test_one_that_dies_at_work_says_so() -> None:
    """As on a crash of a decoder: the server lives."""
    pool = DecodePool(1)

    def cancel() -> bool:
        for worker in pool._busy:
            if worker.began is not None:  # it has started
                psutil.Process(worker.pid).kill()
        return False

    with pytest.raises(WorkerDied):
        ask(pool, SLOW, cancel=cancel)
    assert pool.pids == []


def test_idle_ones_are_ended() -> None:
    before = set(psutil.Process().children())
    pool = DecodePool(1, idle_seconds=0.01)
    ask(pool, WEBP)
    # A helper is taken off the list a moment before it has ended and the system has forgotten it.
    deadline = time.monotonic() + 60
    while (pool.pids or set(psutil.Process().children()) - before) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert pool.pids == []
    assert not set(psutil.Process().children()) - before, "still there, or a zombie"


_PARENT = """
import os, sys, threading
from padim.data.decode_pool import DecodePool
pool = DecodePool(2)
data, slow = (open(name, "rb").read() for name in sys.argv[1:3])
ask = lambda data: pool.decode(data, pixels=10**8, memory=10**9, seconds=0.5)
ask(data)
threading.Thread(target=ask, args=(slow,), daemon=True).start()
ask(data)
print(*pool.pids, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "pool.close()"], ids=["killed", "closed"])
def test_they_end_with_their_parent(end: str, tmp_path: Path) -> None:
    """Idle ones at once, one at work at its deadline at the latest."""
    (tmp_path / "a").write_bytes(WEBP)
    (tmp_path / "b").write_bytes(SLOW)
    command = [sys.executable, "-c", _PARENT + end, str(tmp_path / "a"), str(tmp_path / "b")]
    ended = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    pids = [int(pid) for pid in ended.stdout.split()]
    assert pids
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(60)


def test_libraries_complaints_do_not_reach_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff and Pillow print a line for each oddity of a file, the first past Python's own streams."""
    packed = hostile.tiff([np.zeros((64, 64, 3), np.uint8)], compression=8)
    for at in range(8, len(packed), 7):
        damaged = packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :]
        with contextlib.suppress(ImageError):
            decode.decode(damaged, "a")
    for file in (bombs.jpeg_with_exif(1000), bombs.png_with_exif(1000), bombs.tiff_of_tags(1000)):
        decode.decode(file, "a")
    assert capfd.readouterr() == ("", "")


def test_a_forked_process_has_helpers_of_its_own() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = """
import os, sys
from padim.data.decode_pool import shared_pool
pool = shared_pool()
ask = lambda: shared_pool().decode(open(sys.argv[1], "rb").read(), pixels=100, memory=10**8, seconds=60.0)
ask()
child = os.fork()
if not child:
    fresh = shared_pool() is not pool and shared_pool().pids == []
    ask()
    shared_pool().close()
    os._exit(0 if fresh else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ask()
print(len(pool.pids))
"""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".webp") as file:
        file.write(WEBP)
        file.flush()
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, file.name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert found.stdout.strip() == "1"


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_ctrl_c_ends_the_decoding_and_its_helper(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SLOW)
    # Started by a shell in the background, the tests themselves ignore the signal, and children inherit that.
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from padim.data.decode_pool import shared_pool
busy = lambda: print(*shared_pool().pids, flush=True) is not None  # asked over and over while it waits
shared_pool().decode(open(sys.argv[1], "rb").read(), pixels=10**8, memory=10**9, seconds=60.0, cancel=busy)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        helper = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert gone(helper)
