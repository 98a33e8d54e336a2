"""One bit depth for a model: decided at the first fit, kept by every change, and used wherever it decodes."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from padim import Padim, PadimConfig
from padim.adaptation.adapt import adapt
from padim.errors import Cancelled, ImageError, InputError
from padim.scoring_identity import of_manifest
from padim.storage import bundle
from padim.storage.bundle import Bundle
from tests import hostile
from tests.parts import part

SMALL = PadimConfig(input_size=64, n_features=20, smoothing_sigma=2, min_area=8)
TWELVE = PadimConfig(**{**SMALL.model_dump(), "bit_depth": 12})


def deep(seed: int, *, depth: int = 12, defect: bool = False) -> npt.NDArray[np.uint16]:
    """A gray part as a camera of this depth sees it, uint16 ``(h, w)``."""
    gray = part(seed, defect=defect)[..., 1].astype(np.uint16)
    noise = np.random.default_rng(seed).integers(0, 1 << (depth - 8), gray.shape)
    return (gray << (depth - 8) | noise).astype(np.uint16)


def files(count: int, *, extra: bytes = b"", first: int = 0, depth: int = 12) -> list[tuple[str, bytes]]:
    return [(f"{i:02}.png", hostile.png(deep(i, depth=depth), extra)) for i in range(first, first + count)]


def sbit(bits: int) -> bytes:
    return hostile.png_chunk(b"sBIT", bytes([bits]))


@pytest.fixture(scope="module")
def model() -> Padim:
    return Padim(SMALL).fit(files(6, extra=sbit(12)))


def scores(model: Padim, images: list[tuple[str, bytes]]) -> list[int]:
    return [one.score_level for one in model.predict(images)]


def test_metadata_decide_at_the_first_fit(model: Padim) -> None:
    assert model.config.bit_depth == 12
    assert model.network.preprocess.bit_depth == 12
    explicit = Padim(TWELVE).fit(files(6))
    assert np.array_equal(model.state.fitted.held_out, explicit.state.fitted.held_out)
    assert model.state.identity == explicit.state.identity
    # As the 8-bit images of the same parts, for the network sees the upper 8 of the 12 bits.
    eight = Padim(SMALL).fit(
        [(name, hostile.png((deep(i) >> 4).astype(np.uint8))) for i, (name, _) in enumerate(files(6))]
    )
    assert eight.config.bit_depth is None
    assert np.array_equal(eight.state.fitted.held_out, explicit.state.fitted.held_out)


def test_values_alone_stop_the_fit_with_the_remedy() -> None:
    model = Padim(SMALL)
    with pytest.raises(InputError, match=r"bit_depth=12 or bit_depth=16"):
        model.fit(files(4))
    with pytest.raises(InputError, match=r"bit_depth=12"):
        model.fit([deep(i) for i in range(4)])  # arrays, too
    assert not hasattr(model, "threshold_")
    assert Padim(**{**SMALL.model_dump(), "bit_depth": 16}).fit(files(3)).config.bit_depth == 16


def test_sets_of_several_depths_are_refused_by_name() -> None:
    mixed = [*files(2, extra=sbit(12)), *files(2, first=2, extra=sbit(10), depth=10)]
    with pytest.raises(InputError, match=r"10 bits: 02\.png, 03\.png; 12 bits: 00\.png, 01\.png"):
        Padim(SMALL).fit(mixed)
    failed: list[ImageError] = []
    fitted = Padim(TWELVE).fit(mixed, on_error=failed.append)
    assert [error.name for error in failed] == ["02.png", "03.png"]
    assert len(fitted.normals_) == 2


def test_an_image_above_the_range_is_refused_everywhere(model: Padim) -> None:
    high = ("high.png", hostile.png(deep(50, depth=14)))
    failed: list[ImageError] = []
    assert list(model.predict([high], on_error=failed.append)) == []
    assert "4,095" in failed[0].reason
    assert "bit_depth=14" in failed[0].reason
    with pytest.raises(ImageError, match=r"high\.png: has values up to"):
        model.partial_fit([high])
    assert len(model.normals_) == 6


def test_every_change_and_saving_keep_the_depth(model: Padim, tmp_path: Path) -> None:
    fresh = files(3, first=60)  # without metadata: the model's range holds
    before = scores(model, fresh)
    own = Padim(SMALL).fit(files(6, extra=sbit(12)))
    own.exclude(0, "kept_out").include(0)
    assert scores(own, fresh) == before
    own.exclude(1, "not_good")
    own.partial_fit(files(2, first=70))
    assert (own.config.bit_depth, own.network.preprocess.bit_depth) == (12, 12)
    own.set_layers(own.config.layers[:1])
    assert own.config.bit_depth == 12
    saved = own.save(tmp_path / "m.padim")
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["config"]["bit_depth"] == 12
    again = Padim.load(saved)
    assert again.network.preprocess.bit_depth == 12
    assert scores(again, fresh) == scores(own, fresh)
    assert of_manifest(Bundle(saved).manifest) == again.state.identity
    with pytest.raises(ImageError, match="declares 10 bits"):
        list(again.predict(files(1, extra=sbit(10), depth=10)))


def test_a_stopped_fit_remembers_what_its_files_declared(tmp_path: Path) -> None:
    images, done = files(40, extra=sbit(12)), 0

    def stop() -> bool:
        return done > 33

    def progress(at: int, total: int | None, stage: str) -> None:
        nonlocal done
        done = at if stage == "Reading images" else done

    with pytest.raises(Cancelled):
        Padim(SMALL, work_dir=tmp_path / "a").fit(
            images, progress=progress, cancel=stop, unfinished=tmp_path / "part"
        )
    resumed = Padim(SMALL, work_dir=tmp_path / "b").fit(images, unfinished=tmp_path / "part")
    assert resumed.config.bit_depth == 12
    open_ones = files(40)
    done = 0
    with pytest.raises(Cancelled):
        Padim(SMALL, work_dir=tmp_path / "c").fit(
            open_ones, progress=progress, cancel=stop, unfinished=tmp_path / "other"
        )
    with pytest.raises(InputError, match="values up to"):
        Padim(SMALL, work_dir=tmp_path / "d").fit(open_ones, unfinished=tmp_path / "other")


def test_models_from_before_read_16_bit_files_over_their_full_range(tmp_path: Path) -> None:
    """And keep their identity and their scores."""
    images = [(f"{i}.png", hostile.png(deep(i, depth=16))) for i in range(4)]
    model = Padim(SMALL).fit(images)
    assert model.config.bit_depth == 16
    saved = model.save(tmp_path / "m.padim")
    manifest = deepcopy(dict(Bundle(saved).manifest))
    del manifest["config"]["bit_depth"], manifest["seal"]
    assert of_manifest(manifest) == model.state.identity
    (saved / "manifest.json").write_text(json.dumps({**manifest, "seal": bundle._seal(manifest)}))
    former = Padim.load(saved)
    assert former.config.bit_depth == 16
    assert former.state.identity == model.state.identity
    assert scores(former, images) == scores(model, images)


def test_8_bit_models_take_files_as_they_declare() -> None:
    model = Padim(SMALL).fit([(f"{i}.png", hostile.png(part(i)[..., 1])) for i in range(4)])
    eight = [("a.png", hostile.png((deep(9) >> 4).astype(np.uint8)))]
    twelve = [("a.png", hostile.png(deep(9), sbit(12)))]
    sixteen = [("a.png", hostile.png((deep(9) >> 4).astype(np.uint16) * 257))]
    assert scores(model, twelve) == scores(model, eight) == scores(model, sixteen)
    # A file that declares nothing is read over 16 bits, and that is said.
    (dark,) = model.predict([("a.png", hostile.png(deep(9)))])
    assert any("may be 12 bits" in note for note in dark.notes)
    for declared in (twelve, sixteen, eight):
        (known,) = model.predict(declared)
        assert not any("bits" in note for note in known.notes)
    # Added parts without metadata would be dark or not, which nobody has said.
    with pytest.raises(InputError, match="bit_depth=12"):
        model.partial_fit(files(2))
    assert len(model.normals_) == 4


def test_exports_say_the_range_and_the_examples_keep_to_it(model: Padim, tmp_path: Path) -> None:
    scorer = model.export(tmp_path / "m.onnx")
    meta = onnxruntime.InferenceSession(scorer).get_modelmeta().custom_metadata_map
    assert meta["bit_depth"] == "12"
    images = {
        "good.png": hostile.png(deep(30)),
        "bad.tif": hostile.tiff([deep(31, defect=True)], [{274: 3}]),
        "eight.png": hostile.png((deep(30) >> 4).astype(np.uint8)),
        "high.png": hostile.png(deep(32, depth=14)),
        "inverted.tif": hostile.tiff([deep(33)], [{262: 0}]),
        "stated.tif": hostile.tiff([deep(34)], [{281: 4095}]),
        "colors.png": hostile.png(np.repeat(deep(35)[..., None], 3, axis=2)),
    }
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
    script = Path(__file__).parents[1] / "examples" / "score_onnx.py"
    done = subprocess.run(
        [sys.executable, script, scorer, *(tmp_path / name for name in images)],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = {Path(row[0]).name: row[1:] for row in map(str.split, done.stdout.splitlines())}
    assert done.returncode == 2
    assert {name for name, row in rows.items() if row[1] == "unreadable"} == set(list(images)[3:])
    assert "above the 12 bits" in done.stdout
    for name in ("good.png", "bad.tif", "eight.png"):
        (found,) = model.predict([(name, images[name])])
        assert float(rows[name][0]) == pytest.approx(found.at(min_area=1).score, rel=1e-4)
    assert rows["eight.png"] == rows["good.png"]


def test_adapting_asks_before_anything_is_trained() -> None:
    with pytest.raises(InputError, match="--bit-depth 12"):
        adapt(SMALL, files(20))
    mixed = [*files(10, extra=sbit(12)), *files(10, first=10, extra=sbit(10), depth=10)]
    with pytest.raises(InputError, match="different bit depths"):
        adapt(SMALL, mixed)


def test_a_rebuilt_working_set_is_read_with_the_models_range(tmp_path: Path) -> None:
    images = files(5)
    model = Padim(TWELVE, work_dir=tmp_path / "a").fit(images)
    saved = model.save(tmp_path / "m.padim")
    again = Padim.load(saved, work_dir=tmp_path / "b")
    again.working_set.rebuild(images)
    again.exclude(0, "kept_out").include(0)
    assert np.array_equal(again.state.fitted.held_out, model.state.fitted.held_out)
