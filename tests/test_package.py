"""The package as a user gets it: the wheel in a new environment away from the checkout, and without PyTorch.

One environment serves all proofs of the way without PyTorch: command line, Python and the web application.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.served import free_port
from padim._version import __version__
from padim.records.schema import HEAD

ROOT = Path(__file__).resolve().parents[1]
INSTALL_TORCH = 'pip install "padim-inspection[torch]"'
# A model of the sample in a second.
SMALL = ("--input-size", "64", "--n-features", "20", "--smoothing", "2", "--min-area", "8")
package = pytest.mark.package


# -- what is declared ------------------------------------------------------------------------------------


def declared() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def test_requirements_are_those_of_the_package_with_the_application_and_pytorch() -> None:
    project = declared()
    extras = project["optional-dependencies"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line.strip() and not line.startswith("#")]
    parts = [extras[name] for name in ("app", "torch", "service", "sinks")]
    assert sorted(listed) == sorted({*project["dependencies"], *(one for part in parts for one in part)})
    assert extras["all"] == [f"{project['name']}[app,torch,service,sinks]"]


def test_every_package_that_the_engine_imports_is_declared() -> None:
    """Top-level imports of the source against the names that the declared packages bring.

    What extras bring is imported by the files of service and sinks only, which are loaded when they are used.
    """
    extras = declared()["optional-dependencies"]
    always = brought(declared()["dependencies"]) | {"padim", *sys.stdlib_module_names}
    with_extras = always | brought([*extras["service"], *extras["sinks"]])
    missing = {
        (module, path.name)
        for path in (ROOT / "padim").rglob("*.py")
        if path.parent.name != "line_script"  # copied into exported folders, with the package it imports
        for module in imported_at_once(path)
        if module.lower() not in (with_extras if "service" in path.parts else always)
    }
    assert missing == set()


def brought(entries: list[str]) -> set[str]:
    """Return the names of modules, in lower case, that packages bring."""
    brings = {
        "opencv-python-headless": ["cv2"],
        "scikit-learn": ["sklearn"],
        "pillow": ["pil"],
        "PyYAML": ["yaml"],
        "paho-mqtt": ["paho"],
        "fastapi": ["fastapi", "starlette"],
    }
    names = [re.split(r"[<>=\[]", entry)[0] for entry in entries]
    return {module for name in names for module in brings.get(name, [name.lower().replace("-", "_")])}


def imported_at_once(path: Path) -> Iterator[str]:
    """Top-level packages that a module imports as soon as it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


# -- the wheel, and an environment with nothing else -----------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it.

    Attributes:
        folder: where commands run; nothing of the checkout is there.
        scripts: of its executables.
    """

    folder: Path
    scripts: Path

    @property
    def variables(self) -> dict[str, str]:
        """A user's, without settings of this program and without the checkout on the path."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PADIM_", "PYTHON"))}
        home = str(self.folder / "home")
        return {**kept, "HOME": home, "USERPROFILE": home, "XDG_DATA_HOME": f"{home}/data", "COLUMNS": "200"}

    def run(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of its executables to the end."""
        command = [str(self.scripts / name), *map(str, arguments)]
        return subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False
        )

    def python(self, code: str) -> str:
        """What a script prints; it must succeed."""
        done = self.run("python", "-W", "error::RuntimeWarning", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def padim(self, *arguments: str | Path) -> str:
        """What the console script prints; it must succeed."""
        done = self.run("padim", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *arguments: str | Path) -> str:
        """The one sentence with which the console script refuses."""
        done = self.run("padim", "-q", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


def pip(*arguments: str | Path, python: Path | str = sys.executable) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "-q", "--no-deps", "-w", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    environment = Environment(folder, folder / "env" / ("Scripts" if os.name == "nt" else "bin"))
    # Modules are compiled when they are first imported: most never are.
    pip("install", "-q", "--no-compile", f"{wheel}[app]", python=environment.scripts / "python")
    return environment


@pytest.fixture(scope="module")
def sample(installed: Environment) -> Path:
    """The sample's part, in the installed package."""
    code = "from padim.installation import application_folder as f; print(f() / 'sample_data' / 'flange')"
    return Path(installed.python(code).strip())


@pytest.fixture(scope="module")
def model(installed: Environment, sample: Path) -> Path:
    """Fitted on the sample from the command line."""
    path = installed.folder / "flange.padim"
    installed.padim("-q", "fit", sample / "train" / "good", "-o", path, *SMALL)
    return path


@package
def test_what_the_wheel_holds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = f"padim_inspection-{__version__}.dist-info"
        told = Parser().parsestr(archive.read(f"{about}/METADATA").decode())
    assert {name.partition("/")[0] for name in names} == {"padim", about}
    assert not [name for name in names if name.endswith(".pyc") or "/tests/" in name]
    migrations = sorted((ROOT / "padim" / "records" / "migrations").rglob("*.py"))
    assert migrations
    assert {path.relative_to(ROOT).as_posix() for path in migrations} <= set(names)
    inside = {"app.py", "home.py", "pages/fit.py", ".streamlit/config.toml", "ui/__init__.py"}
    sources = {f"padim/application/{name}" for name in inside}
    assert sources | {"padim/py.typed", "padim/network/exported/efficientnet_lite0.onnx"} <= set(names)
    # Every file of the application that is in the checkout.
    for folder in ("ui", "pages", "sample_data"):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert {f"padim/application/{path.relative_to(ROOT).as_posix()}" for path in files} <= set(names)
    assert {f"{about}/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= set(names)
    assert (told["Name"], told["Version"]) == ("padim-inspection", __version__)
    assert told["License-Expression"] == "Apache-2.0"
    extras = ["all", "app", "dev", "docs", "formats", "postgresql", "service", "sinks", "torch"]
    assert told.get_all("Provides-Extra") == extras
    assert wheel.stat().st_size < 20e6


@package
def test_pytorch_is_not_there_and_nothing_is_taken_from_the_checkout(installed: Environment) -> None:
    assert "No module named 'torch'" in installed.run("python", "-c", "import torch").stderr
    place = Path(installed.python("import padim; print(padim.__file__)").strip())
    assert place.is_relative_to(installed.folder)
    assert installed.padim("--version") == f"padim {__version__}\n"
    pip("check", python=installed.scripts / "python")


@package
def test_the_command_line_scores_exports_and_examines(
    installed: Environment, sample: Path, model: Path
) -> None:
    found = json.loads(installed.padim("score", model, sample / "test", "-o", "results", "--json"))
    assert found["counts"]["reject"] > 0
    installed.padim("-q", "export", model, "-o", "flange.onnx")
    assert json.loads(installed.padim("doctor", model, "flange.onnx", "--json"))["damaged"] == 0
    about = json.loads(installed.padim("info", model, "--json"))
    assert about["config"]["backbone"] == "efficientnet_lite0"


@package
def test_the_image_library_is_created_and_opened_by_the_installed_migrations(installed: Environment) -> None:
    code = """
from padim.records.library import ImageLibrary, NewImage
import pathlib
pathlib.Path("lib/models/flange").mkdir(parents=True)
ImageLibrary("lib", "flange").add([NewImage("a.png", b"an image", "defect", "dent")], "files")
(one,) = ImageLibrary("lib", "flange").images()
print(one.name, one.kind)
"""
    assert installed.python(code) == "a.png dent\n"
    with sqlite3.connect(installed.folder / "lib" / "records.sqlite") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


@package
def test_python_fits_by_every_method_that_trains_nothing(installed: Environment, sample: Path) -> None:
    code = f"""
from pathlib import Path
from padim import Padim, PadimConfig, open_source
small = dict(input_size=64, n_features=20, smoothing_sigma=2, min_area=8)
defects = sorted(Path({str(sample)!r}, "test", "hole").iterdir())
for settings in (
    dict(method="padim", position_tolerance=1),
    dict(method="shared"),
    dict(method="patchcore"),
    dict(method="ensemble", members=("padim", "patchcore")),
    dict(layers=("blocks.0", "blocks.7", "blocks.15")),
):
    model = Padim(PadimConfig(**small, **settings)).fit(open_source(Path({str(sample)!r}, "train", "good")))
    saved = Padim.load(model.save("api.padim"))
    scores = [one.score_level for one in saved.predict((path.name, path.read_bytes()) for path in defects)]
    print(len(scores), max(scores) > 0)
    __import__("shutil").rmtree("api.padim")
"""
    number = len(list((sample / "test" / "hole").iterdir()))
    assert installed.python(code).splitlines() == [f"{number} True"] * 5


@package
def test_what_needs_pytorch_says_in_one_sentence_what_to_install(
    installed: Environment, sample: Path, model: Path
) -> None:
    good = sample / "train" / "good"
    out = ("-o", installed.folder / "none.padim", *SMALL)
    told = {
        "Deep SVDD": installed.refusal("fit", good, *out, "--method", "svdd"),
        "STFPM": installed.refusal("fit", good, *out, "--method", "padim+stfpm"),
        "resnet18": installed.refusal("fit", good, *out, "--backbone", "resnet18"),
        "adapting": installed.refusal("adapt", good, "-o", installed.folder / "none.padim"),
    }
    for subject, sentence in told.items():
        assert subject in sentence
        assert sentence.endswith(f"needs PyTorch, which is not installed; run: {INSTALL_TORCH}")
    assert not list(installed.folder.glob("none*"))
    code = """
from padim import Padim, PadimConfig, PadimError
good = [("a.png", b"never read")]
for settings in (dict(method="flow"), dict(backbone="wide_resnet50_2"), dict(weights="random")):
    try:
        Padim(PadimConfig(**settings)).fit(good)
    except PadimError as error:
        print(error)
"""
    lines = installed.python(code).splitlines()
    assert [line.endswith(f"run: {INSTALL_TORCH}") for line in lines] == [True] * 3


# -- the application -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(installed: Environment) -> Iterator[str]:
    """``padim app``, started in a folder without any settings; its address."""
    port = free_port()
    log = installed.folder / "app.log"
    command = [str(installed.scripts / "padim"), "app", "--headless", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=installed.folder, env=installed.variables, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 240
        while fetched(f"http://127.0.0.1:{port}/_stcore/health")[0] != 200:
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8", errors="replace")
            time.sleep(0.05)  # between two looks, not instead of one
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(120)


def fetched(url: str, **headers: str) -> tuple[int, str]:
    """Status and text of an answer; 0 where nothing answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@package
def test_the_application_starts_with_its_own_settings(served: str, installed: Environment) -> None:
    status, page = fetched(f"{served}/")
    assert (status, '<div id="root">' in page) == (200, True)
    # .streamlit/config.toml sets the address, and only then are other names refused.
    assert fetched(f"{served}/", Host="elsewhere.example")[0] == 403
    assert (installed.folder / "app.log").read_text(encoding="utf-8").count("Traceback") == 0


@package
def test_every_page_of_the_installed_application_runs(installed: Environment, model: Path) -> None:
    code = """
import os, shutil, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
from padim.installation import application_folder, workspace_folder
from padim import Workspace
assert workspace_folder().is_relative_to(Path.home()), workspace_folder()
folder = application_folder()
sys.path.insert(0, str(folder))  # as Streamlit does
shutil.copytree("flange.padim", Workspace(workspace_folder()).create("flange").path, dirs_exist_ok=True)
(entry,) = Workspace(workspace_folder()).models()
app = AppTest.from_file(str(folder / "home.py"), default_timeout=240)
app.query_params["model"] = entry.id
app.run()
assert not app.exception, app.exception
assert "home-sample" in [button.key for button in app.button]
for page in sorted((folder / "pages").glob("*.py")):
    app.switch_page(f"pages/{page.name}").run()
    assert not app.exception, (page, app.exception)
    print(page.stem, flush=True)
os._exit(0)  # imports in the background need not come to their end
"""
    shown = installed.python(code).split()
    assert shown == sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
