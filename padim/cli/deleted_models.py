"""The ``bin`` command: list the deleted models, restore them, or remove them for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import summary
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.storage.bin import DeletedModel
    from padim.storage.model_folders import ModelFolders


def deleted_models(
    terminal: Terminal,
    restore: Annotated[
        str | None,
        typer.Option("--restore", metavar="MODEL", help="Put a model back, by its name or id."),
    ] = None,
    delete: Annotated[
        str | None,
        typer.Option("--delete", metavar="MODEL", help="Remove a model for good, by its name or id."),
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Remove all models in the bin for good.")] = False,
) -> None:
    """List the models that were deleted in the app; restore one, or remove them for good.

    The bin is that of the app's workspace (PADIM_HOME). A deleted model is kept there for 30 days, with its
    image library and everything stored with it.
    """
    from padim.installation import workspace_folder
    from padim.records import deleted_models as engine
    from padim.storage import bin as model_bin
    from padim.storage.model_folders import ModelFolders

    if sum((restore is not None, delete is not None, empty)) > 1:
        raise PadimError("choose one of --restore, --delete and --empty")
    root = workspace_folder()
    if not root.is_dir():
        raise PadimError(f"{root}: there is no workspace; set PADIM_HOME to its folder")
    models = ModelFolders(root)
    restored, removed = None, []
    if restore is not None:
        restored = _one(models, restore)
        model_bin.restore(models, restored)
    elif delete is not None or empty:
        chosen = model_bin.contents(models) if delete is None else [_one(models, delete)]
        for one in chosen:
            removed.append(_document(one))
            engine.remove(models, one)
    left = [_document(one) for one in model_bin.contents(models)]
    document = {
        "workspace": str(root),
        "bytes": sum(one["bytes"] for one in left),
        "models": left,
        "restored": None if restored is None else {"id": restored.id, "name": restored.name},
        "removed": removed,
    }
    terminal.result(document, *_shown(document))


def _one(models: ModelFolders, wanted: str) -> DeletedModel:
    from padim.storage import bin as model_bin

    found = model_bin.find(models, wanted)
    if not found:
        raise PadimError(f"no model in the bin has the name or id '{wanted}'; `padim bin` lists them")
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise PadimError(f"{len(found)} models in the bin are called '{wanted}'; give the id of one: {ids}")
    return found[0]


def _document(one: DeletedModel) -> dict[str, Any]:
    from padim.storage import bin as model_bin

    return {
        "id": one.id,
        "name": one.name,
        "deleted": one.deleted.isoformat(),
        "until": one.until.isoformat(),
        "bytes": model_bin.size(one),
        "folder": str(one.folder),
    }


def _shown(document: dict[str, Any]) -> list[Any]:
    from padim.text import count, megabytes

    shown: list[Any] = []
    if document["restored"]:
        shown.append(f"“{summary.plain(document['restored']['name'])}” is back among the models")
    if removed := document["removed"]:
        size = megabytes(sum(one["bytes"] for one in removed))
        shown.append(f"{count(len(removed), 'model')} removed for good: {size}")
    if not document["models"]:
        return [*shown, "The bin is empty"]
    table = columns(
        [("model", False), ("id", False), ("deleted", False), ("kept until", False), ("size", True)]
    )
    for one in document["models"]:
        table.add_row(
            summary.plain(one["name"]),
            one["id"],
            one["deleted"][:10],
            one["until"][:10],
            megabytes(one["bytes"]),
        )
    return [*shown, titled(f"In the bin: {megabytes(document['bytes'])}", table)]
