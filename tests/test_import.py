"""What importing and scoring load: the app must start fast, and a line PC need not have torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import defects

ROOT = Path(__file__).parents[1]


def run(code: str, **environment: str) -> str:
    """Standard output of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_alone_loads_nothing_heavy() -> None:
    code = """
import sys, padim
heavy = {"torch", "streamlit", "onnxruntime", "cv2", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert padim.__all__ == sorted(padim.__all__)
padim.PadimError
assert "onnxruntime" not in sys.modules
"""
    run(code)


@pytest.mark.slow
def test_every_engine_module_loads_without_torch_and_streamlit() -> None:
    code = """
import importlib, pkgutil, sys, padim
for module in pkgutil.walk_packages(padim.__path__, "padim."):
    importlib.import_module(module.name)
for name in padim.__all__:
    assert getattr(padim, name).__name__
heavy = {"torch", "torchvision", "streamlit"} & set(sys.modules)
assert not heavy, heavy
assert "padim.model" in sys.modules
"""
    run(code)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import padim

    with pytest.raises(AttributeError, match="Padimm"):
        padim.Padimm  # noqa: B018


@pytest.mark.slow
def test_a_saved_model_scores_without_torch_and_without_a_cache(saved_model: Path, tmp_path: Path) -> None:
    name, content = defects(1)[0]
    assert isinstance(content, bytes)
    image = tmp_path / name
    image.write_bytes(content)
    # A finder that refuses torch is stricter than looking for it afterwards: a guarded import shows too.
    code = f"""
import sys
from pathlib import Path

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "efficientnet_lite_pytorch"):
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, NoTorch())
from padim import Padim
model = Padim.load({str(saved_model)!r})
image = Path({str(image)!r})
(scored,) = model.predict([(image.name, image.read_bytes())])
print(scored.score_level, model.decide(scored).rejected)
"""
    cache = tmp_path / "empty"
    score, rejected = run(code, PADIM_CACHE=str(cache)).split()
    assert int(score) > 0
    assert rejected == "True"
    assert not cache.exists()
