"""What the engine computes, as JSON: the browser's modules must come to the same numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from padim import text
from padim.analysis.resolution import Resolution
from padim.data.preprocess import Box
from padim.decision.anomaly_map import MAX_LEVEL, Quantizer
from padim.decision.back_projection import mask_on_original
from padim.decision.calibration import false_reject_rate, image_threshold, parts_needed, rank, upper_bound
from padim.decision.guard_band import Guard, band_levels, verdict_limits, verdict_of
from padim.decision.joint import JointScale, Statistic, scale_of
from padim.decision.part_scores import PartScores
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, mask_and_regions, region_scores
from padim.decision.verdicts import count_verdicts, verdict_rates
from padim.locating.placement import Placement
from padim.locating.settings import STATISTICS
from padim.output.render import COLORMAPS, CONTOUR_COLOR, color_table, scale_table
from ui.files.media import Numbers

_SHAPES = ((24, 24), (40, 12), (9, 50))
_AREAS = 12


def values() -> dict[str, Any]:
    """Everything that is compared."""
    random = np.random.default_rng(14)
    return {
        "quantizers": [
            _quantizer(offset, step) for offset, step in ((0.0, 1.0), (0.25, 0.125), (-3.7, 0.0007))
        ],
        "rates": [_rate(n, k) for n in (3, 7, 19, 20, 39, 48, 60, 99, 100, 222, 400) for k in range(n + 1)],
        "thresholds": [_threshold(random, n) for n in (3, 5, 20, 48, 222)],
        "parts_needed": {permille: parts_needed(permille) for permille in range(500, 1000)},
        "verdicts": _verdicts(),
        "promises": _promises(random),
        "joint": [_joint(random, guard) for guard in (None, Guard(40.0, 1.0, 4, 5, 1)) for _ in range(6)],
        "words": _words(),
        "maps": [_map(random, shape, power) for power in (1, 3, 8) for shape in _SHAPES for _ in range(2)],
        "mask_files": [*_mask_files(random), *_placed_mask_files(random)],
        "map_pixels": _map_pixels(random),
        "tables": [
            _tables(random, shapes) for shapes in ([(1, 12), (9, 9)], [(3, 5)], [(1, 1), (1, 1), (2, 7)])
        ],
        "scales": [_scale(name, level) for name in COLORMAPS[:2] for level in (0, 1, 2, 127, 4321, 65535)],
        "contour": list(CONTOUR_COLOR),
        "histogram": [_bins(random, low, top) for low, top in ((0, 60), (0, 61), (100, 4321), (7, 65535))],
    }


def _quantizer(offset: float, step: float) -> dict[str, Any]:
    quantizer = Quantizer(offset, step)
    # Halves of a step too, which are rounded to the even level; and values beyond either end.
    tried = [offset + step * level / 4 for level in range(-9, 400)] + [offset - 1e9, offset + 1e9]
    levels = [0, 1, 77, 4096, 32768, MAX_LEVEL]
    return {
        "offset": offset,
        "step": step,
        "to_level": [[value, quantizer.to_level(value)] for value in tried],
        "to_value": [[level, quantizer.to_value(level)] for level in levels],
    }


def _rate(n: int, above: int) -> dict[str, Any]:
    rate = false_reject_rate(np.arange(n, dtype=np.uint16), n - 1 - above)
    return {
        "n": n,
        "above": rate.above,
        "expected": rate.expected,
        "upper": rate.upper,
        "sentence": rate.sentence,
        "ranks": {permille: rank(permille, n) for permille in (1, 333, 500, 950, 999)},
        "permille": min(999, max(1, 1000 * (n - above) // (n + 1))),
    }


def _threshold(random: np.random.Generator, n: int) -> dict[str, Any]:
    scores = random.integers(0, 900, n).astype(np.uint16)  # some of them alike
    permilles = [1, 100, 333, 500, 800, 900, 950, 990, 999]
    levels = [0, 5, int(np.median(scores)), int(scores.max()), 1000]
    return {
        "scores": scores.tolist(),
        "levels": {permille: image_threshold(scores, permille).level for permille in permilles},
        "above": {level: false_reject_rate(scores, level).above for level in levels},
    }


def _verdicts() -> list[dict[str, Any]]:
    quantizer = Quantizer(0.0, 1.0)
    found = []
    for guard in (None, Guard(3.5, 1.0, 4, 5, 1), Guard(40.0, 1.0, 4, 5, 1)):
        band = band_levels(guard, quantizer)
        for threshold in (0, 1, 30, 1000, MAX_LEVEL - 1):
            near = (threshold + by * (band + d) for by in (-1, 1) for d in (-1, 0, 1))
            for score in {0, threshold, *(score for score in near if 0 <= score <= MAX_LEVEL)}:
                verdict = verdict_of(score, threshold, guard, quantizer)
                found.append({"score": score, "threshold": threshold, "band": band, "verdict": verdict})
    return found


def _promises(random: np.random.Generator) -> list[dict[str, Any]]:
    """Rates and sentences with and without a guard band, from scores of which some are alike."""
    quantizer, found = Quantizer(0.5, 0.0314), []
    for n in (3, 29, 150):
        scores = random.integers(0, 900, n).astype(np.uint16)
        for guard in (None, Guard(1.0, 1.0, 4, 5, 1), Guard(40.0, 1.0, 4, 5, 1)):
            for threshold in (0, int(np.median(scores)), 880, MAX_LEVEL - 1):
                limits = verdict_limits(threshold, guard, quantizer)
                rates = verdict_rates(scores, limits, quantizer)
                found.append(
                    {
                        "scores": scores.tolist(),
                        "upper": [upper_bound(k, n) for k in range(n + 1)],
                        "threshold": threshold,
                        "band": band_levels(guard, quantizer),
                        "offset": quantizer.offset,
                        "step": quantizer.step,
                        "limits": {
                            "acceptUpTo": limits.accept_up_to,
                            "rejectAbove": limits.reject_above,
                        },
                        "counts": vars(count_verdicts(scores, limits)),
                        "sentence": rates.sentence,
                    }
                )
    return found


def _joint(random: np.random.Generator, guard: Guard | None) -> dict[str, Any]:
    """Parts whose displacements are judged too, some of them not found."""
    n, quantizer = int(random.integers(3, 60)), Quantizer(0.0, 1.0)
    scores = random.integers(0, 900, n)
    weights = {name: float(random.choice((0.001, 0.3, 1.0, 1000.0))) for name in STATISTICS}
    sizes = [{name: int(random.integers(0, 40)) for name in STATISTICS} for _ in range(n)]
    scale = JointScale(
        scale_of(scores.tolist()),
        tuple(
            Statistic.of(name, scale_of([one[name] for one in sizes], weights[name]), 1.7)
            for name in STATISTICS
        ),
        "review" if random.random() < 0.5 else "reject",
    )
    lost = random.random(n) < 0.1
    parts = PartScores(
        np.where(lost, 0, scores),
        np.array([scale.displaced(one, bool(gone)) for one, gone in zip(sizes, lost, strict=True)]),
        lost & (scale.on_lost == "review"),
    )
    levels = [0, int(np.median(parts.joint)), 880, MAX_LEVEL - 1]
    rates = [verdict_rates(parts, verdict_limits(level, guard, quantizer), quantizer) for level in levels]
    return {
        "scores": parts.scores.tolist(),
        "displaced": parts.displaced.tolist(),
        "unsure": parts.unsure.tolist(),
        "upper": [upper_bound(k, n) for k in range(n + 1)],
        "joint": parts.joint.tolist(),
        "statistics": scale.to_json(),
        "sizes": sizes,
        "found": [scale.displaced(one) for one in sizes],
        "band": band_levels(guard, quantizer),
        "thresholds": {
            p: {"level": found.level, "supported": found.supported, "needed": found.needed}
            for p, found in ((p, parts.threshold(p)) for p in (500, 900, 950, 999))
        },
        "at": [
            {
                "level": level,
                "limits": scale.limits(level),
                "reasons": [
                    [check.sentence for check in scale.checks(one, level) if check.fired] for one in sizes
                ],
                "rejected": vars(rate.rejected),
                "not_accepted": vars(rate.not_accepted),
            }
            for level, rate in zip(levels, rates, strict=True)
        ],
    }


def _resolution(per_pixel: float, mm: float | None) -> Resolution:
    return Resolution((64 * per_pixel, 64.0), (64, 64), 1, 1.0, 1.0, 3.0, mm)


def _words() -> dict[str, Any]:
    shares = [0.0, 1e-6, 0.0004, 0.0005, 0.00949, 0.00995, 0.01, 0.0149, 0.015, 0.0451, 0.5, 0.9951, 1.0]
    pairs = [(score, 2.0) for score in (0.0, 1.0, 1.9999, 2.0, 2.0001, 7.123)] + [(3.0, 0.0), (3.0, -1.0)]
    counts = [0, 1, 2, 999, 1000, 1234567]
    return {
        "in_hundred": [
            [share, up, text.in_hundred(share, up=up)] for share in shares for up in (False, True)
        ],
        "areas": [
            [area, per_pixel, mm, _resolution(per_pixel, mm).region_text(area)]
            for area in (1, 8, 40, 1234)
            for per_pixel in (0.5, 1.0, 7.3)
            for mm in (None, 0.05)
        ],
        "percent": [[share, up, text.percent(share, up=up)] for share in shares for up in (False, True)],
        "multiple": [[score, threshold, text.multiple(score, threshold)] for score, threshold in pairs],
        "count": [[n, text.count(n, "part")] for n in counts],
    }


def _map(random: np.random.Generator, shape: tuple[int, int], power: int) -> dict[str, Any]:
    levels = (random.random(shape) ** power * MAX_LEVEL).astype(np.uint16)
    masks = []
    for threshold in (0, 900, 20000, 50000, MAX_LEVEL):
        for min_area in (1, 2, 5, _AREAS):
            mask = map_mask(levels, threshold, min_area)
            _, regions = mask_and_regions(levels, threshold, min_area)
            masks.append(
                {
                    "threshold": threshold,
                    "min_area": min_area,
                    "mask": _bytes(mask.astype(np.uint8)),
                    "regions": len(regions),
                }
            )
    return {
        "size": _size(shape),
        "levels": levels.ravel().tolist(),
        "scores": region_scores(levels, _AREAS).tolist(),
        "masks": masks,
    }


def _mask_files(random: np.random.Generator) -> list[dict[str, Any]]:
    """Masks at the size of the original: images smaller and larger than the map, with and without margins."""
    found = []
    originals = ((7, 9), (16, 16), (40, 100), (131, 33), (20, 200), (200, 11))
    boxes = (((24, 24), Box(2, 5, 20, 9)), ((40, 12), Box(3, 0, 30, 12)), ((9, 50), Box(0, 7, 9, 36)))
    for height, width in originals:
        for shape, box in [(shape, at) for shape, margins in boxes for at in (None, margins)]:
            at = box or Box(0, 0, *shape)
            levels = np.zeros(shape, np.uint16)
            inside = (slice(at.top, at.top + at.height), slice(at.left, at.left + at.width))
            levels[inside] = (random.random((at.height, at.width)) ** 3 * 60000).astype(np.uint16)
            min_area = int(random.integers(1, 6))
            decided = decide(levels, 20000, min_area, original_size=(height, width), content_box=box)
            found.append(
                {
                    "size": _size(shape),
                    "levels": levels.ravel().tolist(),
                    "box": {"left": at.left, "top": at.top, "width": at.width, "height": at.height},
                    "width": width,
                    "height": height,
                    "threshold": 20000,
                    "min_area": min_area,
                    "mask": _bytes(decided.mask.astype(np.uint8) * 255),
                }
            )
    return found


def _placements(random: np.random.Generator) -> Iterator[tuple[tuple[int, int], Placement]]:
    """Places of a map on images smaller, as large and larger, at any angle, partly beside the image."""
    for original in ((30, 22), (60, 90), (150, 40)):
        for turn in (0.0, 90.0, *random.uniform(-180, 180, 4)):
            scale = float(random.uniform(0.3, 3))
            a, b = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
            center = random.uniform(0.2, 0.8, 2) * original[::-1]
            linear = np.array([[a, b], [-b, a]])
            shift = center - linear @ np.array([13.0, 20.0])
            yield original, Placement.of(np.column_stack([linear, shift]))


def _placed(placement: Placement) -> dict[str, list[float]]:
    return {"matrix": placement.matrix.ravel().tolist(), "inverse": placement.inverse.ravel().tolist()}


def _placed_mask_files(random: np.random.Generator) -> list[dict[str, Any]]:
    """Masks of located parts on their originals."""
    found, shape = [], (40, 26)
    for (height, width), placement in _placements(random):
        levels = (random.random(shape) ** 3 * 60000).astype(np.uint16)
        min_area = int(random.integers(1, 6))
        decided = decide(levels, 20000, min_area, original_size=(height, width), placement=placement)
        found.append(
            {
                "size": _size(shape),
                "levels": decided.levels.ravel().tolist(),
                "box": {"left": 0, "top": 0, "width": shape[1], "height": shape[0]},
                "placement": _placed(placement),
                "width": width,
                "height": height,
                "threshold": 20000,
                "min_area": min_area,
                "mask": _bytes(decided.mask.astype(np.uint8) * 255),
            }
        )
    return found


def _map_pixels(random: np.random.Generator) -> list[dict[str, Any]]:
    """Which map pixel lies under pixels of an image with a located part: all zero masks but for one pixel."""
    found, shape = [], (40, 26)
    for (height, width), placement in _placements(random):
        row, column = 17, 9
        mask = np.zeros(shape, np.bool_)
        mask[row, column] = True
        under = mask_on_original(mask, placement, (height, width))
        # Only where the image is the finer one do pixels lie under the map pixel, and not one beside it.
        fine = np.hypot(*placement.matrix[:, 0]) >= 1.5
        found.append(
            {
                "size": _size(shape),
                "placement": _placed(placement),
                "width": width,
                "height": height,
                "at": {"row": row, "column": column},
                "under": np.argwhere(under)[:, ::-1].tolist() if fine else [],
            }
        )
    return found


def _tables(random: np.random.Generator, shapes: list[tuple[int, int]]) -> dict[str, Any]:
    tables = [random.integers(0, MAX_LEVEL + 1, shape).astype(np.uint16) for shape in shapes]
    return {
        "packed": base64.b64encode(Numbers.of(*tables).data).decode(),
        "shapes": shapes,
        "tables": [table.ravel().tolist() for table in tables],
    }


def _scale(name: str, level: int) -> dict[str, Any]:
    colors = color_table(name)
    drawn = colors[scale_table(level)]
    levels = sorted(
        {0, 1, level // 2, level, min(MAX_LEVEL, level + 1), min(MAX_LEVEL, 2 * level), MAX_LEVEL}
    )
    return {
        "name": name,
        "threshold": level,
        "palette": _bytes(colors),
        "colors": [[at, drawn[at].tolist()] for at in levels],
    }


def _bins(random: np.random.Generator, low: int, top: int) -> dict[str, Any]:
    scores = [*random.integers(0, MAX_LEVEL + 1, 300).tolist(), *range(low, min(top, low + 300) + 1)]
    bins = [0] * 60
    for score in scores:
        bins[max(0, min(59, 60 * (score - low) // (top - low)))] += 1
    return {"low": low, "top": top, "scores": scores, "bins": bins}


def _size(shape: tuple[int, int]) -> dict[str, int]:
    height, width = shape
    return {"width": width, "height": height}


def _bytes(array: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
