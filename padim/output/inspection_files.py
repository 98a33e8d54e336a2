"""Inspected images as files: results as CSV, four-panel images as ZIP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from padim.output import results
from padim.output.file_names import flat_name

if TYPE_CHECKING:
    from padim.analysis.stored_score import StoredScore
    from padim.model import Padim

__all__ = ["CSV_COLUMNS", "panels_zip", "results_csv"]

# The shell's columns of these names say the same.
CSV_COLUMNS = (*results.CSV_COLUMNS, "random_weights")
# Larger images are reduced to this in the ZIP: of a 24-megapixel image four panels make a strip that no
# viewer opens.
STRIP_SIDE = 2048


def results_csv(
    images: Iterable[StoredScore], model: Padim, *, name: str, identity: str, level: int | None
) -> bytes:
    """The results, one line an image, as UTF-8 with a mark that spreadsheets need to read it so.

    Args:
        images: in the order wanted.
        model: scored them.
        name, identity: of the model, as the user knows it.
        level: the threshold they are judged by; None leaves the verdict columns empty.
    """
    area = model.config.min_area
    shared = {**results.of_model(model, name, identity), "random_weights": model.network.random_weights}
    lines = [results.csv_line(CSV_COLUMNS)]
    for image in images:
        score = image.score(model, area)
        # Regions in pixels of the image, from the same decision that the page shows.
        decision = None if level is None else image.decide(model, level, area)
        verdict = None if level is None else model.verdict(score, level)
        facts = results.decision_document(
            image.name,
            image.sha256,
            image.original_size,
            score,
            model.state.fitted.quantizer,
            decision,
            verdict,
        )
        lines.append(results.csv_line(results.csv_cells({**facts, **shared}, CSV_COLUMNS)))
    return "".join(lines).encode("utf-8-sig")


def panels_zip(
    images: Iterable[tuple[StoredScore, bytes]], model: Padim, level: int, *, colormap: str, opacity: float
) -> bytes:
    """The four-panel strip of every image as a JPEG, each verdict in a folder of its own, in one ZIP.

    Args:
        images: each with its file's bytes, one at a time.
        model: scored them.
        level: the threshold.
        colormap, opacity: as for :func:`padim.output.render.four_panel`.
    """
    from padim.data.decode import decode
    from padim.output.render import encode_jpeg, four_panel

    out = io.BytesIO()
    used_names: set[str] = set()
    # A strip goes from hand to hand without the page that says so.
    mark = "Random weights, for trials only: " if model.network.random_weights else ""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for image, content in images:
            decision = image.decide(model, level, model.config.min_area)
            strip = four_panel(
                decode(content, image.name),
                image.levels(model),
                decision,
                colormap=colormap,
                opacity=opacity,
                caption=f"{mark}{image.name}",
                content_box=image.content_box,
                panel_side=STRIP_SIDE,
            )
            folder = model.verdict(decision.score_level, level)
            archive.writestr(f"{folder}/{flat_name(image.name, '.jpg', used_names)}", encode_jpeg(strip))
    return out.getvalue()
