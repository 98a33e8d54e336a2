"""What names say: good parts, defects, masks and splits, as whole words in any case."""

from __future__ import annotations

import pytest

from padim.data.label_words import says_bad, says_good, says_masks, split_of, without_mask_suffix, words

GOOD = (
    *("good", "GOOD", "ok", "OK", "pass", "passed", "io", "i.O.", "gut", "Gutteil", "Gutteile", "normal"),
    *(
        "Normals",
        "accepted",
        "fine",
        "good_parts",
        "GoodParts",
        "ok-images",
        "01_good",
        "good2",
        "no_defects",
    ),
    *(
        "OK画像",
        "OK品",
        "良品画像",
        "正常图片",
        "无缺陷",
        "異常なし",
        "NODefect_images",
        "nodefect",
        "goodparts",
    ),
    *("Gutbilder", "OKTeile", "okteile", "einwandfrei", "sans_défaut", "sin_defectos", "aprobados"),
    *("defect-free", "non-defective", "fehlerfrei", "ohne_Fehler", "not_defective", "good 2024-05-01"),
)
BAD = (
    *("bad", "NG", "n.g.", "nok", "n.i.O.", "nio", "NiO", "N_I_O", "ko", "defect", "Defects", "defective"),
    *("Defekt", "abnormal", "anomaly", "anomalies", "anomalous", "reject", "rejected", "faulty", "scrap"),
    *("NG画像", "NG图片", "NG品", "不良品图片", "缺陷图", "异常样本", "異常データ", "不正常", "불량품이미지"),
    *("NGTeile", "NGteile", "NIOTeile", "NGParts", "badparts", "BADparts", "Schlechtbilder", "Mängel"),
    *("not_accepted", "not passed", "no_pass", "non conforme", "Non-conformes", "no_conforme", "non_ok"),
    *("defectueux", "défectueuses", "anormale", "difettosi", "defectuosos", "rechazados", "anomalía"),
    *("schlecht", "Schlechtteile", "Fehler", "fail", "failed", "not_ok", "notOK", "not_good", "Ausschuss"),
    *(
        "02_bad",
        "bad2",
        "BadParts",
        "parts_rejected",
        "structural_anomalies",
        "nicht ok",
        "ＮＧ",
        "de\u0301faut",
    ),
)
NEITHER = (
    *("badge", "koala", "mango", "scratchpad", "komponente", "testify", "defector", "goodyear", "normalize"),
    *("改良品", "maskenteil", "Badteile", "contest", "goodyear", "OKular", "testament"),
    *("passage", "okular", "set3", "line-2", "kos01", "No 3"),
)


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert says_good(name)
    assert not says_bad(name)


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    assert says_bad(name)
    assert not says_good(name)


@pytest.mark.parametrize("name", NEITHER)
def test_neither(name: str) -> None:
    assert not says_bad(name)
    assert not says_good(name)
    assert not says_masks(name)


@pytest.mark.parametrize(
    "name", ["ground_truth", "Ground_Truth", "GroundTruth", "groundtruth", "mask", "Masks", "GT"]
)
def test_masks(name: str) -> None:
    assert says_masks(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test", ("test", "")),
        ("Test_Public", ("test", "")),
        ("test_private_mixed", ("private", "")),
        ("normal_test", ("test", "normal")),
        ("train_good", ("train", "good")),
        ("Validation", ("validation", "")),
        ("test strip torn", (None, "test strip torn")),
        ("latest", (None, "latest")),
    ],
)
def test_splits(name: str, expected: tuple[str | None, str]) -> None:
    assert split_of(name) == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("000_mask", "000"),
        ("000-GT", "000"),
        ("Part0_label", "Part0"),
        ("a b seg", "a b"),
        ("000_ground_truth", "000"),
        ("000_mask_2", "000"),
        ("damask", None),
        ("mask", None),
    ],
)
def test_endings_of_masks(stem: str, expected: str | None) -> None:
    assert without_mask_suffix(stem) == expected


def test_words_are_split_at_capitals_and_signs() -> None:
    assert words("GroundTruth_2 n.i.O.") == ["ground", "truth", "2", "n", "i", "o"]
