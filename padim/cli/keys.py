"""The ``keys`` commands: keys with which programs use the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from padim.cli import summary
from padim.cli.command import command
from padim.cli.saving import login_name
from padim.cli.terminal import Terminal, columns, titled

if TYPE_CHECKING:
    from padim.records.api_keys import ApiKey

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make, list and revoke the keys with which programs use the service of the workspace (PADIM_HOME).",
)

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The program that uses the key, such as 'line 3'.")
]


@command(keys, "add")
def add_key(
    terminal: Terminal,
    name: _Name,
    who: Annotated[
        str | None, typer.Option("--who", metavar="NAME", help="Name on record; default: the login name.")
    ] = None,
) -> None:
    """Make a key and print it: it is shown this once, as only its hash is kept."""
    from padim.installation import workspace_folder
    from padim.records.api_keys import ApiKeys
    from padim.text import one_line

    key = ApiKeys(workspace_folder()).add(name, who or login_name())
    shown = one_line(name, 80)
    if terminal.quiet and not terminal.json:
        typer.echo(key)  # it cannot be had a second time
    terminal.result(
        {"name": shown, "key": key},
        f"Key of {summary.plain(shown)}, shown this once:",
        key,
        "Programs send it as: Authorization: Bearer KEY",
    )


@command(keys, "list")
def list_keys(terminal: Terminal) -> None:
    """List the keys by name; the keys themselves are not kept."""
    from padim.installation import workspace_folder
    from padim.records.api_keys import ApiKeys

    root = workspace_folder()
    found = ApiKeys(root).all()
    table = columns([("key", False), ("made", False), ("by", False), ("revoked", False)])
    for one in found:
        row = _document(one)
        table.add_row(summary.plain(one.name), row["made"], summary.plain(one.who), row["revoked"] or "")
    shown = titled(f"Keys of {summary.plain(str(root))}", table) if found else "There are no keys"
    terminal.result({"workspace": str(root), "keys": [_document(one) for one in found]}, shown)


@command(keys, "revoke")
def revoke_key(terminal: Terminal, name: _Name) -> None:
    """Make a key invalid; a running service refuses it within a few seconds."""
    from padim.installation import workspace_folder
    from padim.records.api_keys import ApiKeys

    key = ApiKeys(workspace_folder()).revoke(name)
    terminal.result(_document(key), f"The key of {summary.plain(key.name)} is revoked")


def _document(key: ApiKey) -> dict[str, str | None]:
    return {
        "name": key.name,
        "made": key.made.isoformat(timespec="seconds"),
        "who": key.who,
        "revoked": None if key.revoked is None else key.revoked.isoformat(timespec="seconds"),
    }
