"""Requests to the worker process and its outcomes and errors, with conversion to and from JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, TypeAdapter

from padim import errors
from padim.data.account import PassedOver
from padim.errors import ImageError, PadimError
from padim.records.version import VersionChange
from padim.storage.atomic import explain_os_error
from padim.worker.images import Images, Labeled


class WorkerFault(Exception):
    """The worker failed by an unexpected exception, whose traceback is in the log."""


# -- requests --------------------------------------------------------------------------------------------


class _OfModel(BaseModel):
    """A request that concerns a model of a workspace.

    Attributes:
        root: the workspace's folder.
        model: the model's id.
        revision: revision that a change is meant for; None for whatever is there.
        who, what: who works on the model, and the work, for those who wait for it.
        by: who the version that is made of it names; empty for ``who``.
        reason: why, in the words of whoever asks; the version says so.
        draft: whether the version stays a draft until somebody approves it, whatever the settings say.
    """

    # Whether the work gives way to all other work on the machine, because nobody waits for it.
    gives_way: ClassVar[bool] = False

    root: Path
    model: str
    revision: str | None = None
    who: str = "a browser session"
    what: str = ""
    by: str = ""
    reason: str = ""
    draft: bool = False

    @property
    def change(self) -> VersionChange:
        """Who changes the model, for the version that is made of it."""
        return VersionChange(self.by or self.who, reason=self.reason, draft=self.draft)


class Fit(_OfModel):
    """Request to fit a new model, in the folder that was prepared for it.

    Attributes:
        config: the model's settings.
        groups: each image's part, by the image's name.
        images: the images of good parts.
        label: the name of the images for the user.
    """

    verb: Literal["fit"] = "fit"
    config: dict[str, Any]
    groups: dict[str, str]
    images: Images
    label: str = ""


class Rebuild(_OfModel):
    """Request to extract the features of a model's own ``images`` again."""

    verb: Literal["rebuild"] = "rebuild"
    images: Images


class Add(_OfModel):
    """Request to continue a fit with further ``images``.

    Attributes:
        images: the further images of good parts.
        shots: by name of an image that shows the same part as an earlier one, the name of that earlier one.
    """

    verb: Literal["add"] = "add"
    images: Images
    shots: dict[str, str]


class SetLayers(_OfModel):
    """Request to refit a model on the ``active`` layers only, from the features on disk."""

    verb: Literal["set_layers"] = "set_layers"
    active: list[str]


class Exclude(_OfModel):
    """Request to refit a model without the part shown by the image at ``index``."""

    verb: Literal["exclude"] = "exclude"
    index: int
    reason: Literal["not_good", "kept_out"]


class Include(_OfModel):
    """Request to refit a model with a part that was excluded, shown by the image at ``index``."""

    verb: Literal["include"] = "include"
    index: int


class TakeOut(_OfModel):
    """Request to refit a model without the parts shown by some of its images, as if it had never seen them.

    Attributes:
        sha256s: SHA-256 of an image of each part.
    """

    verb: Literal["take_out"] = "take_out"
    sha256s: list[str]


class CheckHealth(_OfModel):
    """Request to check whether a model is fit for use; the model is not changed.

    Attributes:
        retrain: as for :func:`padim.analysis.health.check_health`.
    """

    gives_way: ClassVar[bool] = True

    verb: Literal["check"] = "check"
    retrain: bool = False


class StudyRequest(BaseModel):
    """Request to compare configurations in a study.

    Attributes:
        folder: the folder of the study.
        variants: name and settings of each configuration.
        images: the images on which they are compared.
    """

    gives_way: ClassVar[bool] = False

    verb: Literal["study"] = "study"
    folder: Path
    variants: list[tuple[str, dict[str, Any]]]
    images: Labeled


Request = Fit | Rebuild | Add | SetLayers | Exclude | Include | TakeOut | CheckHealth | StudyRequest
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="verb")])


def request_to_json(request: Request) -> str:
    """Convert a request to one line of JSON."""
    return request.model_dump_json()


def request_from_json(line: str | bytes) -> Request:
    """Convert a line of JSON to a request.

    Raises:
        ValueError: the line is no valid request.
    """
    return _REQUEST.validate_json(line)


# -- outcomes --------------------------------------------------------------------------------------------


class WorkerResult(BaseModel):
    """The outcome of a request; the functions in :mod:`padim.worker.verbs` list the attributes that they set.

    Attributes:
        images: number of images.
        parts: number of parts that the images show.
        active, inactive: layers in use, and not in use.
        was_stale: whether the calibration was out of date before.
        again: number of runs of a study that were complete before.
        failed: name and reason of every file that could not be used.
        revision: revision of the model as saved; empty if none was saved.
        passed_over: attributes of every :class:`padim.data.account.PassedOver`.
        library_note: why the model's image library does not have all its images; empty if it has.
        health: the health check as JSON, of :meth:`padim.analysis.health.Health.to_json`; None for others.
    """

    images: int = 0
    parts: int = 0
    active: list[str] = []
    inactive: list[str] = []
    was_stale: bool = False
    again: int = 0
    failed: list[tuple[str, str]] = []
    revision: str = ""
    passed_over: list[tuple[str, str, bool, int]] = []
    library_note: str = ""
    health: dict[str, Any] | None = None

    @property
    def files_passed_over(self) -> tuple[PassedOver, ...]:
        """The files that are no images of the user's."""
        return tuple(PassedOver(*one) for one in self.passed_over)

    @property
    def unusable(self) -> tuple[ImageError, ...]:
        """The files that could not be used, as errors."""
        return tuple(ImageError(name, reason) for name, reason in self.failed)


# -- errors ----------------------------------------------------------------------------------------------


def error_to_json(error: BaseException) -> dict[str, Any]:
    """Convert an error to JSON with its type and attributes.

    A ``MemoryError`` or ``OSError`` becomes a ``PadimError`` with a remedy. An unexpected error becomes a
    "fault" with the name of its type only.
    """
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
    """Restore an error from JSON: of its own type if :mod:`padim.errors` has it, else a ``WorkerFault``."""
    kind = getattr(errors, str(document.get("kind")), None)
    message = str(document.get("message", ""))
    if not (isinstance(kind, type) and issubclass(kind, PadimError)):
        return WorkerFault(message)
    error = kind.__new__(kind)
    # BaseException takes its text from args; the constructors of the types take other arguments.
    error.args = (message,)
    for key, value in dict(document.get("attributes", {})).items():
        setattr(error, key, Path(value["path"]) if isinstance(value, dict) else value)
    return error


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return {"path": os.fspath(value)}
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
