"""Labelled data is not fitted as good parts unasked, whatever it comes in; a folder of it can be chosen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from padim import Padim
from padim.data.datasets import good_uploads, open_good
from padim.data.good_inputs import as_good_parts
from padim.data.labeled_input import check_good_parts
from padim.data.opening import expand_uploads, open_source
from padim.data.sub_folder import check_source, in_folder
from padim.errors import InputError, LabeledInputError
from tests.data import layouts
from tests.data.layouts import LAYOUTS, Layout
from tests.parts import normals

LABELED = (
    *(
        "test",
        "Test",
        "TEST SET",
        "test_public",
        "ground_truth",
        "GroundTruth",
        "mask",
        "Masks",
        "bad",
        "BAD",
    ),
    *("ng", "NG", "defect", "defects", "Defective", "ko", "KO", "abnormal", "anomaly", "anomalous", "reject"),
    *("rejected", "faulty", "scrap", "nok", "n.i.O.", "nio", "schlecht", "Fehler", "02_bad", "parts NG"),
    *("NG画像", "不良品图片", "NGteile", "badparts", "not_accepted", "non conforme", "测试集", "テスト"),
    *("scratches", "not ok", "Testbilder", "不良品", "異常", "불량"),
)
# Layouts in which no name says which images are good.
UNNAMED = (
    *("KolektorSDD", "KolektorSDD2", "DAGM 2007"),
    *("Folders 0 and 1", "Images and their masks", "Table"),
)
UNLABELED = (
    *("line 1", "2024-05-01", "badge", "koala", "good", "OK", "train", "no defects", "fehlerfrei", "part017"),
    *(
        "test_bench_A",
        "test stand 2",
        "solder_mask",
        "mask holder",
        "maskenteil",
        "part_ok_01",
        "Nachtschicht",
    ),
    *("latest", "contest", "camera_2", "良品", "labels", "mask" * 2),
)


@pytest.mark.parametrize("folder", LABELED)
@pytest.mark.parametrize("path", ["{}/1.png", "a/{}/1.png", "a/{}/b/1.png"])
def test_folders_that_say_more_than_good_parts(folder: str, path: str) -> None:
    with pytest.raises(LabeledInputError, match="more than good parts"):
        check_good_parts(["a/x.png", path.format(folder)], "given")


@pytest.mark.parametrize("folder", UNLABELED)
def test_other_folders_are_fitted(folder: str) -> None:
    check_good_parts([f"{folder}/1.png", f"{folder}/2.png", f"x/{folder}/3.png"], "given")


@pytest.mark.parametrize(
    "names",
    [
        ["good/1.png", "dust/1.png"],
        ["part/OK/1.png", "part/rim/1.png"],
        ["0/1.png", "1/1.png"],
        ["a.png", "a_mask.png"],
        ["x/a.jpg", "x/a_GT.png"],
        ["x/a.PNG", "x/Label/a_label.PNG"],
        ["a.png", "labels/a.png"],
        ["Images/a.png", "Images/b.png", "labels/a.png"],
        ["x/JPEGImages/a.jpg", "x/Annotations/a.png"],
        ["negative/1.png", "Positive/1.png"],
        ["NG/normal/1.png"],
        ["NG/pass1/1.png", "NG/pass2/1.png"],
    ],
)
def test_layouts_and_masks_among_good_parts(names: list[str]) -> None:
    with pytest.raises(LabeledInputError):
        check_good_parts(names, "given")


@pytest.mark.parametrize(
    "names",
    [
        ["train/good/1.png", "validation/good/1.png"],
        ["good/1.png", "OK/2.png", "good/3.png"],
        ["0/1.png", "1/1.png", "2/1.png"],
        ["mask.png", "a_mask.png"],
        ["labels/001.png", "boxes/001.png"],
        ["anomaly_detection/line 3/good/1.png"],
        ["bad.png", "test_1.png"],
    ],
)
def test_good_parts_alone_are_fitted(names: list[str]) -> None:
    check_good_parts(names, "given")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.title)
@pytest.mark.parametrize("how", ["folder", "zip", "uploads", "upload of a zip"])
def test_no_known_layout_is_fitted_as_good_parts(tmp_path: Path, layout: Layout, how: str) -> None:
    root = tmp_path / "parts"
    layout.make(root)
    if layout.title == "Images and their masks":
        (root / "masks").rename(root / "gt")
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", root))
    source = {
        "folder": lambda: open_source(root),
        "zip": lambda: open_source(packed),
        "uploads": lambda: expand_uploads(
            [(f"parts/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in files]
        ),
        "upload of a zip": lambda: expand_uploads(
            [("a.png", files[0].read_bytes()), ("packed.zip", packed.read_bytes())]
        ),
    }[how]()
    with pytest.raises(LabeledInputError) as asked:
        check_source(source, "parts")
    begin = "parts/" if how == "uploads" else ""
    chosen = {
        "VisA": "candle/Data/Images/Normal",
        "VisA without its tables": "Data/Images/Normal",
        "MVTec AD in capitals": "Train/Good",
        "BTAD": "train/ok",
        "Plain folders": "OK",
        "Plain folders, German": "i.O",
        "anomalib's toy set": "good",
        "anomalib's Folder": "normal",
        "anomalib's Folder with normal_test": "normal",
    }.get(layout.title, "train/good")
    if layout.title in (
        "KolektorSDD",
        "KolektorSDD2",
        "DAGM 2007",
        "Folders 0 and 1",
        "Images and their masks",
        "Table",
    ):
        assert asked.value.proposed is None, "no name says what is good"
        return
    assert asked.value.proposed == begin + chosen
    assert dict(asked.value.folders)[begin + chosen] == 4
    assert len(list(in_folder(source, begin + chosen))) == 4


def test_a_folder_is_chosen_in_any_spelling_and_its_names_are_relative(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path / "set")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set")
    for source in (open_source(tmp_path / "set"), open_source(packed)):
        for folder in ("train/good", "TRAIN\\Good", "./train/good/"):
            chosen = in_folder(source, folder)
            assert [name for name, _ in chosen] == [f"{i:03d}.png" for i in range(4)]
            assert chosen.names() == [name for name, _ in chosen]
            check_source(chosen, "chosen")
        with pytest.raises(InputError, match="train/good"):
            in_folder(source, "elsewhere")
        everything = in_folder(source, ".")
        check_source(everything, "all of it")
        assert len(list(everything)) == len(list(source)) == 17
        with pytest.raises(LabeledInputError):
            check_source(source, "the original is as it was")


def test_a_folder_above_the_one_that_was_given_does_not_count(tmp_path: Path) -> None:
    root = tmp_path / "test" / "bad" / "mine"
    layouts.images(root, ".", 3)
    check_source(open_source(root), "mine")
    assert len(list(as_good_parts(root))) == 3
    assert len(list(as_good_parts(sorted(root.glob("*.png"))))) == 3


def test_a_table_that_labels_defects_is_labelled_data(tmp_path: Path) -> None:
    layouts.images(tmp_path, "a", 2)
    (tmp_path / "labels.csv").write_text("path,label\na/000.png,ok\na/001.png,ok\n")
    check_source(open_source(tmp_path), "all good")
    (tmp_path / "labels.csv").write_text("path,label\na/000.png,ok\na/001.png,dent\n")
    with pytest.raises(LabeledInputError, match=r"the labels in labels\.csv"):
        check_source(open_source(tmp_path), "one is not")
    (tmp_path / "labels.csv").write_text("path,label\nelsewhere.png,dent\n")
    check_source(open_source(tmp_path), "of other images")


def paths_of(root: Path, how: str) -> Iterable[Path]:
    found = sorted(root.rglob("*.png"))
    return found if how == "list" else iter(found)


@pytest.mark.parametrize("how", ["list", "iterator"])
def test_lists_of_files_are_judged_below_their_common_folder(tmp_path: Path, how: str) -> None:
    layouts.mvtec(tmp_path / "test")
    with pytest.raises(InputError, match="more than good parts"):
        list(as_good_parts(paths_of(tmp_path / "test", how)))
    assert len(list(as_good_parts(paths_of(tmp_path / "test", how), "."))) == 17
    assert len(list(as_good_parts(paths_of(tmp_path / "test" / "train", how)))) == 4
    with pytest.raises(InputError, match="chooses in a folder or a zip"):
        as_good_parts(paths_of(tmp_path, how), "train/good")


class Folders:
    """A collection of the user's own, with a length, that is neither a sequence nor an iterator."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


@pytest.mark.parametrize(
    "given",
    [
        lambda names: set(names),
        lambda names: dict.fromkeys(names, b""),
        lambda names: dict.fromkeys(names, b"").items(),
        lambda names: [(name, b"") for name in names],
        lambda names: [[name, b""] for name in names],
        lambda names: ((name, b"") for name in names),
        lambda names: Folders(names),
    ],
    ids=["set", "mapping", "items", "pairs", "lists", "generator", "own"],
)
def test_names_are_judged_in_any_collection(given: Callable[[list[str]], Iterable[Any]]) -> None:
    labelled, good = ["a/good/1.png", "a/ng/2.png"], ["a/good/1.png", "a/good/2.png"]
    with pytest.raises(InputError, match="more than good parts"):
        list(as_good_parts(given(labelled)))
    assert len(list(as_good_parts(given(good)))) == 2
    assert len(list(as_good_parts(given(labelled), "."))) == 2


def test_fit_and_partial_fit_ask_and_take_a_folder(tmp_path: Path, small_model: Padim) -> None:
    for name, data in normals(5):
        (tmp_path / "set" / "train" / "good").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "train" / "good" / name).write_bytes(bytes(data))
    layouts.images(tmp_path, "set/test/dent", 1)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set")
    model = Padim(small_model.config)
    with pytest.raises(LabeledInputError, match='folder="train/good"'):
        model.fit(packed)
    model.fit(packed, folder="train/good")
    assert [normal.name for normal in model.normals_] == [name for name, _ in normals(5)]
    with pytest.raises(LabeledInputError):
        model.partial_fit(tmp_path / "set")
    assert len(model.partial_fit(packed, folder="test/dent").normals_) == 6
    assert len(Padim(small_model.config).fit(packed, folder=".").normals_) == 6


def test_good_parts_of_a_study_are_checked_too(tmp_path: Path) -> None:
    layouts.images(tmp_path, "NG", 3)
    with pytest.raises(LabeledInputError):
        open_good(tmp_path)
    with pytest.raises(LabeledInputError):
        good_uploads([("set/NG/1.png", b""), ("set/NG/2.png", b"")])


def zipped(*names: str) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def test_of_several_zips_the_names_count() -> None:
    files = [("good.zip", zipped("1.png", "2.png")), ("NG.zip", zipped("1.png"))]
    source = expand_uploads(files)
    with pytest.raises(LabeledInputError) as asked:
        check_source(source, "uploads")
    assert asked.value.folders == (("good", 2), ("NG", 1))
    assert [name for name, _ in in_folder(source, "good")] == ["1.png", "2.png"]
    check_source(expand_uploads(files[1:]), "one zip, chosen on purpose")
    deep = expand_uploads([("a.zip", zipped("x/1.png", "bad/1.png")), ("b.zip", zipped("2.png"))])
    with pytest.raises(LabeledInputError, match=r"a/bad"):
        check_source(deep, "uploads")
    assert [name for name, _ in in_folder(deep, "a/x")] == ["1.png"]


def test_the_folder_chosen_in_the_browser_is_not_judged_but_those_in_it_are() -> None:
    check_source(expand_uploads([("test/1.png", b"1"), ("test/2.png", b"2")]), "folder")
    with pytest.raises(LabeledInputError) as asked:
        check_source(expand_uploads([("set/good/1.png", b"1"), ("set/bad/2.png", b"2")]), "folder")
    assert asked.value.proposed == "set/good"


def test_a_name_around_everything_does_not_hide_the_folders() -> None:
    names = ["anomaly_detection/bottle/train/good/1.png", "anomaly_detection/bottle/train/good/2.png"]
    check_good_parts(names, "good parts alone")
    with pytest.raises(LabeledInputError) as asked:
        check_good_parts([*names, "anomaly_detection/bottle/test/crack/1.png"], "with a test set")
    assert asked.value.folders == (
        ("anomaly_detection/bottle/train/good", 2),
        ("anomaly_detection/bottle/test/crack", 1),
    )
    assert asked.value.proposed == "anomaly_detection/bottle/train/good"
