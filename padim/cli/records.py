"""The ``records`` commands: list inspections on record, write them to files, delete what is kept too long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.command import command
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.records.inspection import Inspection
    from padim.records.inspection_query import InspectionQuery
    from padim.records.retention import EvidenceSizes

records = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List the inspections on record, write them to files that others read, and delete images and level "
    "maps that were kept long enough.",
)


class VerdictFilter(StrEnum):
    """What the model said."""

    accept = "accept"
    review = "review"
    reject = "reject"
    none = "none"


class DecisionFilter(StrEnum):
    """What a person said."""

    accept = "accept"
    reject = "reject"
    unsure = "unsure"
    open = "open"


class RecordsFormat(StrEnum):
    """What is written."""

    csv = "csv"
    parquet = "parquet"
    zip = "zip"
    mvtec = "mvtec"
    coco = "coco"


_DATES = ["%Y-%m-%d"]
_Since = Annotated[
    datetime | None,
    typer.Option("--since", formats=_DATES, metavar="DAY", help="Scored on this day or later (UTC)."),
]
_Until = Annotated[
    datetime | None,
    typer.Option("--until", formats=_DATES, metavar="DAY", help="Scored on this day or earlier (UTC)."),
]
_Verdict = Annotated[
    list[VerdictFilter] | None, typer.Option("--verdict", help="What the model said; may be repeated.")
]
_Decision = Annotated[
    DecisionFilter | None, typer.Option("--decision", help="What a person said; open: nobody has yet.")
]
_Type = Annotated[str | None, typer.Option("--type", metavar="NAME", help="Type of defect.")]
_Part = Annotated[str | None, typer.Option("--part-number", metavar="TEXT", help="Part number.")]
_Serial = Annotated[str | None, typer.Option("--serial", metavar="TEXT", help="Serial number.")]
_Lot = Annotated[str | None, typer.Option("--lot", metavar="TEXT", help="Lot.")]
_Station = Annotated[str | None, typer.Option("--station", metavar="TEXT", help="Station.")]
_Shift = Annotated[str | None, typer.Option("--shift", metavar="TEXT", help="Shift.")]
_Model = Annotated[str | None, typer.Option("--model", metavar="ID", help="Id of the model.")]
_Contains = Annotated[
    str, typer.Option("--contains", metavar="TEXT", help="Part of the image's name or the serial number.")
]


@command(records, "list")
def list_records(
    terminal: Terminal,
    since: _Since = None,
    until: _Until = None,
    verdict: _Verdict = None,
    decision: _Decision = None,
    type_: _Type = None,
    part_number: _Part = None,
    serial: _Serial = None,
    lot: _Lot = None,
    station: _Station = None,
    shift: _Shift = None,
    model: _Model = None,
    contains: _Contains = "",
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=10_000, metavar="N", help="How many at most.")
    ] = 50,
) -> None:
    """List the inspections on record in the workspace (PADIM_HOME), the newest first."""
    from padim.records.exports.columns import plain_values
    from padim.records.inspections import InspectionRecords

    root = _workspace()
    query = _query(
        since,
        until,
        verdict,
        decision,
        contains,
        model_id=model,
        **_texts(type_, part_number, serial, lot, station, shift),
    )
    store = InspectionRecords(root)
    found = store.page(query, number=number).items
    total = store.count(query)
    document = {"workspace": str(root), "found": total, "records": [plain_values(one) for one in found]}
    terminal.result(document, _shown(found, total))


@command(records, "export")
def export_records_command(
    terminal: Terminal,
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    format_: Annotated[
        RecordsFormat,
        typer.Option(
            "--format",
            help="csv, parquet: a table; zip: evidence (images, records, table); mvtec, coco: labelled "
            "images of what people have decided.",
        ),
    ] = RecordsFormat.csv,
    since: _Since = None,
    until: _Until = None,
    verdict: _Verdict = None,
    decision: _Decision = None,
    type_: _Type = None,
    part_number: _Part = None,
    serial: _Serial = None,
    lot: _Lot = None,
    station: _Station = None,
    shift: _Shift = None,
    model: _Model = None,
    contains: _Contains = "",
) -> None:
    """Write the inspections on record to a file, in constant memory.

    mvtec and coco are ZIPs that `padim evaluate` reads as they are.
    """
    from padim.records.exports.exporting import export_records
    from padim.text import count, megabytes

    root = _workspace()
    query = _query(
        since,
        until,
        verdict,
        decision,
        contains,
        model_id=model,
        **_texts(type_, part_number, serial, lot, station, shift),
    )
    if output.is_dir():
        raise PadimError(f"{output}: is a folder; give the name of a file in it")
    account = export_records(root, query, format_.value, output)
    size = output.stat().st_size
    document = {
        "file": str(output),
        "format": format_.value,
        "bytes": size,
        "written": account.written,
        "missing": [
            {"record": record, "image": image, "missing": why} for record, image, why in account.missing
        ],
    }
    shown = [f"{count(account.written, 'record')} in {summary.plain(str(output))}: {megabytes(size)}"]
    if account.missing:
        shown.append(f"missing.csv in it says what is not kept, and why: {len(account.missing):,} lines")
    terminal.result(document, *shown)


@command(records, "prune")
def prune(
    terminal: Terminal,
    days: Annotated[
        int | None, typer.Option("--days", min=1, metavar="N", help="Instead of the setting: days.")
    ] = None,
    gigabytes: Annotated[
        float | None,
        typer.Option("--gigabytes", min=1e-9, metavar="GB", help="Instead of the setting: all originals."),
    ] = None,
    map_gigabytes: Annotated[
        float | None,
        typer.Option("--map-gigabytes", min=1e-9, metavar="GB", help="Instead of the setting: level maps."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing; say what would be deleted.")
    ] = False,
) -> None:
    """Delete original images and level maps beyond the limits of days and size; the records stay.

    The limits are those of the Records page, *What is kept*. The app does the same once a day.
    """
    from padim.records.retention import prune_evidence
    from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
    from padim.text import count, megabytes

    root = _workspace()
    settings = WorkspaceSettings(root).get(OriginalsSettings)
    given = {"days": days, "gigabytes": gigabytes, "map_gigabytes": map_gigabytes}
    changed = {name: value for name, value in given.items() if value is not None}
    done = prune_evidence(root, settings.model_copy(update=changed), dry_run=dry_run)
    document = {
        "workspace": str(root),
        "dry_run": dry_run,
        "deleted": _sizes(done.deleted),
        "left": _sizes(done.left),
    }

    def said(sizes: EvidenceSizes) -> str:
        images, maps = count(sizes.originals, "original image"), count(sizes.maps, "level map")
        return (
            f"{images}{f', {megabytes(sizes.original_bytes)}' if sizes.originals else ''}; "
            f"{maps}{f', {megabytes(sizes.map_bytes)}' if sizes.maps else ''}"
        )

    terminal.result(
        document,
        f"{'Would be deleted' if dry_run else 'Deleted'}: {said(done.deleted)}",
        f"{'Would be left' if dry_run else 'Left'}: {said(done.left)}",
    )


def _workspace() -> Path:
    from padim.installation import workspace_folder

    root = workspace_folder()
    if not root.is_dir():
        raise PadimError(f"{root}: there is no workspace; set PADIM_HOME to its folder")
    return root


def _texts(
    type_: str | None,
    part_number: str | None,
    serial: str | None,
    lot: str | None,
    station: str | None,
    shift: str | None,
) -> dict[str, str | None]:
    return {
        "defect_type": type_,
        "part_number": part_number,
        "serial": serial,
        "lot": lot,
        "station": station,
        "shift": shift,
    }


def _query(
    since: datetime | None,
    until: datetime | None,
    verdict: list[VerdictFilter] | None,
    decision: DecisionFilter | None,
    contains: str,
    **texts: Any,
) -> InspectionQuery:
    from padim.records.inspection_query import InspectionQuery

    end = None if until is None else until + timedelta(days=1)  # the whole day
    said: Any = None if decision is None else "" if decision == "open" else decision.value
    return InspectionQuery(
        since=None if since is None else since.replace(tzinfo=UTC),
        before=None if end is None else end.replace(tzinfo=UTC),
        verdicts=[one.value for one in verdict] if verdict else None,
        decision=said,
        contains=contains,
        **texts,
    )


def _shown(found: tuple[Inspection, ...], total: int) -> Any:
    if not found:
        return "No record is like that"
    table = columns(
        [
            ("record", True),
            ("scored (UTC)", False),
            ("name", False),
            ("serial", False),
            ("verdict", False),
            ("score", True),
            ("decision", False),
            ("type", False),
        ]
    )
    for one in found:
        table.add_row(
            str(one.id),
            f"{one.judged:%Y-%m-%d %H:%M}",
            summary.plain(one.name),
            summary.plain(one.serial),
            one.verdict,
            f"{one.score:.4g}",
            one.decision or "",
            summary.plain(one.defect_type),
        )
    return titled(f"{len(found):,} of {total:,} records", table)


def _sizes(sizes: EvidenceSizes) -> dict[str, int]:
    return {
        "originals": sizes.originals,
        "original_bytes": sizes.original_bytes,
        "maps": sizes.maps,
        "map_bytes": sizes.map_bytes,
    }
