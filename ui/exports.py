"""What leaves the pages as files: results as CSV, four-panel images as ZIP, the model as a scorer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from padim.storage.leftovers import ScratchFolder

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.inspect import Row

# A download is held in memory, and browsers do not resume one: larger scorers are for the shell.
LARGEST_SCORER = 500_000_000


def csv_bytes(rows: Sequence[Row], model: Padim, entry: Entry, level: int | None) -> bytes:
    """The results in this order, judged by this threshold; without one, verdict columns stay empty."""
    from padim.output.inspection_files import results_csv

    return results_csv((row.item for row in rows), model, name=entry.name, identity=entry.id, level=level)


def zip_of_panels(rows: Iterable[Row], model: Padim, level: int, *, colormap: str, opacity: float) -> bytes:
    """The four-panel strip of every row; Streamlit keeps a download in memory whatever it is given."""
    from padim.output.inspection_files import panels_zip

    images = ((row.item, row.item.file.read_bytes()) for row in rows)
    return panels_zip(images, model, level, colormap=colormap, opacity=opacity)


def scorer_hindrance(entry: Entry) -> str | None:
    """Why a model cannot be downloaded as a scorer; None where it can."""
    from padim.scoring_identity import scoring_bytes

    if not entry.manifest.get("threshold"):
        return "The model has no threshold yet. Set one on the Calibrate page."
    # As the bundle keeps its files, which is how the scorer does.
    if scoring_bytes(entry.manifest) > LARGEST_SCORER:
        return "It is too large to download. Write it on the server with python -m padim export."
    return None


def scorer_bytes(entry: Entry) -> bytes:
    """The model as one ONNX file (:func:`padim.output.export.export_onnx`).

    Raises:
        PadimError: the model is damaged or cannot be exported.
    """
    from padim.model import Padim
    from padim.output.export import export_onnx

    with ScratchFolder() as folder:
        # A model of its own: the shared one may be saved anew meanwhile.
        path = Path(folder) / "scorer.onnx"
        return export_onnx(Padim.load(entry.path), path, name=entry.name).read_bytes()
