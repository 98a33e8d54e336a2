"""Measure rectangles against squares on long parts: image AUROC and recall at the honest threshold.

Rails of 400 x 1200 pixels are generated, with teeth along one edge, bores and grain of their own; defects are
fine scratches, chips and missing teeth. The same images are given to models whose input is 256 x 256,
stretched or padded, and to one with the input size that a fit chooses by itself. With ``--data`` also a
folder of images: ``train/good``, ``test/good`` and ``test/<kind>``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from padim import Padim, PadimConfig
from padim.data.decode import decode
from padim.data.sources import FolderSource
from padim.input_size import as_text

RGB = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 1200, 400
NORMALS, GOOD, BAD = 40, 40, 60
PITCH = 24
"""Distance of the rail's teeth in pixels: squeezed to a third, they are two map pixels wide."""

INPUTS = {
    "square, stretched": {"input_size": 256, "fit": "stretch"},
    "square, padded": {"input_size": 256, "fit": "pad"},
    "near the parts' shape": {},
}


def rail(index: int, *, defect: bool = False) -> RGB:
    """Return a rail, uint8 ``(1200, 400, 3)``, the same for the same arguments."""
    rng = np.random.default_rng([index, 11])
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    # The parts' own place and light: a pixel or two, a few percent.
    dy, dx = rng.normal(0, 1.2, 2)
    y, x = y - dy, x - dx
    lost = rng.integers(4, HEIGHT // PITCH - 4) if defect and index % 3 == 0 else -1
    tooth = (np.mod(y, PITCH) < PITCH / 2) & (np.floor(y / PITCH) != lost)
    body = (x > 80) & (x < 300) | tooth & (x >= 300) & (x < 330)
    gray = np.where(body, 150.0, 45.0).astype(np.float32)
    for row in (150, 600, 1050):
        gray[np.hypot(y - row, x - 190) < 45] = 60
    brushed = cv2.GaussianBlur(
        np.random.default_rng(3).standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.0, sigmaY=14
    )
    gray += np.where(body, 14 * brushed / brushed.std(), 0)
    own = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 5)
    gray = (gray + 4 * own / own.std()) * np.float32(rng.normal(1, 0.03))
    if defect and index % 3:
        row, column = int(rng.integers(60, HEIGHT - 60)), int(rng.integers(110, 270))
        if index % 3 == 1:  # a scratch, mostly across
            angle, half = rng.uniform(-0.5, 0.5), rng.uniform(12, 28)
            ends = [
                (int(column + s * half * np.cos(angle)), int(row + s * half * np.sin(angle))) for s in (-1, 1)
            ]
            cv2.line(gray, ends[0], ends[1], float(rng.choice([95.0, 205.0])), 3, cv2.LINE_AA)
        else:
            cv2.circle(gray, (column, row), int(rng.integers(5, 9)), 100.0, -1, cv2.LINE_AA)
    gray = cv2.GaussianBlur(gray, (0, 0), 1.0) + rng.normal(0, 2.5, gray.shape)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def auroc(good: npt.NDArray[np.float64], bad: npt.NDArray[np.float64]) -> float:
    """Return the share of pairs in which the defect scores higher; half of those that score the same."""
    return float((bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean())


def measured(
    config: PadimConfig, normals: Sequence[RGB], good: Sequence[RGB], bad: Sequence[RGB]
) -> tuple[Padim, float, float, float]:
    """Return a fitted model, its image AUROC, recall and share of good parts rejected."""
    model = Padim(config).fit(list(normals))
    scored = [list(model.predict(list(images))) for images in (good, bad)]
    scores = [np.array([one.score for one in some]) for some in scored]
    rejected = [float(np.mean([one.rejected for one in some])) for some in scored]
    return model, auroc(scores[0], scores[1]), rejected[1], rejected[0]


def folder(path: Path) -> tuple[list[RGB], list[RGB], list[RGB]]:
    """Read the images to fit on, the good ones and the defects of a folder."""

    def images(place: Path) -> list[RGB]:
        return [decode(data, name) for name, data in FolderSource(place)]

    kinds = [one for one in sorted((path / "test").iterdir()) if one.is_dir() and one.name != "good"]
    bad = [image for kind in kinds for image in images(kind)]
    return images(path / "train" / "good"), images(path / "test" / "good"), bad


def compare(
    result: report.Report, name: str, title: str, config: PadimConfig, images: tuple[list[RGB], ...]
) -> None:
    """Fit and score with every input, print the table and record the values."""
    given = {key: getattr(config, key) for key in config.model_fields_set - {"input_size", "fit"}}
    rows: list[tuple[object, ...]] = []
    found = {}
    for label, inputs in INPUTS.items():
        model, *figures = measured(PadimConfig.of({**given, **inputs}), *images)
        found[label] = figures
        numbers = (f"{figures[0]:.3f}", f"{figures[1]:.0%}", f"{figures[2]:.0%}")
        rows.append((label, as_text(model.config.input_size), model.config.positions, *numbers))
    result.show(title, ("input", "size", "positions", "image AUROC", "defects caught", "good rejected"), rows)
    stretched, padded, own = found.values()
    result.values |= {
        f"{name}.auroc": own[0],
        f"{name}.auroc_gain": own[0] - stretched[0],
        f"{name}.recall": own[1],
        f"{name}.recall_gain": own[1] - stretched[1],
        f"{name}.recall_gain_over_pad": own[1] - padded[1],
        f"{name}.good_rejected": own[2],
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    report.add_arguments(parser)
    parser.add_argument("--data", type=Path, help="also a folder with train/good, test/good and test/KIND")
    parser.add_argument("--config", type=Path, help="a configuration file; default: the standard one")
    parser.add_argument("--quick", action="store_true", help="fewer images")
    args = parser.parse_args(argv)
    result = report.Report("rectangles")
    result.target("rails.auroc_gain", ">=", 0.0)
    result.target("rails.recall_gain", ">=", 0.0)
    result.target("rails.good_rejected", "<=", 0.15)
    report.run(parser, result, args)

    config = PadimConfig() if args.config is None else PadimConfig.load(args.config)
    normals, good, bad = (12, 8, 9) if args.quick else (NORMALS, GOOD, BAD)
    rails = (
        [rail(i) for i in range(normals)],
        [rail(1000 + i) for i in range(good)],
        [rail(2000 + i, defect=True) for i in range(bad)],
    )
    title = (
        f"Rails of {WIDTH} x {HEIGHT}: {normals} good parts to fit on, {good} good and {bad} with a defect"
    )
    compare(result, "rails", title, config, rails)
    if args.data is not None:
        compare(result, args.data.resolve().name, f"{args.data.resolve().name}", config, folder(args.data))
    return result.finish(args)


if __name__ == "__main__":
    report.utf8_output()
    sys.exit(main())
