"""Verdicts as rows: one image's facts, the columns of the CSV, and results written while they come.

The app's CSV and the shell's have the same columns with the same meaning; the shell's has more.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from padim.output.scoring_journal import Journal
from padim.storage.atomic import write_atomic

if TYPE_CHECKING:
    from padim.decision.anomaly_map import Quantizer
    from padim.decision.prediction import Prediction
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
)
# What only the shell's CSV has, behind the others.
MORE_COLUMNS = ("error", "panel", "mask", "backbone", "random_weights", "regions_json")


def decision_document(
    name: str,
    sha256: str,
    original_size: tuple[int, int],
    score: int,
    quantizer: Quantizer,
    decision: Prediction | None,
    verdict: str | None,
) -> dict[str, Any]:
    """One image's row, in the units people see.

    Args:
        original_size: (height, width) in pixels.
        score: a level.
        quantizer: the scale of the levels.
        decision: under the threshold; None where there is none: what depends on it is None.
        verdict: accept, review or reject. With a guard band it can be review; ``above_threshold`` says
            whether the mask has a pixel.
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
    }
    if decision is not None:
        level = decision.decision_level
        row["above_threshold"] = decision.rejected
        row["threshold"] = _short(value(level))
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
            }
            for region in decision.regions
        ]
    return row


def unusable(name: str, reason: str, sha256: str | None = None) -> dict[str, Any]:
    """The row of a file that could not be judged."""
    return {"name": name, "verdict": None, "error": reason, "sha256": sha256}


def of_model(model: Padim, name: str, identity: str) -> dict[str, Any]:
    """What all rows of one run share."""
    return {
        "model": name,
        "model_id": identity,
        "min_area": model.config.min_area,
        "scoring_identity": model.state.identity,
    }


def csv_cells(row: Mapping[str, Any], columns: tuple[str, ...] = CSV_COLUMNS) -> list[str]:
    """A row as cells of the CSV; what is not there or None is empty."""
    regions = row.get("regions")
    known: dict[str, Any] = dict(row)
    if regions is not None:
        known["regions"] = len(regions)
        known["regions_json"] = json.dumps(regions, separators=(",", ":")) if regions else ""
        if regions:
            largest = max(regions, key=lambda region: region["area"])
            for key in ("x", "y", "width", "height", "area"):
                known[f"largest_region_{key}"] = largest[key]
    return [_cell(known.get(column)) for column in columns]


def csv_line(cells: Iterable[object]) -> str:
    """One line of CSV, every cell of text as :func:`spelt`: what all CSV files of the product are made of."""
    out = StringIO()
    csv.writer(out).writerow([spelt(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()


def csv_file(lines: Iterable[Iterable[object]]) -> bytes:
    """A CSV file, with the mark that spreadsheets need to read UTF-8."""
    return "".join(map(csv_line, lines)).encode("utf-8-sig", "replace")


def _short(number: float) -> float:
    """Six digits: more is noise, and both files then say the same."""
    return float(f"{number:.6g}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


# What begins a formula, as NFKC has it: the full-width, small and raised forms too.
_FORMULA = frozenset("=+-@")


def spelt(text: str) -> str:
    """Text for a cell of a CSV: a spreadsheet does not run it, should it begin like a formula.

    What spreadsheets leave out before a formula does not count as its beginning: blanks of every kind, byte
    order marks, control characters and whatever else has no width. A number is left as it is.
    """
    begin = next((c for c in text if not _passed_over(c)), "")
    formula = unicodedata.normalize("NFKC", begin)[:1] in _FORMULA or text[:1] in {"\t", "\r", "\n"}
    return f"'{text}" if formula and not _NUMBER.fullmatch(text) else text


# Written by the product itself; a spreadsheet reads it as the number it is.
_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)


def _passed_over(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"}


# --- files ------------------------------------------------------------------------------------------


# Characters that some system does not take in a file name.
_UNFIT = re.compile(r'[<>:"|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class FileNames:
    """Names of files made for images: sub-folders are kept, and no two are the same on any system."""

    def __init__(self) -> None:
        self._used_names: set[str] = set()

    def take(self, name: str) -> str:
        """A path below the output folder, with forward slashes and without a suffix, unused so far."""
        path = PurePosixPath(name.replace("\\", "/"))
        # A folder called "a.jpg" would be in the way of the file "a.jpg".
        folders = [f"{part}_" if PurePosixPath(part).suffix else part for part in path.parts[:-1]]
        parts = [_fit(part) for part in (*folders, path.stem) if part.strip("./ ")]
        stem = "/".join(parts) or "image"
        chosen, again = stem, 2
        while chosen.lower() in self._used_names:
            chosen, again = f"{stem} ({again})", again + 1
        self._used_names.add(chosen.lower())
        return chosen


def _fit(part: str) -> str:
    """One component of a path as every system takes it, of at most 120 bytes."""
    plain = _UNFIT.sub("_", part).encode()[:120].decode("utf-8", "ignore").strip(" ").rstrip(". ")
    if plain.startswith("."):
        plain = f"_{plain[1:]}"
    return f"_{plain}" if not plain or _RESERVED.fullmatch(plain) else plain


class Results:
    """results.csv and results.json, in place and whole once closed; until then the rows are in a journal.

    Rows are not kept in memory. Leaving the ``with`` by an error writes the files too, marked as interrupted,
    and leaves the journal, from which a later run goes on. What was judged is not lost, whatever stops it.
    """

    def __init__(
        self,
        folder: Path,
        shared: Mapping[str, Any],
        about: Mapping[str, Any],
        journal: Journal | None = None,
    ) -> None:
        """
        Args:
            folder: where the files go.
            shared: columns that are the same in every row.
            about: what stands at the top of the JSON.
            journal: of a scoring to go on with; default: a new one.
        """
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.interrupted: str | None = None
        self._shared = dict(shared)
        self._about = dict(about)
        self._journal = journal
        # The place of each row in the order of the images, and in the journal.
        self._places: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        if self._journal is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._journal = Journal.begin(self.folder, {})
        return self

    @property
    def journal(self) -> Journal:
        """Where the rows are until the end."""
        assert self._journal is not None
        return self._journal

    def add(self, row: Mapping[str, Any], order: int | None = None) -> None:
        """Write a row of :func:`decision_document` or :func:`unusable`.

        Args:
            row: one image's.
            order: its place among the images; default: the next one.
        """
        self._place(row, self.journal.add(row), order)

    def keep(self, place: int, order: int) -> dict[str, Any]:
        """Take a row of an earlier run from its place in the journal; returns it."""
        row = self.journal.row(place)
        self._place(row, place, order)
        return row

    def _place(self, row: Mapping[str, Any], place: int, order: int | None) -> None:
        self._places.append((len(self._places) if order is None else order, place))
        self.counts["unreadable" if row.get("error") else str(row["verdict"])] += 1

    def interrupt(self, reason: str) -> None:
        """Mark the results as not complete, and why."""
        self.interrupted = reason

    def document(self) -> dict[str, Any]:
        """What stands at the end of the JSON: counts, and whether something cut the run short."""
        names = ("accept", "review", "reject", "unreadable")
        return {"counts": {name: self.counts[name] for name in names}, "interrupted": self.interrupted}

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
        for _, place in sorted(self._places):
            yield self.journal.row(place)

    def _write_csv(self, file: BinaryIO) -> None:
        # A name on disk need not be text: what is none must not end the run.
        columns = (*CSV_COLUMNS, *MORE_COLUMNS)
        file.write(codecs.BOM_UTF8 + csv_line(columns).encode("utf-8", "replace"))
        for row in self._rows():
            file.write(csv_line(csv_cells({**row, **self._shared}, columns)).encode("utf-8", "replace"))
        if self.interrupted is not None:
            # The CSV has no other place to say so; the row has no name and no verdict.
            last = {"name": "", "error": f"interrupted: {self.interrupted}"}
            file.write(csv_line(csv_cells(last, columns)).encode("utf-8", "replace"))

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
