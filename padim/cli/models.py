"""The ``models`` commands: the models of the workspace and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.command import command
from padim.cli.saving import login_name
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.records.version import ModelVersion
    from padim.records.version_comparison import VersionComparison
    from padim.records.versions import ModelVersions
    from padim.storage.model_folders import Entry, ModelFolders

models = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List the models of the workspace and their versions, compare two versions, and say which one "
    "inspects.",
)

_Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name or id of a model of the workspace.")]
_Who = Annotated[
    str | None, typer.Option("--who", metavar="NAME", help="Name on record; default: the login name.")
]
_Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why, in your words.")]


@command(models, "list")
def list_models(terminal: Terminal) -> None:
    """List the models of the workspace (PADIM_HOME) with the version of each that inspects."""
    store = _workspace()
    rows = [_model_document(store, entry) for entry in store.models()]
    table = columns(
        [("model", False), ("id", False), ("approved", True), ("newer draft", True), ("versions", True)]
    )
    for row in rows:
        table.add_row(
            summary.plain(row["name"]),
            row["id"],
            _number(row["approved"]),
            _number(row["newer_draft"]),
            str(row["versions"]),
        )
    shown = titled(f"Models in {summary.plain(str(store.root))}", table) if rows else "There are no models"
    terminal.result({"workspace": str(store.root), "models": rows}, shown)


@command(models, "versions")
def list_versions(terminal: Terminal, model: _Model) -> None:
    """List the versions of a model: who made each, when and why, what it changed, and its promise."""
    entry, versions = _versions(model)
    versions.catch_up()
    own = versions.own_bytes()
    found = [_document(one, own.get(one.number, 0)) for one in versions.all()]
    head = versions.head()
    document = {
        "id": entry.id,
        "name": entry.name,
        "saved": None if head is None else head.number,
        "bytes": versions.total_bytes(),
        "versions": found,
        "events": [
            {"version": e.number, "at": e.at.isoformat(), "who": e.who, "kind": e.kind, "comment": e.comment}
            for e in versions.events()
        ],
    }
    terminal.result(document, _table(entry.name, versions.all()))


@command(models, "compare")
def compare_versions(
    terminal: Terminal,
    model: _Model,
    now: Annotated[int, typer.Argument(metavar="NOW", help="Number of the version in use.")],
    instead: Annotated[int, typer.Argument(metavar="INSTEAD", help="Number of the other version.")],
) -> None:
    """Score the images of a model's library by two versions, and list every verdict that differs.

    Known defects that would pass with the other version come first.
    """
    from padim.records.library import ImageLibrary
    from padim.records.version_comparison import compare

    entry, versions = _versions(model)
    versions.catch_up()
    library = ImageLibrary(versions.root, entry.id)
    with terminal.progress() as progress:
        result = compare(versions, now, instead, library, progress=progress)
    terminal.skipped(result.unreadable)
    terminal.result(_comparison_document(entry, result), *_comparison(result))


@command(models, "approve")
def approve(
    terminal: Terminal,
    model: _Model,
    number: Annotated[int, typer.Argument(metavar="VERSION", help="Number of the version.")],
    who: _Who = None,
    comment: _Comment = "",
) -> None:
    """Make a version the one that inspects."""
    entry, versions = _versions(model)
    versions.catch_up()
    made = versions.approve(number, who or login_name(), comment)
    _said(terminal, entry, made, f"Version {number} of “{entry.name}” inspects from now on")


@command(models, "rollback")
def rollback(terminal: Terminal, model: _Model, who: _Who = None, comment: _Comment = "") -> None:
    """Approve the version that was approved before the present one; the present one becomes a draft."""
    entry, versions = _versions(model)
    versions.catch_up()
    former = versions.approved_before()
    if former is None:
        raise PadimError(f"no version of “{entry.name}” was approved before the present one")
    made = versions.approve(former.number, who or login_name(), comment)
    _said(terminal, entry, made, f"Rolled back: version {made.number} of “{entry.name}” inspects from now on")


@command(models, "retire")
def retire(
    terminal: Terminal,
    model: _Model,
    number: Annotated[int, typer.Argument(metavar="VERSION", help="Number of the version.")],
    who: _Who = None,
    comment: _Comment = "",
) -> None:
    """Mark a version as no longer to be used; it stays in the list."""
    entry, versions = _versions(model)
    made = versions.retire(number, who or login_name(), comment)
    _said(terminal, entry, made, f"Version {number} of “{entry.name}” is retired")


@command(models, "prune")
def prune(terminal: Terminal, model: _Model, who: _Who = None) -> None:
    """Delete the files of old versions; their records stay.

    Kept are the approved version, the saved model's, the newest 10, all of the last 90 days, and every one
    that a record names.
    """
    from padim.text import count, megabytes

    entry, versions = _versions(model)
    versions.catch_up()
    done = versions.prune(who or login_name())
    document = {"id": entry.id, "name": entry.name, "pruned": list(done.numbers), "bytes": done.bytes}
    terminal.result(
        document, f"Files of {count(len(done.numbers), 'version')} deleted: {megabytes(done.bytes)}"
    )


def _workspace() -> ModelFolders:
    from padim.installation import workspace_folder
    from padim.storage.model_folders import ModelFolders

    root = workspace_folder()
    if not root.is_dir():
        raise PadimError(f"{root}: there is no workspace; set PADIM_HOME to its folder")
    return ModelFolders(root)


def _versions(wanted: str) -> tuple[Entry, ModelVersions]:
    from padim.records.versions import ModelVersions

    store = _workspace()
    found = [entry for entry in store.models() if wanted in (entry.id, entry.name)]
    if not found:
        raise PadimError(f"no model has the name or id '{wanted}'; `padim models list` lists them")
    if len(found) > 1:
        ids = ", ".join(entry.id for entry in found)
        raise PadimError(f"{len(found)} models are called '{wanted}'; give the id of one: {ids}")
    return found[0], ModelVersions(store.root, found[0].id)


def _said(terminal: Terminal, entry: Entry, version: ModelVersion, sentence: str) -> None:
    document = {"id": entry.id, "name": entry.name, "version": version.number, "state": version.state}
    terminal.result(document, summary.plain(sentence))


def _model_document(store: ModelFolders, entry: Entry) -> dict[str, Any]:
    from padim.records.versions import ModelVersions

    versions = ModelVersions(store.root, entry.id)
    approved, draft = versions.approved(), versions.newer_draft()
    return {
        "id": entry.id,
        "name": entry.name,
        "broken": entry.broken,
        "approved": None if approved is None else approved.number,
        "newer_draft": None if draft is None else draft.number,
        "versions": len(versions.all()),
    }


def _document(one: ModelVersion, own_bytes: int) -> dict[str, Any]:
    return {
        "number": one.number,
        "state": one.state,
        "made": one.made.isoformat(),
        "who": one.who,
        "cause": one.cause,
        "reason": one.reason,
        "changed": one.changed,
        "based_on": one.based_on,
        "revision": one.revision,
        "parts": one.n_parts,
        "threshold": one.threshold,
        "expected_false_rejects": one.expected,
        "upper_false_rejects": one.upper,
        "bytes": one.bytes,
        "own_bytes": own_bytes,
        "pruned": None if one.pruned is None else one.pruned.isoformat(),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _table(name: str, versions: list[ModelVersion]) -> Any:
    from padim.text import percent

    heads = ("version", "state", "made (UTC)", "who", "changed", "parts", "threshold", "false rejects")
    numbers = ("version", "parts", "threshold", "false rejects")
    table = columns([(head, head in numbers) for head in heads])
    for one in versions:
        reason = f" (“{one.reason}”)" if one.reason else ""
        table.add_row(
            str(one.number),
            one.state if one.pruned is None else f"{one.state}, files deleted",
            f"{one.made:%Y-%m-%d %H:%M}",
            summary.plain(one.who),
            summary.plain(f"{one.cause}: {one.changed}{reason}"),
            str(one.n_parts),
            "" if one.threshold is None else f"{one.threshold:.2f}",
            "" if one.expected is None else percent(one.expected),
        )
    return titled(f"Versions of “{summary.plain(name)}”", table)


def _comparison_document(entry: Entry, result: VersionComparison) -> dict[str, Any]:
    return {
        "id": entry.id,
        "name": entry.name,
        "versions": [_document(one, 0) for one in result.versions],
        "same_scores": result.same_scores,
        "would_pass": len(result.would_pass),
        "images": [
            {
                "name": one.name,
                "sha256": one.sha256,
                "label": one.label,
                "defect_type": one.defect_type,
                "scores": list(one.scores),
                "verdicts": list(one.verdicts),
                "flips": one.flips,
                "would_pass": one.would_pass,
            }
            for one in result.images
        ],
        "unreadable": [{"name": error.name, "reason": error.reason} for error in result.unreadable],
    }


def _comparison(result: VersionComparison) -> list[Any]:
    from padim.text import count

    one, other = (version.number for version in result.versions)
    flips, passing = result.flips, result.would_pass
    n = count(len(result.images), "image")
    shown: list[Any] = [f"{count(len(flips), 'verdict')} of {n} differ between versions {one} and {other}"]
    if passing:
        shown.append(f"[bold red]{count(len(passing), 'known defect')} would pass with version {other}[/]")
    if flips:
        heads = [("image", False), ("shows", False), (f"version {one}", False), (f"version {other}", False)]
        table = columns([*heads, ("score", True), ("score instead", True)])
        for image in flips:
            what = image.defect_type or image.label
            scores = [f"{score:.2f}" for score in image.scores]
            table.add_row(summary.plain(image.name), summary.plain(what), *image.verdicts, *scores)
        shown.append(table)
    return shown
