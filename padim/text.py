"""Format numbers and values as text for users, identically in the app and in the shell."""

from __future__ import annotations

import math
import reprlib

# Larger integers are described by their length; no setting and no count is that large.
LARGEST_NUMBER = 2**64

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = 6
_short.maxlevel = 3


def count(n: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun: "1 image", "12 images", "1,200 images"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def in_hundred(share: float, *, up: bool = False) -> str:
    """Format a share as a count: "5 in 100", or "4 in 1,000" below one in a hundred.

    Args:
        share: 0 to 1.
        up: whether to round up, for an upper bound.
    """
    # Rounded half up, as in the browser, which shows the same sentence.
    rounded = math.ceil if up else _half_up
    # Rounded to ten digits first: 0.07 * 100 is 7.000000000000001, which must not become 8.
    if share * 100 >= 0.995 or share <= 0:
        return f"{rounded(round(share * 100, 10))} in 100"
    return f"{max(1, rounded(round(share * 1000, 10)))} in 1,000"


def percent(share: float, *, up: bool = False) -> str:
    """Format a share in whole percent: "17 %", or in tenths below one percent: "0.4 %".

    Args:
        share: 0 to 1.
        up: whether to round up, for an upper bound.
    """
    rounded = math.ceil if up else _half_up
    if share * 100 >= 0.995 or share <= 0:
        return f"{rounded(round(share * 100, 10))} %"
    return f"{max(1, rounded(round(share * 1000, 10))) / 10:.1f} %"


def _half_up(number: float) -> int:
    return math.floor(number + 0.5)


def share_of(n: int, of: int, low: float, high: float) -> str:
    """Format a count with the interval of its share: "2 of 48 (0.5 to 14.3 %)"."""
    return f"{n:,} of {of:,} ({low * 100:.1f} to {high * 100:.1f} %)"


def megabytes(n_bytes: float) -> str:
    """Format a number of bytes: "850 kB", "12 MB", "1.4 GB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            value = n_bytes / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{max(1, round(n_bytes / 1e3))} kB"


def ratio(score: float, threshold: float) -> float | None:
    """Return score / threshold to two decimals, never rounded across 1; None for a threshold of 0.

    So a score just above the threshold is not shown as 1.00 beside a reject.
    """
    if threshold <= 0:
        return None
    exact = score / threshold
    return (math.ceil(exact * 100) if exact > 1 else math.floor(exact * 100)) / 100


def multiple(score: float, threshold: float) -> str:
    """Format a score as a multiple of the threshold: "1.24 ×"; "–" for a threshold of 0."""
    found = ratio(score, threshold)
    return "–" if found is None else f"{found:,.2f} ×"


def runs_on(provider: str, threads: int) -> str:
    """Format the device that runs the network: "CPU, 2 threads", "CPU, all cores", "CUDA".

    Args:
        provider: short name from :func:`padim.network.runtime.provider_in_use`.
        threads: number of CPU threads; 0 for all cores.
    """
    if provider != "cpu":
        known = {"cuda": "CUDA", "openvino": "OpenVINO", "directml": "DirectML", "coreml": "CoreML"}
        return known.get(provider, provider)
    return f"CPU, {count(threads, 'thread')}" if threads else "CPU, all cores"


def size(height_width: tuple[int, int]) -> str:
    """Format an image's size as width × height."""
    height, width = height_width
    return f"{width} × {height}"


def shown(value: object) -> str:
    """Return a value's repr, shortened, however large the value is."""
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        return f"a whole number of {value.bit_length():,} bits"
    try:
        return clipped(_short.repr(value), 200)
    except (ValueError, RecursionError):  # a nested number with more digits than Python converts to text
        return f"a {type(value).__name__}"


def clipped(text: str, most: int) -> str:
    """Return text as one line of at most ``most`` characters, with unprintable characters escaped."""
    short = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in short)


def one_line(text: str, most: int) -> str:
    """Return what somebody has typed as one line: unprintable characters dropped, spaces joined, cut."""
    kept = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text[: 16 * most])
    return " ".join(kept.split())[:most].rstrip()
