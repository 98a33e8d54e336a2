"""The pages without PyTorch: choices that need it are marked, with one sentence on how to install it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.pages.session import Session
from tests.parts import normals

INSTALL = r'pip install "padim-inspection\[torch\]"'
GOOD = [(name, content) for name, content in normals(3) if isinstance(content, bytes)]


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    absent = ("torch", "torchvision", "efficientnet_lite_pytorch")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest)
    )


def errors_shown(page: Session) -> str:
    return page.text


def can_start(page: Session) -> bool:
    return not next(button for button in page.app.button if button.key == "fit-go").disabled


def test_the_fit_page_offers_what_works_and_marks_what_does_not(home: Path) -> None:
    page = Session("fit").upload(GOOD)
    assert can_start(page)
    assert not page.app.error
    options = {box.key: box.options for box in page.app.selectbox}
    assert {"PaDiM", "PatchCore", "Deep SVDD (needs PyTorch)"} <= set(options["fit-method"])
    assert {"EfficientNet-Lite0", "ResNet-18 (needs PyTorch)"} <= set(options["fit-backbone"])
    page.set("selectbox", "fit-method", "svdd")
    assert "This choice of method needs PyTorch" in errors_shown(page)
    assert not can_start(page)
    page.set("selectbox", "fit-method", "padim").set("selectbox", "fit-backbone", "resnet18")
    assert "The network resnet18 needs PyTorch" in errors_shown(page)
    assert not can_start(page)


def test_a_comparison_with_a_method_that_trains_is_refused() -> None:
    from padim.errors import MissingExtraError
    from padim.study.combinations import Combinations

    wanted = Combinations(("padim", "stfpm"), ("efficientnet_lite0",), ("standard",), (256,))
    with pytest.raises(MissingExtraError, match=INSTALL):
        wanted.variants()
