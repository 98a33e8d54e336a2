"""The survey of newly chosen images, run as a background job, and a description of its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ui.app.text import count, size

if TYPE_CHECKING:
    from padim.data.sources import Source
    from padim.data.survey import Survey
    from ui.jobs.jobs import Job

THUMB_SIDE = 192


def survey(source: Source, job: Job[Any], bit_depth: int | None = None) -> Survey:
    """Read every image of a source and return what was found; the work of a background job.

    Args:
        source: the images.
        job: the background job.
        bit_depth: the range of images deeper than 8 bits; None as the files declare, or their values propose.
    """
    from padim.data import survey as engine

    return engine.survey(
        source,
        thumbnail_side=THUMB_SIDE,
        bit_depth=bit_depth,
        progress=job.progress,
        cancel=job.cancelled,
    )


def size_note(found: Survey) -> str:
    """Describe the images' sizes in one line, also when they are mixed."""
    sizes = found.sizes
    if not sizes:
        return "–"
    common, of_them = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return size(common)
    return f"{size(common)} ({of_them:,}) and {count(len(sizes) - 1, 'other size')}"
