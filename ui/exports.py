"""Downloads that the pages offer: results as CSV, four-panel images as ZIP, the model as an ONNX scorer."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from padim.storage.leftovers import ScratchFolder

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.output.scorer_graph import OutputType
    from padim.storage.model_folders import Entry
    from ui.inspect import Row
    from ui.scoring import Pile

# Bytes. A download is held in memory, and browsers do not resume one: write larger scorers from the shell.
LARGEST_SCORER = 500_000_000


def csv_bytes(
    rows: Sequence[Row], model: Padim, entry: Entry, level: int | None, pile: Pile | None = None
) -> bytes:
    """Return a UTF-8 CSV table of scored images, and of the files that were not used.

    Args:
        rows: the scored images, in the order of the table.
        model: the model that scored them.
        entry: the saved model, whose name and id the table states.
        level: the threshold as a level of the level map; None leaves the verdict columns empty.
        pile: the images that the rows are of; the table ends with its files that were not used.
    """
    from padim.output.inspection_files import results_csv

    return results_csv(
        (row.item for row in rows),
        model,
        name=entry.name,
        identity=entry.id,
        revision=entry.revision,
        level=level,
        refused=() if pile is None else pile.failed,
        passed_over=() if pile is None else pile.passed_over,
    )


def zip_of_panels(rows: Iterable[Row], model: Padim, level: int, *, colormap: str, opacity: float) -> bytes:
    """Return a ZIP archive with a strip of four panels for every row.

    It is built in memory, because Streamlit keeps a download in memory whatever it is given.
    """
    from padim.output.inspection_files import panels_zip

    images = ((row.item, row.item.file.read_bytes()) for row in rows)
    return panels_zip(images, model, level, colormap=colormap, opacity=opacity)


def scorer_hindrance(entry: Entry) -> str | None:
    """Return the reason why a model cannot be downloaded as a scorer, or None if it can."""
    from padim.scoring_identity import scoring_bytes

    if not entry.manifest.get("threshold"):
        return "The model has no threshold yet. Set one on the Calibrate page."
    # The bundle and the scorer store the same arrays, so the manifest states the scorer's size too.
    if scoring_bytes(entry.manifest) > LARGEST_SCORER:
        return "It is too large to download. Write it on the server with python -m padim export."
    return None


def locates(entry: Entry) -> bool:
    """Return whether a model locates the part, so that its scorer is a folder."""
    return not entry.broken and entry.manifest.get("config", {}).get("align") is not None


def scorer_folder_bytes(entry: Entry, output_type: OutputType = "uint16") -> bytes:
    """Return a model that locates the part as a ZIP of :func:`padim.output.aligned_export.export_folder`.

    Args:
        entry: the saved model.
        output_type: type of the level map.

    Raises:
        PadimError: the model is damaged or cannot be exported.
    """
    from padim.model import Padim
    from padim.output.aligned_export import export_folder
    from padim.output.file_names import flat_name

    out = io.BytesIO()
    with ScratchFolder() as folder, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        # Load a private copy: the shared model may be saved again while the files are written.
        model, name = Padim.load(entry.path), flat_name(entry.name, "", set())
        written = export_folder(model, Path(folder) / "scorer", name=entry.name, output_type=output_type)
        for file in sorted(written.rglob("*")):
            if file.is_file():
                archive.write(file, f"{name}/{file.relative_to(written).as_posix()}")
    return out.getvalue()


def scorer_bytes(entry: Entry, output_type: OutputType = "uint16") -> bytes:
    """Return the model as the bytes of one ONNX file (:func:`padim.output.export.export_onnx`).

    Args:
        entry: the saved model.
        output_type: type of the level map.

    Raises:
        PadimError: the model is damaged or cannot be exported.
    """
    from padim.model import Padim
    from padim.output.export import export_onnx

    with ScratchFolder() as folder:
        # Load a private copy: the shared model may be saved again while the file is written.
        path = Path(folder) / "scorer.onnx"
        return export_onnx(
            Padim.load(entry.path), path, name=entry.name, output_type=output_type
        ).read_bytes()
