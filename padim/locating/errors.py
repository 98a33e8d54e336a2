"""Errors of locating the part in an image."""

from __future__ import annotations

from padim.errors import PadimError

__all__ = ["LocatingError", "PartNotFound"]


class LocatingError(PadimError):
    """The reference part, or a place marked on it, cannot be used for locating; the message says why."""


class PartNotFound(PadimError):
    """The part was not found in an image; the message says why, as the end of "part not found: ...".

    It is an outcome of scoring, not a failure: the image gets a verdict of its own.
    """
