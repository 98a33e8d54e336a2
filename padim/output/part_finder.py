"""Copies of padim's own modules that find the part, for the folder of an exported model.

The script in the folder imports them instead of repeating what they do, so that it finds the part exactly as
padim. They need numpy and OpenCV only; the settings, which padim checks with pydantic, are replaced by a
plain class. The copies form the package ``part_finder``, in which ``padim.locating.pose`` is
``part_finder.locating.pose``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from padim._version import __version__

__all__ = ["PACKAGE", "SCRIPT", "part_finder"]

PACKAGE, SCRIPT = "part_finder", "inspect_images.py"

_ROOT = Path(__file__).parents[1]
_TEMPLATES = Path(__file__).parent / "line_script"
# Modules that are copied from another file than their own.
_REPLACED = {"padim.locating.settings": _TEMPLATES / "plain_settings.py"}
# What the script imports; a locating method's own module is added.
_NEEDED = (
    "padim.decision.joint",
    "padim.locating.cut",
    "padim.locating.frame",
    "padim.locating.locator",
    "padim.locating.placement",
    "padim.locating.pose",
    "padim.locating.projection",
    "padim.locating.settings",
    "padim.locating.warp",
)
_OURS = re.compile(r"\bpadim\.(?=[a-z])")


def part_finder(method: str) -> dict[str, str]:
    """Return the script and the modules that it needs, as texts by their path in the folder.

    Args:
        method: the locating method: ``outline``, ``template`` or ``features``.
    """
    files = {SCRIPT: (_TEMPLATES / SCRIPT).read_text(encoding="utf-8")}
    waiting, seen = [*_NEEDED, f"padim.locating.{method}"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        text = _file(name).read_text(encoding="utf-8")
        waiting += _imports(text)
        files[f"{PACKAGE}/{'/'.join(name.split('.')[1:])}.py"] = _OURS.sub(f"{PACKAGE}.", text)
    for folder in {Path(name).parent for name in files if name.startswith(PACKAGE)} | {Path(PACKAGE)}:
        files[f"{folder.as_posix()}/__init__.py"] = f'"""Copied from padim {__version__} by its export."""\n'
    return dict(sorted(files.items()))


def _file(module: str) -> Path:
    return _REPLACED.get(module) or _ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _imports(text: str) -> Iterator[str]:
    """Yield the modules of padim that a module imports when it is run."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("padim."):
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _file(inner).is_file() else node.module
