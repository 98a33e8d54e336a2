"""The list of files that were not used, with the reason for each: refused, or passed over."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from ui.app.text import count

if TYPE_CHECKING:
    from padim.data.account import FileAccount, PassedOver
    from padim.errors import ImageError

# Number of file names shown for one reason to pass files over.
_NAMED = 5


def draw(
    refused: Sequence[ImageError], passed_over: Sequence[PassedOver] = (), *, open_up_to: int = 3
) -> None:
    """List the files that were refused or passed over, if any; a long list is collapsed.

    Args:
        refused: files that look like images but cannot be used.
        passed_over: files that are no images of the user's.
        open_up_to: number of files up to which the list is open. Hidden files and leftovers of systems alone
            never open it.
    """
    from padim.data.account import FileAccount

    account = FileAccount(0, tuple(refused), tuple(passed_over))
    if not account.refused and not account.passed_over:
        return
    harmless = account.unused == 0
    with st.expander(
        _title(account),
        icon=":material/info:" if harmless else ":material/warning:",
        expanded=0 < account.unused <= open_up_to,
    ):
        st.html(_listed(account))


def _title(account: FileAccount) -> str:
    if account.unused == 0:
        what = "hidden or system file" if account.of_system == account.passed_over else "file"
        return f"{count(account.n_passed_over, what)} passed over"
    refused, passed_over = len(account.refused), account.n_passed_over
    if not passed_over:
        return f"{count(refused, 'file')} cannot be used"
    if not refused:
        return f"{count(passed_over, 'file')} passed over"
    total = count(refused + passed_over, "file")
    return f"{total} not used: {refused:,} cannot be used, {passed_over:,} passed over"


def _listed(account: FileAccount) -> str:
    """Return HTML of the lists: every refused file, then names of files passed over for each reason."""
    from padim.data.account import grouped

    items = [f"<li><b>{escape(error.name)}</b> {escape(error.reason)}</li>" for error in account.refused]
    for reason, number, names in grouped(account.passed_over):
        shown = ", ".join(names[:_NAMED])
        if len(names) > _NAMED:
            shown += f" and {len(names) - _NAMED:,} more"
        files = "" if number == 1 else f" ({number:,} files)"
        items.append(f"<li><b>{escape(shown)}</b> passed over: {escape(reason)}{files}</li>")
    return f'<ul class="pv-problems">{"".join(items)}</ul>'
