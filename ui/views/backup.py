"""The Backup tab of the Settings page: how all that this server keeps is copied and brought back."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from padim.errors import PadimError
from padim.storage import bin as model_bin
from padim.storage.leftovers import ScratchFolder
from padim.storage.workspace_size import WorkspaceSizes, measured_sizes
from padim.text import megabytes
from ui.app import clock, shell, workspace
from ui.app.text import count
from ui.widgets import downloads, panels

__all__ = ["draw"]

# Bytes up to which a browser takes a backup that is made in memory; larger ones are for the shell.
_MOST = 500_000_000


def draw() -> None:
    """Draw the tab."""
    from padim.records.backup import last_backup
    from padim.records.restore import unfinished_restore

    root = workspace.root()
    unfinished = unfinished_restore(root)
    if unfinished is not None:
        st.warning(
            f"Restoring {panels.plain(unfinished)} was interrupted: this workspace has a part of it. Restore "
            "it "
            "again with `--replace`; what was there before is in the bin.",
            icon=":material/warning:",
        )
    sizes = measured_sizes(root)
    last = last_backup(root)
    models = count(len(workspace.store().models()), "model")
    made = "none yet" if last is None else f"{clock.when(last.made)}, {megabytes(last.bytes)}"
    facts = [("Last backup", made), ("This workspace", f"{models}, {_text(sizes)}")]
    if last is not None:
        facts.insert(1, ("Its file", last.file))
    st.html(panels.facts(facts))
    for sentence in () if last is None else last.left_out:
        st.caption(f"Not in the last backup: {panels.plain(sentence)}")
    _download(root, sizes)
    _commands(root)
    _replaced()


def _text(sizes: WorkspaceSizes) -> str:
    parts = [
        f"{megabytes(size)} of {what}"
        for size, what in (
            (sizes.models, "models"),
            (sizes.evidence, "images of inspections"),
            (sizes.other, "records and the rest"),
            (sizes.deleted, "deleted models"),
        )
        if size
    ]
    return ", ".join(parts) or "empty"


def _download(root: Path, sizes: WorkspaceSizes) -> None:
    st.subheader("Download")
    with_images = sizes.evidence > 0 and st.checkbox(
        f"With images of inspections ({megabytes(sizes.evidence)})",
        key="backup-evidence",
        help="The images and level maps that are kept with records. Without them the records say that the "
        "images are gone, wherever they are restored.",
    )
    expected = sizes.models + sizes.other + (sizes.evidence if with_images else 0)
    if expected > _MOST:
        st.info(
            f"About {megabytes(expected)} are too much for a download; make the backup on the server, as "
            "below.",
            icon=":material/info:",
        )
        return
    downloads.button(
        f"Download a backup (about {megabytes(expected)})",
        lambda: _made(root, evidence=with_images),
        f"padim-backup-{datetime.now(UTC):%Y%m%dT%H%M}",
        "zip",
        key="backup-download",
        disabled=not root.is_dir(),
        help="Models with versions and libraries, records and comparisons; without settings and sinks, which "
        "may "
        "have passwords. It can be made while others work, and is compared with its hashes before it is "
        "sent.",
    )


def _made(root: Path, *, evidence: bool) -> bytes:
    from padim.records.backup import make_backup

    with ScratchFolder() as folder:
        file = Path(folder) / "backup.zip"
        try:
            make_backup(root, file, evidence=evidence, configuration=False)
        except PadimError as error:
            shell.failure("The backup was not made.", error)
            raise
        return file.read_bytes()


def _commands(root: Path) -> None:
    st.subheader("On the server")
    st.markdown(
        "A backup with everything, while the app runs; a nightly job can call it. Restoring is done there "
        "too: "
        "into an empty workspace, or with `--replace` in place of this one, which moves what is here to the "
        "bin "
        f"for {model_bin.DAYS} days."
    )
    st.code(
        f'export PADIM_HOME="{root}"\n'
        "padim backup /backups --evidence\n"
        "padim backup /backups/padim-backup.zip --check\n"
        "padim restore /backups/padim-backup.zip --replace",
        language="bash",
    )
    st.caption(
        f"{megabytes(shutil.disk_usage(root if root.is_dir() else root.parent).free)} are free on its disk."
    )


def _replaced() -> None:
    found = model_bin.replaced_workspaces(workspace.store())
    if not found:
        return
    st.subheader("Before a backup was restored")
    for folder, when in found:
        st.markdown(
            f"Replaced {clock.when(when)}, kept for {model_bin.DAYS} days: `{folder}`. It is a workspace: "
            "start "
            "the app with `PADIM_HOME` set to it to look at it."
        )
