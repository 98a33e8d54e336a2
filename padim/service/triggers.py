"""Triggers: a machine names an image file, by MQTT or OPC UA, and gets the result of its inspection."""

from __future__ import annotations

import difflib
import hashlib
import logging
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from padim.errors import PadimError
from padim.records.inspection import InspectionContext
from padim.records.sink_parts import TriggerSettings
from padim.service.allowed_roots import AllowedRoots
from padim.service.inspecting_models import InspectingModel, InspectingModels
from padim.service.inspector import InspectionRequest, InspectionResult, Inspector
from padim.text import clipped, one_line

__all__ = ["FileTrigger"]

_LOGGER = logging.getLogger(__name__)
_LONGEST_TEXT = 200
_LONGEST_PATH = 4_000
# Requests that wait; a machine that sends more is told so instead of filling the memory.
_MOST_WAITING = 64
_TEXTS = ("serial", "part_number", "lot", "station", "shift")
_KEYS = ("path", *_TEXTS, "id")


class FileTrigger:
    """Inspects the files that machines name, one after the other (thread-safe).

    Args:
        root: the workspace's folder.
        settings: what may be asked for.
        who: who asks, for the record.
    """

    def __init__(
        self,
        root: str | Path,
        settings: TriggerSettings,
        *,
        who: str = "trigger",
        models: InspectingModels | None = None,
        inspector: Inspector | None = None,
    ) -> None:
        self._settings, self._who = settings, who
        self._models = models or InspectingModels(root)
        self._inspector = inspector or Inspector()
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Inspect the file that a request names.

        Args:
            request: ``path``, below the allowed folder, and if known ``serial``, ``part_number``, ``lot``,
                ``station``, ``shift``; ``id``: a repeated request has the same one, and is inspected and
                recorded once.

        Returns:
            The result's document; or ``error``, a sentence, with the ``path``. ``problem`` says why a result
            is not on record. ``request`` repeats the ``id``. Nothing is raised.
        """
        with self._count:
            full = self._waiting >= _MOST_WAITING
            self._waiting += not full
        if full:
            return _answer(request, error=f"{_MOST_WAITING} requests wait already; ask again later")
        try:
            with self._turn:
                return self._inspect(request)
        except (PadimError, OSError) as error:
            return _answer(request, error=str(error))
        except Exception as error:
            _LOGGER.exception("a trigger failed")
            return _answer(request, error=f"{type(error).__name__}: {error}")
        finally:
            with self._count:
                self._waiting -= 1

    def _inspect(self, request: Mapping[str, Any]) -> dict[str, Any]:
        texts = _checked(request)
        settings = self._settings
        roots = AllowedRoots([settings.folder], how="“folder” of the trigger")
        name, content = roots.read(
            texts["path"], round(settings.megabytes * 1e6), "“megabytes” of the trigger"
        )
        using = self._model(texts["part_number"])
        context = InspectionContext(
            who=self._who,
            source="trigger",
            **{key: texts[key] for key in _TEXTS} | {"station": texts["station"] or settings.station},
        )
        asked = InspectionRequest(name, content, context, uid=_uid(texts["id"], content))
        result = self._inspector.inspect([asked], using)[0]
        return _answer(request, result)

    def _model(self, part_number: str) -> InspectingModel:
        if not self._settings.target:
            if not part_number:
                raise PadimError(
                    "no part number is given, and the trigger has no model; send “part_number”, or set "
                    "“target” of the trigger"
                )
            return self._models.of_part_number(part_number)
        using = self._models.of(self._settings.target)
        if wrong := self._models.wrong_part(part_number, using):
            raise PadimError(wrong)
        return using


def _checked(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of a request, those that are missing empty."""
    for key in request:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key)[:80], _KEYS, n=1, cutoff=0.5)
            hint = f"did you mean “{close[0]}”?" if close else f"a request has {', '.join(_KEYS)}"
            raise PadimError(f"unknown key “{clipped(str(key), 60)}”; {hint}")
    found = {}
    for key in _KEYS:
        value = request.get(key)
        value = "" if value is None else value
        longest = _LONGEST_PATH if key == "path" else _LONGEST_TEXT
        if not isinstance(value, str | int) or isinstance(value, bool) or len(str(value)) > longest:
            raise PadimError(f"“{key}” must be a text of at most {longest:,} characters")
        found[key] = str(value) if key == "path" else one_line(str(value), longest)
    if not found["path"]:
        raise PadimError("the request names no file; send “path”")
    return found


def _uid(given: str, content: bytes) -> str:
    """Return what identifies the inspection: always the same for an id and a file.

    The file counts, because the ids of a controller may start again, and a part must never get the result of
    another one.
    """
    if not given:
        return uuid.uuid4().hex
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{hashlib.sha256(content).hexdigest()} {given}").hex


def _answer(
    request: Mapping[str, Any], result: InspectionResult | None = None, error: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = dict(result.document or {}) if result is not None else {}
    error = error or ("" if result is None else result.error)
    if error:
        found |= {"path": clipped(str(request.get("path", "")), _LONGEST_TEXT), "error": error}
    if result is not None and result.problem:
        found["problem"] = result.problem
    if request.get("id"):
        found["request"] = request["id"]
    return found
