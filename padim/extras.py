"""Optional parts of the installation: check whether they are installed, and messages for missing ones.

The package installs without PyTorch, which is by far the largest part and serves three purposes only:
converting a pretrained network other than the default one, training (some methods, and ``adapt``), and
reading files of weights. The web application is an extra of its own.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import ModuleSpec
from typing import Literal

from padim.errors import MissingExtraError

DISTRIBUTION = "padim-inspection"
Extra = Literal["app", "torch", "service", "sinks"]
# Seconds for which it is remembered whether a package is installed. Python looks it up under a lock that
# every import takes, and a page with a menu of networks asks for it a hundred times.
_REMEMBERED_S = 10.0


def installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return specification(package) is not None


def specification(package: str) -> ModuleSpec | None:
    """Return where a package would be imported from, remembered for some seconds; None if it is missing."""
    return _specification(package, importlib.util.find_spec, int(time.monotonic() / _REMEMBERED_S))


@lru_cache(maxsize=64)
def _specification(package: str, find: Callable[[str], ModuleSpec | None], _moment: int) -> ModuleSpec | None:
    try:
        return find(package)
    except (ImportError, ValueError):
        # ValueError: a loaded module of that name has no specification, as in some notebooks.
        return None


def install_command(extra: Extra) -> str:
    """Return the command that installs an extra, for a wheel and for a checkout alike."""
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def missing_torch(subject: str) -> str:
    """Return the message that ``subject`` needs PyTorch, with the command to install it."""
    return f"{subject} needs PyTorch, which is not installed; run: {install_command('torch')}"


def require_torch(subject: str) -> None:
    """Raise an error if PyTorch is not installed.

    Args:
        subject: what needs PyTorch; it begins the message.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    if not installed("torch"):
        raise MissingExtraError(missing_torch(subject))
