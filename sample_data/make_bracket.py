#!/usr/bin/env python3
"""Generate images of a bracket that lies at any angle and place, with defects, masks and true poses.

A second part beside the flange, computed in a tenth of a second an image, for everything that is about how
parts lie: it is long, its ends differ, and the belt is seen around it. Its relief and color are drawn in the
part's own coordinates and brought to the image by the pose; the light stays where it is, so that a turned
part also looks different, as it does before a camera.

Lengths are in pixels of the image at scale 1. The part's coordinates have their origin at its middle.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Lying = Literal["fixed", "fixture", "any"]

KINDS = ("scratch", "stain", "dent", "hole", "cap", "misplaced")
SEED = 2024
SIZE, TALL = (384, 384), (640, 256)  # (height, width) of the image
# Half the distance of the centers of the round ends, and their radii; the heavier end is on the left.
REACH, RADII = 100.0, (46.0, 30.0)
TALL_REACH = 250.0
_PER_PIXEL = 2  # samples of the part's own drawing per pixel
_LIGHT = np.array((-0.42, -0.55, 0.72), np.float32)  # towards the lamp: x right, y down, z up

# Largest shift (pixels), turn (degrees) and difference in size by which good parts lie differently.
LOOSE: dict[str, tuple[float, float, float]] = {
    "fixed": (2.0, 0.5, 0.002),
    "fixture": (10.0, 6.0, 0.005),
    "any": (28.0, 180.0, 0.03),
}


@dataclass(frozen=True)
class Lie:
    """How a part lies: shift of its middle from the image's middle, turn and scale.

    Attributes:
        dx, dy: pixels to the right and down.
        turn: degrees counterclockwise on the screen.
        scale: size relative to the usual.
    """

    dx: float
    dy: float
    turn: float
    scale: float

    def to_part(self, size: tuple[int, int], upright: bool) -> NDArray[np.float64]:
        """Return the matrix ``(2, 3)`` from image pixels, whose centers are at halves, to the part."""
        turn = np.radians(self.turn + (90.0 if upright else 0.0))
        c, s = np.cos(turn) / self.scale, np.sin(turn) / self.scale
        linear = np.array([[c, -s], [s, c]])
        middle = np.array([size[1] / 2 + self.dx, size[0] / 2 + self.dy])
        return np.column_stack([linear, -linear @ middle])


@dataclass(frozen=True)
class Sample:
    """One image, with what is true about it.

    Attributes:
        image: uint8 ``(h, w, 3)``.
        mask: bool ``(h, w)``, where the surface differs from the good one's; of a misplaced part the part
            itself; None for a good part.
        lie: how the part lies.
        kind: ``good`` or one of :data:`KINDS`.
    """

    image: Bytes
    mask: NDArray[np.bool_] | None
    lie: Lie
    kind: str


def drawn_lie(rng: np.random.Generator, lying: Lying, *, misplaced: bool = False, tall: bool = False) -> Lie:
    """Draw how a part lies: within what is usual or, if it is misplaced, clearly beyond it.

    Where parts lie anywhere a misplaced part does not exist: it is drawn much too large or too small, as
    one that stands up or lies on another.
    """
    shift, turn, size = LOOSE[lying]
    if tall:
        shift = min(shift, 8.0)
    far, turned, scaled = rng.uniform(-1, 1, 2) * shift, rng.uniform(-turn, turn), rng.uniform(-size, size)
    if misplaced and lying == "any":
        scaled = rng.choice((-1, 1)) * rng.uniform(0.10, 0.16)
    elif misplaced and rng.random() < 0.5:
        away = rng.uniform(0, 2 * np.pi)
        far = (shift * 1.4 + rng.uniform(8, 25)) * np.array((np.cos(away), np.sin(away)))
    elif misplaced:
        turned = rng.choice((-1, 1)) * (turn + rng.uniform(4, 12))
    return Lie(float(far[0]), float(far[1]), float(turned), float(1 + scaled))


def make(
    index: int,
    *,
    kind: str = "good",
    lying: Lying = "any",
    tall: bool = False,
    printed: bool = False,
    seed: int = SEED,
    lie: Lie | None = None,
) -> Sample:
    """Generate one image; the same arguments give the same image.

    Args:
        index: the number of the part; defects get smaller with ``index % 6``.
        kind: ``good`` or one of :data:`KINDS`.
        lying: how differently the parts lie.
        tall: a long upright part in an image of 640 x 256 pixels instead of a shorter one in 384 x 384.
        printed: whether a pattern of small signs is printed on all parts, the same on each.
        seed: another seed gives other parts.
        lie: how the part lies; None draws it.
    """
    if kind not in ("good", *KINDS):
        raise ValueError(f"kind must be good or one of {', '.join(KINDS)}, got {kind!r}")
    number = ("good", *KINDS).index(kind)
    rng = np.random.default_rng([seed, number, index])
    size = TALL if tall else SIZE
    if lie is None:
        lie = drawn_lie(rng, lying, misplaced=kind == "misplaced", tall=tall)
    part = _Part.turned_out(rng, TALL_REACH if tall else REACH)
    if printed:
        part.print_signs()
    if kind in ("scratch", "stain", "dent", "hole", "cap"):
        part.damage(np.random.default_rng([seed, number, index, 1]), kind, index % 6)
    part.finish()
    image, cover, changed = part.photograph(rng, lie, size, upright=tall)
    mask = None if kind == "good" else (cover > 0.5 if kind == "misplaced" else changed > 0.3)
    return Sample(image, mask, lie, kind)


def _smooth(
    rng: np.random.Generator, shape: tuple[int, int], across: float, along: float | None = None
) -> Floats:
    """Return noise of unit variance with features of so many samples."""
    rows, columns = int(shape[0] / across) + 3, int(shape[1] / (along or across)) + 3
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    fine = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine / fine.std(), np.float32)


def _step(distance: Floats, width: float = 1.0) -> Floats:
    """Return 1 inside (positive distances) and 0 outside, smooth over ``width`` pixels."""
    return np.clip(distance / width + 0.5, 0, 1).astype(np.float32)


class _Part:
    """Relief, color and outline of one part, in its own coordinates."""

    def __init__(self, reach: float) -> None:
        self.reach = reach
        half_width, half_height = reach + max(RADII) + 8, max(RADII) + 8
        self.shape = (round(2 * half_height * _PER_PIXEL), round(2 * half_width * _PER_PIXEL))
        self.x = ((np.arange(self.shape[1]) + 0.5) / _PER_PIXEL - half_width).astype(np.float32)[None, :]
        self.y = ((np.arange(self.shape[0]) + 0.5) / _PER_PIXEL - half_height).astype(np.float32)[:, None]
        self.origin = (half_width, half_height)
        self.cap = (0.2 * reach, 0.0)
        self.holes = [(-reach, 0.0, 19.0), (reach, 0.0, 11.0)]
        self.changed = np.zeros(self.shape, np.float32)
        self.opening = np.zeros(self.shape, np.float32)
        self.relief = np.zeros(self.shape, np.float32)
        self.color = np.zeros((*self.shape, 3), np.float32)
        t = np.clip((self.x + reach) / (2 * reach), 0, 1)
        along = self.x - np.clip(self.x, -reach, reach)
        # The distance to the outline, positive inside.
        self.inside: Floats = RADII[0] + (RADII[1] - RADII[0]) * t - np.hypot(along, self.y)

    @classmethod
    def turned_out(cls, rng: np.random.Generator, reach: float) -> _Part:
        """Make a good part with its own grain and tint."""
        part = cls(reach)
        part.relief = (
            0.10 * _smooth(rng, part.shape, 1.6, 60)
            + 0.05 * _smooth(rng, part.shape, 3.0)
            + 0.5 * _smooth(rng, part.shape, 140)
        )
        # A pocket with rounded corners, and the number stamped beside it.
        pocket = 12 - np.hypot(
            np.clip(np.abs(part.x + 0.35 * reach) - 0.16 * reach, 0, None),
            np.clip(np.abs(part.y) - 8, 0, None),
        )
        part.relief -= 4.0 * cv2.GaussianBlur(_step(pocket, 2.0), (0, 0), 1.5)
        text = np.zeros(part.shape, np.uint8)
        at = (round((0.38 * reach + part.origin[0]) * _PER_PIXEL), round((9 + part.origin[1]) * _PER_PIXEL))
        cv2.putText(text, "B7-40", at, cv2.FONT_HERSHEY_SIMPLEX, 0.62, 255, 2, cv2.LINE_AA)
        part.relief -= 1.1 * cv2.GaussianBlur(text.astype(np.float32) / 255, (0, 0), 0.8)
        tone = 0.50 * (1 + 0.03 * rng.standard_normal() + 0.03 * _smooth(rng, part.shape, 70))
        part.color = tone[..., None] * np.array((1.0, 0.98, 0.95), np.float32)
        part.color = part.color.astype(np.float32)
        return part

    def print_signs(self) -> None:
        """Print the signs that all parts have in common."""
        rng, ink = np.random.default_rng(7), np.zeros(self.shape, np.uint8)
        for _ in range(150):
            x, y = (int(side * rng.uniform(0.06, 0.94)) for side in self.shape[::-1])
            if rng.random() < 0.5:
                sign = chr(int(rng.integers(48, 91)))
                cv2.putText(ink, sign, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 2, cv2.LINE_AA)
            else:
                away = rng.integers(4, 16, 2)
                cv2.rectangle(ink, (x, y), (x + int(away[0]), y + int(away[1])), 255, -1, cv2.LINE_AA)
        self.color *= 1 - 0.75 * (ink.astype(np.float32) / 255)[..., None]

    def damage(self, rng: np.random.Generator, kind: str, level: int) -> None:
        """Add a defect, the smaller the larger the level, from 0 to 5."""
        strength = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42)[level]
        x, y = rng.uniform(-0.75, 0.8) * self.reach, rng.uniform(-14, 14)
        away = np.hypot(self.x - x, self.y - y)
        if kind == "scratch":
            line = np.zeros(self.shape, np.uint8)
            angle, length = rng.uniform(0.5, 2.6), 44 * strength
            step = length / 2 * np.array((np.cos(angle), np.sin(angle)))
            ends = [(np.array((x, y)) + k * step + self.origin) * _PER_PIXEL * 8 for k in (-1, 1)]
            first, last = (tuple(int(v) for v in end) for end in ends)
            cv2.line(line, first, last, 255, 3, cv2.LINE_AA, 3)
            groove = cv2.GaussianBlur(line.astype(np.float32) / 255, (0, 0), 1.0)
            self.relief -= 2.6 * strength * groove
            self.changed = np.maximum(self.changed, (groove > 0.2).astype(np.float32))
        elif kind == "stain":
            edge = 15 * strength * (1 + 0.25 * _smooth(rng, self.shape, 12 * _PER_PIXEL))
            cover = _step(edge - away, 4.0)
            self.color *= 1 - (0.55 * strength * cover)[..., None] * np.array((0.45, 0.75, 1.0), np.float32)
            self.changed = np.maximum(self.changed, cover)
        elif kind == "dent":
            size = 15 * strength
            hollow = np.clip(1 - (away / size) ** 2, 0, None) ** 2
            self.relief -= (5.0 * strength * hollow).astype(np.float32)
            self.changed = np.maximum(self.changed, (away < 0.9 * size).astype(np.float32))
        elif kind == "hole":
            which = int(level % 2)
            hx, hy, radius = self.holes[which]
            near = (np.hypot(self.x - hx, self.y - hy) < radius).astype(np.float32)
            if level < 2:
                del self.holes[which]  # not drilled
            else:
                smaller = radius * (0.55 + 0.05 * level)
                self.holes[which] = (hx, hy, smaller)
                near *= (np.hypot(self.x - hx, self.y - hy) > smaller - 1).astype(np.float32)
            self.changed = np.maximum(self.changed, near)
        else:  # the cap sits beside its place, or is not there
            before = np.hypot(self.x - self.cap[0], self.y - self.cap[1]) < 12
            angle = rng.uniform(0, 2 * np.pi)
            off = 14 * strength
            moved = (self.cap[0] + off * float(np.cos(angle)), self.cap[1] + off * float(np.sin(angle)))
            self.cap = moved if level else (1e6, 0.0)
            after = np.hypot(self.x - self.cap[0], self.y - self.cap[1]) < 12
            self.changed = np.maximum(self.changed, (before ^ after).astype(np.float32))

    def finish(self) -> None:
        """Round the edges, drill the holes and press the cap in."""
        rim = self.inside
        for hx, hy, radius in self.holes:
            gap = np.hypot(self.x - hx, self.y - hy) - radius
            self.opening = np.maximum(self.opening, _step(-gap.astype(np.float32)))
            rim = np.minimum(rim, gap)
        self.relief -= np.clip(3.0 - rim, 0, 6).astype(np.float32) * 0.9
        near = 12 - np.hypot(self.x - self.cap[0], self.y - self.cap[1])
        cap = _step(near, 1.5)
        self.relief = self.relief * (1 - cap) + cap * np.clip(near, 0, 3).astype(np.float32) * 1.2
        brass = np.array((0.62, 0.50, 0.24), np.float32)
        self.color = self.color * (1 - cap[..., None]) + cap[..., None] * brass

    def photograph(
        self, rng: np.random.Generator, lie: Lie, size: tuple[int, int], *, upright: bool
    ) -> tuple[Bytes, Floats, Floats]:
        """Return the image, and the coverage of the part and of its defect in image pixels."""
        matrix = lie.to_part(size, upright)
        # From centers of image pixels, whole numbers to OpenCV, to samples of the part's drawing.
        own = matrix.copy()
        own[:, 2] += matrix[:, :2] @ (0.5, 0.5) + self.origin
        own *= _PER_PIXEL
        own[:, 2] -= 0.5

        def placed(values: Floats, border: float = 0.0) -> Floats:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            soft = cv2.GaussianBlur(values.astype(np.float32), (0, 0), 0.5 * _PER_PIXEL)
            out = cv2.warpAffine(
                soft, own, size[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=[border] * 4
            )
            return np.asarray(out, np.float32)

        cover = placed(_step(self.inside.astype(np.float32)) * (1 - self.opening))
        solid = placed(_step(self.inside.astype(np.float32)))
        gy, gx = np.gradient(placed(self.relief, -5.4) * lie.scale)
        normal = 1 / np.sqrt(1 + gx**2 + gy**2)
        light = _LIGHT * np.float32(1 + 0.03 * rng.standard_normal())
        diffuse = np.clip((-gx * light[0] - gy * light[1] + light[2]) * normal, 0, None)
        shine = np.clip(diffuse, 0, 1) ** 12
        color = placed(self.color)
        metal = color * (0.25 + 0.85 * diffuse)[..., None] + 0.35 * shine[..., None]
        weave = 1 + 0.10 * _smooth(rng, size, 2.2) + 0.07 * _smooth(rng, size, 50)
        move = np.array([[1, 0, 5.0], [0, 1, 6.5]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(solid, move, size[::-1]), (0, 0), 4.0)
        belt = (0.13 * weave * (1 - 0.6 * shadow))[..., None] * np.array((0.9, 1.0, 1.05), np.float32)
        scene = belt + cover[..., None] * (metal - belt)
        scene *= 0.95 * np.exp(0.03 * rng.standard_normal())
        scene += 0.009 * rng.standard_normal(scene.shape)
        shown = np.clip(scene, 0, 1) ** (1 / 1.8)
        return np.rint(shown * 255).astype(np.uint8), cover, placed(self.changed) * np.maximum(cover, solid)


# ----------------------------------------------------------------------------------------- the set
def plan(good: int, tested: int, per_kind: int) -> Iterator[tuple[str, str, int]]:
    """Yield (split, kind, index) of every image of a set, in order; of each kind the largest defect first."""
    yield from (("train", "good", index) for index in range(good))
    yield from (("test", "good", index) for index in range(good, good + tested))
    for kind in KINDS:
        yield from (("test", kind, index) for index in range(per_kind))


def main() -> None:
    """Write a data set in the layout of MVTec AD, replacing an existing one, and the poses in poses.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write bracket/ into")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the parts")
    parser.add_argument(
        "--pose", choices=get_args(Lying), default="any", help="how differently the parts lie"
    )
    parser.add_argument(
        "--tall", action="store_true", help="long upright parts in images of 256 x 640 pixels"
    )
    parser.add_argument("--printed", action="store_true", help="a pattern of signs on every part")
    parser.add_argument("--good", type=int, default=48, help="good parts to fit on")
    parser.add_argument("--tested", type=int, default=20, help="good parts to test")
    parser.add_argument("--per-kind", type=int, default=6, help="parts with each kind of defect")
    args = parser.parse_args()
    folder = args.out / "bracket"
    for sub in ("train", "test", "ground_truth"):
        shutil.rmtree(folder / sub, ignore_errors=True)
    poses = ["file,dx,dy,turn,scale"]
    for split, kind, index in plan(args.good, args.tested, args.per_kind):
        made = make(index, kind=kind, lying=args.pose, tall=args.tall, printed=args.printed, seed=args.seed)
        path = folder / split / kind / f"{index:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made.image).save(path, "JPEG", quality=92)
        if made.mask is not None:
            mask = folder / "ground_truth" / kind / f"{index:03d}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(made.mask.astype(np.uint8) * 255).save(mask, optimize=True)
        lie = made.lie
        name = path.relative_to(folder).as_posix()
        poses.append(f"{name},{lie.dx:.3f},{lie.dy:.3f},{lie.turn:.3f},{lie.scale:.5f}")
        print(f"\r{name:<32}", end="", flush=True)
    (folder / "poses.csv").write_text("\n".join(poses) + "\n", encoding="utf-8")
    print(f"\r{len(poses) - 1} images in {folder}")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
