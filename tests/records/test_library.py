"""A model's image library: every image once, labels and removals undone as wholes, a limit said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from padim.data.decode import sha256
from padim.errors import Cancelled, ImageError, LibraryFullError, PadimError, StorageError
from padim.records import library_limit
from padim.records.library import ImageLibrary, ImageQuery, NewImage
from padim.storage.model_folders import ModelFolders
from tests.refusing import refusing

ON_EACH_DATABASE = True


@pytest.fixture
def library(tmp_path: Path) -> ImageLibrary:
    return ImageLibrary(tmp_path, ModelFolders(tmp_path).create("Flange").id)


def new(content: str, label: str = "unknown", kind: str = "", **more: object) -> NewImage:
    return NewImage(f"{content}.png", content.encode(), label, kind, **more)  # type: ignore[arg-type]


def digest(content: str) -> str:
    return sha256(content.encode())


def shown(library: ImageLibrary) -> list[tuple[str, str, str]]:
    return [(one.name, one.label, one.defect_type) for one in library.images()]


def test_an_empty_library_is_read_without_a_file(library: ImageLibrary, tmp_path: Path) -> None:
    assert (library.images(), library.count(), library.size, library.labels()) == ([], 0, 0, {})
    assert (library.defect_types(), library.to_undo(), library.to_redo()) == ([], None, None)
    assert not (tmp_path / "records.sqlite").exists()


def test_images_are_kept_with_all_that_is_known_of_them(library: ImageLibrary) -> None:
    before = datetime.now(UTC)
    mask = ("m.png", b"a mask")
    added = library.add([new("a", "good"), new("b", "defect", "Scratch", masks=(mask,))], "zip", "today.zip")
    good, defect = library.images()
    assert added.added == (good.sha256, defect.sha256) == (digest("a"), digest("b"))
    assert (good.label, good.kind, good.defect_type, good.masks) == ("good", "good", "", ())
    assert (defect.label, defect.kind, defect.origin, defect.origin_name) == (
        "defect",
        "Scratch",
        "zip",
        "today.zip",
    )
    assert [(one.name, one.sha256) for one in defect.masks] == [("m.png", sha256(b"a mask"))]
    assert before <= good.added <= datetime.now(UTC)
    assert good.path.read_bytes() == library.read(good) == b"a"
    assert library.size == 2 + len(b"a mask")
    assert library.defect_types() == ["Scratch"]


def test_the_same_image_is_stored_once_and_takes_the_new_label(library: ImageLibrary) -> None:
    library.add([new("a"), new("a", "good"), new("b", "good")], "files")
    again = library.add([new("a", "defect", "dent"), new("b"), new("c")], "folder")
    assert (again.added, again.known) == ((digest("c"),), (digest("a"), digest("b")))
    assert shown(library) == [("a.png", "defect", "dent"), ("b.png", "good", ""), ("c.png", "unknown", "")]
    undone = library.undo()
    assert undone is not None
    assert (undone.kind, undone.images) == ("label", 1)
    assert shown(library)[0] == ("a.png", "good", "")


def test_the_originals_of_a_fit_do_not_replace_a_label(library: ImageLibrary) -> None:
    library.set_label([digest("a")], "defect")
    library.add([new("a", "good"), new("b", "good")], "fit", relabel=False)
    assert [one.label for one in library.images()] == ["defect", "good"]


def test_labels_apply_to_images_outside_the_library(library: ImageLibrary) -> None:
    assert library.set_label([digest("a"), digest("b")], "defect", "dent") == 2
    assert library.labels() == {digest("a"): "defect", digest("b"): "defect"}
    library.add([new("a")], "files")
    assert shown(library) == [("a.png", "defect", "dent")]
    # The same label changes nothing, keeps the type, and is no action.
    assert library.set_label([digest("a")], "defect") == 0
    assert library.set_label([digest("a")], "good", instead_of="unknown") == 0
    assert library.set_label([digest("a")], "unknown") == 1
    assert library.labels() == {digest("b"): "defect"}


def test_types_of_defects_are_one_catalog_a_model(library: ImageLibrary, tmp_path: Path) -> None:
    library.add([new("a", "defect", "Scratch"), new("b", "defect", " scratch ")], "files")
    other = ImageLibrary(tmp_path, ModelFolders(tmp_path).create("Other").id)
    assert (library.defect_types(), other.defect_types()) == (["Scratch"], [])
    library.rename_type("scratch", "Deep scratch")
    assert {one.kind for one in library.images()} == {"Deep scratch"}
    library.set_label([digest("b")], "defect", "dent")
    for former, name in (("dent", "deep SCRATCH"), ("dent", ""), ("hole", "x"), ("dent", "y" * 61)):
        with pytest.raises(PadimError, match="type of defect"):
            library.rename_type(former, name)
    with pytest.raises(PadimError, match="type of defect"):
        library.set_label([digest("a")], "defect", "Good")


def test_images_are_found_by_label_type_origin_name_and_content(library: ImageLibrary) -> None:
    library.add([new(f"part_{i}", "good") for i in range(5)], "fit", "Monday")
    library.add([new("x%1", "defect", "dent"), new("x2", "defect"), new("y")], "files")

    def names(**query: object) -> list[str]:
        found = library.images(ImageQuery(**query))  # type: ignore[arg-type]
        assert library.count(ImageQuery(**query)) == len(found)  # type: ignore[arg-type]
        return [one.name.removesuffix(".png") for one in found]

    assert names(labels=["defect"]) == ["x%1", "x2"]
    assert names(labels=["unknown"]) == ["y"]
    assert names(defect_type="dent") == ["x%1"]
    assert names(defect_type="") == ["x2"]
    assert len(names(origin="fit")) == len(names(contains="MONDAY")) == 5
    assert names(contains="%") == ["x%1"]
    assert names(contains="_4") == ["part_4"]
    assert names(only=[digest("y"), digest("nothing")]) == ["y"]
    assert names(only=[]) == []
    assert names(without=[digest(f"part_{i}") for i in range(5)]) == ["x%1", "x2", "y"]
    pages = [library.images(offset=i, number=3) for i in (0, 3, 6)]
    assert [len(page) for page in pages] == [3, 3, 2]
    assert [one for page in pages for one in page] == library.images()
    assert library.images(newest_first=True) == library.images()[::-1]


def test_a_removed_image_comes_back_by_undo_or_by_adding_it_again(library: ImageLibrary) -> None:
    library.add([new("a", "good"), new("b", "defect", "dent")], "files")
    number = library.images()[1].id
    assert library.remove([digest("b"), digest("nothing")]) == 1
    assert (library.count(), library.size) == (1, 1)
    library.undo()
    assert [one.id for one in library.images()][1] == number
    library.redo()
    assert library.count() == 1
    library.add([NewImage("new name.png", b"b")], "zip", "z")
    (back,) = library.images(ImageQuery(only=[digest("b")]))
    # What was said of it is still known.
    assert (back.id, back.name, back.origin, back.kind) == (number, "new name.png", "zip", "dent")
    undone = library.undo()  # the removal, which has been overtaken
    assert undone is not None
    assert (undone.images, undone.skipped) == (0, 1)


def test_undo_leaves_alone_what_was_changed_since_by_an_upload(library: ImageLibrary) -> None:
    library.set_label([digest("a"), digest("b")], "good")
    # As another process may, between showing the button and pressing it.
    library.set_label([digest("a")], "defect")
    assert library.undo() is not None
    assert library.undo() is not None
    assert library.labels() == {}
    assert library.redo() is not None
    assert library.labels() == {digest("a"): "good", digest("b"): "good"}
    library.set_label([digest("c")], "good")
    assert library.to_redo() is None
    assert library.redo() is None


def test_the_limit_is_said_and_what_came_before_is_kept(tmp_path: Path) -> None:
    library = ImageLibrary(tmp_path, ModelFolders(tmp_path).create("Flange").id, limit=10)
    with pytest.raises(LibraryFullError, match=r"c\.png: .* full .* PADIM_LIBRARY_LIMIT"):
        library.add([NewImage(f"{name}.png", name.encode() * 4) for name in "abcd"], "files")
    assert [one.name for one in library.images()] == ["a.png", "b.png"]
    library.add([NewImage("a.png", b"aaaa", "good")], "files")  # takes no room
    library.remove([sha256(b"aaaa")])
    # The files of removed images make room for others at once.
    library.add([NewImage("e.png", b"e" * 5)], "files")
    assert library.size == 9
    assert len(list(library.files.folder.iterdir())) == 2


@pytest.mark.parametrize("given", ["nan", "-1", "0", "much"])
def test_a_limit_that_is_no_number_is_named(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library_limit.VARIABLE, given)
    with pytest.raises(PadimError, match="PADIM_LIBRARY_LIMIT must be a positive number of gigabytes"):
        library_limit.current()
    monkeypatch.setenv(library_limit.VARIABLE, "0.5")
    assert library_limit.current() == 500_000_000


def test_adding_can_be_stopped(library: ImageLibrary) -> None:
    read = []

    def images() -> Iterator[NewImage]:
        for number in range(1000):
            read.append(number)
            yield new(str(number))

    with pytest.raises(Cancelled, match="40 images"):
        library.add(images(), "files", cancel=lambda: len(read) >= 40)
    assert library.count() == len(read) == 40


def test_memory_holds_one_batch(library: ImageLibrary) -> None:
    stored: list[int] = []

    def images() -> Iterator[NewImage]:
        for number in range(100):
            # All images but the last batch are on the disk already.
            assert number - (stored[-1] if stored else 0) <= 32
            yield new(str(number))

    library.add(images(), "files", progress=stored.append)
    assert stored == [32, 64, 96, 100]


def test_labels_of_an_earlier_version_are_taken_over(library: ImageLibrary) -> None:
    former = {digest("a"): "defect", digest("b"): "good"}
    (library.folder / "labels.json").write_text(json.dumps(former))
    assert library.labels() == former
    library.add([new("a")], "files")
    assert shown(library) == [("a.png", "defect", "")]
    library.set_label([digest("a")], "unknown")
    assert library.labels() == {digest("b"): "good"}
    assert json.loads((library.folder / "labels.json").read_text()) == former


def test_a_file_that_is_gone_or_altered_is_named(library: ImageLibrary) -> None:
    library.add([new("a")], "files")
    (image,) = library.images()
    image.path.write_bytes(b"b")
    with pytest.raises(ImageError, match=r"a\.png: .*altered"):
        library.read(image)
    image.path.unlink()
    with pytest.raises(ImageError, match=r"a\.png: .*gone from the image library.*add the image again"):
        library.read(image)
    library.add([new("a")], "files")
    assert library.read(image) == b"a"


def test_a_deleted_model_does_not_come_back_as_a_folder(library: ImageLibrary) -> None:
    library.add([new("a")], "files")
    shutil.rmtree(library.folder)
    with pytest.raises(PadimError, match="the model was deleted"):
        library.add([new("b")], "files")
    for change in (library.undo, library.redo, lambda: library.set_label([digest("a")], "good")):
        with pytest.raises(FileNotFoundError, match="the model was deleted"):
            change()
    assert not library.folder.exists()


def test_a_read_only_workspace_refuses_with_the_reason(library: ImageLibrary, tmp_path: Path) -> None:
    library.add([new("a", "good")], "files")
    with refusing(tmp_path):
        assert shown(library) == [("a.png", "good", "")]
        for change in (
            lambda: library.add([new("b")], "files"),
            lambda: library.set_label([digest("a")], "defect"),
            lambda: library.remove([digest("a")]),
        ):
            with pytest.raises((StorageError, OSError), match=r"(?i)read-only"):
                change()
    assert shown(library) == [("a.png", "good", "")]


def test_identity_changes_with_what_is_there_and_with_labels(library: ImageLibrary) -> None:
    seen = [library.identity]
    for change in (
        lambda: library.add([new("a")], "files"),
        lambda: library.set_label([digest("a")], "defect", "dent"),
        lambda: library.rename_type("dent", "hole"),
        lambda: library.remove([digest("a")]),
        lambda: library.undo(),
    ):
        change()
        seen.append(library.identity)
        assert library.identity == seen[-1]
    assert len(set(seen[:-1])) == len(seen) - 1
    assert seen[-1] == seen[-3]


# Images that are there, and labels.
_State = tuple[set[str], dict[str, str]]


class Model(RuleBasedStateMachine):
    """Any order of actions against the same on plain dictionaries."""

    contents = st.sampled_from("abcdef")
    some = st.sets(contents, min_size=1)
    labels = st.sampled_from(["good", "defect", "unknown"])

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp())
        self.library = ImageLibrary(self.folder, ModelFolders(self.folder).create("Flange").id)
        self.there: dict[str, None] = {}
        self.ever_removed: set[str] = set()
        self.labeled: dict[str, str] = {}
        self.past: list[_State] = []
        self.future: list[_State] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(content=contents)
    def add(self, content: str) -> None:
        # One that was removed comes back by undo here; adding it again has a test of its own.
        if content in self.there or content in self.ever_removed:
            return
        # Adding is no action to be undone: it happened before all that can be.
        self.library.add([new(content)], "files")
        self.there[content] = None
        self.past = [(there | {content}, labels) for there, labels in self.past]
        self.future = [(there | {content}, labels) for there, labels in self.future]

    @rule(some=some, label=labels)
    def label(self, some: set[str], label: str) -> None:
        before = dict(self.labeled)
        for content in some:
            self.labeled[content] = label
        self.labeled = {content: label for content, label in self.labeled.items() if label != "unknown"}
        assert self.library.set_label(map(digest, some), label) == sum(  # type: ignore[arg-type]
            before.get(content) != self.labeled.get(content) for content in some
        )
        if before != self.labeled:
            self.past.append((set(self.there), before))
            self.future = []

    @rule(some=some)
    def remove(self, some: set[str]) -> None:
        gone = some & self.there.keys()
        if gone:
            self.past.append((set(self.there), dict(self.labeled)))
            self.future = []
        assert self.library.remove(map(digest, some)) == len(gone)
        self.ever_removed |= gone
        self.there = {content: None for content in self.there if content not in gone}

    @rule()
    def undo(self) -> None:
        self._go(self.past, self.future, self.library.undo())

    @rule()
    def redo(self) -> None:
        self._go(self.future, self.past, self.library.redo())

    def _go(self, source: list[_State], target: list[_State], done: object) -> None:
        assert (done is not None) == bool(source)
        if source:
            target.append((set(self.there), dict(self.labeled)))
            there, self.labeled = source.pop()
            self.there = dict.fromkeys(sorted(there))

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "library"):
            return
        assert {one.name.removesuffix(".png") for one in self.library.images()} == set(self.there)
        assert self.library.labels() == {digest(one): label for one, label in self.labeled.items()}
        assert all(one.path.is_file() for one in self.library.images())
        assert (self.library.to_undo() is not None) == bool(self.past)
        assert (self.library.to_redo() is not None) == bool(self.future)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
