"""The models on this server, the one in use, and opened models kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from padim.installation import workspace_folder

if TYPE_CHECKING:
    from pathlib import Path

    from padim.model import Padim
    from padim.storage.model_folders import Entry, ModelFolders

PARAMETER = "model"


def root() -> Path:
    """The folder that keeps the models."""
    return workspace_folder()


def store() -> ModelFolders:
    """The folders of the saved models; a list of them does not wait for the network runtime to load."""
    from padim.storage.model_folders import ModelFolders

    return ModelFolders(root())


# -- the model in use ------------------------------------------------------------------------------------


def in_use(entries: Sequence[Entry]) -> Entry | None:
    """The entry that the URL names, if it is there and whole; None otherwise."""
    asked = st.query_params.get(PARAMETER)
    return next((entry for entry in entries if entry.id == asked and not entry.broken), None)


def use(entry_id: str | None) -> None:
    """Put a model into the URL, which is the one place that says which model is in use."""
    if entry_id:
        st.query_params[PARAMETER] = entry_id
    else:
        st.query_params.pop(PARAMETER, None)


def link() -> dict[str, str]:
    """The query that carries the model in use on to another page."""
    asked = st.query_params.get(PARAMETER)
    return {PARAMETER: asked} if asked else {}


# -- what lists say about a model, from its manifest alone -----------------------------------------------


def threshold_value(entry: Entry) -> float | None:
    """The threshold in use, in map units; None where none is set."""
    threshold, quantizer = entry.manifest.get("threshold"), entry.manifest.get("quantizer")
    if not threshold or not quantizer:
        return None
    return float(quantizer["offset"] + quantizer["step"] * threshold["level"])


def calibration(entry: Entry) -> str:
    """``exact``, ``stale`` or ``none``, as ``Fitted.calibration``; empty for a broken entry."""
    return str(entry.manifest.get("calibration", ""))


def random_weights(entry: Entry) -> bool:
    """Whether the model's network has random weights: good for trials only."""
    return bool(entry.manifest.get("config", {}).get("weights") == "random")


def scoring_identity(entry: Entry) -> str:
    """Changes when scores would: with what was learnt, the scale or the region of interest.

    It does not change with threshold or smallest region: scored images outlive those, and only those. It is
    the opened model's ``scoring_identity``, read from the manifest.
    """
    from padim.scoring_identity import of_manifest

    try:
        return of_manifest(entry.manifest)
    except (KeyError, TypeError, ValueError):
        # It cannot be opened, so nothing will ever be scored by it.
        return f"unusable {entry.revision}"


def held_out_identity(entry: Entry) -> str:
    """Changes when the normals' held-out maps would: with all that scores depend on, and with the parts."""
    held_out = entry.manifest.get("files", {}).get("held_out.npy", {}).get("sha256")
    return hashlib.sha256(f"{scoring_identity(entry)}/{held_out}".encode()).hexdigest()


def changed(entry: Entry) -> bool:
    """Whether the model was saved anew, or removed, since this entry was read."""
    from padim.errors import PadimError

    try:
        return store().get(entry.id).revision != entry.revision
    except PadimError:
        return True


# -- opened models ---------------------------------------------------------------------------------------


class _Changed(Exception):
    """The model was saved anew while it was being opened."""


def open_model(entry: Entry) -> Padim:
    """The model, opened once a revision and shared by all sessions: read it, never change it.

    Runs the page again where the model was saved anew since ``entry`` was read.

    Raises:
        BundleError: damaged; names the file.
    """
    try:
        return _open(str(root()), entry.id, entry.revision)
    except _Changed:
        st.rerun()


@st.cache_resource(max_entries=4, show_spinner="Opening the model")
def _open(home: str, entry_id: str, revision: str) -> Padim:
    from padim.workspace import Workspace

    kept = Workspace(home)
    model = kept.open(entry_id)
    # What is kept under a revision must be that revision: scores are told apart by it.
    if kept.get(entry_id).revision != revision:
        raise _Changed
    return model


@contextmanager
def edit(entry: Entry, patience: float = 20.0) -> Iterator[Padim]:
    """A private copy of the model to change; saved when the block ends without an exception.

    The shared copy stays as it was, so that a change that fails halfway is seen by nobody. Changes of one
    model wait for each other, whichever process makes them.

    Args:
        entry: the model.
        patience: seconds to wait for a change under way.

    Raises:
        PadimError: another change takes longer than that, or the model was deleted.
        BundleError: damaged; names the file.
        StorageError: it cannot be saved: a read-only workspace or a full disk.
    """
    from padim.workspace import Workspace

    with Workspace(root()).edit(entry.id, patience) as model:
        yield model
