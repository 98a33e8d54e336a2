"""The Fit page's section "Where the part lies": its state, the reference part, trying out, switching on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from padim.locating.settings import Align
from ui.app import state
from ui.files.media import ServedImage
from ui.jobs import watch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.analysis.locating_preview import LocatedPart, LocatingPreview
    from padim.data.labeled_images import LabeledImages
    from padim.data.sources import Source
    from padim.data.survey import Survey, SurveyedImage
    from padim.locating.mark_check import ReferenceCheck
    from ui.files.uploads import Named
    from ui.jobs.jobs import Job

# Pixels of the reference as it is shown, at most: a browser holds four bytes for each.
_MOST_SHOWN = 24_000_000
# Pixels up to which it is shown losslessly.
_LOSSLESS = 1_000_000

Kind = Literal["place", "background", "end"]


@dataclass(frozen=True)
class Mark:
    """A rectangle drawn on the reference part, in its pixels; an end is a point, without a size."""

    kind: Kind
    x: float
    y: float
    width: float
    height: float


@dataclass
class LocatingState:
    """What was chosen for one set of images in this session.

    Attributes:
        image_set: number of the set of images (``FitState.sets``).
        reference: name of the image of the reference part; None for the first image.
        marks: what is drawn on the reference.
        handled: serial number of the editor's last marks that the server has handled.
        used: the settings that were switched on; None while parts are compared as they lie.
        job: key of the job that tries them out.
        defects: images of defects for the comparison; None paints some.
        defect_files: the uploads behind them.
        note_on_defects: why images of defects were not taken.
        comparison: key of the job that compares with and without.
        note: what came of proposing places, if none was found.
        fresh: nothing was drawn for these images yet.
    """

    image_set: int = 0
    reference: str | None = None
    marks: tuple[Mark, ...] = ()
    handled: int = 0
    used: Align | None = None
    job: str | None = None
    defects: LabeledImages | None = None
    defect_files: list[Named] = field(default_factory=list)
    note_on_defects: str = ""
    comparison: str | None = None
    note: str = ""
    fresh: bool = True

    def begin_page(self) -> None:
        """Keep the marks for a page that was loaded again; its editor counts its drawings anew."""
        self.handled = 0


def memory(image_set: int) -> LocatingState:
    """Return this session's state for a set of images; that for another set is dropped."""
    now = state.lasting(LocatingState)
    if now.image_set != image_set:
        for key in filter(None, (now.job, now.comparison)):
            forget_job(key)
        fresh = LocatingState(image_set)
        now.__dict__.update(fresh.__dict__)
    return now


# -- the reference part ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference part at full resolution.

    Attributes:
        name: name of its image.
        digest: stands for its pixels.
        rgb: uint8 ``(h, w, 3)``.
        shown: the same for the browser.
    """

    name: str
    digest: str
    rgb: npt.NDArray[np.uint8]
    shown: ServedImage = field(repr=False)


def chosen(now: LocatingState, survey: Survey) -> SurveyedImage:
    """Return the image of the reference part: the chosen one, or the first."""
    return next((item for item in survey.seen if item.name == now.reference), survey.seen[0])


def choose(now: LocatingState, name: str) -> None:
    """Make another image the reference part; marks on the former one are dropped."""
    if now.reference != name:
        now.reference, now.marks, now.note = name, (), ""


def propose(now: LocatingState, part: Reference) -> None:
    """Put the places of the reference that are the best marks in the place of those that were drawn."""
    from padim.locating.propose import propose_marks

    proposed = propose_marks(part.rgb)
    now.note = (
        ""
        if proposed
        else "No place of this reference is distinctive enough. Mark one yourself, or choose another way."
    )
    if proposed:
        others = tuple(mark for mark in now.marks if mark.kind != "place")
        now.marks = others + tuple(Mark("place", *one.mark) for one in proposed)


def reference(source: Source, item: SurveyedImage, bit_depth: int | None) -> Reference:
    """Return the reference part, decoded.

    Args:
        source: the images.
        item: the reference part among them.
        bit_depth: the range of images deeper than 8 bits; None as declared, or proposed by its values.

    Raises:
        ImageError: the image is no longer there or cannot be read.
    """
    return _reference(source, item.name, f"{item.sha256}:{bit_depth}", bit_depth)


@st.cache_resource(max_entries=4, show_spinner="Reading the reference part")
def _reference(_source: Source, name: str, digest: str, bit_depth: int | None) -> Reference:
    from padim.data.bit_depth import AS_PROPOSED
    from padim.data.decode import decode
    from padim.data.picking import pick

    ((_, data),) = pick(_source, [name])
    rgb = decode(data, name, bit_depth=AS_PROPOSED if bit_depth is None else bit_depth)
    return Reference(name, digest, rgb, _served(rgb))


def _served(rgb: npt.NDArray[np.uint8]) -> ServedImage:
    import math

    import cv2
    import numpy as np

    from padim.output.render import encode_jpeg, encode_png

    height, width = rgb.shape[:2]
    if height * width <= _LOSSLESS:
        return ServedImage(encode_png(rgb))
    share = math.sqrt(_MOST_SHOWN / (height * width))
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return ServedImage(encode_jpeg(rgb))


def check(part: Reference, align: Align) -> ReferenceCheck:
    """Return whether the reference part and the marks on it can be used with these settings."""
    # Of the settings, only these matter for the reference: typing a limit does not check it again.
    keep = {"method", "margin", "background", "first_end", "marks", "detector"}
    return _check(part, f"{part.digest} {align.model_dump_json(include=keep)}", align)


@st.cache_resource(max_entries=64, show_spinner=False)
def _check(_part: Reference, identity: str, _align: Align) -> ReferenceCheck:
    from padim.locating.mark_check import check_reference

    return check_reference(_align, _part.rgb)


# -- trying it out ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pair:
    """One part before and after locating, for the browser; ``lost`` is the reason if it was not found."""

    name: str
    before: ServedImage
    after: ServedImage | None
    note: str
    lost: str


@dataclass(frozen=True, eq=False)
class Tried:
    """The outcome of trying locating out.

    Attributes:
        align: the settings.
        preview: what was measured.
        pairs: each part that was tried.
        reference: what the model would see of the reference part.
        means: the mean image in one place and located; None if no part was found.
    """

    align: Align
    preview: LocatingPreview
    pairs: tuple[Pair, ...]
    reference: ServedImage
    means: tuple[ServedImage, ServedImage] | None


def names_to_try(survey: Survey, reference: str, parts: dict[str, str]) -> list[str]:
    """Return the images that are tried: one of each part, evenly over all, without the reference part."""
    from padim.analysis.locating_preview import evenly

    own = parts.get(reference)
    first = {part: name for name, part in reversed(parts.items()) if part != own}
    return evenly([item.name for item in survey.seen if first.get(parts[item.name]) == item.name])


def try_out(
    now: LocatingState, align: Align, part: Reference, source: Source, names: Sequence[str], depth: int | None
) -> Job[Tried]:
    """Start trying the settings out on some good parts, in the background."""
    if now.job:
        forget_job(now.job)
    now.job = f"locating:{state.session_id()}"
    return watch.start(
        now.job,
        "Trying to locate the part",
        lambda job: _tried(align, part, source, names, depth, job),
        tag=align,
    )


def job(now: LocatingState) -> Job[Tried] | None:
    """Return the job that tries the settings out, running or ended."""
    return watch.find(now.job) if now.job else None


def forget_job(key: str) -> None:
    """Discard a job; one that is running is stopped."""
    found = watch.find(key)
    if found is not None and found.running:
        found.cancel()
    watch.registry().discard(key)


def _tried(
    align: Align,
    part: Reference,
    source: Source,
    names: Sequence[str],
    depth: int | None,
    job: Job[Any],
) -> Tried:
    from padim.analysis.locating_preview import preview
    from padim.data.bit_depth import AS_PROPOSED
    from padim.data.picking import pick
    from padim.locating.locator import freeze

    found = preview(
        freeze(align, part.rgb),
        part.name,
        pick(source, names),
        total=len(names),
        bit_depth=AS_PROPOSED if depth is None else depth,
        progress=job.progress,
        cancel=job.cancelled,
    )
    means = None
    if found.mean_before is not None and found.mean_after is not None:
        means = _jpeg(found.mean_before), _jpeg(found.mean_after)
    pairs = tuple(_pair(item) for item in found.parts)
    return Tried(align, found, pairs, _jpeg(found.reference_view), means)


def _pair(item: LocatedPart) -> Pair:
    from padim.analysis.locating_preview import outlined
    from padim.locating.wording import pose_text

    before = _jpeg(outlined(item))
    if item.after is None or item.pose is None:
        return Pair(item.name, before, None, "", item.lost)
    return Pair(item.name, before, _jpeg(item.after), pose_text(item.pose), "")


def _jpeg(rgb: npt.NDArray[np.uint8]) -> ServedImage:
    from padim.output.render import encode_jpeg

    return ServedImage(encode_jpeg(rgb, 88))


# -- switching it on -------------------------------------------------------------------------------------

Use = Literal["none", "on", "changed", "off"]


def use(now: LocatingState, align: Align | None, method: str | None) -> Use:
    """Return whether locating is switched on for the next fit.

    Args:
        now: this session's state; what was switched on is dropped if the user chose no locating.
        align: the settings as they are; None while they are incomplete.
        method: the method that was chosen.

    Returns:
        "none": no locating was chosen; "on": these very settings are switched on; "changed": others are
        switched on, and are not used until the present ones are; "off": nothing was switched on.
    """
    if method is None:
        now.used = None
        return "none"
    if now.used is None:
        return "off"
    return "on" if now.used == align else "changed"
