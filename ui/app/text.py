"""Numbers in a quality engineer's words: the engine's, which the shell uses too."""

from padim.text import count, in_hundred, megabytes, multiple, ratio, runs_on, share_of, size

__all__ = [
    "count",
    "in_hundred",
    "megabytes",
    "multiple",
    "ratio",
    "runs_on",
    "share_of",
    "size",
]
