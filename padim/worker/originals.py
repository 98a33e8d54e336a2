"""The original images of a fit in the model's image library, so that nobody has to give them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from padim.errors import Cancelled, PadimError
from padim.storage.atomic import explain_os_error

if TYPE_CHECKING:
    from padim.data.sources import Source
    from padim.records.library import NewImage
    from padim.storage.normals import Normal


def keep_originals(
    root: Path,
    model_id: str,
    source: Iterable[tuple[str, bytes]],
    normals: Iterable[Normal],
    label: str,
    progress: Callable[[int, int | None, str], object],
    cancel: Callable[[], bool],
) -> str:
    """Add the images that a saved model was fitted on to its library; the model is whole without them.

    Args:
        root: the workspace's folder.
        model_id: the model's id.
        source: the images, read once more, one at a time.
        normals: the model's images.
        label: the user's name of the images.
        progress: called with progress reports.
        cancel: polled between images; True stops.

    Returns:
        Why the library does not have all of them, as a sentence; empty if it has.
    """
    from padim.records.library import ImageLibrary, NewImage

    wanted = {normal.sha256 for normal in normals if normal.status != "not_good"}
    stage, stored = "Keeping the images", 0

    def images() -> Iterator[NewImage]:
        for name, data in source:
            if hashlib.sha256(data).hexdigest() in wanted:
                yield NewImage(name, data, "good")

    def report(done: int) -> None:
        nonlocal stored
        stored = done
        progress(done, len(wanted), stage)

    progress(0, len(wanted), stage)
    library = ImageLibrary(root, model_id)
    try:
        library.add(images(), "fit", label, relabel=False, progress=report, cancel=cancel)
    except Cancelled:
        why = "this was stopped"
    except PadimError as error:
        why = str(error)
    except OSError as error:
        why = str(explain_os_error(error))
    else:
        return ""
    return f"The model is saved. Of its {len(wanted):,} images {stored:,} are in its image library: {why}."


def originals_of(root: Path, model_id: str, normals: Iterable[Normal]) -> Source | None:
    """Return those images of a model that its library has, read when they are needed.

    Args:
        root: the workspace's folder.
        model_id: the model's id.
        normals: the model's images.

    Returns:
        The images; None if the library has none of them, or cannot be read.
    """
    from padim.records.library import ImageLibrary, ImageQuery
    from padim.records.library_data import source_of

    wanted = [normal.sha256 for normal in normals if normal.status != "not_good"]
    try:
        found = ImageLibrary(root, model_id).images(ImageQuery(only=wanted))
    except PadimError:
        return None
    return source_of(found, known_good=True) if found else None
