"""Inspect images with the exported model in this folder: python inspect_images.py [--json] MASKS IMAGE ...

It finds the part, cuts it out, scores it, and gives padim's verdict with the reasons; masks are written into
the folder MASKS, PNG files of the image's size, 255 where it is rejected. It needs numpy, OpenCV and
onnxruntime; the modules in part_finder are copies of padim's own.

For 8-bit RGB and gray images of one page, and 16-bit gray ones if the model was fitted on such files. One
line an image: its path, score, verdict, mask and reasons, or with --json one JSON document. A file that
cannot be used has the verdict "unreadable" and the reason; the others are inspected all the same, and the
exit code is 2. It is 1 if the model cannot be used, else 0.

In a program of your own: Inspector(folder).inspect(rgb) takes uint8 (h, w, 3) pixels in RGB.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing
import onnxruntime as ort
from part_finder.decision.joint import JointScale, Statistic, reasons
from part_finder.locating.cut import cut_out
from part_finder.locating.frame import Frame
from part_finder.locating.locator import freeze
from part_finder.locating.placement import Placement
from part_finder.locating.pose import Pose
from part_finder.locating.projection import mask_on_original
from part_finder.locating.settings import Align
from part_finder.locating.warp import covered

JPEG_BEGINS, JPEG_ENDS = b"\xff\xd8\xff", b"\xff\xd9"


class Unusable(Exception):
    """A file that is not inspected, with the reason."""


@dataclass(frozen=True)
class Inspection:
    """What the model says of one image.

    Attributes:
        verdict: ``accept``, ``review`` or ``reject``.
        reasons: why it is not accepted.
        score: in padim's map units; 0 if the part was not found.
        mask: bool, of the image's size.
        pose: where the part lies, relative to the reference; None if it was not found.
        placement: the matrix from map pixels to image pixels; None if it was not found.
    """

    verdict: str
    reasons: tuple[str, ...]
    score: float
    mask: npt.NDArray[np.bool_]
    pose: Pose | None
    placement: Placement | None


class Inspector:
    """The exported model of a folder."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "align.json").read_text(encoding="utf-8"))
        for name, expected in about["files"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                raise ValueError(f"{folder / name}: was altered after it was exported; export it again")
        reference = read((folder / about["reference"]).read_bytes(), cv2.IMREAD_COLOR)
        rgb = np.ascontiguousarray(reference[..., ::-1])
        self._locator = freeze(Align(about["align"]), rgb, Frame.from_json(about["frame"]))
        self._shape = (int(about["map_shape"][0]), int(about["map_shape"][1]))
        self._level, self._min_area = int(about["threshold_level"]), int(about["min_area"])
        self._review = (int(about["review_from"]), int(about["review_to"]))
        self._scale = (float(about["quantizer"]["offset"]), float(about["quantizer"]["step"]))
        joint = about["joint"]
        statistics = [
            Statistic(one["name"], Fraction(one["scale"]), one["step"], one["unit"])
            for one in joint["statistics"]
        ]
        self._joint = JointScale(Fraction(joint["map_scale"]), tuple(statistics), joint["on_lost"])
        self.bit_depth = int(about["bit_depth"])
        self._session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def inspect(self, rgb: npt.NDArray[np.uint8]) -> Inspection:
        """Find the part in an image, uint8 ``(h, w, 3)`` in RGB, score it and decide."""
        size = (rgb.shape[0], rgb.shape[1])
        cut = cut_out(rgb, self._locator, self._shape)
        if cut.pose is None or cut.placement is None:
            lost = (f"part not found: {cut.lost}",)
            return Inspection(self._joint.on_lost, lost, self._value(0), np.zeros(size, np.bool_), None, None)
        # Map pixels outside the image are not scored.
        inside = covered(cut.placement.matrix, self._shape, size).astype(np.float32)
        feed = {"rgb": cut.rgb[None], "inside": inside[None]}
        # As exported with --output-type float32 the levels are floats, of the same values.
        levels = self._session.run(["map"], feed)[0][0].astype(np.uint16)
        score = region_score(levels, self._min_area)
        sizes = cut.pose.levels(self._locator.frame, self._shape)
        displaced = self._joint.displaced(sizes)
        low, high = self._review
        verdict = "accept"
        if displaced > self._level or score > (self._level if low > high else high):
            verdict = "reject"
        elif low <= score <= high:
            verdict = "review"
        why = reasons(
            self._value(score),
            self._value(self._level),
            self._joint.checks(sizes, self._level),
            above=score > self._level,
            in_band=verdict == "review",
        )
        mask = mask_on_original(large_regions(levels > self._level, self._min_area), cut.placement, size)
        return Inspection(verdict, why, self._value(score), mask, cut.pose, cut.placement)

    def _value(self, level: int) -> float:
        return self._scale[0] + self._scale[1] * level


def large_regions(above: npt.NDArray[np.bool_], min_area: int) -> npt.NDArray[np.bool_]:
    """Return the 8-connected regions of at least min_area pixels of a mask."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False  # what is not above
    return np.asarray(keep[labels], np.bool_)


def region_score(levels: npt.NDArray[np.uint16], min_area: int) -> int:
    """Return the largest level that a region of at least min_area pixels reaches, by bisection."""
    known = np.unique(levels)
    low, high = 0, len(known)  # the score is 0 or below known[high]
    while low < high:
        middle = (low + high) // 2
        if large_regions(levels >= known[middle], min_area).any():
            low = middle + 1
        else:
            high = middle
    return int(known[low - 1]) if low else 0


def decoded(path: Path, depth: int) -> npt.NDArray[np.uint8]:
    """Return an image, upright, in RGB; raise Unusable for one that padim would refuse or read otherwise."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from error
    if content[:3] == JPEG_BEGINS and JPEG_ENDS not in content[-64:]:
        raise Unusable("is a JPEG that is cut short")
    stored = read(content, cv2.IMREAD_UNCHANGED)
    if content[:2] in (b"II", b"MM"):  # TIFF
        _, pages = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if len(pages) > 1:
            raise Unusable("has several pages; inspect each as a file of its own")
    if stored.dtype == np.uint16 and stored.ndim == 2 and depth > 8:
        values = read(content, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
        if int(values.max()) >> depth:
            raise Unusable(f"has values up to {values.max()}, above the {depth} bits of the model")
        return np.repeat((values >> (depth - 8)).astype(np.uint8)[..., None], 3, axis=2)
    if stored.dtype != np.uint8 or (stored.ndim == 3 and stored.shape[2] != 3):
        raise Unusable("is neither 8-bit RGB nor gray; convert it first")
    return np.ascontiguousarray(read(content, cv2.IMREAD_COLOR)[..., ::-1])


def read(content: bytes, flags: int) -> npt.NDArray[Any]:
    """Decode a file with OpenCV's flags; raise Unusable if it cannot."""
    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:  # of an empty file
        raise Unusable("cannot be read as an image") from error
    if found is None:
        raise Unusable("cannot be read as an image")
    return np.asarray(found)


def main(arguments: list[str]) -> int:
    """Inspect the images of the command line; return the exit code."""
    as_json = "--json" in arguments
    masks, *images = (argument for argument in arguments if argument != "--json")
    folder = Path(__file__).resolve().parent
    try:
        inspector = Inspector(folder)
    except Exception as error:  # OpenCV's and onnxruntime's errors have no common type
        print(f"{folder}: the model cannot be used ({error})", file=sys.stderr)
        return 1
    unusable, written = 0, set[str]()
    for path in map(Path, images):
        line: dict[str, Any] = {"name": str(path), "score": None, "verdict": "unreadable", "mask": None}
        try:
            result = inspector.inspect(decoded(path, inspector.bit_depth))
        except Unusable as error:
            unusable += 1
            line["reasons"] = [str(error)]
        else:
            stem = name = path.stem
            while name in written:  # images of one name in two folders
                name = f"{stem}_{len(written)}"
            written.add(name)
            out = Path(masks) / f"{name}_mask.png"
            cv2.imencode(".png", result.mask.astype(np.uint8) * 255)[1].tofile(out)
            line |= {"score": float(f"{result.score:.6g}"), "verdict": result.verdict, "mask": str(out)}
            line["reasons"] = list(result.reasons)
            line["placement"] = None if result.placement is None else result.placement.to_json()
        cells = (line["name"], line["score"], line["verdict"], line["mask"], "; ".join(line["reasons"]))
        print(json.dumps(line) if as_json else "\t".join(map(str, cells)), flush=True)
    if unusable:
        print(f"{unusable} of {len(images)} files could not be used", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
