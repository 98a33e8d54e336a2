"""The reason why an image is not used, before the image's name is known."""

from __future__ import annotations


class Refusal(Exception):
    """Raised with the reason why an image is not used; `decode` turns it into an ImageError with the name."""
