"""The image library of the model in use: its images as sets to work on, and what is added to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from padim.errors import ImageError, PadimError
from padim.text import clipped
from ui.app import workspace
from ui.app.text import count
from ui.files.image_input import ImageSet, sample_part
from ui.jobs import watch

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.data.labeled_images import LabeledImages
    from padim.model import Padim
    from padim.records.labels import ImageLabel
    from padim.records.library import ImageLibrary, ImageOrigin, LibraryImage
    from padim.storage.model_folders import Entry
    from padim.study.data import Category
    from ui.jobs.jobs import Job
    from ui.reviews import Keep
    from ui.scoring import ScoredUpload

# What images are for: those that the model was fitted on, and all others.
Role = Literal["fit", "test"]


def library(entry: Entry) -> ImageLibrary:
    """Return the image library of a model."""
    from padim.records.library import ImageLibrary

    return ImageLibrary(workspace.root(), entry.id)


def in_fit(model: Padim) -> frozenset[str]:
    """Return the SHA-256 of the images that must not count as test images of a model.

    An image that was excluded as not good is none of them: the model has not seen it.
    """
    own = {normal.sha256 for normal in model.normals_ if normal.status != "not_good"}
    return frozenset(own | model.network.adapted_with)


def images(entry: Entry, role: Role) -> list[LibraryImage]:
    """Return the images of a model's library that it was fitted on, or all others.

    Raises:
        BundleError: the model is damaged; names the file.
    """
    from padim.records.library import ImageQuery

    known = in_fit(workspace.open_model(entry))
    query = ImageQuery(only=known) if role == "fit" else ImageQuery(without=known)
    return library(entry).images(query)


def all_labels(entry: Entry) -> dict[str, ImageLabel]:
    """Return what was said of every image, by SHA-256; "unknown" is a label that was taken away."""
    return library(entry).all_labels()


def names_of(found: Collection[LibraryImage]) -> dict[str, LibraryImage]:
    """Return images by the unique names that they have in a set."""
    from padim.records.library_data import by_name

    return by_name(found)


def number(entry: Entry, role: Role, *, labeled: bool = False) -> int:
    """Return the number of images of a role, or of those of them with a label."""
    from padim.records.library import ImageQuery

    known = in_fit(workspace.open_model(entry))
    query = ImageQuery(only=known) if role == "fit" else ImageQuery(without=known)
    counts = library(entry).counts(query)
    return sum(counts.values()) - (counts["unknown"] if labeled else 0)


def image_set(entry: Entry, role: Role) -> ImageSet | None:
    """Return the images of a model's library that it was fitted on, or all others, as a set to work on.

    The set has the images as they are now; it is read where it lies, also by the worker process. Their labels
    are those of ``labeled.of(image_set)``.

    Args:
        entry: the model.
        role: "fit" for the originals of the images that the model was fitted on, "test" for all others.

    Returns:
        The set; None if the library has no such image.

    Raises:
        BundleError: the model is damaged; names the file.
    """
    found = images(entry, role)
    what = "image of the fit" if role == "fit" else "image"
    return set_of(entry, found, f"{count(len(found), what, None if role == 'test' else 'images of the fit')}")


def labeled_set(entry: Entry) -> ImageSet | None:
    """Return the labeled images of a model's library outside its fit; None if there are none."""
    found = [one for one in images(entry, "test") if one.label != "unknown"]
    return set_of(entry, found, count(len(found), "labelled image"))


def good_set(entry: Entry) -> ImageSet | None:
    """Return the good parts of a model's library outside its fit; None if there are none."""
    found = [one for one in images(entry, "test") if one.label == "good"]
    return set_of(entry, found, count(len(found), "good part"))


def comparison_set(entry: Entry) -> ImageSet | None:
    """Return the images of a model's fit and its labeled test images, to fit others on and to test them.

    Where the library has no images of the fit, as of a model that was not fitted in the app, its good parts
    serve for both, each for one.

    Returns:
        The set; None if there are too few images to compare on.
    """
    from padim.decision.calibration import FEWEST_PARTS

    fit = [one for one in images(entry, "fit") if one.label != "defect"]
    tests = [one for one in images(entry, "test") if one.label != "unknown"]
    if not fit and sum(one.label == "good" for one in tests) >= 2 * FEWEST_PARTS:
        return set_of(entry, tests, count(len(tests), "labelled image"))
    if not fit or not tests:
        return None
    label = f"{count(len(fit), 'image')} of the fit and {count(len(tests), 'labelled image')}"
    return set_of(entry, [*fit, *tests], label, to_fit=[one.sha256 for one in fit])


def set_of(
    entry: Entry, found: Collection[LibraryImage], label: str, *, to_fit: Collection[str] = ()
) -> ImageSet | None:
    """Return some images of a model's library as a set to work on; None if there are none.

    Args:
        entry: the model.
        found: the images.
        label: describes them to the user.
        to_fit: SHA-256 of those of them that a comparison fits on.
    """
    from padim.records.library_data import by_name, source_of
    from padim.worker.images import InLibrary

    if not found:
        return None
    where = InLibrary(
        root=workspace.root(),
        model=entry.id,
        images=[image.sha256 for image in found],
        to_fit=list(to_fit),
    )
    return ImageSet(
        source_of(found, known_good=True),
        f"{label} of the library",
        entry.name,
        folder=".",
        in_library=where,
        in_place={name: image.path for name, image in by_name(found).items()},
    )


def has_originals(entry: Entry) -> bool:
    """Return whether the library has all images that a model was fitted on."""
    try:
        model = workspace.open_model(entry)
    except PadimError:
        return False
    own = {normal.sha256 for normal in model.normals_ if normal.status == "fit"}
    return len(own & {image.sha256 for image in images(entry, "fit")}) == len(own)


# -- adding ----------------------------------------------------------------------------------------------


def keeper(
    entry: Entry, given: ImageSet, label: ImageLabel | Mapping[str, ImageLabel], defect_type: str = ""
) -> Keep:
    """Return a function that adds scored images to a model's library, and says why it could not.

    Args:
        entry: the model.
        given: the set that the images come from; of a library itself nothing is added.
        label: what the images show, for all of them or by name.
        defect_type: the type of the defects; empty if not known.
    """
    from padim.records.library import NewImage

    if given.in_library is not None:
        return lambda items: ""
    into, origin = library(entry), _origin_of(given)

    def keep(items: Sequence[ScoredUpload]) -> str:
        def new() -> Iterator[NewImage]:
            for item in items:
                one = label if isinstance(label, str) else label.get(item.name, "unknown")
                yield NewImage(item.name, item.file.read_bytes(), one, defect_type if one == "defect" else "")

        try:
            into.add(new(), origin, given.label)
        except (PadimError, OSError) as error:
            return not_kept(error)
        return ""

    return keep


def hashes(entry: Entry) -> set[str]:
    """Return the SHA-256 of all images of a model's library."""
    return {image.sha256 for image in library(entry).images()}


def keep_scored(entry: Entry, items: Sequence[ScoredUpload]) -> str:
    """Add images of Inspect to a model's library, without a label; return why not, or nothing."""
    from padim.records.library import NewImage

    new = (NewImage(item.name, item.file.read_bytes()) for item in items)
    try:
        library(entry).add(new, "inspect")
    except (PadimError, OSError) as error:
        return not_kept(error)
    return ""


def keep_dataset(entry: Entry, dataset: Dataset, label: str, job: Job[Any], unusable: Collection[str]) -> str:
    """Add the images of a labeled data set to a model's library, with labels, types of defects and masks.

    Args:
        entry: the model.
        dataset: the images, read once more, one at a time.
        label: the user's name of the data set.
        job: receives the progress and is polled for cancellation.
        unusable: names of images that are left out.

    Returns:
        Why the library does not have all of them, as a sentence; empty if it has.
    """
    from padim.data.datasets import DEFECT
    from padim.data.formats import HEAD, image_format
    from padim.records.library import NewImage

    def new() -> Iterator[NewImage]:
        for name, data in dataset:
            if name in unusable or image_format(data[:HEAD]) is None:
                continue
            sample = dataset.samples[name]
            masks = []
            for mask in sample.masks:
                with suppress(ImageError):  # named by the evaluation already
                    masks.append((mask, dataset.content(mask)))
            kind = "" if sample.kind in (DEFECT, "good") else clipped(sample.kind, 60)
            yield NewImage(name, data, "good" if sample.good else "defect", kind, tuple(masks))

    def progress(done: int) -> None:
        job.progress(done, len(dataset), "Keeping the images")

    try:
        library(entry).add(new(), "dataset", label, progress=progress, cancel=job.cancelled)
    except (PadimError, OSError) as error:
        return not_kept(error)
    return ""


def keep_labeled(entry: Entry, found: LabeledImages, given: ImageSet) -> None:
    """Add images that were chosen for a measurement to a model's library, in the background.

    Args:
        entry: the model.
        found: the images with their labels; without labels they are good parts.
        given: the set that they come from; of a library itself nothing is added.
    """
    from padim.data.datasets import DEFECT, Dataset
    from padim.data.formats import HEAD, image_format
    from padim.records.library import NewImage

    if given.in_library is not None:
        return
    origin = _origin_of(given)

    def new() -> Iterator[NewImage]:
        for name, data in found.images:
            if image_format(data[:HEAD]) is not None:
                kind = found.kind_of(name)
                good = kind == "good"
                defect_type = "" if good or kind == DEFECT else clipped(kind, 60)
                yield NewImage(name, data, "good" if good else "defect", defect_type)

    def work(job: Job[str]) -> str:
        if isinstance(found.images, Dataset):
            return keep_dataset(entry, found.images, given.label, job, ())
        try:
            library(entry).add(
                new(), origin, given.label, progress=lambda done: job.progress(done, found.count, "Keeping")
            )
        except (PadimError, OSError) as error:
            return not_kept(error)
        return ""

    _keep_in_background(entry, given, work)


def keep_to_compare(entry: Entry, category: Category, given: ImageSet) -> None:
    """Add the images of a comparison to a model's library, in the background: those to fit on, and the tests.

    Args:
        entry: the model.
        category: the images with their labels.
        given: the set that they come from; of a library itself nothing is added.
    """
    if given.in_library is not None:
        return

    def work(job: Job[str]) -> str:
        parts = [one for one in (category.normals, category.tests) if len(one)]
        return " ".join(filter(None, [keep_dataset(entry, one, given.label, job, ()) for one in parts]))

    _keep_in_background(entry, given, work)


def _keep_in_background(entry: Entry, given: ImageSet, work: Callable[[Job[str]], str]) -> None:
    def said(job: Job[str]) -> str:
        # As an error, so that every page says it, with the reason.
        if why := work(job):
            raise PadimError(why)
        return ""

    key = f"keep:{entry.id}:{uuid.uuid4().hex}"
    watch.start(key, f"Keeping {given.label} in the image library", said, goes_on=True, model=entry.id)


def not_kept(error: Exception) -> str:
    """Return the sentence that says why images were used but are not in the library."""
    from padim.storage.atomic import explain_os_error

    why = explain_os_error(error) if isinstance(error, OSError) else error
    return f"Not all of these images were kept in the image library: {why}."


def _origin_of(given: ImageSet) -> ImageOrigin:
    if given.path is not None:
        return "folder" if given.path.is_dir() else "zip"
    names = [name for name, _ in given.files]
    if names and all(name.lower().endswith(".zip") for name in names):
        return "zip"
    return "folder" if any("/" in name for name in names) else "files"


# -- the sample ------------------------------------------------------------------------------------------


def is_of_sample(entry: Entry) -> bool:
    """Return whether a model was fitted on the sample, so that the sample's other images can test it."""
    try:
        model = workspace.open_model(entry)
    except PadimError:
        return False
    return not _sample_hashes().isdisjoint(normal.sha256 for normal in model.normals_)


@cache
def _sample_hashes() -> frozenset[str]:
    from padim.storage.atomic import sha256_of

    part = sample_part()
    if part is None:
        return frozenset()
    return frozenset(sha256_of(path) for path in (part / "train" / "good").iterdir() if path.is_file())
