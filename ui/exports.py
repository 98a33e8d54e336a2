"""What leaves the Inspect page as files: the results as CSV, the four-panel pictures as ZIP."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.store import Entry
    from ui.inspecting import Row

# Larger pictures are reduced to this in the ZIP: of a 24-megapixel picture four panels make a strip that no
# viewer opens.
STRIP_SIDE = 2048

CSV_COLUMNS = (
    "name",
    "verdict",
    "above_threshold",
    "score",
    "threshold",
    "score_over_threshold",
    "regions",
    "largest_region_x",
    "largest_region_y",
    "largest_region_width",
    "largest_region_height",
    "largest_region_area",
    "width",
    "height",
    "sha256",
    "model",
    "model_id",
    "min_area",
)


def csv_bytes(rows: Sequence[Row], model: Padim, entry: Entry, level: int | None) -> bytes:
    """The results, one line a picture, as UTF-8 with a mark that spreadsheets need to read it so.

    Args:
        rows: in the order wanted.
        model: what scored them.
        entry: its entry, for name and id.
        level: the threshold they were judged by; None: verdict columns stay empty.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    value = model.quantizer.to_value
    for row in rows:
        verdict, above, regions, box = "", "", "", [""] * 5
        if level is not None:
            # The file says what the page says: regions in pixels of the picture, from the same decision.
            decision = row.item.decide(model, level, model.config.min_area)
            # With a guard band a verdict can be review; the mask has a pixel exactly above the threshold.
            verdict, regions = model.verdict(row.score, level), str(len(decision.regions))
            above = "yes" if decision.rejected else "no"
            if decision.regions:
                largest = max(decision.regions, key=lambda region: region.area)
                box = [str(getattr(largest, key)) for key in ("x", "y", "width", "height", "area")]
        height, width = row.item.original_size
        writer.writerow(
            [
                _cell(row.item.name),
                verdict,
                above,
                f"{value(row.score):.6g}",
                "" if level is None else f"{value(level):.6g}",
                "" if not level else f"{row.score / level:.6g}",
                regions,
                *box,
                width,
                height,
                row.item.sha256,
                _cell(entry.name),
                entry.id,
                model.config.min_area,
            ]
        )
    return out.getvalue().encode("utf-8-sig")


def _cell(text: str) -> str:
    """Text that a spreadsheet shows and does not run: a name may begin like a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


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


def mask_bytes(row: Row, model: Padim, level: int) -> bytes:
    """One picture's mask at its own size, as PNG: 255 where it is rejected."""
    from padim.render import encode_png, mask_image

    return encode_png(mask_image(row.item.decide(model, level, model.config.min_area).mask))


def zip_of_panels(rows: Iterable[Row], model: Padim, level: int, *, colormap: str, opacity: float) -> bytes:
    """The four-panel strip of every row as a JPEG, each verdict in a folder of its own, in one ZIP.

    Returns:
        The ZIP's bytes: Streamlit keeps a download in memory whatever it is given.
    """
    from padim.images import decode
    from padim.render import encode_jpeg, four_panel

    out = io.BytesIO()
    taken: set[str] = set()
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
                caption=item.name,
                content_box=item.content_box,
                panel_side=STRIP_SIDE,
            )
            folder = model.verdict(decision.score, level)
            archive.writestr(f"{folder}/{file_name(item.name, '.jpg', taken)}", encode_jpeg(strip))
    return out.getvalue()
