"""The ``sinks`` commands: where results are sent, what waits for whom, and a test message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.command import command
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.records.outbox import Outbox
    from padim.records.sink_settings import AnySink
    from padim.service.sink_overview import SinkOverview

sinks = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Send results to other programs and machines: to the sinks in the workspace's file sinks.yaml. What "
    "cannot be delivered waits, and is delivered later.",
)

_Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Names of sinks; default all.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a sink, also of one that is removed.")]


@command(sinks, "list")
def list_sinks(terminal: Terminal) -> None:
    """List the sinks of the workspace (PADIM_HOME): how they are doing, what waits and what was refused."""
    from padim.records.sinks_file import SinksFile
    from padim.service.sink_overview import overview

    root = _workspace()
    found = overview(root)
    document = {
        "workspace": str(root),
        "file": str(SinksFile(root).path),
        "sinks": [one.document() for one in found],
    }
    terminal.result(document, *_shown(SinksFile(root).path, found))


@command(sinks, "test")
def try_sinks(terminal: Terminal, names: _Names = None) -> None:
    """Send a test message, which says that it is one, and wait for its confirmation.

    It passes those that wait. Without names, all sinks that are switched on get one. Exits with 2 if one
    did not arrive.
    """
    from padim.service.sink_trial import try_sink

    root = _workspace()
    chosen = _chosen(root, names, only_enabled=not names)
    results = []
    for settings in chosen:
        trial = try_sink(root, settings)
        results.append((settings, trial))
        words = (
            f"delivered in {trial.seconds:.2f} s" if trial.delivered else f"not delivered: {trial.problem}"
        )
        terminal.print(f"{summary.plain(settings.name)}: {summary.plain(words)}")
    document = {
        "workspace": str(root),
        "sinks": [
            {
                "name": settings.name,
                "delivered": trial.delivered,
                "seconds": round(trial.seconds, 3),
                "problem": trial.problem,
                "message_id": trial.message_id,
            }
            for settings, trial in results
        ],
    }
    terminal.result(document)
    failed = [(settings, trial) for settings, trial in results if not trial.delivered]
    if failed:
        if not terminal.prints_text:
            for settings, trial in failed:
                terminal.error(f"{settings.name}: {trial.problem}")
        raise typer.Exit(2)


@command(sinks, "run")
def run(
    terminal: Terminal,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="End when nothing waits any more, or nothing of it can be delivered now."
        ),
    ] = False,
) -> None:
    """Deliver to all sinks until stopped (Ctrl-C or SIGTERM), also to those added meanwhile.

    The app, the service and a watch deliver too; each sink is delivered to by one program at a time.
    """
    import threading

    from padim.cli.stopping import Stop
    from padim.records.sinks_file import SinksFile
    from padim.service.dispatcher import SinkDispatcher
    from padim.service.logs import configure_logs

    root = _workspace()
    configure_logs(quiet=terminal.quiet)
    configuration = SinksFile(root).read()  # a file that is not valid is said at once
    if not configuration.sinks:
        terminal.note(f"{SinksFile(root).path}: has no sinks yet")
    pause = threading.Event()
    said: dict[str, str] = {}
    with (
        Stop(terminal, "stopping when what is being sent has arrived") as stop,
        SinkDispatcher(root) as running,
    ):
        while not stop():
            ended = once and (bool(running.problem) or running.is_idle())
            _say_changes(terminal, root, running.problem, said)
            if ended:
                break
            pause.wait(0.2 if once else 1.0)
    terminal.result({"workspace": str(root), "sinks": _delivered(root)})


@command(sinks, "retry")
def retry(terminal: Terminal, names: _Names = None) -> None:
    """Have all that waits tried again at once, also what the receiver has refused for good."""
    root, outbox = _outbox()
    done = {name: outbox.retry(name) for name in _with_messages(outbox, names)}
    _say(terminal, root, done, "to be tried again")


@command(sinks, "drop")
def drop(
    terminal: Terminal,
    name: _Name,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Also those that wait, not only those that were refused.")
    ] = False,
) -> None:
    """Delete messages to a sink for good: those that the receiver has refused. The records stay."""
    root, outbox = _outbox()
    done = {one: outbox.drop(one, waiting=waiting) for one in _with_messages(outbox, [name])}
    _say(terminal, root, done, "deleted")


def _workspace() -> Path:
    from padim.installation import workspace_folder

    root = workspace_folder()
    if not root.is_dir():
        raise PadimError(f"{root}: there is no workspace; set PADIM_HOME to its folder")
    return root


def _outbox() -> tuple[Path, Outbox]:
    from padim.records.outbox import Outbox

    root = _workspace()
    return root, Outbox(root)


def _chosen(root: Path, names: list[str] | None, *, only_enabled: bool) -> list[AnySink]:
    from padim.records.sinks_file import SinksFile

    file = SinksFile(root)
    chosen = [file.get(name) for name in names] if names else list(file.read().sinks)
    if not chosen:
        raise PadimError(f"{file.path}: has no sinks yet; the guide “Sinks” shows how each kind is written")
    return [one for one in chosen if one.enabled or not only_enabled]


def _with_messages(outbox: Outbox, names: list[str] | None) -> list[str]:
    """Return names of sinks, of the file or of messages that are left; all that have messages by default."""
    from padim.records.sinks_file import SinksFile

    counts = outbox.counts()
    known = {**dict.fromkeys(counts), **{one.name: None for one in SinksFile(outbox.root).read().sinks}}
    if not names:
        return [name for name, one in counts.items() if name and (one.waiting or one.refused)]
    folded = {name.casefold(): name for name in known}
    for name in names:
        if name.casefold() not in folded:
            raise PadimError(
                f"there is no sink “{name}”, and no messages to one; `padim sinks list` lists them"
            )
    return [folded[name.casefold()] for name in names]


def _say(terminal: Terminal, root: Path, done: dict[str, int], what: str) -> None:
    from padim.text import count

    lines = [f"{summary.plain(name)}: {count(number, 'message')} {what}" for name, number in done.items()]
    document = {"workspace": str(root), "messages": done}
    terminal.result(document, *(lines or ["There are no messages"]))


def _say_changes(terminal: Terminal, root: Path, problem: str, said: dict[str, str]) -> None:
    """Print how sinks are doing whenever that changes; ``said`` has what was printed last, by name."""
    from padim.service.sink_overview import overview

    if problem:
        if said.get("") != problem:
            terminal.warn(problem)
        said[""] = problem
        return
    said.pop("", None)
    try:
        found = overview(root)
    except PadimError:
        return  # the dispatcher meets it too, and says it
    for one in found:
        if one.condition != said.get(one.name):
            why = f": {one.counts.last_error}" if one.condition == "away" else ""
            terminal.print(f"{summary.plain(one.name)}: {one.condition}{summary.plain(why)}")
        said[one.name] = one.condition


def _delivered(root: Path) -> list[dict[str, Any]]:
    from padim.service.sink_overview import overview

    try:
        return [one.document() for one in overview(root)]
    except PadimError:
        return []


def _shown(path: Path, found: list[SinkOverview]) -> list[Any]:
    if not found:
        return [f"{summary.plain(str(path))}: no sinks yet"]
    table = columns(
        [
            ("sink", False),
            ("condition", False),
            ("waiting", True),
            ("refused", True),
            ("delivered", True),
            ("mean delay", True),
        ]
    )
    notes: list[Any] = []
    for one in found:
        mean = one.counts.latency_mean
        table.add_row(
            summary.plain(one.name)
            + ("" if one.settings is None else f"\n[dim]{summary.plain(one.settings.where)}[/]"),
            one.condition,
            f"{one.counts.waiting:,}",
            f"{one.counts.refused:,}",
            f"{one.counts.delivered:,}",
            "" if mean is None else f"{mean:.2f} s",
        )
        if one.counts.last_error:
            notes.append(f"{summary.plain(one.name)}: {summary.plain(one.counts.last_error)}")
    if any(one.condition == "stopped" for one in found):
        notes.append("stopped: no program delivers; start the app, `padim serve` or `padim sinks run`")
    return [titled(f"Sinks of {summary.plain(str(path))}", table), *notes]
