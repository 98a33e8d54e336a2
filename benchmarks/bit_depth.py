"""Measure what the range of 12-bit images in 16-bit files does to recall: read over 16 bits, and over 12.

Smooth parts are generated as a 12-bit camera records them, in 16-bit PNG files without metadata, as many
cameras write them. Models are fitted on them with ``bit_depth`` 16, which is how all 16-bit files were read
before there was a bit depth, and with 12; and one on the same images in 8 bits. Faint stains are on other
good parts. On parts with as much grain as the 16 levels are apart, little is lost: grain dithers.
"""

from __future__ import annotations

import argparse
import sys
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from padim import Padim, PadimConfig
from padim.data.bit_depth import BitDepthQuestion, settle
from padim.data.depth_survey import samples_in

NORMALS, TESTS, SIDE = 40, 12, 256
# Of the brightness, in the middle of a stain; its radius in pixels.
CONTRAST, RADIUS = 0.1, 9

Named = list[tuple[str, bytes]]
Gray = npt.NDArray[np.float32]


def smooth_part(index: int) -> Gray:
    """Return a smooth part with a bore and a ring, from 0 to 1: its own faint grain, its own light."""
    rng = np.random.default_rng([index, 3])
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE - 0.5
    radius = np.hypot(x, y)
    part = 0.5 + 0.2 * np.exp(-(((radius - 0.3) / 0.05) ** 2)) - 0.3 / (1 + np.exp((radius - 0.16) * 90))
    for share, seed, sigmas in ((0.012, np.random.default_rng(5), (6, 2)), (0.006, rng, (8, 8))):
        grain = seed.standard_normal((SIDE, SIDE)).astype(np.float32)
        grain = cv2.GaussianBlur(grain, (0, 0), sigmas[0], sigmaY=sigmas[1])
        part += share * grain / grain.std()
    light = rng.normal(1, 0.02, (4, 4)).astype(np.float32)
    part *= cv2.resize(light, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(part, 0, 1).astype(np.float32)


def twelve_bits(gray: Gray, seed: int) -> npt.NDArray[np.uint16]:
    """Return an image as a 12-bit camera records it, with the noise of its last bits."""
    noise = np.random.default_rng(seed).normal(scale=4, size=gray.shape)
    return np.clip(np.rint(gray * 4095 + noise), 0, 4095).astype(np.uint16)


def stained(gray: Gray, seed: int) -> Gray:
    """Darken a soft spot somewhere on the part."""
    rng = np.random.default_rng([seed, 1])
    y, x = np.mgrid[:SIDE, :SIDE]
    # Where there is light: a share of black is no stain.
    bright = np.argwhere(cv2.blur(gray, (25, 25))[40:-40, 40:-40] > np.median(gray) * 0.8) + 40
    row, column = bright[rng.integers(len(bright))]
    spot = np.exp(-(((y - row) ** 2 + (x - column) ** 2) / (2 * (RADIUS / 1.5) ** 2)))
    return (gray * (1 - CONTRAST * spot)).astype(np.float32)


def png(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def rejected(model: Padim, files: Named) -> int:
    return sum(one.rejected for one in model.predict(files))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    report.add_arguments(parser)
    parser.add_argument("--config", type=Path, help="a configuration file; default: the standard one")
    args = parser.parse_args(argv)
    result = report.Report("bit_depth")
    result.target("caught_12", ">=", 11)
    result.target("caught_16", "<=", 1)
    result.target("caught_8_less", "<=", 1)
    result.target("asked", ">=", 1)
    report.run(parser, result, args)

    parts = [smooth_part(index) for index in range(NORMALS + TESTS)]
    deep = [twelve_bits(part, seed) for seed, part in enumerate(parts)]
    spoiled = [twelve_bits(stained(part, seed), seed) for seed, part in enumerate(parts[NORMALS:], NORMALS)]
    config = PadimConfig() if args.config is None else PadimConfig.load(args.config)

    rows: list[tuple[object, ...]] = []
    caught = {}
    for name, depth, shift in (("16 bits, as before", 16, 0), ("12 bits", 12, 0), ("8-bit files", None, 4)):

        def files(pixels: list[npt.NDArray[np.uint16]], shift: int = shift) -> Named:
            return [
                (f"{i:03d}.png", png((one >> shift).astype(np.uint8) if shift else one))
                for i, one in enumerate(pixels)
            ]

        model = Padim(config.model_copy(update={"bit_depth": depth})).fit(files(deep[:NORMALS]))
        caught[name] = rejected(model, files(spoiled))
        good = rejected(model, files(deep[NORMALS:]))
        rows.append((name, f"{caught[name]} of {TESTS}", f"{good} of {TESTS}", f"{model.threshold_:.4g}"))
    result.show(
        f"{NORMALS} good parts, stains of {CONTRAST:.0%}",
        ("read as", "stains caught", "good parts rejected", "threshold"),
        rows,
    )
    question = settle(samples_in([(f"{i}.png", png(one)) for i, one in enumerate(deep[:NORMALS])]))
    asked = isinstance(question, BitDepthQuestion) and question.proposed == 12
    before, now, eight = caught.values()
    result.values = {
        "caught_16": float(before),
        "caught_12": float(now),
        "caught_8_less": float(max(0, eight - now)),
        "asked": float(asked),
    }
    return result.finish(args)


if __name__ == "__main__":
    report.utf8_output()
    sys.exit(main())
