"""A model that locates the part, exported as a folder and used as a line PC would: without padim in reach."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from padim import Padim, PadimError
from padim.data.decode import decode
from padim.decision.guard_band import Guard
from padim.locating.frame import rotation
from padim.output.aligned_export import export_folder
from padim.output.export import NEEDS_A_FOLDER, export_onnx
from padim.output.part_finder import PACKAGE, SCRIPT, part_finder
from tests.parts import part, png

RGB = npt.NDArray[np.uint8]
SIZE = (150, 200)
METHODS: dict[str, dict[str, Any]] = {
    "outline": {"method": "outline"},
    "template": {"method": "template", "marks": [(56, 57, 34, 30), (100, 69, 36, 36)]},
    "features": {"method": "features"},
}

# Run in a fresh interpreter: what a line PC does not have is refused.
_LINE_PC = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        refused = {"padim", "torch", "torchvision", "PIL", "onnx", "scipy", "pydantic", "skimage", "yaml"}
        if name.split(".")[0] in refused:
            raise ModuleNotFoundError(f"a line PC has no {name}")
sys.meta_path.insert(0, Refuse())
script = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, script.rsplit("/", 1)[0].rsplit(chr(92), 1)[0])
runpy.run_path(script, run_name="__main__")
"""


def placed(seed: int, dx: float = 0, dy: float = 0, turn: float = 0, *, defect: bool = False) -> RGB:
    """A textured plate before a dark background, shifted and turned (degrees counterclockwise)."""
    plate = part(seed, size=(80, 116), variety=0.3)
    plate[:22, :30] = 25  # one corner is missing, so that its ends differ
    cv2.circle(plate, (76, 52), 10, (250, 240, 90), -1)
    cv2.rectangle(plate, (22, 30), (40, 44), (40, 60, 210), -1)
    if defect:
        cv2.circle(plate, (60, 25), 6, (5, 5, 5), -1)
    linear = rotation(turn)
    shift = np.array([SIZE[1] / 2 + dx, SIZE[0] / 2 + dy]) - linear @ (58, 40)
    matrix = np.column_stack([linear, shift])
    image = cv2.warpAffine(plate, matrix, SIZE[::-1], flags=cv2.INTER_AREA, borderValue=(25, 25, 25))
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def anywhere(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(first)
    images = [("good_000.png", png(placed(first)))]
    for i in range(1, count):
        pose = (*rng.uniform(-9, 9, 2), rng.uniform(-9, 9))
        images.append((f"good_{i:03}.png", png(placed(first + i, *pose))))
    return images


@pytest.fixture(scope="module", params=list(METHODS))
def model(request: pytest.FixtureRequest) -> Padim:
    settings: dict[str, Any] = {"input_size": (64, 96), "n_features": 20, "smoothing_sigma": 1, "min_area": 4}
    model = Padim(align={**METHODS[request.param], "max_shift": 12}, **settings).fit(anywhere(14))
    return model.set_decision(percentile=80)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good, defective, displaced and lost parts, as PNG, JPEG, and turned by EXIF."""
    folder = tmp_path_factory.mktemp("parts")
    shown = {
        "good": placed(60, 3, -4, 5),
        "good_too": placed(61, -5, 2, -7),
        "defect": placed(62, 4, 5, 6, defect=True),
        "displaced": placed(63, 19, -2, 3),
        "far": placed(64, 45, 0, 0),
        "half_outside": placed(65, 75, 30, 0),
        "blank": np.full((*SIZE, 3), 25, np.uint8),
        "other_shape": placed(66)[:, :140],
        "larger": cv2.resize(placed(67, 4, -3, 8, defect=True), None, fx=2.4, fy=2.4),
    }
    paths = []
    for name, rgb in shown.items():
        paths.append(folder / f"{name}.png")
        paths[-1].write_bytes(png(rgb))
    Image.fromarray(placed(68, -3, 6, 4, defect=True)).save(folder / "jpeg.jpg", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = np.ascontiguousarray(placed(69, 2, 2, 2)[::-1, ::-1])
    Image.fromarray(turned).save(folder / "turned.jpg", quality=95, exif=exif)
    return [*paths, folder / "jpeg.jpg", folder / "turned.jpg"]


def run(folder: Path, masks: Path, *images: Path, code: int = 0) -> list[dict[str, Any]]:
    masks.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _LINE_PC, str(folder / SCRIPT), "--json", str(masks), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_script_gives_padims_verdict_reasons_and_mask(
    model: Padim, images: list[Path], tmp_path: Path
) -> None:
    # A band in which some scores are, so that every verdict occurs.
    model.set_guard(Guard(0.3, 1.0, 4, 5, 1))
    folder = model.export(tmp_path / "scorer")
    lines = run(folder, tmp_path / "masks", *images)
    expected = list(model.predict(images))
    assert [line["name"] for line in lines] == [str(path) for path in images]
    for line, prediction in zip(lines, expected, strict=True):
        name = Path(line["name"]).name
        assert line["verdict"] == prediction.verdict, name
        assert tuple(line["reasons"]) == prediction.reasons, name
        assert line["score"] == float(f"{prediction.score:.6g}"), name
        mask = np.asarray(Image.open(line["mask"]))
        assert mask.shape == prediction.original_size
        assert ((mask > 0) == prediction.mask).all(), name
        placement = prediction.placement
        assert line["placement"] == (None if placement is None else placement.to_json())
    assert {"accept", "reject"} <= {line["verdict"] for line in lines}
    assert any(prediction.lost for prediction in expected)
    assert any(prediction.mask.any() for prediction in expected)


def test_files_that_cannot_be_used_are_named(model: Padim, images: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((images[-2]).read_bytes()[:2000])
    text = tmp_path / "text.png"
    text.write_bytes(b"no image")
    clear = tmp_path / "clear.png"
    Image.fromarray(placed(1)).convert("RGBA").save(clear)
    folder = model.export(tmp_path / "scorer")
    lines = run(folder, tmp_path / "masks", cut, text, images[0], clear, tmp_path / "none.png", code=2)
    assert [line["verdict"] == "unreadable" for line in lines] == [True, True, False, True, True]
    assert "cut short" in lines[0]["reasons"][0]


def test_an_altered_folder_is_refused(model: Padim, images: list[Path], tmp_path: Path) -> None:
    folder = model.export(tmp_path / "scorer")
    with (folder / "reference.png").open("ab") as file:
        file.write(b"\0")
    assert run(folder, tmp_path / "masks", images[0], code=1) == []


def test_the_single_file_is_refused_with_the_reason(model: Padim, tmp_path: Path) -> None:
    for write in (lambda: model.export(tmp_path / "a.onnx"), lambda: export_onnx(model, tmp_path / "a.onnx")):
        with pytest.raises(PadimError, match=r"a\.onnx: this model locates the part .* as a folder"):
            write()
    assert "folder" in NEEDS_A_FOLDER
    assert not list(tmp_path.iterdir())


def test_only_an_earlier_export_is_replaced_and_only_on_request(model: Padim, tmp_path: Path) -> None:
    folder = model.export(tmp_path / "scorer")
    (folder / "more.txt").write_text("mine")
    with pytest.raises(PadimError, match="is there already"):
        model.export(folder)
    model.export(folder, force=True)
    assert not (folder / "more.txt").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(PadimError, match="no exported model"):
        model.export(tmp_path / "other", force=True)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_the_levels_can_be_float32(model: Padim, images: list[Path], tmp_path: Path) -> None:
    folder = model.export(tmp_path / "scorer", output_type="float32")
    lines = run(folder, tmp_path / "masks", images[2])
    (prediction,) = model.predict([images[2]])
    assert lines[0]["verdict"] == prediction.verdict
    assert ((np.asarray(Image.open(lines[0]["mask"])) > 0) == prediction.mask).all()


def test_bare_arrays_say_in_which_frame_they_are(model: Padim, tmp_path: Path) -> None:
    with np.load(model.export(tmp_path / "a.npz")) as arrays:
        document = json.loads(str(arrays["align"]))
    assert document["align"]["method"] == model.config.align.method  # type: ignore[union-attr]
    assert document["frame"] == model.state.fitted.reference.locator.frame.to_json()  # type: ignore[union-attr]


def test_a_model_that_does_not_locate_has_no_folder(small_model: Padim, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither \.onnx nor \.npz"):
        small_model.export(tmp_path / "scorer")
    with pytest.raises(PadimError, match="does not locate the part"):
        export_folder(small_model, tmp_path / "scorer")


def imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("method", list(METHODS))
def test_the_copied_modules_need_numpy_and_opencv_only(method: str) -> None:
    files = part_finder(method)
    assert f"{PACKAGE}/locating/{method}.py" in files
    for name, text in files.items():
        for module in imported(text):
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or top in {"numpy", "cv2", "onnxruntime", PACKAGE}, name
            if top == PACKAGE and module != PACKAGE:
                path = module.replace(".", "/")
                assert f"{path}.py" in files or f"{path}/__init__.py" in files, (name, module)


def test_opencv_decodes_as_padim_does(images: list[Path]) -> None:
    """The script reads files with OpenCV, padim with Pillow: the pixels are the same."""
    for path in images:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        read = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert read is not None
        assert (read[..., ::-1] == decode(path.read_bytes(), path.name)).all(), path.name
