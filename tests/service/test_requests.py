"""What the service answers: results, problems in one form, limits, keys, and who may ask at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from padim.errors import PadimError
from padim.records.api_keys import ApiKeys
from padim.service.allowed_roots import AllowedRoots
from padim.service.rest.app import service_app
from padim.service.rest.limits import ServiceLimits
from padim.service.rest.problems import PROBLEMS
from tests.service.fakes import BAD, FakeInspector, fake_parts

IMAGE = b"six pt"  # of a length that is rejected by the fake
GOOD = b"four"

Serve = Callable[..., TestClient]


@contextmanager
def serving(root: Path, **given: Any) -> Iterator[TestClient]:
    with TestClient(
        service_app(fake_parts(root, **given)), base_url="http://localhost", raise_server_exceptions=False
    ) as client:
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(GOOD)
    with serving(tmp_path, roots=AllowedRoots([tmp_path / "in"])) as client:
        yield client


def send(client: TestClient, content: bytes = GOOD, name: str = "a.png", **fields: str) -> Any:
    return client.post("/v1/inspections", files={"image": (name, content)}, data=fields)


def problem(answer: Any, kind: str) -> str:
    """Check the form of an answer that is a problem, and return its detail."""
    status, title = PROBLEMS[kind]
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == f"urn:padim:problem:{kind}"
    assert (document["title"], document["status"]) == (title, status)
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["detail"]
    return str(document["detail"])


def test_an_upload_is_inspected(client: TestClient) -> None:
    answer = send(client, IMAGE, part_number="4711", serial="A1", lot="L7", station="1", shift="early")
    assert answer.status_code == 201
    found = answer.json()
    assert (found["verdict"], found["score"], found["name"]) == ("reject", 3.0, "a.png")
    assert [found[key] for key in ("serial", "lot", "station", "shift")] == ["A1", "L7", "1", "early"]
    assert (found["source"], found["who"]) == ("service", "service")
    assert answer.headers["location"] == f"/v1/inspections/{found['id']}"


def test_a_file_below_an_allowed_folder_is_inspected(client: TestClient) -> None:
    answer = client.post("/v1/inspections", json={"path": "a.png", "model": "flange"})
    assert (answer.status_code, answer.json()["name"]) == (201, "a.png")


def test_a_batch_costs_only_what_is_wrong(client: TestClient) -> None:
    files = [("images", (f"{i}.png", BAD if i == 1 else GOOD)) for i in range(3)]
    items = client.post("/v1/inspections/batch", files=files).json()["items"]
    assert [(one["name"], one["status"]) for one in items] == [("0.png", 201), ("1.png", 422), ("2.png", 201)]
    assert items[1]["inspection"] is None
    assert items[1]["problem"]["type"] == "urn:padim:problem:unusable-image"
    assert items[0]["problem"] is None
    paths = client.post("/v1/inspections/batch", json={"paths": ["a.png", "b.png", "/etc/passwd"]})
    assert [one["status"] for one in paths.json()["items"]] == [201, 404, 403]


def test_one_key_is_one_inspection(client: TestClient) -> None:
    own = uuid.uuid4()
    headers = {"Idempotency-Key": str(own)}
    first = client.post("/v1/inspections", files={"image": ("a.png", GOOD)}, headers=headers)
    second = client.post("/v1/inspections", files={"image": ("a.png", GOOD)}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["id"] == own.hex
    other = client.post("/v1/inspections", files={"image": ("b.png", IMAGE)}, headers=headers)
    assert "b.png" in problem(other, "key-reused")


def test_a_batch_sent_again_is_inspected_once(client: TestClient) -> None:
    files = [("images", (f"{i}.png", GOOD + bytes(7 * i))) for i in range(3)]
    answers = [
        client.post(
            "/v1/inspections/batch", files=files, headers={"Idempotency-Key": "lot 7".replace(" ", "-")}
        )
        for _ in range(2)
    ]
    first, second = ([one["inspection"]["id"] for one in answer.json()["items"]] for answer in answers)
    assert first == second
    assert len(set(first)) == 3
    assert {one["status"] for one in answers[1].json()["items"]} == {200}


def wrong_requests() -> dict[str, tuple[str, Callable[[TestClient], Any]]]:
    return {
        "no image": ("wrong-field", lambda c: c.post("/v1/inspections", files={"img": ("a.png", GOOD)})),
        "two images": (
            "wrong-field",
            lambda c: c.post("/v1/inspections", files=[("image", ("a", GOOD)), ("image", ("b", GOOD))]),
        ),
        "a text": ("wrong-field", lambda c: c.post("/v1/inspections", files={"image": (None, "text")})),
        "a misspelled field": ("wrong-field", lambda c: send(c, part_nubmer="4711")),
        "a long field": ("wrong-field", lambda c: send(c, serial="x" * 101)),
        "a line break": ("wrong-field", lambda c: send(c, serial="a\nb")),
        "no image file": ("unusable-image", lambda c: send(c, BAD)),
        "an unknown model": ("unknown-model", lambda c: send(c, model="none")),
        "an unknown part": ("unknown-part-number", lambda c: send(c, part_number="none")),
        "a wrong part": ("wrong-part", lambda c: send(c, part_number="4711", model="cap")),
        "a path outside": (
            "path-not-allowed",
            lambda c: c.post("/v1/inspections", json={"path": "/etc/passwd"}),
        ),
        "no file": ("no-such-file", lambda c: c.post("/v1/inspections", json={"path": "none.png"})),
        "a list": ("wrong-field", lambda c: c.post("/v1/inspections", json=["a.png"])),
        "no JSON": (
            "malformed",
            lambda c: c.post("/v1/inspections", content=b"{", headers={"Content-Type": "application/json"}),
        ),
        "a broken form": (
            "malformed",
            lambda c: c.post(
                "/v1/inspections",
                content=b"--x\r\n\r\nno",
                headers={"Content-Type": "multipart/form-data; boundary=y"},
            ),
        ),
        "no boundary": (
            "malformed",
            lambda c: c.post("/v1/inspections", content=b"", headers={"Content-Type": "multipart/form-data"}),
        ),
        "another kind": (
            "unsupported-media-type",
            lambda c: c.post("/v1/inspections", content=GOOD, headers={"Content-Type": "image/png"}),
        ),
        "no kind": ("unsupported-media-type", lambda c: c.post("/v1/inspections", content=GOOD)),
        "a wrong key": (
            "wrong-field",
            lambda c: c.post("/v1/inspections", json={"path": "a"}, headers={"Idempotency-Key": "a b"}),
        ),
        "no batch": ("wrong-field", lambda c: c.post("/v1/inspections/batch", json={"paths": []})),
        "no such id": ("no-such-inspection", lambda c: c.get("/v1/inspections/" + "0" * 32)),
        "no id": ("no-such-inspection", lambda c: c.get("/v1/inspections/1")),
        "no such model": ("unknown-model", lambda c: c.get("/v1/models/none")),
        "no address": ("not-found", lambda c: c.get("/v2")),
        "no method": ("method-not-allowed", lambda c: c.delete("/v1/models")),
        "an unknown key": (
            "key-unknown",
            lambda c: c.get("/v1/models", headers={"Authorization": "Bearer padim_x"}),
        ),
        "another scheme": (
            "key-missing",
            lambda c: c.get("/v1/models", headers={"Authorization": "Basic YTpi"}),
        ),
    }


@pytest.mark.parametrize("what", wrong_requests())
def test_what_is_wrong_is_said_in_one_form(client: TestClient, what: str) -> None:
    kind, ask = wrong_requests()[what]
    problem(ask(client), kind)


def test_messages_name_the_file_and_the_remedy(client: TestClient) -> None:
    assert "bolt.png" in problem(send(client, BAD, "line 1/bolt.png"), "unusable-image")
    assert "did you mean part_number?" in problem(send(client, part_nubmer="4711"), "wrong-field")
    assert "none.png" in problem(client.post("/v1/inspections", json={"path": "none.png"}), "no-such-file")


def limits(**given: Any) -> dict[str, Any]:
    return {"limits": ServiceLimits(**given)}


def test_limits_name_their_setting(tmp_path: Path) -> None:
    with serving(
        tmp_path, **limits(upload_megabytes=0.001, request_megabytes=0.005, batch_images=2)
    ) as client:
        assert "--upload-megabytes" in problem(send(client, bytes(1_500)), "too-large")
        assert "--request-megabytes" in problem(send(client, bytes(6_000)), "too-large")
        chunked = client.post(
            "/v1/inspections",
            content=(b"--x\r\n" + bytes(999) for _ in range(9)),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
        assert chunked.status_code in (400, 413)
        batch = [("images", ("a.png", GOOD))] * 3
        assert "--batch-images" in problem(client.post("/v1/inspections/batch", files=batch), "too-large")


def test_a_client_beyond_its_rate_comes_later(tmp_path: Path) -> None:
    with serving(tmp_path, **limits(images_per_minute=8)) as client:
        assert [send(client).status_code for _ in range(2)] == [201, 201]
        answer = send(client)
        assert "--images-per-minute" in problem(answer, "rate-limit")
        assert int(answer.headers["retry-after"]) == answer.json()["retry_after"] >= 1


def test_keys_are_needed_where_they_are_required(tmp_path: Path) -> None:
    key = ApiKeys(tmp_path).add("line 3", "Anna")
    with serving(tmp_path, require_key=True) as client:
        answer = client.get("/v1/models")
        problem(answer, "key-missing")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/v1/part-numbers", "/v1/models/x", "/v1/inspections/x", "/metrics"):
            problem(client.get(path), "key-missing")
        problem(send(client), "key-missing")
        for path in ("/health/live", "/health/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        client.headers["Authorization"] = f"Bearer {key}"
        assert send(client).json()["who"] == "line 3"
        del client.headers["Authorization"]
        client.headers["X-API-Key"] = key
        assert send(client).json()["who"] == "line 3"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8600", "", "[", "localhost.evil.example"])
def test_other_names_are_not_answered(client: TestClient, host: str) -> None:
    problem(client.get("/v1/models", headers={"Host": host}), "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8600", "[::1]:8600", "LOCALHOST:1"])
def test_names_of_this_machine_are(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_a_proxys_name_can_be_allowed(tmp_path: Path) -> None:
    with serving(tmp_path, names=["Inspection.example"]) as client:
        assert client.get("/health/live", headers={"Host": "inspection.example"}).status_code == 200
        problem(client.get("/health/live", headers={"Host": "other.example"}), "wrong-host")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_pages_of_other_sites_are_not_answered(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/v1/inspections", files={"image": ("a.png", GOOD)}, headers=headers)
    problem(answer, "foreign-page")


def test_own_request_ids_are_kept_if_they_are_plain(client: TestClient) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "a-1"}).headers["x-request-id"] == "a-1"
    assert client.get("/health/live", headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"


def test_a_result_that_is_not_on_record_is_said_with_the_result(tmp_path: Path) -> None:
    inspector = FakeInspector(problem="the disk is full")
    with serving(tmp_path, inspector=inspector) as client:
        answer = client.post(
            "/v1/inspections", files={"image": ("a.png", IMAGE)}, headers={"Idempotency-Key": "k"}
        )
        assert "the disk is full" in problem(answer, "not-on-record")
        assert answer.json()["inspection"]["verdict"] == "reject"
        assert answer.headers["retry-after"]
        inspector.problem = ""
        again = client.post(
            "/v1/inspections", files={"image": ("a.png", IMAGE)}, headers={"Idempotency-Key": "k"}
        )
        assert (again.status_code, again.json()["verdict"]) == (201, "reject")


@pytest.mark.parametrize(
    ("mistake", "kind"), [(PadimError("flange: is damaged"), "model-unusable"), (KeyError("x"), "internal")]
)
def test_a_failure_is_one_answer_and_not_the_end(tmp_path: Path, mistake: Exception, kind: str) -> None:
    inspector = FakeInspector(mistake=mistake)
    with serving(tmp_path, inspector=inspector) as client:
        detail = problem(send(client), kind)
        assert "KeyError" not in detail
        inspector.mistake = None
        assert send(client).status_code == 201


def test_figures_count_what_was_done(client: TestClient) -> None:
    send(client, IMAGE)
    send(client, GOOD)
    send(client, BAD)
    text = client.get("/metrics").text
    assert 'padim_inspections_total{model="flange-abc123",verdict="reject"} 1.0' in text
    assert 'padim_problems_total{kind="unusable-image"} 1.0' in text
    assert 'padim_http_requests_total{method="POST",route="/v1/inspections",status="201"} 2.0' in text
    assert "padim_inspection_seconds_count 3.0" in text
    client.get("/v1/secret-name-123")
    assert "secret-name" not in client.get("/metrics").text


def test_it_is_ready_as_long_as_it_can_record(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        assert client.get("/health/ready").json() == {
            "status": "ok",
            "checks": {"database": "ok", "queue": "ok"},
        }
        (tmp_path / "records.sqlite").write_bytes(b"no database" * 99)
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert "records.sqlite" in answer.json()["checks"]["database"]
        assert client.get("/health/live").status_code == 200


def test_no_page_of_the_service_loads_anything_from_elsewhere(client: TestClient) -> None:
    assert client.get("/docs").status_code == 404
    assert client.get("/redoc").status_code == 404


def test_every_kind_of_problem_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "service.md").read_text(encoding="utf-8")
    assert {kind for kind in PROBLEMS if f"`{kind}`" not in guide} == set()


def test_the_description_has_an_example_of_each_form(client: TestClient) -> None:
    document = json.loads(client.get("/openapi.json").text)
    schemas = document["components"]["schemas"]
    assert {"InspectionAnswer", "ProblemAnswer", "ModelAnswer"} <= {
        name for name, schema in schemas.items() if schema.get("examples")
    }
    assert "HTTPValidationError" not in schemas
    for methods in document["paths"].values():
        for address in methods.values():
            assert address["summary"]
            assert "422" not in address["responses"] or "problem+json" in str(address["responses"]["422"])
