"""What the name of a folder or a label says about the images: good parts, defects, masks, a training set.

Names are compared word by word, whatever their case: ``Ground_Truth``, ``GroundTruth`` and ``ground truth``
are the same words. A word within another one does not count: ``badge`` is not ``bad``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

DataSplit = Literal["train", "validation", "test", "private"]

GOOD_EXAMPLES = ("good", "ok", "pass", "io", "gut", "normal", "accepted")
"""Names of folders of good parts, to be proposed to the user."""

_CAMEL = re.compile(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])")
_WORD = re.compile(r"[^\W\d_]+|\d+")
# The longest expression is of so many words.
_LONGEST = 4


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_GOOD = _set(
    "good goods ok okay okey pass passed passing accept accepted accepts acceptable fine normal "
    "normals nominal conforming conform conformant compliant intact flawless healthy faultless perfect "
    "io iostueck iostück inordnung gut gute guten gutteil gutteile fehlerfrei fehlerfreie defektfrei "
    "mangelfrei bon bonne bons bonnes conforme conformes bueno buenos buena buenas buono buoni buona "
    "buone goed goede 良品 "
    "正常 合格 合格品 正常品 양품 정상 годные годный"
)
_BAD = _set(
    "bad bads ng nok notok ko defect defects defective defectives defected defekt defekte defekten "
    "abnormal abnormals abnormality abnormalities anomaly anomalies anomalous anomal anomalie "
    "anomalien anormal reject rejects rejected rejection rejections faulty fault faults scrap scraps "
    "scrapped nio nichtinordnung nichtio nichtok nichtgut notgood nogood schlecht schlechte "
    "schlechteil schlechtteil schlechtteile fehler fehlerhaft fehlerhafte fehlerteil fehlerteile "
    "fehlerbild fehlerbilder fail fails failed failing failure failures ausschuss ausschuß flaw flaws "
    "flawed nonconforming nonconformity nonconformities unacceptable unaccepted kaputt mangelhaft "
    "mauvais mauvaise rebut rebuts défaut défauts defaut defauts malo malos mala malas defecto "
    "defectos rechazo rechazos difetto difetti scarto scarti 不良 不良品 "
    "rej outlier outliers fehlteil fehlteile nacharbeit 異常 异常 欠陥 缺陷 不合格 不合格品 "
    "불량 불량품 비정상 брак"
)
_MASK = _set(
    "mask masks maske masken groundtruth groundtruths gt gts segmentation segmentations segmask "
    "segmasks segmentationmask segmentationmasks maskes masque masques máscara mascara "
    "마스크 マスク 掩码"
)
# Names of kinds of defects. Among good parts they are as telling as "bad", but a label may use others.
_KINDS = _set(
    "broken damaged damage damages contaminated contamination contaminations scratch scratches "
    "scratched crack cracks cracked dent dents dented kratzer riss risse bruch beschädigt verschmutzt "
    "verkratzt"
)
# Further kinds of defects, which may be ordinary features of good parts as well.
_FEATURES = _set(
    "hole holes stain stains chip chips chipped dirt dirty dust dusty rust rusty bent burr burrs missing "
    "corrosion bubble bubbles blister spot spots cut cuts tear torn glue oil color colour print poke "
    "fold thread squeeze misplaced flip logical structural loch fleck flecken grat rost staub lunker "
    "pore pores void voids"
)
# Names of mask folders that are also names of ordinary folders: the files in them decide.
_LABEL = _set("label labels annotation annotations seg")
_NOT = _set("no non not without ohne kein keine keinen nicht zero sans sin senza")
_FREE = _set("free frei less los")
_TRAIN = _set("train training trainset trainingset trainingsdaten")
_VALIDATION = _set("val valid validation validierung dev")
_TEST = _set("test tests testing testset testdata testdaten testbild testbilder testteile eval evaluation")
_PRIVATE = frozenset(("private", "hidden"))
# Words that say nothing about the label.
_NEUTRAL = _set(
    "image images img imgs pic pics picture pictures photo photos bild bilder data dataset set sets "
    "all rgb part parts teil teile sample samples piece pieces stück stücke stueck stuecke jpegimages "
    "public only files input inputs raw original originals the of in mixed"
)
_MASK_FILLERS = frozenset(["rgb", "binary", "bin", "pixel", "pixels", "gray", "grey", "color", "colour"])
_MASK_SUFFIX = re.compile(
    r"(?P<stem>.+?)[ _.\-]+(?:(?:rgb|binary|bin)[ _.\-]*)?"
    r"(?:masks?|maske|gts?|labels?|seg(?:mentation)?|ground[ _.\-]?truth|segmask|annotation)"
    r"(?:[ _.\-]*\d{1,3})?$",
    re.IGNORECASE,
)


def words(name: str) -> list[str]:
    """Return the words and numbers of a name in lower case: ``GroundTruth_2`` gives ground, truth, 2."""
    # Macs write accents as signs of their own, and Japanese programs wide letters.
    return _WORD.findall(_CAMEL.sub(" ", unicodedata.normalize("NFKC", name)).casefold())


def _spans(said: list[str], wanted: frozenset[str]) -> Iterable[tuple[int, int]]:
    """Yield where, from and to, words of a name together spell one of ``wanted``; the longest first."""
    for length in range(min(_LONGEST, len(said)), 0, -1):
        for start in range(len(said) - length + 1):
            if "".join(said[start : start + length]) in wanted:
                yield start, start + length


@lru_cache(maxsize=4096)
def says_bad(name: str) -> bool:
    """Return whether a name says that images show defects: ``NG``, ``n.i.O.``, ``02_defective parts``.

    Defects that are denied, as in ``no defects`` and ``defect-free``, do not count.
    """
    said = words(name)
    return any(not _denied(said, start, end) for start, end in _spans(said, _BAD))


@lru_cache(maxsize=4096)
def says_kind(name: str) -> bool:
    """Return whether a name is that of a usual kind of defect: ``scratches``, ``crack 2``."""
    said = words(name)
    return any(not _denied(said, start, end) for start, end in _spans(said, _KINDS))


def names_defect(name: str) -> bool:
    """Return whether a name, in a folder of defects, can be taken for that of a kind of defect."""
    return says_bad(name) or says_kind(name) or any(word in _FEATURES for word in words(name))


def _denied(said: list[str], start: int, end: int) -> bool:
    before = start > 0 and said[start - 1] in _NOT
    return before or (end < len(said) and said[end] in _FREE)


@lru_cache(maxsize=4096)
def says_good(name: str) -> bool:
    """Return whether a name says that images show good parts: ``OK``, ``Gutteile``, ``good parts 2``."""
    said = [word for word in words(name) if not word.isdigit()]
    if says_bad(name):
        return False
    denied = [(start, end) for start, end in _spans(said, _BAD) if _denied(said, start, end)]
    if denied:
        return True
    left = [word for word in said if word not in _NEUTRAL]
    return bool(left) and _covered(left, _GOOD)


@lru_cache(maxsize=4096)
def says_masks(name: str) -> bool:
    """Return whether a folder's whole name says that it holds masks: ``ground_truth``, ``Masks``, ``GT``."""
    left = [w for w in words(name) if w not in _NEUTRAL and w not in _MASK_FILLERS and not w.isdigit()]
    return bool(left) and _covered(left, _MASK)


@lru_cache(maxsize=4096)
def may_say_masks(name: str) -> bool:
    """Return whether a folder of this name may hold masks or ordinary images: ``label``, ``annotations``."""
    left = [word for word in words(name) if word not in _NEUTRAL and not word.isdigit()]
    return bool(left) and _covered(left, _LABEL)


def mentions_masks(name: str) -> bool:
    """Return whether a name has a word for masks among others: ``mask crack``."""
    return any(_spans(words(name), _MASK))


def mentions_test(name: str) -> bool:
    """Return whether a name has a word for a test set among others: ``test_public``."""
    return any(word in _TEST for word in words(name))


def _covered(said: list[str], wanted: frozenset[str]) -> bool:
    """Return whether the words, in groups of neighbours, all spell one of ``wanted``."""
    if not said:
        return True
    return any(
        "".join(said[:length]) in wanted and _covered(said[length:], wanted)
        for length in range(1, min(_LONGEST, len(said)) + 1)
    )


@lru_cache(maxsize=4096)
def says_nothing(name: str) -> bool:
    """Return whether a folder's name says nothing about the label: ``images``, ``Data``."""
    said = words(name)
    return bool(said) and all(word in _NEUTRAL for word in said)


@lru_cache(maxsize=4096)
def split_of(name: str) -> tuple[DataSplit | None, str]:
    """Return the part of a data set that a folder's name gives, and what is left of the name.

    ``test`` gives test and nothing, ``normal_test`` test and ``normal``, ``test_private`` private.
    """
    said = words(name)
    for split, wanted in (("test", _TEST), ("train", _TRAIN), ("validation", _VALIDATION)):
        if any(word in wanted for word in said):
            left = [word for word in said if word not in wanted]
            if split == "test" and any(word in _PRIVATE for word in left):
                return "private", ""
            left = [word for word in left if word not in _NEUTRAL and not word.isdigit()]
            # A name such as "test piece crack" is that of a kind of defect; only short ones give a split.
            label = " ".join(left)
            if label and not (says_good(label) or says_bad(label) or says_masks(label)):
                return None, name
            return split, label  # type: ignore[return-value]
    return None, name


def without_mask_suffix(stem: str) -> str | None:
    """Return a mask's file stem without its ending: 000 of ``000_mask`` or ``000-GT``; None without one."""
    found = _MASK_SUFFIX.fullmatch(stem)
    return None if found is None else found["stem"]
