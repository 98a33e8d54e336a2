"""Numbers in a quality engineer's words: the engine's, which the shell uses too."""

from padim.text import count, false_rejects, in_hundred, megabytes, multiple, ratio, runs_on, share_of, size

__all__ = [
    "count",
    "false_rejects",
    "in_hundred",
    "megabytes",
    "multiple",
    "ratio",
    "runs_on",
    "share_of",
    "size",
]
