"""Formatting of numbers for people: a re-export of :mod:`padim.text`, which the command line uses too."""

from padim.text import count, in_hundred, megabytes, multiple, percent, ratio, runs_on, share_of, size

__all__ = [
    "count",
    "in_hundred",
    "megabytes",
    "multiple",
    "percent",
    "ratio",
    "runs_on",
    "share_of",
    "size",
]
