"""Hostile and odd uploads through the engine: each is named or used, and nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import ImageError, Padim, PadimConfig, PadimError
from padim.data.archives import ZipSource
from padim.data.opening import expand_uploads
from padim.data.sources import UploadSource
from tests import hostile
from tests.parts import RGB, normals, part, png

Images = list[tuple[str, bytes | RGB]]
GOOD = png(part(3))

# Cannot be used, whoever decodes them.
BROKEN: dict[str, Callable[[], bytes]] = {
    "empty.png": lambda: b"",
    "text.png": lambda: b"this is not an image" * 50,
    "html.jpg": lambda: b"<html><script>alert(1)</script></html>",
    "truncated.png": lambda: GOOD[: len(GOOD) // 2],
    "truncated.jpg": lambda: hostile.encode(part(3), "JPEG")[:400],
    "cut and closed.jpg": lambda: hostile.encode(part(3), "JPEG")[:-200] + b"\xff\xd9",
    "header_bomb.png": hostile.png_header_bomb,
    "bomb.png": hostile.png_bomb,
    "canvas_bomb.webp": hostile.webp_header_bomb,
    "animated.png": hostile.apng,
    "animated.webp": hostile.animated_webp,
    "animated.gif": hostile.gif,
    "endless.tif": lambda: hostile.tiff([part(1), part(2)], endless=True),
    "pages.tif": lambda: hostile.tiff([part(1), part(2)]),
    "cut.tif": lambda: hostile.tiff([part(1)])[:300],
    "zip.png": lambda: hostile.zip_of({"a.png": GOOD}),
}
# Unusual, and images all the same.
ODD: dict[str, Callable[[], bytes]] = {
    "one pixel.png": lambda: png(np.full((1, 1, 3), 90, np.uint8)),
    "one frame.gif": lambda: hostile.gif(1),
    "strip.png": lambda: png(part(4, size=(2, 300))),
    "sixteen bit.png": lambda: hostile.png(part(4)[..., 0].astype(np.uint16) * 257),
    "alpha.png": lambda: hostile.png(np.dstack([part(4), np.full((96, 96), 128, np.uint8)])),
    "grey.png": lambda: hostile.png(part(4)[..., 0]),
    "deflated.tif": lambda: hostile.tiff([part(5)], compression=8),
    "motorola.tif": lambda: hostile.tiff([part(5)], big_endian=True),
    "jpeg.bmp": lambda: hostile.encode(part(6), "JPEG"),
    "../../etc/passwd.png": lambda: png(part(7)),
    "a<script>'\"\n\0.png": lambda: png(part(8)),
    "": lambda: png(part(9)),
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def config() -> PadimConfig:
    return PadimConfig(input_size=64, grid_stride=16, n_features=8, smoothing_sigma=2, min_area=4)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_named_and_changes_nothing(config: PadimConfig, tmp_path: Path, name: str) -> None:
    good = normals(4)
    content = BROKEN[name]()
    model = Padim(config, work_dir=tmp_path / "work").fit(good)
    before, arrays = (
        files(tmp_path),
        (model.state.gaussians.mean.tobytes(), model.state.fitted.held_out.tobytes()),
    )
    for verb in (model.fit, model.partial_fit):
        with pytest.raises(ImageError) as caught:
            verb([*normals(2, first=50), (name, content)])
        assert caught.value.name == name
        assert caught.value.reason
        assert files(tmp_path) == before
        assert (model.state.gaussians.mean.tobytes(), model.state.fitted.held_out.tobytes()) == arrays

    errors: list[ImageError] = []
    with_it = [good[0], (name, content), *good[1:]]
    scored = [item.name for item in model.predict(with_it, on_error=errors.append)]
    assert scored == [item[0] for item in good]
    model.fit(with_it, on_error=errors.append)
    assert [error.name for error in errors] == [name, name]
    assert (model.state.gaussians.mean.tobytes(), model.state.fitted.held_out.tobytes()) == arrays
    assert files(tmp_path) == before


def test_all_broken_ones_at_once(config: PadimConfig) -> None:
    errors: list[ImageError] = []
    images: Images = [(name, build()) for name, build in BROKEN.items()]
    model = Padim(config).fit([*images, *normals(3)], on_error=errors.append)
    assert [error.name for error in errors] == list(BROKEN)
    assert len(model.normals_) == 3
    with pytest.raises(PadimError, match="none of the images"):
        Padim(config).fit(images, on_error=lambda error: None)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_is_used_like_any_other(config: PadimConfig, tmp_path: Path, name: str) -> None:
    content = ODD[name]()
    model = Padim(config, work_dir=tmp_path / "work").fit([*normals(3), (name, content)])
    assert np.isfinite(model.state.gaussians.mean).all()
    assert np.isfinite(model.state.fitted.held_out).all()
    (scored,) = model.predict([(name, content)])
    assert scored.name == name
    decision = model.decide(scored, 0)
    assert decision.mask.shape == scored.original_size
    assert decision.rejected == bool(decision.mask.any()) == (scored.score_level > 0)
    # Names reach no file system; they come back unchanged from the saved model.
    again = Padim.load(model.save(tmp_path / "saved"))
    assert again.normals_[3].name == name
    top = {item.name for item in tmp_path.iterdir()}
    assert top == {"work", "saved"}


@pytest.mark.parametrize(
    "archive",
    [
        lambda: hostile.zip_bomb(),
        lambda: hostile.zip_claiming_size(hostile.zip_of({"bomb.png": GOOD}), "bomb.png", 2**31),
        lambda: hostile.zip_encrypted(hostile.zip_of({"bomb.png": GOOD}), "bomb.png"),
        lambda: hostile.zip_with_bad_crc(hostile.zip_of({"bomb.png": GOOD}), "bomb.png"),
        lambda: hostile.zip_with_method(hostile.zip_of({"bomb.png": GOOD}), "bomb.png", 9),
        lambda: hostile.zip_of({"../../bomb.png": b"x"}),
        lambda: hostile.zip_of({"/bomb.png": b"x"}),
    ],
    ids=["bomb", "claimed size", "encrypted", "bad crc", "method", "traversal", "absolute"],
)
def test_hostile_archives_among_good_files(
    config: PadimConfig, tmp_path: Path, archive: Callable[[], bytes]
) -> None:
    uploads: list[tuple[str, Any]] = [(name, content) for name, content in normals(3)]
    uploads.insert(1, ("parts.zip", archive()))
    source = expand_uploads(uploads)
    errors: list[ImageError] = []
    model = Padim(config, work_dir=tmp_path / "work").fit(source, on_error=errors.append)
    assert [normal.name for normal in model.normals_] == [name for name, _ in normals(3)]
    named = [*errors, *source.skipped]
    assert named
    assert any("bomb.png" in error.name or "parts.zip" in error.name for error in named)
    assert {item.name for item in tmp_path.iterdir()} == {"work"}


def test_a_zip_of_good_and_bad(config: PadimConfig) -> None:
    members: list[tuple[str, bytes]] = [(name, bytes(content)) for name, content in normals(4)]
    data = hostile.zip_of([*members[:2], ("folder/broken.png", b"nothing"), *members[2:]])
    errors: list[ImageError] = []
    model = Padim(config).fit(ZipSource(data, name="parts.zip"), on_error=errors.append)
    assert len(model.normals_) == 4
    assert len(errors) == 1
    assert "broken.png" in errors[0].name


def test_an_empty_upload(config: PadimConfig) -> None:
    with pytest.raises(PadimError, match="at least one"):
        Padim(config).fit(UploadSource([]))


def test_the_same_name_twice_stays_two_images(config: PadimConfig) -> None:
    images: Images = [("part.png", png(part(i))) for i in range(4)]
    model = Padim(config).fit(images)
    assert len(model.normals_) == 4
    assert len({normal.group for normal in model.normals_}) == 4
    assert len({model.working_set.thumbnail(i) for i in range(4)}) == 4
