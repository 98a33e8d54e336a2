"""Rows of results: their fields, the columns of the CSV, and the files that the ``score`` command writes.

The CSV files of the web application and of the command line share columns of the same meaning; those of the
command line have additional ones.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

from padim.analysis.fit_overlap import IN_FIT
from padim.output.csv_form import CsvForm, form_line
from padim.output.scoring_journal import Journal
from padim.storage.atomic import write_atomic

if TYPE_CHECKING:
    from padim.data.account import PassedOver
    from padim.decision.anomaly_map import Quantizer
    from padim.decision.prediction import Prediction
    from padim.decision.regions import Region
    from padim.errors import ImageError
    from padim.locating.pose import Pose
    from padim.model import Padim

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
    "scoring_identity",
    "notes",
    "in_fit",
    "reasons",
    "lost",
    "shift",
    "shift_x",
    "shift_y",
    "turn",
    "scale",
    "match",
    "pixel_size_mm",
    "shift_mm",
    "largest_region_width_mm",
    "largest_region_height_mm",
    "largest_region_area_mm2",
    "scored_at",
    "model_revision",
    "review_above",
    "reject_above",
)
# Additional columns in the CSV of the command line, after the others.
MORE_COLUMNS = ("error", "panel", "mask", "backbone", "random_weights", "regions_json", "file")
# Values of the column ``file``: what became of the file.
USED, REFUSED, PASSED_OVER = "used", "refused", "passed over"


def decision_document(
    name: str,
    sha256: str,
    original_size: tuple[int, int],
    score: int,
    quantizer: Quantizer,
    decision: Prediction | None,
    verdict: str | None,
    notes: Sequence[str] = (),
    *,
    in_fit: bool,
    place: Mapping[str, Any] | None = None,
    pixel_size_mm: float | None = None,
    scored_at: datetime | None = None,
) -> dict[str, Any]:
    """Build the row of one image, with scores in map units and regions in image pixels.

    Args:
        name: the image's name.
        sha256: hash of the image's file.
        original_size: (height, width) in pixels.
        score: a level.
        quantizer: the scale of the levels.
        decision: the decision at the threshold; without a threshold None, and so are the values that depend
            on it.
        verdict: accept, reject or, with a guard band, review; None without a threshold. ``above_threshold``
            states whether the mask has a pixel, which differs from the verdict in the guard band.
        notes: sentences on the image, see :attr:`padim.Prediction.notes`.
        in_fit: whether the model was fitted on the image, so that it scores it lower than a new one.
        place: where the part lies, see :func:`place_of`; None for models that do not locate it.
        pixel_size_mm: side of a pixel of the image in mm, for lengths and areas in mm; None: not known.
        scored_at: when the image was scored; default: now.

    Returns:
        The row as plain JSON.
    """
    height, width = original_size
    value = quantizer.to_value
    row: dict[str, Any] = {
        "name": name,
        "verdict": verdict,
        "above_threshold": None,
        "score": _short(value(score)),
        "threshold": None,
        "score_over_threshold": None,
        "regions": None,
        "width": width,
        "height": height,
        "sha256": sha256,
        "notes": [*notes, *([IN_FIT] if in_fit else [])],
        "in_fit": in_fit,
        "scored_at": f"{(scored_at or datetime.now(UTC)).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **(place or {}),
    }
    if pixel_size_mm is not None and row.get("shift") is not None:
        row["shift_mm"] = _short(row["shift"] * pixel_size_mm)
    if decision is not None:
        level = decision.decision_level
        row["above_threshold"] = decision.score_level > level
        row["reasons"] = list(decision.reasons)
        row["threshold"] = _short(value(level))
        row["reasons"] = list(decision.reasons)
        row["score_over_threshold"] = _short(score / level) if level else None
        row["regions"] = [
            {
                "x": region.x,
                "y": region.y,
                "width": region.width,
                "height": region.height,
                "area": region.area,
                "score": _short(value(region.level)),
                "peak": _short(value(region.peak_level)),
                "peak_x": region.peak_x,
                "peak_y": region.peak_y,
                **_in_mm(region, pixel_size_mm),
            }
            for region in decision.regions
        ]
    return row


def _in_mm(region: Region, pixel_size_mm: float | None) -> dict[str, float]:
    """Return sides and area of a region in mm; empty if the size of a pixel is not known."""
    if pixel_size_mm is None:
        return {}
    return {
        "width_mm": _short(region.width * pixel_size_mm),
        "height_mm": _short(region.height * pixel_size_mm),
        "area_mm2": _short(region.area * pixel_size_mm**2),
    }


class ImageWithPose(Protocol):
    """An image in which the part was looked for, such as :class:`padim.Prediction`."""

    @property
    def original_size(self) -> tuple[int, int]: ...
    @property
    def pose(self) -> Pose | None: ...
    @property
    def lost(self) -> str: ...


def place_of(model: Padim, image: ImageWithPose) -> dict[str, Any] | None:
    """Return where the part lies in an image, as values of a row; None if the model does not locate it.

    ``shift``, ``shift_x`` (to the right) and ``shift_y`` (down) are in pixels of the image, ``turn`` in
    degrees counterclockwise, ``scale`` relative to the reference part, ``match`` from 0 to 1; all are None if
    the part was not found, and ``lost`` says why.
    """
    locator = model.state.fitted.locator
    if locator is None:
        return None
    if image.pose is None:
        return {"lost": image.lost, **dict.fromkeys(_PLACE)}
    # Poses are in pixels of the reference image; another image may have another resolution.
    per_pixel = image.original_size[1] / locator.frame.image_size[1]
    pose = image.pose
    shifts = (pose.shift * per_pixel, pose.dx * per_pixel, pose.dy * per_pixel)
    values = (*shifts, pose.turn, pose.scale, pose.match)
    return {"lost": "", **dict(zip(_PLACE, map(_short, values), strict=True))}


_PLACE = ("shift", "shift_x", "shift_y", "turn", "scale", "match")


def unusable(name: str, reason: str, sha256: str | None = None) -> dict[str, Any]:
    """Build the row of a file that could not be scored."""
    return {"name": name, "verdict": None, "error": reason, "sha256": sha256}


def unused_rows(refused: Iterable[ImageError], passed_over: Iterable[PassedOver]) -> Iterator[dict[str, Any]]:
    """Yield a row without a verdict for each file that was not used, with the reason as ``error``."""
    for error in refused:
        yield {"name": error.name, "error": error.reason, "file": REFUSED}
    for one in passed_over:
        yield {"name": one.name, "error": one.reason, "file": PASSED_OVER}


def model_columns(model: Padim, name: str, identity: str, revision: str, level: int | None) -> dict[str, Any]:
    """Build the columns that are the same for all rows of one run: the model, its state and its settings.

    Args:
        model: the model.
        name, identity: its name and id.
        revision: the seal of the saved model, which every saved change of it changes.
        level: the threshold as a level; None leaves ``review_above`` and ``reject_above`` empty. With a guard
            band these are its ends in map units, without one both are the threshold.
    """
    to_value = model.state.fitted.quantizer.to_value
    limits = None if level is None else model.verdict_limits(level)
    return {
        "model": name,
        "model_id": identity,
        "min_area": model.config.min_area,
        "scoring_identity": model.state.identity,
        "model_revision": revision,
        "review_above": None if limits is None else _short(to_value(max(0, limits.accept_up_to))),
        "reject_above": None if limits is None else _short(to_value(limits.reject_above)),
        "pixel_size_mm": model.config.pixel_size_mm,
    }


def csv_cells(row: Mapping[str, Any], columns: tuple[str, ...] = CSV_COLUMNS) -> list[str]:
    """Convert a row to the cells of a CSV line; missing values and None become empty cells."""
    regions = row.get("regions")
    texts = {"notes": " ".join(row.get("notes") or ()), "reasons": "; ".join(row.get("reasons") or ())}
    known: dict[str, Any] = {**row, **texts}
    if regions is not None:
        known["regions"] = len(regions)
        known["regions_json"] = json.dumps(regions, separators=(",", ":")) if regions else ""
        if regions:
            largest = max(regions, key=lambda region: region["area"])
            for key in ("x", "y", "width", "height", "area", "width_mm", "height_mm", "area_mm2"):
                known[f"largest_region_{key}"] = largest.get(key)
    return [_cell(known.get(column)) for column in columns]


def csv_line(cells: Iterable[object], form: CsvForm = "comma") -> str:
    """Format one line of CSV, with text escaped by :func:`spelt`; used for all CSV files of the program."""
    return form_line([spelt(cell) if isinstance(cell, str) else cell for cell in cells], form)


def csv_file(lines: Iterable[Iterable[object]]) -> bytes:
    """Build a CSV file in UTF-8, with the byte order mark that spreadsheets need to recognize it."""
    return "".join(map(csv_line, lines)).encode("utf-8-sig", "replace")


def _short(number: float) -> float:
    """Round to six significant digits, so that CSV and JSON have the same numbers."""
    return float(f"{number:.6g}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


# Characters that begin a formula, after NFKC normalization, which covers full-width and other variants.
_FORMULA = frozenset("=+-@")


def spelt(text: str) -> str:
    """Escape a text for a CSV cell by a leading apostrophe if a spreadsheet would take it for a formula.

    Characters that spreadsheets ignore before a formula are ignored here too: white space of every kind, byte
    order marks, control characters and characters without width. Numbers are not escaped.
    """
    begin = next((c for c in text if not _ignored_before_formula(c)), "")
    formula = unicodedata.normalize("NFKC", begin)[:1] in _FORMULA or text[:1] in {"\t", "\r", "\n"}
    return f"'{text}" if formula and not _NUMBER.fullmatch(text) else text


# Numbers as the program formats them, which are safe even with a sign.
_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)


def _ignored_before_formula(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"}


# --- files ------------------------------------------------------------------------------------------


# Characters that are not allowed in file names on some operating system.
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class FileNames:
    """Unique file names for the panels and masks of images, valid on every operating system.

    Sub-folders are kept.
    """

    def __init__(self) -> None:
        self._used_names: set[str] = set()

    def take(self, name: str) -> str:
        """Return an unused path below the output folder, with forward slashes and without a suffix."""
        path = PurePosixPath(name.replace("\\", "/"))
        # A folder named "a.jpg" would conflict with a file "a.jpg".
        folders = [f"{part}_" if PurePosixPath(part).suffix else part for part in path.parts[:-1]]
        parts = [_portable(part) for part in (*folders, path.stem) if part.strip("./ ")]
        stem = "/".join(parts) or "image"
        chosen, again = stem, 2
        while chosen.lower() in self._used_names:
            chosen, again = f"{stem} ({again})", again + 1
        self._used_names.add(chosen.lower())
        return chosen


def _portable(part: str) -> str:
    """Return a path component that is valid on every operating system, of at most 120 bytes."""
    plain = _FORBIDDEN.sub("_", part).encode()[:120].decode("utf-8", "ignore").strip(" ").rstrip(". ")
    if plain.startswith("."):
        plain = f"_{plain[1:]}"
    return f"_{plain}" if not plain or _RESERVED.fullmatch(plain) else plain


class Results:
    """Writer of results.csv and results.json on exit; until then the rows are in a journal.

    Rows are not kept in memory. If the ``with`` block is left by an error, the files are written, too, marked
    as interrupted, and the journal is kept for a later run to resume. So no row is lost, even after a kill.

    Attributes:
        folder: the folder of the files.
        counts: number of rows by verdict, and of unreadable files.
        noted: number of rows with notes.
        lost: number of rows of images in which the part was not found.
        in_fit: number of rows of images that were in the fit.
        passed_over: files of the input that are no images; each gets a last row, without a verdict.
        interrupted: why the results are incomplete; None if they are not.
    """

    def __init__(
        self,
        folder: Path,
        shared: Mapping[str, Any],
        about: Mapping[str, Any],
        journal: Journal | None = None,
        *,
        csv_form: CsvForm = "comma",
    ) -> None:
        """
        Args:
            folder: the folder of the files.
            shared: columns that are the same in every row.
            about: values at the top of the JSON.
            journal: the journal of the scoring, which may be a resumed one; default: a new journal.
            csv_form: the form of results.csv.
        """
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.noted = 0
        self.lost = 0
        self.in_fit = 0
        self.passed_over: list[PassedOver] = []
        self.interrupted: str | None = None
        self._shared = dict(shared)
        self._about = dict(about)
        self._journal = journal
        self._form = csv_form
        # Of each row: its position among the images, and its byte offset in the journal.
        self._positions: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        if self._journal is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._journal = Journal.begin(self.folder, {})
        return self

    @property
    def journal(self) -> Journal:
        """The journal that has the rows until the files are written."""
        assert self._journal is not None
        return self._journal

    def add(self, row: Mapping[str, Any], order: int | None = None) -> None:
        """Write a row of :func:`decision_document` or :func:`unusable`.

        Args:
            row: the row of one image.
            order: its position among the images; default: the next one.
        """
        self._place(row, self.journal.add(row), order)

    def keep(self, place: int, order: int) -> dict[str, Any]:
        """Reuse a row of an earlier run, at byte offset ``place`` of the journal, and return it."""
        row = self.journal.row(place)
        self._place(row, place, order)
        return row

    def _place(self, row: Mapping[str, Any], place: int, order: int | None) -> None:
        self._positions.append((len(self._positions) if order is None else order, place))
        self.noted += any(note != IN_FIT for note in row.get("notes") or ())
        self.counts["unreadable" if row.get("error") else str(row["verdict"])] += 1
        self.in_fit += bool(row.get("in_fit"))
        self.lost += bool(row.get("lost"))

    def interrupt(self, reason: str) -> None:
        """Mark the results as incomplete, with the reason."""
        self.interrupted = reason

    def document(self) -> dict[str, Any]:
        """Return the values at the end of the JSON: counts, files, and why it was interrupted or None."""
        names = ("accept", "review", "reject", "unreadable")
        counts = {name: self.counts[name] for name in names}
        files = {
            "used": sum(counts.values()) - counts["unreadable"],
            "refused": counts["unreadable"],
            "passed_over": [asdict(one) for one in self.passed_over],
        }
        return {"counts": counts, "files": files, "interrupted": self.interrupted}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None and self.interrupted is None:
            self.interrupt(str(error) or kind.__name__ if kind else "stopped")
        with self.journal:
            write_atomic(self.folder / "results.csv", self._write_csv)
            write_atomic(self.folder / "results.json", self._write_json)
        if self.interrupted is None:
            self.journal.remove()

    def _rows(self) -> Iterator[dict[str, Any]]:
        for _, place in sorted(self._positions):
            yield self.journal.row(place)

    def _write_csv(self, file: BinaryIO) -> None:
        # File names may contain undecodable bytes, which must not end the run: hence "replace".
        columns = (*CSV_COLUMNS, *MORE_COLUMNS)
        file.write(codecs.BOM_UTF8 + csv_line(columns, self._form).encode("utf-8", "replace"))
        for row in self._rows():
            became = REFUSED if row.get("error") else USED
            cells = csv_cells({**row, **self._shared, "file": became}, columns)
            file.write(csv_line(cells, self._form).encode("utf-8", "replace"))
        for row in unused_rows((), self.passed_over):
            file.write(csv_line(csv_cells(row, columns), self._form).encode("utf-8", "replace"))
        if self.interrupted is not None:
            # A CSV has no header for this, so the mark is a last row without name and verdict.
            last = {"name": "", "error": f"interrupted: {self.interrupted}"}
            file.write(csv_line(csv_cells(last, columns), self._form).encode("utf-8", "replace"))

    def _write_json(self, file: BinaryIO) -> None:
        head = json.dumps(self._about, indent=1, ensure_ascii=False).removesuffix("}").rstrip()
        file.write(f'{head}{"," if self._about else ""}\n "images": ['.encode("utf-8", "backslashreplace"))
        for index, row in enumerate(self._rows()):
            own = {key: value for key, value in row.items() if key not in self._shared}
            file.write(
                f"{',' if index else ''}\n  {json.dumps(own, ensure_ascii=False)}".encode(
                    "utf-8", "backslashreplace"
                )
            )
        tail = json.dumps(self.document(), indent=1, ensure_ascii=False).removeprefix("{")
        file.write(f"\n ],{tail}\n".encode("utf-8", "backslashreplace"))
