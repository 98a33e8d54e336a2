"""Settings that people make in the app: of the workspace, or of one model; stored in the database.

Each is a class with defaults; a value that a later version has written, or that somebody has damaged, counts
as not set.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import delete, insert, select

from padim.records.database import RecordsDatabase
from padim.records.schema import SETTINGS

__all__ = ["ApprovalSettings", "AuditSettings", "OriginalsSettings", "StoredSetting", "WorkspaceSettings"]


class StoredSetting(BaseModel):
    """A setting with a name in the database; sub-classes have the values, each with a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    stored_as: ClassVar[str]


class OriginalsSettings(StoredSetting):
    """Which image files are kept with their records.

    Attributes:
        keep: "review": of those that await a person, which cannot be reviewed without; "all"; or "none".
        folder: the folder; None: ``evidence/originals`` in the workspace.
        days: how long; None: for ever.
        gigabytes: size of all files together, of which the oldest go first.
    """

    stored_as = "originals"
    keep: Literal["review", "all", "none"] = "review"
    folder: str | None = None
    days: Annotated[int, Field(ge=1, le=36_500)] | None = 30
    gigabytes: Annotated[float, Field(gt=0, le=1e6)] = 4.0
    map_gigabytes: Annotated[float, Field(gt=0, le=1e6)] = 2.0

    def keeps(self, *, waits: bool) -> bool:
        """Return whether an image is kept, by whether it awaits a person."""
        return self.keep == "all" or (self.keep == "review" and waits)


class AuditSettings(StoredSetting):
    """The share of the accepted that is drawn at random for a person to look at."""

    stored_as = "audit"
    share: Annotated[float, Field(ge=0, le=1)] = 0.02


class ApprovalSettings(StoredSetting):
    """Whether a saved version is approved when it is made, or when somebody approves it."""

    stored_as = "approval"
    approval: Literal["at_once", "by_hand"] = "at_once"


T = TypeVar("T", bound=StoredSetting)


class WorkspaceSettings:
    """The settings of a workspace, or of one of its models; cheap to create.

    Args:
        root: the workspace's folder.
        model_id: the model; empty for the workspace.
    """

    def __init__(self, root: str | Path, model_id: str = "") -> None:
        self._database = RecordsDatabase(root)
        self._model_id = model_id

    def get(self, kind: type[T]) -> T:
        """Return a setting; its defaults where nothing, or nothing valid, is stored."""
        query = select(SETTINGS.c.value).where(
            SETTINGS.c.model_id == self._model_id, SETTINGS.c.name == kind.stored_as
        )
        with self._database.reading() as connection:
            value = None if connection is None else connection.execute(query).scalar()
        try:
            return kind() if value is None else kind.model_validate_json(value)
        except ValidationError:
            return kind()

    def is_set(self, kind: type[StoredSetting]) -> bool:
        """Return whether somebody has stored a setting; otherwise its defaults are only that."""
        query = select(SETTINGS.c.id).where(
            SETTINGS.c.model_id == self._model_id, SETTINGS.c.name == kind.stored_as
        )
        with self._database.reading() as connection:
            return connection is not None and connection.execute(query).first() is not None

    def set(self, value: StoredSetting, who: str) -> None:
        """Store a setting.

        Raises:
            StorageError: the workspace is read-only, or its disk is full.
        """
        mine = (SETTINGS.c.model_id == self._model_id) & (SETTINGS.c.name == value.stored_as)
        row = {
            "model_id": self._model_id,
            "name": value.stored_as,
            "value": value.model_dump_json(),
            "changed": datetime.now(UTC).isoformat(timespec="microseconds"),
            "who": who,
        }
        with self._database.writing() as connection:
            connection.execute(delete(SETTINGS).where(mine))
            connection.execute(insert(SETTINGS).values(row))
