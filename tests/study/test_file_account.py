"""A study accounts for every file of its data sets, whether their good parts are given or drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import PadimConfig
from padim.analysis.evaluation import evaluate_dataset
from padim.data.account import FileAccount
from padim.data.datasets import open_dataset
from padim.model import Padim
from padim.study.data import categories
from padim.study.plan import Variant
from padim.study.report import html_bytes
from padim.study.runner import load, run
from tests.cli.conftest import write
from tests.parts import defects, normals

BASE = {"input_size": 64, "n_features": 20, "smoothing_sigma": 2.0, "min_area": 8}
ONE = Variant("padim", PadimConfig.of(BASE))
RAW = b"II*\0\x10\0\0\0CR" + bytes(40)


def files_below(folder: Path) -> int:
    return sum(not path.is_dir() for path in folder.rglob("*"))


def accounted(folder: Path, at: Path) -> FileAccount:
    study = run(at, (ONE,), categories(folder))
    assert study.done == 1, study.runs
    assert load(at).account.to_dict() == study.account.to_dict()  # as the page reads it
    return study.account


def total(account: FileAccount) -> int:
    return account.used + len(account.refused) + account.n_passed_over


def drawn(folder: Path) -> Path:
    """Write good parts and defects with files beside them that cannot be used."""
    write(folder / "good", normals(14, first=50))
    write(folder / "scratch", defects(3))
    write(folder, [("good/raw.cr2", RAW), ("scratch/odd.png_", normals(1)[0][1]), ("scratch/n.txt", b"x")])
    write(folder / "good" / "@eaDir" / "a", [("1.jpg", b"x"), ("2.jpg", b"x")])
    write(folder, [("good/Thumbs.db", b"x"), ("unlabeled.png", normals(1, first=90)[0][1])])
    return folder


def test_where_good_parts_are_drawn_every_file_is_accounted_for(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "parts")
    account = accounted(folder, tmp_path / "study")
    assert {error.name for error in account.refused} == {"good/raw.cr2", "scratch/odd.png_"}
    assert account.used == 17
    assert total(account) == files_below(folder)
    # What systems leave is no file of the user's, here as elsewhere; a folder counts with all its files.
    assert sum(one.files for one in account.of_system) == 3
    assert {one.name for one in account.of_user} == {"scratch/n.txt", "unlabeled.png"}


def test_training_images_are_used_and_the_others_beside_them_named(tmp_path: Path) -> None:
    folder = tmp_path / "part"
    write(folder / "train" / "good", [*normals(12), ("raw.cr2", RAW), ("n.txt", b"x")])
    write(folder / "test" / "good", normals(3, first=50))
    write(folder / "test" / "scratch", [*defects(3), ("raw.nef", RAW)])
    account = accounted(folder, tmp_path / "study")
    assert account.used == 18
    assert {error.name for error in account.refused} == {"train/good/raw.cr2", "scratch/raw.nef"}
    assert [one.name for one in account.passed_over] == ["train/good/n.txt"]
    assert total(account) == files_below(folder)


def test_an_evaluation_accounts_for_what_cannot_be_used_among_training_images(
    tmp_path: Path, small_model: Padim
) -> None:
    folder = tmp_path / "part"
    write(folder / "train" / "good", [*normals(2, first=70), ("raw.cr2", RAW)])
    write(folder / "test" / "good", normals(3, first=50))
    write(folder / "test" / "scratch", defects(3))
    account = evaluate_dataset(small_model, open_dataset(folder)).account
    assert (account.used, account.refused) == (6, ())
    assert total(account) == files_below(folder)
    assert account.unused == 0  # set aside by the layout, as the images beside it


def test_of_good_parts_alone_tables_are_passed_over(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "good", [*normals(14), ("log.csv", b"time,temperature\n1,20\n"), ("n.txt", b"x")]
    )
    account = accounted(folder, tmp_path / "study")
    assert {one.name for one in account.passed_over} == {"log.csv", "n.txt"}
    assert total(account) == files_below(folder)


def test_files_of_one_name_in_two_categories_are_two_files(tmp_path: Path) -> None:
    for name, first in (("ring", 0), ("nut", 200)):
        write(tmp_path / "all" / name / "train" / "good", normals(12, first=first))
        write(tmp_path / "all" / name / "test" / "good", normals(3, first=first + 50))
        write(tmp_path / "all" / name / "test" / "scratch", [*defects(3), ("n.txt", b"x"), ("cut.png", b"x")])
    study = run(tmp_path / "study", (ONE,), categories(tmp_path / "all"))
    account = study.account
    assert [error.name for error in account.refused] == ["nut/scratch/cut.png", "ring/scratch/cut.png"]
    assert [one.name for one in account.passed_over] == ["nut/test/scratch/n.txt", "ring/test/scratch/n.txt"]
    assert total(account) == files_below(tmp_path / "all")
    page = html_bytes(study).decode()
    assert "36 files used, 2 refused, 2 passed over." in page
    assert "ring/test/scratch/n.txt: not an image (.txt)" in page


@pytest.mark.parametrize(
    "table", ["#recycle/labels.csv", "@eaDir/labels.csv", ".hidden/labels.csv", "._labels.csv"]
)
def test_a_table_among_leftovers_labels_nothing(tmp_path: Path, table: str) -> None:
    folder = drawn(tmp_path / "parts")
    write(folder, [(table, b"path,label\ngood/good_050.png,scratch\nscratch/bad_000.png,good\n")])
    dataset = open_dataset(folder)
    assert dataset.layout == "one folder a kind"
    assert dataset.kinds["good"] == 14
    assert any(table.startswith(one.name) for one in dataset.passed_over if one.system)
