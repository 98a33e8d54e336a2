"""Find the web application, the sample data and the workspace, in a checkout or an installed wheel.

In a checkout ``app.py``, ``pages``, ``ui`` and ``sample_data`` are beside the package. A wheel has them in
``padim/application``, so that only ``padim`` is installed at the top level. That folder belongs to the
installation; the user's models are stored in the user's data folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "application"


def is_installed() -> bool:
    """Return whether this package was installed from a wheel; False in a checkout, also in editable mode."""
    return (_INSTALLED / "app.py").is_file()


def application_folder() -> Path:
    """Return the folder with ``app.py``, ``pages``, ``ui`` and ``sample_data``."""
    return _INSTALLED if is_installed() else _PACKAGE.parent


def _named() -> str:
    return os.environ.get("PADIM_HOME", "").strip()


def is_named() -> bool:
    """Return whether the user has set the workspace's folder with ``PADIM_HOME``."""
    return bool(_named())


def workspace_folder() -> Path:
    """Return the folder of models: ``PADIM_HOME``, ``workspace`` in a checkout, or the user's data folder."""
    if is_named():
        return Path(_named()).expanduser().resolve()
    if is_installed():
        return Path(platformdirs.user_data_dir("padim", appauthor=False))
    return application_folder() / "workspace"
