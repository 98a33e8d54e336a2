"""Reading the settings in force from the environment and from a YAML file.

The environment takes precedence. If the file is changed while a program runs, the change takes effect; if it
is then not valid, the program goes on with the settings before, logs why, and :func:`problem` returns the
reason.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from padim.errors import PadimError
from padim.installation import workspace_folder
from padim.settings.fields import PREFIX, Settings, about, in_environment, variable_of
from padim.text import clipped
from padim.yaml_text import from_file, parse_yaml

__all__ = ["FILE", "current", "file_path", "problem", "set_in_file", "unknown_variables"]

FILE = "settings.yaml"
_LOGGER = logging.getLogger(__name__)

_VARIABLES = {name: variable_of(name) for name in Settings.model_fields}
# Of tests and benchmarks.
_DEVELOPERS = {f"{PREFIX}{name}" for name in ("DATA", "CHROMIUM", "ENGINE_VALUES")}


@dataclass(frozen=True)
class _InForce:
    """The settings in force, what they were read from, and why the file as it is now is not used."""

    settings: Settings
    environment: tuple[str | None, ...]
    path: Path
    stamp: tuple[int, ...] | None
    problem: str = ""


_in_force: _InForce | None = None


def current() -> Settings:
    """Return the settings in force.

    Raises:
        PadimError: a setting is unknown or has a bad value; the message names it, where it is set, and what
            is accepted. A file that has changed for the worse while this program runs is not an error: see
            :func:`problem`.
    """
    return _up_to_date().settings


def problem() -> str:
    """Return why the file of settings is not used as it is now; empty if it is.

    Raises:
        PadimError: as :func:`current`.
    """
    return _up_to_date().problem


def file_path() -> Path:
    """Return the path of the file of settings, which need not exist."""
    named = in_environment("settings")
    return Path(named).expanduser().resolve() if named else workspace_folder() / FILE


def unknown_variables() -> list[str]:
    """Return variables of the environment that look like settings and are none, sorted.

    Raises:
        PadimError: one is so near to the name of a setting that it must be a misspelled one.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX)
        and name not in _VARIABLES.values()
        and name not in _DEVELOPERS
        and not name.startswith(f"{PREFIX}TEST_")
    )
    for name in unknown:
        if near := difflib.get_close_matches(name[:80], _VARIABLES.values(), n=1, cutoff=0.85):
            raise PadimError(f"environment: {clipped(name, 80)} is not a setting; did you mean {near[0]}?")
    return unknown


def _up_to_date() -> _InForce:
    global _in_force
    # Two threads may read at the same time; each gets the same.
    before = _in_force
    environment = tuple(os.environ.get(variable) for variable in _VARIABLES.values())
    same_place = before is not None and before.environment == environment
    path = before.path if before is not None and same_place else file_path()
    stamp = _stamp(path)
    if before is not None and same_place and before.stamp == stamp:
        return before
    try:
        unknown_variables()
        found = _InForce(_read(path, required=bool(in_environment("settings"))), environment, path, stamp)
    except PadimError as error:
        if before is None or not same_place:
            raise
        # What has inspected until now goes on inspecting.
        _LOGGER.error("%s; the settings before stay in force", error)
        found = _InForce(before.settings, environment, path, stamp, str(error))
    _in_force = found
    return found


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes with the file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, *, required: bool) -> Settings:
    found = set_in_file(path, required=required)
    try:
        return Settings(**found)
    except ValidationError as error:
        raise PadimError(_explained(error, path)) from error


def set_in_file(path: Path, *, required: bool = False) -> dict[str, Any]:
    """Return the settings that a file sets, by name; empty if there is no such file.

    Args:
        path: the file.
        required: whether a missing file is an error.

    Raises:
        PadimError: the file cannot be read, is no YAML mapping, or has an unknown name; the values are not
            checked.
    """
    if not path.exists():
        if required:
            raise PadimError(
                f"{path}: there is no such file; create it, or correct {variable_of('settings')}"
            )
        return {}

    def parse(text: str) -> dict[str, Any]:
        data = parse_yaml(text, "the file of settings")
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise PadimError("the file of settings must be a list of 'name: value' lines")
        return _known(data)

    return from_file(path, parse)


def _known(data: Mapping[Any, Any]) -> dict[str, Any]:
    for name in data:
        if name not in Settings.model_fields:
            plain = str(name)[:80].lower().removeprefix(PREFIX.lower())
            near = difflib.get_close_matches(plain, Settings.model_fields, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise PadimError(f"{clipped(str(name), 80)} is not a setting{hint}")
        if about(name).environment_only:
            raise PadimError(
                f"{name} cannot be set in a file, because it is needed to find the file; "
                f"set {variable_of(name)}"
            )
    return {str(name): value for name, value in data.items() if value is not None}


def _explained(error: ValidationError, path: Path) -> str:
    """Return one sentence on each bad value: its name, where it is set, what is accepted, what it is."""
    sentences: dict[str, str] = {}
    for item in error.errors():
        name = str(item["loc"][0])
        given = in_environment(name)
        where = variable_of(name) if given else f"{path}: {name}"
        value = given or item["input"]
        shown = clipped(value if isinstance(value, str) else repr(value), 80)
        got = "" if about(name).secret else f", got '{shown}'"
        sentences[name] = f"{where} must be {about(name).must_be}{got}"
    return "; ".join(sentences.values())
