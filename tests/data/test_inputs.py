"""``as_images``: every kind of input is one stream of named images, and every wrong kind is one sentence."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from padim import Padim
from padim.data.decode import decode, file_limit
from padim.data.inputs import RIGHT, as_images
from padim.data.sources import FolderSource, UploadSource
from padim.errors import ImageError, InputError, PadimError

RGB = npt.NDArray[np.uint8]


def random_image(
    seed: int = 0, shape: tuple[int, ...] = (6, 9, 3), dtype: Any = np.uint8
) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


IMAGES: list[RGB] = [random_image(seed) for seed in range(3)]


def png(pixels: npt.NDArray[Any]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_of(content: bytes | RGB | ImageError, name: str) -> RGB:
    """What the network would be given: the array, or the decoded file."""
    assert not isinstance(content, ImageError), content
    return content if isinstance(content, np.ndarray) else decode(content, name)


def read(data: Any) -> tuple[list[str], list[RGB]]:
    """All names and pixels of an input."""
    items = [(name, pixels_of(content, name)) for name, content in as_images(data)]
    return [name for name, _ in items], [pixels for _, pixels in items]


def refusal(data: Any) -> str:
    """The message with which the whole input is refused, at once or when it is read."""
    with pytest.raises(InputError) as raised:
        list(as_images(data))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def reason(image: Any) -> str:
    """Why one image of a stream cannot be used; its neighbors must not suffer from it."""
    before, (name, error), after = as_images([IMAGES[0], ("it.png", image), IMAGES[1]])
    assert isinstance(before[1], np.ndarray)
    assert isinstance(after[1], np.ndarray)
    assert isinstance(error, ImageError)
    assert name == error.name == "it.png"
    assert "\n" not in error.reason
    return error.reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one of them in a sub-folder, and a file that is no image."""
    root = tmp_path / "parts"
    (root / "b").mkdir(parents=True)
    for name, image in zip(("a2.png", "a10.png", "b/a.png"), IMAGES, strict=True):
        (root / name).write_bytes(png(image))
    (root / "notes.txt").write_text("not an image", encoding="utf-8")
    return root


# --- kinds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_read_in_natural_order_with_its_sub_folders(folder: Path, kind: type) -> None:
    images = as_images(kind(folder))
    assert len(images) == 3  # type: ignore[arg-type]
    names, pixels = read(kind(folder))
    assert names == ["a2.png", "a10.png", "b/a.png"]
    np.testing.assert_array_equal(pixels, IMAGES)


@pytest.mark.parametrize("name", ["parts.zip", "PARTS.ZIP", "parts.backup"])
def test_a_zip_is_recognized_by_its_name_or_its_content(folder: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    names, pixels = read(tmp_path / name)
    assert names == ["a2.png", "a10.png", "b/a.png"]
    np.testing.assert_array_equal(pixels, IMAGES)


def test_a_single_image_file_is_a_stream_of_one(folder: Path) -> None:
    assert len(as_images(folder / "a2.png")) == 1  # type: ignore[arg-type]
    names, pixels = read(str(folder / "a2.png"))
    assert names == ["a2.png"]
    np.testing.assert_array_equal(pixels, IMAGES[:1])


@pytest.mark.parametrize("kind", [str, Path])
def test_a_list_of_paths_keeps_its_order_and_is_named_by_file_names(folder: Path, kind: type) -> None:
    paths = [kind(folder / name) for name in ("b/a.png", "a10.png", "a2.png")]
    assert len(as_images(paths)) == 3  # type: ignore[arg-type]
    names, pixels = read(paths)
    assert names == ["a.png", "a10.png", "a2.png"]
    np.testing.assert_array_equal(pixels, IMAGES[::-1])


SIXTEEN = random_image(4, (7, 5), np.uint16)
GREY = random_image(5, (7, 5))
SINGLES: dict[str, tuple[Any, RGB]] = {
    "array (h, w, 3)": (IMAGES[0], IMAGES[0]),
    "array (h, w)": (GREY, np.repeat(GREY[..., None], 3, axis=2)),
    "16-bit array (h, w)": (SIXTEEN, np.repeat((SIXTEEN >> 8).astype(np.uint8)[..., None], 3, axis=2)),
    "16-bit array (h, w, 3)": (IMAGES[0].astype(np.uint16) << 8, IMAGES[0]),
    "strided view": (IMAGES[0][::-1, ::2], IMAGES[0][::-1, ::2]),
    "read-only array": (np.frombuffer(IMAGES[0].tobytes(), np.uint8).reshape(6, 9, 3), IMAGES[0]),
    "PIL image": (Image.fromarray(IMAGES[0]), IMAGES[0]),
    "grey PIL image": (Image.fromarray(GREY), np.repeat(GREY[..., None], 3, axis=2)),
    "file content": (png(IMAGES[0]), IMAGES[0]),
    "bytearray": (bytearray(png(IMAGES[0])), IMAGES[0]),
    "tensor (3, h, w)": (torch.tensor(IMAGES[0]).permute(2, 0, 1), IMAGES[0]),
    "tensor (h, w, 3)": (torch.tensor(IMAGES[0]), IMAGES[0]),
    "tensor (h, w)": (torch.tensor(GREY), np.repeat(GREY[..., None], 3, axis=2)),
}


@pytest.mark.parametrize("kind", SINGLES)
def test_every_kind_of_image_alone_in_a_list_in_a_pair_and_in_a_mapping(kind: str) -> None:
    image, expected = SINGLES[kind]
    for given_as, names in (
        (image, ["image 0001"]),
        ([image], ["image 0001"]),
        ((image for _ in range(2)), ["image 0001", "image 0002"]),
        ([("x.png", image)], ["x.png"]),
        ([["x.png", image]], ["x.png"]),
        ({"x.png": image, "y.png": image}, ["x.png", "y.png"]),
    ):
        found, pixels = read(given_as)
        assert found == names
        for one in pixels:
            assert one.dtype == np.uint8
            np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize(
    "batch",
    [
        np.stack(IMAGES),
        np.stack(IMAGES).transpose(0, 3, 1, 2),
        torch.tensor(np.stack(IMAGES)).permute(0, 3, 1, 2),
        np.stack(IMAGES).astype(np.uint16) << 8,
    ],
    ids=["(n, h, w, 3)", "(n, 3, h, w)", "tensor (n, 3, h, w)", "16-bit (n, h, w, 3)"],
)
def test_a_batch_is_its_images(batch: Any) -> None:
    assert len(as_images(batch)) == 3  # type: ignore[arg-type]
    names, pixels = read(batch)
    assert names == ["image 0001", "image 0002", "image 0003"]
    np.testing.assert_array_equal(pixels, IMAGES)
    # As a loader gives them: batch by batch, named or not.
    names, pixels = read([batch, ("second", batch)])
    assert names[2:] == ["image 0003", "second", "second (2)", "second (3)"]
    np.testing.assert_array_equal(pixels, [*IMAGES, *IMAGES])


def test_a_mixture_of_kinds_is_one_stream(folder: Path) -> None:
    names, pixels = read([folder / "a2.png", IMAGES[1], ("own", Image.fromarray(IMAGES[2]))])
    assert names == ["a2.png", "image 0002", "own"]
    np.testing.assert_array_equal(pixels, IMAGES)


def test_a_source_is_returned_as_it_is(folder: Path) -> None:
    for source in (FolderSource(folder), UploadSource([("a.png", png(IMAGES[0]))])):
        assert as_images(source) is source


@given(
    st.integers(1, 5).flatmap(
        lambda h: st.lists(st.lists(st.integers(0, 65535), min_size=3, max_size=3), min_size=h, max_size=h)
    )
)
def test_a_16_bit_array_is_the_16_bit_file_with_the_same_numbers(values: list[list[int]]) -> None:
    array = np.array(values, np.uint16)
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    _, (as_array, as_file) = read([array, buffer.getvalue()])
    np.testing.assert_array_equal(as_array, as_file)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16"])
def test_a_pil_image_is_its_lossless_file(mode: str) -> None:
    if mode == "LAB":
        image = Image.new("LAB", (9, 6), (120, 130, 140))
    elif mode == "I;16":
        image = Image.fromarray(random_image(0, (6, 9), np.uint16))
    else:
        image = Image.fromarray(IMAGES[0]).convert(mode)
    buffer = BytesIO()
    (image.convert("RGB") if mode in ("CMYK", "YCbCr", "LAB", "HSV") else image).save(buffer, "PNG")
    _, (found,) = read([image])
    np.testing.assert_array_equal(found, decode(buffer.getvalue(), "x.png"))


def test_the_orientation_of_a_pil_image_is_heeded_as_in_its_file() -> None:
    image = Image.fromarray(IMAGES[0])
    image.getexif()[274] = 6
    _, (found,) = read([image])
    np.testing.assert_array_equal(found, np.rot90(IMAGES[0], -1))


# --- laziness and repetition --------------------------------------------------------------------------------


def counted(items: Iterable[Any], working_files: list[int]) -> Iterator[Any]:
    for number, item in enumerate(items):
        working_files.append(number)
        yield item


def test_a_generator_is_read_one_item_at_a_time_and_not_before_it_is_asked_for() -> None:
    working_files: list[int] = []
    stream = as_images(counted(repeat(IMAGES[0]), working_files))  # endless
    assert not hasattr(stream, "__len__")
    assert working_files == []
    images = iter(stream)
    for number in range(5):
        assert next(images)[0] == f"image {number + 1:04}"
        assert working_files == list(range(number + 1))


def test_the_items_of_a_list_of_paths_are_read_when_their_turn_comes(folder: Path) -> None:
    paths = [folder / "a2.png", folder / "a10.png"]
    images = iter(as_images(paths))
    assert next(images)[0] == "a2.png"
    paths[1].write_bytes(png(IMAGES[2]))
    name, content = next(images)
    np.testing.assert_array_equal(pixels_of(content, name), IMAGES[2])


def test_what_can_be_read_again_is_the_same_again(folder: Path) -> None:
    for data in (folder, [*IMAGES], {"a": IMAGES[0]}, IMAGES[0], np.stack(IMAGES), range(0)):
        stream = as_images(data)
        first, second = ([name for name, _ in stream] for _ in range(2))
        assert first == second
        assert len(first) == len(stream)  # type: ignore[arg-type]


def test_an_error_of_the_generator_itself_is_passed_on() -> None:
    def failing() -> Iterator[Any]:
        yield IMAGES[0]
        raise RuntimeError("the camera has gone")

    images = iter(as_images(failing()))
    next(images)
    with pytest.raises(RuntimeError, match="the camera has gone"):
        next(images)


# --- names --------------------------------------------------------------------------------------------------


def test_equal_names_are_numbered_before_the_suffix() -> None:
    names, _ = read([("a.png", IMAGES[0]), ("a (2).png", IMAGES[0]), ("a.png", IMAGES[0]), ("a", IMAGES[0])])
    assert names == ["a.png", "a (2).png", "a (3).png", "a"]


def test_an_unnamed_image_does_not_take_the_name_of_a_named_one() -> None:
    names, _ = read([("image 0002", IMAGES[0]), IMAGES[1]])
    assert names == ["image 0002", "image 0002 (2)"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (7, "7"),
        (np.int64(7), "7"),
        (PurePosixPath("a/b.png"), "a/b.png"),
        ("\udcfc.png", "\\udcfc.png"),
        ("ü“.png", "ü“.png"),
        ("", ""),
    ],
)
def test_a_name_becomes_text_that_can_be_saved(name: Any, text: str) -> None:
    assert read([(name, IMAGES[0])])[0] == [text]


@given(st.lists(st.text(st.characters(), max_size=6), max_size=8))
def test_whatever_the_names_they_are_unique_and_can_be_saved(names: list[str]) -> None:
    """Lone surrogates included, which no file could hold; usable and unrepeated names are left alone."""
    found, _ = read([(name, IMAGES[0]) for name in names])
    assert len(set(found)) == len(found) == len(names)
    for name, text in zip(names, found, strict=True):
        assert text.encode("utf-8").decode("utf-8") == text
        if names.count(name) == 1 and not any(other != name and other in name for other in names):
            assert text == name or any("\ud800" <= character <= "\udfff" for character in name)
    # The same names again are the same names again: nothing depends on what was read before.
    assert read([(name, IMAGES[0]) for name in names])[0] == found


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_path_whose_name_is_not_text_is_read_under_a_name_that_is(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/part-\xfc.png"))
    try:
        path.write_bytes(png(IMAGES[0]))
    except OSError:
        pytest.skip("this file system takes no such name")
    for data in ([path], path):
        names, pixels = read(data)
        assert names == ["part-\\udcfc.png"]
        np.testing.assert_array_equal(pixels[0], IMAGES[0])


# --- refusals: the whole input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "None holds no images: give "),
        (3.5, "a float holds no images: give "),
        (7, "an int holds no images: give "),
        (object(), "an object holds no images: give "),
        ([None], "None among the images: give "),
        ([3.5], "a float among the images: give "),
        ([("x.png", None)], "None among the images: give "),
        ([[IMAGES[0]] * 3], "a list among the images: give "),
        ("no/such/folder", "no/such/folder: there is no such file or folder; give "),
        (Path("part.png"), "part.png: there is no such file or folder; give "),
    ],
)
def test_what_holds_no_images_is_answered_with_the_kinds_that_do(data: Any, message: str) -> None:
    assert refusal(data) == message + RIGHT


def test_an_input_error_is_what_callers_of_any_habit_expect() -> None:
    for kind in (PadimError, ValueError, TypeError):
        with pytest.raises(kind):
            as_images(None)


@pytest.mark.parametrize("image", [IMAGES[0], torch.zeros(3, 4, 4), Image.new("L", (4, 4)), np.stack(IMAGES)])
def test_image_and_label_pairs_are_answered_with_the_remedy(image: Any) -> None:
    assert refusal([(image, 0)]) == (
        "the data give (image, label) pairs; give the images alone, as in "
        "(image for image, label in data), or (name, image) pairs"
    )


@pytest.mark.parametrize(
    ("name", "said"), [(None, "None"), (1.5, "a float"), (True, "a bool"), (("a", "b"), "a tuple")]
)
def test_a_name_that_is_no_text_is_refused(name: Any, said: str) -> None:
    if name is None:  # as if it had none
        assert read([(None, IMAGES[0])])[0] == ["image 0001"]
    else:
        assert refusal([(name, IMAGES[0])]) == f"{said} is no name for an image: names are text"


def test_batches_of_unclear_or_wrong_shape_are_refused() -> None:
    assert refusal(np.zeros((2, 3, 5, 3), np.uint8)) == (
        "a batch of shape (2, 3, 5, 3) may have its colors first or last; give the images one by one"
    )
    assert refusal(np.zeros((2, 4, 5, 6), np.uint8)) == (
        "a batch is (n, 3, h, w) or (n, h, w, 3), got (2, 4, 5, 6)"
    )


def test_a_folder_or_a_zip_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}: holds no image \(.*PNG.*\)", refusal(tmp_path))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
    assert "holds no image (" in refusal(tmp_path / "empty.zip")


def test_a_wrong_kind_in_a_stream_is_found_when_its_turn_comes() -> None:
    images = iter(as_images(iter([IMAGES[0], None])))
    assert next(images)[0] == "image 0001"
    with pytest.raises(InputError, match="None among the images"):
        next(images)


# --- refusals: one image, the others go on ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.zeros((4, 5, 3), np.float32),
            "must be uint8 or uint16, got float32 (4, 5, 3); scale it: (255 * x).round().astype('uint8')",
        ),
        (
            torch.zeros(3, 4, 5),
            "must be uint8 or uint16, got float32 (4, 5, 3); scale it: (255 * x).round().astype('uint8')",
        ),
        (np.zeros((4, 5), np.int32), "must be uint8 or uint16, got int32 (4, 5)"),
        (np.zeros((4, 5), bool), "must be uint8 or uint16, got bool (4, 5)"),
        (np.zeros((0, 5, 3), np.uint8), "has no pixels, got uint8 (0, 5, 3)"),
        (
            np.zeros((3, 4, 5), np.uint8),
            "must be (h, w) or (h, w, 3), got uint8 (3, 4, 5); transpose it: x.transpose(1, 2, 0)",
        ),
        (np.zeros((4, 5, 4), np.uint8), "must be (h, w) or (h, w, 3), got uint8 (4, 5, 4)"),
        (np.zeros(7, np.uint8), "must be (h, w) or (h, w, 3), got uint8 (7,)"),
        (np.zeros((1, 2, 3, 4, 5), np.uint8), "must be (h, w) or (h, w, 3), got uint8 (1, 2, 3, 4, 5)"),
    ],
)
def test_an_array_that_is_no_image_says_what_it_must_be(image: Any, message: str) -> None:
    assert reason(image) == message


def test_a_path_that_cannot_be_read_says_why(folder: Path, tmp_path: Path) -> None:
    assert reason(folder) == "is a folder; give it by itself, or the image files in it"
    assert reason(tmp_path / "gone.png") == "cannot be read (No such file or directory)"
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(file_limit() + 1)
    assert "MB" in reason(large)


def test_a_pil_image_that_no_file_can_hold_says_so() -> None:
    assert re.fullmatch(
        r"is a PIL image of mode F that cannot be used \(.+\)", reason(Image.new("F", (4, 4)))
    )


def test_an_error_in_the_place_of_an_image_is_passed_on() -> None:
    assert reason(ImageError("it.png", "was not taken by the camera")) == "was not taken by the camera"


# --- unreadable files in a folder ---------------------------------------------------------------------------


def test_an_unreadable_file_of_a_folder_comes_in_its_place_as_an_error(folder: Path) -> None:
    (folder / "a5.png").symlink_to(folder / "nowhere.png")
    (folder / "b" / "z.psd").write_bytes(b"x")
    for _ in range(2):  # each reading reports them once
        found: dict[str, Any] = dict(as_images(folder))
        errors = {name: content.reason for name, content in found.items() if isinstance(content, ImageError)}
        assert errors == {
            "a5.png": "is a link that leads nowhere; put the image itself there",
            "b/z.psd": errors["b/z.psd"],
        }
        assert errors["b/z.psd"].startswith("is a PSD file; save it as ")
        assert [name for name in found if name not in errors] == ["a2.png", "a10.png", "b/a.png"]


def test_what_cannot_be_used_reaches_on_error_and_the_rest_is_scored(
    folder: Path, small_model: Padim
) -> None:
    (folder / "a5.png").symlink_to(folder / "nowhere.png")
    (folder / "a6.png").write_bytes(b"not an image")
    errors: list[str] = []
    scored = list(small_model.predict(folder, on_error=lambda error: errors.append(error.name)))
    assert [one.name for one in scored] == ["a2.png", "a10.png", "b/a.png"]
    assert errors == ["a5.png", "a6.png"]
    errors.clear()
    images = [("grey", GREY), ("float", np.zeros((4, 4, 3))), ("gone", folder / "gone.png")]
    scored = list(small_model.predict(images, on_error=lambda error: errors.append(error.name)))
    assert [one.name for one in scored] == ["grey"]
    assert errors == ["float", "gone"]
    with pytest.raises(ImageError, match="a5"):
        list(small_model.predict(folder))


def test_what_is_passed_over_in_a_folder_is_warned_of_once(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"-")
    (tmp_path / "Thumbs.db").write_bytes(b"-")
    quiet = as_images(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [name for name, _ in quiet] == ["a.png"]
    (tmp_path / "b.xyz").write_bytes(b"-")
    images = as_images(str(tmp_path))
    with pytest.warns(UserWarning, match=r"files passed over: 1 not an image \(\.xyz\) \(b\.xyz\)"):
        list(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(images)
