"""Draw the diagrams of docs/guides/connect.md: python -m scripts.diagrams

Each is a row of boxes with arrows between them, as SVG without scripts or fonts of its own. Colors follow the
reader's light or dark scheme. A test holds the files to this script, so change this and not the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"

BOX_WIDTH, BOX_HEIGHT = 168, 74
ACROSS, DOWN = 114, 46
MARGIN = 14
# Generous for what fonts differ: pixels of a letter of 12 px, and of a bold one of 14 px.
LETTER, BOLD_LETTER = 6.4, 7.9

Kind = Literal["ours", "kept", "theirs"]


@dataclass(frozen=True)
class Node:
    """A box.

    Attributes:
        at: column and row.
        kind: a program of padim, data, or something of the user's.
        title: the first line, bold.
        lines: one or two more.
    """

    at: tuple[int, int]
    kind: Kind
    title: str
    lines: tuple[str, ...]

    @property
    def left(self) -> int:
        """Left edge in pixels."""
        return MARGIN + self.at[0] * (BOX_WIDTH + ACROSS)

    @property
    def top(self) -> int:
        """Upper edge in pixels."""
        return MARGIN + self.at[1] * (BOX_HEIGHT + DOWN)


@dataclass(frozen=True)
class Arrow:
    """An arrow between two boxes that are neighbors.

    Attributes:
        start: the box that it leaves.
        stop: the box that it points to.
        over: words above the line, or beside a line downwards.
        under: words below it, of what comes back: the arrow then has a head at both ends.
    """

    start: tuple[int, int]
    stop: tuple[int, int]
    over: str = ""
    under: str = ""


@dataclass(frozen=True)
class Diagram:
    """A drawing: its file's name, what it shows in one sentence, boxes and arrows."""

    name: str
    says: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


_STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#3d4650;text-anchor:middle}
.t{font-size:14px;font-weight:600;fill:#1c2126}
.e{text-anchor:start}
rect{stroke-width:1.5}
.bg{fill:#fff;stroke:#d5dae0}
.ours{fill:#e3eef6;stroke:#1f5f8b}
.kept{fill:#f2f4f6;stroke:#8794a1}
.theirs{fill:#fff;stroke:#8794a1;stroke-dasharray:5 3}
path{fill:none;stroke:#566370;stroke-width:1.5}
.h{fill:#566370;stroke:none}
@media (prefers-color-scheme:dark){
text{fill:#c3cbd3}.t{fill:#e4e8ec}
.bg{fill:#15191d;stroke:#39424b}
.ours{fill:#17344a;stroke:#5a9fd0}
.kept{fill:#242b32;stroke:#7b8792}
.theirs{fill:#15191d;stroke:#7b8792}
path{stroke:#9aa6b1}.h{fill:#9aa6b1}}
""".strip()


def _text(x: float, y: float, words: str, style: str = "") -> str:
    own = f' class="{style}"' if style else ""
    return f'<text{own} x="{x:g}" y="{y:g}">{escape(words)}</text>'


def _box(node: Node) -> list[str]:
    x, y = node.left, node.top
    parts = [f'<rect class="{node.kind}" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7"/>']
    count = len(node.lines)
    first = y + BOX_HEIGHT / 2 + 5 - 8.5 * count
    parts.append(_text(x + BOX_WIDTH / 2, first, node.title, "t"))
    for number, line in enumerate(node.lines, 1):
        parts.append(_text(x + BOX_WIDTH / 2, first + 2 + 17 * number, line))
    return parts


def _head(x: float, y: float, to: tuple[int, int]) -> str:
    """A filled arrow head whose point is at (x, y), and which points to the given direction."""
    dx, dy = to
    back = (x - 9 * dx, y - 9 * dy)
    side = (4.5 * dy, 4.5 * dx)
    corners = (
        (x, y),
        (back[0] + side[0], back[1] + side[1]),
        (back[0] - side[0], back[1] - side[1]),
    )
    return '<path class="h" d="M' + "L".join(f"{a:g} {b:g}" for a, b in corners) + 'z"/>'


def _arrow(arrow: Arrow, nodes: dict[tuple[int, int], Node]) -> list[str]:
    start, stop = nodes[arrow.start], nodes[arrow.stop]
    (column, row), (to_column, to_row) = arrow.start, arrow.stop
    if row == to_row:
        direction = 1 if to_column > column else -1
        x: float = start.left + (BOX_WIDTH + 3 if direction > 0 else -3)
        y: float = start.top + BOX_HEIGHT / 2
        to = stop.left + (-3 if direction > 0 else BOX_WIDTH + 3)
        parts = [f'<path d="M{x:g} {y:g}H{to - 6 * direction:g}"/>', _head(to, y, (direction, 0))]
        if arrow.under:
            parts += [_head(x, y, (-direction, 0)), _text((x + to) / 2, y + 17, arrow.under)]
        return [*parts, *([_text((x + to) / 2, y - 8, arrow.over)] if arrow.over else [])]
    direction = 1 if to_row > row else -1
    x = start.left + BOX_WIDTH / 2
    y = start.top + (BOX_HEIGHT + 3 if direction > 0 else -3)
    to = stop.top + (-3 if direction > 0 else BOX_HEIGHT + 3)
    parts = [f'<path d="M{x:g} {y:g}V{to - 6 * direction:g}"/>', _head(x, to, (0, direction))]
    middle = (y + to) / 2 + (-4 if arrow.under else 4)
    if arrow.under:
        parts += [_head(x, y, (0, -direction)), _text(x + 9, middle + 15, arrow.under, "e")]
    return [*parts, *([_text(x + 9, middle, arrow.over, "e")] if arrow.over else [])]


def drawn(diagram: Diagram) -> str:
    """Return a diagram as SVG."""
    nodes = {node.at: node for node in diagram.nodes}
    width = max(node.left for node in diagram.nodes) + BOX_WIDTH + MARGIN
    height = max(node.top for node in diagram.nodes) + BOX_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(diagram.says)}">',
        f"<title>{escape(diagram.says)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="bg" x=".75" y=".75" width="{width - 1.5}" height="{height - 1.5}" rx="9"/>',
    ]
    for arrow in diagram.arrows:
        parts += _arrow(arrow, nodes)
    for node in diagram.nodes:
        parts += _box(node)
    return "\n".join([*parts, "</svg>\n"])


def _ours(column: int, title: str, *lines: str, row: int = 0) -> Node:
    return Node((column, row), "ours", title, lines)


def _kept(column: int, title: str, *lines: str, row: int = 0) -> Node:
    return Node((column, row), "kept", title, lines)


def _theirs(column: int, title: str, *lines: str, row: int = 0) -> Node:
    return Node((column, row), "theirs", title, lines)


_WORKSPACE = ("record, evidence,", "messages for sinks")
_RECORDS = _ours(0, "padim", "app, watch, serve, shell", "record an inspection")
_SAVED = Arrow((0, 0), (1, 0), "same transaction")
_OUTBOX = _kept(1, "Outbox", "messages that wait,", "in the database")

DIAGRAMS = (
    Diagram(
        "connect-watch",
        "A camera PC saves images into a folder; padim watch inspects each once and writes JSON and panels.",
        (
            _theirs(0, "Camera PC", "saves image files"),
            _kept(1, "Folder IN", "disk or network share"),
            _ours(2, "padim watch", "waits until a file is", "whole, inspects it once"),
            _kept(1, "Folder OUT", "JSON and panel", "for each image", row=1),
            _kept(2, "Workspace", *_WORKSPACE, row=1),
        ),
        (
            Arrow((0, 0), (1, 0), "part_17.png"),
            Arrow((1, 0), (2, 0), "reads"),
            Arrow((2, 0), (2, 1), "records"),
            Arrow((2, 1), (1, 1), "then the files"),
        ),
    ),
    Diagram(
        "connect-service",
        "A program sends an image to padim serve over HTTP and gets the verdict in the answer.",
        (
            _theirs(0, "Your program", "any language,", "with a key"),
            _ours(1, "padim serve", "bounded queue,", "groups of images"),
            _kept(2, "Workspace", *_WORKSPACE),
            _theirs(1, "Monitoring", "/health, /metrics", row=1),
        ),
        (
            Arrow((0, 0), (1, 0), "POST image", "verdict, regions"),
            Arrow((1, 0), (2, 0), "then answers"),
            Arrow((1, 1), (1, 0), "asks"),
        ),
    ),
    Diagram(
        "connect-mqtt",
        "padim publishes each inspection to an MQTT broker, to which any number of programs subscribe.",
        (
            _RECORDS,
            _OUTBOX,
            _theirs(2, "MQTT broker", "TLS, user, password"),
            _theirs(2, "Subscribers", "MES, dashboards,", "line control", row=1),
        ),
        (
            _SAVED,
            Arrow((1, 0), (2, 0), "QoS 1", "acknowledged"),
            Arrow((2, 0), (2, 1), "topic"),
        ),
    ),
    Diagram(
        "connect-webhook",
        "padim posts each inspection, signed, to a web server, and repeats it until it is accepted.",
        (
            _RECORDS,
            _OUTBOX,
            _theirs(2, "Your web server", "checks signature", "and time"),
        ),
        (
            _SAVED,
            Arrow((1, 0), (2, 0), "POST, signed", "2xx: delivered"),
        ),
    ),
    Diagram(
        "connect-opcua",
        "padim is an OPC UA server: controllers read the last result and counters, and call its trigger.",
        (
            _RECORDS,
            _OUTBOX,
            _ours(2, "OPC UA server", "last result, counters,", "recipe, heartbeat"),
            _theirs(2, "PLC, SCADA", "reads, subscribes,", "calls the trigger", row=1),
        ),
        (
            _SAVED,
            Arrow((1, 0), (2, 0), "in order"),
            Arrow((2, 1), (2, 0), "results", "trigger"),
        ),
    ),
    Diagram(
        "connect-modbus",
        "padim writes the last result into a controller's registers, or has registers that it polls.",
        (
            _RECORDS,
            _OUTBOX,
            _ours(2, "Modbus TCP", "registers: verdict,", "sequence, heartbeat"),
            _theirs(2, "PLC", "acts on a new", "sequence number", row=1),
        ),
        (
            _SAVED,
            Arrow((1, 0), (2, 0), "in order"),
            Arrow((2, 0), (2, 1), "written,", "or polled"),
        ),
    ),
    Diagram(
        "connect-csv",
        "padim adds each inspection to a CSV file of the day in a folder, from which other systems read.",
        (
            _RECORDS,
            _OUTBOX,
            _kept(2, "Folder of CSV files", "one a day,", "always whole"),
            _theirs(2, "MES, spreadsheet", "reads when it likes", row=1),
        ),
        (
            _SAVED,
            Arrow((1, 0), (2, 0), "rows"),
            Arrow((2, 1), (2, 0), "reads"),
        ),
    ),
    Diagram(
        "connect-trigger",
        "A controller names a file over MQTT or OPC UA; padim inspects it and gives the result back.",
        (
            _theirs(0, "PLC, camera PC", "image is taken:", "names its file"),
            _ours(1, "Trigger", "MQTT topic or", "OPC UA method"),
            _kept(2, "Allowed folder", "paths elsewhere", "are refused"),
            _kept(1, "Workspace", *_WORKSPACE, row=1),
        ),
        (
            Arrow((0, 0), (1, 0), "file, serial", "verdict"),
            Arrow((1, 0), (2, 0), "reads"),
            Arrow((1, 0), (1, 1), "in one transaction"),
        ),
    ),
    Diagram(
        "connect-camera",
        "The page Inspect takes an image with the browser's camera and shows the verdict.",
        (
            _theirs(0, "Browser", "with a camera,", "a person clicks"),
            _ours(1, "padim app", "Inspect, Run"),
            _kept(2, "Workspace", *_WORKSPACE),
        ),
        (
            Arrow((0, 0), (1, 0), "a shot", "verdict, mask"),
            Arrow((1, 0), (2, 0), "one transaction"),
        ),
    ),
    Diagram(
        "connect-onnx",
        "An exported model is one ONNX file that a program on the line PC runs itself, without padim.",
        (
            _ours(0, "padim export", "once for each version"),
            _kept(1, "flange.onnx", "network, statistics,", "threshold, SHA-256"),
            _theirs(2, "Your program", "C++, Python, C#;", "ONNX Runtime"),
            _theirs(2, "Line", "stops, sorts, marks", row=1),
        ),
        (
            Arrow((0, 0), (1, 0), "one file"),
            Arrow((1, 0), (2, 0), "copied to the PC"),
            Arrow((2, 0), (2, 1), "verdict"),
        ),
    ),
)


def main() -> None:
    """Write all files."""
    for diagram in DIAGRAMS:
        (FOLDER / f"{diagram.name}.svg").write_text(drawn(diagram), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
