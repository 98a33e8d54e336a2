"""Learning from reviews: who can be added, exactly; what a draft would change; defects for the library."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.errors import Cancelled, PadimError
from padim.records.image_records import ImageQuery
from padim.records.inspection import InspectionContext
from padim.records.learning_from_review import LearningFromReview
from padim.records.learning_preview import preview
from padim.records.library import ImageLibrary, NewImage
from padim.records.recording import new_inspection
from padim.records.reviews import ReviewRecords
from padim.records.versions import ModelVersions
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from padim.worker.images import Files
from padim.worker.messages import Add, TakeOut
from padim.worker.verbs import perform
from tests.parts import defects, normals, part, png


@dataclass
class Desk:
    """A model in a workspace, and what was inspected with it."""

    root: Path
    model_id: str
    learning: LearningFromReview
    reviews: ReviewRecords

    @property
    def model(self) -> Padim:
        return Workspace(self.root).open(self.model_id)

    def record(
        self, images: list[tuple[str, bytes]], *, kept: bool = True, serials: tuple[str, ...] = ()
    ) -> list[int]:
        """Record inspections of images."""
        found, contents = list(self.model.predict(images)), dict(images)
        return self.learning.records.add(
            [
                new_inspection(
                    self.model,
                    one,
                    InspectionContext("Anna", serial=serials[place] if serials else ""),
                    model_id=self.model_id,
                    original=contents[one.name] if kept else None,
                )
                for place, one in enumerate(found)
            ]
        )

    def decide(self, rows: list[int], decision: str, defect_type: str = "") -> None:
        for row in rows:
            self.reviews.decide(row, "Anna", decision, defect_type)  # type: ignore[arg-type]


def images(kind: Sequence[tuple[str, object]]) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in kind if isinstance(data, bytes)]


GOOD = images(normals(6, first=100))
BAD = images(defects(3))


@pytest.fixture
def desk(tmp_path: Path, small_model: Padim) -> Desk:
    store = Workspace(tmp_path / "home")
    entry = store.create("Flange")
    shutil.copytree(small_model.working_set.folder, store.work_dir(entry.id))
    small_model.save(entry.path)
    WorkspaceSettings(store.root).set(OriginalsSettings(keep="all"), "Anna")
    return Desk(store.root, entry.id, LearningFromReview(store.root, entry.id), ReviewRecords(store.root))


def test_only_undisputed_parts_that_can_be_fitted_are_ready(desk: Desk) -> None:
    rows = desk.record(GOOD)
    gone = desk.record([("gone.png", png(part(120)))], kept=False)
    fitted = desk.record(images(normals(1)))
    desk.decide([*rows[:5], *gone, *fitted], "accept")
    # A second person finds a defect in one of them, another inspection of one is a reject, and one has a
    # label: none of them is beyond doubt.
    desk.reviews.decide(rows[0], "Ben", "reject", second=True)
    desk.decide(desk.record(GOOD[1:2]), "reject")
    ImageLibrary(desk.root, desk.model_id).add([NewImage("x.png", GOOD[2][1], "defect")], "files")
    found = desk.learning.good(desk.model.normals_)
    assert [one.name for one in found.ready] == [GOOD[4][0], GOOD[3][0]]
    assert (found.in_fit, found.taken_out, found.disputed, found.without_file) == (1, 0, 3, 1)
    desk.reviews.undo("Anna", rows[4])
    assert [one.name for one in desk.learning.good(desk.model.normals_).ready] == [GOOD[3][0]]
    desk.learning.originals()[sha256(GOOD[3][1]).hexdigest()].unlink()
    assert desk.learning.good(desk.model.normals_).ready == ()


def test_parts_are_added_and_taken_out_again_exactly(desk: Desk, small_model: Padim, tmp_path: Path) -> None:
    rows = desk.record(GOOD[:3])
    desk.decide(rows, "accept")
    ready = desk.learning.good(small_model.normals_).ready
    model, before = desk.model, small_model.state
    model.partial_fit(desk.learning.files(ready))
    # To the bit as one fit on all of them, in this order.
    one_fit = Padim(small_model.config, work_dir=tmp_path / "w").fit([*normals(22), *reversed(GOOD[:3])])
    assert model.state.identity == one_fit.state.identity
    np.testing.assert_array_equal(model.state.fitted.held_out, one_fit.state.fitted.held_out)
    added = desk.learning.added(model.normals_)
    assert [(model.normals_[index].sha256, one.id) for index, one in added] == [
        (one.sha256, one.id) for one in ready
    ]
    for index, _ in added:
        model.exclude(index, "not_good")
    assert model.state.identity == before.identity
    assert model.current_threshold == small_model.current_threshold
    assert desk.learning.good(model.normals_).taken_out == 3
    assert desk.learning.added(model.normals_) == []


def test_the_worker_makes_drafts_of_what_is_added_and_taken_out(desk: Desk, small_model: Padim) -> None:
    desk.decide(desk.record(GOOD[:2]), "accept")
    ready = desk.learning.good(small_model.normals_).ready
    about: dict[str, Any] = {"root": desk.root, "model": desk.model_id, "by": "Anna", "draft": True}
    added = perform(
        Add(images=Files(files=desk.learning.files(ready), folder="."), shots={}, **about),
        lambda *_, **__: None,
        lambda: False,
    )
    assert added.parts == 2
    assert desk.model.state.identity != small_model.state.identity
    out = TakeOut(sha256s=[one.sha256 for one in ready], reason="added by mistake", **about)
    assert perform(out, lambda *_, **__: None, lambda: False).parts == 2
    assert desk.model.state.identity == small_model.state.identity
    versions = ModelVersions(desk.root, desk.model_id).all()
    assert [(one.who, one.cause, one.state, one.reason) for one in versions[1:]] == [
        ("Anna", "addition", "draft", ""),
        ("Anna", "exclusion", "draft", "added by mistake"),
    ]
    with pytest.raises(PadimError, match="None of these parts"):
        perform(out, lambda *_, **__: None, lambda: False)


def test_files_have_distinct_names_and_serial_numbers_tell_shots(desk: Desk) -> None:
    same = [("part.png", GOOD[0][1]), ("other.png", GOOD[1][1])]
    rows = desk.record(same, serials=("17", "17"))
    rows += desk.record([("part.png", GOOD[2][1])], serials=("18",))
    desk.decide(rows, "accept")
    ready = desk.learning.good(desk.model.normals_).ready
    files = desk.learning.files(ready)
    names = {path.name: name for name, path in files}
    first, second, third = (names[sha256(data).hexdigest()] for _, data in GOOD[:3])
    assert len({first, second, third}) == 3
    assert all(name.endswith(".png") for name in names.values())
    assert all(path.read_bytes() for _, path in files)
    assert desk.learning.shots(ready, files) == {first: second}  # the newest comes first


def test_defects_join_the_library_once_with_their_type(desk: Desk) -> None:
    rows = desk.record(BAD)
    desk.decide(rows[:2], "reject", "scratch")
    desk.decide(rows[2:], "reject")
    found = desk.learning.defects()
    assert len(found.ready) == 3
    desk.learning.keep_defects(found.ready)
    library = ImageLibrary(desk.root, desk.model_id)
    assert {one.name: (one.label, one.defect_type) for one in library.images()} == {
        BAD[0][0]: ("defect", "scratch"),
        BAD[1][0]: ("defect", "scratch"),
        BAD[2][0]: ("defect", ""),
    }
    again = desk.learning.defects()
    assert (again.ready, again.in_library) == ((), 3)
    assert desk.learning.keep_defects(found.ready).known
    assert library.count() == 3
    library.remove([sha256(BAD[0][1]).hexdigest()])  # it is not brought back
    assert desk.learning.defects().ready == ()
    with pytest.raises(Cancelled):
        desk.learning.keep_defects(found.ready, cancel=lambda: True)


def test_a_preview_says_what_flips_and_which_defects_would_pass(desk: Desk) -> None:
    good, bad = desk.record(GOOD), desk.record(BAD)
    desk.decide(good[:2], "accept")
    desk.decide(bad[:2], "reject")
    desk.record([("gone.png", png(part(120)))], kept=False)
    desk.decide(desk.record([("gone too.png", png(part(510, defect=True)))], kept=False), "reject")
    library = ImageLibrary(desk.root, desk.model_id)
    library.add([NewImage("in library.png", png(part(511, defect=True)), "defect")], "files")
    before, after = desk.model, desk.model
    scores = sorted(one.score for one in before.predict([*BAD, ("l", png(part(511, defect=True)))]))
    after.partial_fit(GOOD[:1]).set_decision(value=(scores[1] + scores[2]) / 2)
    seen: list[tuple[int, int | None]] = []
    found = preview(
        desk.learning, before, after, progress=lambda done, total, stage: seen.append((done, total))
    )
    both = {data: name for name, data in [*GOOD, *BAD, ("in library.png", png(part(511, defect=True)))]}
    expected = {
        name: (next(before.predict([(name, data)])).verdict, next(after.predict([(name, data)])))
        for data, name in both.items()
    }
    assert {one.name for one in found.images} == set(expected)
    for one in found.images:
        assert one.before == expected[one.name][0]
        if one.name == GOOD[0][0]:
            assert one.held_out
            assert one.after_score > expected[one.name][1].score  # its own fit would flatter it
        else:
            assert not one.held_out
            assert (one.after, one.after_score) == (
                expected[one.name][1].verdict,
                expected[one.name][1].score,
            )
    known = [one for one in found.images if one.known == "defect"]
    assert {one.name for one in known} == {BAD[0][0], BAD[1][0], "in library.png"}
    assert list(found.images[:3]) == known
    assert found.passing == tuple(one for one in known if one.after == "accept")
    assert found.passing
    assert all(one.flips for one in found.passing)
    assert {one.name for one in found.flips} == {
        name for name, (one, other) in expected.items() if one != other.verdict
    } - {one.name for one in found.passing} - {GOOD[0][0]}
    assert (found.without_file, found.defects_without_file, found.not_tried) == (2, 1, 0)
    assert found.before_promise == before.false_reject_rate_
    assert found.after_promise == after.false_reject_rate_
    assert found.after_promise is not None
    assert found.after_promise.n == 23
    assert seen[-1] == (20, 20)
    few = preview(desk.learning, before, after, most_others=2)
    assert few.not_tried == len(found.images) - 3 - 2
    assert [one.known for one in few.images[:3]] == ["defect"] * 3
    with pytest.raises(Cancelled):
        preview(desk.learning, before, after, cancel=lambda: True)


def test_a_file_that_cannot_be_read_any_more_is_named(desk: Desk) -> None:
    desk.decide(desk.record(BAD[:1]), "reject")
    (path,) = desk.learning.originals().values()
    path.write_bytes(path.read_bytes()[:-9])
    found = preview(desk.learning, desk.model, desk.model)
    assert found.images == ()
    assert [(one.name, one.reason) for one in found.unreadable] == [(BAD[0][0], "its file is gone")]
    assert ImageLibrary(desk.root, desk.model_id).images(ImageQuery()) == []
