"""The largest size of a model's image library, ``PADIM_LIBRARY_LIMIT`` (gigabytes, default 4)."""

from __future__ import annotations

import math
import os

from padim.errors import PadimError

VARIABLE = "PADIM_LIBRARY_LIMIT"
DEFAULT = 4_000_000_000


def current() -> int:
    """Return the limit in bytes.

    Raises:
        PadimError: the setting is not a positive number.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return DEFAULT
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = math.nan
    if not (math.isfinite(gigabytes) and gigabytes > 0):
        raise PadimError(f"{VARIABLE} is '{given}'; give the gigabytes of a model's image library, such as 4")
    return round(gigabytes * 1e9)
