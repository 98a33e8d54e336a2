"""How finely a model sees its images, and the size of a pixel in mm: facts, warnings and a line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui.widgets import panels

if TYPE_CHECKING:
    from padim.analysis.resolution import Resolution
    from padim.model import Padim

LARGEST_PIXEL_MM = 1000.0
PIXEL_HELP = (
    "How much of the part a pixel of the original images shows. Lengths are then told in mm too, on the "
    "pages and in the files. It changes no verdict."
)


def of(model: Padim) -> Resolution | None:
    """Return the resolution of a fitted model; None if it knows no good part's size."""
    from padim.analysis.resolution import model_resolution

    return model_resolution(model) if model.normals_ else None


def facts(found: Resolution) -> list[tuple[str, str]]:
    """Return the size of a map pixel and the smallest defect to expect, as (label, value)."""
    return [
        ("A map pixel shows", found.map_pixel_text),
        ("Smallest defect to expect", found.smallest_text),
    ]


def warnings(found: Resolution) -> None:
    """Draw what makes small defects invisible, if anything does."""
    for text in found.warnings:
        st.warning(panels.plain(text), icon=":material/warning:")


def line(found: Resolution) -> str:
    """Return the resolution in one line, for the sidebar."""
    mm = "" if found.smallest_mm is None else f" ({found.smallest_mm:.2g} mm)"
    warned = ":material/warning: " if found.warnings else ""
    return (
        f"{warned}Map pixel: {found.across:.3g} × {found.down:.3g} px · defects from about "
        f"{found.smallest_original:.2g} px{mm}"
    )


def pixel_size(key: str, value: float | None) -> float | None:
    """Draw the field for the size of a pixel in mm, and return it; None while it is not known."""
    size: float | None = st.number_input(
        "Pixel size (mm)",
        min_value=0.0001,
        max_value=LARGEST_PIXEL_MM,
        value=value,
        step=0.001,
        format="%.4f",
        placeholder="unknown",
        key=key,
        persist_state="session",
        help=PIXEL_HELP,
    )
    return size
