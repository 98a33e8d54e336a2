"""What the Records page asks of the records: filters, pages, images of a record, exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.records.exports.exporting import SUFFIXES, ExportFormat, export_records
from padim.records.inspection_query import InspectionColumn, InspectionOrder, InspectionQuery
from padim.records.inspections import InspectionPage, InspectionRecords
from padim.storage.leftovers import ScratchFolder
from ui.app import clock, state, workspace
from ui.jobs import watch

if TYPE_CHECKING:
    from padim.output.csv_form import CsvForm
    from padim.records.exports.archive import ExportAccount
    from padim.records.inspection import Inspection
    from ui.jobs.jobs import Job

PAGE = 50
# Query parameter with the number of the record that is open.
PARAMETER = "record"
# Longest side, in pixels, of an image on the page.
_SIDE = 1600


def records() -> InspectionRecords:
    """Return the records of this workspace."""
    return InspectionRecords(workspace.root())


# -- the list ------------------------------------------------------------------------------------------


@dataclass
class _Pages:
    """Where a session is in the list: the places at which the pages so far begin."""

    query: InspectionQuery | None = None
    order: InspectionOrder = "newest"
    begins: list[str | None] = field(default_factory=lambda: [None])
    # Another number after each record that was opened, so that its row is not selected in the list.
    opened: int = 0


def pages() -> _Pages:
    """Return where this session is in the list."""
    return state.of(_Pages)


def page(query: InspectionQuery, order: InspectionOrder) -> InspectionPage:
    """Return the page that the session is at; another filter or order begins at the first."""
    now = pages()
    if (now.query, now.order) != (query, order):
        now.query, now.order, now.begins = query, order, [None]
    return records().page(query, order, now.begins[-1], PAGE)


def turn(to: str | None) -> None:
    """Go on to the page that begins at a place; None goes back by one."""
    begins = pages().begins
    if to is not None:
        begins.append(to)
    elif len(begins) > 1:
        begins.pop()


@dataclass
class _Choices:
    """The values that filters offer, as of the newest record."""

    newest: int = -1
    of: dict[str, list[Any]] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)


_COLUMNS: tuple[InspectionColumn, ...] = ("part_number", "lot", "station", "shift")


def choices() -> _Choices:
    """Return the values that filters offer; they are searched again only when records have come in."""
    found, store = state.of(_Choices), records()
    newest = next((one.id for one in store.page(number=1).items), 0)
    if newest != found.newest:
        found.newest = newest
        found.of = {column: store.choices(column) for column in _COLUMNS}
        found.versions = dict(_versions(store))
    found.of["defect_type"] = store.choices("defect_type")
    return found


def _versions(store: InspectionRecords) -> Iterator[tuple[int, str]]:
    for row in reversed(store.choices("version_id")):
        first = next(iter(store.page(InspectionQuery(version_id=row), number=1).items), None)
        if first is not None:
            yield row, version_text(first)


def version_text(one: Inspection) -> str:
    """Return model and version of an inspection for people."""
    name = one.model_name or one.model_id
    return name if one.version_number is None else f"{name}, version {one.version_number}"


def within(days: Any, query: InspectionQuery) -> InspectionQuery:
    """Return a query of the days that a date field has: none, the first alone, or the first and the last."""
    chosen = [one for one in (days if isinstance(days, tuple | list) else (days,)) if isinstance(one, date)]
    if not chosen:
        return query
    return replace(
        query, since=clock.midnight(chosen[0]), before=clock.midnight(chosen[-1] + timedelta(days=1))
    )


# -- one record ----------------------------------------------------------------------------------------


def opened() -> int | None:
    """Return the number of the record that the address names; None if it names none."""
    asked = st.query_params.get(PARAMETER, "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 16 else None


def open_record(number: int | None) -> None:
    """Open a record; None goes back to the list."""
    if number is None:
        st.query_params.pop(PARAMETER, None)
        pages().opened += 1
    else:
        st.query_params[PARAMETER] = str(number)


@dataclass(frozen=True)
class ShownRecord:
    """What is shown of an inspection's image.

    Attributes:
        image: the image, or its small copy, as a PNG or JPEG; None if neither is kept.
        small: whether it is the small copy.
        overlay: the image with its level map and mask drawn on it; None if no map is kept.
        problem: why the image that is kept cannot be shown; empty if it can.
    """

    image: bytes | None
    small: bool
    overlay: bytes | None
    problem: str = ""


def shown_images(one: Inspection) -> ShownRecord:
    """Return what can be shown of an inspection's image."""
    import cv2
    import numpy as np

    from padim.data.decode import decode
    from padim.errors import ImageError
    from padim.output.render import encode_jpeg, overlay
    from padim.records.recorded_map import recorded_decision
    from padim.records.remade_map import RemadeMaps

    store = records()
    original, small = store.original(one.id), store.thumbnail(one.id)
    levels, _ = RemadeMaps(workspace.root()).levels(one)
    rgb, problem = None, ""
    if original is not None:
        try:
            rgb = decode(original, one.name)
        except ImageError as error:
            problem = error.reason
    is_small = rgb is None
    if rgb is None and small is not None:
        rgb = decode(small, one.name)
    if rgb is None:
        return ShownRecord(None, True, None, problem)
    height, width = rgb.shape[:2]
    if (scale := _SIDE / max(height, width)) < 1:
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        rgb = np.asarray(cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA), np.uint8)
    drawn = None
    if levels is not None and one.threshold_level is not None:
        decision = recorded_decision(one, levels, store.evidence(one.id), (rgb.shape[0], rgb.shape[1]))
        if decision is not None:
            drawn = encode_jpeg(
                overlay(
                    rgb,
                    decision.levels,
                    decision.mask,
                    one.threshold_level,
                    content_box=decision.content_box,
                    placement=decision.placement,
                )
            )
    return ShownRecord(encode_jpeg(rgb), is_small, drawn, problem)


# -- exports -------------------------------------------------------------------------------------------

# What an export is called, and what is in it.
EXPORT_WORDS: dict[ExportFormat, tuple[str, str]] = {
    "csv": ("Table (CSV)", "One line a record, for spreadsheets."),
    "parquet": ("Table (Parquet)", "The same with types, for data tools."),
    "zip": (
        "Evidence (ZIP)",
        "Four-panel images where level map and image are kept, each record as JSON with its reviews, the "
        "table, and a list of what is missing.",
    ),
    "mvtec": (
        "Labelled images (MVTec AD)",
        "Records that people have decided and whose image is kept: test/good, test/<type>, and masks in "
        "ground_truth.",
    ),
    "coco": (
        "Labelled images (COCO)",
        "The same with annotations.json: a box and run lengths (RLE) for each region, categories by type.",
    ),
}
# Bytes. A download is held in memory, and browsers do not resume one: write larger ones from the shell.
LARGEST_EXPORT = 500_000_000


@dataclass(frozen=True, eq=False)
class ExportedFile:
    """A file that an export has written; its folder goes with this object.

    Attributes:
        folder: the temporary folder.
        path: the file in it.
        kind: what it is.
        account: what became of the records.
    """

    folder: ScratchFolder
    path: Path
    kind: ExportFormat
    account: ExportAccount


def export_key() -> str:
    """Return the key of this browser's export."""
    return f"records-export:{state.owner()}"


def export_job() -> Job[ExportedFile] | None:
    """Return this browser's export, running or ended."""
    return watch.find(export_key())


def start_export(query: InspectionQuery, kind: ExportFormat, csv_form: CsvForm) -> None:
    """Start writing the records of a query to a file."""
    root = workspace.root()

    def work(job: Job[ExportedFile]) -> ExportedFile:
        folder = ScratchFolder()
        path = Path(folder.name) / f"records{SUFFIXES[kind]}"
        account = export_records(
            root,
            query,
            kind,
            path,
            csv_form=csv_form,
            progress=lambda done, total: job.progress(done, total, "Records"),
            cancel=job.cancelled,
        )
        return ExportedFile(folder, path, kind, account)

    watch.start(export_key(), f"{EXPORT_WORDS[kind][0]} of records", work)
