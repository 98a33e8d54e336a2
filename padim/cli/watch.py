"""The ``watch`` command: inspect what appears in a folder, once, until it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.score_records import (
    PANEL,
    Lot,
    NamePattern,
    Serial,
    Shift,
    Station,
    Who,
    login_name,
)
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal
from padim.errors import PadimError
from padim.text import count, multiple, one_line

if TYPE_CHECKING:
    from padim.records.watches import WatchedFolder
    from padim.service.inspecting_models import InspectingModel
    from padim.service.inspector import InspectionResult
    from padim.service.watch_status import WatchStatus

_COLORS = {"reject": "bold red", "review": "yellow", "accept": "green", "none": "dim"}
_HOW = "How the folder is watched"
# Seconds that the end of a watch waits for sinks at most.
_LAST_DELIVERIES = 30.0


def watch(
    terminal: Terminal,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="What inspects: a model of the workspace by its id or name, a part number with a recipe, or "
            "the path of a saved model.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="IN", help="The folder in which images appear.")],
    output: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="OUT", help="Folder for the results, outside of IN; created if missing."
        ),
    ],
    move_to: Annotated[
        str,
        typer.Option(
            "--move-to",
            metavar="DIR",
            help="Move inspected files to a folder below DIR that is named after the verdict; default: files "
            "stay where they are.",
        ),
    ] = "",
    panels: Annotated[
        bool,
        typer.Option(
            "--panels/--no-panels",
            help="Write a panel for each image: original, heatmap, mask and overlay side by side.",
        ),
    ] = True,
    panel_side: Annotated[
        int, typer.Option("--panel-side", metavar="PIXELS", help="Longest side of one panel, 32 to 8192.")
    ] = 768,
    once: Annotated[
        bool,
        typer.Option("--once", help="Inspect what is there, and end instead of waiting for more."),
    ] = False,
    retry_refused: Annotated[
        bool,
        typer.Option("--retry-refused", help="Try files again that were refused by earlier runs."),
    ] = False,
    sub_folders: Annotated[
        bool,
        typer.Option(
            "--sub-folders/--no-sub-folders",
            help="Whether images in sub-folders of IN are inspected too.",
            rich_help_panel=_HOW,
        ),
    ] = True,
    polling: Annotated[
        bool,
        typer.Option(
            "--polling",
            help="Look into the folder each second instead of waiting for the system's notice of changes; "
            "network folders are always watched so.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            help="A file is read when its size and time have not changed for so long.",
            rich_help_panel=_HOW,
        ),
    ] = 0.5,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="SECONDS",
            help="A file that cannot be read is refused when it has not changed for so long.",
            rich_help_panel=_HOW,
        ),
    ] = 30.0,
    part_number: Annotated[
        str,
        typer.Option(
            "--part-number",
            metavar="NUMBER",
            help="Part number of the images; files are refused if its recipe names another model. Default: "
            "TARGET, if it is a part number.",
            rich_help_panel=PANEL,
        ),
    ] = "",
    serial: Serial = "",
    lot: Lot = "",
    station: Station = "",
    shift: Shift = "",
    name_pattern: NamePattern = "",
    who: Who = "",
    uid: Annotated[
        str,
        typer.Option(
            "--id",
            metavar="ID",
            help="The entry on the app's page Line that this process runs for; the app gives it.",
            rich_help_panel=_HOW,
        ),
    ] = "",
) -> None:
    """Watch a folder, and inspect each image that appears there, until stopped with Ctrl-C.

    Each image is inspected once, also after a restart; it is known by its path and its content. A file is
    read when it is whole. For each, OUT gets the result as JSON and a panel, in [b]results[/] by day; in a
    workspace the result is on record too, and goes to the sinks. Files that cannot be used are listed in
    [b]OUT/refused.csv[/]. [b]OUT/watch.json[/] says what the watch does.

    While the disk is full or the database is away, inspecting goes on, and results are stored as soon as
    that is possible again. The exit code is 2 if some could not be stored.
    """
    from padim.installation import workspace_folder
    from padim.records.watches import WatchedFolder, WatchOptions, absolute
    from padim.service.inspecting_models import InspectingModels
    from padim.service.logs import configure_logs
    from padim.service.watch_reporter import WatchReporter
    from padim.service.watching import FolderWatch

    models = InspectingModels(workspace_folder())
    using = models.of(target)
    fields = {"part_number": part_number or _as_part_number(target, using), "serial": serial, "lot": lot}
    fields |= {"station": station, "shift": shift, "who": who or login_name()}
    options = WatchOptions(
        sub_folders=sub_folders,
        panels=panels,
        panel_side=panel_side,
        polling=polling,
        settle=settle,
        patience=patience,
        move_to=str(absolute(move_to)) if move_to else "",
        name_pattern=name_pattern,
        **{name: one_line(text, 100) for name, text in fields.items()},
    )
    configure_logs(quiet=terminal.quiet)
    watched = WatchedFolder(uid, _target(target), absolute(folder), absolute(output), options, "shell")
    with (
        _delivering(using, once=once),
        FolderWatch(
            watched,
            models,
            using=using,
            on_result=_shower(terminal),
            on_note=terminal.warn,
            on_alarm=_alarm(using),
        ) as running,
        Stop(terminal) as stopped,
    ):
        if not once:
            watched = _entered(watched, using, terminal)
            running.named(watched.uid)
        summary_of = _say(terminal, watched, using)
        if retry_refused and (number := running.retry_refused()):
            terminal.note(f"{count(number, 'refused file')} tried again")
        unwanted: list[bool] = []
        reporter = WatchReporter(running.status, _wanted(watched, using), lambda: unwanted.append(True))
        reporter.start()
        try:
            running.run(lambda: stopped() or bool(unwanted), once=once)
            running.ended("stopped")
        except BaseException as error:
            running.ended("failed", f"the watch has ended: {error or type(error).__name__}")
            raise
        finally:
            reporter.stop()
        status, problem = running.status(), running.problem
    if stopped() and not uid:
        _unwant(watched, using)
    summary_of(status)
    if problem:
        raise PadimError(problem)


@contextmanager
def _delivering(using: InspectingModel, *, once: bool) -> Iterator[None]:
    """Deliver to the workspace's sinks meanwhile, where no other program does.

    Args:
        using: the model that inspects.
        once: whether what waits is to be delivered at the end, as far as the receivers are there.
    """
    from padim.service.dispatcher import SinkDispatcher

    if using.root is None:
        yield
        return
    with SinkDispatcher(using.root) as dispatcher:
        yield
        if once:
            dispatcher.wait_until_idle(_LAST_DELIVERIES)


def _target(target: str) -> str:
    """Return what inspects as it is named from any folder."""
    return str(Path(target).absolute()) if Path(target).exists() else target


def _as_part_number(target: str, using: InspectingModel) -> str:
    """Return TARGET if it is a part number; else nothing."""
    from padim.records.recipes import PartNumberError, Recipes

    if using.root is None or target in (using.model_id, using.name) or Path(target).exists():
        return ""
    try:
        return Recipes(using.root).of(target).part_number
    except PartNumberError:
        return ""


def _entered(watched: WatchedFolder, using: InspectingModel, terminal: Terminal) -> WatchedFolder:
    """Enter the watch in the workspace, so that the app shows it; return it with its id.

    Raises:
        PadimError: another watch has its folder or its results.
    """
    from padim.errors import StorageError
    from padim.records.watches import Watches

    if using.root is None or watched.uid:
        return watched
    try:
        entered = Watches(using.root).add(
            watched.target,
            watched.folder,
            watched.output,
            watched.options.who,
            options=watched.options,
            starter="shell",
        )
    except StorageError as error:
        terminal.warn(f"the app does not show this watch: {error}")
        return watched
    return replace(watched, uid=entered.uid)


def _unwant(watched: WatchedFolder, using: InspectingModel) -> None:
    from contextlib import suppress

    from padim.records.watches import Watches

    if watched.uid and using.root is not None:
        with suppress(PadimError, OSError):
            Watches(using.root).set_wanted(watched.uid, False)


def _wanted(watched: WatchedFolder, using: InspectingModel) -> Callable[[], bool]:
    from padim.records.watches import Watches

    def wanted() -> bool:
        if not watched.uid or using.root is None:
            return True
        entry = Watches(using.root).get(watched.uid)
        return entry is None or entry.wanted

    return wanted


def _alarm(using: InspectingModel) -> Callable[[str, str], bool]:
    from padim.records.outbox import Outbox

    def alarm(subject: str, text: str) -> bool:
        if using.root is not None:
            try:
                Outbox(using.root).alarm(subject, text)
            except (PadimError, OSError):  # tried again
                return False
        return True

    return alarm


def _shower(terminal: Terminal) -> Callable[[InspectionResult], None]:
    def show(result: InspectionResult) -> None:
        document = result.document or {}
        verdict = document["verdict"]
        threshold = document["threshold"]
        over = "" if threshold is None else f"  {multiple(document['score'], threshold)} threshold"
        terminal.print(f"[{_COLORS[verdict]}]{verdict:<7}[/] {summary.plain(result.name)}{over}")

    return show


def _say(terminal: Terminal, watched: WatchedFolder, using: InspectingModel) -> Callable[[WatchStatus], None]:
    """Say what is watched by what; return what says in the end what was done."""
    version = "" if using.version_number is None else f", version {using.version_number}"
    terminal.print(
        f"Watching {summary.plain(str(watched.folder))} with {summary.plain(using.name)}{version}."
    )
    if using.root is None:
        terminal.note("the model is in no workspace: results are in files only, on no record and in no sink")
    if using.note:
        terminal.note(using.note)
    if summary.is_random(using.model):
        terminal.warn(f"{using.name}: the network has random weights; its verdicts mean nothing")

    def ended(status: WatchStatus) -> None:
        counts: dict[str, Any] = dict(status.counts)
        names = ("accept", "review", "reject", "none", "refused", "waiting")
        text = ", ".join(f"{counts[name]:,} {name}" for name in names if counts[name])
        document = {
            "target": status.target,
            "folder": status.folder,
            "output": status.output,
            "model_id": status.model_id,
            "version": status.version,
            "recording": status.recording,
            "counts": counts,
        }
        terminal.result(document, f"{text or 'nothing inspected'}: {summary.plain(status.output)}")

    return ended
