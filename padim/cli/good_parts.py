"""Open images of good parts for the commands that fit on them, and ask which folder is meant."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from padim.cli.terminal import Terminal
from padim.errors import LabeledInputError

if TYPE_CHECKING:
    from padim.data.sources import Source

# Number of folders that are listed.
_MOST = 30


def good_parts_at(
    terminal: Terminal, path: Path, folder: str | None, labeled: tuple[str, str] | None = None
) -> Source:
    """Open a folder or a zip with images of good parts.

    If its names say that it is labelled data, the folders in it are printed with the command line for the
    likeliest one, and the command ends with the exit code of other refusals.

    Args:
        terminal: for the question.
        path: a folder or a zip.
        folder: the folder in it to use; ``.`` for all of it, whatever names say; None if none was given.
        labeled: words of the command line that use all of it as labelled data; None if there are none.

    Raises:
        PadimError: there are no images, or no such folder.
        typer.Exit: it is labelled data.
    """
    from padim.data.account import nothing_to_read
    from padim.data.opening import open_source
    from padim.data.sub_folder import check_source, in_folder

    source: Source = open_source(path)
    if not len(source):
        for _ in source:  # completes the account of what is there
            pass
        raise nothing_to_read(str(path), source, "give a folder or a zip with images of good parts")
    try:
        if folder is not None:
            source = in_folder(source, folder, str(path))
        check_source(source, str(path))
    except LabeledInputError as error:
        _ask(terminal, error, folder, labeled)
        raise typer.Exit(2) from error
    return source


def _ask(
    terminal: Terminal, error: LabeledInputError, chosen: str | None, labeled: tuple[str, str] | None
) -> None:
    above = "" if chosen is None else chosen.strip("/\\").replace("\\", "/")
    within = f"{above}/" if above not in ("", ".") else ""
    folders = [(within + folder if folder != "." else above or ".", n) for folder, n in error.folders]
    said = "; ".join(error.signs[:3]) + (" …" if len(error.signs) > 3 else "")
    likely = folders[0][0] if error.proposed is not None else "FOLDER"
    meaning = "to fit on one folder" if likely == "FOLDER" else f"to fit on {likely}"
    commands = [(meaning, _again(terminal, likely))]
    if labeled is not None and likely != "FOLDER":
        commands.append(
            ("and to use the labels of all of it", _again(terminal, likely) + " " + shlex.join(labeled))
        )
    if not within:
        commands.append(("if every image shows a good part", _again(terminal, ".")))
    terminal.question(
        f"{error.given}: holds more than good parts ({said}). Which folder holds the good parts to fit on?",
        [(folder, f"{n:,}") for folder, n in folders[:_MOST]],
        len(folders) - _MOST,
        commands,
    )


def _again(terminal: Terminal, folder: str) -> str:
    """Return the command line that was given, with another folder."""
    program = [Path(sys.executable).stem, "-m", "padim"] if sys.argv[0].endswith(".py") else ["padim"]
    words = list(terminal.arguments)
    while "--folder" in words:
        at = words.index("--folder")
        del words[at : at + 2]
    return shlex.join([*program, *words, "--folder", folder])
