#!/usr/bin/env python3
"""Generate the sample data set: computed images of a turned metal flange, good and defective, with masks.

No image was photographed or downloaded. All are computed from a physical model, so that they can be
distributed freely, reproduced on any machine, and come with exact masks of the defects.

Steps of one image:

1.  The part's *relief* (height in pixels) is computed: bore, hub, face, chamfers, turning marks of a lathe.
2.  Holes are drilled and a part number is dot-peened into it.
3.  A defect alters the relief, tint, roughness or diffuse albedo; nothing is painted on the image.
4.  The metal is shaded by what it reflects: a map of the surroundings (light panels, ceiling, the dark lens)
    is sampled by surface slope, spread along the radius, as turned metal scatters light across its grooves.
5.  The belt below gets soft shadows of the same lights; walls of holes are found by tracing camera rays.
6.  Lens and sensor are simulated: defocus, glare, vignetting, lateral colour, Bayer mosaic, shot noise and
    read noise.

The mask is the set of pixels in which the altered surface differs from the same surface without the defect.

Lengths are in pixels of the final image; the origin is its centre, x right, y down, z towards the camera.
"""

from __future__ import annotations

import argparse
import io
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Rng = np.random.Generator

PART = "flange"
SEED = 2024
SIZE = 512  # image width and height
SUPER = 2  # samples per pixel in each direction
GRID = SIZE * SUPER
JPEG_QUALITY = 90

KINDS = ("scratch", "dent", "chip", "stain", "hole")
N_TRAIN, N_GOOD, N_PER_KIND = 48, 20, 6

# --------------------------------------------------------------------------- dimensions of the part
R_BORE, R_HUB, R_FOOT, R_RIM = 45.0, 80.0, 94.5, 190.0
THICK = 30.0  # from the flange face down to the belt
N_BOLTS, R_PITCH, R_BOLT, BOLT_CHAMFER = 6, 132.0, 14.5, 2.6
R_PIN, PIN_RADIUS, PIN_ANGLE = 112.0, 5.0, 0.0  # the small locating hole, which makes the part asymmetric
CAMERA = 1000.0  # height of the lens above the face: determines how much of a hole's wall is visible
MIRROR = 720.0  # the same for reflections; smaller, as the lights are near, too

# Corners of the turned profile, (radius, height). A real tool rounds each of them: see `profile`.
PROFILE = (
    (0.0, 4.0),
    (R_BORE, 4.0),
    (R_BORE + 3.6, 7.6),
    (R_HUB, 7.6),
    (R_HUB + 2.5, 5.9),
    (R_HUB + 5.0, 3.2),
    (R_HUB + 8.0, 1.3),
    (R_HUB + 12.0, 0.25),
    (R_FOOT, 0.0),
    (170.6, 0.0),
    (171.6, -1.1),
    (173.6, -1.1),
    (174.6, 0.0),
    (R_RIM - 7.5, 0.0),
    (R_RIM, -4.3),
    (260.0, -4.5),
)

PART_NUMBER = "FL6-204"
GLYPHS = {  # 5 x 7 dots, as of a dot-peen marker
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    "2": "01110 10001 00001 00010 00100 01000 11111",
    "0": "01110 10001 10001 10001 10001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
}


# ---------------------------------------------------------------------------------------- helpers
def smoothstep(low: float, high: float, x: NDArray[np.floating]) -> Array:
    """Return a smooth step: 0 below `low`, 1 above `high`, with a continuous derivative."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def blur(x: Array, sigma: float) -> Array:
    """Apply a Gaussian blur, with `sigma` in pixels of the final image."""
    return np.asarray(
        cv2.GaussianBlur(x, (0, 0), sigma * SUPER, borderType=cv2.BORDER_REFLECT), dtype=np.float32
    )


def smooth(values: NDArray[np.floating], sigma: float) -> NDArray[np.float64]:
    """Smooth a one-dimensional array by a Gaussian, with `sigma` in array elements."""
    reach = int(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def noise(rng: Rng, scale: float, size: int = GRID) -> Array:
    """Return smooth noise of unit variance with features of about `scale` pixels of the final image."""
    cells = max(4, int(np.ceil(size / (scale * SUPER))) + 3)
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine / max(float(fine.std()), 1e-6), dtype=np.float32)


def fibrous(rng: Rng, shape: tuple[int, int], along: float, across: float) -> Array:
    """Return noise of unit variance, elongated along the rows: features of `along` x `across` samples."""
    rows, cols = shape
    coarse = rng.standard_normal((int(rows / across) + 3, int(cols / along) + 3)).astype(np.float32)
    fine = cv2.resize(coarse, (cols, rows), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine / fine.std(), dtype=np.float32)


def octaves(rng: Rng, scale: float, levels: int = 3) -> Array:
    """Return fractal noise: each level has half the scale and 0.55 times the strength of the one before."""
    total = np.zeros((GRID, GRID), np.float32)
    for level in range(levels):
        total += 0.55**level * noise(rng, scale / 2**level)
    return total


# ------------------------------------------------------------------------------------------ lights
@dataclass(frozen=True)
class Light:
    """A light panel in the mirror map: position, half size, rotation in radians, brightness and colour.

    The map's coordinate is the surface slope that reflects a direction into the lens, tan(angle / 2), so that
    a reflection is one texture lookup. `reach` is the same direction as a tangent, for shadows.
    """

    x: float
    y: float
    half: tuple[float, float]
    turn: float
    power: float
    color: tuple[float, float, float]

    @property
    def reach(self) -> tuple[float, float]:
        k = 2.0 / (1.0 - self.x**2 - self.y**2)
        return k * self.x, k * self.y

    @property
    def direction(self) -> tuple[float, float, float]:
        m2 = self.x**2 + self.y**2
        return 2 * self.x / (1 + m2), 2 * self.y / (1 + m2), (1 - m2) / (1 + m2)

    @property
    def strength(self) -> float:
        """Radiance times solid angle over pi: the radiance of a white matt surface that faces the panel."""
        area = 4.0 * self.half[0] * self.half[1]
        return self.power * area * 4.0 / (1.0 + self.x**2 + self.y**2) ** 2 / np.pi

    def spots(self, n: int = 5) -> list[Light]:
        """Return the panel as `n` x 2 small lights, for soft shadows."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        out = []
        for a in np.linspace(-0.8, 0.8, n):
            for b in (-0.5, 0.5):
                dx, dy = a * self.half[0], b * self.half[1]
                out.append(replace(self, x=self.x + c * dx - s * dy, y=self.y + s * dx + c * dy))
        return out


STATION = (
    Light(-0.33, -0.37, (0.17, 0.095), -0.82, 15.0, (1.00, 0.965, 0.90)),  # the key panel, upper left
    Light(0.54, 0.06, (0.065, 0.23), 0.10, 6.5, (0.90, 0.96, 1.00)),  # a cooler bar on the right
    Light(-0.10, 0.66, (0.30, 0.045), 0.08, 2.6, (1.00, 0.97, 0.93)),  # a ceiling tube far below the image
)

MAP_SIZE, MAP_REACH = 384, 1.5  # the mirror map covers slopes of -1.5 .. 1.5


@dataclass(frozen=True)
class Scene:
    """The inspection station's variations from image to image, all within the normal range.

    Lights, exposure, white balance, and the part's shift (pixels), angle (radians) and scale.
    """

    lights: tuple[Light, ...]
    ambient: float
    exposure: float
    white: tuple[float, float, float]
    shift: tuple[float, float]
    angle: float
    scale: float
    sharp: Array = field(repr=False)  # mirror map for polished metal
    dull: Array = field(repr=False)  # mirror map for rough surfaces


def mirror_maps(lights: tuple[Light, ...], ambient: float) -> tuple[Array, Array]:
    """Compute the map of the surroundings by slope: nearly sharp, and blurred for rough surfaces."""
    axis = (np.arange(MAP_SIZE, dtype=np.float32) + 0.5) / MAP_SIZE * 2 * MAP_REACH - MAP_REACH
    x, y = np.meshgrid(axis, axis)
    m = np.hypot(x, y)
    sky = ambient * (0.75 + 0.55 * smoothstep(0.25, 0.95, m) - 0.22 * y + 0.05 * np.sin(7 * x + 3 * y))
    sky *= 1.0 - 0.62 * smoothstep(0.17, 0.07, m)  # the lens and its mount are reflected as a dark spot
    sky *= 1.0 - 0.80 * smoothstep(0.95, 1.15, m)  # below the horizon there is only the dark belt
    world = sky[..., None] * np.array((0.97, 1.0, 1.03), np.float32)
    for light in lights:
        c, s = np.cos(light.turn), np.sin(light.turn)
        u = np.abs(c * (x - light.x) + s * (y - light.y)) - light.half[0]
        v = np.abs(-s * (x - light.x) + c * (y - light.y)) - light.half[1]
        inside = smoothstep(0.02, -0.02, np.maximum(u, v))
        world += light.power * inside[..., None] * np.array(light.color, np.float32)
    step = 2 * MAP_REACH / MAP_SIZE
    sharp = cv2.GaussianBlur(world, (0, 0), 0.040 / step)
    dull = cv2.GaussianBlur(world, (0, 0), 0.200 / step)
    return np.asarray(sharp, dtype=np.float32), np.asarray(dull, dtype=np.float32)


def make_scene(rng: Rng) -> Scene:
    """Draw a random scene: lamps vary in brightness and position, and the part in its pose."""
    lights = tuple(
        replace(
            light,
            x=light.x + rng.normal(0, 0.008),
            y=light.y + rng.normal(0, 0.008),
            turn=light.turn + rng.normal(0, 0.015),
            power=light.power * float(np.exp(rng.normal(0, 0.025))),
        )
        for light in STATION
    )
    ambient = 0.30 * float(np.exp(rng.normal(0, 0.04)))
    sharp, dull = mirror_maps(lights, ambient)
    warm = rng.normal(0, 0.010)
    return Scene(
        lights=lights,
        ambient=ambient,
        exposure=0.66 * float(np.exp(rng.normal(0, 0.022))),
        white=(1.0 + warm, 1.0, 1.0 - warm + rng.normal(0, 0.004)),
        shift=(float(rng.uniform(-7, 7)), float(rng.uniform(-7, 7))),
        angle=float(np.deg2rad(rng.uniform(-1.5, 1.5))),
        scale=float(rng.uniform(0.995, 1.005)),
        sharp=sharp,
        dull=dull,
    )


# ------------------------------------------------------------------------------------- coordinates
@dataclass(frozen=True)
class Frame:
    """Coordinates of every sample in the image (u, v) and on the part (x, y; r, phi), and its radial axis."""

    u: Array
    v: Array
    x: Array
    y: Array
    r: Array
    phi: Array
    out_u: Array
    out_v: Array
    ray_x: Array  # (u, v) rotated to the part's axes: the displacement of a camera ray with depth
    ray_y: Array


def make_frame(scene: Scene) -> Frame:
    """Compute the part's coordinates of every image sample, so that the image need not be resampled."""
    axis = (np.arange(GRID) + 0.5) / SUPER - SIZE / 2
    u, v = np.meshgrid(axis, axis)
    c, s = np.cos(scene.angle) / scene.scale, np.sin(scene.angle) / scene.scale
    du, dv = u - scene.shift[0], v - scene.shift[1]
    x, y = c * du + s * dv, -s * du + c * dv
    far = np.maximum(np.hypot(du, dv), 1e-3)
    rays = c * u + s * v, -s * u + c * v
    planes = (u, v, x, y, np.hypot(x, y), np.arctan2(y, x), du / far, dv / far, *rays)
    return Frame(*(plane.astype(np.float32) for plane in planes))


# --------------------------------------------------------------------------------- making the part
@dataclass(frozen=True)
class Hole:
    """A through hole; `lobes` change its outline by (angle, width, pixels), negative ones are burrs."""

    x: float
    y: float
    radius: float
    chamfer: float
    lobes: tuple[tuple[float, float, float], ...] = ()
    plug: float | None = None  # depth of the plug that blocks it; None for an open hole

    def outline(self, angle: Array) -> Array:
        radius = np.full_like(angle, self.radius)
        for at, width, reach in self.lobes:
            away = np.angle(np.exp(1j * (angle - at))).astype(np.float32)
            radius = radius + np.float32(reach) * np.exp(-0.5 * (away / width) ** 2).astype(np.float32)
        return radius

    def inside(self, x: Array, y: Array) -> Array:
        """Return the distance of points inside the outline from it; negative for points outside."""
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        return np.asarray(self.outline(np.arctan2(dy, dx)) - np.hypot(dx, dy), dtype=np.float32)


def nominal_holes() -> list[Hole]:
    """Return the bore, the six bolt holes and the locating hole of a good part."""
    holes = [Hole(0.0, 0.0, R_BORE, 0.0)]
    for k in range(N_BOLTS):
        a = np.pi / N_BOLTS + k * 2 * np.pi / N_BOLTS
        holes.append(Hole(R_PITCH * float(np.cos(a)), R_PITCH * float(np.sin(a)), R_BOLT, BOLT_CHAMFER))
    x, y = R_PIN * float(np.cos(PIN_ANGLE)), R_PIN * float(np.sin(PIN_ANGLE))
    return [*holes, Hole(x, y, PIN_RADIUS, 1.2)]


@dataclass
class Surface:
    """The optical and geometric properties of a part's surface; defects change only these."""

    height: Array  # relief of the metal; holes are separate, so that slopes are finite at their edges
    tint: Array  # (.., 3) factor on reflections
    rough: Array  # 0 = turned finish, 1 = scatters equally in all directions
    matt: Array  # (.., 3) diffuse albedo of deposits on the metal
    holes: list[Hole]

    def copy(self) -> Surface:
        return Surface(
            self.height.copy(), self.tint.copy(), self.rough.copy(), self.matt.copy(), list(self.holes)
        )


def profile(r: Array) -> Array:
    """Return the height of the turned profile, with corners rounded by the tool, so that they catch light."""
    table = np.arange(0.0, 262.0, 0.05)
    corners = np.array(PROFILE)
    heights = np.interp(table, corners[:, 0], corners[:, 1])
    eased = smooth(heights, 0.75 / 0.05)
    return np.interp(r, table, eased).astype(np.float32)


def turning_marks(rng: Rng, frame: Frame) -> Array:
    """Compute the fine relief left by the lathe: feed grooves, random tears along the cut, and chatter."""
    radial, around = 1040, 2048  # samples: 4 per pixel along the radius, and around the circumference
    rr = np.arange(radial) / 4.0
    pitch = np.where(rr < R_FOOT, 2.1, 2.9) * rng.uniform(0.97, 1.03)
    wander = np.cumsum(rng.normal(0, 0.03, radial)) * 0.35
    feed = np.sin(2 * np.pi * (np.cumsum(0.25 / pitch) + wander)).astype(np.float32)
    depth = np.repeat(rng.lognormal(0.0, 0.45, radial // 8), 8).astype(np.float32)
    grooves = (0.011 * feed * smooth(depth, 6.0)).astype(np.float32)
    lines = rng.standard_normal(radial).astype(np.float32) * 0.012

    tears = np.zeros((radial, around), np.float32)
    for length, depth_of in ((40.0, 0.022), (210.0, 0.027)):
        drawn = fibrous(rng, (radial, around + 256), length, 1.5)
        fade = np.linspace(0, 1, 256, dtype=np.float32)  # joins the ends of the circle without a seam
        drawn[:, :256] = drawn[:, :256] * np.sqrt(fade) + drawn[:, -256:] * np.sqrt(1 - fade)
        tears += np.float32(depth_of) * drawn[:, :around]
    turn = np.arange(around) * 2 * np.pi / around
    chatter = np.ones(around)
    for waves, swing in ((1, 0.15), (2, 0.10), (5, 0.06), (11, 0.06)):
        chatter += swing * np.sin(waves * turn + rng.uniform(0, 2 * np.pi))
    polar = (((grooves + lines)[:, None] + tears) * chatter[None, :]).astype(np.float32)

    wrapped = np.concatenate([polar, polar[:, :1]], axis=1)
    turns = ((frame.phi + np.pi) / (2 * np.pi) * around).astype(np.float32)
    marks = cv2.remap(wrapped, turns, frame.r * 4.0, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(marks, dtype=np.float32)


def hairlines(rng: Rng, count: int) -> Array:
    """Draw faint handling marks of normal parts, which are much weaker than the `scratch` defect."""
    canvas = np.zeros((GRID, GRID), np.uint8)
    for _ in range(count):
        start = rng.uniform(0.1, 0.9, 2) * GRID
        heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.012)
        steps = int(rng.integers(6, 30))
        headings = heading + bend * np.arange(steps)
        points = start + np.cumsum(4.0 * np.stack([np.cos(headings), np.sin(headings)], 1), axis=0)
        line = (points * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [line], False, int(rng.integers(60, 200)), 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas.astype(np.float32) / 255.0, (0, 0), 0.7), dtype=np.float32)


def stamp_number(rng: Rng, surface: Surface, frame: Frame) -> None:
    """Dot-peen the part number along the rim: each dot is a small crater with a raised lip."""
    pitch, radius = 2.05, 160.5
    width = len(PART_NUMBER) * 6 * pitch
    middle = np.pi / 2 + rng.normal(0, 0.004)
    for n, letter in enumerate(PART_NUMBER):
        for row, bits in enumerate(GLYPHS[letter].split()):
            for col, bit in enumerate(bits):
                if bit == "0":
                    continue
                along = (n * 6 + col) * pitch - width / 2 + rng.normal(0, 0.12)
                a = middle - along / radius
                rho = radius + (row - 3) * pitch + rng.normal(0, 0.12)
                window = around_point(frame, rho * np.cos(a), rho * np.sin(a), 4.0)
                d2 = (frame.x[window] - rho * np.cos(a)) ** 2 + (frame.y[window] - rho * np.sin(a)) ** 2
                pit = np.exp(-d2 / 0.9) - 0.35 * np.exp(-d2 / 3.2)
                surface.height[window] -= (rng.uniform(0.55, 0.85) * pit).astype(np.float32)


def around_point(frame: Frame, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Return the window of samples within `reach` of a point on the part."""
    # The pose is close to identity and can be inverted from the frame's values at one corner.
    c, s = float(frame.x[0, 1] - frame.x[0, 0]), float(frame.x[1, 0] - frame.x[0, 0])
    dx, dy = x - float(frame.x[0, 0]), y - float(frame.y[0, 0])
    norm = c * c + s * s
    col, row = (c * dx - s * dy) / norm, (s * dx + c * dy) / norm
    k = reach * SUPER + 2

    def span(at: float) -> slice:
        return slice(int(np.clip(at - k, 0, GRID)), int(np.clip(at + k, 0, GRID)))

    return span(row), span(col)


def turn_part(rng: Rng, frame: Frame) -> Surface:
    """Create an undrilled part with its individual turning marks, hairlines, smudges and dust."""
    height = profile(frame.r) + turning_marks(rng, frame)
    height -= 0.05 * hairlines(rng, int(rng.integers(8, 20)))
    height += 0.10 * noise(rng, 120.0)  # no face is perfectly flat
    smudge = octaves(rng, 70.0)
    tint = np.ones((GRID, GRID, 3), np.float32) * (1.0 + 0.022 * smudge)[..., None]
    tint *= 1.0 + 0.008 * noise(rng, 90.0)[..., None] * np.array((1.0, 0.1, -1.0), np.float32)
    rough = np.clip(0.10 + 0.035 * octaves(rng, 45.0), 0.02, 0.3)
    surface = Surface(height, tint, rough.astype(np.float32), np.zeros((GRID, GRID, 3), np.float32), [])
    stamp_number(rng, surface, frame)
    sprinkle_dust(rng, surface, frame)
    return surface


def sprinkle_dust(rng: Rng, surface: Surface, frame: Frame) -> None:
    """Add specks of about a pixel; as they are matt, they are pale on dark metal and dark on bright metal."""
    for _ in range(int(rng.integers(10, 28))):
        a, rho = rng.uniform(0, 2 * np.pi), rng.uniform(R_BORE, R_RIM)
        x, y, size = rho * np.cos(a), rho * np.sin(a), rng.uniform(0.35, 0.8)
        window = around_point(frame, x, y, 4.0)
        spot = np.exp(-((frame.x[window] - x) ** 2 + (frame.y[window] - y) ** 2) / size**2)
        spot = (spot * rng.uniform(0.3, 0.8)).astype(np.float32)
        surface.tint[window] *= 1.0 - spot[..., None]
        surface.matt[window] += 0.30 * spot[..., None]


def drill(surface: Surface, frame: Frame, holes: list[Hole]) -> Surface:
    """Return a copy of a surface with holes: their countersinks in the relief, and the list of holes."""
    part = surface.copy()
    part.holes = holes
    for hole in holes:
        if hole.chamfer <= 0:
            continue
        window = around_point(frame, hole.x, hole.y, hole.radius + hole.chamfer + 8)
        gap = -hole.inside(frame.x[window], frame.y[window])
        sink = 0.62 * (hole.chamfer - gap)
        eased = 0.5 * (sink + np.sqrt(sink**2 + 0.2)) - 0.03  # a rounded edge, as left by the tool
        part.height[window] -= np.clip(np.minimum(eased, hole.chamfer + 1.0), 0.0, None).astype(np.float32)
        if hole.plug is not None:
            inner = smoothstep(-0.4, 0.8, -gap)
            part.height[window] -= inner * np.float32(hole.plug)
    return part


# ----------------------------------------------------------------------------------------- defects
Defect = Callable[[Rng, int, Surface, Frame], Surface]


def clear_spot(rng: Rng, margin: float, low: float = R_FOOT + 4, high: float = 168.0) -> tuple[float, float]:
    """Return a random point on the flange's face, `margin` away from all holes and off the part number."""
    holes = nominal_holes()[1:]
    while True:
        a, rho = rng.uniform(0, 2 * np.pi), rng.uniform(low + margin * 0.6, high - margin * 0.3)
        x, y = float(rho * np.cos(a)), float(rho * np.sin(a))
        numbered = abs(a - np.pi / 2) < 0.40 and rho > 140
        if not numbered and all(np.hypot(x - h.x, y - h.y) > h.radius + margin for h in holes):
            return x, y


def blob(
    rng: Rng, frame: Frame, at: tuple[float, float], size: float, ragged: float, squeeze: float = 1.0
) -> Array:
    """Return the distance from a point in units of `size`, distorted by noise to give irregular outlines."""
    a = rng.uniform(0, np.pi)
    dx, dy = frame.x - np.float32(at[0]), frame.y - np.float32(at[1])
    p, q = np.cos(a) * dx + np.sin(a) * dy, (-np.sin(a) * dx + np.cos(a) * dy) * squeeze
    warp = ragged * (0.6 * noise(rng, size * 0.8) + 0.4 * noise(rng, max(2.0, size * 0.3)))
    return np.asarray(np.hypot(p, q) / size + warp, dtype=np.float32)


def scratch(rng: Rng, level: int, blank: Surface, frame: Frame) -> Surface:
    """Add a scratch: a groove with a raised lip on both sides and varying pressure along its path."""
    length, width, depth, strokes = (
        (150.0, 1.5, 1.25, 2),
        (105.0, 1.35, 1.00, 1),
        (70.0, 1.2, 0.85, 1),
        (44.0, 1.1, 0.70, 1),
        (26.0, 1.0, 0.58, 1),
        (15.0, 0.95, 0.50, 1),
    )[level]
    part = drill(blank, frame, nominal_holes())
    x, y = clear_spot(rng, 9.0)
    # across the turning marks, among which a parallel scratch would not be visible
    heading = np.arctan2(y, x) + rng.choice([-1, 1]) * rng.uniform(0.3, 1.0)
    for stroke in range(strokes):
        reach = length * (0.6 if stroke else 1.0)
        n = int(reach / 0.5)
        t = np.linspace(0, 1, n)
        wobble = np.cumsum(rng.normal(0, 0.05, 8))
        headings = heading + rng.normal(0, 0.15) * t + np.interp(t, np.linspace(0, 1, 8), wobble)
        path = np.cumsum(0.5 * np.stack([np.cos(headings), np.sin(headings)], 1), axis=0)
        path += np.array([x, y]) - path[n // 2] + stroke * np.array([-np.sin(heading), np.cos(heading)]) * 6.5
        press = 0.8 + 0.2 * np.sin(9 * t + rng.uniform(0, 6))
        press *= np.clip(np.minimum(t, 1 - t) * 5, 0, 1) ** 0.7  # pressure falls off at both ends
        cut = np.zeros_like(part.height)
        nearest = np.full_like(part.height, 1e6)
        for (px, py), force in zip(path, press, strict=True):
            window = around_point(frame, px, py, 6.0)
            d2 = (frame.x[window] - np.float32(px)) ** 2 + (frame.y[window] - np.float32(py)) ** 2
            closer = d2 < nearest[window]
            g = width * (0.7 + 0.3 * force)
            lips = np.exp(-3 * ((np.sqrt(d2) - 1.5 * g) / g) ** 2)
            groove = depth * force * (np.exp(-1.6 * d2 / g**2) - 0.30 * lips)
            cut[window] = np.where(closer, groove.astype(np.float32), cut[window])
            nearest[window] = np.minimum(d2, nearest[window])
        part.height -= blur(cut, 0.2)
        bare = smoothstep(0.1, 0.6, np.abs(cut) / np.float32(depth))
        part.rough = np.maximum(part.rough, 0.18 * bare)
    return part


def dent(rng: Rng, level: int, blank: Surface, frame: Frame) -> Surface:
    """Add a dent: a smooth hollow with a low raised rim, through which the turning marks continue."""
    size, depth = ((24.0, 7.0), (19.0, 5.0), (16.0, 3.6), (13.0, 2.4), (10.0, 1.5), (7.5, 0.9))[level]
    part = drill(blank, frame, nominal_holes())
    d = blob(rng, frame, clear_spot(rng, size * 0.75), size, 0.08, rng.uniform(1.0, 1.4))
    d = np.maximum(d, 0.0)
    hollow = np.where(d < 1.0, (1.0 - d**2) ** 2, 0.0) - 0.10 * np.exp(-(((d - 1.08) / 0.16) ** 2))
    part.height -= np.float32(depth) * blur(hollow.astype(np.float32), 0.5)
    pressed = smoothstep(0.55, 0.2, d)
    part.rough += 0.12 * pressed * (1.0 - part.rough)
    return part


def chip(rng: Rng, level: int, blank: Surface, frame: Frame) -> Surface:
    """Break a piece out of an edge, leaving a grainy fracture face; the largest goes through the part."""
    where, size, depth = (
        ("rim", 27.0, 46.0),
        ("bolt", 15.0, 16.0),
        ("rim", 18.0, 22.0),
        ("rim", 12.0, 13.0),
        ("bolt", 8.0, 7.0),
        ("rim", 7.0, 9.0),
    )[level]
    part = drill(blank, frame, nominal_holes())
    if where == "rim":
        a = rng.uniform(0, 2 * np.pi)
        x, y = float((R_RIM + 1) * np.cos(a)), float((R_RIM + 1) * np.sin(a))
    else:
        hole = part.holes[int(rng.integers(1, N_BOLTS + 1))]
        a = rng.uniform(0, 2 * np.pi)
        x, y = float(hole.x + hole.radius * np.cos(a)), float(hole.y + hole.radius * np.sin(a))
    d = np.maximum(blob(rng, frame, (x, y), size, 0.13, rng.uniform(0.9, 1.4)), 0.0)
    grain = 0.9 * noise(rng, 5.0) + 0.5 * noise(rng, 2.4) + 0.25 * noise(rng, 1.2)
    face = -np.float32(depth) * np.clip(1.0 - d, 0, None) ** 0.75 + min(1.0, size / 14) * grain * (d < 1.0)
    broken = (d < 1.0) & (face < part.height)
    part.height = np.where(broken, face, part.height).astype(np.float32)
    soft = blur(broken.astype(np.float32), 0.3)
    part.rough = np.maximum(part.rough, soft)
    fresh = (0.80 + 0.10 * noise(rng, 3.0)).astype(np.float32)
    part.tint *= 1.0 + soft[..., None] * (fresh[..., None] * np.array((0.98, 0.98, 1.0), np.float32) - 1.0)
    part.matt += 0.10 * soft[..., None]
    return part


def stain(rng: Rng, level: int, blank: Surface, frame: Frame) -> Surface:
    """Add a stain: rust (matt, grainy, orange-brown) or dried oil (a brown film, densest at its rim)."""
    sort, size, strength = (
        ("rust", 27.0, 0.95),
        ("oil", 33.0, 0.85),
        ("rust", 16.0, 0.75),
        ("oil", 20.0, 0.50),
        ("rust", 9.0, 0.62),
        ("oil", 12.0, 0.34),
    )[level]
    part = drill(blank, frame, nominal_holes())
    at = clear_spot(rng, size * 0.5)
    if sort == "rust":
        d = blob(rng, frame, at, size, 0.26, rng.uniform(1.0, 1.5))
        pitted = np.clip(0.92 + 0.22 * octaves(rng, 5.0), 0, 1.15)
        cover = np.clip(smoothstep(1.08, 0.40, d) * pitted * strength, 0, 1).astype(np.float32)
        hue = np.array((0.29, 0.120, 0.045), np.float32) * (1.0 + 0.16 * octaves(rng, 7.0))[..., None]
        halo = (0.35 * strength * smoothstep(1.35, 0.8, d))[..., None]  # slight tarnish around it
        part.tint *= np.exp(-halo * np.array((0.2, 0.42, 0.75), np.float32))
        part.tint *= 1.0 - 0.93 * cover[..., None]
        part.matt += cover[..., None] * hue
        part.rough = np.maximum(part.rough, cover)
        part.height += 0.14 * cover * noise(rng, 2.2)
        return part
    d = blob(rng, frame, at, size, 0.16, rng.uniform(1.0, 1.6))
    film = smoothstep(1.03, 0.92, d) * (
        0.62 + 0.55 * np.exp(-(((d - 0.93) / 0.07) ** 2)) + 0.12 * noise(rng, 9.0)
    )
    film = np.clip(film * strength, 0, 1.3).astype(np.float32)
    absorb = np.array((0.55, 0.82, 1.35), np.float32)  # brown: blue is absorbed most
    part.tint *= np.exp(-absorb * film[..., None])
    part.rough = part.rough * (1.0 - 0.6 * np.minimum(film, 1.0))
    return part


def hole(rng: Rng, level: int, blank: Surface, frame: Frame) -> Surface:
    """Make one bolt hole faulty: missing, blocked, out of place, undersized, or with burrs at its edge."""
    holes = nominal_holes()
    k = int(rng.integers(1, N_BOLTS + 1))
    bolt = holes[k]
    a = float(rng.uniform(0, 2 * np.pi))
    plugged = False
    if level == 0:
        del holes[k]
    elif level == 1:
        holes[k] = replace(bolt, plug=3.5)
        plugged = True
    elif level == 2:
        holes[k] = replace(bolt, x=bolt.x + 8.0 * float(np.cos(a)), y=bolt.y + 8.0 * float(np.sin(a)))
    elif level == 3:
        holes[k] = replace(bolt, radius=bolt.radius - 4.0)
    elif level == 4:
        lobes = tuple((a + float(rng.normal(0, 0.5)), 0.16, -float(rng.uniform(2.5, 4.5))) for _ in range(4))
        holes[k] = replace(bolt, lobes=lobes)
    else:
        holes[k] = replace(bolt, lobes=((a, 0.20, -3.2), (a + 0.45, 0.14, -1.9)))
    part = drill(blank, frame, holes)
    if plugged:
        window = around_point(frame, bolt.x, bolt.y, bolt.radius + 2)
        inside = smoothstep(-0.2, 0.8, bolt.inside(frame.x[window], frame.y[window]))
        lumps = (1.1 * noise(rng, 6.0) + 0.5 * noise(rng, 2.5))[window]
        part.height[window] += inside * lumps
        part.rough[window] = np.maximum(part.rough[window], 0.9 * inside)
        part.tint[window] *= 1.0 - 0.45 * inside[..., None]
    if level >= 4:
        lip = np.zeros_like(part.height)
        for at, width, reach in holes[k].lobes:
            rho = bolt.radius + reach * 0.5 + 0.6
            dx, dy = frame.x - np.float32(bolt.x), frame.y - np.float32(bolt.y)
            away = np.angle(np.exp(1j * (np.arctan2(dy, dx) - at)))
            hump = np.exp(-0.5 * (away / width) ** 2 - 0.5 * ((np.hypot(dx, dy) - rho) / 1.6) ** 2)
            lip = np.maximum(lip, (-reach * 0.9 * hump).astype(np.float32))
        part.height += lip
        part.rough = np.maximum(part.rough, 0.4 * smoothstep(0.2, 1.0, lip))
    return part


DEFECTS: dict[str, Defect] = {"scratch": scratch, "dent": dent, "chip": chip, "stain": stain, "hole": hole}


# ----------------------------------------------------------------------------------------- shading
def look_up(world: Array, p: Array, q: Array) -> Array:
    """Return the radiance that facets of slope (p, q) reflect into the lens."""
    k = MAP_SIZE / (2 * MAP_REACH)
    at_x = (p + MAP_REACH) * np.float32(k) - np.float32(0.5)
    at_y = (q + MAP_REACH) * np.float32(k) - np.float32(0.5)
    return np.asarray(
        cv2.remap(world, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )


def occlusion(height: Array) -> Array:
    """Return the visible share of the sky, 0.25..1, which is smaller for points below their surroundings."""
    shade = np.ones_like(height)
    for sigma, weight in ((1.5, 0.10), (5.0, 0.055), (14.0, 0.03)):
        shade -= weight * np.clip(blur(height, sigma) - height, 0, 6)
    return np.clip(shade, 0.25, 1.0)


def shade_metal(part: Surface, frame: Frame, scene: Scene) -> Array:
    """Compute the metal's reflections of the station, blurred along the radius by the turning marks."""
    dy, dx = np.gradient(part.height, 1.0 / SUPER)
    p = (-dx + frame.u / (2 * MIRROR)).astype(np.float32)
    q = (-dy + frame.v / (2 * MIRROR)).astype(np.float32)
    turned = np.where(frame.r < R_FOOT, 0.12, 0.19).astype(np.float32)
    turned *= 1.0 - 0.55 * smoothstep(
        0.25, 0.7, np.hypot(dx, dy).astype(np.float32)
    )  # chamfers have a finer finish
    total = np.zeros((GRID, GRID, 3), np.float32)
    offsets = np.linspace(-2.4, 2.4, 13)
    weights = np.exp(-0.5 * offsets**2)
    for t, w in zip(offsets, weights / weights.sum(), strict=True):
        reach = np.float32(t) * turned
        total += np.float32(w) * look_up(scene.sharp, p + reach * frame.out_u, q + reach * frame.out_v)
    rough = np.clip(part.rough, 0.0, 1.0)[..., None]
    total += rough * (look_up(scene.dull, p, q) - total)

    # Schlick's approximation of the Fresnel factor for aluminium, by the facet's tilt
    tilt = 1.0 / np.sqrt(1.0 + p**2 + q**2)
    fresnel = np.array((0.79, 0.80, 0.815), np.float32) + 0.18 * ((1.0 - tilt) ** 5)[..., None]
    light = np.zeros_like(total)
    for lamp in scene.lights:
        lx, ly, lz = lamp.direction
        cosine = np.clip((p * lx + q * ly + lz) * tilt, 0, None)
        light += (lamp.strength * cosine)[..., None] * np.array(lamp.color, np.float32)
    light += 0.8 * scene.ambient
    return np.asarray(
        (total * fresnel * part.tint + light * part.matt) * occlusion(part.height)[..., None], np.float32
    )


def belt_albedo(rng: Rng) -> Array:
    """Compute the albedo of a worn dark conveyor belt: weave, streaks along its travel, dust and fibres."""
    axis = (np.arange(GRID, dtype=np.float32) + 0.5) / SUPER
    x, y = np.meshgrid(axis, axis)
    a = rng.normal(0.0, 0.01)
    fx, fy = rng.uniform(0, 100, 2)
    u = (np.cos(a) * x + np.sin(a) * y + fx + 0.5 * noise(rng, 40)).astype(np.float32)
    v = (-np.sin(a) * x + np.cos(a) * y + fy + 0.5 * noise(rng, 40)).astype(np.float32)
    pitch = 8.0
    weave = np.sin(2 * np.pi * (u + v) / pitch) * np.sin(2 * np.pi * (u - v) / pitch)
    streaks = fibrous(rng, (GRID, GRID), 220.0, 5.0)
    albedo = 0.066 * (
        1.0 + 0.20 * weave + 0.16 * noise(rng, 1.6) + 0.07 * noise(rng, 5) + 0.06 * octaves(rng, 110)
    )
    albedo *= 1.0 + 0.055 * streaks
    specks = rng.random((GRID, GRID)).astype(np.float32)
    dust = blur((specks > 0.99955).astype(np.float32), 0.55) * 4.5
    albedo += np.clip(dust * np.clip(0.6 + 0.5 * noise(rng, 60), 0, 1.5), 0, 0.3) * 0.30
    fibres = np.zeros((GRID, GRID), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, 18))
        points = rng.uniform(0, GRID, 2) + np.cumsum(
            2.6 * np.stack([np.cos(heading), np.sin(heading)], 1), axis=0
        )
        cv2.polylines(
            fibres, [(points * 16).astype(np.int32).reshape(-1, 1, 2)], False, 255, 1, cv2.LINE_AA, 4
        )
    albedo += blur(fibres.astype(np.float32) / 255.0, 0.4) * 0.10
    return np.asarray(
        np.clip(albedo, 0.015, 0.5)[..., None] * np.array((0.84, 0.98, 1.0), np.float32), np.float32
    )


def shade_belt(rng: Rng, frame: Frame, scene: Scene) -> Array:
    """Compute the belt around the part, with soft shadows of each panel and a dark line at the contact."""
    # shadows are smooth, so that half the resolution is enough
    u, v = (
        frame.u[::SUPER, ::SUPER] - np.float32(scene.shift[0]),
        frame.v[::SUPER, ::SUPER] - np.float32(scene.shift[1]),
    )
    light = np.zeros((*u.shape, 3), np.float32)
    for lamp in scene.lights:
        clear = np.zeros_like(u)
        spots = lamp.spots()
        for spot in spots:
            # The ray from the belt to this light is below the rim along a segment, and it is blocked if that
            # segment is nearer to the axis than the rim.
            sx, sy = (np.float32(k * (THICK - 4)) for k in spot.reach)
            along = np.clip(-(u * sx + v * sy) / (sx * sx + sy * sy), 0.0, 1.0)
            miss = np.hypot(u + along * sx, v + along * sy) - np.float32(R_RIM * scene.scale)
            clear += smoothstep(-1.5, 3.5, miss) / len(spots)
        light += (lamp.strength * lamp.direction[2] * clear)[..., None] * np.array(lamp.color, np.float32)
    light = cv2.resize(light, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    gap = np.clip(frame.r - R_RIM, 0, None)
    open_sky = 1.0 - 0.60 * np.exp(-gap / 16.0) - 0.30 * np.exp(-gap / 3.0)
    light += (0.55 * scene.ambient * open_sky)[..., None]
    slope = 0.05 * noise(rng, 3.0)
    sheen = look_up(scene.dull, frame.u / (2 * MIRROR) + slope, frame.v / (2 * MIRROR) + slope[::-1])
    belt = belt_albedo(rng) * light + 0.018 * sheen * open_sky[..., None]
    return np.asarray(belt, dtype=np.float32)


def see_down(part: Surface, frame: Frame, scene: Scene, below: Array, deep: Array) -> tuple[Array, Array]:
    """Trace camera rays into each hole, onto its wall or the belt at its bottom.

    Returns:
        The radiance below the surface, and the coverage, 0..1, of the holes' openings.
    """
    below = below.copy()
    gone = np.zeros((GRID, GRID), np.float32)
    for hole in part.holes:
        window = around_point(frame, hole.x, hole.y, hole.radius + 8)
        x, y = frame.x[window], frame.y[window]
        opening = hole.inside(x, y)
        if hole.plug is not None:
            continue
        gone[window] = np.maximum(gone[window], smoothstep(-0.25, 0.25, opening))
        ray_x, ray_y = frame.ray_x[window] / np.float32(CAMERA), frame.ray_y[window] / np.float32(CAMERA)
        depth = np.full(
            x.shape, THICK, np.float32
        )  # depth at which the ray meets the wall; THICK: it reaches the belt
        for z in np.linspace(THICK, 0.0, 41, dtype=np.float32):
            beyond = hole.inside(x + z * ray_x, y + z * ray_y) < 0
            depth = np.where(beyond, z, depth)
        hx, hy = x + depth * ray_x - hole.x, y + depth * ray_y - hole.y
        rho = np.maximum(np.hypot(hx, hy), 1e-3)
        nx, ny = -hx / rho, -hy / rho
        sky = np.float32(scene.ambient) / (1.0 + (depth / hole.radius) ** 2)
        wall = (0.30 * sky)[..., None] * np.ones(3, np.float32)
        open_sky = 0.62 * scene.ambient * hole.radius**2 / (hole.radius**2 + THICK**2)
        floor = np.full((*x.shape, 3), open_sky, np.float32)
        for lamp in scene.lights:
            tx, ty = lamp.reach
            tan = float(np.hypot(tx, ty))
            facing = np.clip((nx * tx + ny * ty) / tan, 0, 1)
            lit = smoothstep(2.0, -2.0, depth - 2 * hole.radius * facing / np.float32(tan))
            color = np.array(lamp.color, np.float32)
            wall += (0.75 * lamp.strength * facing * lit)[..., None] * color
            # the belt is lit where the lamp is visible through the hole's opening
            mouth = hole.radius - np.hypot(hx + tx * THICK, hy + ty * THICK)
            lit = smoothstep(-6.0, 6.0, mouth.astype(np.float32))
            floor += (lamp.strength * lamp.direction[2] * lit)[..., None] * color
        corner = 1.0 - 0.45 * np.exp(-np.clip(hole.radius - rho, 0, None) / 4.0)
        bottom = deep[window] * floor * corner[..., None]
        on_wall = smoothstep(THICK, THICK - 1.5, depth)[..., None]
        inner = np.where(on_wall > 0, on_wall * wall + (1 - on_wall) * bottom, bottom)
        mask = (opening > -1.5)[..., None]
        below[window] = np.where(mask, inner, below[window])
    return below, gone


def through(part: Surface, frame: Frame) -> Array:
    """Return the part's coverage seen from above: 0 outside its rim, and where it is broken through."""
    rim = smoothstep(0.3, -0.3, frame.r - R_RIM)
    return np.asarray(rim * smoothstep(-THICK - 0.8, -THICK + 0.8, part.height), dtype=np.float32)


def shoot(rng: Rng, radiance: Array, scene: Scene, frame: Frame) -> Bytes:
    """Simulate the camera, its lens and its sensor, and return the image.

    Glare, lateral colour, vignetting, Bayer mosaic, noise, binning and tone curve, in this order.
    """
    light = cv2.GaussianBlur(radiance, (0, 0), 0.42 * SUPER)
    small = cv2.resize(light, (SIZE // 4, SIZE // 4), interpolation=cv2.INTER_AREA)
    halo = cv2.GaussianBlur(small, (0, 0), 2.2) * 0.65 + cv2.GaussianBlur(small, (0, 0), 16) * 0.35
    light = 0.945 * light + 0.055 * cv2.resize(halo, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    axis = np.arange(GRID, dtype=np.float32)
    cx, cy = np.meshgrid(axis, axis)
    middle = (GRID - 1) / 2
    planes = []
    for channel, zoom in enumerate((1.0011, 1.0, 0.9991)):  # magnifications of red, green and blue
        k = np.float32(1 / zoom)
        at_x, at_y = (cx - middle) * k + middle, (cy - middle) * k + middle
        plane = np.ascontiguousarray(light[..., channel])
        planes.append(cv2.remap(plane, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    light = np.stack(planes, axis=-1)
    off = np.hypot(frame.u + 6, frame.v - 4) / (SIZE / 2)
    light = light * (1.0 - 0.13 * off**2)[..., None]
    light = light * np.float32(scene.exposure) * np.array(scene.white, np.float32)

    # the sensor is less sensitive to red and blue; corrected after the mosaic
    gains = np.array((1.55, 1.0, 1.45), np.float32)
    color = light / gains
    mosaic = color[..., 1].copy()
    mosaic[0::2, 0::2] = color[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = color[1::2, 1::2, 2]
    wells = 2600.0  # electrons at full scale
    sigma = np.sqrt(np.clip(mosaic, 0, None) / wells + (4.0 / wells) ** 2)
    mosaic = mosaic + sigma * rng.standard_normal(mosaic.shape, dtype=np.float32)
    raw = np.clip(np.round(mosaic * 4095 + 64), 0, 4095 + 64).astype(np.uint16)
    rgb = cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB)
    rgb = cv2.resize(rgb, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    rgb = np.clip((rgb - 64) / 4095 * gains, 0, 1)  # all channels clip at the same white
    rgb = (1.0 - np.exp(-1.6 * rgb)) / (1.0 - np.exp(-1.6))  # highlights are compressed, not clipped
    rgb = np.where(rgb < 0.0031308, 12.92 * rgb, 1.055 * np.maximum(rgb, 1e-6) ** (1 / 2.4) - 0.055)
    rgb += 0.35 * (rgb - cv2.GaussianBlur(rgb, (0, 0), 1.0))  # mild sharpening in the camera
    return np.asarray(np.clip(np.round(rgb * 255), 0, 255), dtype=np.uint8)


def render(rng: Rng, part: Surface, frame: Frame, scene: Scene) -> Bytes:
    """Render the final image of a part on the belt."""
    belt = shade_belt(rng, frame, scene)
    deep = belt_albedo(rng)
    defocus = 0.9  # the lens is focused on the flange's face, and the belt is below it
    below, gone = see_down(part, frame, scene, belt, deep)
    below = np.asarray(cv2.GaussianBlur(below, (0, 0), defocus * SUPER), dtype=np.float32)
    cover = (through(part, frame) * (1.0 - gone))[..., None]
    return shoot(rng, below + cover * (shade_metal(part, frame, scene) - below), scene, frame)


def altered(before: Surface, after: Surface, frame: Frame) -> Bytes:
    """Return the mask of the pixels of which a third or more differs from the good part.

    Differences are those of shape, colour and finish.
    """

    def depth(part: Surface) -> Array:
        deep = np.where(through(part, frame) > 0.5, part.height, -THICK)
        for hole in part.holes:
            if hole.plug is None:
                deep = np.where(hole.inside(frame.x, frame.y) > 0, np.float32(-THICK), deep)
        return np.asarray(deep, dtype=np.float32)

    old, new = depth(before), depth(after)
    change = np.abs(after.tint - before.tint).mean(axis=-1) > 0.07
    change |= np.abs(after.matt - before.matt).max(axis=-1) > 0.015
    change |= np.abs(after.rough - before.rough) > 0.12
    change &= np.maximum(old, new) > -THICK  # finish and colour matter only where there is metal
    change |= np.abs(new - old) > 0.06
    change &= (frame.r < R_RIM + 0.5) & ~(frame.r < R_BORE - 1)
    share = cv2.resize(change.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    mask = (share > 0.34).astype(np.uint8) * 255
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    return np.asarray(mask, dtype=np.uint8)


# ----------------------------------------------------------------------------------------- the set
@dataclass(frozen=True)
class Entry:
    """One image of the data set, with its path and that of its mask."""

    split: str  # "train" or "test"
    kind: str  # "good" or one of KINDS
    index: int

    @property
    def image(self) -> str:
        return f"{self.split}/{self.kind}/{self.index:03d}.jpg"

    @property
    def mask(self) -> str | None:
        return None if self.kind == "good" else f"ground_truth/{self.kind}/{self.index:03d}_mask.png"


def entries() -> Iterator[Entry]:
    """Yield all images of the data set, in order; defects of each kind get smaller from 000 to 005."""
    yield from (Entry("train", "good", i) for i in range(N_TRAIN))
    yield from (Entry("test", "good", i) for i in range(N_GOOD))
    yield from (Entry("test", kind, i) for kind in KINDS for i in range(N_PER_KIND))


def make(entry: Entry, seed: int = SEED, damage: bool = True) -> tuple[Bytes, Bytes | None]:
    """Generate the image (RGB) and the mask of one entry.

    Each entry has its own seed and can be generated separately. Without `damage`, a defective entry gives the
    same part and image without the defect.
    """
    group = ("train", "test").index(entry.split), ("good", *KINDS).index(entry.kind)
    rng = np.random.default_rng([seed, *group, entry.index])
    scene = make_scene(rng)
    frame = make_frame(scene)
    blank = turn_part(rng, frame)
    sound = drill(blank, frame, nominal_holes())
    if entry.kind == "good" or not damage:
        return render(rng, sound, frame, scene), None
    # a separate generator, so that the defect does not change the belt and the noise drawn after it
    faulty = DEFECTS[entry.kind](
        np.random.default_rng([seed, *group, entry.index, 1]), entry.index, blank, frame
    )
    return render(rng, faulty, frame, scene), altered(sound, faulty, frame)


def encode(image: Bytes) -> bytes:
    """Encode an image as a JPEG file, with the settings of the committed files."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()


def write(entry: Entry, folder: Path, seed: int = SEED) -> None:
    """Generate one entry and write it in the folder layout of MVTec AD."""
    image, mask = make(entry, seed)
    path = folder / entry.image
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(image))
    if mask is not None and entry.mask is not None:
        path = folder / entry.mask
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path, optimize=True)


def main() -> None:
    """Write the whole data set, replacing an existing one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write into"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the parts and scenes")
    args = parser.parse_args()
    folder = args.out / PART
    for sub in ("train", "test", "ground_truth"):
        shutil.rmtree(folder / sub, ignore_errors=True)
    started, plan = time.perf_counter(), list(entries())
    for n, entry in enumerate(plan, 1):
        write(entry, folder, args.seed)
        print(f"\r{n}/{len(plan)} {entry.image:<28}", end="", flush=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"\r{len(plan)} images in {folder}, {size / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
