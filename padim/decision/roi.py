"""Region of interest: shapes drawn on the part, and the pixel mask rasterized from them.

The shapes are saved so that they can be edited later; scoring uses the mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from padim.errors import PadimError

ShapeKind = Literal["polygon", "brush"]
Mode = Literal["exclude", "include"]
Doubles = npt.NDArray[np.float64]

MAX_SHAPES = 500
MAX_POINTS = 10_000
# In map pixels: far outside every map (2048 at most), and small enough for accurate products.
MAX_COORDINATE = 1e6
_FEWEST_POINTS = {"polygon": 3, "brush": 1}
# Edges processed at once: limits the temporaries to about ten megabytes on the largest map.
_EDGES_PER_BLOCK = 256


@dataclass(frozen=True)
class Shape:
    """A polygon or a brush stroke, in map pixels.

    Coordinates are continuous: pixel i covers [i, i + 1) and has its centre at i + 0.5.

    Attributes:
        kind: ``polygon`` (closed by itself) or ``brush`` (a line drawn with a round tip).
        mode: ``exclude`` removes pixels from the region of interest, ``include`` adds them.
        points: (x, y) pairs; at least 3 for a polygon, 1 for a brush stroke.
        radius: radius of the brush; 0 for a polygon.

    Raises:
        ValueError: the kind or mode is unknown, there are too few or too many points, or a number is out of
            range.
    """

    kind: ShapeKind
    mode: Mode
    points: tuple[tuple[float, float], ...]
    radius: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(ShapeKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(ShapeKind))}, got {self.kind!r}")
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {self.mode!r}")
        # Converted to plain floats, whatever their types: they are written as JSON.
        object.__setattr__(self, "points", tuple((float(x), float(y)) for x, y in self.points))
        object.__setattr__(self, "radius", float(self.radius))
        fewest = _FEWEST_POINTS[self.kind]
        if not fewest <= len(self.points) <= MAX_POINTS:
            raise ValueError(f"a {self.kind} has {fewest} to {MAX_POINTS} points, got {len(self.points)}")
        if not all(abs(value) <= MAX_COORDINATE for point in self.points for value in point):
            raise ValueError(f"coordinates must be numbers from -{MAX_COORDINATE:g} to {MAX_COORDINATE:g}")
        if self.kind == "brush" and not 0 < self.radius <= MAX_COORDINATE:
            raise ValueError(f"the radius of a brush must be above 0, got {self.radius!r}")
        if self.kind == "polygon" and self.radius != 0:
            raise ValueError(f"a polygon has no radius, got {self.radius!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the shape as plain JSON values."""
        return {**asdict(self), "points": [list(point) for point in self.points]}

    @classmethod
    def from_json(cls, data: Any) -> Shape:
        """Create a shape from the result of :meth:`to_json`; ``radius`` may be missing.

        Raises:
            ValueError: the data is not a valid shape.
        """
        if not isinstance(data, dict) or not isinstance(data.get("points"), list):
            raise ValueError("not a shape with a list of points")
        # Checked before the points are converted: the list may be as long as an upload allows.
        if len(data["points"]) > MAX_POINTS:
            raise ValueError(f"a shape has at most {MAX_POINTS} points, got {len(data['points'])}")
        if any(not isinstance(point, list | tuple) or len(point) != 2 for point in data["points"]):
            raise ValueError("a point is not a pair of numbers")
        points = tuple((_number(x), _number(y)) for x, y in data["points"])
        return cls(data.get("kind"), data.get("mode"), points, _number(data.get("radius", 0.0)))  # type: ignore[arg-type]


def _number(value: Any) -> float:
    """Convert a JSON number to a finite float; raise ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {str(value)[:40]!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def to_json(shapes: Sequence[Shape]) -> list[dict[str, Any]]:
    """Return shapes as plain JSON values, in their order."""
    return [shape.to_json() for shape in shapes]


def from_json(data: Any) -> tuple[Shape, ...]:
    """Read shapes from the result of :func:`to_json`.

    Raises:
        PadimError: the data is not a list of valid shapes; the message gives the shape's number, from 1.
    """
    if not isinstance(data, list):
        raise PadimError("the region's shapes are not a list")
    if len(data) > MAX_SHAPES:
        raise PadimError(
            f"the region has {len(data)} shapes, at most {MAX_SHAPES} are kept; join some of them"
        )
    shapes = []
    for number, item in enumerate(data, start=1):
        try:
            shapes.append(Shape.from_json(item))
        except ValueError as error:
            raise PadimError(f"shape {number} of the region: {error}") from error
    return tuple(shapes)


# --- rasterizing --------------------------------------------------------------------------------------------


def rasterize(shapes: Sequence[Shape], shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """Rasterize shapes, applied in their order, to a mask of the region of interest.

    The mask starts full, or empty where the first shape is an include: a user who first draws an area to
    inspect means that area only. A pixel is in a polygon when its centre is, by the non-zero rule (as
    browsers fill a path: a lasso that crosses itself has no holes); a centre exactly on an edge belongs to
    the side right of it or below it, so that neighbouring polygons share no pixel. A pixel is in a brush
    stroke when its centre is at most the radius away from the line.

    Args:
        shapes: in the order they were drawn.
        shape: (h, w) of the map in pixels.

    Returns:
        bool ``(h, w)``, True where defects count, possibly nowhere; None (everywhere) without shapes.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be two positive integers, height and width, not {shape}")
    if not shapes:
        return None
    roi = np.full(shape, shapes[0].mode == "exclude")
    for drawn in shapes:
        points = np.array(drawn.points, np.float64)
        inside = _polygon(points, shape) if drawn.kind == "polygon" else _brush(points, drawn.radius, shape)
        roi[inside] = drawn.mode == "include"
    return roi


def _polygon(points: Doubles, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose centre has a winding number other than 0: bool ``(h, w)``."""
    height, width = shape
    start, end = points, np.roll(points, -1, axis=0)
    down = end[:, 1] > start[:, 1]
    # Always from top to bottom, so that an edge shared by two polygons is computed identically for both.
    top, bottom = np.where(down[:, None], start, end), np.where(down[:, None], end, start)
    winding = np.zeros((height, width + 1), np.int32)
    for edge, row in _rows(top[:, 1], bottom[:, 1], height, last_included=False):
        (x1, y1), (x2, y2) = top[edge].T, bottom[edge].T
        across = (row + 0.5 - y1) * (x2 - x1)

        def right_of_edge(
            column: Doubles, x1: Doubles = x1, height: Doubles = y2 - y1, across: Doubles = across
        ) -> npt.NDArray[np.bool_]:
            return across <= (column + 0.5 - x1) * height

        first = np.ceil(x1 + across / (y2 - y1) - 0.5)
        # The quotient is rounded, the comparison of products is not, for coordinates of few binary digits.
        first = np.where(
            right_of_edge(first - 1), first - 1, np.where(right_of_edge(first), first, first + 1)
        )
        _add(winding, row, first, np.where(down[edge], 1, -1))
    return np.asarray(np.cumsum(winding[:, :width], axis=1) != 0)


def _brush(points: Doubles, radius: float, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return pixels with a centre at most ``radius`` from the line through the points: bool ``(h, w)``.

    A stroke from one point to the next is convex and covers one interval of a row, so the work is
    proportional to its height and not to its area.
    """
    height, width = shape
    start, end = (points[:-1], points[1:]) if len(points) > 1 else (points, points)
    low, high = np.minimum(start[:, 1], end[:, 1]) - radius, np.maximum(start[:, 1], end[:, 1]) + radius
    covered = np.zeros((height, width + 1), np.int32)
    for stroke, row in _rows(low, high, height, last_included=True):
        (x1, y1), (x2, y2) = start[stroke].T, end[stroke].T
        y = row + 0.5
        dx, dy = x2 - x1, y2 - y1
        length2 = dx * dx + dy * dy

        def near(
            column: Doubles,
            x1: Doubles = x1,
            x2: Doubles = x2,
            dx: Doubles = dx,
            dy: Doubles = dy,
            up: Doubles = y - y1,
            down: Doubles = y - y2,
            length2: Doubles = length2,
        ) -> npt.NDArray[np.bool_]:
            x = column + 0.5
            along = (x - x1) * dx + up * dy
            across2 = ((x - x1) * dy - up * dx) ** 2
            at_start, at_end = (x - x1) ** 2 + up**2, (x - x2) ** 2 + down**2
            within = np.where(along <= 0, at_start, at_end) <= radius**2
            beside = (along > 0) & (along < length2)
            return np.where(beside, across2 <= radius**2 * length2, within)

        left, right = _extent(x1, x2, dx, dy, y - y1, y - y2, length2, radius)
        first, last = np.ceil(left - 0.5), np.floor(right - 0.5)
        # As with polygons, square root and quotient are rounded and the comparison is not.
        first = np.where(near(first - 1), first - 1, np.where(near(first), first, first + 1))
        last = np.where(near(last + 1), last + 1, np.where(near(last), last, last - 1))
        some = first <= last
        _add(covered, row[some], first[some], 1)
        _add(covered, row[some], last[some] + 1, -1)
    return np.asarray(np.cumsum(covered[:, :width], axis=1) > 0)


def _extent(
    x1: Doubles,
    x2: Doubles,
    dx: Doubles,
    dy: Doubles,
    up: Doubles,
    down: Doubles,
    length2: Doubles,
    radius: float,
) -> tuple[Doubles, Doubles]:
    """Return where rows enter and leave strokes: the hull of the round ends and of the band between them."""
    # Beyond every coordinate; a finite stand-in for infinity, so that no NaN can arise.
    far = 4 * MAX_COORDINATE
    left, right = np.full_like(x1, far), np.full_like(x1, -far)
    for x, height in ((x1, up), (x2, down)):
        half = np.sqrt(np.maximum(radius**2 - height**2, 0.0))
        reached = np.abs(height) <= radius
        left = np.where(reached, np.minimum(left, x - half), left)
        right = np.where(reached, np.maximum(right, x + half), right)
    # The band, with t = x - x1: dx t + dy up in [0, length2] and |dy t - dx up| <= radius * length.
    width = radius * np.sqrt(length2)
    enter, leave = np.full_like(x1, -far), np.full_like(x1, far)
    for slope, offset, least, most in (
        (dx, dy * up, np.zeros_like(width), length2),
        (dy, -dx * up, -width, width),
    ):
        flat = slope == 0
        divisor = np.where(flat, 1.0, slope)
        with np.errstate(over="ignore"):  # a slope of 1e-300 gives a value far outside, which is clipped
            one = np.clip((least - offset) / divisor, -far, far)
            other = np.clip((most - offset) / divisor, -far, far)
        missed = flat & ((offset < least) | (offset > most))
        enter = np.maximum(enter, np.where(flat, -far, np.minimum(one, other)))
        leave = np.minimum(leave, np.where(missed, -2 * far, np.where(flat, far, np.maximum(one, other))))
    crossed = (enter <= leave) & (length2 > 0)
    return (
        np.where(crossed, np.minimum(left, x1 + enter), left),
        np.where(crossed, np.maximum(right, x1 + leave), right),
    )


def _rows(
    low: Doubles, high: Doubles, height: int, *, last_included: bool
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield (edge, row) pairs, in blocks, of all rows with a centre from ``low`` to ``high`` of each edge."""
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    stop = np.floor(high - 0.5) + 1 if last_included else np.ceil(high - 0.5)
    counts = np.maximum(np.clip(stop, 0, height).astype(np.int64) - first, 0)
    for block in range(0, len(low), _EDGES_PER_BLOCK):
        count = counts[block : block + _EDGES_PER_BLOCK]
        if count.any():
            edge = np.repeat(np.arange(block, block + len(count)), count)
            within = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
            yield edge, first[edge] + within


def _add(
    counts: npt.NDArray[np.int32],
    row: npt.NDArray[np.int64],
    column: Doubles,
    value: int | npt.NDArray[np.integer],
) -> None:
    """Add ``value`` to the counts at (row, column); columns outside are clipped to the border."""
    width = counts.shape[1] - 1
    np.add.at(counts, (row, np.clip(column, 0, width).astype(np.int64)), value)
