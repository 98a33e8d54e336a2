"""The optional parts of the installation: whether they are here, and what to say where one is missing.

The package installs without PyTorch, which is by far the largest part and serves three purposes only: to
convert another pretrained network than the default one, to train (the methods that do, and ``adapt``), and to
read files of weights. The web application is an extra of its own.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

from padim.errors import MissingExtraError

DISTRIBUTION = "padim-inspection"
Extra = Literal["app", "torch"]


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        # ValueError: a module of that name without a specification is loaded, as in some notebooks.
        return False


def install_command(extra: Extra) -> str:
    """The command that brings an extra, for a wheel and for a checkout alike."""
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def missing_torch(subject: str) -> str:
    """One sentence that says what needs PyTorch, and what to run."""
    return f"{subject} needs PyTorch, which is not installed; run: {install_command('torch')}"


def require_torch(subject: str) -> None:
    """Make sure that PyTorch can be imported.

    Args:
        subject: what needs it; begins the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    if not installed("torch"):
        raise MissingExtraError(missing_torch(subject))
