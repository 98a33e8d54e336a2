"""Build hook that puts the web application inside the package when a wheel is built.

So a wheel installs no top-level packages ``pages`` and ``ui``. An editable install uses the application in
the checkout, as a copy would become outdated.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

APPLICATION = ("app.py", "home.py", "pages", "ui", "sample_data", ".streamlit")


class ApplicationHook(BuildHookInterface):
    """Hook that hatchling calls before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the application's files to a ``standard`` wheel; an ``editable`` one (``version``) has none."""
        if version == "standard":
            build_data["force_include"].update({name: f"padim/application/{name}" for name in APPLICATION})
