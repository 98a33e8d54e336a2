"""HTML of galleries, verdicts, bars and lists.

All text supplied by users is escaped. Colors are defined in ``style.css``; a verdict is always shown as a
word too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ui.files.media import ServedImage

if TYPE_CHECKING:
    from padim.analysis.stored_score import StoredScore
    from padim.decision.guard_band import Verdict
    from padim.model import Padim

# All characters that can start Markdown or one of Streamlit's own directives (":red[...]", "$...$").
_MARKDOWN = re.compile(r"[!-/:-@\[-`{-~]")


@dataclass(frozen=True)
class Thumb:
    """One thumbnail of a gallery; ``note`` is plain text below the name, ``full`` opens on a click.

    ``error`` names the error that the verdict is, such as "Missed defect"; empty if it is none.
    """

    image: ServedImage
    name: str
    note: str = ""
    verdict: Verdict | None = None
    full: ServedImage | None = None
    error: str = ""


def plain(text: str) -> str:
    """Escape text for Markdown, so that it is shown literally and cannot add images, links or colors."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def literal(text: str) -> str:
    """Return text as a Markdown code span; unlike with :func:`plain`, an address does not become a link."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}"


def strangers(model: Padim, images: Sequence[StoredScore]) -> None:
    """Warn of images that do not look like the model's parts."""
    import streamlit as st

    from padim.analysis.other_product import strangers as found_in

    if text := found_in(model, images).sentence:
        st.warning(plain(text), icon=":material/help_center:")


def badge(verdict: Verdict) -> str:
    """Return HTML of the verdict as a word, with its color and shape."""
    return f'<span class="pv-verdict pv-{verdict}">{verdict.capitalize()}</span>'


def gallery(thumbs: Iterable[Thumb], *, small: bool = False, more: int = 0) -> str:
    """Return HTML of a grid of thumbnails with names, notes and verdicts.

    Args:
        thumbs: the thumbnails.
        small: use smaller tiles, for many images.
        more: number of further images, stated in a last tile.
    """
    tiles = []
    for thumb in thumbs:
        src = escape(thumb.image.url(), quote=True)
        name = escape(thumb.name, quote=True)
        image = f'<img src="{src}" alt="{name}" loading="lazy">'
        if thumb.full is not None:
            full = escape(thumb.full.url(), quote=True)
            image = f'<a href="{full}" target="_blank" rel="noopener" title="Open full size">{image}</a>'
        # Badge and note share a line, so that all tiles in a row have the same height.
        line = badge(thumb.verdict) if thumb.verdict else ""
        if thumb.error:
            line += f'<span class="pv-verdict pv-reject">{escape(thumb.error)}</span>'
        if thumb.note:
            line += f'<span title="{escape(thumb.note, quote=True)}">{escape(thumb.note)}</span>'
        note = f'<div class="pv-note">{line}</div>' if line else ""
        kind = f" pv-is-{thumb.verdict}" if thumb.verdict else " pv-is-error" if thumb.error else ""
        tiles.append(
            f'<figure class="pv-tile{kind}">{image}'
            f'<figcaption><b title="{name}">{name}</b>{note}</figcaption></figure>'
        )
    if more > 0:
        tiles.append(f'<figure class="pv-tile pv-more"><span>and {more:,} more</span></figure>')
    return f'<div class="pv-gallery{" pv-small" if small else ""}">{"".join(tiles)}</div>'


@dataclass(frozen=True)
class PairOfImages:
    """Two images side by side; instead of a second one, the reason why there is none."""

    name: str
    before: ServedImage
    after: ServedImage | None
    note: str = ""
    lost: str = ""


def pairs(items: Iterable[PairOfImages], of: tuple[str, str]) -> str:
    """Return HTML of a grid of pairs of images with names and notes.

    Args:
        items: the pairs.
        of: what the first and the second image of each pair are.
    """

    def half(image: ServedImage | None, what: str, item: PairOfImages) -> str:
        if image is None:
            return f'<div class="pv-lost"><b>Not found</b><span>{escape(item.lost)}</span></div>'
        src, alt = escape(image.url(), quote=True), escape(f"{item.name}, {what.lower()}", quote=True)
        return f'<div><img src="{src}" alt="{alt}" loading="lazy"><small>{escape(what)}</small></div>'

    tiles = [
        f'<figure class="pv-pair"><div>{half(item.before, of[0], item)}{half(item.after, of[1], item)}</div>'
        f'<figcaption><b title="{escape(item.name, quote=True)}">{escape(item.name)}</b>'
        f"<span>{escape(item.note)}</span></figcaption></figure>"
        for item in items
    ]
    return f'<div class="pv-pairs">{"".join(tiles)}</div>'


@dataclass(frozen=True)
class Bar:
    """One bar of a bar chart of shares.

    Attributes:
        label: its name.
        note: an explanation in plain text.
        percent: its share, 0 to 100.
        color: its color in hexadecimal notation.
    """

    label: str
    note: str
    percent: int
    color: str


def bars(rows: Iterable[Bar]) -> str:
    """Return HTML of a compact horizontal bar chart of shares, each with its number."""
    lines = "".join(
        f"<li><div><b>{escape(row.label)}</b><span>{escape(row.note)}</span><em>{row.percent} %</em></div>"
        f'<div aria-hidden="true"><i style="width:{row.percent}%;background:{row.color}"></i></div></li>'
        for row in rows
    )
    return f'<ul class="pv-bars">{lines}</ul>'


def stack(rows: Sequence[Bar]) -> str:
    """Return HTML of one stacked bar of shares, and the largest of them in words."""
    most = max(rows, key=lambda row: row.percent)
    parts = "".join(
        f'<i style="width:{row.percent}%;background:{row.color}" '
        f'title="{escape(f"{row.label}: {row.percent} %", quote=True)}"></i>'
        for row in rows
        if row.percent
    )
    return (
        f'<div class="pv-stack"><div aria-hidden="true">{parts}</div>'
        f"<span>{escape(most.label)} {most.percent} %</span></div>"
    )


def legend(rows: Iterable[Bar]) -> str:
    """Return HTML of a legend for the colors of :func:`stack`."""
    items = "".join(
        f'<span><i style="background:{row.color}"></i><b>{escape(row.label)}</b> {escape(row.note)}</span>'
        for row in rows
    )
    return f'<div class="pv-legend">{items}</div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return HTML of a row of label and value pairs."""
    items = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in pairs)
    return f'<dl class="pv-facts">{items}</dl>'


def wide_image(url: str, alt: str) -> str:
    """Return HTML of one image as wide as there is room, up to its own width."""
    return f'<img class="pv-wide" src="{escape(url, quote=True)}" alt="{escape(alt, quote=True)}">'


def problems(rows: Iterable[tuple[str, str]]) -> str:
    """Return HTML of a list of files that could not be used, each with its reason."""
    items = "".join(f"<li><b>{escape(name)}</b> {escape(reason)}</li>" for name, reason in rows)
    return f'<ul class="pv-problems">{items}</ul>'


def figures(head: Sequence[str], rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Return HTML of a table of metrics.

    Args:
        head: titles of the three columns.
        rows: name, value, interval (or the reason for a missing value) and explanation, in plain text.
    """
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(
        # A reason takes several lines, whereas an interval takes one.
        f"<tr{' class=pv-none' if value == '–' else ''}>"
        f"<td>{escape(name)}<small>{escape(says)}</small></td><td><b>{escape(value)}</b></td>"
        f"<td>{escape(between)}</td></tr>"
        for name, value, between, says in rows
    )
    return (
        f'<table class="pv-compare pv-figures"><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>'
    )
