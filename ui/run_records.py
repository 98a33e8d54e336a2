"""Recording what the Run tab scores: the fields of the session, and images that are not on record yet.

Scoring never waits for the database to come back: what cannot be recorded is kept, counted and shown, and
recorded when the user tries again. An image has one identifier for all attempts, so none is recorded twice.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui.app import person, state, workspace

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.records.name_pattern import NamePattern
    from padim.storage.model_folders import Entry
    from ui.scoring import ScoredUpload

__all__ = ["ImageContexts", "RunRecorder", "SessionFields", "contexts", "fields", "recorder"]

_LOGGER = logging.getLogger(__name__)
# Inspections that are recorded in one transaction.
_AT_ONCE = 32
# The fields that are typed once per session, with their labels.
TYPED = {"lot": "Lot", "serial": "Serial number", "station": "Station", "shift": "Shift"}


@dataclass
class SessionFields:
    """What a browser's user has typed about the images that come next.

    Attributes:
        values: the typed fields by name, without empty ones.
        pattern: the pattern that reads fields from file names; empty for none.
        keep: whether what is scored is recorded.
    """

    values: dict[str, str] = field(default_factory=dict)
    pattern: str = ""
    keep: bool = True


@dataclass(frozen=True)
class ImageContexts:
    """Where images come from: what was typed, and what their names say.

    Attributes:
        who: who has them inspected.
        typed: the typed fields.
        pattern: reads further fields from names; None for none.
    """

    who: str
    typed: Mapping[str, str]
    pattern: NamePattern | None = None

    def of(self, name: str) -> dict[str, str]:
        """Return the fields of an image; what its name says counts more than what was typed."""
        read = {} if self.pattern is None else self.pattern.read(name).values
        return {**self.typed, **read}


@dataclass(frozen=True)
class _Unrecorded:
    """A scored image with everything that its record needs."""

    item: ScoredUpload
    model: Padim
    version_id: int | None
    contexts: ImageContexts
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)


class RunRecorder:
    """Records the images that a browser scores with one model (thread-safe).

    Attributes:
        why: why the latest attempt to record something failed; None if it did not.
    """

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self.why: BaseException | None = None
        self._waiting: list[_Unrecorded] = []
        self._recorded = 0
        self._lock = threading.Lock()
        # One attempt at a time, so that nothing is tried by two threads at once.
        self._attempt = threading.Lock()

    @property
    def recorded(self) -> int:
        """Number of images that were recorded since the list was cleared."""
        with self._lock:
            return self._recorded

    @property
    def unrecorded(self) -> int:
        """Number of images that are not on record because an attempt has failed."""
        with self._lock:
            return len(self._waiting) if self.why is not None else 0

    def clear(self) -> None:
        """Count anew; images that are not on record yet can still be recorded."""
        with self._lock:
            self._recorded = 0

    def keep(
        self,
        items: Sequence[ScoredUpload],
        model: Padim,
        version_id: int | None,
        image_contexts: ImageContexts,
        *,
        attempt: bool = True,
    ) -> None:
        """Record scored images, or keep them for later if that fails.

        Args:
            items: the images.
            model: the model that scored them.
            version_id: row of the model's version.
            image_contexts: where they come from.
            attempt: whether to try; the attempt of a batch that has just failed is not repeated with every
                batch, because a locked database takes long to say so.
        """
        with self._lock:
            self._waiting += [_Unrecorded(item, model, version_id, image_contexts) for item in items]
        if attempt:
            self.record()

    def record(self) -> None:
        """Record what is not on record yet, as far as possible; ``why`` says what failed."""
        with self._attempt:
            while True:
                with self._lock:
                    batch = self._waiting[:_AT_ONCE]
                    if not batch:
                        self.why = None
                        return
                try:
                    self._add(batch)
                except Exception as error:  # scoring goes on, whatever happens to its record
                    if not isinstance(error, PadimError | OSError):
                        _LOGGER.exception("images cannot be recorded")
                    self.why = error
                    return
                with self._lock:
                    del self._waiting[: len(batch)]
                    self._recorded += len(batch)

    def _add(self, batch: Sequence[_Unrecorded]) -> None:
        from padim.records.inspection import InspectionContext
        from padim.records.inspections import InspectionRecords
        from padim.records.recording import new_inspection

        InspectionRecords(workspace.root()).add(
            [
                new_inspection(
                    one.model,
                    one.item.predicted(one.model),
                    InspectionContext(
                        who=one.contexts.who, source="app", **one.contexts.of(one.item.given_name)
                    ),
                    model_id=self.model_id,
                    version_id=one.version_id,
                    name=one.item.given_name,
                    original=one.item.file,
                    thumbnail=one.item.thumb.data,
                    uid=one.uid,
                    judged=one.item.scored_at,
                )
                for one in batch
            ]
        )

    def waiting_for_people(self) -> int | None:
        """Return how many inspections of this model await a person; None if the database cannot be read."""
        from padim.records.inspections import InspectionQuery, InspectionRecords

        try:
            records = InspectionRecords(workspace.root())
            return records.count(InspectionQuery(model_id=self.model_id, waits=True))
        except (PadimError, OSError):
            return None


class _Recorders:
    """The recorders of one browser, by model id (thread-safe)."""

    def __init__(self) -> None:
        self._of: dict[str, RunRecorder] = {}
        self._lock = threading.Lock()

    def of(self, model_id: str) -> RunRecorder:
        with self._lock:
            return self._of.setdefault(model_id, RunRecorder(model_id))


def fields() -> SessionFields:
    """Return what this browser's user has typed; kept when the page is loaded again."""
    return state.of_browser(SessionFields)


def recorder(entry: Entry) -> RunRecorder:
    """Return this browser's recorder of what a model scores."""
    return state.of_browser(_Recorders).of(entry.id)


def contexts(part_number: str = "", *, by_name: bool = True) -> ImageContexts:
    """Return where the images come from that are scored next.

    Args:
        part_number: the part number that was typed or scanned; empty for none.
        by_name: whether the session's pattern reads the names of these images.

    Raises:
        PadimError: the pattern for file names is none.
    """
    from padim.records.name_pattern import NamePattern

    typed = fields()
    values = {**typed.values, **({"part_number": part_number} if part_number else {})}
    pattern = NamePattern.of(typed.pattern) if typed.pattern and by_name else None
    return ImageContexts(person.name(), values, pattern)
