"""The ``backup`` command: write all that the workspace has to one file, while it is in use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, facts
from padim.errors import PadimError


def backup(
    terminal: Terminal,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The file to write, or an existing folder, in which it is named by date and time.",
        ),
    ],
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence",
            metavar="",
            help="Take the images and level maps that are kept with records too; they may be many.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: read a backup, and compare all with its hashes.")
    ] = False,
) -> None:
    """Write a backup of the workspace (PADIM_HOME) to one file, while it is in use.

    It has the records, the models with their versions, image libraries and features, comparisons, the file of
    settings and that of sinks. It is read back and compared with its hashes before it appears. Deleted models
    and uploads are not in it. [b]restore[/] brings it back.
    """
    from padim.installation import workspace_folder
    from padim.records.backup import make_backup, read_backup

    if check:
        with terminal.progress() as progress:
            index = read_backup(file, progress)
    else:
        if file.is_dir():
            file = file / f"padim-backup-{datetime.now(UTC):%Y%m%dT%H%M%S}.zip"
        if file.exists() and not force:
            raise PadimError(f"{file}: is there already; name another file or a folder, or give --force")
        with terminal.progress() as progress:
            index = make_backup(workspace_folder(), file, evidence=evidence, progress=progress)
    for sentence in index.left_out:
        terminal.warn(f"not in the backup: {sentence}")
    terminal.result(summary.backup_document(file, index), facts(summary.backup_facts(file, index)))
