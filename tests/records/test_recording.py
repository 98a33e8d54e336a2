"""A scored image becomes an inspection: the same verdict, score and regions as everywhere else."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from padim import Padim
from padim.records import evidence
from padim.records.inspection import InspectionContext
from padim.records.inspections import InspectionRecords
from padim.records.recording import look_of, new_inspection, taken_at
from tests.parts import defects, normals

CONTEXT = InspectionContext("Anna", "python", serial="4711")


def test_what_is_recorded_is_what_was_decided(small_model: Padim, tmp_path: Path) -> None:
    images = [*defects(2), *normals(2, first=300)]
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    for (_, data), prediction in zip(images, small_model.predict(images, thumbnail_side=64), strict=True):
        assert isinstance(data, bytes)
        one = new_inspection(small_model, prediction, CONTEXT, model_id="m-aaaaaa", original=data)
        (row,) = records.add([one])
        found = records.get(row)
        assert found is not None
        assert (found.score, found.verdict, found.threshold) == (
            prediction.score,
            prediction.verdict,
            prediction.threshold,
        )
        assert found.severity == pytest.approx(prediction.score / small_model.threshold_)
        assert len(found.regions) == len(prediction.regions)
        for region, expected in zip(found.regions, prediction.regions, strict=True):
            assert (region.x, region.y, region.width, region.height, region.area) == (
                *(expected.x, expected.y, expected.width, expected.height),
                expected.area,
            )
        assert found.brightness is not None
        assert found.sharpness is not None
        if prediction.rejected:
            levels = records.levels(row)
            assert levels is not None
            np.testing.assert_array_equal(levels, prediction.levels)
            box, placement = evidence.placement_of(records.evidence(row).place)
            assert (box, placement) == (prediction.content_box, prediction.placement)
            assert records.original(row) == data


def test_brightness_and_sharpness_tell_light_and_blur_apart() -> None:
    grain = np.random.default_rng(1).integers(60, 180, (64, 64)).astype(np.uint8)

    def jpeg(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()

    plain, lighter = look_of(jpeg(grain)), look_of(jpeg(grain + 40))
    blurred = look_of(jpeg(np.asarray(Image.fromarray(grain).resize((16, 16)).resize((64, 64)))))
    assert None not in (*plain, *lighter, *blurred)
    assert lighter[0] == pytest.approx((plain[0] or 0) + 40, abs=2)
    assert (blurred[1] or 0) < (plain[1] or 0) / 5
    assert look_of(b"") == look_of(b"no image") == (None, None)


def test_when_an_image_was_taken() -> None:
    def photo(taken: str = "", offset: str = "") -> bytes:
        exif = Image.Exif()
        block = exif.get_ifd(0x8769)
        if taken:
            block[0x9003] = taken
        if offset:
            block[0x9011] = offset
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
        return buffer.getvalue()

    assert taken_at(photo("2026:03:02 07:30:00", "+02:00")) == datetime(2026, 3, 2, 5, 30, tzinfo=UTC)
    assert taken_at(photo("2026:03:02 07:30:00")) == datetime(2026, 3, 2, 7, 30)
    assert taken_at(photo("2026:03:02 07:30:00", "nonsense")) == datetime(2026, 3, 2, 7, 30)
    for nothing in (photo(), photo("0000:00:00 00:00:00"), b"no image", b""):
        assert taken_at(nothing) is None
