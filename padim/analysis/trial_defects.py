"""Defects for a trial of locating: labelled images, or painted on good parts that no fit has seen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from padim.analysis.synthetic_defects import DefectKind, Look, paint
from padim.data.decode import decode
from padim.data.loading import RGB, Named, Watch
from padim.errors import ImageError
from padim.storage.normals import Groups, group_of

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["PaintedOnParts", "TrialDefect", "carriers_of", "painted_defects"]

# The largest number of parts that are painted on, and the share of all parts.
_CARRIERS, _SHARE = 8, 0.2
_KINDS: tuple[DefectKind, ...] = ("scratch", "spot", "stain")
# Sizes as shares of the frame's side (geometric mean), and the contrast.
_SIZES, _CONTRAST = (0.05, 0.1), 0.3
# Painted within this share of the frame around its middle, where the part is.
_INNER = 0.5


@dataclass(frozen=True, eq=False)
class TrialDefect:
    """An image of a defective part.

    Attributes:
        name: the image's name.
        kind: the kind of its defect.
        content: the content of its file, or uint8 ``(h, w, 3)``.
    """

    name: str
    kind: str
    content: bytes | RGB


@dataclass(frozen=True)
class _Planned:
    """A defect to be painted: its kind, size and place in original pixels, and its look."""

    kind: DefectKind
    label: str
    size: float
    x: float
    y: float
    look: Look


@dataclass(frozen=True, eq=False)
class PaintedOnParts:
    """Defects painted on good parts, one image after another each time they are iterated over.

    Attributes:
        carriers: the images painted on.
        planned: the defects of each, by name.
        void: number of defects left out, because one of the models does not accept their part without them.
    """

    carriers: Iterable[Named]
    planned: dict[str, list[_Planned]]
    void: int

    def __contains__(self, one: object) -> bool:
        return any(one is other for other in self)

    def __len__(self) -> int:
        return sum(map(len, self.planned.values()))

    def __iter__(self) -> Iterator[TrialDefect]:
        for name, content in self.carriers:
            if planned := self.planned.get(name):
                rgb = _pixels(name, content)
                for one in planned:
                    image, _ = paint(rgb, one.kind, one.size, _CONTRAST, one.look, one.x, one.y)
                    yield TrialDefect(f"{name} with a painted {one.label}", one.kind, image)


def carriers_of(names: Sequence[str], reference: str | None, groups: Groups) -> list[str]:
    """Return the names of all images of some parts to paint on, evenly over all: at most a fifth of them.

    Args:
        names: of all images of good parts, in order.
        reference: of the image of the reference part; None is the first.
        groups: which images show the same part.
    """
    by_part: dict[str, list[str]] = {}
    for name in names:
        by_part.setdefault(group_of(groups, name) or f"#{name}", []).append(name)
    wanted = names[0] if reference is None else reference
    parts = [part for part in by_part.values() if wanted not in part]
    count = min(_CARRIERS, int(_SHARE * len(by_part)))
    chosen = [parts[(2 * i + 1) * len(parts) // (2 * count)] for i in range(count)]
    return [name for part in chosen for name in part]


def painted_defects(
    without: Padim, located: Padim, carriers: Iterable[Named], seed: int, watch: Watch
) -> PaintedOnParts:
    """Plan defects on good parts, at the original resolution and where the part lies.

    Args:
        without, located: the two models, neither fitted on these parts.
        carriers: images of good parts, which can be read several times.
        seed: of the defects' places and looks.
        watch: asks whether to cancel, and takes images that cannot be used.
    """
    rng, planned, void = np.random.default_rng([seed, 16]), dict[str, list[_Planned]](), 0
    height, width = located.config.input_shape
    for done, (name, content) in enumerate(carriers):
        watch.step(done, None, "Painting defects")
        try:
            rgb = _pixels(name, content)
        except ImageError as error:
            watch.bad(error)
            continue
        seen = [next(model.predict([(name, rgb)])) for model in (without, located)]
        placement = seen[1].placement
        if placement is None or any(one.threshold_level is None or one.verdict != "accept" for one in seen):
            void += len(_KINDS) * len(_SIZES)
            continue
        matrix = placement.matrix
        side = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))) * height * width)
        planned[name] = []
        for kind, size in itertools.product(_KINDS, _SIZES):
            place = 0.5 + _INNER * (rng.random(2) - 0.5)
            x, y = map(float, matrix @ (place[0] * width, place[1] * height, 1))
            label, look = f"{kind} of {size:.0%}", Look.drawn(rng)
            planned[name].append(_Planned(kind, label, max(2.0, size * side), x, y, look))
    return PaintedOnParts(carriers, planned, void)


def _pixels(name: str, content: bytes | RGB | ImageError) -> RGB:
    """Return an image's pixels, uint8 ``(h, w, 3)``; raise ImageError if it cannot be used."""
    if isinstance(content, ImageError):
        raise content
    return decode(content, name) if isinstance(content, bytes) else content
