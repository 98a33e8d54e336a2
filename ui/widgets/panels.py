"""Images as HTML: galleries of thumbnails, verdicts and lists.

Everything a user named is escaped. Colours come from ``style.css``; a verdict is always also a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ui.files.media import ServedImage

if TYPE_CHECKING:
    from padim.decision.guard_band import Verdict

# Everything that Markdown or one of Streamlit's own marks (":red[...]", "$...$") could begin with.
_MARKDOWN = re.compile(r"[!-/:-@\[-`{-~]")


@dataclass(frozen=True)
class Thumb:
    """One thumbnail of a gallery. ``note`` is plain text below the name; ``full`` opens on a click."""

    image: ServedImage
    name: str
    note: str = ""
    verdict: Verdict | None = None
    full: ServedImage | None = None


def plain(text: str) -> str:
    """Text as Markdown that shows it as it is spelt: a name brings along no images, links or colours."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def literal(text: str) -> str:
    """Text as a Markdown code span, for words out of a link: unlike :func:`plain`, an address is no link."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}"


def badge(verdict: Verdict) -> str:
    """The verdict as a word in its colour, and with its shape."""
    return f'<span class="pv-verdict pv-{verdict}">{verdict.capitalize()}</span>'


def gallery(thumbs: Iterable[Thumb], *, small: bool = False, more: int = 0) -> str:
    """HTML of a grid of thumbnails with names, notes and, where given, verdicts.

    Args:
        thumbs: what to show.
        small: smaller tiles, for many images.
        more: how many images there are beyond these; said in a last tile.
    """
    tiles = []
    for thumb in thumbs:
        src = escape(thumb.image.url(), quote=True)
        name = escape(thumb.name, quote=True)
        image = f'<img src="{src}" alt="{name}" loading="lazy">'
        if thumb.full is not None:
            full = escape(thumb.full.url(), quote=True)
            image = f'<a href="{full}" target="_blank" rel="noopener" title="Open full size">{image}</a>'
        # One line, badge or not: tiles of one row must be of one height.
        line = badge(thumb.verdict) if thumb.verdict else ""
        if thumb.note:
            line += f'<span title="{escape(thumb.note, quote=True)}">{escape(thumb.note)}</span>'
        note = f'<div class="pv-note">{line}</div>' if line else ""
        kind = f" pv-is-{thumb.verdict}" if thumb.verdict else ""
        tiles.append(
            f'<figure class="pv-tile{kind}">{image}'
            f'<figcaption><b title="{name}">{name}</b>{note}</figcaption></figure>'
        )
    if more > 0:
        tiles.append(f'<figure class="pv-tile pv-more"><span>and {more:,} more</span></figure>')
    return f'<div class="pv-gallery{" pv-small" if small else ""}">{"".join(tiles)}</div>'


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart of shares.

    Attributes:
        label: what it is about.
        note: more about it, in plain text.
        percent: 0 to 100.
        colour: its hex colour.
    """

    label: str
    note: str
    percent: int
    colour: str


def bars(rows: Iterable[Bar]) -> str:
    """HTML of a compact horizontal bar chart of shares, each with its number."""
    lines = "".join(
        f"<li><div><b>{escape(row.label)}</b><span>{escape(row.note)}</span><em>{row.percent} %</em></div>"
        f'<div aria-hidden="true"><i style="width:{row.percent}%;background:{row.colour}"></i></div></li>'
        for row in rows
    )
    return f'<ul class="pv-bars">{lines}</ul>'


def stack(rows: Sequence[Bar]) -> str:
    """HTML of one bar that shares are stacked in, and the largest of them in words."""
    most = max(rows, key=lambda row: row.percent)
    parts = "".join(
        f'<i style="width:{row.percent}%;background:{row.colour}" '
        f'title="{escape(f"{row.label}: {row.percent} %", quote=True)}"></i>'
        for row in rows
        if row.percent
    )
    return (
        f'<div class="pv-stack"><div aria-hidden="true">{parts}</div>'
        f"<span>{escape(most.label)} {most.percent} %</span></div>"
    )


def legend(rows: Iterable[Bar]) -> str:
    """HTML of what the colours of :func:`stack` stand for."""
    items = "".join(
        f'<span><i style="background:{row.colour}"></i><b>{escape(row.label)}</b> {escape(row.note)}</span>'
        for row in rows
    )
    return f'<div class="pv-legend">{items}</div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """HTML of a short row of label and value pairs."""
    items = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in pairs)
    return f'<dl class="pv-facts">{items}</dl>'


def problems(rows: Iterable[tuple[str, str]]) -> str:
    """HTML of a list of files that could not be used, each with its reason."""
    items = "".join(f"<li><b>{escape(name)}</b> {escape(reason)}</li>" for name, reason in rows)
    return f'<ul class="pv-problems">{items}</ul>'


def figures(head: Sequence[str], rows: Iterable[tuple[str, str, str, str]]) -> str:
    """HTML of a table of figures.

    Args:
        head: titles of the three columns.
        rows: name, value, interval (or why there is no value) and what it says, in plain text.
    """
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(
        # A reason takes several lines, an interval one.
        f"<tr{' class=pv-none' if value == '–' else ''}>"
        f"<td>{escape(name)}<small>{escape(says)}</small></td><td><b>{escape(value)}</b></td>"
        f"<td>{escape(between)}</td></tr>"
        for name, value, between, says in rows
    )
    return (
        f'<table class="pv-compare pv-figures"><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>'
    )
