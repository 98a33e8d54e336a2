"""The example in C++ is compiled, and gives the levels and verdicts of the application."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from padim import Padim, PadimConfig
from padim.decision.guard_band import Guard
from padim.output.export import export_onnx
from tests.parts import RGB, normals, part

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or shutil.which("make") is None, reason="needs g++ and make"
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cpp"
SAMPLE = ROOT / "sample_data" / "flange"
SMALL = PadimConfig(input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled by its own Makefile against the library of the installed onnxruntime."""
    out = tmp_path_factory.mktemp("compiled")
    command = ["make", "-s", "-C", str(EXAMPLE), f"OUT={out}", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "inspect"


def run(program: Path, *arguments: Path) -> tuple[int, list[list[str]], str]:
    """Return the exit code, the lines cut at tabs, and what is said on standard error."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300)
    return done.returncode, [line.split("\t") for line in done.stdout.splitlines()], done.stderr


def ppm(folder: Path, name: str, rgb: RGB) -> Path:
    path = folder / f"{name}.ppm"
    Image.fromarray(rgb).save(path)
    return path


def guarded() -> Padim:
    model = Padim(SMALL).fit(normals(22))
    return model.set_guard(Guard(400 * model.state.fitted.quantizer.step, 1.0, 4, 5, 1))


MODELS: dict[str, tuple[Callable[[], Padim], dict[str, str]]] = {
    "stretched": (lambda: Padim(SMALL).fit(normals(22)), {}),
    "padded, a tall input": (
        lambda: Padim(SMALL.model_copy(update={"fit": "pad", "input_size": (96, 64)})).fit(normals(22)),
        {},
    ),
    "guard band, floats": (guarded, {"output_type": "float32"}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_levels_and_verdicts_of_every_kind_of_model(kind: str, program: Path, tmp_path: Path) -> None:
    make, options = MODELS[kind]
    model = make()
    path = export_onnx(model, tmp_path / "model.onnx", **options)  # type: ignore[arg-type]
    # Larger, smaller, wider and taller than the model's input, and of its own width.
    shapes = [(96, 96), (70, 150), (150, 100), (40, 33), (64, 80), (97, 64)]
    pixels = [part(700 + i, size=shape, defect=i % 2 == 1) for i, shape in enumerate(shapes * 2)]
    files = [ppm(tmp_path, str(index), rgb) for index, rgb in enumerate(pixels)]
    code, lines, _ = run(program, path, *files)
    assert code == 0
    verdicts = set()
    for line, expected in zip(lines, model.predict(list(files)), strict=True):
        assert abs(int(line[2]) - expected.score_level) <= 1, line
        assert float(line[1]) == pytest.approx(expected.score, abs=2 * model.state.fitted.quantizer.step)
        assert line[3] == expected.verdict, line
        verdicts.add(line[3])
    assert len(verdicts) > 1


@pytest.mark.slow
def test_no_verdict_of_the_sample_is_another(program: Path, tmp_path: Path) -> None:
    model = Padim(PadimConfig(input_size=96, grid_stride=8, n_features=30, min_area=4))
    model.fit(SAMPLE / "train" / "good")
    path = export_onnx(model, tmp_path / "flange.onnx")
    images = [*sorted((SAMPLE / "train" / "good").iterdir()), *sorted((SAMPLE / "test").rglob("*.jpg"))]
    assert len(images) == 98
    files = []
    for index, image in enumerate(images):
        with Image.open(image) as opened:
            files.append(ppm(tmp_path, str(index), np.asarray(opened.convert("RGB"))))
    code, lines, _ = run(program, path, *files)
    assert code == 0
    verdicts = []
    for line, expected in zip(lines, model.predict(list(images)), strict=True):
        assert abs(int(line[2]) - expected.score_level) <= 1, line
        assert line[3] == expected.verdict, line
        verdicts.append(line[3])
    assert min(verdicts.count("accept"), verdicts.count("reject")) > 10


def test_files_that_cannot_be_used_cost_only_themselves(
    program: Path, small_model: Padim, tmp_path: Path
) -> None:
    path = export_onnx(small_model, tmp_path / "model.onnx")
    good = ppm(tmp_path, "good", part(1))
    gray = tmp_path / "gray.pgm"
    Image.fromarray(part(1)).convert("L").save(gray)
    whole = good.read_bytes()
    bad = {
        "missing.ppm": (None, "cannot be read"),
        "cut.ppm": (whole[:-1], "is cut short"),
        "header.ppm": (b"P6\n96", "makes no sense"),
        "empty.ppm": (b"", "no binary PPM"),
        "part.png": (bytes(normals(1)[0][1]), "no binary PPM"),
        "two.ppm": (whole + whole, "several images"),
        "deep.pgm": (b"P5 2 2 4095\n" + bytes(8), "not of 8 bits"),
        "huge.ppm": (b"P6 99999 99999 255\n", "makes no sense"),
    }
    for name, (content, _) in bad.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    commented = tmp_path / "commented.ppm"
    commented.write_bytes(b"P6 # a camera\n# two lines\n96 96\n255\n" + whole[-96 * 96 * 3 :])
    code, lines, errors = run(program, path, good, *(tmp_path / name for name in bad), gray, commented)
    assert code == 2
    assert errors == f"{len(bad)} of {len(bad) + 3} files could not be used\n"
    assert lines[0][3] in ("accept", "reject")
    assert lines[-1][1:] == lines[0][1:]
    assert lines[-2][3] in ("accept", "reject")
    for line, (_, reason) in zip(lines[1:-2], bad.values(), strict=True):
        assert line[1:4] == ["nan", "", "unreadable"]
        assert reason in line[4], line


def test_models_that_cannot_be_used_are_refused(program: Path, small_model: Padim, tmp_path: Path) -> None:
    path = export_onnx(small_model, tmp_path / "model.onnx")
    image = ppm(tmp_path, "bad", np.frombuffer(bytes(96 * 96 * 3), np.uint8).reshape(96, 96, 3))
    assert run(program, path, image)[0] == 0
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    altered, cut = tmp_path / "altered.onnx", tmp_path / "cut.onnx"
    altered.write_bytes(content)
    cut.write_bytes(content[:-10])
    absent = tmp_path / "no.onnx"
    for file, reason in ((altered, "was altered"), (cut, "truncated"), (absent, "cannot be read")):
        code, lines, errors = run(program, file, image)
        assert (code, lines) == (1, [])
        assert reason in errors
        assert str(file) in errors
    assert run(program)[0] == 1
