"""``export``: a model as one file for other programs."""

from __future__ import annotations

from enum import StrEnum
from glob import escape as glob_escape
from pathlib import Path
from typing import Annotated, Any

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, facts
from padim.errors import PadimError


class Format(StrEnum):
    """What to write."""

    onnx = "onnx"
    npz = "npz"


def export(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="[b]onnx[/]: one graph from images to judged map and score; [b]npz[/]: mean, inverse "
            "covariance, channels and normalisation, with the network beside it. By default what FILE's name "
            "says.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there; write an .npz however large.")
    ] = False,
) -> None:
    """Write a model as one file for other programs.

    An ONNX file needs only onnxruntime to be used: uint8 images in, judged map and score out; threshold,
    scale and names are in its metadata.
    """
    if format is None:
        try:
            format = Format(output.suffix.lower().removeprefix("."))
        except ValueError:
            raise PadimError(f"{output}: its name ends in neither .onnx nor .npz; say --format") from None
    if output.is_dir():
        raise PadimError(f"{output}: is a folder; give a file")
    network = [output.with_name(f"{output.stem}_backbone.onnx")] if format is Format.npz else []
    for place in (output, *network):
        if place.exists() and not force:
            raise PadimError(f"{place}: is there already; choose another name or replace it with --force")
    if not output.absolute().parent.is_dir():
        raise PadimError(f"{output.parent}: there is no such folder")
    from padim.model import Padim
    from padim.output import export as exporting
    from padim.text import megabytes

    model = Padim.load(path)
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; what is exported means nothing")
    with terminal.progress() as progress:
        progress(0, None, "Writing")
        if format is Format.onnx:
            written = exporting.export_onnx(model, output, name=path.resolve().name)
        else:
            written = exporting.export_npz(model, output, force=force)
    # A graph over 2 GB has its numbers in a second file; the two belong together.
    beside = [*network, *sorted(output.parent.glob(f"{glob_escape(output.name)}.*.data"))]
    document: dict[str, Any] = {
        "model": str(path),
        "file": str(written),
        "beside": [str(place) for place in beside],
        "format": format.value,
        "bytes": written.stat().st_size,
    }
    if format is Format.onnx:
        from padim.output.scorer_seal import digest

        # Read back from the disk: what is told is what is there.
        document["sha256"] = digest(written)
    rows = [
        ("file" if place == written else "and", f"{summary.plain(place)}, {megabytes(place.stat().st_size)}")
        for place in (written, *beside)
    ]
    if "sha256" in document:
        rows.append(("SHA-256", f"{document['sha256']}, of the file with these digits as zeros"))
    terminal.result(document, facts(rows, "Exported"))
