"""The result of one configuration on one category: all figures, and the data to compare them with others.

It is stored as JSON, with the bootstrap draws of the figures in a separate array file. The draws of the same
images are the same for every configuration, so that two configurations can be compared draw by draw.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from padim.analysis.metrics import Figure
from padim.config import PadimConfig
from padim.data.account import PassedOver
from padim.decision.operating_points import Rate
from padim.storage.atomic import write_atomic

__all__ = ["FIGURES", "FigureName", "Result", "ScoredImage", "by_name", "read", "write"]

FigureName = Literal[
    "image_auroc", "image_ap", "image_f1", "pixel_auroc", "pixel_ap", "aupro", "pixel_f1", "painted_recall"
]


class About(NamedTuple):
    """A figure that configurations are compared by; higher is better.

    Attributes:
        name: its key in a result.
        title: its name in the interface.
        says: its meaning in one sentence.
    """

    name: FigureName
    title: str
    says: str


FIGURES: tuple[About, ...] = (
    About("image_auroc", "Image AUROC", "How often a defect scores above a good part, of all pairs."),
    About("image_ap", "Image average precision", "How clean the list of images is, read from the top."),
    About("image_f1", "Image F1", "At the best threshold for these very images."),
    About("pixel_auroc", "Pixel AUROC", "How often a pixel inside a defect scores above one outside."),
    About("pixel_ap", "Pixel average precision", "As the AUROC, stricter where defects are small."),
    About("aupro", "Pixel AUPRO", "The share of each defect found with at most 30 % of sound pixels marked."),
    About("pixel_f1", "Pixel F1", "How well the mask fits the drawn defects, at the best threshold."),
    About(
        "painted_recall",
        "Painted defects found",
        "The share of painted defects found at the model's threshold.",
    ),
)


def by_name(name: str) -> About:
    """Return the description of a figure."""
    return next(about for about in FIGURES if about.name == name)


class ScoredImage(BaseModel):
    """The score of one image.

    Attributes:
        name: the name of the image in its data set.
        kind: ``good`` or the kind of defect.
        score: the score, a level.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    score: Annotated[int, Field(ge=0)]


class Result(BaseModel):
    """The result of one configuration on one category.

    Attributes:
        category: the name of the category.
        config: all settings.
        figures: the figures by name, with the reason where there is no value.
        promised, promised_upper: the expected false-reject rate by the held-out scores of the fit, and its 95
            % upper bound; None without a threshold.
        false_rejects: good images above the threshold.
        caught: defects above the threshold.
        fit_seconds: the time for reading the good parts, running the network and fitting.
        method_seconds: the time for fitting alone.
        shared: whether the time of the network is that of features shared with other configurations.
        milliseconds: the scoring time for one image, including decoding.
        model_bytes: the size of the network and the fitted detector.
        known: the number of images that were also fitted on, which are left out of the figures.
        conflicts: the names of identical images labeled both good and as a defect, good first.
        images: the scores in the order of the data set.
        failed: (name, reason) of files that could not be used.
        passed_over: files that were not read or not counted, with the reason.
        used: number of files that were fitted on or evaluated, masks and tables included.
        painted_on: the number of images with painted defects; 0 if there are real defects.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: str
    config: PadimConfig
    figures: dict[FigureName, Figure]
    promised: float | None
    promised_upper: float | None
    false_rejects: Rate
    caught: Rate
    fit_seconds: float
    method_seconds: float
    shared: bool
    milliseconds: float
    model_bytes: int
    known: int
    images: tuple[ScoredImage, ...]
    failed: tuple[tuple[str, str], ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    used: int = 0
    painted_on: int = 0
    conflicts: tuple[tuple[str, str], ...] = ()

    def scores(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the scores, as levels, of the good images and of the defects."""
        good = [image.score for image in self.images if image.kind == "good"]
        defect = [image.score for image in self.images if image.kind != "good"]
        return np.array(good, np.int64), np.array(defect, np.int64)

    @property
    def order(self) -> tuple[tuple[str, str], ...]:
        """Return the evaluated images; results with the same images can be compared pairwise."""
        return tuple((image.name, image.kind) for image in self.images)


def write(folder: Path, key: str, result: Result, draws: npt.NDArray[np.float32]) -> None:
    """Write a result and its draws to disk.

    Args:
        folder: the folder of the results.
        key: the file name without extension.
        result: the result.
        draws: float32 ``(b, figures)``, in the order of ``FIGURES``; NaN where a figure has none.
    """
    buffer = io.BytesIO()
    np.save(buffer, draws, allow_pickle=False)
    write_atomic(folder / f"{key}.npy", buffer.getvalue())
    # Written last: its presence states that the result is complete.
    write_atomic(folder / f"{key}.json", result.model_dump_json(indent=1).encode())


def read(folder: Path, key: str) -> tuple[Result, npt.NDArray[np.float32]] | None:
    """Read a result and its draws; None if there is none or it cannot be read."""
    try:
        text: Any = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        result = Result.model_validate(text)
        draws = np.load(folder / f"{key}.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError, RecursionError, ValidationError):
        return None
    if draws.ndim != 2 or draws.shape[1] != len(FIGURES) or draws.dtype != np.float32:
        return None
    return result, draws
