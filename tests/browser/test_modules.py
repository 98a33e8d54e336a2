"""The components' ES modules as a browser loads them.

The folder they come from is registered with Streamlit by a call that is not public (see
``ui/components/assets.py``): where a release of Streamlit changes it, these tests fail first, and say so.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from benchmarks import served
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.live import Live
from tests.browser.looking import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Response

_URL = re.compile(r"/_stcore/bidi-components/padim-([0-9a-f]{16})\.(desk|marks|region|viewer)/([\w./]+\.js)$")
_MODULES = served.ROOT / "ui" / "components" / "modules"


class Loaded:
    """The modules that a page has asked the server for."""

    def __init__(self, visitor: Visitor) -> None:
        self.answers: list[Response] = []
        visitor.page.on("response", self._take)

    def _take(self, response: Response) -> None:
        if "/bidi-components/" in response.url:
            self.answers.append(response)

    def files(self, component: str, base: str = "") -> dict[str, str]:
        """By file, the digest in its URL.

        Raises:
            AssertionError: a module came from elsewhere, twice, or not at all.
        """
        found = {}
        for answer in self.answers:
            path = urlsplit(answer.url).path
            match = _URL.search(path)
            assert match is not None, (
                f"{path}: Streamlit serves components' files under other URLs than the releases known to "
                "this application do; see ui/components/assets.py"
            )
            assert path.startswith(f"{base}/_stcore/")
            assert answer.status == 200, path
            assert "javascript" in answer.headers["content-type"]
            digest, name, file = match.groups()
            if name == component:
                assert file not in found, f"{file} was loaded twice"
                found[file] = digest
        return found


def expected(component: str) -> set[str]:
    """The modules that a component is made of, but for those with types alone."""
    files = {*(_MODULES / component).glob("*.js"), _MODULES / "dom.js"}
    return {file.relative_to(_MODULES).as_posix() for file in files if file.name != "message.js"}


@pytest.fixture(scope="module")
def server(start: Start) -> served.Server:
    """The app."""
    return start()


def calibrating(visitor: Visitor, entry: Entry) -> None:
    visitor.open(f"/calibrate?model={entry.id}")
    visitor.see_heading("Calibrate")
    Live(visitor).ready()


def test_every_module_is_loaded_once_with_one_digest_in_its_url(
    server: served.Server, visit: Visit, small_entry: Entry
) -> None:
    visitor = visit(server)
    loaded = Loaded(visitor)
    calibrating(visitor, small_entry)
    viewer = loaded.files("viewer")
    assert set(viewer) == expected("viewer"), (
        "the viewer's modules were not loaded from the folder that the app registers with Streamlit; see "
        "ui/components/assets.py"
    )
    visitor.go("Fit").open_tab("Region")
    visitor.page.locator(".stage svg[viewBox]").wait_for()
    region = loaded.files("region")
    assert set(region) == expected("region")
    assert len({*viewer.values(), *region.values()}) == 1
    # Mounted again, and again in another session: nothing new.
    asked = len(loaded.answers)
    visitor.go("Inspect")
    visitor.go("Calibrate")
    Live(visitor).ready()
    assert len(loaded.answers) == asked
    other = visit(server)
    others = Loaded(other)
    calibrating(other, small_entry)
    assert others.files("viewer") == viewer


def test_below_a_base_path(visit: Visit, small_entry: Entry, home: Path, tmp_path: Path) -> None:
    """As behind a proxy that hands a part of its paths on."""
    base = "/plant/one"
    command = (*served.APP, f"--server.baseUrlPath={base}")
    log = tmp_path / "server.log"
    with served.serving(command, log=log, environment={"PADIM_HOME": str(home)}, base=base) as server:
        visitor = visit(server)
        loaded = Loaded(visitor)
        calibrating(visitor, small_entry)
        assert set(loaded.files("viewer", base)) == expected("viewer")


def test_nothing_but_modules_is_served(server: served.Server, visit: Visit, small_entry: Entry) -> None:
    visitor = visit(server)
    loaded = Loaded(visitor)
    calibrating(visitor, small_entry)
    folder = loaded.answers[0].url.rpartition("/viewer/")[0]
    for path in ("../assets.py", "%2e%2e/assets.py", "viewer", "viewer/", "../jsconfig.json"):
        assert visitor.page.request.get(f"{folder}/{path}").status in (400, 404), path
    of_nobody = re.sub(r"padim-\w+", "padim-0123456789abcdef", folder)
    assert visitor.page.request.get(f"{of_nobody}/viewer/viewer.js").status == 404


def test_changed_files_have_other_urls(
    start: Start, visit: Visit, small_entry: Entry, tmp_path: Path
) -> None:
    """A page opened after a file was changed loads all of them anew, whatever the browser has kept."""
    names = ("app.py", "home.py", "pages", "ui", "padim", ".streamlit", "sample_data")
    for name in names:
        (tmp_path / name).symlink_to(served.ROOT / name)
    (tmp_path / "ui").unlink()
    shutil.copytree(served.ROOT / "ui", tmp_path / "ui", ignore=shutil.ignore_patterns("__pycache__"))
    command = (sys.executable, "-m", "streamlit", "run", str(tmp_path / "app.py"))
    visitor = visit(start(command=command, PYTHONPATH=str(tmp_path)))
    loaded = Loaded(visitor)
    calibrating(visitor, small_entry)
    before = loaded.files("viewer")
    words = tmp_path / "ui" / "components" / "modules" / "viewer" / "words.js"
    words.write_text(words.read_text("utf-8").replace("Expected false rejects", "Expected waste"), "utf-8")
    loaded.answers.clear()
    visitor.page.reload()
    Live(visitor).ready()
    visitor.main.locator(".promise").get_by_text("Expected waste").wait_for()
    after = loaded.files("viewer")
    assert set(after) == set(before)
    assert {*after.values()}.isdisjoint(before.values())
