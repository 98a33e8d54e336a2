"""What the worker process is asked and what it answers, as JSON; errors keep their type and attributes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from padim import errors
from padim.errors import ImageError, PadimError
from padim.storage.atomic import explain_os_error
from padim.worker.images import Images, Labelled


class WorkerFault(Exception):
    """The work ended by a fault of the program; its traceback is in the log."""


# -- requests --------------------------------------------------------------------------------------------


class _OfModel(BaseModel):
    """Attributes: ``root`` of the workspace, and the id of the ``model`` in it."""

    root: Path
    model: str


class Fit(_OfModel):
    """A new model, in the folder prepared for it.

    Attributes:
        config: its settings.
        groups: each image's part, by name.
        images: the good parts.
        label: what the images are, as the user knows them.
    """

    verb: Literal["fit"] = "fit"
    config: dict[str, Any]
    groups: dict[str, str]
    images: Images
    label: str = ""


class Rebuild(_OfModel):
    """The features of a model's own ``images`` once more."""

    verb: Literal["rebuild"] = "rebuild"
    images: Images


class Add(_OfModel):
    """A fit continued with further ``images``.

    Attributes:
        shots: names of images that are further shots of another one of them, and that one's name.
    """

    verb: Literal["add"] = "add"
    images: Images
    shots: dict[str, str]


class SetLayers(_OfModel):
    """A fit anew from the ``active`` layers only, from the features on disk."""

    verb: Literal["set_layers"] = "set_layers"
    active: list[str]


class Exclude(_OfModel):
    """A fit without the part of one image."""

    verb: Literal["exclude"] = "exclude"
    index: int
    reason: Literal["not_good", "kept_out"]


class Include(_OfModel):
    """A fit with a part that had been taken out."""

    verb: Literal["include"] = "include"
    index: int


class StudyRequest(BaseModel):
    """A comparison of configurations.

    Attributes:
        folder: the study's own.
        variants: name and settings of each configuration.
        images: what they are compared on.
    """

    verb: Literal["study"] = "study"
    folder: Path
    variants: list[tuple[str, dict[str, Any]]]
    images: Labelled


Request = Fit | Rebuild | Add | SetLayers | Exclude | Include | StudyRequest
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="verb")])


def request_to_json(request: Request) -> str:
    """One line of JSON."""
    return request.model_dump_json()


def request_from_json(line: str | bytes) -> Request:
    """The request. Raises ValueError where it is none."""
    return _REQUEST.validate_json(line)


# -- outcomes --------------------------------------------------------------------------------------------


class WorkerResult(BaseModel):
    """What came of it; which attributes a verb fills is said with the verb.

    Attributes:
        images: how many images.
        parts: how many parts they show.
        active, muted: layers in use, and not.
        was_stale: the calibration was out of date before.
        again: how many runs of a study were there from before.
        failed: name and reason of every file that could not be used.
    """

    images: int = 0
    parts: int = 0
    active: list[str] = []
    inactive: list[str] = []
    was_stale: bool = False
    again: int = 0
    failed: list[tuple[str, str]] = []

    @property
    def unusable(self) -> tuple[ImageError, ...]:
        """The files that could not be used."""
        return tuple(ImageError(name, reason) for name, reason in self.failed)


# -- errors ----------------------------------------------------------------------------------------------


def error_to_json(error: BaseException) -> dict[str, Any]:
    """The error with its type and attributes; those of the program itself by their type's name only."""
    if isinstance(error, MemoryError):
        error = PadimError(
            "there is not enough memory for this; a smaller input size, a coarser grid or fewer images "
            "take less"
        )
    elif isinstance(error, OSError):
        error = explain_os_error(error)
    if not isinstance(error, PadimError) or not hasattr(errors, type(error).__name__):
        if isinstance(error, PadimError):
            return {"kind": "PadimError", "message": str(error), "attributes": {}}
        return {"kind": "fault", "message": type(error).__name__, "attributes": {}}
    attributes = {key: _plain(value) for key, value in vars(error).items() if not key.startswith("_")}
    return {"kind": type(error).__name__, "message": str(error), "attributes": attributes}


def error_from_json(document: dict[str, Any]) -> Exception:
    """The error once more, of its own type where ``padim.errors`` has it."""
    kind = getattr(errors, str(document.get("kind")), None)
    message = str(document.get("message", ""))
    if not (isinstance(kind, type) and issubclass(kind, PadimError)):
        return WorkerFault(message)
    error = kind.__new__(kind)
    # What BaseException keeps as its text; the types' own constructors take other arguments.
    error.args = (message,)
    for key, value in dict(document.get("attributes", {})).items():
        setattr(error, key, Path(value["path"]) if isinstance(value, dict) else value)
    return error


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return {"path": os.fspath(value)}
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
