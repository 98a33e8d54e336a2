"""Decide on images exactly as padim does: python mask_onnx.py [--unsealed] MODEL.onnx FOLDER IMAGE ...

The masks are written into the folder: PNG files of the image's size, 255 where it is rejected. Regions
smaller than the model's smallest region do not count. One line an image: its path, verdict and mask. Files
that cannot be used, and the exit code, are as in score_onnx.py, which must be in the same folder.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from score_onnx import each, opened, prepared


def large_regions(above, min_area):
    """Return a mask of the 8-connected regions of at least min_area, by joining runs of adjacent rows."""
    steps = np.diff(np.pad(above, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, starts), stops = np.nonzero(steps == 1), np.nonzero(steps == -1)[1]
    pitch, parents = above.shape[1] + 1, list(range(len(rows)))
    first = np.searchsorted(rows * pitch + stops, (rows - 1) * pitch + starts)
    last = np.searchsorted(rows * pitch + starts, (rows - 1) * pitch + stops, "right")

    def root(run):
        while parents[run] != run:
            parents[run] = run = parents[parents[run]]
        return run

    for run in range(len(rows)):
        for other in range(first[run], last[run]):
            parents[root(other)] = root(run)
    roots = np.array([root(run) for run in range(len(rows))], int)
    areas, kept = np.bincount(roots, stops - starts, len(rows)), np.zeros_like(above)
    for run in np.flatnonzero(areas[roots] >= min_area):
        kept[rows[run], starts[run] : stops[run]] = True
    return kept


def resized(mask, length, axis):
    """Resize a mask along one axis: enlarge by nearest neighbour; reduce by "any pixel is set"."""
    own = mask.shape[axis]
    if length >= own:
        return mask.take((2 * np.arange(length) + 1) * own // (2 * length), axis)
    owner = (2 * np.arange(own) + 1) * length // (2 * own)
    return np.logical_or.reduceat(mask, np.unique(owner, return_index=True)[1], axis)


if __name__ == "__main__":
    model, folder, *images = (argument for argument in sys.argv[1:] if argument != "--unsealed")
    session, meta, threshold, low, high = opened(model, "--unsealed" in sys.argv)
    area, written = int(meta["min_area"]), set()

    def decide(path):
        feed, (top, left, height, width), (across, down) = prepared(path, meta)
        # As exported with --output-type float32 the levels are floats, of the same values.
        levels = session.run(["map"], feed)[0][0]
        mask = large_regions(levels > threshold, area)
        verdict = "reject" if mask.any() else "accept"
        if large_regions(levels >= low, area).any() and not large_regions(levels > high, area).any():
            verdict = "review"
        mask = resized(resized(mask[top : top + height, left : left + width], down, 0), across, 1)
        stem = name = Path(path).stem
        while name in written:  # images of one name in two folders
            name = f"{stem}_{len(written)}"
        written.add(name)
        out = Path(folder) / f"{name}_mask.png"
        Image.fromarray(mask.astype(np.uint8) * 255).save(out)
        return verdict, out

    each(images, decide)
