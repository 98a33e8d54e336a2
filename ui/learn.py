"""Learn tab of the Inspect page: add confirmed good parts as a draft, look at what it changes, approve it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui import model_changes
from ui.app import opened, person, workspace
from ui.app.text import count
from ui.jobs import watch, work_queue
from ui.model_changes import ChangeResult

if TYPE_CHECKING:
    from padim.records.inspection import Inspection
    from padim.records.inspections import InspectionRecords
    from padim.records.learning_from_review import LearningFromReview
    from padim.records.learning_preview import LearningPreview
    from padim.records.library import AddedImages
    from padim.records.version import ModelVersion
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

# Candidates shown and added at once, the newest; the others follow when these are done.
MOST_AT_ONCE = 100


def learning(entry: Entry) -> LearningFromReview:
    """Return the decisions on record about a model's images."""
    from padim.records.learning_from_review import LearningFromReview

    return LearningFromReview(workspace.root(), entry.id)


def thumbnail(records: InspectionRecords, inspection_id: int | None) -> str | None:
    """Return an inspection's small image for a table, as a data URI; None if there is none.

    Tables are drawn before images at an address have arrived, and are not drawn again then.
    """
    data = None if inspection_id is None else records.thumbnail(inspection_id)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else None


# -- the draft -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DraftInView:
    """A draft that awaits approval, and the version that it would replace.

    Attributes:
        draft: the draft.
        former: the approved version, or else the one that the draft was made of; None if there is neither.
        in_use: whether ``former`` is approved.
        is_head: whether the draft is the saved model, so that discarding it restores ``former``.
    """

    draft: ModelVersion
    former: ModelVersion | None
    in_use: bool
    is_head: bool


def draft_of(entry: Entry) -> DraftInView | None:
    """Return the newest draft of a model, if nobody has approved a newer version."""
    from padim.records.versions import ModelVersions

    versions = ModelVersions(workspace.root(), entry.id)
    draft = versions.newer_draft()
    if draft is None:
        return None
    approved = versions.approved()
    former = approved
    if former is None and draft.based_on is not None:
        former = versions.get(draft.based_on)
    return DraftInView(draft, former, approved is not None, draft.revision == entry.revision)


def preview_job(entry: Entry, found: DraftInView) -> Job[LearningPreview] | None:
    """Return the job that scores the images on record by a draft, or has done so; None if there is none."""
    return watch.find(_preview_key(entry, found))


def _preview_key(entry: Entry, found: DraftInView) -> str:
    former = "" if found.former is None else found.former.revision
    return f"learn-preview:{entry.id}:{found.draft.revision}:{former}"


def start_preview(entry: Entry, found: DraftInView) -> None:
    """Score the images on record by the version in use and by the draft, in the background."""
    former, root = found.former, workspace.root()
    assert former is not None  # the page offers it only then

    def work(job: Job[LearningPreview]) -> LearningPreview:
        from padim.records.learning_preview import preview
        from padim.records.versions import ModelVersions

        job.progress(0, None, "Opening both versions")
        versions = ModelVersions(root, entry.id)
        before, after = versions.open(former), versions.open(found.draft)
        return preview(learning(entry), before, after, progress=job.progress, cancel=job.cancelled)

    key = _preview_key(entry, found)
    watch.registry().discard(key)
    watch.start(key, f"Scoring what is on record by version {found.draft.number}", work, model=entry.id)


def approve(entry: Entry, found: DraftInView, comment: str) -> None:
    """Make the draft the version that inspects.

    Raises:
        PadimError: its files were deleted, or somebody else is changing the model.
    """
    from padim.records.versions import ModelVersions

    ModelVersions(workspace.root(), entry.id).approve(found.draft.number, person.name(), comment)


def discard(entry: Entry, found: DraftInView) -> None:
    """Retire the draft; if it is the saved model, the former version is the saved one again, byte for byte.

    Raises:
        ChangedSinceOpenedError: somebody else has saved the model since the page showed it.
        PadimError: the former version cannot be restored.
    """
    from padim.records.versions import ModelVersions

    versions = ModelVersions(workspace.root(), entry.id)
    former = found.draft.based_on
    if found.is_head and former is not None:
        comment = f"draft {found.draft.number} was discarded"
        restored = versions.restore(former, person.name(), comment, revision=opened.seen_revision(entry))
        opened.saved(workspace.store().get(entry.id), restored.revision)
    versions.retire(found.draft.number, person.name(), "discarded before approval")


# -- good parts ------------------------------------------------------------------------------------------


def start_adding(entry: Entry, inspections: Sequence[Inspection]) -> None:
    """Continue the fit with confirmed good parts, as a draft, in the background."""
    model_changes.begin(
        entry,
        "Adding confirmed good parts",
        f"add {count(len(inspections), 'confirmed good part')}",
        partial(start_adding, inspections=inspections),
        partial(_add, inspections=inspections),
    )


def _add(entry: Entry, inspections: Sequence[Inspection], job: Job[ChangeResult]) -> ChangeResult:
    from padim.config import BIT_DEPTH_BEFORE
    from padim.data.opening import expand_uploads
    from padim.worker.images import Files
    from padim.worker.messages import Add
    from ui.files.survey import survey

    found = learning(entry)
    files = found.files(inspections)
    if not files:
        raise PadimError("The files of these parts are no longer kept.")
    looked = survey(expand_uploads(files), job, entry.manifest["config"].get("bit_depth", BIT_DEPTH_BEFORE))
    # The same serial number is the same part, as are images so alike that they must be shots of one.
    shots = looked.shots("near_identical") | found.shots(inspections, files)
    request = Add(
        **model_changes.about(entry, "adding confirmed good parts"),
        images=Files(files=files, folder="."),
        shots=shots,
        reason="confirmed in review",
        draft=True,
    )
    done = work_queue.run("change", request, job)
    text = f"{count(done.images, 'image')} of {count(done.parts, 'part')} added, as a draft"
    return ChangeResult(
        f"{text}: look at what it changes, then approve it.",
        done.unusable,
        done.files_passed_over,
        done.revision,
    )


def start_taking_out(entry: Entry, sha256s: Sequence[str]) -> None:
    """Refit without parts that were added from reviews, as a draft, in the background."""
    model_changes.begin(
        entry,
        "Taking parts out again",
        f"take {count(len(sha256s), 'part')} out again",
        partial(start_taking_out, sha256s=sha256s),
        partial(_take_out, sha256s=sha256s),
    )


def _take_out(entry: Entry, sha256s: Sequence[str], job: Job[ChangeResult]) -> ChangeResult:
    from padim.worker.messages import TakeOut

    request = TakeOut(
        **model_changes.about(entry, "taking parts out of the fit"),
        sha256s=list(sha256s),
        reason="added from review before",
        draft=True,
    )
    done = work_queue.run("change", request, job)
    text = f"{count(done.parts, 'part')} taken out, as a draft; the model is as if it had never seen "
    return ChangeResult(f"{text}{'it' if done.parts == 1 else 'them'}.", revision=done.revision)


# -- defects ---------------------------------------------------------------------------------------------


def defects_job(entry: Entry) -> Job[AddedImages] | None:
    """Return the job that adds confirmed defects to the library, or has done so; None if there is none."""
    return watch.find(f"learn-defects:{entry.id}")


def start_keeping(entry: Entry, defects: Sequence[Inspection]) -> None:
    """Add confirmed defects to the model's image library, in the background."""

    def work(job: Job[AddedImages]) -> AddedImages:
        def report(done: int) -> None:
            job.progress(done, len(defects), "Adding to the image library")

        report(0)
        return learning(entry).keep_defects(defects, progress=report, cancel=job.cancelled)

    watch.registry().discard(f"learn-defects:{entry.id}")
    watch.start(f"learn-defects:{entry.id}", "Adding confirmed defects", work, model=entry.id)
