"""Every layout of labelled data that is read, made of small drawn images, and what each was taken for.

``python -m tests.data.layouts`` prints the table as Markdown.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from padim.data.datasets import Dataset, open_dataset

SIDE = 12


def image(path: Path, number: int = 0) -> None:
    """An image of a part, in the format of the file's ending; no two are alike."""
    pixels = np.random.default_rng(number).integers(60, 200, (SIDE, SIDE, 3), np.uint8)
    _save(path, Image.fromarray(pixels))


def mask(path: Path, *, empty: bool = False, value: int = 255) -> None:
    """A mask with a square defect, or without any."""
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    if not empty:
        pixels[3:6, 4:8] = value
    _save(path, Image.fromarray(pixels))


def _save(path: Path, content: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}.get(path.suffix.lower(), "PNG")
    buffer = BytesIO()
    content.save(buffer, kind)
    path.write_bytes(buffer.getvalue())


def images(root: Path, folder: str, count: int, suffix: str = ".png", first: int = 0) -> None:
    """Numbered images in a folder."""
    for number in range(first, first + count):
        image(root / folder / f"{number:03d}{suffix}", number + len(folder) * 1000)


def masks(root: Path, folder: str, count: int, ending: str = "_mask.png") -> None:
    """Numbered masks in a folder."""
    for number in range(count):
        mask(root / folder / f"{number:03d}{ending}")


# -- the layouts -----------------------------------------------------------------------------------------


def mvtec(root: Path) -> None:
    images(root, "train/good", 4)
    images(root, "test/good", 3)
    for kind, count in (("crack", 2), ("hole", 3)):
        images(root, f"test/{kind}", count)
        masks(root, f"ground_truth/{kind}", count)


def mvtec_in_capitals(root: Path) -> None:
    images(root, "Train/Good", 4, ".PNG")
    images(root, "Test/GOOD", 3, ".PNG")
    images(root, "Test/Crack", 2, ".PNG")
    masks(root, "Ground_Truth/crack", 2, "_MASK.PNG")


def mvtec_2(root: Path) -> None:
    images(root, "train/good", 4)
    images(root, "validation/good", 2)
    images(root, "test_public/good", 3)
    images(root, "test_public/bad", 2)
    masks(root, "test_public/ground_truth/bad", 2)
    images(root, "test_private", 2)
    images(root, "test_private_mixed", 1)


def loco(root: Path) -> None:
    images(root, "train/good", 4)
    images(root, "validation/good", 2)
    images(root, "test/good", 3)
    for kind in ("logical_anomalies", "structural_anomalies"):
        images(root, f"test/{kind}", 2)
        for number, count in ((0, 1), (1, 3)):
            masks(root, f"ground_truth/{kind}/{number:03d}", count, ".png")


def visa(root: Path) -> None:
    normal, anomaly, drawn = (
        "candle/Data/Images/Normal",
        "candle/Data/Images/Anomaly",
        "candle/Data/Masks/Anomaly",
    )
    images(root, normal, 4, ".JPG")
    images(root, anomaly, 2, ".JPG")
    masks(root, drawn, 2, ".png")
    rows = [f"{normal}/{i:03d}.JPG,normal," for i in range(4)]
    rows += [f"{anomaly}/{i:03d}.JPG,melted,{drawn}/{i:03d}.png" for i in range(2)]
    (root / "candle" / "image_anno.csv").write_text("\n".join(["image,label,mask", *rows]))
    split = [f"candle,{'train' if i < 2 else 'test'},normal,{normal}/{i:03d}.JPG," for i in range(4)]
    split += [f"candle,test,anomaly,{anomaly}/{i:03d}.JPG,{drawn}/{i:03d}.png" for i in range(2)]
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(["object,split,label,image,mask", *split]))


def visa_without_tables(root: Path) -> None:
    images(root, "Data/Images/Normal", 4, ".JPG")
    images(root, "Data/Images/Anomaly", 2, ".JPG")
    masks(root, "Data/Masks/Anomaly", 2, ".png")


def visa_one_class(root: Path) -> None:
    images(root, "train/good", 4, ".JPG")
    images(root, "test/good", 3, ".JPG")
    images(root, "test/bad", 2, ".JPG")
    for number in range(2):
        mask(root / f"ground_truth/bad/{number:03d}.png", value=1)


def btad(root: Path) -> None:
    images(root, "train/ok", 4, ".bmp")
    images(root, "test/ok", 3, ".bmp")
    images(root, "test/ko", 2, ".bmp")
    masks(root, "ground_truth/ko", 2, ".png")


def mpdd(root: Path) -> None:
    images(root, "train/good", 4)
    images(root, "test/good", 3)
    images(root, "test/parts_mismatch", 2)
    masks(root, "ground_truth/parts_mismatch", 2)


def kolektor(root: Path) -> None:
    for part, defective in (("kos01", 3), ("kos02", 1)):
        for number in range(4):
            image(root / part / f"Part{number}.jpg", number)
            mask(root / part / f"Part{number}_label.bmp", empty=number != defective)


def kolektor_2(root: Path) -> None:
    for split, count, defective in (("train", 4, 1), ("test", 5, 2)):
        for number in range(count):
            image(root / split / f"{20000 + number}.png", number)
            mask(root / split / f"{20000 + number}_GT.png", empty=number >= defective)


def dagm(root: Path) -> None:
    for split, count in (("Train", 4), ("Test", 5)):
        rows = ["1"]
        for number in range(1, count + 1):
            image(root / "Class1" / split / f"{number:04d}.PNG", number)
            defective = number == count
            if defective:
                mask(root / "Class1" / split / "Label" / f"{number:04d}_label.PNG")
            drawn = f"{number:04d}_label.PNG" if defective else "0"
            rows.append(f"{number}\t{int(defective)}\t{number:04d}.PNG\t0\t{drawn}")
        (root / "Class1" / split / "Label" / "Labels.txt").write_text("\n".join(rows))


def toy(root: Path) -> None:
    images(root, "good", 4, ".jpg")
    images(root, "crack", 2, ".jpg")
    images(root, "colour", 2, ".jpg")
    masks(root, "mask/crack", 2, ".jpg")


def folder(root: Path) -> None:
    images(root, "normal", 4)
    images(root, "abnormal", 2)
    masks(root, "mask", 2, ".png")


def folder_with_test(root: Path) -> None:
    images(root, "normal", 4)
    images(root, "normal_test", 3)
    images(root, "abnormal", 2)
    masks(root, "mask", 2, ".png")


def plain(root: Path) -> None:
    images(root, "OK", 4)
    images(root, "scratch", 2)
    images(root, "dent", 1)


def german(root: Path) -> None:
    images(root, "i.O", 4)
    images(root, "n.i.O", 2)
    masks(root, "Masken/n.i.O", 2, "-Maske.png")


def numbers(root: Path) -> None:
    images(root, "0", 4)
    images(root, "1", 2)


def flat(root: Path) -> None:
    images(root, "images", 5)
    for number in (3, 4):
        mask(root / f"masks/{number:03d}_seg.png")


def table(root: Path) -> None:
    images(root, "parts", 5)
    mask(root / "masks" / "a.png")
    rows = [f"parts/{i:03d}.png;0;" for i in range(3)] + ["parts/003.png;1;masks/a.png", "parts/004.png;1;"]
    (root / "labels.csv").write_text("\n".join(["sep=;", "image_path;label_index;mask_path", *rows]))


@dataclass(frozen=True)
class Layout:
    """A layout and what it must be taken for."""

    title: str
    make: Callable[[Path], None]
    name: str
    good: int
    defects: dict[str, int]
    masks: int
    training: int = 0
    folders: dict[str, str] = field(default_factory=dict)


_MVTEC = {
    "train/good": "training good parts",
    "test/good": "good parts",
    "test/crack": "defects: crack",
    "test/hole": "defects: hole",
    "ground_truth/crack": "masks",
    "ground_truth/hole": "masks",
}
LAYOUTS: tuple[Layout, ...] = (
    Layout("MVTec AD", mvtec, "MVTec AD", 3, {"crack": 2, "hole": 3}, 5, 4, _MVTEC),
    Layout(
        "MVTec AD in capitals",
        mvtec_in_capitals,
        "MVTec AD",
        3,
        {"Crack": 2},
        2,
        4,
        {
            "Train/Good": "training good parts",
            "Test/GOOD": "good parts",
            "Test/Crack": "defects: Crack",
            "Ground_Truth/crack": "masks",
        },
    ),
    Layout(
        "MVTec AD 2",
        mvtec_2,
        "MVTec AD 2",
        3,
        {"bad": 2},
        2,
        4,
        {
            "train/good": "training good parts",
            "validation/good": "not used: validation images",
            "test_public/good": "good parts",
            "test_public/bad": "defects: bad",
            "test_public/ground_truth/bad": "masks",
            "test_private": "not used: no labels",
            "test_private_mixed": "not used: no labels",
        },
    ),
    Layout(
        "MVTec LOCO AD",
        loco,
        "MVTec LOCO AD",
        3,
        {"logical_anomalies": 2, "structural_anomalies": 2},
        4,
        4,
        {
            "train/good": "training good parts",
            "validation/good": "not used: validation images",
            "test/good": "good parts",
            "test/logical_anomalies": "defects: logical_anomalies",
            "test/structural_anomalies": "defects: structural_anomalies",
            "ground_truth/logical_anomalies": "masks",
            "ground_truth/structural_anomalies": "masks",
        },
    ),
    Layout(
        "VisA",
        visa,
        "VisA",
        2,
        {"melted": 2},
        2,
        2,
        {
            "image_anno.csv": "table of labels",
            "Data/Images/Normal": "good parts / training good parts",
            "Data/Images/Anomaly": "defects: melted",
            "Data/Masks/Anomaly": "masks",
        },
    ),
    Layout(
        "VisA without its tables",
        visa_without_tables,
        "one folder a kind",
        4,
        {"Anomaly": 2},
        2,
        0,
        {
            "Data/Images/Normal": "good parts",
            "Data/Images/Anomaly": "defects: Anomaly",
            "Data/Masks/Anomaly": "masks",
        },
    ),
    Layout(
        "VisA, one class",
        visa_one_class,
        "MVTec AD",
        3,
        {"bad": 2},
        2,
        4,
        {
            "train/good": "training good parts",
            "test/good": "good parts",
            "test/bad": "defects: bad",
            "ground_truth/bad": "masks",
        },
    ),
    Layout(
        "BTAD",
        btad,
        "BTAD",
        3,
        {"ko": 2},
        2,
        4,
        {
            "train/ok": "training good parts",
            "test/ok": "good parts",
            "test/ko": "defects: ko",
            "ground_truth/ko": "masks",
        },
    ),
    Layout(
        "MPDD",
        mpdd,
        "MVTec AD",
        3,
        {"parts_mismatch": 2},
        2,
        4,
        {
            "train/good": "training good parts",
            "test/good": "good parts",
            "test/parts_mismatch": "defects: parts_mismatch",
            "ground_truth/parts_mismatch": "masks",
        },
    ),
    Layout(
        "KolektorSDD",
        kolektor,
        "KolektorSDD",
        6,
        {"defect": 2},
        2,
        0,
        {
            "kos01": "defects: defect / good parts / masks / masks: empty, of good parts",
            "kos02": "defects: defect / good parts / masks / masks: empty, of good parts",
        },
    ),
    Layout(
        "KolektorSDD2",
        kolektor_2,
        "KolektorSDD2",
        3,
        {"defect": 2},
        2,
        3,
        {
            "test": "defects: defect / good parts / masks / masks: empty, of good parts",
            "train": "not used: masks of training images / not used: training defects / training good parts",
        },
    ),
    Layout(
        "DAGM 2007",
        dagm,
        "DAGM",
        4,
        {"defect": 1},
        1,
        3,
        {
            "Test": "defects: defect / good parts",
            "Test/Label": "masks",
            "Train": "not used: training defects / training good parts",
            "Train/Label": "not used: masks of training images",
        },
    ),
    Layout(
        "anomalib's toy set",
        toy,
        "one folder a kind",
        4,
        {"colour": 2, "crack": 2},
        2,
        0,
        {"good": "good parts", "crack": "defects: crack", "colour": "defects: colour", "mask/crack": "masks"},
    ),
    Layout(
        "anomalib's Folder",
        folder,
        "anomalib Folder",
        4,
        {"abnormal": 2},
        2,
        0,
        {"normal": "good parts", "abnormal": "defects: abnormal", "mask": "masks"},
    ),
    Layout(
        "anomalib's Folder with normal_test",
        folder_with_test,
        "anomalib Folder",
        3,
        {"abnormal": 2},
        2,
        4,
        {
            "normal": "training good parts",
            "normal_test": "good parts",
            "abnormal": "defects: abnormal",
            "mask": "masks",
        },
    ),
    Layout(
        "Plain folders",
        plain,
        "one folder a kind",
        4,
        {"dent": 1, "scratch": 2},
        0,
        0,
        {"OK": "good parts", "dent": "defects: dent", "scratch": "defects: scratch"},
    ),
    Layout(
        "Plain folders, German",
        german,
        "one folder a kind",
        4,
        {"n.i.O": 2},
        2,
        0,
        {"i.O": "good parts", "n.i.O": "defects: n.i.O", "Masken/n.i.O": "masks"},
    ),
    Layout(
        "Folders 0 and 1",
        numbers,
        "one folder a kind",
        4,
        {"defect": 2},
        0,
        0,
        {"0": "good parts", "1": "defects: defect"},
    ),
    Layout(
        "Images and their masks",
        flat,
        "images and masks",
        3,
        {"defect": 2},
        2,
        0,
        {"images": "defects: defect / good parts", "masks": "masks"},
    ),
    Layout(
        "Table",
        table,
        "CSV",
        3,
        {"defect": 2},
        1,
        0,
        {"labels.csv": "table of labels", "parts": "defects: defect / good parts", "masks": "masks"},
    ),
)


def _taken_for(found: Dataset) -> str:
    return "<br>".join(f"`{use.folder}`: {use.taken_for} ({use.files})" for use in found.folders)


def markdown() -> str:
    """The table of all layouts."""
    lines = [
        "| Layout | Read as | Folder: taken for (files) | Good | Defects | With a mask |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as place:
            layout.make(Path(place))
            found = open_dataset(place, beside=False)
            kinds = found.kinds
            defects = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()) if kind != "good")
            lines.append(
                f"| {layout.title} | {found.layout} | {_taken_for(found)} | {kinds['good']} | {defects} "
                f"| {found.masks} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown() + "\n")
