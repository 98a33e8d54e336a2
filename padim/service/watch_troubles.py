"""What keeps a watch from its work at the moment, said once when it begins, and as an alarm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

__all__ = ["TroubleKind", "WatchTroubles"]

# The folder is away; a sub-folder cannot be read; nothing can inspect; results cannot be recorded, or are
# recorded without evidence; result files cannot be written; the state cannot be; files cannot be moved; the
# watch has ended.
TroubleKind = Literal["folder", "closed", "model", "record", "evidence", "files", "state", "move", "end"]
# Whoever records raises the alarm of "evidence" itself.
_ALARMING = ("folder", "model", "record", "files", "state")


class WatchTroubles:
    """The troubles of one watch, each with a sentence.

    Args:
        folder: the watched folder, which alarms name.
        on_note: called with the sentence when a trouble begins.
        on_alarm: called with subject and text of an alarm; returns whether it could be raised.
    """

    def __init__(
        self, folder: Path, on_note: Callable[[str], None], on_alarm: Callable[[str, str], bool]
    ) -> None:
        self._folder, self._on_note, self._on_alarm = folder, on_note, on_alarm
        self._texts: dict[TroubleKind, str] = {}
        self._alarms: dict[str, str] = {}

    def __contains__(self, kind: object) -> bool:
        return kind in self._texts

    def set(self, kind: TroubleKind, text: str) -> None:
        """Say what is wrong."""
        if kind not in self._texts and kind != "end":
            self._on_note(text)
            if kind in _ALARMING:
                self._alarms[f"watch: {kind}"] = f"{self._folder}: {text}"
        self._texts[kind] = text

    def clear(self, kind: TroubleKind) -> None:
        """Say that something is right again, or still."""
        self._texts.pop(kind, None)

    def text(self, *kinds: TroubleKind) -> str:
        """Return what is wrong as one text, of some kinds or of all; empty if nothing is."""
        texts = dict(self._texts)
        return "; ".join(text for kind, text in texts.items() if not kinds or kind in kinds)

    def raise_alarms(self) -> None:
        """Raise the alarms that could not be raised before."""
        for subject, text in list(self._alarms.items()):
            if self._on_alarm(subject, text):
                del self._alarms[subject]
