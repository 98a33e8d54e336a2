"""Keeping the results of a watch: files beside the record, what is done, and what must be tried again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import PadimError
from padim.records.inspections import InspectionRecords
from padim.records.watches import WatchedFolder
from padim.service.inspector import InspectionResult, Inspector
from padim.service.watch_folder import FoundFile, WaitingFiles, mark_of
from padim.service.watch_results import MOVED_REFUSED, move, panel_jpeg, prediction_again, write_results
from padim.service.watch_state import STATE_FILE, WatchedFileRow, WatchState
from padim.service.watch_troubles import WatchTroubles
from padim.service.watch_unsaved import InspectedFile, UnsavedResults
from padim.storage import leftovers
from padim.storage.atomic import explain_os_error
from padim.text import count

if TYPE_CHECKING:
    pass

__all__ = ["ResultStore"]

# Seconds until what could not be stored is tried again, and the longest pause between two tries.
_AGAIN, _AGAIN_AT_MOST = 2.0, 15.0
# Latest results that the status shows.
_LAST = 12


class ResultStore:
    """Stores the results of one watch, for use by one thread.

    A file is done when its result is on record and its files are written. What cannot be stored is held in
    memory, within bounds, and tried again; it costs the images that come after nothing.

    Attributes:
        unsaved: what is not stored yet.
        counts: number of files by verdict, ``refused`` ones, and those done ``without_files``.
        last: the latest results, the latest first.
    """

    def __init__(
        self,
        watched: WatchedFolder,
        move_to: Path | None,
        state: WatchState,
        waiting: WaitingFiles,
        inspector: Inspector,
        troubles: WatchTroubles,
    ) -> None:
        """
        Args:
            watched: the folder, with absolute paths.
            move_to: where inspected files are moved to; None if they stay.
            state: what is known of files.
            waiting: the files that wait; those that are stored or held are taken out.
            inspector: records what was inspected.
            troubles: receives what is wrong.
        """
        self._watched, self._move_to = watched, move_to
        self._state, self._waiting = state, waiting
        self._inspector, self._troubles = inspector, troubles
        self._pool = ThreadPoolExecutor(2, "watch results")
        self._next_retry, self._pause = 0.0, _AGAIN
        self.unsaved = UnsavedResults()
        self.counts = state.counts()
        self.last: tuple[dict[str, Any], ...] = ()
        self._sweep()

    def close(self) -> None:
        """End the threads that draw panels."""
        self._pool.shutdown()

    @property
    def next_retry(self) -> float | None:
        """When something is tried again, in seconds; None if everything is stored."""
        return self._next_retry if len(self.unsaved) else None

    @property
    def problem(self) -> str:
        """What is not stored, and why, as a sentence; empty if everything is."""
        missing = len(self.unsaved.held) + len(self.unsaved.parked)
        if not missing:
            return ""
        what = count(missing, "image was", "images were")
        why = self._troubles.text("record", "files") or "they cannot be stored"
        return f"{what} inspected and the results not stored: {why}; the same command does it again"

    def begin(self, rows: Sequence[WatchedFileRow]) -> None:
        """Note that files are about to be inspected."""
        try:
            self._state.put(rows)
        except PadimError as error:  # the same identity is found from path and content
            self._troubles.set("state", str(error))

    def finish(self, inspected: Sequence[InspectedFile], now: float) -> None:
        """Write the files of what is on record, and mark it as done; hold the rest.

        Args:
            inspected: the results.
            now: the time in seconds.
        """
        ended: list[WatchedFileRow] = []
        begun_no_more: list[WatchedFileRow] = []
        recorded: list[InspectedFile] = []
        for one in inspected:
            if one.result.error:
                if self._waiting.unreadable(one.file.found.path, now):
                    begun_no_more.append(one.file.row)
                else:
                    ended.append(replace(one.file.row, state="refused", reason=one.result.error))
            elif one.result.problem:
                self._troubles.set("record", f"results are not on record: {one.result.problem}")
                self._hold(one)
            else:
                recorded.append(one)
        self._check_evidence(recorded)
        ended += self._filed(recorded)
        self.end(ended, forget=begun_no_more)
        if self._move_to is not None and "state" not in self._troubles:
            places = {one.file.found.path: one.file.found for one in inspected}
            for row in ended:
                self._move(row, places[row.path])

    def _filed(self, recorded: Sequence[InspectedFile]) -> list[WatchedFileRow]:
        """Write the files of results; return the rows of those that are done."""
        done: list[WatchedFileRow] = []
        failed: OSError | None = None
        for one, error in zip(recorded, self._pool.map(self._write, recorded), strict=True):
            failed = failed or error
            document = one.result.document or {}
            row = replace(one.file.row, state="done", verdict=document["verdict"], files=error is None)
            if error is not None and self.unsaved.hold(one):
                self._waiting.remove(one.file.found.path)
            elif error is None or one.result.record_id is not None:
                done.append(row)
                self._note_last(one.result, row)
            else:
                self._park(one)
        if failed is not None:
            self._troubles.set("files", str(explain_os_error(failed)))
        elif recorded:
            self._troubles.clear("files")
        return done

    def _write(self, one: InspectedFile) -> OSError | None:
        """Write an image's files; return the error if they cannot be written."""
        document, options, file = one.result.document, self._watched.options, one.file
        assert document is not None
        try:
            # A disk that is away leaves an empty folder, or none: nothing is to be written there.
            mark_of(self._watched.output / STATE_FILE)
            panel = None
            if options.panels:
                shown = one.result.prediction or prediction_again(file.content, document, one.using)
                if shown is not None and shown.threshold_level is not None:
                    panel = panel_jpeg(file.content, one.result.name, shown, one.using, options.panel_side)
            write_results(self._watched.output, file.row.base, document, panel)
        except OSError as error:
            return error
        return None

    def _hold(self, one: InspectedFile) -> None:
        if self.unsaved.hold(one):
            self._waiting.remove(one.file.found.path)
        else:
            self._park(one)

    def _park(self, one: InspectedFile) -> None:
        self.unsaved.park(one.file.found)
        self._waiting.remove(one.file.found.path)

    def _check_evidence(self, recorded: Sequence[InspectedFile]) -> None:
        """Say so if results were recorded on a disk that is too full for images and level maps."""
        new = [one for one in recorded if not one.result.repeated]
        ids = [one.result.record_id for one in new if one.result.record_id is not None]
        if not ids:
            return
        self._troubles.clear("record")
        root = new[0].using.root
        assert root is not None
        try:
            lacking = InspectionRecords(root).lacking_evidence(ids)
        except PadimError:  # the next recording says what is wrong
            return
        if lacking:
            self._troubles.set(
                "evidence",
                "the disk of the workspace is full: results are on record without images and level maps; "
                "free some space there",
            )
        else:
            self._troubles.clear("evidence")

    def end(
        self,
        rows: Sequence[WatchedFileRow],
        *,
        forget: Sequence[WatchedFileRow] = (),
        again: bool = False,
    ) -> None:
        """Mark files as done or refused, now or, if that fails, later.

        Args:
            rows: their rows.
            forget: rows of files that are read again later.
            again: whether they were counted before.
        """
        try:
            self._state.put(rows, forget=forget)
            self._troubles.clear("state")
        except PadimError as error:
            self._troubles.set("state", str(error))
            self.unsaved.rows |= {(row.path, row.sha256): row for row in rows}
        for row in rows:
            self._waiting.remove(row.path)
            if not again:
                name = "refused" if row.state == "refused" else row.verdict
                self.counts[name] = self.counts.get(name, 0) + 1
                if not row.files:
                    self.counts["without_files"] = self.counts.get("without_files", 0) + 1

    def retry(self, now: float, *, at_once: bool = False) -> bool:
        """Try to store what could not be stored; return whether files are to be looked for again.

        Args:
            now: the time in seconds.
            at_once: whether to try before it is time.
        """
        if now < self._next_retry and not at_once:
            return False
        self._next_retry = now + self._pause
        self._troubles.raise_alarms()
        if "state" in self._troubles and not self._reopened():
            return False
        if not len(self.unsaved):
            self._pause = _AGAIN
            return False
        self._pause = min(self._pause * 1.5, _AGAIN_AT_MOST)
        if self.unsaved.rows:
            rows, self.unsaved.rows = list(self.unsaved.rows.values()), {}
            self.end(rows, again=True)
        held, self.unsaved.held = self.unsaved.held, []
        self.finish(
            [replace(one, result=self._inspector.record([one.result], one.using.root)[0]) for one in held],
            now,
        )
        if self.unsaved.held or not self.unsaved.parked:
            return False
        self.unsaved.parked.clear()
        return True

    def _reopened(self) -> bool:
        try:
            self._state.reopen()
        except PadimError as error:
            self._troubles.set("state", str(error))
            return False
        self._troubles.clear("state")
        return True

    def retry_refused(self) -> int:
        """Have refused files tried again; return their number."""
        number = self._state.retry_refused()
        self.counts.pop("refused", None)
        return number

    # -- moving ------------------------------------------------------------------------------------------

    def move_done(self, found: FoundFile) -> None:
        """Move a file that is done, if files are to be moved."""
        if self._move_to is None:
            return
        for row in self._state.of(found.path):
            if row.mark == found.mark and row.state != "begun":
                self._move(row, found)

    def _move(self, row: WatchedFileRow, found: FoundFile) -> None:
        assert self._move_to is not None
        folder = MOVED_REFUSED if row.state == "refused" else row.verdict
        target = self._move_to / folder / found.place.relative_to(self._watched.folder)
        try:
            move(found.place, row.mark, target)
        except FileNotFoundError:
            return
        except OSError as error:
            self._troubles.set("move", f"inspected files stay where they are: {explain_os_error(error)}")
        else:
            self._troubles.clear("move")

    def _sweep(self) -> None:
        """Remove what a killed process has left of files that it was writing."""
        output = self._watched.output
        leftovers.sweep(leftovers.beside(output))
        for folder in {(output / row.base).parent for row in self._state.begun()}:
            leftovers.sweep(leftovers.beside(folder))

    def _note_last(self, result: InspectionResult, row: WatchedFileRow) -> None:
        document = result.document or {}
        names = ("name", "verdict", "severity", "inspected", "id")
        one = {**{name: document.get(name) for name in names}, "files": row.base if row.files else ""}
        self.last = (one, *self.last)[:_LAST]
