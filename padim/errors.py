"""The errors that padim raises on purpose; each message names its subject and the remedy."""

from __future__ import annotations

from pathlib import Path


class PadimError(Exception):
    """Base class: anything a user can put right, told in one sentence."""


class ImageError(PadimError):
    """An image that cannot be used.

    Attributes:
        name: the file's name as the user knows it.
        reason: why it cannot be used, without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class InputError(PadimError, ValueError, TypeError):
    """What was given as images is nothing of the kind; the message says which kinds are right."""


class BackboneError(PadimError):
    """A backbone, a layer or its weights cannot be had."""


class BundleError(PadimError):
    """A saved model is truncated, altered or of an unknown version; the message names the file."""


class MissingExtraError(PadimError):
    """An optional part of the installation is needed and not there; the message says what to run."""


class NotFittedError(PadimError, ValueError, AttributeError):
    """The model has seen no normal image yet.

    An ``AttributeError`` too, so that ``hasattr(model, "threshold_")`` says whether it is fitted, and a
    ``ValueError``, as in scikit-learn.
    """


class CalibrationError(PadimError):
    """Held-out scores cannot be computed from the normals at hand."""


class BeyondScaleError(CalibrationError):
    """A threshold lies beyond the scale of a model's levels, so that nothing would ever be rejected."""


class Cancelled(PadimError):
    """The caller's ``cancel`` asked to stop; nothing was changed."""


class StorageError(PadimError):
    """The system refused to write a file: a full disk, a read-only folder or a failing device.

    Attributes:
        path: the file or folder; None where the system names none.
        read_only: whether nothing can be written there, as in a read-only workspace.
    """

    def __init__(self, message: str, path: Path | None = None, *, read_only: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.read_only = read_only


class DamagedError(PadimError):
    """A working file does not hold what was written to it.

    Attributes:
        path: the file.
        what: one sentence that names the damaged record.
        remedy: one sentence, what can still be done.
        row: position of the damaged record in its file; None where the whole file is meant.
    """

    def __init__(self, path: Path, what: str, remedy: str, row: int | None = None) -> None:
        super().__init__(f"{path}: {what}; {remedy}")
        self.path = path
        self.what = what
        self.remedy = remedy
        self.row = row

    def of(self, name: str) -> DamagedError:
        """The same, with the image's name."""
        return DamagedError(self.path, f"{self.what} ({name})", self.remedy, self.row)
