"""Where application, sample and workspace lie, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from padim import installation

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the application in a package that comes from a wheel."""
    folder = tmp_path / "padim" / "application"
    folder.mkdir(parents=True)
    (folder / "app.py").touch()
    monkeypatch.setattr(installation, "_PACKAGE", folder.parent)
    monkeypatch.setattr(installation, "_INSTALLED", folder)
    return folder


def test_a_checkout_keeps_its_models_beside_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADIM_HOME", raising=False)
    assert not installation.is_installed()
    assert installation.application_folder() == ROOT
    assert installation.workspace_folder() == ROOT / "workspace"


def test_an_installed_package_keeps_them_in_the_users_data_folder(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PADIM_HOME", raising=False)
    assert installation.is_installed()
    assert installation.application_folder() == wheel
    assert installation.workspace_folder() == Path(platformdirs.user_data_dir("padim", appauthor=False))


def test_a_workspace_that_is_named_counts_in_both(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", f" {tmp_path / 'models'} ")
    assert installation.is_named()
    assert installation.workspace_folder() == tmp_path / "models"
