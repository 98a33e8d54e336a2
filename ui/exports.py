"""What leaves the pages as files: results as CSV, four-panel pictures as ZIP, the model as a scorer."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from padim.output import results
from padim.storage.leftovers import ScratchFolder

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.workspace import Entry
    from ui.inspect import Row

# The shell's columns of these names say the same.
CSV_COLUMNS = (*results.CSV_COLUMNS, "random_weights")
# Larger pictures are reduced to this in the ZIP: of a 24-megapixel picture four panels make a strip that no
# viewer opens.
STRIP_SIDE = 2048
# A download is held in memory, and browsers do not resume one: larger scorers are for the shell.
LARGEST_SCORER = 500_000_000


def csv_bytes(rows: Sequence[Row], model: Padim, entry: Entry, level: int | None) -> bytes:
    """The results, one line a picture, as UTF-8 with a mark that spreadsheets need to read it so.

    Args:
        rows: in the order wanted.
        model: what scored them.
        entry: its entry, for name and id.
        level: the threshold they were judged by; None: verdict columns stay empty.
    """
    shared = {**results.of_model(model, entry.name, entry.id), "random_weights": model.random_weights}
    lines = [results.csv_line(CSV_COLUMNS)]
    for row in rows:
        item = row.item
        # The file says what the page says: regions in pixels of the picture, from the same decision.
        decision = None if level is None else item.decide(model, level, model.config.min_area)
        verdict = None if level is None else model.verdict(row.score, level)
        facts = results.judged(
            item.name, item.sha256, item.original_size, row.score, model.quantizer, decision, verdict
        )
        lines.append(results.csv_line(results.csv_cells({**facts, **shared}, CSV_COLUMNS)))
    return "".join(lines).encode("utf-8-sig")


def file_name(name: str, suffix: str, taken: set[str]) -> str:
    """A plain, unused file name for a picture's name, which may hold folders or worse."""
    folders = [part for part in re.split(r"[\\/:]+", name) if part.strip(". ")]
    stem = "__".join([*folders[:-1], PurePosixPath(folders[-1]).stem]) if folders else ""
    plain = re.sub(r"[^\w.()-]+", "_", stem).strip("._") or "picture"
    plain = plain[:120]
    chosen, again = f"{plain}{suffix}", 2
    while chosen.lower() in taken:
        chosen, again = f"{plain}_{again}{suffix}", again + 1
    taken.add(chosen.lower())
    return chosen


def zip_of_panels(rows: Iterable[Row], model: Padim, level: int, *, colormap: str, opacity: float) -> bytes:
    """The four-panel strip of every row as a JPEG, each verdict in a folder of its own, in one ZIP.

    Returns:
        The ZIP's bytes: Streamlit keeps a download in memory whatever it is given.
    """
    from padim.data.decode import decode
    from padim.output.render import encode_jpeg, four_panel

    out = io.BytesIO()
    taken: set[str] = set()
    # A strip goes from hand to hand without the page that says so.
    mark = "Random weights, for trials only: " if model.random_weights else ""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for row in rows:
            item = row.item
            rgb = decode(item.file.read_bytes(), item.name)
            decision = item.decide(model, level, model.config.min_area)
            strip = four_panel(
                rgb,
                item.levels(model),
                decision,
                colormap=colormap,
                opacity=opacity,
                caption=f"{mark}{item.name}",
                content_box=item.content_box,
                panel_side=STRIP_SIDE,
            )
            folder = model.verdict(decision.score, level)
            archive.writestr(f"{folder}/{file_name(item.name, '.jpg', taken)}", encode_jpeg(strip))
    return out.getvalue()


def scorer_hindrance(entry: Entry) -> str | None:
    """Why a model cannot be downloaded as a scorer; None where it can."""
    from padim.scoring_identity import NOT_SCORING

    if not entry.manifest.get("threshold"):
        return "The model has no threshold yet. Set one on the Calibrate page."
    # As the bundle keeps them, which is how the scorer does.
    files = entry.manifest.get("files", {})
    scoring = files.keys() - NOT_SCORING
    if sum(int(files[name].get("bytes", 0)) for name in scoring) > LARGEST_SCORER:
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
