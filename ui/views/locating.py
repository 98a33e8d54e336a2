"""Where the part lies: choose how it is located, try that out on good parts, and switch it on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import PadimError
from padim.locating.settings import Align
from ui import locating, marking, viewing
from ui.app import shell
from ui.app.text import count
from ui.components import marks
from ui.jobs import watch
from ui.widgets import align_settings, panels

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from padim.data.sources import Source
    from padim.data.survey import Survey
    from padim.locating.frame import Frame
    from padim.locating.mark_check import ReferenceCheck
    from padim.locating.settings import LocatingMethod
    from ui.fit import SettingsOfModel
    from ui.locating import LocatingState, Reference, Tried, Use

_EDITOR = "locate-marks"
_MOST_OFFERED = 24


@dataclass(frozen=True)
class LocatingChoice:
    """How the part is located in the next fit.

    Attributes:
        align: the settings; None for none.
        use: whether they were switched on.
        candidate: the settings that were tried out or switched on, None for others.
        place: where the comparison of fits with and without is to be drawn; None for nowhere.
        frame: what the candidate cuts out of the reference part; None without one.
    """

    align: Align | None
    use: Use
    candidate: Align | None = None
    place: DeltaGenerator | None = None
    frame: Frame | None = None

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the frame in whole pixels; (1, 1) without one."""
        if self.frame is None:
            return 1, 1
        return max(1, round(self.frame.height)), max(1, round(self.frame.width))

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in pixels of what is cut out in the next fit; None for the whole image."""
        return None if self.align is None else self.frame_size


def draw(
    image_set: int,
    source: Source,
    survey: Survey,
    parts: dict[str, str],
    depth: int | None,
    like: SettingsOfModel | None,
    *,
    locked: bool,
) -> LocatingChoice:
    """Draw the section.

    Args:
        image_set: number of the set of images.
        source: the images.
        survey: what was found in them.
        parts: each image's part, by image name.
        depth: the range of images deeper than 8 bits; None where it is not known or does not matter.
        like: the model whose settings are taken over, of which these are the first values.
        locked: whether nothing can be changed, because a fit is running.
    """
    now = locating.memory(image_set)
    if now.fresh:
        now.fresh = False
        if like is not None and like.config.align is not None:
            align_settings.prefill(f"locate-method-{image_set}", like.config.align)
            marking.prefill(now, like.config.align)
    with st.container(key="locating"):
        st.subheader("Where the part lies")
        st.caption(
            "The model compares each place of a part with the same place of the good parts. Parts that lie "
            "differently each time are brought to one place first: that of a reference part."
        )
        method = align_settings.method(f"locate-method-{image_set}", locked=locked)
        if method is None:
            return LocatingChoice(None, locating.use(now, None, None))
    with st.container(key="locate-work"):
        try:
            with st.container():  # its spinner must not move the editor
                part = locating.reference(source, locating.chosen(now, survey), depth)
        except PadimError as error:
            shell.failure("The reference part cannot be read.", error)
            return LocatingChoice(None, locating.use(now, None, method))
        _reference(now, survey, part, method, locked)
        editor = st.container()
        chosen = align_settings.settings(method, locked=locked)
        align, found = _settings(now, part, method, chosen)
        with editor:
            _marks(now, part, method, found, locked)
        use = _trial(now, source, survey, parts, depth, part, method, align, found, locked)
        if align is None or found is None or found.frame is None:
            return LocatingChoice(None, use)
        job = locating.job(now)
        tried = job is not None and job.state == "done" and job.result.align == align
        place = st.container() if tried or use == "on" else None
        return LocatingChoice(align if use == "on" else None, use, align, place, found.frame)


def _settings(
    now: LocatingState, part: Reference, method: LocatingMethod, chosen: dict[str, Any]
) -> tuple[Align | None, ReferenceCheck | None]:
    """Return the settings, None while something is missing, and whether the reference can be used."""
    drawn = marking.settings(marking.drawn(now, method), method)
    if method == "template" and not drawn["marks"]:
        return None, None
    align = Align(method=method, reference=part.name, **chosen, **drawn)
    return align, locating.check(part, align)


# -- the reference part ----------------------------------------------------------------------------------


def _reference(
    now: LocatingState, survey: Survey, part: Reference, method: LocatingMethod, locked: bool
) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        first = " (the first image)" if part.name == survey.seen[0].name else ""
        st.html(f'<div class="pv-label">Reference part: {escape(part.name)}{first}</div>')
        # The key changes with the choice, so that the popover starts closed after it.
        with st.popover(
            "Choose another",
            icon=":material/photo_library:",
            disabled=locked or len(survey.seen) < 2,
            key=f"locate-choose-{part.digest[:12]}",
        ):
            _choose(now, survey, part)
    st.caption(
        "It is kept with the model at full resolution, and is neither in the fit nor in the calibration. "
        "Take one that looks and lies as it should."
    )
    if method == "features":
        st.html(panels.gallery([panels.Thumb(part.shown, part.name)]))


def _choose(now: LocatingState, survey: Survey, part: Reference) -> None:
    from padim.analysis.locating_preview import evenly

    seen = {item.name: item for item in survey.seen}
    shown = evenly(list(seen), _MOST_OFFERED)
    if len(shown) < len(seen):
        name = st.selectbox(
            "By name",
            list(seen),
            index=list(seen).index(part.name),
            key=f"locate-name-{part.digest[:12]}",
        )
        if name != part.name:
            locating.choose(now, name)
            st.rerun()
    grid = st.grid(min_column_width=110, gap="small", key="locate-references")
    for i, name in enumerate(shown):
        with grid.cell():
            image = panels.ServedImage(seen[name].thumbnail or b"")
            st.html(panels.gallery([panels.Thumb(image, name)], small=True))
            st.button(
                "In use" if name == part.name else "Take this",
                key=f"locate-take-{now.image_set}-{i}",
                disabled=name == part.name,
                on_click=locating.choose,
                args=(now, name),
                width="stretch",
            )


def _marks(
    now: LocatingState,
    part: Reference,
    method: LocatingMethod,
    found: ReferenceCheck | None,
    locked: bool,
) -> None:
    if not marking.KINDS[method]:
        if found is not None and found.refused:
            st.error(panels.plain(found.refused), icon=":material/block:")
        return
    if method == "outline":
        st.caption(
            "Nothing has to be drawn if the border of the image is background and the part's heavier end "
            "tells its direction. Otherwise mark an area of **background**, or the **end** that comes first."
        )
    if method == "template":
        st.button(
            "Propose places",
            key="locate-propose",
            icon=":material/auto_fix_high:",
            disabled=locked,
            on_click=locating.propose,
            args=(now, part),
            help="Looks for places that are distinctive and occur once. They can be moved, or deleted.",
        )
        if now.note:
            st.warning(now.note, icon=":material/warning:")
    marks.component()(
        key=_EDITOR,
        data=marking.message(now, part, method, found, locked=locked),
        on_marks_change=lambda: marking.on_marks(now, part, method, viewing.event_value(_EDITOR, "marks")),
    )


# -- trying it out ---------------------------------------------------------------------------------------


def _trial(
    now: LocatingState,
    source: Source,
    survey: Survey,
    parts: dict[str, str],
    depth: int | None,
    part: Reference,
    method: LocatingMethod,
    align: Align | None,
    found: ReferenceCheck | None,
    locked: bool,
) -> Use:
    usable = align is not None and found is not None and not found.refused
    use = locating.use(now, align, method)
    names = locating.names_to_try(survey, part.name, parts)
    job = locating.job(now)
    if job is not None and job.running:
        watch.watch(job)
        return use
    result = job.result if job is not None and job.state == "done" else None
    fresh = result is not None and result.align == align
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Try it",
            key="locate-try",
            icon=":material/science:",
            type="secondary" if fresh else "primary",
            disabled=locked or not usable or not names,
            help="Locates the part in up to twelve of the good parts. Nothing is fitted.",
        ):
            assert align is not None
            locating.try_out(now, align, part, source, names, depth)
            st.rerun()
        if use == "on":
            if st.button("Switch it off", key="locate-off", icon=":material/undo:", disabled=locked):
                now.used = None
                st.rerun()
        elif st.button(
            "Use it for this model",
            key="locate-use",
            icon=":material/check:",
            type="primary" if fresh else "secondary",
            disabled=locked or not fresh,
            help=None if fresh else "Try it first, with the settings as they are.",
        ):
            now.used = align
            st.rerun()
    _say(use, usable)
    if job is not None and job.state == "failed":
        shell.failure("It could not be tried out.", job.error)
    elif job is not None and job.state == "cancelled":
        st.info("Cancelled.", icon=":material/info:")
    if result is not None:
        if not fresh:
            st.caption(":material/history: These results are of other settings than those above.")
        _result(result)
    return use


def _say(use: Use, usable: bool) -> None:
    if use == "on":
        st.success("The model will be fitted on located parts.", icon=":material/check:")
    elif use == "changed":
        st.warning(
            "The settings have changed since they were switched on: as they are now, they are not used. Try "
            "them, and switch them on.",
            icon=":material/warning:",
        )
    elif usable:
        st.caption("Not switched on: the model would be fitted on the parts as they lie.")


def _result(result: Tried) -> None:
    from padim.analysis.locating_preview import advice

    preview = result.preview
    st.html(panels.facts(_facts(result)))
    good, text = advice(preview)
    (st.success if good else st.warning)(
        panels.plain(text), icon=":material/check:" if good else ":material/warning:"
    )
    if result.means is not None:
        before, after = result.means
        st.html(
            panels.pairs(
                [panels.PairOfImages("Mean image", before, after, "in one place, and located")],
                of=("As they lie", "Located"),
            )
        )
    st.html(
        panels.pairs(
            [
                panels.PairOfImages(one.name, one.before, one.after, one.note, one.lost)
                for one in result.pairs
            ],
            of=("As it lies", "Located"),
        )
    )


def _facts(result: Tried) -> list[tuple[str, str]]:
    found = result.preview
    poses = found.poses
    facts = [("Found", f"{len(found.found):,} of {count(len(found.parts), 'part')}")]
    if poses:
        shift = max(pose.shift for pose in poses)
        share = 100 * shift / max(found.frame.image_size)
        facts += [
            ("Shifted by up to", f"{shift:.0f} px ({share:.0f} % of the image)"),
            ("Turned by up to", f"{max(abs(pose.turn) for pose in poses):.1f}°"),
            ("Size", _range([100 * pose.scale for pose in poses])),
            ("Weakest match", f"{min(pose.match for pose in poses):.2f}"),
        ]
    if found.sharpness is not None:
        before, after = found.sharpness
        facts.append(("Sharpness of the mean image", f"{100 * before:.0f} % → {100 * after:.0f} %"))
    return facts


def _range(values: list[float]) -> str:
    low, high = round(min(values)), round(max(values))
    return f"{low} %" if low == high else f"{low} to {high} %"
