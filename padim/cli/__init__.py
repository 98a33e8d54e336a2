"""The command line. ``padim --help`` loads no network, no arrays and no images."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from padim.cli.app import app
        from padim.network.allocation import keep_freed_memory

        keep_freed_memory()
        app(prog_name="padim" if Path(sys.argv[0]).stem == "padim" else "python -m padim")
    except KeyboardInterrupt:
        sys.exit(130)


__all__ = ["main"]
