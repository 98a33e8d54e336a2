"""The file of sinks of a workspace, ``sinks.yaml``: read by all that record or deliver, changed by people."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from padim.errors import PadimError
from padim.records.sink_settings import AnySink, SinkConfiguration
from padim.storage.atomic import explain_os_error, write_atomic
from padim.storage.leftovers import locked_beside
from padim.yaml_text import from_file

__all__ = ["SinksFile"]

FILE = "sinks.yaml"
_HEAD = """\
# Where results are sent: see the guide "Sinks". Secrets may be taken from the environment: ${NAME}.
"""


class SinksFile:
    """The sinks of one workspace; cheap to create, and every method sees what others have written.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.path = self.root / FILE

    def read(self) -> SinkConfiguration:
        """Return the sinks; none without a file. The text is read again only when it has changed.

        Raises:
            PadimError: the file is not valid or cannot be read; the message names the file and the remedy.
        """
        mark = self.mark()
        return SinkConfiguration() if mark is None else _parsed(str(self.path), mark)

    def mark(self) -> tuple[int, int, int] | None:
        """Return what changes whenever the file does; None without a file.

        Raises:
            PadimError: the folder cannot be read.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PadimError(f"{self.path}: cannot be read ({error.strerror})") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def replace(self, text: str) -> SinkConfiguration:
        """Write another text, as a person has edited it; hidden secrets are kept.

        Raises:
            PadimError: the text is not valid; nothing is written then.
            StorageError: the file cannot be written.
        """
        new = SinkConfiguration.from_yaml(text)
        with self._changing() as (before, write):
            new = new.with_secrets_of(before)
            # Comments are kept, unless the text has hidden secrets that must be put in their places.
            write(text if SinkConfiguration.from_yaml(text) == new else new.to_yaml())
        return new

    def put(self, sink: AnySink, instead_of: str | None = None) -> SinkConfiguration:
        """Add a sink, or put it in the place of the one called ``instead_of`` (default: its own name).

        Hidden secrets are those of the sink that it replaces.

        Raises:
            PadimError: another sink has its name, or the file is not valid.
            StorageError: the file cannot be written.
        """
        with self._changing(strict=True) as (before, write):
            former = before.named(instead_of or sink.name)
            new = before.with_sink(sink.with_secrets_of(former), instead_of)
            write(new.to_yaml())
        return new

    def remove(self, name: str) -> AnySink:
        """Take a sink out of the file and return it, for an undo; its messages stay in the outbox.

        Raises:
            PadimError: there is no such sink, or the file is not valid.
            StorageError: the file cannot be written.
        """
        with self._changing(strict=True) as (before, write):
            sink = self._there(before, name)
            write(before.without(name).to_yaml())
        return sink

    def enable(self, name: str, enabled: bool = True) -> None:
        """Switch a sink on or off.

        Raises:
            PadimError: there is no such sink, or the file is not valid.
            StorageError: the file cannot be written.
        """
        with self._changing(strict=True) as (before, write):
            sink = self._there(before, name)
            write(before.with_sink(sink.model_copy(update={"enabled": enabled})).to_yaml())

    def get(self, name: str) -> AnySink:
        """Return the sink of a name.

        Raises:
            PadimError: there is none; the message lists those that exist.
        """
        return self._there(self.read(), name)

    def _there(self, configuration: SinkConfiguration, name: str) -> AnySink:
        sink = configuration.named(name)
        if sink is None:
            names = ", ".join(f"“{one.name}”" for one in configuration.sinks)
            known = f"it has {names}" if names else "it has no sinks"
            raise PadimError(f"{self.path}: there is no sink “{name}”; {known}")
        return sink

    @contextmanager
    def _changing(self, *, strict: bool = False) -> Iterator[tuple[SinkConfiguration, Callable[[str], None]]]:
        """Yield the sinks before, and a function that writes the new text, while no other process changes it.

        Args:
            strict: whether a file that is not valid is an error; otherwise it counts as empty.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with locked_beside(self.path):
                try:
                    before = self.read()
                except PadimError:
                    if strict:
                        raise
                    before = SinkConfiguration()
                yield before, self._write
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def _write(self, text: str) -> None:
        head = "" if text.lstrip().startswith("#") else _HEAD

        def content(file: BinaryIO) -> None:
            # It may have passwords, which others on this computer are not to read.
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)
            file.write((head + text).encode())

        write_atomic(self.path, content)


# Keyed by the file's state, so that a changed file is read again.
@lru_cache(maxsize=8)
def _parsed(path: str, _: tuple[int, int, int]) -> SinkConfiguration:
    return from_file(path, SinkConfiguration.from_yaml)
