"""Watching a folder: what appears there is inspected once, put on record, and its result written to files."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from padim.data.decode import sha256
from padim.data.sources import read_plain
from padim.errors import ImageError, PadimError
from padim.records.inspection import InspectionContext
from padim.records.inspections import InspectionRecords
from padim.records.name_pattern import NamePattern
from padim.records.watches import WatchedFolder, absolute, check_places
from padim.service.inspecting_models import InspectingModel, InspectingModels
from padim.service.inspector import InspectionRequest, InspectionResult, Inspector
from padim.service.watch_folder import FoundFile, WaitingFiles, mark_of, scan
from padim.service.watch_lock import WatchLock
from padim.service.watch_notice import ChangeNotice, is_network_folder
from padim.service.watch_results import (
    MOVED_REFUSED,
    base_of,
    move,
    panel_jpeg,
    prediction_again,
    write_results,
)
from padim.service.watch_state import WatchedFileRow, WatchState
from padim.service.watch_status import WatchPhase, WatchStatus
from padim.service.watch_unsaved import InspectedFile, ReadFile, UnsavedResults
from padim.storage import leftovers
from padim.storage.atomic import explain_os_error
from padim.text import count

__all__ = ["FolderWatch"]

_LOGGER = logging.getLogger(__name__)
# Images that are inspected at a time, and bytes of their files.
_GROUP, _GROUP_BYTES = 8, 64 * 2**20
# Seconds between two looks into the folder: where the system gives notice of changes, and where it does not.
_RARELY, _OFTEN = 10.0, 1.0
# A look that takes long is taken the less often: pauses are at least so many times as long.
_PAUSE = 4.0
# Seconds until what has failed is tried again, and the longest pause between two tries.
_AGAIN, _AGAIN_AT_MOST = 2.0, 15.0
_LAST = 12
_MOVED_AT_ONCE = 200


class FolderWatch:
    """A watched folder, its locks held; use it as a context manager.

    All methods are for one thread, but :meth:`status`, which any thread may call.
    """

    def __init__(
        self,
        watched: WatchedFolder,
        models: InspectingModels,
        *,
        using: InspectingModel | None = None,
        recording: bool = True,
        on_result: Callable[[InspectionResult], None] = lambda _: None,
        on_note: Callable[[str], None] = lambda _: None,
        on_alarm: Callable[[str, str], bool] = lambda *_: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the locks and open the state.

        Args:
            watched: the folder and how it is watched.
            models: opens what inspects.
            using: the model that inspects now, if it is known.
            recording: whether results are put on record, where the model is in a workspace.
            on_result: called with each new result, also if it cannot be stored.
            on_note: called with sentences on what has changed, such as another version that inspects.
            on_alarm: called with the subject and the text of an alarm; returns whether it could be raised.
            clock: returns the time in seconds.

        Raises:
            PadimError: the folder is not there, another watch has it or the results, these are another
                folder's, or the name pattern is none.
            StorageError: the folder for results cannot be written.
        """
        options = watched.options
        self.watched = replace(watched, folder=absolute(watched.folder), output=absolute(watched.output))
        self._folder, self._output = self.watched.folder, self.watched.output
        self._move_to = absolute(options.move_to) if options.move_to else None
        check_places(self._folder, self._output, self._move_to)
        self._pattern = NamePattern.of(options.name_pattern) if options.name_pattern else None
        self._models, self._using = models, using
        self._inspector = Inspector(record=recording)
        self._recording = recording
        self._on_result, self._on_note, self._on_alarm = on_result, on_note, on_alarm
        self._clock = clock
        if not self._folder.is_dir():
            raise PadimError(f"{self._folder}: there is no such folder; give the folder with the images")
        try:
            self._output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self._output) from error
        self._locks = [
            WatchLock(self._output, "folder for results", self._output),
            WatchLock(self._folder, "watched folder", self._output),
        ]
        self._pool = ThreadPoolExecutor(2, "watch results")
        try:
            for lock in self._locks:
                lock.acquire()
            self._state = WatchState(self._output, self._folder)
            self._sweep()
        except BaseException:
            self.close()
            raise
        self._waiting = WaitingFiles(options.settle, options.patience)
        self._unsaved = UnsavedResults()
        self.woken = threading.Event()
        self._notice = ChangeNotice(self._folder, self.woken, sub_folders=options.sub_folders)
        self._polls = options.polling or is_network_folder(self._folder)
        self._next_scan = self._scan_allowed = self._next_retry = self._not_before = clock()
        self._pause = _AGAIN
        self._away = False
        self._troubles: dict[str, str] = {}
        self._alarms: dict[str, str] = {}
        self._started = datetime.now(UTC)
        self._phase: WatchPhase = "starting"
        self._counts = self._state.counts()
        self._passed_over = self._unfinished = 0
        self._times: deque[float] = deque()
        self._last: tuple[dict[str, Any], ...] = ()

    # -- running -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the locks; what is not stored by now is inspected again by the next watch."""
        notice = getattr(self, "_notice", None)
        if notice is not None:
            notice.stop()
        self._pool.shutdown()
        state = getattr(self, "_state", None)
        if state is not None:
            state.close()
        for lock in self._locks:
            lock.release()

    def run(self, stop: Callable[[], bool], *, once: bool = False) -> None:
        """Watch until ``stop`` returns True, or with ``once`` until all that is there is done or refused."""
        tries = 0
        if not self._polls and not once:
            self._notice.start()
        while not stop():
            if self.step():
                tries = 0
                continue
            if once and (self._away or "model" in self._troubles):
                break
            if once and not len(self._waiting):
                if not len(self._unsaved) or tries > 1:
                    break
                tries += 1
            self.woken.wait(self._delay())
        self._phase = "stopping"
        self._store_again(self._clock(), at_once=True)

    def retry_refused(self) -> int:
        """Have refused files tried again; return their number."""
        number = self._state.retry_refused()
        self._counts.pop("refused", None)
        return number

    def ended(self, phase: WatchPhase, error: str = "") -> None:
        """Say how the watch has ended, for the last status."""
        self._phase = phase
        if error:
            self._troubles["end"] = error

    def step(self) -> bool:
        """Look into the folder if it is time, inspect a few images; return whether there were any."""
        now = self._clock()
        self._store_again(now)
        if now >= self._next_scan or (self.woken.is_set() and now >= self._scan_allowed):
            self._look(now)
        group: list[ReadFile] = []
        try:
            if now >= self._not_before and not self._away:
                group = self._take(now)
        except PadimError as error:  # the state cannot be read
            self._trouble("state", str(error))
            self._not_before = now + _AGAIN
        if not group:
            if self._phase in ("starting", "inspecting"):
                self._phase = "watching"
            return False
        self._phase = "inspecting"
        self._inspect(group, now)
        return True

    def _delay(self) -> float:
        now, times = self._clock(), [self._next_scan]
        ready = self._waiting.next_ready()
        if ready is not None:
            times.append(max(ready, self._not_before))
        if len(self._unsaved):
            times.append(self._next_retry)
        return min(max(min(times) - now, 0.02), 1.0)

    # -- the folder --------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self.woken.clear()
        try:
            if self._away:  # the lock was that of the folder as it was before
                self._locks[1].release()
                self._locks[1].acquire()
            found = scan(
                self._folder,
                self._state.unknown,
                sub_folders=self.watched.options.sub_folders,
                with_done=_MOVED_AT_ONCE if self._move_to else 0,
            )
        except OSError as error:
            if not self._away:
                self._on_note(f"{self._folder}: the folder is away ({error.strerror}); waiting for it")
            self._away = True
            self._waiting.observe([], now)
            self._trouble(
                "folder", f"{self._folder}: cannot be read ({error.strerror}); it is looked for again"
            )
            self._next_scan = now + _AGAIN
            return
        except PadimError as error:
            self._trouble("state", str(error))
            self._next_scan = now + _AGAIN
            return
        if self._away:
            self._on_note(f"{self._folder}: the folder is there again")
            self._away = False
            if not self._polls:
                self._notice.stop()
                self._notice = ChangeNotice(
                    self._folder, self.woken, sub_folders=self.watched.options.sub_folders
                )
                self._notice.start()
        self._clear("folder")
        if found.closed:
            self._trouble("closed", f"{'; '.join(found.closed[:3])}: cannot be read; check the permissions")
        else:
            self._clear("closed")
        self._passed_over, self._unfinished = found.passed_over, found.unfinished
        self._waiting.observe(self._unsaved.without(found.images), now)
        for one in found.done:
            self._move_done(one)
        took = self._clock() - now
        self._scan_allowed = now + took * (1 + _PAUSE)
        self._next_scan = max(self._scan_allowed, now + (_RARELY if self._notice.works else _OFTEN))

    def _take(self, now: float) -> list[ReadFile]:
        group: list[ReadFile] = []
        size = 0
        for found in self._waiting.ready(now):
            if len(group) == _GROUP or (group and size + found.mark.size > _GROUP_BYTES):
                break
            file = self._read(found, now)
            if file is not None:
                group.append(file)
                size += len(file.content)
        return group

    def _read(self, found: FoundFile, now: float) -> ReadFile | None:
        """Return a file if it is whole and not done; else it waits on, or is refused, or forgotten."""
        try:
            before = mark_of(found.place)
            if before != found.mark:
                self._waiting.changed(replace(found, mark=before), now)
                return None
            content = read_plain(found.place, found.path)
            if mark_of(found.place) != before:
                self._waiting.changed(found, now)
                return None
        except FileNotFoundError:
            self._gone(found, now)
            return None
        except ImageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                self._gone(found, now)
            elif not self._waiting.unreadable(found.path, now):
                # Without its content there is no hash: it is tried again when it was changed.
                mark = f"unread-{found.mark.size}-{found.mark.modified}"
                row = WatchedFileRow(found.path, mark, self._state.uid_of(found.path, mark), "", found.mark)
                self._end([replace(row, state="refused", reason=error.reason)])
            return None
        except OSError:  # the folder is about to be found away
            self._next_scan = now
            return None
        digest = sha256(content)
        rows = [*self._state.of(found.path), *self._unsaved.rows.values()]
        known = next((row for row in rows if (row.path, row.sha256) == (found.path, digest)), None)
        if known is not None and known.state != "begun":
            self._end([replace(known, mark=found.mark)], again=True)
            self._move_done(found)
            return None
        if known is not None:
            return ReadFile(found, content, replace(known, mark=found.mark))
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        base = base_of(found.path, digest, day, {row.base for row in rows if row.path == found.path})
        uid = self._state.uid_of(found.path, digest)
        return ReadFile(found, content, WatchedFileRow(found.path, digest, uid, base, found.mark))

    def _gone(self, found: FoundFile, now: float) -> None:
        self._waiting.remove(found.path)
        self._next_scan = min(self._next_scan, max(now, self._scan_allowed))

    # -- inspecting --------------------------------------------------------------------------------------

    def _inspect(self, group: Sequence[ReadFile], now: float) -> None:
        usable: list[tuple[ReadFile, InspectionContext]] = []
        refused: list[WatchedFileRow] = []
        try:
            using = self._models.of(self.watched.target)
            for file in group:
                context = self._context(file.found.path)
                if why := self._models.wrong_part(context.part_number, using):
                    refused.append(replace(file.row, state="refused", reason=why))
                else:
                    usable.append((file, context))
            self._changed_model(using)
            self._begin([file.row for file, _ in usable])
            requests = [
                InspectionRequest(file.found.path, file.content, context, uid=file.row.uid)
                for file, context in usable
            ]
            results = self._results(requests, using)
        except (PadimError, OSError) as error:
            self._trouble("model", f"nothing is inspected: {error}")
            self._not_before = now + _AGAIN_AT_MOST / 3
            return
        self._clear("model")
        self._end(refused)
        files = [file for file, _ in usable]
        for one in results:
            if one.document is not None:
                self._times.append(now)
                self._on_result(one)
        self._finish([InspectedFile(file, one, using) for file, one in zip(files, results, strict=True)], now)

    def _results(
        self, requests: Sequence[InspectionRequest], using: InspectingModel
    ) -> list[InspectionResult]:
        try:
            return self._inspector.inspect(requests, using)
        except (PadimError, OSError):
            raise
        except Exception as error:
            if len(requests) > 1:  # one that the program fails at must not cost the others
                return [result for one in requests for result in self._results([one], using)]
            _LOGGER.exception("an image cannot be inspected")
            (one,) = requests
            return [InspectionResult(one.uid, one.name, error=f"cannot be inspected ({error!r})")]

    def _context(self, path: str) -> InspectionContext:
        options = self.watched.options
        names = ("part_number", "serial", "lot", "station", "shift")
        fields = {name: getattr(options, name) for name in names}
        if self._pattern is not None:
            fields |= self._pattern.read(path).values
        return InspectionContext(options.who or "watch", "watch", **fields)

    def _changed_model(self, using: InspectingModel) -> None:
        before, self._using = self._using, using
        if before is not None and before.model.revision != using.model.revision:
            version = f"version {using.version_number} of " if using.version_number is not None else ""
            self._on_note(f"the model was changed: {version}{using.name} inspects from the next image on")

    def _begin(self, rows: Sequence[WatchedFileRow]) -> None:
        try:
            self._state.put(rows)
        except PadimError as error:  # the same identity is found from path and content
            self._trouble("state", str(error))

    # -- storing -----------------------------------------------------------------------------------------

    def _finish(self, inspected: Sequence[InspectedFile], now: float) -> None:
        """Write the files of what is on record, and mark it as done; hold the rest."""
        ended: list[WatchedFileRow] = []
        begun_no_more: list[WatchedFileRow] = []
        recorded: list[InspectedFile] = []
        for one in inspected:
            path = one.file.found.path
            if one.result.error:
                if self._waiting.unreadable(path, now):
                    begun_no_more.append(one.file.row)
                else:
                    ended.append(replace(one.file.row, state="refused", reason=one.result.error))
            elif one.result.problem:
                self._trouble("record", f"results are not on record: {one.result.problem}")
                self._hold(one)
            else:
                recorded.append(one)
        rows = [one.result.record_id for one in recorded if not one.result.repeated]
        ids = [row for row in rows if row is not None]
        if ids:
            self._clear("record")
            self._check_evidence(ids, recorded[0].using)
        failed: OSError | None = None
        for one, error in zip(recorded, self._pool.map(self._write, recorded), strict=True):
            failed = failed or error
            verdict = one.result.document["verdict"] if one.result.document else ""
            row = replace(one.file.row, state="done", verdict=verdict, files=error is None)
            if error is None or (not self._unsaved.hold(one) and one.result.record_id is not None):
                ended.append(row)
                self._note_last(one.result, row)
            elif one not in self._unsaved.held:
                self._unsaved.park(one.file.found)
            self._waiting.remove(one.file.found.path)
        if failed is not None:
            self._trouble("files", str(explain_os_error(failed)))
        elif recorded:
            self._clear("files")
        self._end(ended, forget=begun_no_more)
        if self._move_to is not None and "state" not in self._troubles:
            places = {one.file.found.path: one.file.found for one in inspected}
            for row in ended:
                self._move(row, places[row.path])

    def _check_evidence(self, ids: Sequence[int], using: InspectingModel) -> None:
        if using.root is None:
            return
        try:
            lacking = InspectionRecords(using.root).lacking_evidence(ids)
        except PadimError:
            return
        if lacking:
            self._trouble(
                "evidence",
                "the disk of the workspace is full: results are on record without images and level maps; "
                "free some space there",
            )
        else:
            self._clear("evidence")

    def _hold(self, one: InspectedFile) -> None:
        if not self._unsaved.hold(one):
            self._unsaved.park(one.file.found)
        self._waiting.remove(one.file.found.path)

    def _write(self, one: InspectedFile) -> OSError | None:
        """Write an image's files; return the error if they cannot be written."""
        document, options = one.result.document, self.watched.options
        assert document is not None
        try:
            panel = None
            if options.panels:
                prediction = one.result.prediction or prediction_again(one.file.content, document, one.using)
                if prediction is not None and prediction.threshold_level is not None:
                    panel = panel_jpeg(
                        one.file.content, one.result.name, prediction, one.using, options.panel_side
                    )
            write_results(self._output, one.file.row.base, document, panel)
        except OSError as error:
            return error
        return None

    def _end(
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
            self._clear("state")
        except PadimError as error:
            self._trouble("state", str(error))
            self._unsaved.rows |= {(row.path, row.sha256): row for row in rows}
        for row in rows:
            self._waiting.remove(row.path)
            if not again:
                name = "refused" if row.state == "refused" else row.verdict
                self._counts[name] = self._counts.get(name, 0) + 1
                if not row.files:
                    self._counts["without_files"] = self._counts.get("without_files", 0) + 1

    def _store_again(self, now: float, *, at_once: bool = False) -> None:
        for subject, text in list(self._alarms.items()):
            if now >= self._next_retry and self._on_alarm(subject, text):
                del self._alarms[subject]
        if not len(self._unsaved) or (now < self._next_retry and not at_once):
            if now >= self._next_retry:
                self._next_retry = now + _AGAIN
            return
        self._pause = min(self._pause * 1.5, _AGAIN_AT_MOST)
        self._next_retry = now + self._pause
        if self._unsaved.rows:
            rows, self._unsaved.rows = list(self._unsaved.rows.values()), {}
            self._end(rows, again=True)
        held, self._unsaved.held = self._unsaved.held, []
        tried = []
        for one in held:
            (result,) = self._inspector.record([one.result], one.using.root)
            tried.append(replace(one, result=result))
        self._finish(tried, now)
        if not self._unsaved.held:
            self._unsaved.parked.clear()
            self._pause = _AGAIN
            self._next_scan = min(self._next_scan, now)

    # -- moving ------------------------------------------------------------------------------------------

    def _move_done(self, found: FoundFile) -> None:
        if self._move_to is None:
            return
        for row in self._state.of(found.path):
            if row.mark == found.mark and row.state != "begun":
                self._move(row, found)

    def _move(self, row: WatchedFileRow, found: FoundFile) -> None:
        assert self._move_to is not None
        folder = MOVED_REFUSED if row.state == "refused" else row.verdict
        try:
            move(found.place, row.mark, self._move_to / folder / found.place.relative_to(self._folder))
        except FileNotFoundError:
            return
        except OSError as error:
            self._trouble("move", f"inspected files stay where they are: {explain_os_error(error)}")
        else:
            self._clear("move")

    def _sweep(self) -> None:
        """Remove what a killed process has left of files that it was writing."""
        leftovers.sweep(leftovers.beside(self._output))
        for folder in {(self._output / row.base).parent for row in self._state.begun()}:
            leftovers.sweep(leftovers.beside(folder))

    # -- what is said ------------------------------------------------------------------------------------

    @property
    def problem(self) -> str:
        """What is not stored, and why, as a sentence; empty if everything is."""
        missing = len(self._unsaved.held) + len(self._unsaved.parked)
        why = "; ".join(self._troubles[kind] for kind in ("record", "files") if kind in self._troubles)
        if missing:
            what = count(missing, "image was", "images were")
            return f"{what} inspected and the results not stored: {why}; the same command does it again"
        return "; ".join(
            text for kind, text in self._troubles.items() if kind in ("model", "folder", "state")
        )

    def status(self) -> WatchStatus:
        """Return the present state; for any thread."""
        using, watched = self._using, self.watched
        verdicts = {name: self._counts.get(name, 0) for name in ("accept", "review", "reject", "none")}
        troubles = list(dict(self._troubles).values())
        phase: WatchPhase = self._phase
        if troubles and phase in ("starting", "watching", "inspecting"):
            phase = "no folder" if self._away else "problem"
        minute = self._clock() - 60
        now = datetime.now(UTC)
        return WatchStatus(
            watched.uid,
            watched.target,
            str(watched.folder),
            str(watched.output),
            phase,
            "; ".join(troubles),
            started=self._started,
            updated=now,
            model_id="" if using is None else using.model_id,
            model_name="" if using is None else using.name,
            version=None if using is None else using.version_number,
            recording=using is not None and using.root is not None and self._recording,
            counts={
                "inspected": sum(verdicts.values()),
                **verdicts,
                "refused": self._counts.get("refused", 0),
                "waiting": len(self._waiting),
                "unfinished": self._unfinished,
                "passed_over": self._passed_over,
                "not_on_record": self._unsaved.not_on_record,
                "without_files": self._counts.get("without_files", 0),
            },
            rate=sum(moment >= minute for moment in tuple(self._times)),
            last=self._last,
        )

    def _note_last(self, result: InspectionResult, row: WatchedFileRow) -> None:
        document = result.document or {}
        names = ("name", "verdict", "severity", "inspected", "id")
        one = {**{name: document.get(name) for name in names}, "files": row.base if row.files else ""}
        self._last = (one, *self._last)[:_LAST]
        while self._times and self._times[0] < self._clock() - 60:
            self._times.popleft()

    def _trouble(self, kind: str, text: str) -> None:
        if kind not in self._troubles:
            self._on_note(text)
            if kind in ("record", "files", "state", "model", "folder"):
                self._alarms[f"watch: {kind}"] = f"{self._folder}: {text}"
        self._troubles[kind] = text

    def _clear(self, kind: str) -> None:
        self._troubles.pop(kind, None)
