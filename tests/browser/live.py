"""The live viewer as a visitor uses it, and what it has drawn, read back from its canvases."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tests.browser.looking import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Locator

# The mask canvas of every row in sight: one bit a pixel, most significant first, rows padded to bytes.
_MASKS = """viewer => [...viewer.querySelectorAll('.row')].filter(row => !row.hidden).map(row => {
    const canvas = row.querySelector('canvas.mask');
    const { width, height } = canvas;
    const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    const wide = Math.ceil(width / 8);
    const bits = new Uint8Array(wide * height);
    for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
            if (data[4 * (y * width + x)] > 127) bits[y * wide + (x >> 3)] |= 128 >> (x & 7);
    return { drawn: row.dataset.drawn, width, height, bits: btoa(String.fromCharCode(...bits)) };
})"""


@dataclass(frozen=True)
class Drawn:
    """A mask as the browser has drawn it, and for what."""

    id: str
    level: int
    min_area: int
    mask: npt.NDArray[np.bool_]


class Live:
    """The viewer on the page."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.root = visitor.main.locator(".viewer")

    def ready(self) -> Live:
        """Wait until an image is drawn, all maps are here, and on Calibrate the good parts' scores too."""
        self.root.locator('.row[data-drawn*=":"]').first.wait_for()
        if self.root.get_attribute("data-mode") == "calibrate":
            self.root.locator(".counts tbody tr").first.wait_for()
        self.visitor.settle()
        self.visitor.main.locator('.viewer[data-left="0"]').wait_for()
        return self

    def see_full(self) -> None:
        """Wait until the image shown is there as it came: it is asked for a moment after it was chosen."""
        self.part(".original img.full:visible").first.wait_for()
        self.ready()

    def part(self, selector: str) -> Locator:
        """Something in the viewer."""
        return self.root.locator(selector)

    # -- the threshold ----------------------------------------------------------------------------------

    @property
    def decided(self) -> tuple[int, int]:
        """Level and smallest region that the large image was last drawn for."""
        drawn = self.part(".row").first.get_attribute("data-drawn") or "::"
        _, level, area = drawn.rsplit(":", 2)
        return int(level), int(area)

    def see_decided(self, level: int, min_area: int | None = None) -> None:
        """Wait until the large picture is drawn for that level, and that smallest region if it is given."""
        self.visitor.until(
            lambda: self.decided[0] == level and min_area in (None, self.decided[1]),
            f"the picture is drawn for level {level} and {min_area or 'any'} pixels",
        )

    def see_names(self, names: list[str]) -> None:
        """Wait until these tiles are in sight, in this order."""
        self.visitor.until(lambda: self.names() == names, f"the tiles are {names}")

    def line_to(self, share: float, *, release: bool = True, steps: int = 12) -> None:
        """Drag the threshold line with the mouse to a share of the histogram's width."""
        self.part(".hist-host").scroll_into_view_if_needed()
        grip = self.part(".hist .line circle").bounding_box()
        hist = self.part("svg.hist").bounding_box()
        assert grip is not None
        assert hist is not None
        y = hist["y"] + hist["height"] / 2
        self.page.mouse.move(grip["x"] + grip["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(hist["x"] + 8 + share * (hist["width"] - 16), y, steps=steps)
        self.frame()
        if release:
            self.release()

    def release(self) -> None:
        """Let go of the line."""
        self.page.mouse.up()
        self.frame()
        self.visitor.settle()

    def frame(self) -> None:
        """Wait until what was asked for is drawn: two frames of the browser."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def type(self, selector: str, value: str) -> None:
        """Type a number key by key, in place of what is there, and confirm it."""
        self.part(selector).press("Control+a")
        self.part(selector).press_sequentially(value)
        self.part(selector).press("Enter")
        self.frame()
        self.visitor.settle()

    # -- what is drawn ----------------------------------------------------------------------------------

    def masks(self) -> list[Drawn]:
        """The masks of the large images, read back from their canvases."""
        found: list[dict[str, Any]] = self.root.evaluate(_MASKS)
        result = []
        for one in found:
            image_id, level, area = one["drawn"].rsplit(":", 2)
            packed = np.frombuffer(base64.b64decode(one["bits"]), np.uint8).reshape(one["height"], -1)
            mask = np.unpackbits(packed, axis=1)[:, : one["width"]].astype(bool)
            result.append(Drawn(image_id, int(level), int(area), mask))
        return result

    def show(self, name: str) -> None:
        """Open an image by its tile."""
        self.part(f'.tile:has(b[title="{name}"]) button').click()
        self.part(".headline .name").get_by_text(name, exact=True).wait_for()
        self.frame()

    def verdicts(self) -> dict[str, str]:
        """What the tiles in sight say, by name."""
        found: dict[str, str] = self.root.evaluate(
            """viewer => Object.fromEntries([...viewer.querySelectorAll('.tile')].map(
                tile => [tile.querySelector('b').textContent, tile.dataset.verdict]))"""
        )
        return found

    def shows_verdicts(self, expected: Mapping[str, str]) -> bool:
        """Whether the tiles in sight say just that."""
        return self.verdicts() == expected

    def names(self) -> list[str]:
        """The tiles in sight, in reading order."""
        found: list[str] = self.root.evaluate(
            """viewer => [...viewer.querySelectorAll('.tile')]
                .sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)
                .map(tile => tile.querySelector('b').textContent)"""
        )
        return found
