"""The solar cells are laid out as documented, whole or not at all, from an archive that is only read."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import fetch_elpv, mvtec
from padim import PadimConfig

PROBABILITIES = {"0.0": 8, "0.3333333333333333": 2, "0.6666666666666666": 3, "1.0": 4}


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (12, 12), value).save(file, "PNG")
    return file.getvalue()


def cells() -> list[tuple[str, str, str]]:
    """Name, probability and kind, as in the package; the kinds alternate."""
    listed = [p for p, count in PROBABILITIES.items() for _ in range(2 * count)]
    return [(f"cell{i:04d}.png", p, ("mono", "poly")[i % 2]) for i, p in enumerate(listed)]


def wheel(path: Path, lines: list[str] | None = None, missing: str = "") -> Path:
    """A package like the real one; running any of it fails."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("elpv_dataset/__init__.py", "raise SystemExit('this ran')")
        listed = lines or [f"images/{name}  {p:20}{kind}" for name, p, kind in cells()]
        archive.writestr("elpv_dataset/data/labels.csv", "\n".join(listed) + "\n")
        for i, (name, _, _) in enumerate(cells()):
            if name != missing:
                archive.writestr(f"elpv_dataset/data/images/{name}", png(i))
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_good_and_defects_are_those_that_all_annotators_agreed_on(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "elpv"
    source = wheel(tmp_path / "elpv.whl")
    assert fetch_elpv.main([str(folder), "--wheel", str(source)]) == 0
    for kind in ("mono", "poly"):
        train, test = names(folder / kind / "train" / "good"), names(folder / kind / "test" / "good")
        assert train | test == {name for name, p, k in cells() if k == kind and p == "0.0"}
        assert (len(train), len(test)) == (6, 2)
        defects = {name for name, p, k in cells() if k == kind and p == "1.0"}
        assert names(folder / kind / "test" / "defect") == defects
        first = min(defects)
        assert (folder / kind / "test" / "defect" / first).read_bytes() == png(int(first[4:8]))
        category = mvtec.read(folder / kind, PadimConfig())
        assert len(category.images) == 12
        assert all(image.mask is None for image in category.images)
    text = (folder / "SOURCE.txt").read_text(encoding="utf-8")
    assert "CC BY-NC-SA 4.0" in text
    assert "10.1016/j.solener.2019.02.067" in text


def test_the_seed_decides_the_split(tmp_path: Path) -> None:
    source = wheel(tmp_path / "elpv.whl")
    drawn = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        fetch_elpv.fetch(tmp_path / folder, seed, source)
        drawn.append(names(tmp_path / folder / "mono" / "train" / "good"))
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_empty_folder_is_filled_and_another_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = wheel(tmp_path / "elpv.whl")
    (tmp_path / "empty").mkdir()
    assert fetch_elpv.fetch(tmp_path / "empty", 0, source)["poly/test/good"] == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(SystemExit):
        fetch_elpv.main([str(tmp_path / "mine"), "--wheel", str(source)])
    assert "not an empty folder" in capsys.readouterr().err
    assert names(tmp_path / "mine") == {"letter.txt"}


@pytest.mark.parametrize(
    ("lines", "missing", "message"),
    [
        (None, "cell0003.png", "cell0003"),
        (["images/cell0000.png 0.0 glass"], "", "glass"),
        (["images/cell0000.png good mono"], "", "good"),
        (["images/.. 0.0 mono"], "", "PNG"),
        (["images/cell0000.png 0.0 mono", "other/cell0000.png 0.0 mono"], "", "one name"),
        (["images/cell0000.png 0.0 mono"], "", "too few mono"),
    ],
)
def test_another_wheel_is_refused_and_nothing_left(
    tmp_path: Path, lines: list[str] | None, missing: str, message: str
) -> None:
    source = wheel(tmp_path / "elpv.whl", lines, missing)
    with pytest.raises(ValueError, match=message):
        fetch_elpv.fetch(tmp_path / "elpv", 0, source)
    assert names(tmp_path) == {"elpv.whl"}


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "elpv.whl"
    source.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not a complete wheel"):
        fetch_elpv.fetch(tmp_path / "elpv", 0, source)


def test_pip_downloads_a_wheel_and_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        if len(commands) == 1:
            return subprocess.CompletedProcess(command, 1, "", "no such host")
        target = Path(command[command.index("--dest") + 1])
        target.mkdir(parents=True)
        wheel(target / "elpv_dataset-1.whl")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ValueError, match=r"no such host.*--wheel"):
        fetch_elpv.fetch(tmp_path / "elpv")
    assert names(tmp_path) == set()
    assert fetch_elpv.fetch(tmp_path / "elpv")["mono/train/good"] == 6
    for command in commands:
        assert command[command.index("--only-binary") + 1] == ":all:"
        assert "--no-deps" in command
