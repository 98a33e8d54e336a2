"""``doctor``: whether what is on disk is whole, what was stopped, and what killed processes have left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.doctor import Diagnosis
    from padim.storage.leftovers import Leftover

_SHOWN = 30
# More of a kind than this are not shown one by one where they are whole.
_EACH = 8


def doctor(
    terminal: Terminal,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Workspaces, models, exported scorers, or folders of them. By default the app's workspace "
            "(PADIM_HOME) and the cache of networks (PADIM_CACHE).",
        ),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Remove temporary files of killed processes. Models, fits to go on with and files that are "
            "not this program's are never touched.",
        ),
    ] = False,
) -> None:
    """Check that models, working files, caches and exported scorers are whole.

    Every file is read and held against the hashes that were written with it. Fits and scorings that were
    stopped are listed with the command that goes on with them. Nothing is changed without [b]--sweep[/].

    Exit codes: 0 all whole · 1 something is damaged · 2 an error.
    """
    from padim import doctor as engine

    found = engine.Diagnosis()
    with terminal.progress() as progress:
        if paths:
            for path in paths:
                found += engine.examine(path, progress)
        else:
            from padim.installation import is_named, workspace_folder

            root = workspace_folder()
            if root.is_dir():
                from padim.storage.model_folders import ModelFolders

                found += engine.workspace(ModelFolders(root), progress)
            elif is_named():
                raise PadimError(f"{root}: PADIM_HOME names no folder")
            found += engine.cache()
    gone = engine.sweep(found.leftovers) if sweep else []
    terminal.result(_document(found, gone, swept=sweep), *_shown(found, gone, swept=sweep))
    if found.damaged:
        raise typer.Exit(1)


def _document(found: Diagnosis, gone: list[Leftover], *, swept: bool) -> dict[str, Any]:
    return {
        "damaged": len(found.damaged),
        "checked": [
            {
                "path": str(one.path),
                "kind": one.kind,
                "problem": one.problem or None,
                "remedy": one.remedy or None,
            }
            for one in found.checked
        ],
        "stopped_fits": [
            {
                "name": fit.name,
                "folder": str(fit.folder),
                "done": fit.done,
                "of": fit.total,
                "begun": fit.begun.isoformat(),
                "resume": fit.resume_command or None,
            }
            for fit in found.stopped
        ],
        "stopped_scorings": [{"folder": str(one.folder), "scored": one.done} for one in found.scorings],
        "leftovers": [{"path": str(one.path), "bytes": one.bytes} for one in found.leftovers],
        "removed": [{"path": str(one.path), "bytes": one.bytes} for one in gone] if swept else None,
    }


def _shown(found: Diagnosis, gone: list[Leftover], *, swept: bool) -> list[Any]:
    from padim.text import count

    shown: list[Any] = []
    table = columns([("what", False), ("where", False), ("", False)])
    # What is damaged stands first; many that are whole are one line.
    for one in found.damaged:
        state = f"[bold red]{summary.plain(one.problem)}[/]; {summary.plain(one.remedy)}"
        table.add_row(one.kind, summary.plain(one.path), state)
    whole = [one for one in found.checked if not one.problem]
    numbers = Counter(one.kind for one in whole)
    for kind, number in numbers.items():
        if number > _EACH:
            table.add_row(kind, f"{number}", "[green]whole[/]")
    for one in whole:
        if numbers[one.kind] <= _EACH:
            table.add_row(one.kind, summary.plain(one.path), "[green]whole[/]")
    if found.checked:
        shown.append(titled("Checked", table))
    if found.stopped or found.scorings:
        shown += ["", _stopped(found)]
    if found.leftovers:
        shown += ["", _left(found, gone, swept=swept)]
    damaged = len(found.damaged)
    text = f"[bold red]{damaged} damaged[/]" if damaged else "[green]all whole[/]"
    return [*shown, "", f"{count(len(found.checked), 'thing')} checked: {text}"]


def _stopped(found: Diagnosis) -> Any:
    table = columns([("what", False), ("done", True), ("begun", False), ("to go on", False)])
    for fit in found.stopped:
        done = f"{fit.done}" if fit.total is None else f"{fit.done} of {fit.total}"
        if fit.resume_command:
            remedy = fit.resume_command
        elif fit.model_id is not None:
            remedy = "resume or discard it on the app's Home page"
        else:
            remedy = "give the same fit command again with --resume, or with --force to discard it"
        table.add_row(summary.plain(fit.name), done, f"{fit.begun:%Y-%m-%d %H:%M}", summary.plain(remedy))
    for scoring in found.scorings:
        remedy = "give the same score command again with --resume, or with --force to discard it"
        table.add_row(summary.plain(scoring.folder), str(scoring.done), "", remedy)
    return titled("Stopped; --force in place of --resume discards", table)


def _left(found: Diagnosis, gone: list[Leftover], *, swept: bool) -> Any:
    from padim.text import count, megabytes

    listed = gone if swept else found.leftovers
    table = columns([("temporary", False), ("size", True)])
    for one in listed[:_SHOWN]:
        table.add_row(summary.plain(one.path), megabytes(one.bytes))
    if len(listed) > _SHOWN:
        table.add_row(f"and {len(listed) - _SHOWN} others", "")
    size = megabytes(sum(one.bytes for one in listed))
    what = count(len(listed), "temporary file")
    return titled(f"Removed {what}, {size}" if swept else f"Left by killed processes: {what}, {size}", table)
