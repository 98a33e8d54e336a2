"""A client of the REST service: sends images and returns results, and sends again what was not answered.

.. code-block:: python

    with ServiceClient("http://127.0.0.1:8600", key=os.environ["LINE_KEY"]) as service:
        result = service.inspect("parts/flange_0042.png", part_number="4711", serial="A-0042")
        print(result.verdict, result.score, result.reasons)

It needs httpx and nothing else of the engine.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from padim.errors import PadimError

__all__ = ["ServiceClient", "ServiceError", "ServiceInspection"]

# Answers after which the same request may succeed.
_LATER = (429, 503)
_LONGEST_WAIT = 60.0


class ServiceError(PadimError):
    """The service does not answer a request as asked.

    Attributes:
        kind: the kind of problem, such as "unusable-image"; "no-answer" if none came.
        status: the HTTP status; 0 if no answer came.
        document: the answer, as plain JSON; empty if none came.
    """

    def __init__(
        self, kind: str, status: int, detail: str, document: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind, self.status, self.document = kind, status, dict(document or {})

    @classmethod
    def of(cls, document: Mapping[str, Any], status: int) -> ServiceError:
        """Return the error that an answer describes."""
        kind = str(document.get("type", "")).rpartition(":")[2] or "unknown"
        detail = str(document.get("detail") or document.get("title") or f"the service answered {status}")
        return cls(kind, status, detail, document)


@dataclass(frozen=True)
class ServiceInspection:
    """The result of an inspection.

    Attributes:
        id: 32 hex digits, by which it is on record.
        name: the image's name.
        verdict: "accept", "review", "reject", or "none" without a threshold.
        score, threshold: in units of the anomaly map; ``threshold`` is None without one.
        reasons: why it is not accepted.
        model_id, version: the model, and the number of its version; None if it keeps none.
        document: everything that the service said, as plain JSON.
    """

    id: str
    name: str
    verdict: str
    score: float
    threshold: float | None
    reasons: tuple[str, ...]
    model_id: str
    version: int | None
    document: Mapping[str, Any] = field(repr=False)

    @property
    def accepted(self) -> bool:
        """Whether the verdict is "accept"."""
        return self.verdict == "accept"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ServiceInspection:
        """Return the result in an answer."""
        return cls(
            document["id"],
            document["name"],
            document["verdict"],
            document["score"],
            document["threshold"],
            tuple(document["reasons"]),
            document["model_id"],
            document["version"],
            document,
        )


class ServiceClient:
    """A client of one service; close it, or use it in a ``with`` statement. For one thread at a time.

    Args:
        url: the service's address, such as ``http://127.0.0.1:8600``.
        key: its key, made by ``padim keys add``; None where none is needed.
        timeout: seconds that one attempt may take.
        patience: seconds that a request may take with all of its attempts: those that are not answered, or
            told to come later, are sent again with the same idempotency key, so that no image is recorded
            twice.
        transport: for tests.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 120.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # The proxy of the environment is for the internet, not for the machine next door.
        self._http = httpx.Client(
            base_url=url.rstrip("/"), headers=headers, timeout=timeout, transport=transport, trust_env=False
        )
        self._patience, self._sleep = patience, sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    # -- inspecting --------------------------------------------------------------------------------------

    def inspect(
        self, image: str | Path | bytes, *, name: str = "", idempotency_key: str | None = None, **fields: str
    ) -> ServiceInspection:
        """Send an image and return its result.

        Args:
            image: the path of its file, or the file's bytes.
            name: its name; default: that of the file.
            idempotency_key: identifies the inspection; default: a new one. Give one to have the image
                recorded once even if this program is started again.
            **fields: ``model``, ``part_number``, ``serial``, ``lot``, ``station``, ``shift``.

        Raises:
            ServiceError: the image cannot be used, or the service does not answer in time.
            OSError: the file cannot be read.
        """
        file = _file(image, name)
        answer = self._post("/v1/inspections", idempotency_key, files={"image": file}, data=fields)
        return ServiceInspection.of(answer)

    def inspect_path(
        self, path: str, *, idempotency_key: str | None = None, **fields: str
    ) -> ServiceInspection:
        """Have an image inspected that the service reads itself; arguments and errors as :meth:`inspect`.

        Args:
            path: its path on the service's machine, below a folder that is allowed there.
            idempotency_key, **fields: as for :meth:`inspect`.
        """
        answer = self._post("/v1/inspections", idempotency_key, json={"path": path, **fields})
        return ServiceInspection.of(answer)

    def inspect_many(
        self,
        images: Sequence[str | Path | tuple[str, bytes]],
        *,
        idempotency_key: str | None = None,
        **fields: str,
    ) -> list[ServiceInspection | ServiceError]:
        """Send several images in one request; return for each its result, or why it has none.

        Args:
            images: paths of files, or names with the files' bytes.
            idempotency_key, **fields: as for :meth:`inspect`.
        """
        files = [
            ("images", _file(one[1], one[0]) if isinstance(one, tuple) else _file(one, "")) for one in images
        ]
        answer = self._post("/v1/inspections/batch", idempotency_key, files=files, data=fields)
        return [
            ServiceError.of(item["problem"], item["status"])
            if item["inspection"] is None
            else ServiceInspection.of(item["inspection"])
            for item in answer["items"]
        ]

    # -- asking ------------------------------------------------------------------------------------------

    def inspection(self, inspection_id: str) -> ServiceInspection:
        """Return an inspection on record.

        Raises:
            ServiceError: there is none of this id (``kind`` "no-such-inspection").
        """
        return ServiceInspection.of(self._asked("GET", f"/v1/inspections/{inspection_id}"))

    def models(self) -> list[dict[str, Any]]:
        """Return the models of the service's workspace."""
        return list(self._asked("GET", "/v1/models")["models"])

    def part_numbers(self) -> list[dict[str, Any]]:
        """Return the part numbers that have a model."""
        return list(self._asked("GET", "/v1/part-numbers")["part_numbers"])

    def ready(self) -> bool:
        """Return whether the service can inspect now; False also if it does not answer."""
        try:
            return self._http.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    # -- sending -----------------------------------------------------------------------------------------

    def _post(self, path: str, key: str | None, **content: Any) -> dict[str, Any]:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._asked("POST", path, headers=headers, **content)

    def _asked(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        end, wait = time.monotonic() + self._patience, 0.2
        while True:
            try:
                answer = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                problem = ServiceError(
                    "no-answer", 0, f"{self._http.base_url}: {error or type(error).__name__}"
                )
                told = None
            else:
                if answer.is_success:
                    return dict(answer.json())
                problem = ServiceError.of(_json(answer), answer.status_code)
                if answer.status_code not in _LATER:
                    raise problem
                told = answer.headers.get("Retry-After")
            pause = float(told) if told and told.isdecimal() else wait
            if time.monotonic() + pause > end:
                raise problem
            self._sleep(min(pause, _LONGEST_WAIT))
            wait = min(2 * wait, 5.0)


def _file(image: str | Path | bytes, name: str) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return name or "image", image
    path = Path(image)
    return name or path.name, path.read_bytes()


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": f"answered {answer.status_code}"}
