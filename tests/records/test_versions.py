"""Versions of a model: immutable, one approved, shared on disk by content, whole after a kill."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from padim import Padim, Workspace
from padim.errors import BundleError, ChangedSinceOpenedError, PadimError, StorageError
from padim.records.schema import INSPECTIONS, VERSION_EVENTS, VERSIONS
from padim.records.version import VersionChange
from padim.records.versions import KEEP_NEWEST, ModelVersions, of_path
from padim.records.workspace_settings import ApprovalSettings, WorkspaceSettings
from padim.storage import bin as model_bin
from padim.storage.holder import acting
from tests.parts import normals


@pytest.fixture
def store(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def model_id(store: Workspace, saved_model: Path, small_model: Padim) -> str:
    """A model as an older program has saved it: without versions."""
    entry = store.create("Flange")
    shutil.copytree(saved_model, entry.path, dirs_exist_ok=True)
    shutil.copytree(small_model.working_set.folder, entry.path / "work")
    return entry.id


@pytest.fixture
def versions(store: Workspace, model_id: str) -> ModelVersions:
    found = ModelVersions(store.root, model_id)
    found.catch_up()
    return found


def set_threshold(store: Workspace, model_id: str, value: float, change: VersionChange | None = None) -> None:
    with store.edit(model_id, change=change or VersionChange("Ann")) as model:
        model.set_decision(value=value)


def states(versions: ModelVersions) -> list[str]:
    return [one.state for one in versions.all()]


def files_of(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir() if one.is_file() and one.name != ".lock"}


def test_a_model_of_an_older_program_gets_its_version_when_it_is_looked_at(
    store: Workspace, model_id: str, small_model: Padim
) -> None:
    versions = ModelVersions(store.root, model_id)
    assert (versions.all(), versions.approved(), versions.head(), versions.newer_draft()) == (
        [],
        None,
        None,
        None,
    )
    first = versions.catch_up()
    assert first is not None
    assert versions.catch_up() == first == versions.head() == versions.approved() == versions.newest()
    assert (first.number, first.cause, first.based_on, first.n_parts) == (1, "fit", None, 22)
    assert first.threshold == pytest.approx(small_model.threshold_)
    assert first.expected == pytest.approx(small_model.false_reject_rate_.expected)
    assert first.revision == store.get(model_id).revision
    assert [event.kind for event in versions.events(1)] == ["made", "approved"]


def test_every_change_makes_a_version_that_says_who_why_and_what(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    before = datetime.now(UTC)
    set_threshold(store, model_id, 9.0, VersionChange("Ann", reason="two false rejects on Monday"))
    with acting("a shell command", "padim calibrate"), store.edit(model_id) as model:
        model.set_decision(value=9.0, min_area=model.config.min_area + 1)
    with store.edit(model_id, change=VersionChange("Ben")) as model:
        model.exclude(0, "not_good")
    with store.edit(model_id, change=VersionChange("Ben")) as model:
        model.include(0)
    with store.edit(model_id, change=VersionChange("Ben", cause="addition")) as model:
        model.partial_fit(normals(2, first=40))
    made = versions.all()
    assert [(one.number, one.who, one.cause, one.based_on) for one in made[1:]] == [
        (2, "Ann", "threshold", 1),
        (3, "a shell command", "threshold", 2),
        (4, "Ben", "exclusion", 3),
        (5, "Ben", "inclusion", 4),
        (6, "Ben", "addition", 5),
    ]
    assert made[1].reason == "two false rejects on Monday"
    assert "threshold" in made[1].changed
    assert "expected false rejects" in made[1].changed
    assert "parts in the fit 22 → 21" in made[3].changed
    assert [one.n_parts for one in made] == [22, 22, 22, 21, 22, 24]
    assert before <= made[1].made <= made[5].made <= datetime.now(UTC)
    assert states(versions) == ["retired"] * 5 + ["approved"]
    # Parts are taken out exactly: what is as it was before is yet another version, which now inspects.
    assert made[4].scoring_identity == made[2].scoring_identity != made[3].scoring_identity


def test_a_save_without_a_change_makes_no_version(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    revision = store.get(model_id).revision
    with store.edit(model_id):
        pass
    (only,) = versions.all()
    assert versions.head() == only
    assert only.revision == revision


def test_versions_are_opened_and_give_the_scores_of_their_day(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    with store.edit(model_id, change=VersionChange("Ann")) as model:
        model.exclude(3, "not_good")
    first, second = versions.all()
    image = normals(1, first=77)
    old, new = (next(iter(versions.open(one).predict(image))) for one in (first, second))
    again = next(iter(Padim.load(versions.path(first)).predict(image)))
    assert (old.levels == again.levels).all()
    assert (old.levels != new.levels).any()
    assert versions.entry(first).revision == first.revision
    assert first.scoring_identity == versions.open(first).state.identity != second.scoring_identity


def test_what_versions_share_is_on_the_disk_once(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    for value in (3.0, 4.0, 5.0):
        set_threshold(store, model_id, value)
    network = store.get(model_id).manifest["files"]["backbone.onnx"]["file"]
    assert (store.get(model_id).path / network).stat().st_nlink == 2
    assert versions.total_bytes() == 0, "only the manifests differ"
    with store.edit(model_id) as model:
        model.exclude(0, "not_good")
    assert 0 < versions.total_bytes() < versions.all()[0].bytes
    set_threshold(store, model_id, 6.0)
    own = versions.own_bytes()
    assert own[1] == own[2] == 0, "the first ones share their arrays"


def test_copies_where_there_are_no_links(
    store: Workspace, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "no links here")

    monkeypatch.setattr("padim.storage.version_files.os.link", refused)
    versions = ModelVersions(store.root, model_id)
    set_threshold(store, model_id, 7.0)
    first, second = versions.all()
    assert versions.open(first).current_threshold != versions.open(second).current_threshold
    versions.restore(1, "Ann")
    assert store.open(model_id).revision == first.revision


def test_an_altered_version_is_refused_by_name(versions: ModelVersions) -> None:
    (first,) = versions.all()
    path = versions.path(first)
    name = next(path.parent.joinpath("files").glob("mean-*"))
    name.unlink()
    name.write_bytes(b"x" * 9)
    with pytest.raises(BundleError, match=name.name):
        versions.open(first)
    path.write_text(path.read_text().replace("22", "23"))
    with pytest.raises(BundleError, match="altered"):
        versions.open(first)


def test_one_version_is_approved_and_going_back_keeps_the_newer_as_a_draft(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    set_threshold(store, model_id, 9.0)
    set_threshold(store, model_id, 8.0)
    assert states(versions) == ["retired", "retired", "approved"]
    versions.approve(1, "Ben", "too many rejects")
    assert states(versions) == ["approved", "retired", "draft"]
    draft = versions.newer_draft()
    assert draft is not None
    assert draft.number == 3 == getattr(versions.head(), "number", None)
    versions.approve(3, "Ben")  # undo
    assert states(versions) == ["retired", "retired", "approved"]
    assert versions.newer_draft() is None
    versions.reopen(2, "Ben")
    versions.retire(2, "Ben", "a mistake")
    with pytest.raises(PadimError, match="approved one"):
        versions.retire(3, "Ben")
    with pytest.raises(PadimError, match="no version 9"):
        versions.approve(9, "Ben")
    kinds = [(event.kind, event.comment) for event in versions.events(2)]
    assert kinds[-2:] == [("reopened", ""), ("retired", "a mistake")]
    assert [(e.kind, e.who, e.comment) for e in versions.events(1)][-2:] == [
        ("approved", "Ben", "too many rejects"),
        ("retired", "Ben", "version 3 was approved"),
    ]


def test_by_hand_and_drafts_wait_for_somebody(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    set_threshold(store, model_id, 9.0, VersionChange("Ann", draft=True))
    assert states(versions) == ["approved", "draft"], "a draft also where changes take effect at once"
    WorkspaceSettings(store.root, model_id).set(ApprovalSettings(approval="by_hand"), "Ann")
    set_threshold(store, model_id, 8.0)
    assert states(versions) == ["approved", "draft", "draft"]
    assert getattr(versions.newer_draft(), "number", None) == 3


def test_a_version_is_made_the_working_copy_again_byte_for_byte(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    path = store.get(model_id).path
    before = files_of(path)
    with store.edit(model_id) as model:
        model.exclude(0, "not_good")
    seen = store.get(model_id).revision
    with pytest.raises(ChangedSinceOpenedError):
        versions.restore(1, "Ann", revision="another")
    versions.restore(1, "Ann", revision=seen)
    assert files_of(path) == before
    assert getattr(versions.head(), "number", None) == 1
    assert states(versions) == ["retired", "approved"], "restoring does not approve"
    set_threshold(store, model_id, 9.0)
    assert [one.based_on for one in versions.all()] == [None, 1, 1]


def test_a_kill_before_the_row_loses_neither_the_version_nor_its_reason(
    store: Workspace, model_id: str, versions: ModelVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    for moment, value in (("_row", 9.0), ("_insert", 8.0)):
        with monkeypatch.context() as patch:
            patch.setattr(ModelVersions, moment, killed)
            with pytest.raises(Killed):
                set_threshold(store, model_id, value, VersionChange("Ann", reason="as agreed", draft=True))
        number = len(versions.all())
        assert versions.head() is None, "the model is saved, its version is not on record"
        found = versions.catch_up()
        assert found is not None
        assert (found.number, found.who, found.reason, found.cause) == (
            number + 1,
            "Ann",
            "as agreed",
            "threshold",
        )
        assert found.state == "draft"
        assert versions.files.numbers() == [one.number for one in versions.all()]


def test_without_the_database_the_model_is_saved_and_its_version_comes_later(
    store: Workspace,
    model_id: str,
    versions: ModelVersions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(*_: object) -> None:
        raise StorageError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(ModelVersions, "_insert", away)
        set_threshold(store, model_id, 9.0)
    assert "put on record later" in caplog.text
    assert store.open(model_id).threshold_ == pytest.approx(9.0, abs=0.1)
    assert getattr(versions.catch_up(), "who", "") == "Ann"


def test_versions_survive_their_database(store: Workspace, model_id: str, versions: ModelVersions) -> None:
    set_threshold(store, model_id, 9.0)
    with versions._database.writing() as connection:
        connection.execute(delete(VERSION_EVENTS))
        connection.execute(delete(VERSIONS))
    assert versions.all() == []
    set_threshold(store, model_id, 8.0)
    assert states(versions) == ["retired", "retired", "approved"]
    assert versions.open(versions.get(1)).revision == versions.get(1).revision


def test_pruning_by_rule_never_takes_what_a_record_names(
    store: Workspace, model_id: str, versions: ModelVersions, small_model: Padim
) -> None:
    with store.edit(model_id) as model:
        model.exclude(0, "not_good")
    for index in range(KEEP_NEWEST + 1):
        set_threshold(store, model_id, 5.0 + index)
    later = datetime.now(UTC) + timedelta(days=91)
    assert versions.prunable() == (), "all are young"
    assert versions.prunable(later) == (1, 2, 3)
    second = versions.get(2)
    record_names(versions, second.id)
    assert versions.prunable(later) == (1, 3)
    versions.approve(3, "Ann")
    pruned = versions.prune("Ann", later)
    assert pruned.numbers == (1,)
    assert pruned.bytes > 0
    assert versions.get(1).pruned is not None
    assert versions.open(second).revision == second.revision
    with pytest.raises(PadimError, match="files were deleted on"):
        versions.open(versions.get(1))
    with pytest.raises(PadimError, match="files were deleted on"):
        versions.approve(1, "Ann")
    assert [event.kind for event in versions.events(1)][-1] == "pruned"


def record_names(versions: ModelVersions, version_id: int) -> None:
    """Put an inspection by this version on record."""
    values: dict[str, object] = {}
    for column in INSPECTIONS.columns:
        if not column.nullable and not column.primary_key:
            values[column.name] = {str: "", int: 0, float: 0.0, bool: False}[column.type.python_type]
    values |= {"version_id": version_id, "verdict": "accept"}
    with versions._database.writing() as connection:
        connection.execute(insert(INSPECTIONS).values(**values))


def test_a_model_in_the_bin_comes_back_with_its_versions(
    store: Workspace, model_id: str, versions: ModelVersions
) -> None:
    (first,) = versions.all()
    deleted = model_bin.put(store, model_id)
    assert versions.all() == [first]
    assert versions.head() is None
    assert versions.catch_up() is None
    with pytest.raises(PadimError, match="bin"):
        versions.open(first)
    model_bin.restore(store, deleted)
    assert versions.open(first).revision == first.revision


def test_versions_of_a_path(store: Workspace, model_id: str, saved_model: Path) -> None:
    found = of_path(store.get(model_id).path)
    assert found is not None
    assert found.model_id == model_id
    assert of_path(saved_model) is None
