"""The files of a scoring: those still to be scored, those scored before, and those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import ImageError

if TYPE_CHECKING:
    from padim.data.sources import Source
    from padim.output.scoring_journal import Journal


@dataclass(frozen=True)
class _File:
    """A file that is being scored.

    Attributes:
        content: its bytes, from which the panel is drawn.
        order: its position among all files, from 1.
        stem: the name of its panel and mask, without folder and extension.
    """

    content: bytes
    order: int
    stem: str


class PendingFiles:
    """The source's files that are still to be scored; each stays in memory until its result is available."""

    def __init__(
        self, source: Source, output: Path, journal: Journal, batch: int, *, panels: bool, masks: bool
    ) -> None:
        """
        Args:
            source: the images.
            output: the folder with the panels and masks of images that were scored before.
            journal: the rows of these images.
            batch: number of images in one batch of the network. Rows are reused in whole batches only, so
                that the other images are batched as in an uninterrupted run and scores are bit-identical.
            panels, masks: whether panels and masks are to be written.
        """
        from padim.output.results import FileNames

        self._source, self._output, self._journal = source, output, journal
        self._folders = {"panel": "panels/{}.jpg" if panels else "", "mask": "masks/{}.png" if masks else ""}
        self._names = FileNames()
        self._reusable = len(journal.rows) - len(journal.rows) % batch
        self._in_progress: dict[str, _File] = {}
        self._order = self._reported = 0
        self._unusable: list[tuple[int, dict[str, Any]]] = []
        self._reused: list[tuple[int, int]] = []
        self.n_reused = self.judged = 0
        self.strangers: list[str] = []
        self.failed: list[ImageError] = []

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for name, content in self._source:
            self._record_skipped()
            file = _File(content, self._next(), self._names.take(name))
            offset = self._scored_before(name, file)
            if offset is not None:
                self._reused.append((file.order, offset))
                self.n_reused += 1
                continue
            self._in_progress[name] = file
            yield name, content
        self._record_skipped()

    def _next(self) -> int:
        self._order += 1
        return self._order

    def _record_skipped(self) -> None:
        """Record the files that the source has skipped since the last call, in their position."""
        from padim.output.results import unusable

        for error in self._source.skipped[self._reported :]:
            self._reported += 1
            self._unusable.append((self._next(), unusable(error.name, error.reason)))

    def _scored_before(self, name: str, file: _File) -> int | None:
        """Return the journal offset of the row of this file, if content and evidence match; else None."""
        from padim.data.loading import content_hash

        digest, offset = self._journal.rows.get(name, ("", 0))
        if self.n_reused >= self._reusable or not digest or digest != content_hash(file.content):
            return None
        row = self._journal.row(offset)
        for kind, pattern in self._folders.items():
            path = pattern.format(file.stem)
            if row.get(kind, "") != path or (path and not (self._output / path).is_file()):
                return None
        return offset

    def take(self, name: str) -> _File:
        return self._in_progress.pop(name)

    def unusable(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield position and row of each unusable file found since the last call."""
        from padim.data.loading import content_hash
        from padim.output.results import unusable

        while self._unusable:
            yield self._unusable.pop(0)
        while self.failed:
            error = self.failed.pop(0)
            file = self._in_progress.pop(error.name)
            yield file.order, unusable(error.name, error.reason, content_hash(file.content))

    def reused(self) -> Iterator[tuple[int, int]]:
        """Yield position and journal offset of each file scored before, found since the last call."""
        while self._reused:
            yield self._reused.pop(0)
