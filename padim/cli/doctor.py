"""The ``doctor`` command: check files for damage, and list stopped fits and leftover temporary files."""

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
# Undamaged items are listed one by one up to this number of one kind, and counted above it.
_EACH = 8


def doctor(
    terminal: Terminal,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Workspaces, models, exported scorers, or folders of them. Default: the app's workspace "
            "(PADIM_HOME) and the network cache (PADIM_CACHE).",
        ),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Remove temporary files of killed processes. Models, fits that can be resumed and files of "
            "other programs are never touched.",
        ),
    ] = False,
) -> None:
    """Check models, working files, caches and exported scorers for damage.

    Every file is read and checked against the hashes that were written with it. Fits and scorings that were
    stopped are listed with the command that resumes them. Nothing is changed without [b]--sweep[/].

    Exit codes: 0 nothing damaged · 1 something is damaged · 2 an error.
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
                raise PadimError(f"{root}: PADIM_HOME does not name a folder")
            found += engine.cache()
    removed = engine.sweep(found.leftovers) if sweep else []
    terminal.result(_document(found, removed, swept=sweep), *_shown(found, removed, swept=sweep))
    if found.damaged:
        raise typer.Exit(1)


def _document(found: Diagnosis, removed: list[Leftover], *, swept: bool) -> dict[str, Any]:
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
        "bin": {"models": len(found.in_bin), "bytes": found.in_bin_bytes},
        "removed": [{"path": str(one.path), "bytes": one.bytes} for one in removed] if swept else None,
    }


def _shown(found: Diagnosis, removed: list[Leftover], *, swept: bool) -> list[Any]:
    from padim.text import count, megabytes

    renderables: list[Any] = []
    table = columns([("what", False), ("where", False), ("", False)])
    # Damaged items come first; many undamaged ones of a kind share one line.
    for one in found.damaged:
        state = f"[bold red]{summary.plain(one.problem)}[/]; {summary.plain(one.remedy)}"
        table.add_row(one.kind, summary.plain(one.path), state)
    intact = [one for one in found.checked if not one.problem]
    numbers = Counter(one.kind for one in intact)
    for kind, number in numbers.items():
        if number > _EACH:
            table.add_row(kind, f"{number}", "[green]intact[/]")
    for one in intact:
        if numbers[one.kind] <= _EACH:
            table.add_row(one.kind, summary.plain(one.path), "[green]intact[/]")
    if found.checked:
        renderables.append(titled("Checked", table))
    if found.stopped or found.scorings:
        renderables += ["", _stopped(found)]
    if found.leftovers:
        renderables += ["", _left(found, removed, swept=swept)]
    if found.in_bin:
        size = megabytes(found.in_bin_bytes)
        renderables += [
            "",
            f"In the bin: {count(len(found.in_bin), 'deleted model')}, {size}; `padim bin` lists them",
        ]
    damaged = len(found.damaged)
    text = f"[bold red]{damaged} damaged[/]" if damaged else "[green]all intact[/]"
    return [*renderables, "", f"{count(len(found.checked), 'item')} checked: {text}"]


def _stopped(found: Diagnosis) -> Any:
    table = columns([("what", False), ("done", True), ("started", False), ("to resume", False)])
    for fit in found.stopped:
        done = f"{fit.done}" if fit.total is None else f"{fit.done} of {fit.total}"
        if fit.resume_command:
            remedy = fit.resume_command
        elif fit.model_id is not None:
            remedy = "resume or discard it on the app's Models page"
        else:
            remedy = "run the same fit command with --resume, or with --force to discard it"
        table.add_row(summary.plain(fit.name), done, f"{fit.begun:%Y-%m-%d %H:%M}", summary.plain(remedy))
    for scoring in found.scorings:
        remedy = "run the same score command with --resume, or with --force to discard it"
        table.add_row(summary.plain(scoring.folder), str(scoring.done), "", remedy)
    return titled("Stopped; --force instead of --resume discards it", table)


def _left(found: Diagnosis, removed: list[Leftover], *, swept: bool) -> Any:
    from padim.text import count, megabytes

    listed = removed if swept else found.leftovers
    table = columns([("temporary file", False), ("size", True)])
    for one in listed[:_SHOWN]:
        table.add_row(summary.plain(one.path), megabytes(one.bytes))
    if len(listed) > _SHOWN:
        table.add_row(f"and {len(listed) - _SHOWN} others", "")
    size = megabytes(sum(one.bytes for one in listed))
    what = count(len(listed), "temporary file")
    return titled(f"Removed {what}, {size}" if swept else f"Left by killed processes: {what}, {size}", table)
