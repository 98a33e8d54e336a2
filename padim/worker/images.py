"""The images of a request: a folder or zip, files on disk, a model's library, or a labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from padim.errors import PadimError

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.data.sources import File, Source
    from padim.records.image_records import LibraryImage
    from padim.records.library import ImageLibrary
    from padim.study.data import Category


class AtPath(BaseModel):
    """Images in a folder or a zip file.

    Attributes:
        path: the folder or zip.
        folder: the folder in it to use; ``.`` if all images are known to be good parts; None for all of it.
    """

    kind: Literal["path"] = "path"
    path: Path
    folder: str | None = None


class Files(BaseModel):
    """Uploaded files on disk with their original names; zips among them are opened.

    Attributes:
        files: name and path of each.
        folder: as for :class:`AtPath`.
    """

    kind: Literal["files"] = "files"
    files: list[tuple[str, Path]]
    folder: str | None = None


class InLibrary(BaseModel):
    """Images in the image library of a model.

    Attributes:
        root: the workspace's folder.
        model: the model's id.
        images: SHA-256 of the images.
        to_fit: SHA-256 of those of them that a study fits on; empty if it draws them.
    """

    kind: Literal["library"] = "library"
    root: Path
    model: str
    images: list[str]
    to_fit: list[str] = []

    def dataset(self) -> Dataset:
        """Return the images with their labels and masks."""
        from padim.records.library_data import dataset_of

        library, found = self._found()
        to_fit = set(self.to_fit)
        return dataset_of(
            library,
            [image for image in found if image.sha256 not in to_fit],
            [image for image in found if image.sha256 in to_fit],
        )

    def source(self) -> Source:
        """Return the images, all of them known to be good parts."""
        from padim.records.library_data import source_of

        return source_of(self._found()[1], known_good=True)

    def _found(self) -> tuple[ImageLibrary, list[LibraryImage]]:
        from padim.records.library import ImageLibrary, ImageQuery

        library = ImageLibrary(self.root, self.model)
        return library, library.images(ImageQuery(only=self.images))


class Labeled(BaseModel):
    """Labelled images to compare configurations on.

    Attributes:
        at: the location of the images.
        label: the name of the data set for the user; the only name if these are single files.
        beside: whether masks beside the folder may be read.
        good_of: use only the good images to fit on, of the category of this name; None: all categories.
    """

    kind: Literal["labelled"] = "labelled"
    at: Annotated[AtPath | Files | InLibrary, Field(discriminator="kind")]
    label: str
    beside: bool = False
    good_of: str | None = None

    def categories(self) -> tuple[Category, ...]:
        """Return the categories of the data set.

        Raises:
            PadimError: the images cannot be divided into good parts and others, or there are too few.
        """
        from padim.study.data import categories, category

        if isinstance(self.at, AtPath):
            return categories(self.at.path, beside=self.beside)
        if isinstance(self.at, InLibrary):
            return (category(self.label, self.at.dataset()),)
        return categories_of_files(self.at.files, self.label)


Images = Annotated[AtPath | Files | InLibrary | Labeled, Field(discriminator="kind")]


def open_images(given: AtPath | Files | InLibrary | Labeled) -> Source | Dataset:
    """Open the images of a request; they are read lazily.

    Raises:
        PadimError: the images do not exist (any more).
    """
    from padim.data.opening import expand_uploads, open_source
    from padim.data.sub_folder import in_folder

    if isinstance(given, InLibrary):
        return given.source()
    if isinstance(given, AtPath | Files):
        source = open_source(given.path) if isinstance(given, AtPath) else expand_uploads(given.files)
        return source if given.folder is None else in_folder(source, given.folder)
    for category in given.categories():
        if category.name == given.good_of:
            return category.normals
    raise PadimError(f"{given.label}: no longer has a category '{given.good_of}'; choose the images again")


def categories_of_files(files: Sequence[tuple[str, File]], label: str) -> tuple[Category, ...]:
    """Return the single category of uploaded files, which are labelled images or only good parts.

    Args:
        files: name and content of every file.
        label: the name of the data set; its stem is the category's name.

    Raises:
        PadimError: the files are neither labelled nor good parts, or there are too few.
    """
    from padim.data.datasets import good_uploads, open_uploads
    from padim.study.data import category

    try:
        dataset = open_uploads(files)
    except PadimError as error:
        try:
            dataset = good_uploads(files)
        except PadimError:
            raise error from None
    return (category(Path(label).stem or label, dataset),)
