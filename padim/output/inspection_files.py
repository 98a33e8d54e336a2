"""Files of inspected images: their results as CSV, their four-panel images as ZIP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from padim.analysis.fit_overlap import KnownImages
from padim.output import results
from padim.output.file_names import flat_name

if TYPE_CHECKING:
    from padim.analysis.stored_score import StoredScore
    from padim.data.account import PassedOver
    from padim.errors import ImageError
    from padim.model import Padim

__all__ = ["CSV_COLUMNS", "panels_zip", "results_csv"]

# Columns of the same names mean the same in the CSV of the ``score`` command.
CSV_COLUMNS = (*results.CSV_COLUMNS, "random_weights", "error", "file")
# Longest side of a panel in the ZIP: four panels of a 24-megapixel image are too large for image viewers.
STRIP_SIDE = 2048


def results_csv(
    images: Iterable[StoredScore],
    model: Padim,
    *,
    name: str,
    identity: str,
    revision: str,
    level: int | None,
    refused: Iterable[ImageError] = (),
    passed_over: Iterable[PassedOver] = (),
) -> bytes:
    """Build a CSV of the results, one line per image, with the columns ``CSV_COLUMNS``.

    Args:
        images: the scored images, in the order of the lines.
        model: the model that scored them.
        name: the model's name.
        identity: the model's id.
        revision: the seal of the saved model.
        level: the threshold as a level; None leaves the verdict columns empty.
        refused: files that could not be used; each gets a line after the images, with the reason.
        passed_over: files that are no images of the user's; each gets a last line, with the reason.

    Returns:
        The file's bytes, UTF-8 with the byte order mark that spreadsheets need to recognize it.
    """
    area = model.config.min_area
    columns = results.model_columns(model, name, identity, revision, level)
    shared = {**columns, "random_weights": model.network.random_weights}
    known = KnownImages.of(model)
    lines = [results.csv_line(CSV_COLUMNS)]
    for image in images:
        score = image.score(model, area)
        # Regions are in image pixels, from the same decision that the page shows.
        decision = None if level is None else image.decide(model, level, area)
        verdict = None if decision is None else decision.verdict
        facts = results.decision_document(
            image.name,
            image.sha256,
            image.original_size,
            score,
            model.state.fitted.quantizer,
            decision,
            verdict,
            image.notes,
            in_fit=known.in_fit(image),
            place=results.place_of(model, image),
            pixel_size_mm=model.config.pixel_size_mm,
            scored_at=image.scored_at,
        )
        lines.append(
            results.csv_line(results.csv_cells({**facts, **shared, "file": results.USED}, CSV_COLUMNS))
        )
    for row in results.unused_rows(refused, passed_over):
        lines.append(results.csv_line(results.csv_cells(row, CSV_COLUMNS)))
    return "".join(lines).encode("utf-8-sig")


def panels_zip(
    images: Iterable[tuple[StoredScore, bytes]], model: Padim, level: int, *, colormap: str, opacity: float
) -> bytes:
    """Build a ZIP with the four-panel image of every image as a JPEG, in one folder per verdict.

    Args:
        images: the scored images, each with its file's bytes; read one at a time.
        model: the model that scored them.
        level: the threshold as a level.
        colormap, opacity: as for :func:`padim.output.render.four_panel`.

    Returns:
        The file's bytes.
    """
    from padim.data.decode import decode
    from padim.output.render import encode_jpeg, four_panel

    out = io.BytesIO()
    used_names: set[str] = set()
    # The image is passed on without the page and its warning, so it carries the warning itself.
    mark = "Random weights, for trials only: " if model.network.random_weights else ""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for image, content in images:
            decision = image.decide(model, level, model.config.min_area)
            strip = four_panel(
                decode(content, image.name, bit_depth=model.config.bit_depth),
                image.levels(model),
                decision,
                colormap=colormap,
                opacity=opacity,
                caption=f"{mark}{image.name}",
                content_box=image.content_box,
                panel_side=STRIP_SIDE,
            )
            folder = decision.verdict
            archive.writestr(f"{folder}/{flat_name(image.name, '.jpg', used_names)}", encode_jpeg(strip))
    return out.getvalue()
