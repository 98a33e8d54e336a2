"""Where the web application, the sample and the workspace lie: in a checkout, or in an installed wheel.

In a checkout ``app.py``, ``pages``, ``ui`` and ``sample_data`` lie beside the package. A wheel has them in
``padim/application``, so that nothing but ``padim`` is installed at the top level; that folder belongs to the
installation, and what the user makes goes to the user's own data folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "application"


def is_installed() -> bool:
    """Whether this package comes from a wheel; False in a checkout, installed in editable mode or not."""
    return (_INSTALLED / "app.py").is_file()


def application_folder() -> Path:
    """The folder with ``app.py``, ``pages``, ``ui`` and ``sample_data``."""
    return _INSTALLED if is_installed() else _PACKAGE.parent


def _named() -> str:
    return os.environ.get("PADIM_HOME", "").strip()


def is_named() -> bool:
    """Whether the user has named the workspace, with ``PADIM_HOME``."""
    return bool(_named())


def workspace_folder() -> Path:
    """Where models are kept: ``PADIM_HOME``; else ``workspace`` in a checkout, or the user's data folder."""
    if is_named():
        return Path(_named()).expanduser().resolve()
    if is_installed():
        return Path(platformdirs.user_data_dir("padim", appauthor=False))
    return application_folder() / "workspace"
