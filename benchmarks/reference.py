"""Check the implementation against the paper: PaDiM with ResNet-18 on MVTec AD's bottle.

    python benchmarks/reference.py --data FOLDER --weights FILE [--check] [--json]

The settings are the published ones: ResNet-18, layers 1 to 3, 100 of 448 channels, 256 px, a grid of 64 x 64,
all of train/good; an image's score is the maximum of its smoothed map. As the figures depend on the random
choice of channels, they are means over several draws. FOLDER is the category, or contains it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import mvtec, report
from benchmarks.draws import PixelHistograms
from padim.config import PadimConfig
from padim.decision.regions import region_score
from padim.errors import PadimError
from padim.model import Padim
from padim.network import weights
from padim.network.backbone import provenance

CATEGORY = "bottle"
# PUBLISHED are the figures of the paper's table for ResNet-18. TARGETS are what a correct implementation must
# reach, as channels, libraries and the resizing of images differ.
PUBLISHED = {"image_auroc": 0.994, "pixel_auroc": 0.983}
TARGETS = {"image_auroc": 0.990, "pixel_auroc": 0.978}
# Smallest region of the app's score, which is reported for comparison.
SMALLEST_REGION = 16


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    report.add_arguments(parser)
    report.add_data_argument(parser)
    parser.add_argument("--category", default=CATEGORY, help=f"another category than {CATEGORY}")
    parser.add_argument("--weights", type=Path, help="file or folder; default: where the app finds them")
    parser.add_argument("--backbone", default="resnet18", help="another network, at its default layers and d")
    parser.add_argument("--input-size", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=5, help="number of random choices of channels")
    args = parser.parse_args(arguments)
    try:
        weights.use(args.weights)
        # As in the paper, features are not normalized.
        choices = {"backbone": args.backbone, "input_size": args.input_size, "grid_stride": 4, "min_area": 1}
        config = PadimConfig.of({**choices, "feature_norm": "none"})
        origin = provenance(config.backbone, config.weights)
        (folder,) = mvtec.find(args.data, [] if (args.data / "train").is_dir() else [args.category])
    except (PadimError, ValueError) as error:
        parser.error(str(error))

    result = report.Report("reference")
    for name, bound in TARGETS.items():
        result.target(name, ">=", bound)
    report.run(parser, result, args)
    result.details |= {"config": config.model_dump(mode="json"), "backbone": origin}
    measure(mvtec.read(folder, config), config, args.seeds, result)
    return result.finish(args)


def measure(category: mvtec.Category, config: PadimConfig, seeds: int, result: report.Report) -> None:
    """Fit and score once for every choice of channels, and record the mean figures."""
    normals = category.named_arrays(category.rows(good=True, train=True))
    rows = [*category.rows(good=True, train=False), *category.rows(good=False)]
    faulty = [not category.images[row].good for row in rows]
    print(f"{category.name}: {len(normals)} good images, {len(rows)} to score\n", flush=True)
    table, draws = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        pixels = PixelHistograms()
        highest, regions = [], []
        with tempfile.TemporaryDirectory() as work:
            model = Padim(config.model_copy(update={"seed": seed}), work_dir=work).fit(normals)
            for row, scored in zip(rows, model.predict(category.named_arrays(rows)), strict=True):
                image = category.images[row]
                highest.append(scored.score_level)
                regions.append(region_score(scored.levels, SMALLEST_REGION))
                if image.good or image.mask is not None:
                    pixels.add(scored.levels, image.mask)
        draw = {
            "image_auroc": float(roc_auc_score(faulty, highest)),
            "pixel_auroc": pixels.auroc(),
            "region_auroc": float(roc_auc_score(faulty, regions)),
        }
        draws.append(draw)
        print(f"draw {seed + 1} of {seeds} done", flush=True)
        table.append(
            (seed, *(f"{value:.4f}" for value in draw.values()), f"{time.perf_counter() - start:.0f}")
        )
    means = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    result.values |= means
    result.details["draws"] = draws
    published = (f"{PUBLISHED[name]:.3f}" if name in PUBLISHED else "" for name in means)
    result.show(
        f"{config.backbone}, {', '.join(config.layers)}, d = {config.n_features}, {config.input_size} px, "
        f"stride {config.grid_stride}",
        ("draw", "image AUROC", "pixel AUROC", f"image, regions of {SMALLEST_REGION} px", "seconds"),
        [*table, ("mean", *(f"{value:.4f}" for value in means.values()), ""), ("published", *published, "")],
    )


if __name__ == "__main__":
    sys.exit(main())
