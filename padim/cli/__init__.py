"""The command-line interface. ``padim --help`` imports neither NumPy, nor a runtime, nor an image library."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command line and exit with its exit code; Ctrl-C exits with 130."""
    try:
        from padim.cli.app import app
        from padim.network.allocation import keep_freed_memory

        keep_freed_memory()
        app(prog_name="padim" if Path(sys.argv[0]).stem == "padim" else "python -m padim")
    except KeyboardInterrupt:
        sys.exit(130)


__all__ = ["main"]
