"""The ``export`` command: write a model as one file, or as a folder, for other programs."""

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
    """File formats of an exported model."""

    onnx = "onnx"
    npz = "npz"
    folder = "folder"


class OutputType(StrEnum):
    """Types of the level map in an exported graph."""

    uint16 = "uint16"
    float32 = "float32"


def export(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file or folder to write.")
    ],
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="[b]onnx[/]: one graph from images to level map and score; [b]npz[/]: mean, inverse "
            "covariance, channels and normalization, with the network in a second file; [b]folder[/], for "
            "models that locate the part: a graph with a script that finds the part. Default: by the "
            "extension of FILE.",
        ),
    ] = None,
    output_type: Annotated[
        OutputType,
        typer.Option(
            "--output-type",
            help="ONNX: type of the level map that the graph returns. [b]float32[/] has the same values and "
            "uses only types that TensorRT knows, which has no uint16.",
        ),
    ] = OutputType.uint16,
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing files; write an .npz of any size.")
    ] = False,
) -> None:
    """Write a model for other programs.

    An ONNX file needs nothing but onnxruntime: it takes uint8 images and returns level maps and scores; the
    threshold, the scale and the names are in its metadata. A model that locates the part is written as a
    folder, with a script that needs numpy, OpenCV and onnxruntime.
    """
    if format is None:
        try:
            format = Format(output.suffix.lower().removeprefix(".") or "folder")
        except ValueError:
            raise PadimError(f"{output}: its name ends in neither .onnx nor .npz; give --format") from None
    if format is Format.folder:
        _export_folder(terminal, path, output, output_type, force=force)
        return
    if format is Format.npz and output_type is OutputType.float32:
        raise PadimError("--output-type applies to ONNX files; leave it out for an .npz")
    if output.is_dir():
        raise PadimError(f"{output}: is a folder; give the name of a file")
    network = [output.with_name(f"{output.stem}_backbone.onnx")] if format is Format.npz else []
    for place in (output, *network):
        if place.exists() and not force:
            raise PadimError(f"{place}: already exists; choose another name or replace it with --force")
    if not output.absolute().parent.is_dir():
        raise PadimError(f"{output.parent}: this folder does not exist; create it first")
    from padim.model import Padim
    from padim.output import export as exporting
    from padim.text import megabytes

    model = Padim.load(path)
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; the exported model's verdicts mean nothing")
    with terminal.progress() as progress:
        progress(0, None, "Writing")
        if format is Format.onnx:
            written = exporting.export_onnx(
                model, output, name=path.resolve().name, output_type=output_type.value
            )
        else:
            written = exporting.export_npz(model, output, force=force)
    # A graph over 2 GB keeps its weights in a second file; the two belong together.
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

        # Read back from disk, so that the hash is that of the file as written.
        document["sha256"] = digest(written)
    rows = [
        ("file" if place == written else "and", f"{summary.plain(place)}, {megabytes(place.stat().st_size)}")
        for place in (written, *beside)
    ]
    if "sha256" in document:
        rows.append(("SHA-256", f"{document['sha256']}, of the file with these digits set to zero"))
    terminal.result(document, facts(rows, "Exported"))


def _export_folder(
    terminal: Terminal, path: Path, output: Path, output_type: OutputType, *, force: bool
) -> None:
    from padim.model import Padim
    from padim.output.aligned_export import export_folder
    from padim.output.scorer_seal import digest
    from padim.text import megabytes

    model = Padim.load(path)
    if model.config.align is None and not output.suffix:
        raise PadimError(f"{output}: its name ends in neither .onnx nor .npz; give --format")
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; the exported model's verdicts mean nothing")
    with terminal.progress() as progress:
        progress(0, None, "Writing")
        written = export_folder(
            model, output, name=path.resolve().name, force=force, output_type=output_type.value
        )
    files = sorted(file for file in written.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    document: dict[str, Any] = {
        "model": str(path),
        "folder": str(written),
        "files": [file.relative_to(written).as_posix() for file in files],
        "format": Format.folder.value,
        "bytes": size,
        "sha256": digest(written / "model.onnx"),
    }
    rows = [
        ("folder", f"{summary.plain(written)}, {megabytes(size)}"),
        ("to try", f"python {summary.plain(written / 'inspect_images.py')} MASKS IMAGE ..."),
        ("SHA-256", f"{document['sha256']}, of model.onnx with these digits set to zero"),
    ]
    terminal.result(document, facts(rows, "Exported"))
