"""The ``restore`` command: bring the workspace back from its backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, facts


def restore(
    terminal: Terminal,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Replace what is in the workspace. It is moved to the bin (bin/replaced-...), as a "
            "workspace of its own, and kept for 30 days.",
        ),
    ] = False,
) -> None:
    """Bring the workspace (PADIM_HOME) back from a backup.

    Everything is unpacked and compared with its hashes before anything is changed; if something fails, the
    workspace is as it was. A workspace that is not empty is refused without [b]--replace[/], as is one in
    which a model is being changed.
    """
    from padim.installation import workspace_folder
    from padim.records.restore import restore_backup

    root = workspace_folder()
    with terminal.progress() as progress:
        report = restore_backup(file, root, replace=replace, progress=progress)
    for note in report.notes:
        terminal.warn(note)
    document = {
        **summary.backup_document(file, report.index),
        "workspace": str(root),
        "replaced": None if report.replaced is None else str(report.replaced),
    }
    rows = [("restored to", summary.plain(str(root))), *summary.backup_facts(file, report.index)]
    if report.replaced is not None:
        rows.append(("before", f"{summary.plain(str(report.replaced))}, kept for 30 days"))
    terminal.result(document, facts(rows))
