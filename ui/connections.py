"""The sinks of the workspace for the Connections tab: shown, changed, tried, and the last change undone.

Whoever reaches the app may change connections. So that this gives nobody more than the app does, what is set
here names folders and files that are open to the app only, takes no variable of the environment but those
meant for sinks, and sends no secret that is already kept to another receiver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import PadimError
from padim.records.sink_settings import HIDDEN, AnySink, SinkConfiguration, sink_of
from padim.text import clipped
from ui.app import state, workspace
from ui.app.hosted import HOSTED
from ui.files import folders

if TYPE_CHECKING:
    from padim.records.outbox import Outbox, OutboxMessage
    from padim.records.sinks_file import SinksFile
    from padim.service.sink_overview import SinkOverview
    from padim.service.sink_trial import SinkTrial

__all__ = [
    "VARIABLES",
    "as_yaml",
    "delivery_problem",
    "drop_refused",
    "enable",
    "last_change",
    "refused",
    "remove",
    "replace_all",
    "retry",
    "save",
    "shown",
    "try_out",
    "undo",
]

# Variables of the environment that connections made here may use begin so.
VARIABLES = "SINK_"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_PATHS = ("folder", "ca_file", "cert_file", "key_file")
# What says where secrets are sent.
_RECEIVER = ("kind", "host", "port", "url", "tls", "ca_file")


@dataclass
class _LastChange:
    """The last change of this session, to be undone.

    Attributes:
        what: what was done, as a sentence; empty if there is none.
        before: the file's text before.
        mark: the file's state after; another one means that somebody has changed it since.
    """

    what: str = ""
    before: str = ""
    mark: tuple[int, int, int] | None = None


def shown() -> list[SinkOverview]:
    """Return the sinks and how they are doing.

    Raises:
        PadimError: the file of sinks is not valid, or the database cannot be read.
    """
    from padim.service.sink_overview import overview

    return overview(workspace.root())


def delivery_problem() -> str:
    """Return why this server delivers to no sink, as a sentence; empty if it does."""
    dispatcher = HOSTED.get("sinks")
    return "" if dispatcher is None else str(dispatcher.problem)


def as_yaml() -> str:
    """Return all sinks as YAML without secrets; a file that is not valid as it is.

    Raises:
        PadimError, OSError: it cannot be read.
    """
    file = _file()
    try:
        return file.read().shown()
    except PadimError:
        return _text(file)


def save(values: Mapping[str, Any], instead_of: str | None = None) -> None:
    """Add a sink, or put it in the place of another.

    Args:
        values: as in the file of sinks, from the form.
        instead_of: the name of the sink that it replaces; None for a new one.

    Raises:
        PadimError: a value is not allowed, or the name is taken; nothing was changed then.
        StorageError: the file cannot be written.
    """
    file = _file()
    configuration = file.read()
    former = configuration.named(instead_of) if instead_of else None
    sink = sink_of(_whole_paths(values, {} if former is None else former.shown()))
    if former is None and configuration.named(sink.name) is not None:
        raise PadimError(f"there is a connection “{sink.name}” already; give this one another name")
    _check(sink, former)
    if former is not None:
        sink = sink.model_copy(update={"enabled": former.enabled})
    what = f"“{sink.name}” was {'changed' if former else 'added'}."
    _change(what, lambda: file.put(sink, None if former is None else former.name))


def replace_all(text: str) -> None:
    """Write all sinks as a person has edited them, as YAML.

    Raises:
        PadimError: the text is not valid, or has what cannot be set here; nothing was changed then.
        StorageError: the file cannot be written.
    """
    file = _file()
    try:
        before = file.read()
    except PadimError:
        before = SinkConfiguration()
    for sink in SinkConfiguration.from_yaml(text).sinks:
        _check(sink, before.named(sink.name))
    _change("The connections were changed.", lambda: file.replace(text))


def remove(name: str) -> None:
    """Take a sink out of the file; messages that wait for it stay.

    Raises:
        PadimError, StorageError: it is not there, or the file cannot be written.
    """
    _change(f"“{name}” was removed. What waits for it is kept.", lambda: _file().remove(name))


def enable(name: str, enabled: bool) -> None:
    """Switch a sink on or off.

    Raises:
        PadimError, StorageError: it is not there, or the file cannot be written.
    """
    _file().enable(name, enabled)


def last_change() -> str:
    """Return what was changed last in this session and can be undone, as a sentence; else empty."""
    return state.of(_LastChange).what


def undo() -> None:
    """Undo the last change.

    Raises:
        PadimError: somebody has changed the connections since.
        StorageError: the file cannot be written.
    """
    last, file = state.of(_LastChange), _file()
    if not last.what:
        return
    before, mark = last.before, last.mark
    last.what = ""
    if file.mark() != mark:
        raise PadimError("somebody has changed the connections since; nothing was undone")
    file.replace(before)


def retry(name: str) -> None:
    """Have all messages of a sink tried at once, also refused ones."""
    _outbox().retry(name)


def drop_refused(name: str, *, gone: bool) -> None:
    """Delete the messages that a receiver has refused; of a sink that is gone, all."""
    if gone:
        _outbox().forget(name)
    else:
        _outbox().drop(name)


def refused(name: str, number: int = 20) -> list[OutboxMessage]:
    """Return the first messages that a receiver has refused."""
    return _outbox().messages(name, refused=True, number=number)


def try_out(name: str) -> SinkTrial:
    """Send a test message and wait for what becomes of it.

    Raises:
        PadimError: there is no such sink.
    """
    from padim.service.sink_trial import try_sink

    return try_sink(workspace.root(), _file().get(name))


def _change(what: str, change: Callable[[], object]) -> None:
    file, last = _file(), state.of(_LastChange)
    before = _text(file)
    change()
    last.what, last.before, last.mark = what, before, file.mark()


def _check(sink: AnySink, former: AnySink | None) -> None:
    """Raise a PadimError if a sink has what may not be set here."""
    new, old = sink.shown(), {} if former is None else former.shown()
    for place, value in _paths(new).items():
        if value != _paths(old).get(place):
            _check_path(sink.name, place, value)
    moved = former is None or any(new.get(key) != old.get(key) for key in _RECEIVER)
    written = SinkConfiguration(sinks=(sink,)).to_yaml()
    known = set()
    if former is not None and not moved:
        known = set(_VARIABLE.findall(SinkConfiguration(sinks=(former,)).to_yaml()))
    for variable in _VARIABLE.findall(written):
        if variable not in known and not variable.startswith(VARIABLES):
            raise PadimError(
                f"“{sink.name}”: {variable} is not meant for connections; name the variable {VARIABLES}…, or "
                "set it in the file of sinks on the server"
            )
    if moved and HIDDEN in written:
        raise PadimError(
            f"“{sink.name}” has another receiver now: type its passwords and secrets anew, so that none is "
            "sent there by mistake"
        )


def _whole_paths(values: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a form with whole paths, where people name them from an opened folder on."""
    found = {**values, **({"trigger": dict(values["trigger"])} if "trigger" in values else {})}
    for place, value in _paths(values).items():
        if value and value != _paths(old).get(place):
            part, dot, inner = place.partition(".")
            (found[part] if dot else found)[inner or part] = str(_opened(value))
    return found


def _check_path(name: str, place: str, value: str) -> None:
    if not value:
        return
    try:
        path = _opened(value)
    except folders.FolderError as error:
        raise PadimError(f"“{name}”, {place}: {error}") from error
    if str(path) != value:
        raise PadimError(f"“{name}”, {place}: give the whole path, {path}")


def _opened(named: str) -> Path:
    """Return the folder or file that a user named, if it is below a folder that is open to the app.

    Raises:
        FolderError: it is not; the message says what to do.
    """
    for root in folders.roots():
        try:
            path = (root / named.strip()).resolve()
        except (OSError, RuntimeError, ValueError):
            continue
        if path.is_relative_to(root) and path.exists():
            return path
    # The same message whether or not the path exists, so that it reveals nothing about other folders.
    raise folders.FolderError(
        f"“{clipped(named, 200)}” is not below the folders that are open to the app ({folders.VARIABLE}); "
        "the file of sinks on the server may name others"
    )


def _paths(sink: Mapping[str, Any]) -> dict[str, str]:
    found = {key: str(sink[key]) for key in _PATHS if key in sink}
    trigger = sink.get("trigger")
    if isinstance(trigger, Mapping):
        found["trigger.folder"] = str(trigger.get("folder", ""))
        found["trigger.target"] = _path_of_target(str(trigger.get("target", "")))
    return found


def _path_of_target(target: str) -> str:
    """Return a target that is a path; empty for a name, an id or a part number."""
    return target if "/" in target or "\\" in target else ""


def _file() -> SinksFile:
    from padim.records.sinks_file import SinksFile

    return SinksFile(workspace.root())


def _text(file: SinksFile) -> str:
    try:
        return file.path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _outbox() -> Outbox:
    from padim.records.outbox import Outbox

    return Outbox(workspace.root())
