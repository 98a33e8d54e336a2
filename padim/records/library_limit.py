"""The largest size of a model's image library, ``PADIM_LIBRARY_LIMIT`` (gigabytes, default 4)."""

from __future__ import annotations

from padim import settings

VARIABLE = "PADIM_LIBRARY_LIMIT"


def current() -> int:
    """Return the limit in bytes.

    Raises:
        PadimError: the setting is not a positive number.
    """
    return round(settings.current().library_limit * 1e9)
