"""Home: empty, with models, with a broken one."""

from __future__ import annotations

import threading
from pathlib import Path

from padim import Padim, PadimConfig, Workspace
from padim.storage import bin as model_bin
from tests.pages.session import AddModel, Session
from tests.parts import normals


def test_an_empty_workspace_says_what_to_do() -> None:
    page = Session()
    assert "No models yet" in page.text
    assert "No model yet" in page.text  # in the sidebar
    assert page.app.button(key="home-fit")


def test_a_page_without_a_server_is_not_watched_for_its_end() -> None:
    """Otherwise a thread clears the caches and collects garbage as long as the process lives."""
    Session()
    assert "sessions" not in {thread.name for thread in threading.enumerate()}


def test_the_newest_model_comes_into_use_and_is_named_in_the_url(add_model: AddModel) -> None:
    add_model("Old")
    new = add_model("New")
    page = Session()
    assert page.model in {entry.id for entry in Workspace(new.path.parents[1]).models()}
    assert "22 parts" in page.text
    assert page.app.selectbox(key="model-in-use").value == page.model


def test_opening_another_model_puts_it_into_the_url(add_model: AddModel) -> None:
    one, other = add_model("One"), add_model("Other")
    page = Session(model=one.id)
    assert page.model == one.id
    page.click(f"open-{other.id}")
    assert page.model == other.id
    page.set("selectbox", "model-in-use", one.id)
    assert page.model == one.id


def test_a_link_to_a_model_that_is_gone_says_so(add_model: AddModel) -> None:
    add_model("Here")
    page = Session(model="../../etc")
    assert "is not on this server" in page.text
    assert page.app.selectbox(key="model-in-use").value is None


def test_a_damaged_model_is_listed_with_its_reason_and_can_be_deleted(
    home: Path, add_model: AddModel
) -> None:
    broken = add_model("Broken")
    (broken.path / "manifest.json").write_text("{", encoding="utf-8")
    page = Session(model=broken.id)
    assert "Cannot be opened" in page.text
    assert "cannot be opened" in page.app.error[0].value
    page.delete(broken)
    assert Workspace(home).models() == []
    assert "No models yet" in page.text


def test_deleting_the_model_in_use_clears_the_url(home: Path, add_model: AddModel) -> None:
    entry = add_model("Gone <b>soon</b>")
    page = Session(model=entry.id)
    assert "<b>soon</b>" not in "".join(str(h.value) for h in page.app.html)  # names are text, never markup
    page.delete(entry)
    assert page.model is None
    assert Workspace(home).models() == []


def test_the_scorer_is_offered_for_models_with_a_threshold(
    add_model: AddModel, small_config: PadimConfig
) -> None:
    ready, other = add_model("Ready"), add_model("Not yet")
    Padim(small_config).fit(normals(2)).save(other.path)
    buttons = [button.proto for button in Session().app.get("download_button")]
    assert {proto.label for proto in buttons} == {"Scorer for the line PC (ONNX)"}
    states = {proto.id.rsplit("scorer-", 1)[1]: proto.disabled for proto in buttons}
    assert states == {ready.id: False, other.id: True}


def test_a_stopped_fit_is_listed_resumed_and_discarded(home: Path, small_config: PadimConfig) -> None:
    from padim.storage.resume import Request
    from tests.cli.conftest import write

    store = Workspace(home)
    images = write(home.parent / "good", normals(6))
    for name, at in (("Can <go> on", str(images)), ("Without images", str(home / "gone"))):
        entry = store.create(name)
        config = small_config.model_dump(mode="json")
        Request.now(6, images=at, label="good", config=config, parts={}).write(entry.path / "work")
    page = Session()
    assert "Fits that were stopped" in page.text
    assert "Can &lt;go&gt; on" in page.text
    assert "0 of 6 images done" in page.text
    assert "no longer on this server" in page.text
    ids = {entry.name: entry.path.name for entry in map(store.get, _folders(store))}
    assert page.app.button(key=f"resume-{ids['Without images']}").disabled
    page.click(f"discard-{ids['Without images']}")
    assert "no longer on this server" not in page.text
    page.click(f"resume-{ids['Can <go> on']}")
    assert [entry.name for entry in store.models()] == ["Can <go> on"]
    assert "Fits that were stopped" not in Session().text


def _folders(store: Workspace) -> list[str]:
    return [path.name for path in store.folder.iterdir()]


def test_a_model_is_deleted_by_its_name_and_restored_from_the_bin(home: Path, add_model: AddModel) -> None:
    entry = add_model("Flange")
    page = Session()
    page.click(f"delete-{entry.id}")
    assert "This is not its name: nothing was deleted." in page.text
    page.app.text_input(key=f"delete-name-{entry.id}").set_value("Flang")
    page.click(f"delete-{entry.id}")
    assert [one.id for one in Workspace(home).models()] == [entry.id]
    page.delete(entry)
    assert Workspace(home).models() == []
    (deleted,) = model_bin.contents(Workspace(home))
    assert f"kept until {deleted.until:%d %b %Y}" in page.text
    page.click(f"restore-{deleted.folder.name}")
    assert [one.revision for one in Workspace(home).models()] == [entry.revision]
    assert page.model == entry.id
    page.delete(entry)
    (deleted,) = model_bin.contents(Workspace(home))
    page.click(f"purge-{deleted.folder.name}")
    assert model_bin.contents(Workspace(home)) == []


def test_the_date_of_the_fit_is_not_that_of_the_last_change(home: Path, add_model: AddModel) -> None:
    entry = add_model("Flange")
    assert entry.fitted is not None
    with Workspace(home).edit(entry.id) as model:
        model.set_decision(min_area=9)
    changed = Workspace(home).get(entry.id)
    assert changed.fitted == entry.fitted
    assert f"fitted {entry.fitted:%d %b %Y, %H:%M} UTC" in Session().text
