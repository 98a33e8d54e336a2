"""Terminal output of the commands: results to stdout; progress, notes and errors to stderr."""

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
    from padim.data.account import FileAccount
    from padim.errors import ImageError

# Maximum number of unusable files named on the terminal; the JSON has all of them.
_NAMED = 20
# Maximum width of a line in columns: longer lines are hard to read, however wide the window.
_WIDEST = 110


class Terminal:
    """Output of one command, as text or as JSON.

    Attributes:
        quiet: print only warnings, errors and, with ``json``, the result.
        json: print one JSON document on stdout and nothing else there.
        arguments: the command and its arguments, with absolute paths.
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
    def prints_text(self) -> bool:
        """Whether text for people is printed on stdout."""
        return not self.quiet and not self.json

    def result(self, document: dict[str, Any], *shown: RenderableType) -> None:
        """Print the command's result.

        Args:
            document: the result as plain JSON, printed with ``json``.
            *shown: the result as text and tables, printed otherwise unless ``quiet``.
        """
        if self.json:
            sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        elif not self.quiet:
            for item in shown:
                self._out.print(item, soft_wrap=isinstance(item, str))

    def print(self, text: RenderableType) -> None:
        """Print text for people on stdout, in addition to the result."""
        if self.prints_text:
            self._out.print(text, soft_wrap=isinstance(text, str))

    def note(self, text: str) -> None:
        """Print a note on stderr, unless quiet."""
        if not self.quiet:
            self._err.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, even if quiet."""
        self._err.print(f"[bold yellow]warning:[/] {escape(text)}", soft_wrap=True)

    def error(self, text: str) -> None:
        """Print an error, the reason why there is no result, on stderr."""
        self._err.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)

    def question(
        self, text: str, rows: Sequence[tuple[str, str]], more: int, commands: Sequence[tuple[str, str]]
    ) -> None:
        """Print on stderr a question that stops the command, even if quiet, and how to answer it.

        Args:
            text: the question, with what led to it.
            rows: what may be chosen, with the number of images of each.
            more: number of further rows that are not listed, if positive.
            commands: command lines that answer the question, each with what it means.
        """
        self.error(text)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(overflow="fold")
        table.add_column(justify="right")
        for name, number in rows:
            table.add_row(escape(name), f"{number} images" if number != "1" else "1 image")
        self._err.print(table)
        if more > 0:
            self._err.print(f"  and {more} other folders")
        for meaning, command in commands:
            self._err.print(f"{escape(meaning)}:\n  {escape(command)}", soft_wrap=True)

    def skipped(self, failed: Sequence[ImageError], total: int | None = None) -> None:
        """List files that could not be used on stderr, unless quiet.

        Args:
            failed: the files' errors, all or the first of them.
            total: the number of such files, if ``failed`` has only the first.
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

    def files(self, account: FileAccount, total: int | None = None) -> None:
        """List on stderr, unless quiet, what became of the files that were not used.

        Args:
            account: the files of the command's input.
            total: the number of refused files, if ``account`` has only the first.
        """
        self.skipped(account.refused, total)
        if self.quiet or not account.passed_over:
            return
        from padim.data.account import grouped
        from padim.text import count

        self._err.print(f"[yellow]{count(account.n_passed_over, 'file')} passed over:[/]")
        for reason, number, names in grouped(account.passed_over):
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
            of = f" ({count(number, 'file')})" if number > len(names) else ""
            self._err.print(f"  {escape(reason)}: {escape(shown)}{of}", soft_wrap=True)

    def resume_arguments(self) -> tuple[str, ...]:
        """Return the arguments that resume this command after it was stopped."""
        left = (argument for argument in self.arguments if argument not in ("--force", "--resume"))
        return (*left, "--resume")

    @contextmanager
    def progress(self) -> Iterator[Callable[[int, int | None, str], None]]:
        """Show a progress bar if stderr is a terminal; yields the callback ``(done, total, stage)``."""
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
            # Text after a colon is a detail of the stage: the same bar continues.
            name = stage.partition(":")[0]
            if name not in stages:
                for task in stages.values():
                    bar.update(task, visible=False)
                stages[name] = bar.add_task(stage, total=total)
            bar.update(stages[name], completed=done, total=total, description=stage)

        with bar:
            yield report_progress


class _Count(MofNCompleteColumn):
    """Progress as "done/total"; as a percentage for training steps; empty if the total is unknown."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        if "raining" in task.description:
            return Text(f"{task.percentage:.0f} %", style="progress.download")
        return super().render(task)


def facts(rows: Sequence[tuple[str, str]], title: str | None = None) -> RenderableType:
    """Return a table of names and values, one per line; title and values may contain rich markup."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return titled(title, table) if title else table


def columns(heads: Sequence[tuple[str, bool]]) -> Table:
    """Return an empty table with these columns.

    Args:
        heads: the heading of each column, and whether its values are numbers, which are right-aligned.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for head, number in heads:
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    return table


def titled(title: str, table: Table) -> RenderableType:
    """Return a table with a title above it; the title may be wider than the table."""
    return Group(Text.from_markup(title, style="bold", overflow="fold"), table)
