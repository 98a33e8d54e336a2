"""Working files: what is damaged is noticed, named and reported, and opening a model writes none of them."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bit_flips
from padim import Padim, PadimConfig, PadimError
from padim.errors import BundleError, DamagedError
from padim.methods.moments import PatchStatistics
from padim.storage import working_files
from tests.parts import defects, normals
from tests.refusing import refusing, tree


def verify(folder: Path) -> list[working_files.Damage]:
    return working_files.verify(folder, PatchStatistics.load)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[bit_flips.Case]:
    return bit_flips.cases(tmp_path_factory.mktemp("cases"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_damage_gives_the_same_model_or_a_named_error(
    cases: list[bit_flips.Case], tmp_path: Path, seed: int
) -> None:
    total: Counter[str] = Counter()
    for case in cases:
        counts, bad = bit_flips.try_out(case, 3, random.Random(seed), tmp_path)
        assert not bad, bad
        assert sum(counts.values()), f"{case.name}: nothing was damaged"
        total += counts
    assert total["named"] > 20


def test_every_damage_is_reported_and_nothing_is_changed(cases: list[bit_flips.Case], tmp_path: Path) -> None:
    rng = random.Random(5)
    for case in cases:
        if case.name in ("saved model", "exported scorer", "training that was stopped"):
            continue
        assert verify(case.folder) == [], case.name
        for file in [path for path in sorted(case.folder.glob("**/*")) if path.is_file()]:
            for kind in bit_flips.KINDS:
                place = tmp_path / "copy"
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(case.folder, place)
                path = place / file.relative_to(case.folder)
                if not path.stat().st_size:
                    continue
                said = bit_flips.damage(path, kind, rng)
                before = tree(place)
                found = verify(place)
                # An archive that has lost nothing but its checksum has one of each array.
                whole = path.suffix == ".npz" and not found and PatchStatistics.load(path).count > 0
                assert found or whole, f"{case.name} {file}: {said}"
                assert all(damage.what and damage.remedy for damage in found)
                assert tree(place) == before


@pytest.fixture
def opened(saved_model: Path, small_model: Padim, tmp_path: Path) -> tuple[Path, Path]:
    """A saved model and its working folder, as the workspace keeps them."""
    path = tmp_path / "m"
    shutil.copytree(saved_model, path)
    shutil.copytree(small_model.working_set.folder, path / "work")
    return path, path / "work"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 16
    path.write_bytes(content)


def test_a_damaged_record_is_named_with_what_can_be_done(opened: tuple[Path, Path]) -> None:
    path, work = opened
    model = Padim.load(path, work_dir=work)
    record = (work / "spool" / "features.f32").stat().st_size // len(model.normals_)
    flip(work / "spool" / "features.f32", 4 * record + 100)
    named = r"features\.f32.*normal 5.*good_004\.png.*same images again"
    for change in (
        lambda: model.exclude(0, "not_good"),
        lambda: model.partial_fit(normals(2, first=50)),
        model.working_set.statistics,
        model.working_set.save_checkpoint,
    ):
        with pytest.raises(DamagedError, match=named):
            change()
    flip(work / "thumbnails.bin", model.normals_[2].thumbnail[0])
    found = verify(work)
    assert [damage.path.name for damage in found] == ["features.f32", "thumbnails.bin"]
    assert "good_004.png" in found[0].what
    assert "good_002.png" in found[1].what
    # What the message says can be done, can be done.
    model.working_set.delete()
    assert not model.working_set.has_features
    model.working_set.rebuild(normals(22))
    model.exclude(0, "not_good")


@pytest.mark.parametrize("lost", [1, 3000])
def test_a_tail_lost_in_a_power_cut_is_named(opened: tuple[Path, Path], lost: int) -> None:
    path, work = opened
    file = work / "spool" / "features.f32"
    content = file.read_bytes()
    for tail in (b"", bytes(lost)):
        file.write_bytes(content[:-lost] + tail)
        with pytest.raises(DamagedError, match="normal 22"):
            Padim.load(path, work_dir=work).exclude(0, "not_good")


def test_damaged_thumbnails_are_not_saved(small_config: PadimConfig, tmp_path: Path) -> None:
    model = Padim(small_config, work_dir=tmp_path / "work").fit(normals(4))
    saved = model.save(tmp_path / "m")
    before = tree(saved)
    flip(tmp_path / "work" / "thumbnails.bin", 30)
    with pytest.raises(DamagedError, match=r"thumbnails\.bin"):
        model.save(saved)
    assert {name: content for name, (_, content) in tree(saved).items()} == {
        name: content for name, (_, content) in before.items()
    }
    assert Padim.load(saved).working_set.thumbnail(0)


def without_checksums(work: Path) -> None:
    """As the version before wrote a working folder."""
    feature_store = work / "spool"
    header = json.loads((feature_store / "spool.json").read_text())
    record, stride = header["record_bytes"], header["record_bytes"] + 8 * 8
    content = (feature_store / "features.f32").read_bytes()
    records = [content[at : at + record] for at in range(0, len(content), stride)]
    (feature_store / "features.f32").write_bytes(b"".join(records))
    keys = [line.split()[0] for line in (feature_store / "records.txt").read_text().splitlines()]
    (feature_store / "records.txt").write_text("".join(f"{key}\n" for key in keys))
    kept = ("identity", "channels", "positions", "order")
    (feature_store / "spool.json").write_text(json.dumps({key: header[key] for key in kept}))
    (work / "thumbnails.txt").unlink()


def test_files_of_an_earlier_version_are_named_kept_and_replaced_by_a_new_fit(
    opened: tuple[Path, Path], small_config: PadimConfig
) -> None:
    path, work = opened
    without_checksums(work)
    before = tree(work)
    model = Padim.load(path, work_dir=work)
    assert not model.working_set.has_features
    assert "earlier version" in str(model.working_set.problem)
    with pytest.raises(DamagedError, match=r"earlier version.*same images again"):
        model.exclude(0, "not_good")
    with pytest.raises(DamagedError, match="earlier version"):
        model.partial_fit(normals(2, first=50))
    assert tree(work) == before
    assert all("earlier version" in damage.what for damage in verify(work))
    assert len(verify(work)) == 2
    model.working_set.rebuild(normals(22))
    assert model.working_set.has_features
    assert model.working_set.problem is None
    assert Padim(small_config, work_dir=work).fit(normals(3)).working_set.has_features


def test_opening_scoring_and_looking_write_nothing(opened: tuple[Path, Path]) -> None:
    path, work = opened
    before = tree(path)
    with refusing(path) as refused:
        model = Padim.load(path, work_dir=work)
        list(model.predict(defects(2)))
        assert model.working_set.thumbnail(3)[:2] == b"\xff\xd8"
        assert model.working_set.has_features
        assert model.working_set.continues_exactly
        model.working_set.statistics()
        Padim.load(path, work_dir=path / "nowhere")
    assert not refused
    assert tree(path) == before


def test_opening_during_a_change_disturbs_neither(opened: tuple[Path, Path], small_model: Padim) -> None:
    """48 of 108 small images were garbage after somebody looked while good parts were added."""
    path, work = opened
    more = normals(40, first=60)
    small = [small_model.working_set.thumbnail(i) for i in range(len(small_model.normals_))]
    others: list[Padim] = []

    def given() -> Iterator[tuple[str, bytes | np.ndarray]]:
        for index, image in enumerate(more):
            if index % 7 == 6:
                others.append(Padim.load(path, work_dir=work))
            yield image

    model = Padim.load(path, work_dir=work)
    model.partial_fit(given())
    alone = Padim(model.config).fit([*normals(22), *more])
    expected = [alone.working_set.thumbnail(i) for i in range(62)]
    assert [model.working_set.thumbnail(i) for i in range(62)] == expected
    model.save(path)
    again = Padim.load(path, work_dir=work)
    assert [again.working_set.thumbnail(i) for i in range(62)] == expected
    # Who had opened the former model still sees it, now that its files are replaced.
    assert [others[0].working_set.thumbnail(i) for i in range(22)] == small


def test_a_change_that_fails_leaves_the_working_folder_as_it_was(opened: tuple[Path, Path]) -> None:
    path, work = opened
    before = {name: content for name, (_, content) in tree(work).items()}
    model = Padim.load(path, work_dir=work)
    with pytest.raises(PadimError, match="broken"):
        model.partial_fit([*normals(20, first=60), ("broken.png", b"no image")])
    assert {name: content for name, (_, content) in tree(work).items()} == before


def test_the_saved_thumbnails_are_checked_when_they_are_saved_again(opened: tuple[Path, Path]) -> None:
    path, work = opened
    model = Padim.load(path, work_dir=work)
    (file,) = path.glob("thumbnails-*")
    flip(file, 100)
    with pytest.raises(BundleError, match="altered"):
        model.save(path.parent / "copy")


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "an umlaut": lambda text: "schlüssel".encode() + text[9:],
    "latin-1": lambda text: b"\xe4" + text[1:],
    "a lone surrogate": lambda text: b"\xed\xa0\x80" + text[3:],
    "zeros": lambda text: bytes(len(text)),
    "a huge integer": lambda text: b"9" * 5000 + b"\n" + text,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", ["spool/records.txt", "spool/spool.json", "thumbnails.txt"])
def test_strange_bytes_in_a_record_file_are_one_sentence(
    opened: tuple[Path, Path], file: str, change: str
) -> None:
    path, work = opened
    (work / file).write_bytes(CHANGES[change]((work / file).read_bytes()))
    assert verify(work)
    model = Padim.load(path, work_dir=work)
    assert model.working_set.has_features == file.startswith("thumbnails")
    if not model.working_set.has_features:
        with pytest.raises(DamagedError, match="same images again"):
            model.exclude(0, "not_good")


@pytest.mark.parametrize("change", CHANGES)
def test_strange_bytes_in_the_record_of_a_stopped_fit(
    cases: list[bit_flips.Case], tmp_path: Path, change: str
) -> None:
    (case,) = [case for case in cases if case.name == "fit that was stopped"]
    expected = case.use(Path(shutil.copytree(case.folder, tmp_path / "whole")))
    for name in ("batches.jsonl", "unfinished.json"):
        place = tmp_path / name
        shutil.copytree(case.folder, place)
        (place / name).write_bytes(CHANGES[change]((place / name).read_bytes()))
        assert verify(place)
        assert case.use(place) == expected


def test_a_fit_begun_by_an_earlier_version_is_refused_and_kept(
    cases: list[bit_flips.Case], tmp_path: Path
) -> None:
    (case,) = [case for case in cases if case.name == "fit that was stopped"]
    place = Path(shutil.copytree(case.folder, tmp_path / "stopped"))
    header = json.loads((place / "unfinished.json").read_text())
    former = {key: header[key] for key in ("identity", "settings")}
    (place / "unfinished.json").write_text(json.dumps(former))
    before = tree(place)
    with pytest.raises(PadimError, match=r"another version of this program.*start afresh"):
        case.use(place)
    assert tree(place) == before
