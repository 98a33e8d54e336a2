"""Two versions of a model on the images of its library: the scores of both, and every verdict that flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from padim.data.loading import Cancel, Progress
from padim.errors import Cancelled, ImageError, PadimError
from padim.records.version import ModelVersion

if TYPE_CHECKING:
    from padim.decision.prediction import Prediction
    from padim.model import Padim
    from padim.records.image_records import ImageLabel, LibraryImage
    from padim.records.library import ImageLibrary
    from padim.records.versions import ModelVersions

__all__ = ["ComparedImage", "ComparedVerdict", "VersionComparison", "compare"]

ComparedVerdict = Literal["accept", "review", "reject", "none"]


@dataclass(frozen=True)
class ComparedImage:
    """One image, scored and decided by two versions.

    Attributes:
        sha256, name: the image.
        label, defect_type: what users have said that it shows.
        scores: by the two versions, in map units of each.
        verdicts: of the two versions; "none" of one without a threshold.
    """

    sha256: str
    name: str
    label: ImageLabel
    defect_type: str
    scores: tuple[float, float]
    verdicts: tuple[ComparedVerdict, ComparedVerdict]

    @property
    def flips(self) -> bool:
        """Whether the verdicts differ."""
        return self.verdicts[0] != self.verdicts[1]

    @property
    def would_pass(self) -> bool:
        """Whether it is a known defect that the second version accepts and the first does not."""
        return self.flips and self.label == "defect" and self.verdicts[1] == "accept"


@dataclass(frozen=True)
class VersionComparison:
    """Two versions on the same images.

    Attributes:
        versions: the two.
        images: every image that could be read, in the order of the library.
        unreadable: the others.
        same_scores: whether both versions give every image the same score, so that the network ran once.
    """

    versions: tuple[ModelVersion, ModelVersion]
    images: tuple[ComparedImage, ...]
    unreadable: tuple[ImageError, ...]
    same_scores: bool

    @property
    def flips(self) -> list[ComparedImage]:
        """The images whose verdict differs: known defects that would pass first, then good parts rejected."""

        def order(one: ComparedImage) -> tuple[bool, bool, str]:
            rejected = one.label == "good" and one.verdicts[1] == "reject"
            return (not one.would_pass, not rejected, one.name)

        return sorted((one for one in self.images if one.flips), key=order)

    @property
    def would_pass(self) -> list[ComparedImage]:
        """The known defects that the second version accepts and the first does not."""
        return [one for one in self.flips if one.would_pass]


def compare(
    versions: ModelVersions,
    one: int,
    other: int,
    library: ImageLibrary,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> VersionComparison:
    """Score all images of a library by two versions and decide each.

    Versions that differ in the decision alone score alike: then the network runs once.

    Args:
        versions: the model's versions.
        one, other: numbers of the two, the present one first.
        library: the images.
        progress: called with the images done.
        cancel: called between images; the comparison stops when it returns True.

    Raises:
        Cancelled: ``cancel`` returned True.
        PadimError: there is no such version, its files were deleted, or the library is empty.
        BundleError: a version is damaged.
    """
    pair = (versions.get(one), versions.get(other))
    images = library.images()
    if not images:
        raise PadimError("the model's library has no images; add some, and versions can be compared on them")
    models = (versions.open(pair[0]), versions.open(pair[1]))
    same = models[0].state.identity == models[1].state.identity
    compared, failed = list[ComparedImage](), list[ImageError]()
    for done, image in enumerate(images):
        if progress is not None:
            progress(done, len(images), "Scoring with both versions")
        if cancel is not None and cancel():
            raise Cancelled("stopped while versions were compared; nothing was changed")
        try:
            compared.append(_compared(image, library, models, same))
        except ImageError as error:
            failed.append(error)
    return VersionComparison(pair, tuple(compared), tuple(failed), same)


def _compared(
    image: LibraryImage, library: ImageLibrary, models: tuple[Padim, Padim], same: bool
) -> ComparedImage:
    given = [(image.name, library.read(image))]
    first = next(iter(models[0].predict(given)))
    if not same:
        second = next(iter(models[1].predict(given)))
    elif models[1].current_threshold is None:
        second = None
    else:
        second = models[1].decide(first)
    scores = (first.score, (second or first).score)
    verdicts = (_verdict(first), "none" if second is None else _verdict(second))
    return ComparedImage(image.sha256, image.name, image.label, image.defect_type, scores, verdicts)


def _verdict(prediction: Prediction) -> ComparedVerdict:
    return "none" if prediction.threshold is None and not prediction.lost else prediction.verdict
