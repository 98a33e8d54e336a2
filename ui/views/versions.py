"""The tab Versions of the Models page: what was changed by whom, which version inspects, and what flips."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.decision.promise import FALSE_REJECTS
from padim.errors import PadimError
from padim.text import megabytes, percent
from ui import versions as logic
from ui.app import clock, shell
from ui.app.text import count
from ui.jobs import watch
from ui.widgets import panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.records.version import ModelVersion
    from padim.records.version_comparison import ComparedImage, VersionComparison
    from padim.storage.model_folders import Entry

_SHOWN = 10
_FAILED = "versions-failed"
_TAGS = {"approved": "pv-tag pv-approved", "draft": "pv-tag pv-doubtful", "retired": "pv-tag"}
_VERDICTS = {"accept": "accepted", "review": "in review", "reject": "rejected", "none": "no threshold"}
_LABELS = {"good": "good part", "defect": "defect", "unknown": "not labelled"}


def draw(entry: Entry) -> None:
    """Draw the versions of a model."""
    if failed := st.session_state.pop(_FAILED, None):
        shell.failure("Nothing was changed.", failed)
    try:
        found, why = logic.listed(entry)
        head = logic.of(entry).head()
        at_once = logic.approval(entry) == "at_once"
    except (PadimError, OSError) as error:
        shell.failure("The versions cannot be read.", error)
        return
    if why:
        st.warning(
            f"The model as it is now has no version yet: {panels.plain(why)}.", icon=":material/history:"
        )
    if not found:
        shell.empty("No versions yet", "Each change of a model that is saved is kept as a version.")
        return
    _switch(entry, at_once)
    _standing(entry, found, at_once)
    _undo(entry)
    own = logic.of(entry).own_bytes()
    newest = found if st.session_state.get(f"versions-all-{entry.id}") else found[:_SHOWN]
    for version in newest:
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", key=f"version-{version.number}"
        ):
            _row(entry, version, found, None if head is None else head.number, own.get(version.number, 0))
    if len(found) > _SHOWN:
        st.toggle(f"Show all {len(found):,} versions", key=f"versions-all-{entry.id}")
    total = logic.of(entry).total_bytes()
    st.caption(
        f"{count(len(found), 'version')}, {megabytes(total)} beside the saved model: what versions share "
        "is on the disk once."
    )
    _comparison(entry, found)


def _switch(entry: Entry, at_once: bool) -> None:
    options = {True: "At once", False: "After approval"}
    key = f"versions-approval-{entry.id}"
    st.session_state[key] = at_once
    st.segmented_control(
        "Changes take effect",
        list(options),
        format_func=lambda value: options[value],
        required=True,
        key=key,
        on_change=lambda: _try(lambda: logic.set_approval(entry, bool(st.session_state[key]))),
        help="Inspect uses the approved version. “At once” approves each change when it is saved; “After "
        "approval” keeps it as a draft until somebody approves it here.",
    )


def _standing(entry: Entry, found: list[ModelVersion], at_once: bool) -> None:
    """Say which version inspects, and whether a newer one waits."""
    approved = next((one for one in found if one.state == "approved"), None)
    if approved is None:
        st.warning(
            "No version is approved: Inspect uses the model as it was saved last. Approve one below.",
            icon=":material/new_releases:",
        )
        return
    drafts = [one for one in found if one.state == "draft" and one.number > approved.number]
    if drafts:
        st.info(
            f"Inspect uses version {approved.number}. Version {drafts[0].number} is a newer draft: compare "
            "both below, then approve it, or go on with the approved one.",
            icon=":material/edit_note:",
        )


def _undo(entry: Entry) -> None:
    last = logic.actions().last.get(entry.id)
    if last is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="versions-done"):
        st.success(last[0], icon=":material/check:", width="stretch")
        st.button(
            "Undo",
            key="versions-undo",
            icon=":material/undo:",
            on_click=_try,
            args=(partial(logic.undo, entry),),
        )


def _row(
    entry: Entry, version: ModelVersion, found: list[ModelVersion], head: int | None, own_bytes: int
) -> None:
    st.html(_described(version, head, own_bytes))
    approved = next((one.number for one in found if one.state == "approved"), None)
    with st.container(horizontal=True, wrap=False, width="content"):
        if version.state != "approved" and version.pruned is None:
            back = approved is not None and version.number < approved
            st.button(
                "Roll back" if back else "Approve",
                key=f"approve-{version.number}",
                type="secondary",
                on_click=_try,
                args=(partial(logic.approve, entry, version.number),),
                help=f"Inspect uses version {version.number} from now on.",
            )
        with st.popover("More", key=f"version-more-{version.number}"):
            _more(entry, version, head)


def _more(entry: Entry, version: ModelVersion, head: int | None) -> None:
    if version.state == "draft":
        _button(
            "Retire",
            "retire",
            version,
            ":material/block:",
            partial(logic.retire, entry, version.number),
            "It is not to be used any more. It stays in the list.",
        )
    elif version.state == "retired":
        _button(
            "Make it a draft again",
            "reopen",
            version,
            ":material/edit_note:",
            partial(logic.reopen, entry, version.number),
            "It waits for approval again.",
        )
    if version.number != head and version.pruned is None:
        _button(
            "Start further changes from here",
            "restore",
            version,
            ":material/restore:",
            partial(logic.restore, entry, version.number),
            "Fit, Calibrate and Validate show this version, and the next change starts from it. The model "
            "as it is now stays as a version. Which one inspects does not change.",
        )
    for event in logic.of(entry).events(version.number):
        comment = f" ({event.comment})" if event.comment else ""
        st.caption(panels.plain(f"{clock.when(event.at)}, {event.who}: {event.kind}{comment}"))


def _button(
    text: str, what: str, version: ModelVersion, icon: str, act: Callable[[], object], explained: str
) -> None:
    key = f"{what}-{version.number}"
    st.button(text, key=key, icon=icon, on_click=_try, args=(act,), help=explained)


def _described(version: ModelVersion, head: int | None, own_bytes: int) -> str:
    """Return a version as HTML: state, who and when, what it changed and why, and its figures."""
    from padim.records.version import CAUSES

    tags = f'<span class="{_TAGS[version.state]}">{version.state}</span>'
    if version.number == head:
        tags += '<span class="pv-tag">as saved now</span>'
    made = f"{clock.when(version.made)} · {version.who} · {CAUSES.get(version.cause, version.cause)}"
    lines = [escape(made)]
    why = f"“{version.reason}”" if version.reason else ""
    lines.append(escape(" · ".join(filter(None, (version.changed, why)))))
    lines.append(
        escape(f"{count(version.n_parts, 'part')} · {_promise(version)} · {_size(version, own_bytes)}")
    )
    text = "".join(f"<div>{line}</div>" for line in lines if line and line != "first version")
    return f'<div class="pv-row"><b>Version {version.number}</b>{tags}{text}</div>'


def _promise(version: ModelVersion) -> str:
    if version.threshold is None:
        return "no threshold"
    at = f"threshold {version.threshold:.2f}"
    if version.expected is None or version.upper is None:
        return at
    expected, upper = percent(version.expected), percent(version.upper, up=True)
    return f"{at} · expected {FALSE_REJECTS} {expected}, at most {upper}"


def _size(version: ModelVersion, own_bytes: int) -> str:
    if version.pruned is not None:
        return f"files deleted {clock.day(version.pruned)}"
    own = f", {megabytes(own_bytes)} of its own" if own_bytes else ""
    return f"{megabytes(version.bytes)}{own}"


# -- two versions side by side ---------------------------------------------------------------------------


def _comparison(entry: Entry, found: list[ModelVersion]) -> None:
    there = [one.number for one in found if one.pruned is None]
    if len(there) < 2:
        return
    st.subheader("Compare two versions")
    approved = next((one.number for one in found if one.state == "approved"), there[-1])
    other = next((number for number in there if number != approved), there[0])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = [
            st.selectbox(
                label,
                there,
                index=there.index(default),
                format_func=lambda number: f"Version {number}",
                # With another approved version others are proposed.
                key=f"versions-{key}-{entry.id}-{approved}-{other}",
                width=180,
            )
            for label, key, default in (("Now", "one", approved), ("Instead", "other", other))
        ]
        start = st.button(
            "Compare on the library's images",
            key="versions-compare",
            icon=":material/compare_arrows:",
            disabled=chosen[0] == chosen[1],
            help="Both score every image of the model's library; each verdict that differs is listed.",
        )
    if start:
        logic.start(entry, chosen[0], chosen[1])
        st.rerun()
    job = logic.runs().job(entry)
    if job is None:
        return
    if job.running:
        watch.watch(job)
    elif job.state == "failed":
        shell.failure("The versions were not compared.", job.error)
    elif (result := logic.compared(entry)) is not None:
        _compared(result)


def _compared(result: VersionComparison) -> None:
    one, other = result.versions
    flips, passing = result.flips, result.would_pass
    n = count(len(result.images), "image")
    if passing:
        st.error(
            f"{count(len(passing), 'known defect')} that version {one.number} does not accept would pass "
            f"with version {other.number}.",
            icon=":material/warning:",
        )
    elif flips:
        st.info(
            f"{count(len(flips), 'verdict')} of {n} would change with version {other.number}; no known "
            "defect would pass.",
            icon=":material/swap_horiz:",
        )
    else:
        st.success(f"No verdict of {n} would change with version {other.number}.", icon=":material/check:")
    _promises(one, other)
    if flips:
        st.dataframe(
            [_flip(image, one.number, other.number) for image in flips],
            hide_index=True,
            key="versions-flips",
        )
    if result.unreadable:
        names = ", ".join(f"{error.name} ({error.reason})" for error in result.unreadable[:20])
        more = f" and {len(result.unreadable) - 20:,} more" if len(result.unreadable) > 20 else ""
        st.warning(
            panels.plain(f"{count(len(result.unreadable), 'image')} cannot be read: {names}{more}."),
            icon=":material/broken_image:",
        )


def _promises(one: ModelVersion, other: ModelVersion) -> None:
    for version in (one, other):
        st.markdown(f"Version {version.number}: {_promise(version)}, from {count(version.n_parts, 'part')}.")


def _flip(image: ComparedImage, one: int, other: int) -> dict[str, object]:
    kind = image.defect_type if image.label == "defect" and image.defect_type else _LABELS[image.label]
    return {
        "Image": image.name,
        "Shows": kind,
        f"Version {one}": _VERDICTS[image.verdicts[0]],
        f"Version {other}": _VERDICTS[image.verdicts[1]],
        f"Score, version {one}": round(image.scores[0], 2),
        f"Score, version {other}": round(image.scores[1], 2),
    }


def _try(act: Callable[[], object]) -> None:
    """Do something in a callback; what went wrong is shown when the page runs."""
    try:
        act()
    except (PadimError, OSError) as error:
        st.session_state[_FAILED] = error
