"""Decode the names in zip archives that do not state their encoding.

The format knows CP437 and UTF-8 only, but programs on Japanese, Chinese, Korean, Russian and Western
computers write names in the local encoding without saying so. The encoding is decided once over all names of
an archive, because a single short name fits many. Python's own reading, always CP437, even changes which
files there are: in CP932, GBK and Big5 the second byte of a character may be a backslash, as in 表, which
would become a folder.

charset-normalizer was tried first: it misread 7 of 27 lists of short names.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_DIGITS = re.compile(r"[0-9]+")
# Backslashes that separate folders. CP437 is also the last resort: after another character, the byte may be
# half of one in an encoding not known here. In a name decoded by guess, a backslash before the dot of the
# ending is half of a character too.
_AFTER_ASCII = re.compile(r"(?<![^\x00-\x7f])\\")
_NOT_BEFORE_DOT = re.compile(r"\\(?!\.)")


@dataclass(frozen=True)
class _Language:
    """How likely a character is in file names of one language.

    Attributes:
        encodings: encodings in which programs write such names, the most common first.
        classes: (share of the characters, number of characters in the class, test of a character and its
            encoded bytes), by decreasing likelihood. The first class that has the character applies.
        words: words that are frequent in the names of inspection images; they decide between languages whose
            encodings use the same bytes.
        prior: how common such archives are, relative to those of other languages.
    """

    encodings: tuple[str, ...]
    classes: tuple[tuple[float, int, Callable[[str, bytes], bool]], ...]
    words: tuple[str, ...] = ()
    prior: float = 1


def _between(low: str, high: str) -> Callable[[str, bytes], bool]:
    return lambda char, raw: low <= char <= high


def _lead(low: int, high: int, trail: int = 0) -> Callable[[str, bytes], bool]:
    """Return a test for characters of two bytes by the range of the first, and the least second byte."""
    return lambda char, raw: len(raw) == 2 and low <= raw[0] <= high and raw[1] >= trail


def _one_of(characters: str) -> Callable[[str, bytes], bool]:
    allowed = frozenset(characters)
    return lambda char, raw: char in allowed


_LANGUAGES = (
    _Language(
        ("cp932",),
        (
            (0.4, 170, _between("\u3041", "\u30fe")),  # kana
            (0.5, 2965, _lead(0x88, 0x98)),  # kanji, level 1 of JIS X 0208
            (0.05, 63, _between("\uff66", "\uff9f")),  # kana of half width
            (0.04, 200, _lead(0x81, 0x82)),  # punctuation, letters and digits of full width
            (0.01, 3390, _lead(0x98, 0xEA)),  # kanji, level 2
        ),
        (
            *("良品", "不良", "正常", "異常", "検査", "画像", "写真", "製品", "部品", "欠陥", "合格", "表面"),
            *("キズ", "傷", "汚れ", "テスト", "サンプル", "ワーク", "学習"),
        ),
    ),
    _Language(
        ("gbk", "gb18030"),
        (
            (0.93, 3755, _lead(0xB0, 0xD7, 0xA1)),  # level 1 of GB 2312
            (0.02, 200, _lead(0xA1, 0xA3, 0xA1)),  # punctuation and full width
            (0.02, 3008, _lead(0xD8, 0xF7, 0xA1)),  # level 2
            (
                0.03,
                14000,
                lambda char, raw: len(raw) == 2 and "\u4e00" <= char <= "\u9fff",
            ),  # GBK's additions
        ),
        (
            *(
                "良品",
                "不良",
                "正常",
                "异常",
                "检测",
                "检验",
                "图片",
                "照片",
                "图像",
                "产品",
                "零件",
                "工件",
                "缺陷",
            ),
            *("合格", "表面", "划痕", "样品", "样本", "测试", "训练", "污", "新建文件夹"),
        ),
    ),
    _Language(
        ("big5", "cp950"),
        (
            (0.95, 5401, _lead(0xA4, 0xC6)),  # level 1 of Big5
            (0.03, 400, _lead(0xA1, 0xA3)),
            (0.02, 7652, _lead(0xC9, 0xF9)),
        ),
        (
            "良品",
            "不良",
            "正常",
            "異常",
            "檢測",
            "檢驗",
            "圖片",
            "照片",
            "產品",
            "零件",
            "瑕疵",
            "合格",
            "表面",
            "刮痕",
        ),
    ),
    _Language(
        ("cp949",),
        (
            (0.95, 2350, _lead(0xB0, 0xC8, 0xA1)),  # syllables of KS X 1001
            (0.02, 400, _lead(0xA1, 0xA3, 0xA1)),
            (0.02, 8822, _between("\uac00", "\ud7a3")),
            (0.01, 4888, _lead(0xCA, 0xFD, 0xA1)),
        ),
        (
            "양품",
            "불량",
            "정상",
            "비정상",
            "검사",
            "이미지",
            "사진",
            "제품",
            "부품",
            "결함",
            "합격",
            "표면",
            "학습",
        ),
    ),
    _Language(
        ("cp1251", "cp866", "koi8_r"),
        (
            (0.85, 32, _between("а", "я")),
            (0.13, 32, _between("А", "Я")),
            (0.01, 3, _one_of("ёЁ№")),
        ),
    ),
    _Language(
        ("cp1252", "cp850", "cp437"),
        (
            (0.7, 12, _one_of("äöüßéèàçñóáí")),
            (0.25, 40, _one_of("ÄÖÜÉÈÀÇÑÓÁÍêëîïôûùâãõúåøæÅØÆœÊÂÔ°µ²³×±·§ª")),
        ),
    ),
    _Language(
        ("cp1250", "cp852"),
        ((0.6, 36, _one_of("ąćęłńóśźżáčďéěíňřšťúůýžőű")), (0.2, 36, _one_of("ĄĆĘŁŃÓŚŹŻÁČĎÉĚÍŇŘŠŤÚŮÝŽŐŰ"))),
        prior=0.05,
    ),
)
_UNLIKELY = math.log(1e-7)
# A letter of an alphabet beside one of another, or a capital after a small letter.
_IRREGULAR = math.log(0.02)
# How much more likely a language is for each of its words among the names.
_WORD = math.log(1e3)


def legacy_encoding(names: Iterable[bytes]) -> str:
    """Return the encoding in which all the names of an archive were most likely written.

    UTF-8 wins wherever the names are valid UTF-8, which other encodings are by accident only. Otherwise each
    candidate that can decode all names is rated by how likely its characters are in names of its language.

    Args:
        names: the names as bytes, of an archive without the flag for UTF-8.

    Returns:
        A name for :meth:`bytes.decode`; ``cp437``, the format's own, for names in ASCII and where none fits.
    """
    distinct = {name for name in names if not name.isascii()}
    if not distinct:
        return "cp437"
    if _decoded(distinct, "utf-8") is not None:
        return "utf-8"
    best, chosen = -math.inf, "cp437"
    for language in _LANGUAGES:
        for encoding in language.encodings:
            texts = _decoded(distinct, encoding)
            if texts is not None and (rating := _rating(texts, language, encoding)) > best:
                best, chosen = rating, encoding
    return chosen


def _decoded(names: Iterable[bytes], encoding: str) -> list[str] | None:
    try:
        return [name.decode(encoding) for name in names]
    except UnicodeDecodeError:
        return None


def _rating(texts: Sequence[str], language: _Language, encoding: str) -> float:
    """Return the log likelihood of the characters, with a bonus for the language's words.

    Names that differ by their numbers only count once: a thousand of them say no more than one.
    """
    distinct = sorted({_DIGITS.sub("0", part) for text in texts for part in text.split("/")})
    everything = "\n".join(distinct)
    total = math.log(language.prior) + sum(_WORD for word in language.words if word in everything)
    total += _UNLIKELY * everything.count("\\.")  # a folder with a file that is nothing but an ending
    before = "\n"
    for char in everything:
        if not char.isascii():
            raw = char.encode(encoding)
            total += next(
                (math.log(share / size) for share, size, belongs in language.classes if belongs(char, raw)),
                _UNLIKELY,
            )
        if char.isupper() and before.islower() and not (char + before).isascii():
            total += _IRREGULAR
        if char.isalpha() and before.isalpha() and _cyrillic(char) != _cyrillic(before):
            total += _IRREGULAR
        before = char
    return total


def _cyrillic(char: str) -> bool:
    return "\u0400" <= char <= "\u04ff"


def decoded_names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the path of each member of an archive, with slashes between its components.

    A backslash separates folders too, as programs for Windows write it: one of the decoded name, where it is
    no half of another character.

    Args:
        entries: the members, opened without ``metadata_encoding``.
    """
    stated = [_stated_name(entry) for entry in entries]
    unstated = [_raw(entry) for entry, name in zip(entries, stated, strict=True) if name is None]
    encoding = legacy_encoding(unstated)
    separator = _AFTER_ASCII if encoding == "cp437" else _NOT_BEFORE_DOT
    return [
        separator.sub("/", _raw(entry).decode(encoding, "replace"))
        if name is None
        else name.replace("\\", "/")
        for entry, name in zip(entries, stated, strict=True)
    ]


def _raw(entry: zipfile.ZipInfo) -> bytes:
    # zipfile decodes what is not flagged as CP437, which has a character for each byte.
    return entry.orig_filename.encode("cp437")


def _stated_name(entry: zipfile.ZipInfo) -> str | None:
    """Return the name if the archive states its encoding, by flag or Info-ZIP's extra field, else None."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.orig_filename
    extra = entry.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _UNICODE_PATH and length > 5 and len(extra) >= 4 + length and extra[4] == 1:
            (checksum,) = struct.unpack_from("<I", extra, 5)
            # A program that renames members without knowing the field leaves the former name in it.
            if checksum == zlib.crc32(_raw(entry)):
                return extra[9 : 4 + length].decode("utf-8", "replace")
        extra = extra[4 + length :]
    return None
