"""Every file that comes in is used, refused or passed over, from folders, zips and uploads."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from padim.data import leftovers
from padim.data.account import FileAccount, PassedOver, grouped
from padim.data.archives import ZipSource
from padim.data.opening import expand_uploads, open_source
from padim.data.sources import FolderSource, Source, UploadSource
from padim.errors import ImageError


def png(level: int = 90) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(out, "PNG")
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def accounted(source: Source) -> FileAccount:
    return FileAccount.of(sum(1 for _ in source), source)


# The whole content of a network drive: two parts, and thumbnails and deleted defects that the drive keeps.
DRIVE = {
    "part1.png": png(),
    "line/part2.png": png(91),
    "@eaDir/part1.png/SYNOPHOTO_THUMB_XL.jpg": png(1),
    "line/@eaDir/part2.png/SYNOPHOTO_THUMB_XL.jpg": png(2),
    "#recycle/defect.png": png(3),
    "#snapshot/2024/part1.png": png(4),
    "@Recycle/defect.png": png(5),
    "@Recently-Snapshot/part1.png": png(5),
    "$RECYCLE.BIN/$R1.png": png(6),
    "$Recycle.Bin/S-1-5/$R2.png": png(6),
    "System Volume Information/x.png": png(7),
    "lost+found/x.png": png(8),
    "FOUND.000/FILE0000.png": png(8),
    "__MACOSX/._part1.png": b"\0\5\x16\7",
    "._part1.png": b"\0\5\x16\7",
    ".hidden/part9.png": png(9),
    "Thumbs.db": b"-",
    "THUMBS.DB": b"-",
    "desktop.ini": b"-",
    ".DS_Store": b"-",
}


def as_folder(files: dict[str, bytes], at: Path) -> Source:
    for name, data in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(data)
    return FolderSource(at)


def as_zip(files: dict[str, bytes], at: Path) -> Source:
    return ZipSource(zip_of(files), "drive.zip")


def as_browser_folder(files: dict[str, bytes], at: Path) -> Source:
    return expand_uploads([(f"drive/{name}", data) for name, data in files.items()])


@pytest.mark.parametrize("given_as", [as_folder, as_zip, as_browser_folder])
def test_what_systems_leave_behind_is_one_rule_for_all_inputs(given_as: object, tmp_path: Path) -> None:
    source = given_as(DRIVE, tmp_path)  # type: ignore[operator]
    names = [name.removeprefix("drive/") for name, _ in source]
    assert names == ["line/part2.png", "part1.png"]
    account = accounted(source)
    assert (account.used, account.n_passed_over) == (2, len(DRIVE) - 2)
    assert account.refused == ()
    assert account.of_user == ()
    assert account.unused == 0  # --strict does not fail for what the user never put there


def test_leftovers_are_told_from_parts() -> None:
    for entry in (
        "eaDir",
        "recycle",
        "part@2x.png",
        "lost",
        "found.png",
        "$5_part.png",
        "#3.png",
        "icon.png",
    ):
        assert leftovers.reason(entry) is None, entry
    for entry in ("@EADIR", "Lost+Found", "found.017", ".x", "photo.jpg@SynoEAStream"):
        assert leftovers.reason(entry), entry


def test_the_folder_that_the_user_chose_is_never_a_leftover(tmp_path: Path) -> None:
    assert accounted(as_folder({"a.png": png()}, tmp_path / "#recycle")).used == 1


NEXT_TO_IMAGES = {
    "good.png": png(),
    "notes.txt": b"thirty parts of Monday",
    "settings.xml": b"<a/>",
    "more.zip": zip_of({"a.png": png(1)}),
    "more.7z": b"7z\xbc\xaf\x27\x1c" + bytes(30),
    "labels.csv": b"path,label\n",
    "part0001": png(2),
    "part.exported": png(3),
    "truncated.png": b"",
    "data.bin": bytes(64),
}


@pytest.mark.parametrize("given_as", [as_folder, as_zip])
def test_every_file_beside_the_images_is_named(given_as: object, tmp_path: Path) -> None:
    source = given_as(NEXT_TO_IMAGES, tmp_path)  # type: ignore[operator]
    # An image without an ending is recognized by its content; an empty file reaches the decoder.
    assert [name for name, _ in source] == ["good.png", "part0001", "truncated.png"]
    account = accounted(source)
    assert account.used + len(account.refused) + account.n_passed_over == len(NEXT_TO_IMAGES)
    assert [error.name for error in account.refused] == ["part.exported"]
    assert "begins as a PNG image" in account.refused[0].reason
    reasons = {one.name: one.reason for one in account.passed_over}
    assert reasons["notes.txt"] == "not an image (.txt)"
    assert "archive inside" in reasons["more.zip"]
    assert "archive inside" in reasons["more.7z"]
    assert account.unused == len(NEXT_TO_IMAGES) - 3


def test_of_a_browser_folder_what_is_no_image_is_passed_over() -> None:
    chosen = [("set/a.png", png()), ("set/notes.txt", b"text"), ("set/@eaDir/a.png", png())]
    source = expand_uploads(chosen)
    assert accounted(source).to_dict() == {
        "used": 1,
        "refused": [],
        "passed_over": [
            {"name": "set/@eaDir/", "reason": "system leftover: thumbnails", "files": 1},
            {"name": "set/notes.txt", "reason": "not an image (.txt)", "files": 1},
        ],
    }


def test_a_single_file_that_was_chosen_reaches_the_decoder() -> None:
    assert [name for name, _ in UploadSource([("notes.txt", b"text"), ("Thumbs.db", b"-")])] == ["notes.txt"]


def test_two_files_of_one_name_are_two_files(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", png(2))
    source = ZipSource(out.getvalue())
    assert list(source) == [("a.png", png(1)), ("a (2).png", png(2))]
    reader = source.open()
    assert [reader.read(name) for name in reader.images] == [png(1), png(2)]


ENTRIES = st.sampled_from(
    [
        *(
            "a.png",
            "b.jpg",
            "c.txt",
            "d",
            "e.heic",
            "f.zip",
            ".g.png",
            "Thumbs.db",
            "h.csv",
            "i.gif",
            "j.tar",
        ),
        *("@eaDir/k.png", "l/m.bmp", "l/@eaDir/n.png", "l/o.xml", "#recycle/p/q.png", "lost+found/r"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    names=st.sets(ENTRIES, min_size=1),
    content=st.sampled_from([b"", b"text", png(), b"\xff\xd8\xff", b"PK\3\4" + bytes(30)]),
)
def test_used_refused_and_passed_over_add_up(
    names: set[str], content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = dict.fromkeys(sorted(names), content)
    for given_as in (as_folder, as_zip):
        source = given_as(files, tmp_path_factory.mktemp("set"))
        account = accounted(source)
        assert account.used == len(source)
        assert account.used + len(account.refused) + account.n_passed_over == len(files)
    # In a browser folder a zip is opened: it is refused as a whole, because it is none.
    account = accounted(expand_uploads([(f"x/{name}", data) for name, data in files.items()]))
    assert account.used + len(account.refused) + account.n_passed_over == len(files)


def test_the_account_in_words() -> None:
    account = FileAccount(
        12,
        (ImageError("a.png", "is empty"),),
        (
            PassedOver("x/", "system leftover: thumbnails", True, 7),
            PassedOver("n.txt", "not an image (.txt)"),
        ),
    )
    assert account.text() == "12 files used, 1 refused, 8 passed over"
    assert account.unused == 2
    assert (account + account).text() == "24 files used, 2 refused, 16 passed over"
    assert grouped(account.passed_over) == [
        ("system leftover: thumbnails", 7, ["x/"]),
        ("not an image (.txt)", 1, ["n.txt"]),
    ]


def test_open_source_takes_what_is_a_folder_or_zip(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(zip_of({"a.png": png()}))
    assert accounted(open_source(tmp_path / "set.zip")).used == 1


def test_an_upload_of_a_zip_without_files_is_named() -> None:
    account = accounted(
        expand_uploads([("a.png", png()), ("none.zip", zip_of({})), ("b.zip", zip_of({"c/": b""}))])
    )
    assert account.used == 1
    assert [error.name for error in account.refused] == ["b.zip", "none.zip"]
    assert {error.reason for error in account.refused} == {"is a zip archive without any file; make it anew"}


def test_an_upload_that_is_no_zip_is_called_what_it_is() -> None:
    uploads = [("a.zip", b"7z\xbc\xaf\x27\x1c" + bytes(40)), ("b.zip", png()), ("c.zip", b"")]
    source = expand_uploads(uploads)
    assert list(source) == [("b.zip", png())]  # the content decides, as for a file that is given by itself
    reasons = {error.name: error.reason for error in source.skipped}
    assert "it is a 7z archive" in reasons["a.zip"]
    assert "it is empty" in reasons["c.zip"]
    for error in source.skipped:
        assert error.reason.startswith("is not a zip archive or is damaged: it is ")


def test_a_table_in_a_zip_is_named_by_its_ending() -> None:
    account = accounted(ZipSource(zip_of({"a.png": png(), "b.tsv": b"a\tb", "c.csv": b"a,b"})))
    assert {one.name: one.reason for one in account.passed_over} == {
        "b.tsv": "not an image (.tsv)",
        "c.csv": "not an image (.csv)",
    }


def test_names_that_are_not_the_utf8_they_claim_to_be_are_the_reason() -> None:
    data = bytearray(zip_of({"Größe.png": png()}))
    data = data.replace("Größe".encode(), "Grö\u20ac".encode()[:4] + b"\xff\xff\xff")
    with pytest.raises(ImageError, match="states that its names are UTF-8"):
        ZipSource(bytes(data))


def test_empty_folders_of_systems_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "#recycle" / "of" / "nobody").mkdir(parents=True)
    (tmp_path / "@eaDir" / "a.png").mkdir(parents=True)
    (tmp_path / "@eaDir" / "a.png" / "thumb.jpg").write_bytes(png(1))
    account = accounted(as_folder({"a.png": png()}, tmp_path))
    assert [(one.name, one.files) for one in account.passed_over] == [("@eaDir/", 1)]


def test_what_may_not_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be listed but not entered: what is in it is refused, and the rest is used."""
    source = as_folder(
        {"a.png": png(), "closed/b.png": png(), "closed/c.txt": b"x", "closed/d": b"x"}, tmp_path
    )
    real = os.stat

    def stat(path: object, *args: object, **options: object) -> object:
        if isinstance(path, str | os.PathLike) and "closed/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    account = accounted(source)
    assert account.used == 1
    assert [error.name for error in account.refused] == ["closed/c.txt", "closed/d", "closed/b.png"]
    assert {error.reason for error in account.refused} == {
        "cannot be read (Permission denied); check its permissions"
    }
