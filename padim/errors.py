"""Exceptions that padim raises deliberately; each message names the file or value and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class PadimError(Exception):
    """Base class of padim's errors: a problem that the user can correct, described in one sentence."""


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
    """The input is not images of an accepted kind; the message lists the accepted kinds."""


class LabeledInputError(InputError):
    """Images to be fitted as good parts are labelled data; the message says which folder to choose."""

    def __init__(
        self,
        message: str,
        *,
        given: str = "",
        signs: Sequence[str] = (),
        folders: Sequence[tuple[str, int]] = (),
        proposed: str | None = None,
    ) -> None:
        super().__init__(message)
        # Private, so that the worker process passes on the message alone.
        self._given, self._signs, self._folders = given, tuple(signs), tuple(folders)
        self._proposed = proposed

    @property
    def given(self) -> str:
        """The user's name for the images."""
        return self._given

    @property
    def signs(self) -> tuple[str, ...]:
        """What says that not all of the images are good parts."""
        return self._signs

    @property
    def folders(self) -> tuple[tuple[str, int], ...]:
        """The folders among them with their numbers of images, the likeliest to fit on first."""
        return self._folders

    @property
    def proposed(self) -> str | None:
        """The folder that most likely holds the good parts to fit on; None if no name says so."""
        return self._proposed


class BackboneError(PadimError):
    """A backbone, a layer or its weights are unknown or not available."""


class BundleError(PadimError):
    """A saved model is truncated, altered or of an unknown version; the message names the file."""


class ChangedSinceOpenedError(PadimError):
    """A saved model was changed by someone else since it was opened, so that saving would undo that change.

    Nothing was saved.

    Attributes:
        path: the saved model.
        opened: revision that was opened; empty if nothing was there.
        found: revision that is there now.
        when: time at which that one was saved, in ISO 8601; empty if it is unknown.
        changes: what differs, as text ("threshold 3.1 → 2.9"); empty if it is unknown.
    """

    def __init__(
        self,
        message: str,
        path: Path | None = None,
        *,
        opened: str = "",
        found: str = "",
        when: str = "",
        changes: str = "",
    ) -> None:
        super().__init__(message)
        self.path = path
        self.opened = opened
        self.found = found
        self.when = when
        self.changes = changes

    @classmethod
    def at(
        cls, path: Path, opened: str, found: str, *, when: str = "", changes: str = "", name: str = ""
    ) -> ChangedSinceOpenedError:
        """Create the error for a model; ``name`` is its name for the user, by default its path."""
        details = [changes] if changes else []
        details += [f"saved at {when}"] if when else []
        details.append(f"revision {found[:12]}")
        what = "was changed by someone else since it was opened"
        if not opened:
            what = "a model was saved here meanwhile"
        message = (
            f"{name or path}: {what} ({'; '.join(details)}); nothing was saved: open it again, save it "
            "elsewhere, or replace it (force=True; in the shell --force)"
        )
        return cls(message, path, opened=opened, found=found, when=when, changes=changes)


class BusyError(PadimError):
    """Somebody else is changing the model at the moment; the message says who, as far as it is known.

    Attributes:
        holder: who is changing it, as text.
    """

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder

    @classmethod
    def by(cls, holder: str) -> BusyError:
        """Create the error for a model that ``holder`` is changing."""
        return cls(f"the model is being changed by {holder}; try again when that has finished", holder)


class MissingExtraError(PadimError):
    """An optional part of the installation is missing; the message gives the command to install it."""


class NotFittedError(PadimError, ValueError, AttributeError):
    """The model has not been fitted.

    It is also an ``AttributeError``, so that ``hasattr(model, "threshold_")`` tells whether the model is
    fitted, and a ``ValueError``, as in scikit-learn.
    """


class CalibrationError(PadimError):
    """There is no threshold, or the normals do not suffice for held-out scores."""


class BeyondScaleError(CalibrationError):
    """A threshold is beyond the scale of a model's levels, so that nothing would ever be rejected."""


class SelfTestError(PadimError):
    """An opened model scores its reference inputs differently here than when it was saved.

    Nothing was scored: verdicts would not be those that the threshold was chosen for.

    Attributes:
        name: the reference image that differs most.
        expected_score, found_score: its score as saved and as found, in map units.
        expected_level, found_level: the same as levels.
        largest: the largest difference of a pixel of its map, in levels.
        provider: short name of the execution provider in use.
        threads: number of threads in use; 0 for all cores.
    """

    def __init__(
        self,
        message: str,
        name: str = "",
        *,
        expected_score: float = 0.0,
        found_score: float = 0.0,
        expected_level: int = 0,
        found_level: int = 0,
        largest: int = 0,
        provider: str = "",
        threads: int = 0,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.expected_score, self.found_score = expected_score, found_score
        self.expected_level, self.found_level = expected_level, found_level
        self.largest = largest
        self.provider, self.threads = provider, threads


class Cancelled(PadimError):
    """The caller's ``cancel`` callback returned True; nothing was changed."""


class StorageError(PadimError):
    """A file cannot be written: the disk is full, the folder is read-only or the device fails.

    Attributes:
        path: the file or folder; None if the system's error names none.
        read_only: whether the folder is read-only, as in a read-only workspace.
    """

    def __init__(self, message: str, path: Path | None = None, *, read_only: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.read_only = read_only


class LibraryFullError(PadimError):
    """A model's image library has reached its limit; the images before are stored.

    Attributes:
        name: the first image that has no room.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name

    @classmethod
    def of(cls, name: str, size: int, limit: int) -> LibraryFullError:
        """Return the error for an image that has no room.

        Args:
            name: the image.
            size: what the library holds, in bytes.
            limit: its limit, in bytes.
        """
        return cls(
            f"{name}: the image library of this model is full ({size / 1e9:.2f} of {limit / 1e9:.2f} GB); "
            "remove images from it that are no longer needed, or set PADIM_LIBRARY_LIMIT (gigabytes) to more",
            name,
        )


class WorkspaceFullError(PadimError):
    """The workspace has reached its limit; what needs more room was not begun."""

    @classmethod
    def of(cls, what: str, size: int, limit: int) -> WorkspaceFullError:
        """Return the error for what has no room.

        Args:
            what: what needs room; it begins the message.
            size: what the workspace holds, in bytes.
            limit: its limit, in bytes.
        """
        return cls(
            f"{what}: the workspace is full ({size / 1e9:.2f} of {limit / 1e9:.2f} GB); delete models that "
            "are no "
            "longer needed and empty the bin, or set PADIM_WORKSPACE_LIMIT (gigabytes) to more"
        )


class DamagedError(PadimError):
    """The content of a working file does not match its checksum.

    Attributes:
        path: the file.
        what: the damage in one sentence, which names the record.
        remedy: what can still be done, in one sentence.
        row: index of the damaged record in its file; None if the whole file is damaged.
    """

    def __init__(self, path: Path, what: str, remedy: str, row: int | None = None) -> None:
        super().__init__(f"{path}: {what}; {remedy}")
        self.path = path
        self.what = what
        self.remedy = remedy
        self.row = row

    def of(self, name: str) -> DamagedError:
        """Return a copy of the error with the image's name added."""
        return DamagedError(self.path, f"{self.what} ({name})", self.remedy, self.row)
