"""Names in zip archives that do not state their encoding: every image is found, under its own name."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.data.account import FileAccount
from padim.data.archives import ZipSource
from padim.data.zip_names import legacy_encoding


def legacy_zip(names: list[str], encoding: str, *, windows: bool = True) -> bytes:
    """Build a zip whose names are in a legacy encoding, without the flag for UTF-8."""
    raw = [name.encode(encoding) for name in names]
    # Written under names of the same length, which are then replaced in both headers.
    stand_ins = [f"{number:0{len(name)}d}".encode() for number, name in enumerate(raw, 10**5)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, stand_in in enumerate(stand_ins):
            entry = zipfile.ZipInfo(stand_in.decode())
            entry.create_system = 0 if windows else 3
            archive.writestr(entry, bytes([number]))
    data = out.getvalue()
    for stand_in, name in zip(stand_ins, raw, strict=True):
        assert len(stand_in) == len(name)
        data = data.replace(stand_in, name)
    return data


JAPANESE = [
    f"{name}_001.png" for name in ("表面", "良品", "機能", "ソケット", "圭角", "構造", "申請", "十字")
]
WRITTEN = [
    ("cp932", JAPANESE),
    ("cp932", ["検査画像/不良/キズ001.jpg", "検査画像/良品/部品表.png"]),
    ("cp932", ["製品A\\表\\ソ.png", "製品A\\裏\\能.png"]),
    ("cp932", ["ﾜｰｸ000001.png", "ﾜｰｸ000002.png"]),
    ("gbk", ["良品/样品01.png", "良品/样品02.png"]),
    ("gbk", ["正常样本\\图片1.jpg", "缺陷\\划痕1.jpg"]),
    ("gbk", ["合格_0001.png"]),
    ("gbk", ["測試照片.png"]),
    ("big5", ["良品/樣品01.png", "瑕疵/刮痕01.png"]),
    ("big5", ["功能測試許蓋.png"]),
    ("cp949", ["양품/부품01.png", "불량/긁힘.png"]),
    ("cp866", ["Деталь_0001.png", "годен/000001.png"]),
    ("cp1251", ["Деталь_0001.png", "годен/000001.png"]),
    ("cp850", ["Prüfling_01.png", "Gehäuse größe.png"]),
    ("cp1252", ["Prüfling_01.png", "Gehäuse größe.png"]),
    ("utf-8", ["Prüfling_01.png", "良品/0001.png"]),
]


@pytest.mark.parametrize(("encoding", "names"), WRITTEN)
def test_names_of_legacy_zips(encoding: str, names: list[str]) -> None:
    source = ZipSource(legacy_zip(names, encoding))
    assert {name for name, _ in source} == {name.replace("\\", "/") for name in names}
    assert FileAccount.of(len(source), source).unused == 0
    reader = source.open()
    assert {reader.read(name) for name in reader.images} == {bytes([i]) for i in range(len(names))}


def test_no_image_of_a_japanese_windows_zip_is_lost() -> None:
    # These characters end in the byte of a backslash, after which Python's reading sees a hidden ".png".
    names = [f"ワーク{char}.png" for char in "表能ソ圭構申十貼"]
    source = ZipSource(legacy_zip(names, "cp932"))
    assert sorted(name for name, _ in source) == sorted(names)
    assert source.passed_over == []


@pytest.mark.parametrize("encoding", ["cp932", "gbk", "big5", "cp949"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_image_is_lost_whatever_the_names_are(encoding: str, data: st.DataObject) -> None:
    pairs = st.binary(min_size=2, max_size=6).filter(lambda raw: _readable(raw, encoding))
    names = data.draw(st.lists(pairs, min_size=1, max_size=6, unique=True))
    wanted = [f"{number:05d}" + raw.decode(encoding) + ".png" for number, raw in enumerate(names)]
    source = ZipSource(legacy_zip(wanted, encoding))
    assert len(list(source)) == len(wanted)
    assert source.skipped == []
    assert source.passed_over == []


def _readable(raw: bytes, encoding: str) -> bool:
    """Whether the bytes are letters of the encoding, none of them ASCII."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return text.encode(encoding) == raw and all(char.isalpha() and not char.isascii() for char in text)


def test_a_stated_encoding_is_taken_at_its_word() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("良品/表.png", b"x")  # Python sets the flag for UTF-8
        plain = zipfile.ZipInfo("other.png")
        stated = "ソース.png".encode()
        plain.extra = struct.pack("<HHBI", 0x7075, 5 + len(stated), 1, zlib.crc32(b"other.png")) + stated
        archive.writestr(plain, b"y")
    assert [name for name, _ in ZipSource(out.getvalue())] == ["ソース.png", "良品/表.png"]


def test_a_stated_name_of_another_member_is_not_believed() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        plain = zipfile.ZipInfo("renamed.png")
        plain.extra = struct.pack("<HHBI", 0x7075, 5 + 5, 1, zlib.crc32(b"former.png")) + b"f.png"
        archive.writestr(plain, b"y")
    assert [name for name, _ in ZipSource(out.getvalue())] == ["renamed.png"]


def test_names_in_ascii_need_no_encoding() -> None:
    assert legacy_encoding([b"a.png", b"b/c.png"]) == "cp437"
