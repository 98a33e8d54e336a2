"""Log lines of the service, watched folders, sinks and the app: text or JSON, with the id of the request.

The settings ``log_format``, ``log_level`` and ``log_names`` say how. Lines never have the content of images.
Names of images are replaced by ``<name>``, and part numbers, serials and lots left out, unless ``log_names``
is set, because logs are kept longer and read by more people than records.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from padim import settings
from padim.data.formats import ARCHIVE_SUFFIXES, IMAGE_SUFFIXES

__all__ = ["REQUEST_ID", "configure_logs", "without_names"]

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this thread or task answers; empty for none."""

# Loggers whose messages of any level may be wanted; of all others warnings and errors.
_OWN = ("padim", "ui", "uvicorn.error")
# What a record of the logging module has by itself.
_STANDARD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"))
_NAMING = frozenset({"image", "file", "file_name", "path", "part_number", "serial", "lot"})
_LONGEST = 4000
# A name may have spaces, so all before it goes too, back to a quote, a colon or the beginning of the line.
_NAME = re.compile(
    r"(?:(?<=: )|(?<=[\"'“‘(])|^)(?:(?!: )[^\"'“”‘’\n])*?\.(?:"
    + "|".join(suffix.removeprefix(".") for suffix in (*IMAGE_SUFFIXES, *ARCHIVE_SUFFIXES))
    + r")\b",
    re.IGNORECASE | re.MULTILINE,
)


def configure_logs(*, quiet: bool = False) -> None:
    """Send log lines to standard error as the settings say; may be called again after they have changed.

    Args:
        quiet: whether only warnings and errors are wanted.

    Raises:
        PadimError: a setting is not usable.
    """
    found = settings.current()
    formatter = _Json(names=found.log_names) if found.log_format == "json" else _Text(names=found.log_names)
    root = logging.getLogger()
    handler = next((one for one in root.handlers if isinstance(one, _ToStderr)), None)
    if handler is None:
        handler = _ToStderr()
        root.addHandler(handler)
    handler.setFormatter(formatter)
    level = logging.getLevelNamesMapping()[found.log_level.upper()]
    for name in _OWN:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if quiet else level)


def without_names(text: str) -> str:
    """Return a text with names of images and archives replaced by ``<name>``."""
    return _NAME.sub("<name>", text)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _Lines(logging.Formatter):
    """What both forms share."""

    def __init__(self, *, names: bool) -> None:
        super().__init__()
        self._names = names

    def message_of(self, record: logging.LogRecord) -> str:
        return self._clean(record.getMessage())

    def trace_of(self, record: logging.LogRecord) -> str:
        found = self.formatException(record.exc_info) if record.exc_info else ""
        return self._clean(found, 4 * _LONGEST)

    def extra_of(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields that the caller gave: numbers and short texts, never content."""
        found: dict[str, Any] = {}
        for name, value in vars(record).items():
            if name in _STANDARD or name.startswith("_") or (name in _NAMING and not self._names):
                continue
            if isinstance(value, str):
                found[name] = self._clean(value)
            elif isinstance(value, bool | int | float) or value is None:
                found[name] = value
        request = REQUEST_ID.get()
        if request:
            found.setdefault("request_id", request)
        return found

    def _clean(self, text: str, most: int = _LONGEST) -> str:
        shown = text if self._names else without_names(text)
        return shown if len(shown) <= most else f"{shown[: most - 1]}…"


class _Text(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        """Return a line for people: time, level, logger, message and the id of the request."""
        request = self.extra_of(record).get("request_id", "")
        message = self.message_of(record)
        suffix = f" [{request}]" if request and f"[{request}]" not in message else ""
        line = f"{_time(record)} {record.levelname} {record.name}: {message}{suffix}"
        trace = self.trace_of(record)
        return f"{line}\n{trace}" if trace else line


class _Json(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object without line breaks."""
        found = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message_of(record),
            "process": record.process,
            "thread": record.threadName,
            **self.extra_of(record),
        }
        trace = self.trace_of(record)
        if trace:
            found["error"] = trace
        return json.dumps(found, ensure_ascii=True, allow_nan=True)


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
