"""The settings in force as a table for people: value, where it comes from, default; secrets are hidden."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr

from padim.errors import PadimError
from padim.installation import workspace_folder
from padim.settings.fields import SettingGroup, Settings, about, in_environment, variable_of
from padim.settings.reading import current, file_path, set_in_file

__all__ = ["SettingRow", "rows"]

_HIDDEN = "set, not shown"


@dataclass(frozen=True)
class SettingRow:
    """One setting.

    Attributes:
        name: its key in the file of settings.
        variable: its variable of the environment.
        group: the heading under which it is listed.
        description: what it is, as a sentence.
        value: the value in force, with its unit, or what holds without one.
        source: where the value comes from: "environment", the file's name, or "default".
        default: the value that it has unless it is set.
        accepted: the values that are accepted.
        at_start: whether a change takes effect only when the program is started again.
    """

    name: str
    variable: str
    group: SettingGroup
    description: str
    value: str
    source: str
    default: str
    accepted: str
    at_start: bool

    @property
    def is_default(self) -> bool:
        """Whether it is not set."""
        return self.source == "default"


def rows() -> list[SettingRow]:
    """Return all settings in the order of their groups.

    Raises:
        PadimError: as :func:`padim.settings.current`.
    """
    found = current()
    path = file_path()
    try:
        in_file = set_in_file(path)
    except PadimError:
        # It has turned bad while this program runs, which :func:`padim.settings.problem` explains.
        in_file = {}
    table = [_row(name, getattr(found, name), in_file, path) for name in Settings.model_fields]
    groups = get_args(SettingGroup)
    return sorted(table, key=lambda row: groups.index(row.group))


def _row(name: str, value: Any, in_file: dict[str, Any], path: Path) -> SettingRow:
    note, field = about(name), Settings.model_fields[name]
    if in_environment(name):
        source = "environment"
    elif name in in_file:
        source = path.name
    else:
        source = "default"
    default = _text(name, field.default)
    shown = _text(name, value)
    if source == "default" and name == "home":
        shown = str(workspace_folder())
    if source == "default" and name == "settings" and path.exists():
        shown = str(path)
    return SettingRow(
        name,
        variable_of(name),
        note.group,
        field.description or "",
        shown,
        source,
        default,
        note.must_be,
        note.at_start,
    )


def _text(name: str, value: Any) -> str:
    """Return a value as text, with its unit; what holds where there is none."""
    note = about(name)
    if value is None or value == () or (value == 0 and note.unset and not isinstance(value, bool)):
        return note.unset
    if note.secret or isinstance(value, SecretStr):
        return _HIDDEN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    if isinstance(value, int | float):
        number = f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"
        return f"{number} {note.unit}".rstrip()
    return str(value)
