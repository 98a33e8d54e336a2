"""The exported scorer and arrays, used as a line PC would: without padim, torch or OpenCV in reach."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import padim
from padim import Padim, PadimConfig
from padim.data.decode import decode
from padim.decision.guard_band import Guard
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, mask_to_original, region_score
from padim.errors import NotFittedError, PadimError
from padim.methods.factor import LowRank
from padim.output import export
from padim.output.export import export_npz, export_onnx, inverse_covariance_bytes, metadata
from padim.output.scorer_metadata import image_values
from padim.output.scorer_seal import seal, verify
from tests.parts import defects, normals, part, png

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = PadimConfig(input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)

# Run in a fresh interpreter: whatever a line PC does not have is refused.
_LINE_PC = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        refused = {"padim", "torch", "torchvision", "cv2", "onnx", "scipy", "pydantic", *WITHOUT}
        if name.split(".")[0] in refused:
            raise ModuleNotFoundError(f"a line PC has no {name}")
sys.meta_path.insert(0, Refuse())
script = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, script.rsplit("/", 1)[0].rsplit(chr(92), 1)[0])
runpy.run_path(script, run_name="__main__")
"""


def run_on_a_line_pc(
    script: str, *arguments: object, without: tuple[str, ...] = ()
) -> tuple[int, list[list[str]], str]:
    """Return the exit code of a script, the lines that it prints, cut at tabs, and its errors.

    Args:
        script: its name.
        arguments: its arguments.
        without: packages that are not installed there, besides those that no line PC has.
    """
    code = f"WITHOUT = {without!r}{_LINE_PC}"
    command = [sys.executable, "-I", "-c", code, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, [line.split("\t") for line in done.stdout.splitlines()], done.stderr


def on_a_line_pc(script: str, *arguments: object) -> list[list[str]]:
    """The lines that a script prints, cut at tabs, where every image is scored."""
    code, lines, errors = run_on_a_line_pc(script, *arguments)
    assert code == 0, errors
    return lines


def fitted(count: int, **choices: object) -> Padim:
    return Padim(PadimConfig.of({**SMALL.model_dump(), **choices})).fit(normals(count))


def region_of_interest() -> npt.NDArray[np.bool_]:
    roi = np.zeros((64, 64), bool)
    roi[8:60, 20:64] = True
    return roi


def guarded() -> Padim:
    model = fitted(22)
    scores = sorted(abs(s.score_level - model.threshold_level) for s in model.predict(IMAGES))
    return model.set_guard(Guard((scores[1] + 2) * model.state.fitted.quantizer.step, 1.0, 4, 5, 1))


def by_hand() -> Padim:
    model = fitted(5, n_features=1)
    scores = sorted(s.score_level for s in model.predict(IMAGES))
    return model.set_decision(value=model.state.fitted.quantizer.to_value(scores[4] + scores[5]) / 2)


def sideways(rgb: npt.NDArray[np.uint8]) -> bytes:
    """A JPEG as a phone held upright writes it: turned, with a note that says so."""
    exif = Image.Exif()
    exif[274] = 6
    buffer = BytesIO()
    Image.fromarray(np.rot90(rgb)).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def gray(rgb: npt.NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rgb).convert("L").save(buffer, "PNG")
    return buffer.getvalue()


# Of several sizes and shapes, larger and smaller than the map.
IMAGES: list[tuple[str, bytes | npt.NDArray[np.uint8]]] = [
    *normals(3, first=100),
    *defects(4),
    ("wide.png", png(part(600, size=(70, 150), defect=True))),
    ("small.png", png(part(601, size=(40, 33)))),
    ("small_bad.png", png(part(602, size=(50, 31), defect=True))),
    ("phone.jpg", sideways(part(603, size=(150, 100), defect=True))),
    ("grey.png", gray(part(604, defect=True))),
]

MODELS: dict[str, Callable[[], Padim]] = {
    "triangular": lambda: fitted(22),
    "low rank": lambda: fitted(7),
    "region of interest": lambda: fitted(22).set_roi(region_of_interest()),
    "padded": lambda: fitted(22, fit="pad"),
    "padded, with a region": lambda: fitted(9, fit="pad").set_roi(region_of_interest()),
    "a muted layer": lambda: fitted(9, n_features=12).set_layers(SMALL.layers[1:]),
    "guard band": guarded,
    "one feature, by hand": by_hand,
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Padim, Path]:
    model = MODELS[request.param]()
    return model, export_onnx(model, tmp_path_factory.mktemp("exported") / "scorer.onnx")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    for name, content in IMAGES:
        assert isinstance(content, bytes)
        (folder / name).write_bytes(content)
    return [folder / name for name, _ in IMAGES]


def levels_of(model: Padim, path: Path) -> list[npt.NDArray[np.uint16]]:
    """The level maps of all images by the exported graph, in one batch."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    decoded = [decode(content, name) for name, content in IMAGES if isinstance(content, bytes)]
    feed: dict[str, npt.NDArray[np.generic]] = {
        "rgb": np.stack([model.network.preprocess(rgb) for rgb in decoded])
    }
    if model.config.fit == "pad":
        inside = np.zeros((len(decoded), 64, 64), np.float32)
        for plane, rgb in zip(inside, decoded, strict=True):
            top, left, height, width = model.network.preprocess.content_box(rgb.shape[:2])
            plane[top : top + height, left : left + width] = 1
        feed["inside"] = inside
    maps, scores = session.run(["map", "score"], feed)
    np.testing.assert_array_equal(scores, maps.reshape(len(maps), -1).max(axis=1))
    return list(maps)


def test_the_scores_and_verdicts_of_the_short_script(
    exported: tuple[Padim, Path], images: list[Path]
) -> None:
    model, path = exported
    lines = on_a_line_pc("score_onnx.py", path, *images)
    level, verdicts = model.threshold_level, set()
    for line, scored in zip(lines, model.predict(IMAGES), strict=True):
        assert Path(line[0]).name == scored.name
        score = region_score(scored.levels, 1)
        assert float(line[1]) == pytest.approx(model.state.fitted.quantizer.to_value(score), rel=1e-3)
        verdicts.add(model.verdict(score, level))
        if all(abs(score - border) > 1e-3 * border for border in _borders(model)):
            assert line[2] == model.verdict(score, level), scored.name
    assert len(verdicts) > 1


def _borders(model: Padim) -> list[int]:
    facts = metadata(model)
    return [int(facts[key]) for key in ("threshold_level", "review_from", "review_to")]


def test_the_masks_of_the_longer_script(
    exported: tuple[Padim, Path], images: list[Path], tmp_path: Path
) -> None:
    model, path = exported
    lines = on_a_line_pc("mask_onnx.py", path, tmp_path, *images)
    level, area = model.threshold_level, model.config.min_area
    rejected = clear = 0
    for line, scored, q in zip(lines, model.predict(IMAGES), levels_of(model, path), strict=True):
        mask = np.asarray(Image.open(line[2])) == 255
        by_padim = model.decide(scored)
        decision_document = decide(
            q, level, area, original_size=scored.original_size, content_box=scored.content_box
        )
        np.testing.assert_array_equal(mask, decision_document.mask)
        assert line[1] == model.verdict(decision_document.score_level, level)
        # A value on the border between two levels may get either, in another graph.
        off = np.abs(q.astype(int) - scored.levels.astype(int))
        assert off.max() <= 1 + 1e-3 * scored.levels.max()
        border = np.isin(scored.levels, (level, level + 1))
        np.testing.assert_array_equal((q > level) | border, (scored.levels > level) | border)
        if not border.any():
            clear += 1
            np.testing.assert_array_equal(mask, by_padim.mask)
            rejected += by_padim.rejected
    # In a smooth map of thousands of pixels, two levels of thousands are often met.
    assert clear > len(IMAGES) / 3
    assert rejected


def test_a_saved_model_exports_the_same(saved_model: Path, small_model: Padim, tmp_path: Path) -> None:
    one = export_onnx(small_model, tmp_path / "fitted.onnx")
    other = export_onnx(Padim.load(saved_model), tmp_path / "loaded.onnx")
    protos = onnx.load(one), onnx.load(other)
    for proto in protos:
        del proto.metadata_props[:]  # the time is in them
    assert protos[0] == protos[1]


def test_only_standard_operators(exported: tuple[Padim, Path]) -> None:
    """What other runtimes can be expected to know."""
    _, path = exported
    proto = onnx.load(path)
    assert {node.domain for node in proto.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert {value.name for value in proto.graph.input} <= {"rgb", "inside"}
    used = {name for node in proto.graph.node for name in node.input}
    assert {constant.name for constant in proto.graph.initializer} <= used
    assert not proto.functions


def test_distances_on_request(small_model: Padim, tmp_path: Path) -> None:
    path = export_onnx(small_model, tmp_path / "scorer.onnx", distances=True)
    rgb = np.stack(
        [small_model.network.preprocess(decode(c, n)) for n, c in defects(3) if isinstance(c, bytes)]
    )
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    grids, _ = small_model.state.scorer(rgb)
    (distance,) = session.run(["distance"], {"rgb": rgb})
    np.testing.assert_allclose(distance, grids.reshape(3, -1), rtol=1e-4)


def test_the_metadata_say_what_the_model_says(small_model: Padim, tmp_path: Path) -> None:
    path = export_onnx(small_model, tmp_path / "scorer.onnx", name="Line 3, größer")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    threshold = small_model.current_threshold
    assert threshold is not None
    assert (facts["format"], facts["format_version"]) == ("padim-scorer", "1")
    assert facts["padim_version"] == padim.__version__
    assert facts["name"] == "Line 3, größer"
    assert int(facts["threshold_level"]) == threshold.level
    assert float(facts["threshold_value"]) == small_model.state.fitted.quantizer.to_value(threshold.level)
    assert float(facts["threshold_percentile"]) == 95.0
    assert float(facts["quantizer_step"]) == small_model.state.fitted.quantizer.step
    assert (facts["input_size"], facts["min_area"], facts["fit"]) == ("64", "8", "stretch")
    assert facts["layers"].split(",") == list(small_model.config.layers)
    assert facts["weights"] == "pretrained"
    assert facts["weights_source"] == small_model.network.provenance["source"]
    assert facts["weights_sha256"] == small_model.network.provenance["sha256"]
    assert "warning" not in facts
    rate = small_model.false_reject_rate_
    assert json.loads(facts["false_rejects"]) == {
        "above": rate.above,
        "parts": 22,
        "expected": pytest.approx(rate.expected, abs=1e-6),
        "upper_95": pytest.approx(rate.upper, abs=1e-6),
    }
    strict = small_model.state.false_rejects(threshold.level, 1)
    assert json.loads(facts["false_rejects_at_min_area_1"])["above"] == strict.above


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_the_metadata_say_how_a_file_becomes_the_input(fit: str, tmp_path: Path) -> None:
    """A program on a line PC has to do these steps by itself, so that nothing may be left to guess."""
    path = export_onnx(fitted(3, fit=fit), tmp_path / "scorer.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    expected = {
        "resize_filter": "bilinear",
        "resize_antialias": "yes",
        "color_order": "RGB",
        "input_layout": "NHWC",
        "input_type": "uint8",
        "value_range": "0..255",
        "normalization": "in the graph",
        "bit_depth": "8",
        "map_size": "64",
        "map_type": "uint16",
        "score_type": "float32",
    }
    if fit == "pad":
        expected |= {"pad_color": "127,127,127", "pad_position": "centered"}
    assert {key: facts.get(key) for key in expected} == expected
    assert "INTER_AREA" in facts["resize_hint"]
    assert ("pad_color" in facts) == (fit == "pad")
    # They are in the file beside the seal, which covers them.
    verify(path)
    proto = onnx.load(path)
    proto.metadata_props[0].value += "?"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(PadimError, match="was altered"):
        verify(path)


def test_files_of_earlier_versions_are_still_read(
    small_model: Padim, tmp_path: Path, images: list[Path]
) -> None:
    """Without the keys that were added since, with their seal."""
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    now = on_a_line_pc("score_onnx.py", path, *images)
    proto = onnx.load(path)
    added = {*image_values(small_model.network.preprocess), "map_size", "map_type", "score_type"}
    kept = [entry for entry in proto.metadata_props if entry.key not in {*added, "sha256"}]
    assert len(kept) == len(proto.metadata_props) - len(added) - 1
    copies = [(entry.key, entry.value) for entry in kept]
    del proto.metadata_props[:]
    for key, value in copies:
        proto.metadata_props.add(key=key, value=value)
    path.write_bytes(seal(proto.SerializeToString()))
    verify(path)
    assert on_a_line_pc("score_onnx.py", path, *images) == now


def test_the_scripts_take_a_float32_scorer(small_model: Padim, tmp_path: Path, images: list[Path]) -> None:
    whole = export_onnx(small_model, tmp_path / "scorer.onnx")
    plain = small_model.export(tmp_path / "plain.onnx", output_type="float32")
    assert {e.key: e.value for e in onnx.load(plain).metadata_props}["map_type"] == "float32"
    for script, options in (("score_onnx.py", []), ("mask_onnx.py", [tmp_path])):
        assert on_a_line_pc(script, whole, *options, *images) == on_a_line_pc(
            script, plain, *options, *images
        )


def test_another_output_type_is_refused(small_model: Padim, tmp_path: Path) -> None:
    kind: Any = "float16"
    refused = "output_type must be 'uint16' or 'float32', got 'float16'"
    with pytest.raises(ValueError, match=refused):
        export_onnx(small_model, tmp_path / "x.onnx", output_type=kind)
    with pytest.raises(ValueError, match=refused):
        small_model.export(tmp_path / "x.onnx", output_type=kind)
    assert not list(tmp_path.iterdir())


def test_random_weights_are_said_to_be_random() -> None:
    facts = metadata(fitted(3, weights="random"))
    assert facts["weights"] == "random"
    assert "mean nothing" in facts["warning"]


def test_without_a_threshold_it_says_so(tmp_path: Path) -> None:
    model = fitted(2)
    with pytest.warns(UserWarning, match="no threshold"):
        path = export_onnx(model, tmp_path / "scorer.onnx")
    facts = metadata(model)
    assert not {"threshold_level", "review_from", "false_rejects"} & facts.keys()
    assert len(levels_of(model, path)) == len(IMAGES)
    model.set_decision(value=3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(model, path)
    assert metadata(model)["threshold_basis"] == "manual"
    assert "false_rejects" not in metadata(model)


def test_an_unfitted_model_is_not_exported(tmp_path: Path) -> None:
    for write in (export_onnx, export_npz):
        with pytest.raises(NotFittedError):
            write(Padim(SMALL), tmp_path / "scorer")
    assert not list(tmp_path.iterdir())


# --- two files ----------------------------------------------------------------------------------------------


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is too large for one file."""
    monkeypatch.setattr(export, "MOST_INLINE_BYTES", 1)
    monkeypatch.setattr(export, "_LARGE_BYTES", 256)
    monkeypatch.setattr(export, "_BLOCK_BYTES", 1000)


@pytest.mark.parametrize("count", [7, 22])
@pytest.mark.usefixtures("beside")
def test_large_models_are_two_files(count: int, tmp_path: Path, images: list[Path]) -> None:
    model = fitted(count)
    path = export_onnx(model, tmp_path / "scorer.onnx")
    (data,) = tmp_path.glob("scorer.onnx.*.data")
    assert sorted(tmp_path.iterdir()) == sorted([path, data])
    assert data.stat().st_size > model.state.gaussians.factor.files().popitem()[1].nbytes
    onnx.checker.check_model(str(path), full_check=True)
    proto = onnx.load(path, load_external_data=False)
    outside = [t for t in proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert "mean" in {tensor.name for tensor in outside}
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        assert entries["location"] == data.name
        assert int(entries["offset"]) % 2**16 == 0
    for line, scored in zip(on_a_line_pc("score_onnx.py", path, *images), model.predict(IMAGES), strict=True):
        score = region_score(scored.levels, 1)
        assert float(line[1]) == pytest.approx(model.state.fitted.quantizer.to_value(score), rel=1e-3)


@pytest.mark.usefixtures("beside")
def test_a_replaced_export_leaves_nothing(
    tmp_path: Path, small_model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "other.onnx.0123456789abcdef.data"
    stranger.write_bytes(b"")
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    (first,) = tmp_path.glob("scorer.onnx.*.data")
    export_onnx(fitted(7), path)
    (second,) = tmp_path.glob("scorer.onnx.*.data")
    assert first != second
    monkeypatch.setattr(export, "MOST_INLINE_BYTES", 10**9)
    export_onnx(small_model, path)
    assert sorted(tmp_path.iterdir()) == sorted([path, stranger])


def test_a_narrow_basis_is_stored_narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("padim.methods.factor.NARROW_ABOVE_BYTES", 1)
    monkeypatch.setattr("padim.methods.padim.NARROW_TOLERANCE", 1.0)
    model = fitted(7)
    assert isinstance(model.state.gaussians.factor, LowRank)
    assert model.state.gaussians.factor.narrow
    path = export_onnx(model, tmp_path / "scorer.onnx")
    stored = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    assert "basis" not in stored
    assert stored["basis_16"].data_type == onnx.TensorProto.INT16
    for q, scored in zip(levels_of(model, path), model.predict(IMAGES), strict=True):
        np.testing.assert_allclose(q.astype(float), scored.levels.astype(float), rtol=1e-3, atol=1)


# --- what goes wrong ----------------------------------------------------------------------------------------

Write = Callable[[Padim, Path], Path]


@pytest.fixture(params=[export_onnx, export_npz])
def write(request: pytest.FixtureRequest) -> Write:
    return request.param


def test_a_place_that_cannot_be_written_is_named(write: Write, small_model: Padim, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(PadimError, match="file"):
        write(small_model, blocked / "scorer.onnx")
    with pytest.raises(PadimError, match="is a folder"):
        write(small_model, tmp_path)
    assert list(tmp_path.iterdir()) == [blocked]


@pytest.mark.parametrize("fails", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_half_written(
    fails: BaseException, write: Write, small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise fails

    path = tmp_path / "scorer.onnx"
    path.write_bytes(b"the former one")
    monkeypatch.setattr(export, "_check", full)
    monkeypatch.setattr(export, "_write_inverses", full)
    with pytest.raises(PadimError if isinstance(fails, OSError) else KeyboardInterrupt) as told:
        write(small_model, path)
    if isinstance(fails, OSError):
        assert (
            str(told.value)
            == f"{path}: no space left on the disk; free some space there, and then do it again"
        )
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"the former one"


def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path, small_model: Padim) -> None:
    """The check of the written file can fail: against another model's numbers it does."""
    other = fitted(22, fit="stretch", smoothing_sigma=6)
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    with pytest.raises(PadimError, match="does not compute what the model does"):
        export._check(path, other)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PadimError, match=r"scorer\.onnx: the exported graph cannot be run"):
        export._check(path, small_model)


# --- the scripts' own regions and sizes ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> Iterator[dict[str, Callable[..., npt.NDArray[np.bool_]]]]:
    import runpy

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield runpy.run_path(str(EXAMPLES / "mask_onnx.py"))


Script = dict[str, Callable[..., npt.NDArray[np.bool_]]]
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))


@given(mask=masks, min_area=st.integers(1, 12))
def test_the_scripts_regions(script: Script, mask: npt.NDArray[np.bool_], min_area: int) -> None:
    expected = map_mask(mask.astype(np.uint16), 0, min_area)
    np.testing.assert_array_equal(script["large_regions"](mask, min_area), expected)


@given(mask=masks, height=st.integers(1, 40), width=st.integers(1, 40))
def test_the_scripts_sizes(script: Script, mask: npt.NDArray[np.bool_], height: int, width: int) -> None:
    resized = script["resized"](script["resized"](mask, height, 0), width, 1)
    np.testing.assert_array_equal(resized, mask_to_original(mask, (height, width)))


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _deep_rgb() -> bytes:
    """A PNG of 16 bits a channel in RGB, which Pillow opens as 8-bit RGB."""
    rows = b"".join(b"\0" + bytes(range(54)) for _ in range(9))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _stereo(views: bytes) -> bytes:
    """Declare the first of the views of an MPO one of a stereo pair."""
    pair = views.replace(struct.pack("<II", 0, 0x030000), struct.pack("<II", 0, 0x020002), 1)
    assert pair != views
    return pair


def unusable_files() -> dict[str, tuple[bytes, str]]:
    """Files that the scripts must not score, with a part of the reason that they give."""
    first, other = (Image.fromarray(part(700 + seed, size=(80, 80))) for seed in range(2))
    pages: dict[str, Any] = {"save_all": True, "append_images": [other]}
    photo = _encoded(first, "JPEG", quality=90)
    several, eight = "is an animation or has several pages", "is neither 8-bit RGB nor grey"
    return {
        "clear.png": (_encoded(Image.new("RGBA", (9, 9)), "PNG"), eight),
        "deep.png": (_encoded(Image.fromarray(np.zeros((9, 9), np.uint16)), "PNG"), eight),
        "deep_rgb.png": (_deep_rgb(), eight),
        "palette.png": (_encoded(first.convert("P"), "PNG"), eight),
        "cmyk.jpg": (_encoded(first.convert("CMYK"), "JPEG"), eight),
        "pages.tif": (_encoded(first, "TIFF", **pages), several),
        "moving.png": (_encoded(first, "PNG", **pages), several),
        "moving.webp": (_encoded(first, "WEBP", **pages), several),
        "moving.gif": (_encoded(first, "GIF", **pages), several),
        "stereo.jpg": (_stereo(_encoded(first, "MPO", **pages)), "holds several views"),
        "still.gif": (_encoded(first, "GIF"), "is GIF"),
        "cut.jpg": (photo[: len(photo) // 2], "cut short"),
        "lost.jpg": (photo[:700] + photo[900:], "is a damaged JPEG"),
        "closed.jpg": (photo[: len(photo) // 2] + b"\xff\xd9", "is a damaged JPEG"),
        "cut.png": (_encoded(first, "PNG")[:3000], "cut short"),
        "head.jpg": (photo[:20], "cannot be read"),
        "empty.jpg": (b"", "cannot be read"),
        "text.jpg": (b"not an image", "cannot be read"),
    }


@pytest.mark.parametrize(("script", "verdict_at"), [("score_onnx.py", 2), ("mask_onnx.py", 1)])
def test_the_scripts_name_what_they_cannot_use_and_score_the_rest(
    small_model: Padim, tmp_path: Path, script: str, verdict_at: int
) -> None:
    """Pages after the first, deeper pixels and cut files would else be accepted unseen, or end the run."""
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    files = {name: content for name, (content, _) in unusable_files().items()}
    good = {name: content for name, content in normals(2, first=100) if isinstance(content, bytes)}
    first, last = good.items()
    folder = tmp_path / "images"
    folder.mkdir()
    names = [first[0], *files, "absent.png", last[0]]
    for name, content in {**files, **good}.items():
        (folder / name).write_bytes(content)
    options = [tmp_path] if script == "mask_onnx.py" else []
    code, lines, errors = run_on_a_line_pc(script, path, *options, *(folder / name for name in names))
    assert code == 2, errors
    assert [Path(line[0]).name for line in lines] == names
    for name, line in zip(names, lines, strict=True):
        if name in good:
            assert line[verdict_at] in ("accept", "review", "reject")
        else:
            assert line[verdict_at] == "unreadable", name
            reason = unusable_files()[name][1] if name in files else "cannot be read"
            assert reason in line[verdict_at + 1], name
    assert f"{len(files) + 1} of {len(names)} files could not be used" in errors
    # The good ones are scored as without the others.
    alone = run_on_a_line_pc(script, path, *options, *(folder / name for name in good))[1]
    assert [line for line in lines if Path(line[0]).name in good] == alone


def test_without_simplejpeg_a_cut_jpeg_is_named_all_the_same(small_model: Padim, tmp_path: Path) -> None:
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    names = ("cut.jpg", "head.jpg", "good.jpg")
    files = {name: content for name, (content, _) in unusable_files().items()}
    files["good.jpg"] = _encoded(Image.fromarray(part(1)), "JPEG")
    for name in names:
        (tmp_path / name).write_bytes(files[name])
    places = [tmp_path / name for name in names]
    code, lines, _ = run_on_a_line_pc("score_onnx.py", path, *places, without=("simplejpeg",))
    assert (code, [line[2] == "unreadable" for line in lines]) == (2, [True, True, False])


def test_extra_views_in_a_phones_jpeg_are_no_pages(small_model: Padim, tmp_path: Path) -> None:
    """As padim reads it: the photograph, not the preview that is stored behind it."""
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    first, other = (Image.fromarray(part(700 + seed, size=(80, 80))) for seed in range(2))
    (tmp_path / "phone.jpg").write_bytes(_encoded(first, "MPO", save_all=True, append_images=[other]))
    (tmp_path / "plain.jpg").write_bytes(_encoded(first, "JPEG"))
    one, two = on_a_line_pc("score_onnx.py", path, tmp_path / "phone.jpg", tmp_path / "plain.jpg")
    assert one[1:] == two[1:]


def test_masks_of_images_of_one_name_do_not_replace_each_other(small_model: Padim, tmp_path: Path) -> None:
    path = export_onnx(small_model, tmp_path / "scorer.onnx")
    for side, folder in ((40, "a"), (60, "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(png(part(1, size=(side, side))))
    lines = on_a_line_pc("mask_onnx.py", path, tmp_path, tmp_path / "a" / "x.png", tmp_path / "b" / "x.png")
    assert [Image.open(line[2]).size for line in lines] == [(40, 40), (60, 60)]


# --- the bare numbers ---------------------------------------------------------------------------------------


def distances_of(folder: Path, name: str, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Distances ``(n, p)`` from the arrays and the network alone."""
    with np.load(folder / name) as file:
        params = {key: file[key] for key in file.files}
    session = ort.InferenceSession(
        str(folder / str(params["backbone_onnx"])), providers=["CPUExecutionProvider"]
    )
    image = rgb * params["pixel_scale"] + params["pixel_offset"]
    maps = session.run(
        [str(layer) for layer in params["layer_names"]],
        {"image": image.transpose(0, 3, 1, 2).astype(np.float32)},
    )
    grid, stride = int(params["grid"]), int(params["grid_stride"])
    on_grid = []
    for layer, own in zip(maps, params["layer_strides"].tolist(), strict=True):
        if own < stride:
            k = stride // own
            layer = layer.reshape(*layer.shape[:2], grid, k, grid, k).mean((3, 5))
        for axis in (2, 3) if own > stride else ():
            place = np.clip((np.arange(grid) + 0.5) * stride / own - 0.5, 0, layer.shape[axis] - 1)
            low = np.floor(place).astype(int)
            high = np.minimum(low + 1, layer.shape[axis] - 1)
            shape = [1] * 4
            shape[axis] = grid
            share = (place - low).reshape(shape)
            layer = layer.take(low, axis) * (1 - share) + layer.take(high, axis) * share
        if str(params["feature_norm"]) == "l2":
            length = np.linalg.norm(layer, axis=1, keepdims=True)
            layer = layer * np.sqrt(layer.shape[1]) / np.maximum(length, 1e-6)
        on_grid.append(layer)
    joined = np.concatenate(on_grid, axis=1)[:, params["channel_indices"]]
    delta = joined.reshape(*joined.shape[:2], -1).transpose(0, 2, 1) - params["mean"]
    inverse = params["inv_covariance"].astype(np.float64)
    return np.asarray(np.sqrt(np.einsum("npi,pij,npj->np", delta, inverse, delta)))


@pytest.mark.parametrize(("count", "feature_norm"), [(7, "l2"), (22, "l2"), (22, "none")])
def test_the_arrays_give_the_models_distances(
    count: int, feature_norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_BLOCK_BYTES", 8 * 4 * 20 * 20 * 5)  # 64 positions, 5 at a time
    model = fitted(count, grid_stride=8, feature_norm=feature_norm).set_roi(region_of_interest())
    path = export_npz(model, tmp_path / "padim_params.npz")
    assert {file.name for file in tmp_path.iterdir()} == {"padim_params.npz", "padim_params_backbone.onnx"}
    rgb = np.stack([model.network.preprocess(decode(c, n)) for n, c in IMAGES if isinstance(c, bytes)])
    grids, _ = model.state.scorer(rgb)
    found = distances_of(tmp_path, path.name, rgb)
    np.testing.assert_allclose(found, grids.reshape(len(rgb), -1), rtol=1e-3)
    with np.load(path) as params:
        assert params["mean"].shape == (64, 20)
        assert (params["format_version"], params["feature_norm"]) == (2, feature_norm)
        assert params["inv_covariance"].dtype == params["mean"].dtype == np.float32
        assert params["inv_covariance"].shape == (64, 20, 20)
        assert float(params["threshold"]) == model.state.fitted.quantizer.to_value(model.threshold_level)
        assert int(params["min_area"]) == 8
        np.testing.assert_array_equal(params["roi"], region_of_interest())
    assert path.stat().st_size == pytest.approx(inverse_covariance_bytes(model), rel=0.25)


def test_too_large_arrays_are_refused_by_size(
    small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_NPZ_BYTES", 100_000)
    with pytest.raises(PadimError, match="take 108 kB, over the limit of 100 kB"):
        export_npz(small_model, tmp_path / "padim_params.npz")
    assert not list(tmp_path.iterdir())
    export_npz(small_model, tmp_path / "padim_params.npz", force=True)
