"""What the Inspect page remembers and works out: scored pictures as rows, and one picture's panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import streamlit as st

from ui import bring, state, workspace
from ui.media import Picture, mimetype_of
from ui.panels import Panel, Verdict
from ui.reviews import Review, Reviews
from ui.scoring import Scored

if TYPE_CHECKING:
    from padim.maps import Decision
    from padim.model import Padim
    from padim.store import Entry

UPLOADER = "tests"
Order = Literal["worst", "best", "name", "arrival"]
ORDERS: dict[Order, str] = {
    "worst": "Worst first",
    "best": "Best first",
    "name": "Name",
    "arrival": "As they came",
}
Show = Literal["all", "reject", "accept"]


class InspectState(Reviews):
    """The Inspect page's memory for one session: a list of pictures for every model in use."""

    kind = "inspect"


def review(entry: Entry) -> Review:
    """This session's pictures for this model."""
    return state.of(InspectState).of(entry)


def take(entry: Entry, model: Padim, brought: bring.Brought) -> None:
    """Score these pictures in the background, after those already there."""
    review(entry).take(f"Scoring {brought.label}", brought, model, UPLOADER)


def sample() -> bring.Sample | None:
    """The sample's test pictures, or None where the sample is not installed."""
    part = bring.sample_part()
    if part is None:
        return None
    return bring.Sample(
        "Good parts and five kinds of defects, to try it out.",
        lambda: bring.from_folder(part / "test", f"Sample: {part.name}, test pictures"),
    )


# -- rows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the results.

    Attributes:
        item: the scored picture.
        score: its score, a level.
        verdict: None where there is no threshold.
        regions: regions of its mask.
    """

    item: Scored
    score: int
    verdict: Verdict | None
    regions: int


def rows(entry: Entry, model: Padim, level: int | None) -> list[Row]:
    """Every scored picture, judged at this threshold, in order of arrival."""
    found = []
    area = model.config.min_area
    for item in review(entry).pile.items:
        score = item.score(model, area)
        if level is None:
            found.append(Row(item, score, None, 0))
            continue
        verdict: Verdict = "reject" if score > level else "accept"
        found.append(Row(item, score, verdict, item.regions(model, level, area)))
    return found


def arranged(found: list[Row], order: Order, show: Show, search: str) -> list[Row]:
    """The rows wanted, in the order wanted; equal scores in order of arrival."""
    from natsort import natsort_keygen, ns

    words = search.lower().split()
    kept = [
        row
        for row in found
        if (show == "all" or row.verdict == show) and all(word in row.item.name.lower() for word in words)
    ]
    if order == "name":
        by_name = natsort_keygen(key=lambda row: row.item.name, alg=ns.IGNORECASE)
        return sorted(kept, key=by_name)
    if order == "arrival":
        return sorted(kept, key=lambda row: row.item.number)
    sign = -1 if order == "worst" else 1
    return sorted(kept, key=lambda row: (sign * row.score, row.item.number))


def select(entry: Entry, number: int) -> None:
    """Show the picture of this number."""
    review(entry).selected = number


def chosen(entry: Entry, arranged_rows: list[Row]) -> bool:
    """Whether the user has chosen one of these pictures."""
    number = review(entry).selected
    return any(row.item.number == number for row in arranged_rows)


def position(entry: Entry, arranged_rows: list[Row]) -> int:
    """Where in the list the picture shown is; the first, where it is not in the list."""
    number = review(entry).selected
    return next((i for i, row in enumerate(arranged_rows) if row.item.number == number), 0)


# -- one picture -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How pictures are drawn; nothing of it changes a verdict."""

    colormap: str
    opacity: float


@dataclass(frozen=True)
class Shown:
    """One picture's panels and its verdict."""

    panels: list[Panel]
    decision: Decision
    mask_png: bytes


def shown(entry: Entry, item: Scored, model: Padim, level: int, look: Look) -> Shown:
    """Original, heatmap, mask and overlay at the picture's own resolution.

    The original is shown as it came where a browser can show it, or losslessly; the mask losslessly.

    Raises:
        ImageError: the picture's file can no longer be read.
    """
    decision = item.decide(model, level, model.config.min_area)
    original, heat, mask, over = _drawn(
        item, model, workspace.scoring_identity(entry), item.sha256, level, model.config.min_area, look
    )
    size = item.original_size
    return Shown(
        [
            Panel("Original", Picture(original), size),
            Panel("Heatmap", Picture(heat), size),
            Panel("Mask", Picture(mask), size, hard_pixels=True),
            Panel("Overlay", Picture(over), size),
        ],
        decision,
        mask,
    )


@st.cache_resource(max_entries=12, show_spinner=False, scope="session")
def _drawn(
    _item: Scored, _model: Padim, identity: str, sha256: str, level: int, min_area: int, look: Look
) -> tuple[bytes, bytes, bytes, bytes]:
    from padim.images import decode
    from padim.render import encode_jpeg, encode_png, heatmap, mask_image, overlay

    data = _item.file.read_bytes()
    rgb = decode(data, _item.name)
    q = _item.levels(_model)
    decision = _item.decide(_model, level, min_area)
    try:
        mimetype_of(data)
        original = data
    except ValueError:
        original = encode_png(rgb)
    box = _item.content_box
    return (
        original,
        encode_jpeg(heatmap(q, level, _item.original_size, colormap=look.colormap, content_box=box), 90),
        encode_png(mask_image(decision.mask)),
        encode_jpeg(
            overlay(
                rgb, q, decision.mask, level, opacity=look.opacity, colormap=look.colormap, content_box=box
            )
        ),
    )
