"""What the name of a folder or a label says about the images: good parts, defects, masks, a training set.

Names are compared word by word, whatever their case: ``Ground_Truth``, ``GroundTruth`` and ``ground truth``
are the same words. A word within another one does not count: ``badge`` is not ``bad``. Only what is written
together by custom is taken apart: ``NGparts``, ``Schlechtbilder``, and Chinese, Japanese and Korean, which
have no spaces between words.
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

# Where words meet: as in "GroundTruth", or also as in "NGTeile".
_CAPITAL = re.compile(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])")
_CAMEL = re.compile(rf"{_CAPITAL.pattern}|(?<=[A-ZÄÖÜ])(?=[A-ZÄÖÜ][a-zäöüß]{{2}})")
_CJK = "\u3041-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]+|[^\W\d_{_CJK}]+|\d+")
_ACCENTS = re.compile(r"[\u0300-\u036f]")
# The longest expression is of so many words.
_LONGEST = 4


def _folded(text: str) -> str:
    """Return text in lower case without accents, which people leave out: défaut is defaut."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", plain).casefold()


def _set(words: str) -> frozenset[str]:
    return frozenset(map(_folded, words.split()))


_GOOD = _set(
    "good goods ok okay okey pass passed passing accept accepted accepts acceptable fine normal "
    "normals nominal conforming conform conformant compliant intact flawless healthy faultless perfect "
    "io iostueck iostück inordnung gut gute guten gutteil gutteile fehlerfrei fehlerfreie defektfrei "
    "mangelfrei einwandfrei einwandfreie bon bonne bons bonnes conforme conformes conformi bueno buenos "
    "buena buenas buono buoni buona buone goed goede goedgekeurd aprobado aprobados aprobada aprobadas "
    "accettato accettati aprovado aprovados bom bons boas dobre godkänd godkända defectfree nodefect "
    "nodefects faultfree nofault nondefective 良品 良好 正常 合格 合格品 正常品 양품 정상 합격 годные годный "
    "годен"
)
_BAD = _set(
    "bad bads ng nok notok ko defect defects defective defectives defected defekt defekte defekten "
    "abnormal abnormals abnormality abnormalities anomaly anomalies anomalous anomal anomalie "
    "anomalien anormal reject rejects rejected rejection rejections faulty fault faults scrap scraps "
    "scrapped nio nichtinordnung nichtio nichtok nichtgut notgood nogood schlecht schlechte "
    "schlechteil schlechtteil schlechtteile fehler fehlerhaft fehlerhafte fehlerteil fehlerteile "
    "fehlerbild fehlerbilder fail fails failed failing failure failures ausschuss ausschuß flaw flaws "
    "flawed nonconforming nonconformity nonconformities unacceptable unaccepted kaputt mangelhaft "
    "mangel mängel mauvais mauvaise mauvaises rebut rebuts défaut défauts défectueux défectueuse "
    "défectueuses anormale anormales anormaux malo malos mala malas defecto defectos defectuoso defectuosos "
    "defectuosa defectuosas rechazo rechazos rechazado rechazados rechazada rechazadas anomalia anomalias "
    "anómalo anómalos anormales fallo fallos difetto difetti difettoso difettosi difettosa difettose scarto "
    "scarti anomalo anomali anomala guasto guasti defeito defeitos defeituoso defeituosos reprovado "
    "reprovados rejeitado rejeitados fout fouten afgekeurd afkeur wada wady wadliwe felaktig felaktiga "
    "nonconforme nonconformes nonconformi rej rework outlier outliers fehlteil fehlteile nacharbeit 不良 "
    "不良品 異常 异常 欠陥 欠陥品 不具合 缺陷 缺陷品 瑕疵 次品 废品 不合格 不合格品 不正常 非正常 "
    "불량 불량품 결함 비정상 "
    "брак дефект дефекты"
)
_MASK = _set(
    "mask masks maske masken groundtruth groundtruths gt gts segmentation segmentations segmask "
    "segmasks segmentationmask segmentationmasks maskes masque masques máscara mascara "
    "마스크 マスク 掩码 掩膜 遮罩"
)
# Names of kinds of defects. Among good parts they are as telling as "bad", but a label may use others.
_KINDS = _set(
    "broken damaged damage damages contaminated contamination contaminations scratch scratches "
    "scratched crack cracks cracked dent dents dented kratzer riss risse bruch beschädigt verschmutzt "
    "verkratzt 划痕 刮痕 裂纹 裂缝 破损 傷 キズ 割れ 스크래치"
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
_NOT = _set("no non not without ohne kein keine keinen nicht zero sans sin senza 无 無 没有")
_FREE = _set("free frei less los なし 無し 없음")
# Of these, the ones that turn a word for good parts into its opposite: "not accepted", "non conforme".
_OPPOSITE = _set("no non not nicht kein keine keinen pas 不 非 未")
_TRAIN = _set("train training trainset trainingset trainingsdaten 训练 训练集 訓練 学習 학습")
_VALIDATION = _set("val valid validation validierung dev")
_TEST = _set(
    "test tests testing testset testdata testdaten testbild testbilder testteile eval evaluation "
    "测试 测试集 測試 テスト 테스트"
)
# In "test bench A" and "solder mask" the words are the names of things.
_THINGS_OF_TEST = _set("bench stand station rig jig fixture point points pad pads board probe adapter plug")
_THINGS_OF_MASK = _set("holder holders aligner shop strap straps filter filters solder face photo paste gas")
_PRIVATE = frozenset(("private", "hidden"))
# Words that say nothing about the label.
_NEUTRAL = _set(
    "image images img imgs pic pics picture pictures photo photos bild bilder data dataset set sets "
    "all rgb part parts teil teile sample samples piece pieces stück stücke stueck stuecke jpegimages "
    "public only files input inputs raw original originals the of in mixed "
    "画像 图片 图像 图 圖片 圖像 照片 写真 样本 样品 サンプル 数据 データ 品 件 零件 部品 "
    "产品 製品 类 이미지 사진 부품 제품"
)
# Words that are written together: each of the first with each of the second.
_TOGETHER = (
    (
        _set("ng nok ok bad good defect defective reject rejected anomaly abnormal normal faulty scrap test"),
        _set("part parts image images img imgs pic pics photo photos sample samples piece pieces"),
    ),
    (
        _set("ng nok nio io ok gut schlecht fehler defekt ausschuss anomalie test kratzer riss"),
        _set("teil teile bild bilder foto fotos muster"),
    ),
)
_KNOWN = frozenset().union(
    *(_GOOD, _BAD, _MASK, _KINDS, _FEATURES, _NOT, _FREE, _OPPOSITE, _TRAIN, _TEST, _NEUTRAL)
)
_MASK_FILLERS = frozenset(["rgb", "binary", "bin", "pixel", "pixels", "gray", "grey", "color", "colour"])
_MASK_SUFFIX = re.compile(
    r"(?P<stem>.+?)[ _.\-]+(?:(?:rgb|binary|bin)[ _.\-]*)?"
    r"(?:masks?|maske|gts?|labels?|seg(?:mentation)?|ground[ _.\-]?truth|segmask|annotation)"
    r"(?:[ _.\-]*\d{1,3})?$",
    re.IGNORECASE,
)
_MASK_PREFIX = re.compile(
    r"(?:masks?|maske|gt|seg(?:mentation)?|ground[ _.\-]?truth|segmask)[ _.\-]+(?P<stem>.+)", re.IGNORECASE
)


def words(name: str) -> list[str]:
    """Return the words and numbers of a name in lower case: ``GroundTruth_2`` gives ground, truth, 2."""
    # Macs write accents as signs of their own, and Japanese programs wide letters.
    found: list[str] = []
    for run in _WORD.findall(unicodedata.normalize("NFKC", name)):
        parts = None if _CAPITAL.search(run) else _taken_apart(_folded(run))
        if parts is None:
            for one in _CAMEL.sub(" ", run).split():
                found += _taken_apart(_folded(one)) or [_folded(one)]
        else:
            found += parts
    return found


def _taken_apart(word: str) -> list[str] | None:
    """Return the words that a run of letters consists of; None if it is not known as a whole."""
    if word in _KNOWN:
        return [word]
    if re.match(f"[{_CJK}]", word):
        return _segmented(word)
    for first, second in _TOGETHER:
        for cut in range(2, len(word) - 2):
            if word[:cut] in first and word[cut:] in second:
                return [word[:cut], word[cut:]]
    return None


def _segmented(text: str) -> list[str]:
    """Return the known words of text without spaces, the longest at each place, and what is between them."""
    found, at, unknown = [], 0, ""
    while at < len(text):
        known = next((text[at:end] for end in range(len(text), at, -1) if text[at:end] in _KNOWN), "")
        if known:
            found += [unknown, known]
            unknown = ""
        else:
            unknown += text[at]
        at += len(known) or 1
    return [one for one in (*found, unknown) if one]


def _spans(said: list[str], wanted: frozenset[str]) -> Iterable[tuple[int, int]]:
    """Yield where, from and to, words of a name together spell one of ``wanted``; the longest first."""
    for length in range(min(_LONGEST, len(said)), 0, -1):
        for start in range(len(said) - length + 1):
            if "".join(said[start : start + length]) in wanted:
                yield start, start + length


@lru_cache(maxsize=4096)
def says_bad(name: str) -> bool:
    """Return whether a name says that images show defects: ``NG``, ``n.i.O.``, ``02_defective parts``.

    Defects that are denied, as in ``no defects`` and ``defect-free``, do not count; good parts that are
    denied, as in ``not accepted``, do.
    """
    said = words(name)
    if any(not _denied(said, start, end) for start, end in _spans(said, _BAD)):
        return True
    return any(start > 0 and said[start - 1] in _OPPOSITE for start, _ in _spans(said, _GOOD))


@lru_cache(maxsize=4096)
def says_bad_alone(name: str) -> bool:
    """Return whether the whole name says that images show defects: ``NG 2``, not ``anomaly detection``."""
    left = [word for word in words(name) if word not in _NEUTRAL and not word.isdigit()]
    return says_bad(name) and bool(left) and _covered(left, _BAD | _KINDS | _GOOD | _OPPOSITE)


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
    """Return whether a name has a word for masks among others: ``mask crack``, but not ``solder mask``."""
    said = words(name)
    return any(not _of_thing(said, start, end, _THINGS_OF_MASK) for start, end in _spans(said, _MASK))


def mentions_test(name: str) -> bool:
    """Return whether a name has a word for a test set among others: ``test_public``, not ``test bench``."""
    said = words(name)
    return any(
        word in _TEST and not _of_thing(said, place, place + 1, _THINGS_OF_TEST)
        for place, word in enumerate(said)
    )


def _of_thing(said: list[str], start: int, end: int, things: frozenset[str]) -> bool:
    return bool(things.intersection((*said[max(0, start - 1) : start], *said[end : end + 1])))


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
    """Return a mask's file stem without its ending or beginning: 000 of ``000_mask`` or ``mask_000``.

    None if it has neither.
    """
    found = _MASK_SUFFIX.fullmatch(stem) or _MASK_PREFIX.fullmatch(stem)
    return None if found is None else found["stem"]


@lru_cache(maxsize=4096)
def masks_of(name: str) -> tuple[str, ...]:
    """Return the words of the folder whose masks a folder holds by its name: ng of ``NG_masks``."""
    said = words(name)
    left = tuple(word for word in said if word not in _MASK)
    return left if len(left) < len(said) else ()
