"""The ``settings`` command: list the settings of this installation, and say whether they can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, columns, titled

if TYPE_CHECKING:
    from padim.settings.table import SettingRow


def settings(
    terminal: Terminal,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether all settings can be used, and what is wrong.")
    ] = False,
    changed: Annotated[bool, typer.Option("--changed", help="List only settings that are set.")] = False,
) -> None:
    """List all settings of this installation: value, where it comes from, and default.

    A setting is a variable PADIM_... of the environment or a key of the file settings.yaml in the workspace
    (or of the file that PADIM_SETTINGS names); the environment takes precedence. Passwords are not shown.

    Exit codes: 0 all can be used · 2 one is misspelled or has a bad value.
    """
    from padim.network.runtime import threads, wanted_providers
    from padim.settings import file_path, unknown_variables
    from padim.settings.table import rows

    found = rows()
    threads()
    wanted_providers()
    for name in unknown_variables():
        terminal.warn(f"{name} is in the environment and is not a setting of this program")
    path = file_path()
    document = {
        "file": str(path),
        "file_exists": path.exists(),
        "settings": [_document(row) for row in found],
    }
    given = [row for row in found if not row.is_default]
    where = summary.plain(str(path)) if path.exists() else f"{summary.plain(str(path))} (does not exist)"
    if check:
        terminal.result(document, f"All settings can be used; {len(given)} set, file {where}")
        return
    shown = given if changed else found
    table = columns([("setting", False), ("value", False), ("from", False), ("default", False)])
    group = ""
    for row in shown:
        if row.group != group:
            group = row.group
            table.add_row(f"[bold]{group}[/]")
        table.add_row(
            f"  {row.name}",
            summary.plain(row.value),
            "" if row.is_default else row.source,
            "" if row.is_default else summary.plain(row.default),
        )
    terminal.result(document, titled(f"Settings, file {where}", table))


def _document(row: SettingRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "variable": row.variable,
        "group": row.group,
        "value": row.value,
        "source": row.source,
        "default": row.default,
        "accepted": row.accepted,
        "at_start": row.at_start,
        "description": row.description,
    }
