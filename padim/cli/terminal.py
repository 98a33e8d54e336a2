"""What a command says and where: results to stdout; progress, remarks and errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from padim.errors import ImageError

# Broken files named on the screen; all of them are in the JSON.
_NAMED = 20
# Beyond this, lines are hard to follow, however wide the window.
_WIDEST = 110


class Terminal:
    """One command's mouth.

    Attributes:
        quiet: only results that were asked for and errors.
        json: one JSON document on stdout and nothing else there.
        arguments: the command and what was given to it, paths in full.
    """

    def __init__(
        self, *, quiet: bool = False, as_json: bool = False, arguments: tuple[str, ...] = ()
    ) -> None:
        self.quiet, self.json, self.arguments = quiet, as_json, arguments
        self._out = Console(file=sys.stdout, highlight=False)
        self._err = Console(file=sys.stderr, highlight=False)
        if self._out.is_terminal:
            self._out.width = min(self._out.width, _WIDEST)
        if self._err.is_terminal:
            self._err.width = min(self._err.width, _WIDEST)

    @property
    def talks(self) -> bool:
        """Whether people read along."""
        return not self.quiet and not self.json

    def result(self, document: dict[str, Any], *shown: RenderableType) -> None:
        """The command's result: as a JSON document, or as shown to people."""
        if self.json:
            sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        elif not self.quiet:
            for item in shown:
                self._out.print(item, soft_wrap=isinstance(item, str))

    def say(self, text: RenderableType) -> None:
        """Something for people, beside the result."""
        if self.talks:
            self._out.print(text, soft_wrap=isinstance(text, str))

    def note(self, text: str) -> None:
        """A remark: to stderr, unless quiet."""
        if not self.quiet:
            self._err.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something that must not be missed: to stderr, also when quiet."""
        self._err.print(f"[bold yellow]warning:[/] {escape(text)}", soft_wrap=True)

    def error(self, text: str) -> None:
        """Why there is no result."""
        self._err.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)

    def skipped(self, failed: Sequence[ImageError], total: int | None = None) -> None:
        """Name files that could not be used.

        Args:
            failed: these, or the first of them.
            total: how many there are, if more.
        """
        if self.quiet or not failed:
            return
        from padim.text import count

        total = len(failed) if total is None else total
        self._err.print(f"[yellow]{count(total, 'file')} could not be used:[/]")
        for error in failed[:_NAMED]:
            self._err.print(f"  {escape(error.name)}: {escape(error.reason)}", soft_wrap=True)
        if total > min(len(failed), _NAMED):
            self._err.print(f"  and {count(total - min(len(failed), _NAMED), 'other')}")

    def going_on(self) -> tuple[str, ...]:
        """The arguments that go on with this command once it has been stopped."""
        left = (argument for argument in self.arguments if argument not in ("--force", "--resume"))
        return (*left, "--resume")

    @contextmanager
    def progress(self) -> Iterator[Callable[[int, int | None, str], None]]:
        """A progress bar, where somebody watches; gives what the engine calls with (done, total, stage)."""
        if self.quiet or not self._err.is_terminal:
            yield lambda done, total, stage: None
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            _Count(),
            TimeRemainingColumn(),
            console=self._err,
            transient=True,
        )
        stages: dict[str, Any] = {}

        def report_progress(done: int, total: int | None, stage: str) -> None:
            # What stands behind a colon says how a stage is getting on: the bar goes on.
            name = stage.partition(":")[0]
            if name not in stages:
                for task in stages.values():
                    bar.update(task, visible=False)
                stages[name] = bar.add_task(stage, total=total)
            bar.update(stages[name], completed=done, total=total, description=stage)

        with bar:
            yield report_progress


class _Count(MofNCompleteColumn):
    """So many of so many; a share where steps of learning are counted; nothing where nobody knows."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        if "raining" in task.description:
            return Text(f"{task.percentage:.0f} %", style="progress.download")
        return super().render(task)


def facts(rows: Sequence[tuple[str, str]], title: str | None = None) -> RenderableType:
    """Names and what they are, line by line; title and values may hold rich markup."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return titled(title, table) if title else table


def columns(heads: Sequence[tuple[str, bool]]) -> Table:
    """An empty table.

    Args:
        heads: a column's head, and whether its values are numbers, which stand to the right.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for head, number in heads:
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    return table


def titled(title: str, table: Table) -> RenderableType:
    """A table with a line above it, as long as that may be."""
    return Group(Text.from_markup(title, style="bold", overflow="fold"), table)
