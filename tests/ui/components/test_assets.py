"""The components' asset folder, registered with the server that runs."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

from ui.components import assets, roi, viewer

PAGE = """
from ui.components import roi, viewer
viewer.component()
roi.component()
"""


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> BidiComponentManager:
    """The manager of a server that has just started."""
    found = BidiComponentManager()
    for module in ("streamlit.components.v2", "streamlit.components.v2.get_bidi_component_manager"):
        monkeypatch.setattr(sys.modules[module], "get_bidi_component_manager", lambda: found)
    return found


def keys(manager: BidiComponentManager) -> set[str]:
    return set(manager._registry._components)


def test_both_components_have_one_folder_and_one_digest(manager: BidiComponentManager) -> None:
    viewer.component()
    roi.component()
    one, other = sorted(keys(manager))
    assert one.removesuffix(".region") == other.removesuffix(".viewer")
    assert one.startswith("padim-")
    for key, entry in ((one, "region/region.js"), (other, "viewer/viewer.js")):
        folder = manager.get_component_path(key)
        assert folder is not None
        assert Path(folder) == assets.FOLDER / "modules"
        definition = manager.get(key)
        assert definition is not None
        assert definition.js_url == entry
        assert definition.html
        assert definition.css_content


def test_a_server_that_has_just_started_knows_the_folder_after_one_mount() -> None:
    """Every test of a page is such a server."""
    for _ in range(2):
        assert not AppTest.from_string(PAGE).run(timeout=30).exception


def test_sessions_that_mount_at_once_all_find_the_component(manager: BidiComponentManager) -> None:
    """To register the folder anew would take the component away from a session that is about to mount it."""
    missing: list[str] = []

    def mount(_: int) -> None:
        viewer.component()
        (key,) = keys(manager)
        definition = manager.get(key)
        if definition is None or definition.is_placeholder:
            missing.append(key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(mount, range(200)))
    assert missing == []


def test_a_changed_file_is_another_component(
    manager: BidiComponentManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "components"
    shutil.copytree(assets.FOLDER, copy)
    monkeypatch.setattr(assets, "FOLDER", copy)
    seen: set[str] = set()
    for name in ("modules/dom.js", "modules/viewer/words.js", "viewer/viewer.css", "roi/region.html"):
        viewer.component()
        assert len(keys(manager)) == len(seen) + 1
        seen = keys(manager)
        file = copy / name
        file.write_text(file.read_text("utf-8") + "\n", "utf-8")
    viewer.component()
    now = keys(manager)
    viewer.component()
    assert keys(manager) == now, "the same files are the same component"


def test_another_streamlit_is_named(manager: BidiComponentManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the call that is not public is gone, that is said: the page is not just empty."""
    monkeypatch.delattr(BidiComponentManager, "register_from_manifest")
    with pytest.raises(RuntimeError, match="does not register a component's asset folder"):
        viewer.component()
