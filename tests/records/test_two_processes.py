"""Several processes work on one library, or are killed in the middle: nothing is lost or mixed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from padim.data.decode import sha256
from padim.records import adding, image_files
from padim.records.library import ImageLibrary, NewImage
from padim.storage.model_folders import ModelFolders

ON_EACH_DATABASE = True

FORK = multiprocessing.get_context("fork")
PART = b"part of a file"


def run(work: Callable[..., None], *arguments: object) -> int | None:
    process = FORK.Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture
def library(tmp_path: Path) -> ImageLibrary:
    return ImageLibrary(tmp_path, ModelFolders(tmp_path).create("Flange").id)


def check(library: ImageLibrary) -> None:
    """Every row has its file with its content, and every file has its row, once leftovers are swept."""
    library.sweep()
    images = library.images()
    assert all(library.read(image) for image in images)
    files = {path.name for path in library.files.folder.iterdir()}
    assert files == {image.sha256 for image in images} | {m.sha256 for i in images for m in i.masks}


def _add(library: ImageLibrary, names: range, label: str) -> None:
    images = (NewImage(f"{n}.png", b"%d" % n * 100, label) for n in names)  # type: ignore[arg-type]
    library.add(images, "files")


def _label(library: ImageLibrary, names: range) -> None:
    for n in names:
        library.set_label([sha256(b"%d" % n * 100)], "defect", f"type {n % 3}")


def _remove(library: ImageLibrary, names: range) -> None:
    for n in names:
        library.remove([sha256(b"%d" % n * 100)])
        library.sweep()


def test_processes_add_label_and_remove_at_once(library: ImageLibrary) -> None:
    _add(library, range(10), "good")
    works: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        (_add, (range(100, 180), "good")),
        (_add, (range(140, 220), "good")),  # half of them are the same
        (_label, (range(100, 110),)),
        (_remove, (range(10),)),
    ]
    processes = [FORK.Process(target=work, args=(library, *more)) for work, more in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert {image.name for image in library.images()} == {f"{n}.png" for n in range(100, 220)}
    assert len({image.id for image in library.images()}) == 120
    check_files = {image.sha256 for image in library.images()}
    assert all(library.read(image) for image in library.images())
    # Those removed can still be restored, so their files are there.
    assert check_files < {path.name for path in library.files.folder.iterdir()}
    assert library.count() == 120


def _killed_while_writing(library: ImageLibrary) -> None:
    replace = Path.replace

    def kill(self: Path, target: Path) -> Path:
        if target.name == sha256(b"41" * 100):
            self.write_bytes(PART)
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = kill  # type: ignore[method-assign, assignment]
    _add(library, range(80), "good")


def _killed_before_the_rows(library: ImageLibrary) -> None:
    enter, batches = adding.enter, []

    def kill(*arguments: object, **more: object) -> None:
        batches.append(1)
        if len(batches) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        enter(*arguments, **more)  # type: ignore[arg-type]

    adding.enter = kill
    _add(library, range(80), "good")


def _killed_before_the_commit(library: ImageLibrary) -> None:
    enter, batches = adding.enter, []

    def kill(*arguments: object, **more: object) -> None:
        batches.append(1)
        enter(*arguments, **more)  # type: ignore[arg-type]
        if len(batches) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    adding.enter = kill
    _add(library, range(80), "good")


@pytest.mark.parametrize("work", [_killed_while_writing, _killed_before_the_rows, _killed_before_the_commit])
def test_a_killed_process_leaves_whole_images_and_no_others(
    work: Callable[..., None], library: ImageLibrary
) -> None:
    assert run(work, library) == -signal.SIGKILL
    assert [image.name for image in library.images()] == [f"{n}.png" for n in range(32)]
    check(library)
    _add(library, range(80), "good")  # and once more
    assert library.count() == 80
    check(library)


def _killed_while_removing(library: ImageLibrary) -> None:
    remove = image_files.ImageFiles.remove

    def kill(self: image_files.ImageFiles, digest: str) -> None:
        remove(self, digest)
        os.kill(os.getpid(), signal.SIGKILL)

    image_files.ImageFiles.remove = kill  # type: ignore[method-assign]
    library.discard([image.sha256 for image in library.images()[:3]])


def test_a_process_killed_while_it_removes_files_leaves_no_row_without_a_file(library: ImageLibrary) -> None:
    _add(library, range(6), "good")
    assert run(_killed_while_removing, library) == -signal.SIGKILL
    assert library.count() == 3
    check(library)
