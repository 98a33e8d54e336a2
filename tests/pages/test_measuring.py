"""Common behavior of pages that measure a model on images: missing input, outdated results, stopping."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from padim import Padim, PadimConfig, Workspace
from tests.pages.session import AddModel, Session
from tests.parts import normals

NEW = [(name, data) for name, data in normals(3, first=100) if isinstance(data, bytes)]


@dataclass(frozen=True)
class Page:
    """One of these pages.

    Attributes:
        name: name of the page.
        engine: the module that measures.
        few: choices that take little time, by key.
    """

    name: str
    engine: str
    few: dict[str, list[Any]]

    def opened(self, add_model: AddModel) -> tuple[Session, str]:
        """Return the page with images and few settings chosen, ready to start."""
        entry = add_model("Parts")
        page = Session(self.name, model=entry.id).upload(NEW)
        for key, chosen in self.few.items():
            page.set("button_group", f"{self.name}-{key}", chosen)
        return page, entry.id


@pytest.fixture(params=["robustness", "sensitivity"])
def kind(request: pytest.FixtureRequest) -> Page:
    return {
        "robustness": Page("robustness", "padim.analysis.robustness", {"kinds": ["darker"]}),
        "sensitivity": Page(
            "sensitivity", "padim.analysis.sensitivity", {"sizes-64": [4.0, 16.0], "contrasts": [0.1, 0.4]}
        ),
    }[request.param]


def test_without_a_model_it_says_where_to_get_one(kind: Page) -> None:
    assert "No model in use" in Session(kind.name).text


def test_without_a_threshold_nothing_is_rejected(
    kind: Page, add_model: AddModel, small_config: PadimConfig, tmp_path: Path
) -> None:
    few = Padim(small_config, work_dir=tmp_path / "few").fit(normals(2))
    page = Session(kind.name, model=add_model("Few", few).id)
    assert "No threshold yet" in page.text
    assert not page.app.file_uploader


@pytest.mark.slow
def test_a_changed_model_shows_nothing_of_the_former(kind: Page, add_model: AddModel, home: Path) -> None:
    page, model_id = kind.opened(add_model)
    page.click(f"{kind.name}-start")
    assert page.app.get("plotly_chart")
    Workspace(home).open(model_id).exclude(0, "not_good").save(Workspace(home).get(model_id).path)
    page.run()
    assert "The model has changed since" in page.text
    assert not page.app.get("plotly_chart")
    assert page.app.button(key=f"{kind.name}-start")


def test_a_cancelled_run_says_so_and_keeps_the_images(
    kind: Page, add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = import_module(kind.engine).measure

    def at_once(*arguments: Any, cancel: Any, **options: Any) -> Any:
        assert not cancel()
        return measure(*arguments, cancel=lambda: True, **options)

    page, _ = kind.opened(add_model)
    monkeypatch.setattr(f"{kind.engine}.measure", at_once)
    page.click(f"{kind.name}-start")
    assert "Stopped." in page.text
    assert page.app.button(key=f"{kind.name}-start")
    assert not page.app.file_uploader


def test_an_upload_without_images_is_one_sentence(kind: Page, add_model: AddModel) -> None:
    page = Session(kind.name, model=add_model("Parts").id).upload([("bad.zip", b"no zip")])
    assert "holds no images" in page.app.error[0].value
    assert len(page.app.error) == 1
