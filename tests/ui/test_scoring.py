"""Scored images: they keep the engine's numbers in little memory, and are decided without the network."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from padim import Padim
from padim.data.sources import UploadSource
from padim.errors import Cancelled
from tests.parts import defects, normals, part
from ui.jobs.jobs import Job
from ui.scoring import THUMB_SIDE, Pile

# In natural order, as a source yields them.
FILES = [(name, data) for name, data in (*defects(2), *normals(2, first=70)) if isinstance(data, bytes)]


def scored(model: Padim, files: list[tuple[str, bytes]]) -> Pile:
    pile = Pile("any")
    pile.add(UploadSource(files), model, Job("k", "t", lambda _: None))
    return pile


def test_maps_and_scores_are_the_engines(small_model: Padim) -> None:
    pile = scored(small_model, FILES)
    for item, truth in zip(pile.items, small_model.predict(FILES), strict=True):
        np.testing.assert_array_equal(item.levels(small_model), truth.levels)
        assert item.score(small_model, small_model.config.min_area) == truth.score_level
        for level, area in ((small_model.threshold_level, 8), (truth.score_level, 1), (0, 30)):
            decision = small_model.decide(truth, level, area)
            assert (item.score(small_model, area) > level) == decision.rejected
            assert item.regions(small_model, level, area) == len(decision.regions)
            np.testing.assert_array_equal(item.decide(small_model, level, area).mask, decision.mask)


def test_bytes_are_on_disk_and_deleted_with_the_pile(small_model: Padim) -> None:
    pile = scored(small_model, FILES)
    files = [item.file for item in pile.items]
    assert [file.read_bytes() for file in files] == [data for _, data in FILES]
    folder = pile.folder
    del pile
    assert not folder.exists()


def test_bad_files_leave_no_trace_but_their_name(small_model: Padim) -> None:
    pile = scored(small_model, [*FILES, ("cut.png", FILES[0][1][:80])])
    assert [error.name for error in pile.failed] == ["cut.png"]
    assert len(pile) == len(FILES) == len(list(pile.folder.iterdir()))


def test_names_stay_unique_over_several_batches(small_model: Padim) -> None:
    pile = scored(small_model, FILES[:2])
    pile.add(UploadSource(FILES[:2]), small_model, Job("k", "t", lambda _: None))
    names = [item.name for item in pile.items]
    assert len(set(names)) == 4
    assert [item.number for item in pile.items] == [1, 2, 3, 4]


def test_a_cancelled_batch_keeps_what_was_scored(small_model: Padim) -> None:
    pile, job = Pile("any"), Job[None]("k", "t", lambda _: None)
    job.cancel()
    with pytest.raises(Cancelled):
        pile.add(UploadSource(FILES), small_model, job)
    assert len(pile) == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_thumbnails_of_any_jpeg(small_model: Padim, mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(part(1, size=(600, 900))).convert(mode).save(buffer, "JPEG")
    (item,) = scored(small_model, [("a.jpg", buffer.getvalue())]).items
    small = Image.open(io.BytesIO(item.thumb.data))
    assert small.mode == "RGB"
    assert max(small.size) == THUMB_SIDE
    assert small.width > small.height


def test_thumbnails_stand_upright(small_model: Padim) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.fromarray(part(1, size=(300, 600))).save(buffer, "JPEG", exif=exif)
    (item,) = scored(small_model, [("a.jpg", buffer.getvalue())]).items
    small = Image.open(io.BytesIO(item.thumb.data))
    assert small.height > small.width
