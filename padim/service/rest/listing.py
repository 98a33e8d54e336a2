"""What the service says about the workspace: its models, part numbers, inspections and health."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import PadimError
from padim.records.inspection_document import document_of_record
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.recipes import Recipes
from padim.records.versions import ModelVersions
from padim.service.rest.problems import RequestProblem
from padim.storage.model_folders import ModelFolders

if TYPE_CHECKING:
    from padim.records.version import ModelVersion
    from padim.storage.model_folders import Entry

__all__ = ["database_state", "model_document", "models_of", "part_numbers_of", "recorded"]


def recorded(root: Path | None, uid: str) -> dict[str, Any] | None:
    """Return the inspection of an id as plain JSON; None if none is on record.

    Raises:
        RequestProblem: the database cannot be read.
    """
    if root is None:
        return None
    try:
        found = InspectionRecords(root).page(InspectionQuery(uids=[uid]), number=1).items
    except (PadimError, OSError) as error:
        raise RequestProblem("database-away", str(error), retry_after=5) from error
    return document_of_record(found[0]) if found else None


def models_of(root: Path | None) -> list[dict[str, Any]]:
    """Return the models of a workspace, the newest first; errors as :func:`recorded`."""
    return [] if root is None else [_model(root, entry) for entry in ModelFolders(root).models()]


def model_document(root: Path | None, model_id: str) -> dict[str, Any]:
    """Return one model; errors as :func:`recorded`, and RequestProblem if there is none."""
    entries = [] if root is None else ModelFolders(root).models()
    for entry in entries:
        if entry.id == model_id:
            assert root is not None
            return _model(root, entry)
    raise RequestProblem("unknown-model", "there is no model of this id; GET /v1/models lists them")


def _model(root: Path, entry: Entry) -> dict[str, Any]:
    try:
        approved = ModelVersions(root, entry.id).approved()
    except (PadimError, OSError) as error:
        raise RequestProblem("database-away", str(error), retry_after=5) from error
    return {
        "id": entry.id,
        "name": entry.name,
        **_of_manifest(entry),
        **_of_version(approved),
        "problem": entry.broken,
    }


def _of_manifest(entry: Entry) -> dict[str, Any]:
    config = entry.manifest.get("config")
    config = config if isinstance(config, dict) else {}
    method, size = config.get("method"), config.get("input_size")
    sides = [size, size] if isinstance(size, int) else size if isinstance(size, list) else None
    return {"method": str(method) if method else None, "input_size": sides, "parts": entry.n_parts}


def _of_version(version: ModelVersion | None) -> dict[str, Any]:
    if version is None:
        names = ("version", "threshold", "expected_false_rejects", "false_rejects_upper")
        return dict.fromkeys(names)
    return {
        "version": version.number,
        "threshold": version.threshold,
        "parts": version.n_parts,
        "expected_false_rejects": version.expected,
        "false_rejects_upper": version.upper,
    }


def part_numbers_of(root: Path | None) -> list[dict[str, Any]]:
    """Return the part numbers that have a recipe; errors as :func:`recorded`."""
    if root is None:
        return []
    try:
        recipes = Recipes(root).all()
    except (PadimError, OSError) as error:
        raise RequestProblem("database-away", str(error), retry_after=5) from error
    return [
        {
            "part_number": one.part_number,
            "model_id": one.model_id,
            "changed": one.changed.isoformat(timespec="seconds"),
            "who": one.who,
        }
        for one in recipes
    ]


def database_state(root: Path | None) -> str:
    """Return "ok" if the records can be read, else why not."""
    try:
        recorded(root, "0" * 32)
    except RequestProblem as problem:
        return problem.detail
    return "ok"
