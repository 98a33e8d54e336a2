"""Whether locating the part earns its place: two fits compared on the same good parts and defects."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import locating_trial
from ui.app import shell
from ui.files import image_input, uploads
from ui.jobs import watch
from ui.widgets import file_account, panels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from padim.config import PadimConfig
    from padim.data.sources import Source
    from ui.locating import LocatingState
    from ui.locating_trial import Compared

_ADVICE = {"helps": st.success, "no difference": st.info, "worse": st.warning}
_ICONS = {"helps": ":material/check:", "no difference": ":material/info:", "worse": ":material/warning:"}


def draw(
    now: LocatingState,
    source: Source,
    located: PadimConfig | None,
    plain: PadimConfig | None,
    parts: Mapping[str, str],
    *,
    ready: bool,
) -> None:
    """Draw the section: the defects, the button, the running job or its result.

    Args:
        now: this session's state.
        source: the images of good parts.
        located: the settings with locating; None while they are incomplete.
        plain: those without.
        parts: each image's part, by image name.
        ready: whether a fit with these settings can be started.
    """
    st.markdown("**Does it earn its place?**")
    st.caption(
        "Two models are fitted on these good parts, with and without locating, and score the same defects, "
        "each at its own threshold. It is recommended only if it helps beyond chance: locating can also "
        "correct away the very displacement that is the defect. Nothing is kept of the two models."
    )
    job = locating_trial.job(now)
    if job is not None and job.running:
        watch.watch(job)
        return
    _defects(now)
    given = now.defects
    if st.button(
        "Compare with and without",
        key="locate-compare",
        icon=":material/balance:",
        disabled=not ready or located is None or plain is None,
        help=None if ready else "Try it first; the network’s weights must be here.",
    ):
        assert located is not None
        assert plain is not None
        locating_trial.start(now, source, located, plain, parts, given)
        st.rerun()
    if job is None:
        return
    if job.state == "failed":
        shell.failure("It could not be compared.", job.error)
    elif job.state == "cancelled":
        st.info("Cancelled.", icon=":material/info:")
    else:
        # The input size follows from whether locating is switched on, which is no other setting.
        own = {"input_size", "fit"}
        if located is None or job.result.config.model_dump(exclude=own) != located.model_dump(exclude=own):
            st.caption(":material/history: This comparison is of other settings than those above.")
        _result(job.result)


def _defects(now: LocatingState) -> None:
    given = now.defects
    if given is None:
        with st.expander(
            "Bring images of defects", key="locate-bring", icon=":material/add_photo_alternate:"
        ):
            st.caption(
                "Labelled by folder, or all of them defects. Kinds named *misplaced*, *rotated*, *flipped* "
                "and the like are followed by themselves. Without any, some defects are painted on good "
                "parts, which is only an indication."
            )
            image_input.choose(
                locating_trial.UPLOADER, "images of defects", partial(_take, now), note="Labels by folder."
            )
            if now.note_on_defects:
                st.error(panels.plain(now.note_on_defects), icon=":material/error:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(
            f'<div class="pv-label">{escape(given.label)}: {escape(locating_trial.defects_text(given))}</div>'
        )
        if st.button("Paint defects instead", key="locate-no-defects", icon=":material/undo:"):
            now.defects = None
            uploads.release(locating_trial.UPLOADER, now.defect_files)
            now.defect_files = []
            st.rerun()


def _take(now: LocatingState, image_set: image_input.ImageSet) -> None:
    now.note_on_defects = ""
    try:
        locating_trial.take_defects(now, image_set)
    except PadimError as error:
        now.note_on_defects = str(error)
    if now.defects is not None and not locating_trial.has_defects(now.defects):
        now.defects, now.note_on_defects = None, f"{image_set.label}: holds no images labelled as defects."
    if now.defects is None:
        uploads.release(locating_trial.UPLOADER, image_set.files)
    else:
        now.defect_files = image_set.files


def _result(found: Compared) -> None:
    advice = found.advice
    _ADVICE[advice.recommendation](
        panels.plain(" ".join(advice.sentences)), icon=_ICONS[advice.recommendation]
    )
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(before)}</td><td><b>{escape(after)}</b></td></tr>"
        for name, before, after in locating_trial.rows(found)
    )
    head = '<th><span class="pv-unseen">Figure</span></th><th>As they lie</th><th>Located</th>'
    st.html(f'<table class="pv-compare"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>')
    if found.trial.source == "painted":
        st.caption("The defects were painted on good parts that neither model has seen: an indication only.")
    file_account.draw(found.failed, ())
