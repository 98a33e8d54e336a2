"""Puts the web application inside the package, for a wheel.

So a wheel installs no top-level ``pages`` or ``ui``. A checkout that is installed in editable mode keeps the
application where it is: a copy of it would only go stale.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

APPLICATION = ("app.py", "home.py", "pages", "ui", "sample_data", ".streamlit")


class ApplicationHook(BuildHookInterface):
    """Called by hatchling before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the application's files; ``version`` is ``standard`` or ``editable``."""
        if version == "standard":
            build_data["force_include"].update({name: f"padim/application/{name}" for name in APPLICATION})
