"""The models on this server: the list, the one in use, and a cache of opened models."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from padim.installation import workspace_folder
from ui.app import opened, person

if TYPE_CHECKING:
    from pathlib import Path

    from padim.model import Padim
    from padim.records.version import ModelVersion
    from padim.storage.model_folders import Entry, ModelFolders

PARAMETER = "model"


def root() -> Path:
    """Return the folder that contains the models."""
    return workspace_folder()


def store() -> ModelFolders:
    """Return access to the saved models' folders, without importing the network runtime."""
    from padim.storage.model_folders import ModelFolders

    return ModelFolders(root())


# -- the model in use ------------------------------------------------------------------------------------


def in_use(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that the URL names, or None if it is missing or broken."""
    asked = st.query_params.get(PARAMETER)
    return next((entry for entry in entries if entry.id == asked and not entry.broken), None)


def use(entry_id: str | None) -> None:
    """Write a model's id to the URL, the only place that records the model in use; None removes it."""
    if entry_id:
        st.query_params[PARAMETER] = entry_id
    else:
        st.query_params.pop(PARAMETER, None)


def link() -> dict[str, str]:
    """Return the URL query that opens another page with the model in use."""
    asked = st.query_params.get(PARAMETER)
    return {PARAMETER: asked} if asked else {}


# -- properties of a model, read from its manifest alone -------------------------------------------------


def threshold_value(entry: Entry) -> float | None:
    """Return the model's threshold in anomaly-map units, or None if it has none."""
    threshold, quantizer = entry.manifest.get("threshold"), entry.manifest.get("quantizer")
    if not threshold or not quantizer:
        return None
    return float(quantizer["offset"] + quantizer["step"] * threshold["level"])


def calibration(entry: Entry) -> str:
    """Return "exact", "stale" or "none", as ``Fitted.calibration``; "" for a broken entry."""
    return str(entry.manifest.get("calibration", ""))


def random_weights(entry: Entry) -> bool:
    """Whether the model's network has random weights, which are for trials only."""
    return bool(entry.manifest.get("config", {}).get("weights") == "random")


def distinct_names(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the models' names by id; models of one name are told apart by when they were saved, or by id."""
    times = {e.id: f"{e.name} · {e.created:%d %b %Y, %H:%M}" if e.created else e.name for e in entries}
    named, timed = Counter(e.name for e in entries), Counter(times.values())
    return {
        e.id: e.name
        if named[e.name] == 1
        else times[e.id]
        if timed[times[e.id]] == 1
        else f"{times[e.id]} · {e.id.rpartition('-')[2]}"
        for e in entries
    }


def scoring_identity(entry: Entry) -> str:
    """Return a string that changes whenever the model's scores would.

    It changes with the fitted statistics, the scale of the levels and the region of interest, but not with
    the threshold or the smallest region: scored images stay valid when only those change. It equals the
    opened model's ``scoring_identity`` and is computed from the manifest.
    """
    from padim.scoring_identity import of_manifest

    try:
        return of_manifest(entry.manifest)
    except (KeyError, TypeError, ValueError):
        # The model cannot be opened, so it will never score an image.
        return f"unusable {entry.revision}"


def held_out_identity(entry: Entry) -> str:
    """Return a string that changes whenever the normals' held-out maps would.

    It changes with everything that scores depend on, and with the parts.
    """
    held_out = entry.manifest.get("files", {}).get("held_out.npy", {}).get("sha256")
    return hashlib.sha256(f"{scoring_identity(entry)}/{held_out}".encode()).hexdigest()


def changed(entry: Entry) -> bool:
    """Whether the model was saved again or removed since this entry was read."""
    from padim.errors import PadimError

    try:
        return store().get(entry.id).revision != entry.revision
    except PadimError:
        return True


# -- opened models ---------------------------------------------------------------------------------------


class _Changed(Exception):
    """Raised when a model was saved again while it was being opened."""


def open_model(entry: Entry) -> Padim:
    """Return the opened model, which is cached per revision and shared by all sessions: never change it.

    Runs the page again if the model was saved again since ``entry`` was read.

    Raises:
        BundleError: the bundle is damaged; names the file.
    """
    try:
        return _open(str(root()), entry.id, entry.revision)
    except _Changed:
        st.rerun()


@st.cache_resource(max_entries=4, show_spinner="Opening the model")
def _open(home: str, entry_id: str, revision: str) -> Padim:
    from padim.workspace import Workspace

    model = Workspace(home).open(entry_id)
    # The cached model must be that revision, because scores are identified by it.
    if model.revision != revision:
        raise _Changed
    return model


def open_version(version: ModelVersion) -> Padim:
    """Return an opened version of a model, cached and shared by all sessions: never change it.

    Raises:
        BundleError: a file is damaged; names it.
        PadimError: its files were deleted.
    """
    return _open_version(str(root()), version)


@st.cache_resource(
    max_entries=4,
    show_spinner="Opening the version",
    hash_funcs={"padim.records.version.ModelVersion": lambda one: (one.model_id, one.number, one.revision)},
)
def _open_version(home: str, version: ModelVersion) -> Padim:
    from padim.records.versions import ModelVersions

    return ModelVersions(home, version.model_id).open(version)


@contextmanager
def edit(entry: Entry, patience: float = 20.0, *, what: str = "", reason: str = "") -> Iterator[Padim]:
    """Yield a private copy of the model to change; save it when the block ends without an exception.

    The shared copy stays as it was, so a change that fails halfway is never visible. Changes of one model
    wait for each other, in whichever process they are made.

    Args:
        entry: the saved model.
        patience: seconds to wait for a change in progress.
        what: the work in a few words, for others who wait for it.
        reason: why, in the user's words; the version that this makes says so.

    Raises:
        ChangedSinceOpenedError: somebody else has saved the model since this session's page showed it.
        BusyError: another change takes longer than ``patience``.
        PadimError: the model was deleted.
        BundleError: the bundle is damaged; names the file.
        StorageError: the model cannot be saved: the workspace is read-only or the disk is full.
    """
    from padim.records.version import VersionChange
    from padim.storage.holder import acting
    from padim.workspace import Workspace

    revision = opened.seen_revision(entry)
    change = VersionChange(person.name(), reason=reason)
    with (
        acting(person.acting_as(), what),
        Workspace(root()).edit(entry.id, patience, revision=revision, change=change) as model,
    ):
        yield model
    opened.saved(store().get(entry.id), model.revision)
