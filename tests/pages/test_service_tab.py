"""The Service tab of the Line page: keys are shown once and revoked; a service of this machine is found."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from padim.records.api_keys import ApiKeys
from tests.pages.session import AddModel, Session
from ui import service


def code(page: Session) -> str:
    return "\n".join(str(one.value) for one in page.app.code)


def make(page: Session, name: str) -> Session:
    page.app.text_input(key="service-key-name").set_value(name)
    page.app.button(key="service-key-make").click()
    return page.run()


def test_a_key_is_shown_once_and_revoked(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    page = make(Session("service", model=entry.id), "line 3")
    assert f"model={entry.id} {service.URL}/v1/inspections" in code(page)
    (key,) = (one.value for one in page.app.code if one.value.startswith("padim_"))
    assert ApiKeys(home).name_of(key) == "line 3"
    page.click("service-key-put-away")
    assert "padim_" not in code(page)
    assert "padim_" not in code(Session("service", model=entry.id)), "no other page ever shows it"
    make(page, "line 3")
    assert "a key of this name was made before" in page.text
    page.click("service-revoke-sure-0")
    assert ApiKeys(home).name_of(key) is None
    assert "revoked" in page.text
    assert not [one for one in page.app.button if (one.key or "").startswith("service-revoke-sure")]


def test_a_key_that_is_revoked_is_shown_no_longer(add_model: AddModel) -> None:
    page = make(Session("service", model=add_model("Plate").id), "line 3")
    page.click("service-revoke-sure-0")
    assert "padim_" not in code(page)


def test_the_python_example_is_python(add_model: AddModel) -> None:
    entry = add_model("Plate")
    page = Session("service", model=entry.id)
    page.set("segmented_control", "service-example", "Python")
    (example,) = (one.value for one in page.app.code if "ServiceClient" in one.value)
    compile(example, "example", "exec")
    assert entry.id in example


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes]]]:
    """A server at the service's address that answers what a test says."""
    answer = {"now": (200, b"")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answer["now"]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(service, "URL", f"http://127.0.0.1:{server.server_port}")
    # Another program's proxy is not asked.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    yield answer
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "content", "found"),
    [
        (200, {"status": "ok", "checks": {"database": "ok", "queue": "ok"}}, service.FoundService("ready")),
        (
            503,
            {"status": "not ready", "checks": {"database": "it is away", "queue": "ok"}},
            service.FoundService("not ready", "it is away"),
        ),
        (200, "<html>another program</html>", service.FoundService("none")),
        (404, "nothing", service.FoundService("none")),
        (200, [1, 2], service.FoundService("none")),
        (503, {"status": "away", "checks": "all"}, service.FoundService("none")),
    ],
)
def test_a_service_of_this_machine_is_found(
    status: int, content: object, found: service.FoundService, answering: dict[str, tuple[int, bytes]]
) -> None:
    data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    answering["now"] = status, data
    service.find.clear()
    assert service.find() == found


def test_without_a_service_the_page_says_how_to_start_one(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "find", lambda: service.FoundService("none"))
    page = Session("service", model=add_model("Plate").id)
    assert "No service answers at" in page.text
    assert "padim serve" in code(page)
