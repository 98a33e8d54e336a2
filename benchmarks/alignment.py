"""Measure what locating the part gains: AUROC and recall at the honest threshold, with and without.

    python benchmarks/alignment.py [--data FOLDER] [--check] [--json] [--quick]

Parts are generated (``sample_data/make_bracket.py``): lying anywhere; with a printed pattern; lying loosely
in a fixture, with misplaced ones among the defects; and long ones, on which a rectangular input is compared
with the square. Each way of locating is crossed with ``feature_norm`` and, for parts lying anywhere, with an
input of the frame's own shape and a region of interest that is the reference part itself. ``--data`` is a
folder with ``bottle`` and ``magnetic_tile``: there a trial must not recommend what does not help, and a
model without locating must be the same as ever.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import report
from padim.analysis.alignment_advice import advise, compared
from padim.analysis.alignment_trial import alignment_trial
from padim.analysis.significance import paired_shares
from padim.analysis.trial_defects import TrialDefect
from padim.config import PadimConfig
from padim.data.datasets import open_dataset
from padim.data.input_shape import input_shape_for
from padim.data.opening import open_source
from padim.data.sources import Source
from padim.errors import PadimError
from padim.locating.foreground import segment
from padim.locating.locator import freeze
from padim.locating.settings import Align
from padim.locating.warp import warp
from padim.model import Padim
from sample_data import make_bracket
from sample_data.make_bracket import KINDS, REACH, Lying, Sample

RGB = npt.NDArray[np.uint8]
NORMS = ("l2", "none")
SETS = ("bottle", "magnetic_tile")
# Centers of the marks on both ends of the bracket, along its length, and half their sides, in pixels.
_MARKS = ((-REACH + 10, 55.0), (REACH + 5, 36.0))
# The largest number of good parts and of defects of the real sets.
_REAL_GOOD, _REAL_DEFECTS = 40, 30


@dataclass(frozen=True)
class Effort:
    """How many parts are generated."""

    good: int
    unseen: int
    per_kind: int


FULL, QUICK = Effort(50, 30, 6), Effort(12, 4, 2)


@dataclass(frozen=True)
class Scored:
    """What one model made of the unseen parts.

    Attributes:
        good, bad: joint levels of the good parts and of the defects.
        caught: which defects were not accepted.
        kinds: of the defects.
        rejected: number of good parts that were not accepted.
    """

    good: npt.NDArray[np.int64]
    bad: npt.NDArray[np.int64]
    caught: npt.NDArray[np.bool_]
    kinds: npt.NDArray[np.str_]
    rejected: int

    @property
    def auroc(self) -> float:
        """Image AUROC; ties count half."""
        above = (self.bad[:, None] > self.good).sum() + 0.5 * (self.bad[:, None] == self.good).sum()
        return float(above / (len(self.bad) * len(self.good)))

    def share(self, displaced: bool) -> float:
        """Share caught of the misplaced parts, or of all other defects; NaN without any."""
        chosen = self.caught[(self.kinds == "misplaced") == displaced]
        return float(chosen.mean()) if len(chosen) else float("nan")


class Parts:
    """Generated parts of one kind of set."""

    def __init__(self, lying: Lying, effort: Effort, *, tall: bool = False, printed: bool = False) -> None:
        def made(index: int, kind: str = "good") -> Sample:
            return make_bracket.make(index, kind=kind, lying=lying, tall=tall, printed=printed)

        # The reference is the first one, as users are told to choose it: it lies in the middle of the others.
        self.good = sorted((made(index) for index in range(effort.good)), key=_off_the_middle)
        self.unseen = [made(index) for index in range(effort.good, effort.good + effort.unseen)]
        self.bad = [made(index, kind) for kind in KINDS for index in range(effort.per_kind)]

    def align(self, method: str) -> dict[str, Any]:
        """Return the settings of a way of locating, with marks on both ends of the first part."""
        if method == "outline":
            return {"method": method}
        if method == "outline, judged":  # by an outline, nothing is judged unless it is asked for
            return {"method": "outline", "shift_weight": 3.0, "turn_weight": 3.0}
        if method == "features":  # of the signs of a turned part, less than half agree
            return {"method": method, "min_match": 0.3}
        first = self.good[0]
        to_part = first.lie.to_part(first.image.shape[:2], False)
        to_image = np.linalg.inv(np.vstack([to_part, [0, 0, 1]]))
        marks = []
        for x, half in _MARKS:
            at = to_image @ (x, 0, 1)
            marks.append((float(at[0] - half), float(at[1] - half), 2 * half, 2 * half))
        return {"method": method, "marks": marks}

    def scored(self, config: PadimConfig, *, masked: bool = False) -> Scored:
        """Fit the good parts and score the others."""
        model = Padim(config).fit([(f"good_{i:03d}", sample.image) for i, sample in enumerate(self.good)])
        if masked:
            model.set_roi(part_mask(model))
        good = list(model.predict([sample.image for sample in self.unseen]))
        bad = list(model.predict([sample.image for sample in self.bad]))
        joint = [np.array([65535 if one.lost else one.joint_level for one in some]) for some in (good, bad)]
        return Scored(
            joint[0].astype(np.int64),
            joint[1].astype(np.int64),
            np.array([one.verdict != "accept" for one in bad]),
            np.array([sample.kind for sample in self.bad]),
            sum(one.verdict != "accept" for one in good),
        )


def _off_the_middle(sample: Sample) -> float:
    lie = sample.lie
    return float(np.hypot(lie.dx, lie.dy)) + abs(lie.turn) + 500 * abs(lie.scale - 1)


def part_mask(model: Padim) -> npt.NDArray[np.bool_]:
    """Return the map pixels that show the reference part, with a margin of a grid position."""
    locator = model.state.fitted.locator
    assert locator is not None
    shape = model.config.input_shape
    found = segment(locator.reference)
    whole = np.zeros_like(locator.reference)
    (left, top), (rows, columns) = found.origin, found.mask.shape
    whole[top : top + rows, left : left + columns] = found.mask[..., None] * 255
    seen = warp(whole, locator.frame.to_reference(shape), shape)[..., 0] > 127
    size = 2 * model.config.grid_stride + 1
    return np.asarray(cv2.dilate(seen.astype(np.uint8), np.ones((size, size), np.uint8)) > 0)


def anywhere(result: report.Report, effort: Effort) -> None:
    """Parts lying anywhere: every way of locating that needs no fixture, with both norms and a mask."""
    parts = Parts("any", effort)
    _measure(result, "any", parts, ("off", "outline", "outline + shape", "outline + shape + mask"))


def printed(result: report.Report, effort: Effort) -> None:
    """Printed parts lying anywhere, which have details to be found by."""
    _measure(result, "printed", Parts("any", effort, printed=True), ("off", "features", "outline"))


def in_fixture(result: report.Report, effort: Effort) -> None:
    """Parts lying loosely in a fixture, of which some are misplaced."""
    parts = Parts("fixture", effort)
    _measure(result, "fixture", parts, ("off", "outline, judged", "template"))


def _measure(result: report.Report, name: str, parts: Parts, ways: tuple[str, ...]) -> None:
    found: dict[tuple[str, str], Scored] = {}
    rows = []
    for norm in NORMS:
        for way in ways:
            method, *more = way.split(" + ")
            align = None if method == "off" else parts.align(method)
            try:
                settings: dict[str, Any] = {"feature_norm": norm, "align": align}
                if "shape" in more:  # near that of the frame around the part
                    frame = freeze(Align.model_validate(align), parts.good[0].image).frame
                    settings["input_size"] = input_shape_for([(round(frame.height), round(frame.width))])
                scored = parts.scored(PadimConfig.of(settings), masked="mask" in more)
            except PadimError as error:
                result.note(f"{name}, {way}: {error}")
                continue
            found[norm, way] = scored
            off = found[norm, "off"]
            gain = paired_shares(off.caught, scored.caught)
            key = f"{name}.{'_'.join(re.split(r'[ ,+]+', way))}_{norm}"
            result.values |= {
                f"{key}.auroc": scored.auroc,
                f"{key}.recall": scored.share(displaced=False),
                f"{key}.misplaced": scored.share(displaced=True),
                f"{key}.auroc_gain": scored.auroc - off.auroc,
                f"{key}.recall_gain": gain.value,
            }
            rows.append(
                (
                    f"{way}, {norm}",
                    f"{scored.auroc:.3f}",
                    f"{scored.share(displaced=False):.0%}",
                    f"{scored.share(displaced=True):.0%}",
                    f"{scored.rejected} of {len(scored.good)}",
                    f"{gain.value:+.2f} ({gain.low:+.2f} to {gain.high:+.2f}), p {gain.p:.2g}",
                )
            )
    titles = {
        "any": "Parts lying anywhere",
        "printed": "Printed parts lying anywhere",
        "fixture": "Parts lying loosely in a fixture",
    }
    head = ("locating, norm", "AUROC", "recall", "misplaced", "good rejected", "all caught, over off")
    result.show(f"{titles[name]}, {len(parts.good)} good parts", head, rows)


def tall(result: report.Report, effort: Effort) -> None:
    """Long parts, as they are: the default input near their own shape against the square."""
    parts = Parts("fixed", effort, tall=True)
    rows = []
    square = parts.scored(PadimConfig(input_size=256))
    shaped = parts.scored(PadimConfig(input_size=(416, 160)))
    for name, scored in (("square 256 x 256", square), ("rectangle 416 x 160", shaped)):
        rejected = f"{scored.rejected} of {len(scored.good)}"
        rows.append((name, f"{scored.auroc:.3f}", f"{scored.caught.mean():.0%}", rejected))
    result.values["tall.rectangle_gain"] = shaped.auroc - square.auroc
    result.show("Long parts, 640 x 256 pixels", ("input", "AUROC", "caught", "good rejected"), rows)


class Some:
    """Some images of a source, evenly over all, which can be read several times."""

    def __init__(self, source: Source, most: int) -> None:
        names = [name for name, _ in source]
        self._source = source
        self._names = {names[i * len(names) // most] for i in range(most)} if len(names) > most else {*names}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Any]:
        return (image for image in self._source if image[0] in self._names)


def real(result: report.Report, folder: Path, *, quick: bool) -> None:
    """Real sets: a trial recommends nothing that does not help, and off is off."""
    rows: list[tuple[Any, ...]] = []
    for name in SETS:
        category = folder / name
        if not category.is_dir():
            result.note(f"{category}: not there, not measured")
            continue
        good = Some(open_source(category / "train" / "good"), 12 if quick else _REAL_GOOD)
        dataset = open_dataset(category, good_needed=False)
        bad = [
            TrialDefect(image, dataset.samples[image].kind, content)
            for image, content in dataset
            if not dataset.samples[image].good and isinstance(content, bytes)
        ]
        most = 6 if quick else _REAL_DEFECTS
        bad = [bad[i * len(bad) // most] for i in range(most)] if len(bad) > most else bad
        for norm in NORMS:
            for method in ("outline", "features"):
                _trial(result, name, method, norm, good, bad, rows)
        plain = Padim(PadimConfig()).fit(good)
        again = Padim(PadimConfig(align=None)).fit(good)
        result.values[f"{name}.off_is_off"] = float(plain.state.identity == again.state.identity)
    head = ("set, method, norm", "AUROC off", "on", "caught off", "on", "not found", "recommended")
    result.show("Real sets", head, rows)


def _trial(
    result: report.Report,
    name: str,
    method: str,
    norm: str,
    good: Some,
    bad: list[TrialDefect],
    rows: list[tuple[Any, ...]],
) -> None:
    config = PadimConfig.of({"align": method, "feature_norm": norm})
    key = f"{name}.{method}_{norm}"
    try:
        trial = alignment_trial(good, config, bad, on_error=lambda error: result.note(str(error)))
    except PadimError as error:  # refused, or nothing found: the model stays without it
        rows.append((f"{name}, {method}, {norm}", "", "", "", "", "", f"refused: {str(error)[:90]}"))
        result.values[f"{key}.harm"] = 0.0
        return
    found, advice = compared(trial), advise(trial)
    assert found.aurocs is not None
    assert found.recalls is not None
    # What who follows the advice loses.
    followed = advice.recommendation == "helps"
    result.values[f"{key}.harm"] = max(0.0, found.aurocs[0] - found.aurocs[1]) if followed else 0.0
    result.values[f"{key}.auroc_gain"] = found.aurocs[1] - found.aurocs[0]
    rows.append(
        (
            f"{name}, {method}, {norm}",
            *(f"{value:.3f}" for value in found.aurocs),
            *(f"{value:.0%}" for value in found.recalls),
            f"{len(trial.located.lost)} of {len(trial.names)}",
            advice.recommendation,
        )
    )


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    report.add_arguments(parser)
    parser.add_argument("--data", type=Path, default=os.environ.get("PADIM_DATA"), help="folder of real sets")
    parser.add_argument(
        "--only", choices=("any", "printed", "fixture", "tall", "real"), help="only one part of it"
    )
    parser.add_argument("--quick", action="store_true", help="few parts, for tests: not the real check")
    args = parser.parse_args(arguments)
    effort = QUICK if args.quick else FULL
    result = report.Report("alignment")
    wanted = (
        [args.only] if args.only else ["any", "printed", "fixture", "tall", *(["real"] if args.data else [])]
    )
    if "any" in wanted:
        result.target("any.outline_shape_l2.auroc_gain", ">=", 0.10)
        result.target("any.outline_shape_l2.recall_gain", ">=", 0.20)
        result.target("any.outline_shape_l2.misplaced", ">=", 1.0)
    if "printed" in wanted:
        result.target("printed.features_l2.auroc_gain", ">=", 0.10)
        result.target("printed.features_l2.recall_gain", ">=", 0.20)
    if "fixture" in wanted:
        # By the outline half of the misplaced parts are accepted at the usual weights; a trial warns of it.
        result.target("fixture.outline_judged_l2.recall_gain", ">=", 0.30)
        result.target("fixture.template_l2.misplaced", ">=", 1.0)
    if "tall" in wanted:
        result.target("tall.rectangle_gain", ">=", -0.01)
    if "real" in wanted:
        for name in SETS:
            result.target(f"{name}.off_is_off", ">=", 1.0)
            for method in ("outline", "features"):
                for norm in NORMS:
                    result.target(f"{name}.{method}_{norm}.harm", "<=", 0.0)
    report.run(parser, result, args)
    sets = (("any", anywhere), ("printed", printed), ("fixture", in_fixture), ("tall", tall))
    for name, measure in sets:
        if name in wanted:
            measure(result, effort)
    if "real" in wanted:
        real(result, Path(args.data), quick=args.quick)
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
