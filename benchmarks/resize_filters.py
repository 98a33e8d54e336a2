"""Count the verdicts that change when a line PC resizes photographs with another filter than the fit's.

    python benchmarks/resize_filters.py [--check] [--json] [--quick]

The program resizes with Pillow's BILINEAR, which is antialiased: it averages over all pixels that become one.
OpenCV's default, INTER_LINEAR, is not: of a photograph of 12 megapixels it reads four pixels in some
hundred, so that grain and fine texture become patterns that the model was not fitted on. The images are
generated: brushed plates with grain, half of the scored ones with a defect, some of them faint.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from padim import Padim, PadimConfig

RGB = npt.NDArray[np.uint8]
Resize = Callable[[RGB, int], RGB]

WIDTH, HEIGHT = 4000, 3000
NORMALS, GOOD, BAD = 40, 12, 12


def _pillow(rgb: RGB, size: int) -> RGB:
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR))


def _opencv(flag: int) -> Resize:
    def resize(rgb: RGB, size: int) -> RGB:
        return np.asarray(cv2.resize(rgb, (size, size), interpolation=flag), np.uint8)

    return resize


def triangle_weights(length: int, size: int) -> npt.NDArray[np.float64]:
    """Return the weights of Pillow's BILINEAR along one axis: ``(size, length)``, each row's sum is 1.

    Whoever resizes without Pillow can compute the same: output pixel i is the mean of the input pixels
    around its centre, weighted by a triangle as wide as two output pixels (two input pixels, to enlarge).
    """
    scale = length / size
    distance = np.arange(length) + 0.5 - (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(distance) / max(scale, 1))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _by_weights(rgb: RGB, size: int) -> RGB:
    height, width = rgb.shape[:2]
    across = np.tensordot(rgb.astype(np.float32), triangle_weights(width, size).astype(np.float32), (1, 1))
    # Of images that are no taller than wide, Pillow resizes along the width first, and rounds in between.
    across = np.clip(np.rint(across), 0, 255)
    down = np.tensordot(triangle_weights(height, size).astype(np.float32), across, (1, 0))
    return np.clip(np.rint(down), 0, 255).astype(np.uint8).transpose(0, 2, 1)


REFERENCE = "Pillow BILINEAR"
FILTERS: dict[str, Resize] = {
    REFERENCE: _pillow,
    "Its weights, in NumPy": _by_weights,
    "OpenCV INTER_AREA": _opencv(cv2.INTER_AREA),
    "OpenCV INTER_LINEAR": _opencv(cv2.INTER_LINEAR),
    "OpenCV INTER_CUBIC": _opencv(cv2.INTER_CUBIC),
    "OpenCV INTER_NEAREST": _opencv(cv2.INTER_NEAREST),
}


@lru_cache(maxsize=1)
def _shape(width: int, height: int) -> npt.NDArray[np.float32]:
    """Return the plate's brightness without texture, with a bore: float32 ``(height, width)``, 0..255."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.hypot(x - width / 2, y - height / 2) / height
    return np.asarray(150 - 90 / (1 + np.exp(np.clip((radius - 0.2) * 150, -50, 50))), np.float32)


@lru_cache(maxsize=1)
def _brushed(width: int, height: int) -> npt.NDArray[np.float32]:
    """Return the texture of a brushed surface as a lens shows it, rolled for each part."""
    rough = np.random.default_rng(3).standard_normal((height, width), dtype=np.float32)
    texture = cv2.GaussianBlur(cv2.blur(rough, (61, 1)), (0, 0), 1.2)
    return np.asarray(8 * texture / texture.std(), np.float32)


@lru_cache(maxsize=1)
def _grain(width: int, height: int) -> npt.NDArray[np.float32]:
    """Return the grain of a camera, rolled for each image: new grain would take longer than the fit."""
    return 6 * np.random.default_rng(4).standard_normal((height, width, 3), dtype=np.float32)


def photograph(index: int, width: int, height: int, *, defect: bool = False) -> RGB:
    """Return image number ``index``: uint8 ``(height, width, 3)``, the same for the same arguments."""
    rng = np.random.default_rng([index, defect])

    def rolled(field: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.roll(field, rng.integers(0, (height, width)), (0, 1))

    light = rng.normal(1, 0.04, (4, 4)).astype(np.float32)
    gray = _shape(width, height) + rng.uniform(0.8, 1.2) * rolled(_brushed(width, height))
    # A part never lies exactly where the last one lay.
    move = np.array([[1, 0, rng.normal(0, height / 300)], [0, 1, rng.normal(0, height / 300)]])
    gray = cv2.warpAffine(gray, move, (width, height), borderMode=cv2.BORDER_REFLECT)
    gray *= cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)
    if defect:
        scale = height / 256
        middle = rng.uniform(0.2, 0.8, 2) * (width, height)
        end = middle + rng.uniform(-30, 30, 2) * scale
        mark = np.zeros((height, width), np.float32)
        points = [tuple(map(round, point.tolist())) for point in (middle, end)]
        cv2.line(mark, points[0], points[1], 1.0, max(1, round(2 * scale)), cv2.LINE_AA)
        gray -= rng.uniform(8, 35) * mark
    return np.clip(gray[..., None] + rolled(_grain(width, height)), 0, 255).astype(np.uint8)


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="fewer, smaller images: not the real check")
    args = parser.parse_args(arguments)
    result = report.Report("resize_filters")
    result.target("good_rejected_inter_area", "<=", 0)
    result.target("flips_weights", "<=", 0)
    # It is here to show the fault; a pass would mean that the images no longer do.
    result.target("good_rejected_inter_linear", ">=", 2)
    report.run(parser, result, args)

    width, height = (1600, 1200) if args.quick else (WIDTH, HEIGHT)
    normals, good, bad = (24, 4, 4) if args.quick else (NORMALS, GOOD, BAD)
    config = PadimConfig()
    size, _ = config.input_shape
    model = Padim(config)
    model.fit([_pillow(photograph(index, width, height), size) for index in range(normals)])
    inputs: dict[str, list[RGB]] = {name: [] for name in FILTERS}
    for index in range(normals, normals + good + bad):
        rgb = photograph(index, width, height, defect=index >= normals + good)
        for name, resize in FILTERS.items():
            inputs[name].append(resize(rgb, size))
    verdicts = {name: [p.rejected for p in model.predict(images)] for name, images in inputs.items()}
    scores = {name: np.array([p.score for p in model.predict(images)]) for name, images in inputs.items()}
    rows = []
    for name in FILTERS:
        flips = sum(a != b for a, b in zip(verdicts[name], verdicts[REFERENCE], strict=True))
        change = float(np.median(scores[name] / scores[REFERENCE]))
        rejected = [sum(verdicts[name][:good]), sum(verdicts[name][good:])]
        rows.append((name, flips, f"{rejected[0]} of {good}", f"{rejected[1]} of {bad}", f"{change:.2f}"))
        short = name.split()[1].lower().strip(",")
        result.values |= {f"flips_{short}": flips, f"good_rejected_{short}": rejected[0]}
    result.details["scores"] = {name: values.tolist() for name, values in scores.items()}
    result.show(
        f"{good + bad} images of {width} x {height}, resized to {size} x {size}",
        ("filter", "verdicts changed", "good rejected", "defects rejected", "score, times the reference's"),
        rows,
    )
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
