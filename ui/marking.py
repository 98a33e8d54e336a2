"""The editor of marks on the reference part: its messages, and what they mean for the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from ui.locating import Kind, LocatingState, Mark, Reference

if TYPE_CHECKING:
    from padim.locating.mark_check import ReferenceCheck
    from padim.locating.settings import Align, LocatingMethod

KINDS: dict[LocatingMethod, tuple[Kind, ...]] = {
    "outline": ("background", "end"),
    "template": ("place",),
    "features": (),
}
_MOST: dict[Kind, int] = {"place": 2, "background": 1, "end": 1}


class _Mark(BaseModel, strict=True):
    kind: Kind
    x: float = Field(ge=0, allow_inf_nan=False)
    y: float = Field(ge=0, allow_inf_nan=False)
    width: float = Field(ge=0, allow_inf_nan=False)
    height: float = Field(ge=0, allow_inf_nan=False)


class _Message(BaseModel, strict=True):
    """A message of the editor that the marks have changed."""

    id: str
    serial: int = Field(ge=0, lt=2**53)
    marks: list[_Mark] = Field(max_length=8)


def identity(now: LocatingState, part: Reference, method: LocatingMethod) -> str:
    """Return what the editor's marks belong to: an image of a set, and a method."""
    return f"{now.image_set}:{method}:{part.digest}"


def drawn(now: LocatingState, method: LocatingMethod) -> tuple[Mark, ...]:
    """Return the marks that a method uses; those for another one are kept, but not shown."""
    return tuple(mark for mark in now.marks if mark.kind in KINDS[method])


def on_marks(now: LocatingState, part: Reference, method: LocatingMethod, value: object) -> None:
    """Apply a message of the editor.

    An invalid message, or one for another image, is ignored; the editor then shows the server's marks.
    """
    try:
        event = _Message.model_validate(value)
    except ValidationError:
        return
    if event.id != identity(now, part, method):
        return
    now.handled = event.serial
    height, width = part.rgb.shape[:2]
    marks = tuple(Mark(**mark.model_dump()) for mark in event.marks)
    inside = all(m.x + m.width <= width and m.y + m.height <= height for m in marks)
    sized = all(m.kind == "end" or (m.width >= 1 and m.height >= 1) for m in marks)
    few = all(sum(m.kind == kind for m in marks) <= most for kind, most in _MOST.items())
    if inside and sized and few and all(m.kind in KINDS[method] for m in marks):
        others = tuple(mark for mark in now.marks if mark.kind not in KINDS[method])
        now.marks = others + marks


def prefill(now: LocatingState, align: Align) -> None:
    """Take over the reference and the marks of a model, for a new fit on the same images."""
    now.reference = align.reference
    marks = [Mark("place", *mark) for mark in align.marks]
    if align.background is not None:
        x, y = zip(*align.background, strict=True)
        marks.append(Mark("background", min(x), min(y), max(x) - min(x), max(y) - min(y)))
    if align.first_end is not None:
        marks.append(Mark("end", *align.first_end, 0, 0))
    now.marks = tuple(marks)


def settings(marks: tuple[Mark, ...], method: LocatingMethod) -> dict[str, Any]:
    """Return the marks by field of :class:`~padim.locating.settings.Align`."""
    if method == "template":
        return {"marks": tuple((m.x, m.y, m.width, m.height) for m in marks)}
    if method == "features":
        return {}
    chosen: dict[str, Any] = {}
    for m in marks:
        if m.kind == "background":
            right, bottom = m.x + m.width, m.y + m.height
            chosen["background"] = ((m.x, m.y), (right, m.y), (right, bottom), (m.x, bottom))
        elif m.kind == "end":
            chosen["first_end"] = (m.x, m.y)
    return chosen


def message(
    now: LocatingState,
    part: Reference,
    method: LocatingMethod,
    found: ReferenceCheck | None,
    *,
    locked: bool,
) -> dict[str, Any]:
    """Return the complete data of the editor, ready to be encoded as JSON.

    Args:
        now: this session's state.
        part: the reference part.
        method: the method that was chosen.
        found: whether the reference and its marks can be used; None while there is nothing to check.
        locked: whether nothing can be changed.
    """
    from padim.locating.mark_check import corners

    marks = drawn(now, method)
    height, width = part.rgb.shape[:2]
    return {
        "id": identity(now, part, method),
        "url": part.shown.url("locating-reference"),
        "name": part.name,
        "width": width,
        "height": height,
        "handled": now.handled,
        "kinds": list(KINDS[method]),
        "marks": [{**mark.__dict__} for mark in marks],
        "answers": _answers(marks, found),
        "frame": None if found is None or found.frame is None else corners(found.frame),
        "said": _said(method, found),
        "refused": found is not None and bool(found.refused),
        "locked": locked,
    }


def _answers(marks: tuple[Mark, ...], found: ReferenceCheck | None) -> list[dict[str, Any]]:
    places = iter(found.marks if found is not None else ())
    checks = [next(places, None) if mark.kind == "place" else None for mark in marks]
    return [
        {"text": "", "refused": False}
        if one is None
        else {"text": _sentence(one.refused), "refused": True}
        if one.refused
        else {"text": f"Can be used: {100 * one.quality:.0f} % distinctive.", "refused": False}
        for one in checks
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _said(method: LocatingMethod, found: ReferenceCheck | None) -> str:
    """Return what to say about the reference as a whole."""
    if found is None:
        return "Nothing is marked yet."
    if found.frame is None:
        # What is said of a mark is not said twice.
        return "" if any(mark.refused for mark in found.marks) else _sentence(found.refused)
    size = f"{found.frame.width:.0f} × {found.frame.height:.0f} px"
    if method == "outline":
        return f"The dotted frame, {size}, is what the model would see of this part."
    return f"The model would see the dotted frame, {size}."
