"""Watching a folder: what appears there is inspected once, put on record, and its result written to files."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from padim.data.decode import sha256
from padim.data.sources import read_plain
from padim.errors import ImageError, PadimError
from padim.records.inspection import InspectionContext
from padim.records.name_pattern import NamePattern
from padim.records.watches import WatchedFolder, absolute, check_places
from padim.service.inspecting_models import InspectingModel, InspectingModels
from padim.service.inspector import InspectionRequest, InspectionResult, Inspector
from padim.service.watch_folder import FoundFile, WaitingFiles, mark_of, scan
from padim.service.watch_lock import WatchLock
from padim.service.watch_notice import ChangeNotice, is_network_folder
from padim.service.watch_results import base_of
from padim.service.watch_state import WatchedFileRow, WatchState
from padim.service.watch_status import WatchPhase, WatchStatus
from padim.service.watch_store import ResultStore
from padim.service.watch_troubles import WatchTroubles
from padim.service.watch_unsaved import InspectedFile, ReadFile
from padim.storage.atomic import explain_os_error

__all__ = ["FolderWatch"]

_LOGGER = logging.getLogger(__name__)
# Images that are inspected at a time, and bytes of their files.
_GROUP, _GROUP_BYTES = 8, 64 * 2**20
# Seconds between two looks into the folder: where the system gives notice of changes, and where it does not.
_RARELY, _OFTEN = 10.0, 1.0
# A look that takes long is taken the less often: pauses are at least so many times as long.
_PAUSE = 4.0
# Seconds until what has failed is tried again: a look into the folder, opening the model.
_LOOK_AGAIN, _OPEN_AGAIN = 2.0, 5.0
_MOVED_AT_ONCE = 200
_MINUTE = 60.0


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
        self._on_result, self._on_note, self._clock = on_result, on_note, clock
        self._troubles = WatchTroubles(self._folder, on_note, on_alarm)
        if not self._folder.is_dir():
            raise PadimError(f"{self._folder}: there is no such folder; give the folder with the images")
        try:
            self._output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self._output) from error
        self._waiting = WaitingFiles(options.settle, options.patience)
        self.woken = threading.Event()
        self._notice = ChangeNotice(self._folder, self.woken, sub_folders=options.sub_folders)
        self._polls = options.polling or is_network_folder(self._folder)
        self._lock = WatchLock(self._folder, "watched folder", self._output)
        with ExitStack() as closing:
            output_lock = WatchLock(self._output, "folder for results", self._output)
            output_lock.acquire()
            closing.callback(output_lock.release)
            self._lock.acquire()
            closing.callback(self._lock.release)
            self._state = WatchState(self._output, self._folder)
            closing.callback(self._state.close)
            self._store = ResultStore(
                self.watched, self._move_to, self._state, self._waiting, self._inspector, self._troubles
            )
            closing.callback(self._store.close)
            closing.callback(lambda: self._notice.stop())
            self._closing = closing.pop_all()
        self._next_scan = self._scan_allowed = self._not_before = clock()
        self._away = False
        self._started = datetime.now(UTC)
        self._phase: WatchPhase = "starting"
        self._passed_over = self._unfinished = 0
        # When images were inspected, for the rate.
        self._times: deque[float] = deque()

    # -- running -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the locks; what is not stored by now is inspected again by the next watch."""
        self._closing.close()

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
                if not len(self._store.unsaved) or tries > 1:
                    break
                tries += 1
            self.woken.wait(self._delay())
        self._phase = "stopping"
        self._store.retry(self._clock(), at_once=True)

    def named(self, uid: str) -> None:
        """Say which entry of the workspace this is, for the status."""
        self.watched = replace(self.watched, uid=uid)

    def retry_refused(self) -> int:
        """Have refused files tried again; return their number."""
        return self._store.retry_refused()

    def ended(self, phase: WatchPhase, error: str = "") -> None:
        """Say how the watch has ended, for the last status."""
        self._phase = phase
        if error:
            self._troubles.set("end", error)

    def step(self) -> bool:
        """Look into the folder if it is time, inspect a few images; return whether there were any."""
        now = self._clock()
        if self._store.retry(now):
            self._next_scan = now
        if now >= self._next_scan or (self.woken.is_set() and now >= self._scan_allowed):
            self._look(now)
        group: list[ReadFile] = []
        try:
            if now >= self._not_before and not self._away:
                group = self._take(now)
        except PadimError as error:  # the state cannot be read
            self._troubles.set("state", str(error))
            self._not_before = now + _LOOK_AGAIN
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
        if self._store.next_retry is not None:
            times.append(self._store.next_retry)
        return min(max(min(times) - now, 0.02), 1.0)

    # -- the folder --------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self.woken.clear()
        try:
            if self._away:  # the lock was that of the folder as it was before
                self._lock.release()
                self._lock.acquire()
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
            self._troubles.set(
                "folder", f"{self._folder}: cannot be read ({error.strerror}); it is looked for again"
            )
            self._next_scan = now + _LOOK_AGAIN
            return
        except PadimError as error:
            self._troubles.set("state", str(error))
            self._next_scan = now + _LOOK_AGAIN
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
        self._troubles.clear("folder")
        if found.closed:
            self._troubles.set(
                "closed", f"{'; '.join(found.closed[:3])}: cannot be read; check the permissions"
            )
        else:
            self._troubles.clear("closed")
        self._passed_over, self._unfinished = found.passed_over, found.unfinished
        self._waiting.observe(self._store.unsaved.without(found.images), now)
        for one in found.done:
            self._store.move_done(one)
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
            elif self._waiting.unreadable(found.path, now):
                return None
            elif _may_pass(error.__cause__):
                self._waiting.changed(found, now)
            else:
                # Without its content there is no hash: it is tried again when it was changed.
                mark = f"unread-{found.mark.size}-{found.mark.modified}"
                row = WatchedFileRow(found.path, mark, self._state.uid_of(found.path, mark), "", found.mark)
                self._store.end([replace(row, state="refused", reason=error.reason)])
            return None
        except OSError:  # the folder is about to be found away
            self._next_scan = now
            return None
        digest = sha256(content)
        rows = [*self._state.of(found.path), *self._store.unsaved.rows.values()]
        known = next((row for row in rows if (row.path, row.sha256) == (found.path, digest)), None)
        if known is not None and known.state != "begun":
            self._store.end([replace(known, mark=found.mark)], again=True)
            self._store.move_done(found)
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
            self._store.begin([file.row for file, _ in usable])
            requests = [
                InspectionRequest(file.found.path, file.content, context, uid=file.row.uid)
                for file, context in usable
            ]
            results = self._results(requests, using)
        except (PadimError, OSError) as error:
            self._troubles.set("model", f"nothing is inspected: {error}")
            self._not_before = now + _OPEN_AGAIN
            return
        self._troubles.clear("model")
        self._store.end(refused)
        files = [file for file, _ in usable]
        for one in results:
            if one.document is not None:
                self._note_time(now)
                self._on_result(one)
        self._store.finish(
            [InspectedFile(file, one, using) for file, one in zip(files, results, strict=True)], now
        )

    def _note_time(self, now: float) -> None:
        self._times.append(now)
        while self._times[0] < now - _MINUTE:
            self._times.popleft()

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

    # -- what is said ------------------------------------------------------------------------------------

    @property
    def problem(self) -> str:
        """What is wrong at the end, as a sentence; empty if everything is stored."""
        return self._store.problem or self._troubles.text("model", "folder", "state")

    def status(self) -> WatchStatus:
        """Return the present state; for any thread."""
        using, watched = self._using, self.watched
        verdicts = {name: self._store.counts.get(name, 0) for name in ("accept", "review", "reject", "none")}
        troubles = self._troubles.text()
        phase: WatchPhase = self._phase
        if troubles and phase in ("starting", "watching", "inspecting"):
            phase = "no folder" if self._away else "problem"
        minute = self._clock() - _MINUTE
        now = datetime.now(UTC)
        return WatchStatus(
            watched.uid,
            watched.target,
            str(watched.folder),
            str(watched.output),
            phase,
            troubles,
            started=self._started,
            updated=now,
            model_id="" if using is None else using.model_id,
            model_name="" if using is None else using.name,
            version=None if using is None else using.version_number,
            recording=using is not None and using.root is not None and self._recording,
            counts={
                "inspected": sum(verdicts.values()),
                **verdicts,
                "refused": self._store.counts.get("refused", 0),
                "waiting": len(self._waiting),
                "unfinished": self._unfinished,
                "passed_over": self._passed_over,
                "not_on_record": self._store.unsaved.not_on_record,
                "without_files": self._store.counts.get("without_files", 0),
            },
            rate=sum(moment >= minute for moment in tuple(self._times)),
            last=self._store.last,
        )


def _may_pass(cause: BaseException | None) -> bool:
    """Return whether a file could not be read because of its disk or its share, rather than of itself."""
    return isinstance(cause, OSError) and cause.errno not in (errno.EACCES, errno.EPERM)
