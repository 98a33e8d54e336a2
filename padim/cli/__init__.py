"""The command line. ``python -m padim --help`` loads no network, no arrays and no pictures."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from padim.cli.app import app

        app(prog_name="python -m padim")
    except KeyboardInterrupt:
        sys.exit(130)


__all__ = ["main"]
