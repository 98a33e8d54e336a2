"""Tables of labels: delimiters, encodings, the meaning of labels, columns, and paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.data.datasets import Dataset, open_dataset
from padim.data.tables import meaning_of, read_table
from padim.errors import PadimError
from tests.data import layouts

ROWS = [{"path": "ä.png", "label": "ok"}, {"path": "b, c.png", "label": "dent"}]


def text(delimiter: str, first: str = "") -> str:
    quote = '"' if delimiter == "," else ""
    return (
        f"{first}path{delimiter}label\r\nä.png{delimiter}ok\r\n{quote}b, c.png{quote}{delimiter}dent\r\n\r\n"
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_delimiters_and_encodings(delimiter: str, encoding: str) -> None:
    assert read_table(text(delimiter).encode(encoding), "t") == ROWS


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\r\n', "SEP=;\n"])
def test_a_first_line_that_states_the_delimiter(first: str) -> None:
    assert read_table(text(";", first).encode(), "t") == ROWS


@pytest.mark.parametrize(
    ("label", "good"),
    [
        *((label, True) for label in ("0", "0.0", "False", "good", "OK", "normal", "i.O.", "DirType.NORMAL")),
        *((label, True) for label in ("normal_test", "0,0", "LabelName.NORMAL", "pass")),
        *((label, False) for label in ("1", "1.0", "True", "bad", "NG", "defect", "anomaly", "n.i.O.")),
        *((label, False) for label in ("DirType.ABNORMAL", "abnormal", "scratch", "2")),
        *((label, None) for label in ("unknown", "-1", "nan")),
    ],
)
def test_the_meaning_of_labels(label: str, good: bool | None) -> None:
    found = meaning_of(label)
    assert found is not None
    assert found.good is good


def test_in_a_column_of_good_ones_true_is_good() -> None:
    for label, good in (("1", True), ("True", True), ("0", False), ("no", False)):
        found = meaning_of(label, "is_good")
        assert found is not None
        assert found.good is good
    assert meaning_of("") is None


def made(root: Path, rows: str, name: str = "labels.csv") -> Dataset:
    layouts.images(root, "parts", 5)
    layouts.mask(root / "masks" / "003.png")
    (root / name).write_text(rows, encoding="utf-8")
    return open_dataset(root)


def kinds(dataset: Dataset) -> dict[str, str]:
    return {name.rpartition("/")[2]: sample.kind for name, sample in dataset.samples.items()}


def test_anomalibs_columns(tmp_path: Path) -> None:
    dataset = made(
        tmp_path,
        "image_path,label,label_index,mask_path,split\n"
        "parts/000.png,DirType.NORMAL,0,,Split.TRAIN\n"
        "parts/001.png,DirType.NORMAL_TEST,0,,Split.TEST\n"
        "parts/003.png,DirType.ABNORMAL,1,masks/003.png,Split.TEST\n"
        "parts/004.png,DirType.ABNORMAL,1,,Split.TRAIN\n",
    )
    assert kinds(dataset) == {"001.png": "good", "003.png": "defect"}
    assert dataset.samples["parts/003.png"].masks == ("masks/003.png",)
    assert [sample.name for sample in dataset.training] == ["parts/000.png"]
    assert {one.name: one.reason for one in dataset.passed_over} == {
        "parts/000.png": "training image, not used to evaluate",
        "parts/002.png": "not named in labels.csv",
        "parts/004.png": "training image that is not good, not used",
    }


@pytest.mark.parametrize("begin", ["", "./", "{root}/", "C:\\data\\widget\\", "/mnt/other/machine/"])
def test_paths_relative_and_absolute(tmp_path: Path, begin: str) -> None:
    begin = begin.format(root=tmp_path)
    back = "\\" if "\\" in begin else "/"
    rows = [f"{begin}parts{back}00{i}.png\t{label}" for i, label in ((0, "0.0"), (3, "1.0"))]
    dataset = made(tmp_path, "\n".join(["path\tlabel", *rows]))
    assert kinds(dataset) == {"000.png": "good", "003.png": "defect"}


def test_a_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    layouts.image(tmp_path / "secret.png")
    dataset = made(tmp_path / "set", "path,label\nparts/000.png,ok\n../secret.png,bad\n/etc/000.png,bad\n")
    assert kinds(dataset) == {"000.png": "good"}
    assert [error.name for error in dataset.skipped] == ["../secret.png", "/etc/000.png"]


def test_one_image_with_two_labels_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match=r"parts/000\.png two labels, good and dent"):
        made(tmp_path, "path,label\nparts/000.png,ok\n./parts/000.png,dent\n")


def test_columns_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match=r"contradicts itself on parts/000\.png"):
        made(tmp_path, "path,label,label_index\nparts/000.png,good,1\n")


def test_a_column_of_ones_alone_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="all labels are 1, which may mean good or defective"):
        made(tmp_path, "path,label\nparts/000.png,1\nparts/001.png,1\n")
    assert kinds(made(tmp_path / "words", "path,label\nparts/000.png,defect\n")) == {"000.png": "defect"}


def test_a_table_of_tabs_with_its_own_ending(tmp_path: Path) -> None:
    dataset = made(tmp_path, "file\tis_ok\nparts/000.png\tTrue\nparts/001.png\tFalse\n", "labels.tsv")
    assert kinds(dataset) == {"000.png": "good", "001.png": "defect"}


@pytest.mark.parametrize(
    "rows",
    [
        "\n\r\npath;label\nparts/000.png;good\n\nparts/003.png;defect\n",
        "sep=;\rpath;label\rparts/000.png;good\rparts/003.png;defect\r",
        # A class of products is no label.
        "path,class,status\nparts/000.png,screw,OK\nparts/003.png,screw,NG\n",
        "path,class,defect\nparts/000.png,screw,0\nparts/003.png,screw,1\n",
        "path,defect\nparts/000.png,none\nparts/003.png,defect\n",
        "path,label\n\\\\server\\share\\set\\parts\\000.png,good\n\\\\server\\share\\set\\parts\\003.png,defect\n",
    ],
)
def test_tables_as_programs_write_them(tmp_path: Path, rows: str) -> None:
    assert kinds(made(tmp_path, rows)) == {"000.png": "good", "003.png": "defect"}


def test_a_line_without_its_last_cell_hides_no_column(tmp_path: Path) -> None:
    dataset = made(tmp_path, "path,label\nparts/000.png\nparts/001.png,good\nparts/003.png,defect\n")
    assert kinds(dataset) == {"001.png": "good", "003.png": "defect"}
    assert [error.name for error in dataset.skipped] == ["parts/000.png"]


@pytest.mark.parametrize("labels", [("1", "-1"), ("1", "2"), ("-1.0", "1.0")])
def test_numbers_without_0_are_asked_about(tmp_path: Path, labels: tuple[str, str]) -> None:
    first, second = labels
    with pytest.raises(PadimError, match="which may mean good or defective"):
        made(tmp_path, f"path,label\nparts/000.png,{first}\nparts/003.png,{second}\n")


def test_unknown_words_for_good_parts_make_no_defects(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="none of its labels says good: dobry, zly"):
        made(tmp_path, "path,label\nparts/000.png,dobry\nparts/003.png,zly\n")


@pytest.mark.parametrize("begin", ["../parts/", "img/"])
def test_paths_from_the_folder_of_the_table(tmp_path: Path, begin: str) -> None:
    layouts.images(tmp_path / "list", "img", 4)
    dataset = made(tmp_path, f"path,label\n{begin}000.png,good\n{begin}003.png,defect\n", "list/labels.csv")
    assert kinds(dataset) == {"000.png": "good", "003.png": "defect"}


def test_accents_may_be_written_in_two_ways(tmp_path: Path) -> None:
    layouts.image(tmp_path / "parts" / "gr\u00fcn.png")
    dataset = made(tmp_path, "path,label\nparts/gru\u0308n.png,good\nparts/003.png,defect\n")
    assert kinds(dataset) == {"gr\u00fcn.png": "good", "003.png": "defect"}


def test_verdicts_of_a_model_are_no_labels(tmp_path: Path) -> None:
    layouts.images(tmp_path, "good", 2)
    layouts.images(tmp_path, "dent", 2)
    (tmp_path / "results.csv").write_text("name,verdict\ngood/000.png,reject\ndent/001.png,accept\n")
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dict(dataset.kinds)) == ("one folder a kind", {"good": 2, "dent": 2})
