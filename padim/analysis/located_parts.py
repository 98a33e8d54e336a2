"""Where the good parts of a fitted model lie relative to the reference part, and whether that part is odd."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from padim.text import count

if TYPE_CHECKING:
    from padim.decision.joint import Check
    from padim.locating.pose import Pose
    from padim.model import Padim
    from padim.storage.normals import Normal

__all__ = ["DisplacementSpread", "LocatedParts", "located_parts"]

_TITLES = {"outline": "outline", "template": "marked places", "features": "many small details"}
# The reference is odd if the others' middle is farther from it than this many times their own scatter ...
_ODD = 4.0
# ... and farther than these amounts, below which it makes no difference: map pixels, degrees, percent.
_LEAST = {"shift": 1.0, "turn": 1.0, "scale": 1.0}
# With fewer parts their middle and scatter say too little.
_FEWEST = 5


@dataclass(frozen=True)
class DisplacementSpread:
    """How far the good parts lie from the reference, in one respect.

    Attributes:
        name: ``shift``, ``turn`` or ``scale``.
        unit: ``px`` (of the reference image), ``°`` or ``%``.
        median, highest: over the images in which the part was found.
        limit: the largest value that is not rejected; None if it is not judged, or there is no threshold.
    """

    name: str
    unit: str
    median: float
    highest: float
    limit: float | None


@dataclass(frozen=True)
class LocatedParts:
    """Where the good parts of a model lie.

    Attributes:
        method: ``outline``, ``template`` or ``features``.
        reference: name of the image of the reference part.
        found: number of images of good parts in which the part was found, the reference included.
        lost: name and reason of every image of a good part in which it was not found.
        spreads: shift, turn and scale.
        warning: what is wrong with the reference part, and the remedy; empty if nothing is.
    """

    method: str
    reference: str
    found: int
    lost: tuple[tuple[str, str], ...]
    spreads: tuple[DisplacementSpread, ...]
    warning: str

    @property
    def sentence(self) -> str:
        """How parts are located, as a phrase."""
        text = f"by {_TITLES[self.method]}, reference {self.reference}; found in {count(self.found, 'image')}"
        return f"{text}, not found in {len(self.lost):,}" if self.lost else text

    @property
    def spread_text(self) -> str:
        """Median and largest shift, turn and change in size, with their limits."""
        return "; ".join(
            f"{one.name} {one.median:.3g}, at most {_with_unit(one.highest, one.unit)}"
            + ("" if one.limit is None else f" (limit {_with_unit(one.limit, one.unit)})")
            for one in self.spreads
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values as plain JSON."""
        return {
            "method": self.method,
            "reference": self.reference,
            "found": self.found,
            "not_found": [{"name": name, "reason": reason} for name, reason in self.lost],
            "spread": {
                one.name: {
                    "unit": one.unit,
                    "median": one.median,
                    "highest": one.highest,
                    "limit": one.limit,
                }
                for one in self.spreads
            },
            "warning": self.warning or None,
        }


def located_parts(model: Padim) -> LocatedParts | None:
    """Summarize where a model's good parts lie; None for a model that does not locate parts.

    Args:
        model: a fitted model.
    """
    reference = model.state.fitted.reference
    if reference is None:
        return None
    good = [normal for normal in model.normals_ if normal.status != "not_good"]
    others = [(n, n.pose) for n in good if n.pose is not None and n.status != "reference"]
    poses = [pose for _, pose in others]
    limits: dict[str, float] = {check.name: check.limit for check in _checks(model, poses)}
    spreads = tuple(
        DisplacementSpread(name, unit, float(np.median(values)), max(values), limits.get(name))
        for name, unit, values in (
            ("shift", "px", [pose.shift for pose in poses]),
            ("turn", "°", [abs(pose.turn) for pose in poses]),
            ("scale", "%", [100 * abs(pose.scale - 1) for pose in poses]),
        )
        if values
    )
    return LocatedParts(
        reference.locator.align.method,
        reference.name,
        sum(normal.pose is not None for normal in good),
        tuple((normal.name, normal.lost) for normal in good if normal.lost),
        spreads,
        _warning(model, others),
    )


def _checks(model: Padim, poses: Sequence[Pose]) -> Sequence[Check]:
    """Return the judged displacements of one of the poses, for their limits."""
    threshold, joint = model.current_threshold, model.state.joint
    if threshold is None or joint is None or not poses:
        return ()
    return joint.checks(model.state.displacement(poses[0]), threshold.level)


def _warning(model: Padim, others: Sequence[tuple[Normal, Pose]]) -> str:
    """Say that the reference is odd: the other parts have a common place, and it lies elsewhere."""
    reference = model.state.fitted.reference
    if reference is None or len(others) < _FEWEST:
        return ""
    frame = reference.locator.frame
    pixel = frame.pixels_per_map_pixel(model.config.input_shape)
    at = np.array([(pose.dx, pose.dy) for _, pose in others])
    turns = np.array([math.radians(pose.turn) for _, pose in others])
    sizes = np.array([100 * math.log(pose.scale) for _, pose in others])
    middle = np.median(at, axis=0)
    turn = math.atan2(np.sin(turns).mean(), np.cos(turns).mean())
    # Differences of angles, brought to within half a turn.
    turned = np.abs(np.angle(np.exp(1j * (turns - turn))))
    found: list[tuple[str, str, float, float, Callable[[Pose], float]]] = [
        (
            "shift",
            "shifted by {:.1f} px",
            float(np.hypot(*middle)),
            float(np.median(np.hypot(*(at - middle).T))),
            lambda pose: math.hypot(pose.dx - middle[0], pose.dy - middle[1]),
        ),
        (
            "turn",
            "turned by {:.1f}°",
            math.degrees(abs(turn)),
            math.degrees(float(np.median(turned))),
            lambda pose: abs(math.remainder(math.radians(pose.turn) - turn, 2 * math.pi)),
        ),
        (
            "scale",
            "different in size by {:.1f} %",
            abs(float(np.median(sizes))),
            float(np.median(np.abs(sizes - np.median(sizes)))),
            lambda pose: abs(100 * math.log(pose.scale) - float(np.median(sizes))),
        ),
    ]
    for name, words, away, scatter, distance in found:
        least = _LEAST[name] * (pixel if name == "shift" else 1.0)
        if away > least and away > _ODD * scatter:
            central = min(others, key=lambda other: distance(other[1]))[0].name
            return (
                f"the reference {reference.name} lies apart from the other good parts, which are "
                f"{words.format(away)} against it; fit again with one that lies as most do, such as {central}"
            )
    return ""


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.3g}{unit}" if unit == "°" else f"{value:.3g} {unit}"
