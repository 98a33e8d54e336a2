"""Reading requests with images: forms and JSON, within the limits, and never by way of the disk."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from padim.errors import PadimError
from padim.service.allowed_roots import AllowedRoots, PathNotAllowedError
from padim.service.rest.documents import BatchOfPaths, ImageFields, OneOfPath
from padim.service.rest.limits import MB, ServiceLimits
from padim.service.rest.problems import RequestProblem
from padim.text import clipped, megabytes, one_line

__all__ = ["GivenImage", "ImageIntake", "uid_of"]

_JSON_BYTES = 1 * MB
_FIELD_BYTES = 4_096
_MOST_FIELDS = 32
_LONGEST_NAME = 255


@dataclass(frozen=True)
class GivenImage:
    """An image of a request: its name, and a function that returns name and content."""

    name: str
    load: Callable[[], tuple[str, bytes]]


class ImageIntake:
    """Reads the images of requests.

    Args:
        limits: what a request may take.
        roots: folders below which images may be named by their path.
    """

    def __init__(self, limits: ServiceLimits, roots: AllowedRoots) -> None:
        self._limits, self._roots = limits, roots

    async def one(self, request: Request) -> tuple[GivenImage, ImageFields]:
        """Return the image of a request and the fields beside it.

        Raises:
            RequestProblem: the request cannot be read, or is beyond a limit.
        """
        images, fields = await self._read(request, "image", OneOfPath)
        if len(images) != 1:
            raise _wrong("image", f"one file is needed, {len(images)} were sent; send several to /batch")
        return images[0], fields

    async def many(self, request: Request) -> tuple[list[GivenImage], ImageFields]:
        """Return the images of a batch and the fields beside them; errors as :meth:`one`."""
        images, fields = await self._read(request, "images", BatchOfPaths)
        if not images:
            raise _wrong("images", "at least one file is needed")
        if len(images) > self._limits.batch_images:
            raise RequestProblem(
                "too-large",
                f"{len(images):,} images are more than {self._limits.batch_images:,}, the limit of one "
                "request set by --batch-images; send them in several",
            )
        return images, fields

    async def _read(
        self, request: Request, field: str, form: type[OneOfPath] | type[BatchOfPaths]
    ) -> tuple[list[GivenImage], ImageFields]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                if kind == "multipart/form-data":
                    return await self._multipart(request, field)
                if kind == "application/json":
                    body = b"".join([chunk async for chunk in _limited(request, _JSON_BYTES, "of JSON")])
                    return self._paths(body, form)
        except TimeoutError as error:
            raise RequestProblem(
                "too-slow",
                f"it had not arrived after {self._limits.receive_seconds:g} s, the limit set by "
                "--receive-seconds",
            ) from error
        except ClientDisconnect as error:
            raise RequestProblem("malformed", "the connection was closed before the request ended") from error
        raise RequestProblem(
            "unsupported-media-type",
            f"{clipped(kind, 60) or 'no Content-Type'}: send the file as multipart/form-data in the field "
            f"{field}, or its path as application/json",
        )

    async def _multipart(self, request: Request, field: str) -> tuple[list[GivenImage], ImageFields]:
        most = self._limits.request_bytes
        chunks = _limited(request, most, "set by --request-megabytes")
        parser = _InMemory(
            request.headers,
            chunks,
            max_files=self._limits.batch_images + 1,
            max_fields=_MOST_FIELDS,
            max_part_size=_FIELD_BYTES,
        )
        parser.spool_max_size = most + 1
        try:
            form = await parser.parse()
        except (MultiPartException, FormParserError, ValueError) as error:
            raise RequestProblem("malformed", f"the form cannot be read: {error}") from error
        texts: dict[str, str] = {}
        images: list[GivenImage] = []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != field:
                    raise _wrong(name, f"is no field with a file; send the file as {field}")
                images.append(self._upload(value))
            elif name == field:
                raise _wrong(
                    name, "is no file; send its content with a file name, as curl -F image=@FILE does"
                )
            elif name in texts:
                raise _wrong(name, "is there twice")
            else:
                texts[name] = value
        return images, _checked(ImageFields, texts)

    def _upload(self, upload: UploadFile) -> GivenImage:
        name = (upload.filename or "").replace("\\", "/").rpartition("/")[2]
        shown = one_line(name, _LONGEST_NAME) or "image"
        most = self._limits.upload_bytes
        if (upload.size or 0) > most:
            raise RequestProblem(
                "too-large",
                f"{shown}: {megabytes(upload.size or 0)} are more than {megabytes(most)}, the limit "
                "of a file set by --upload-megabytes",
            )
        content = upload.file.read()
        return GivenImage(shown, lambda: (shown, content))

    def _paths(
        self, body: bytes, form: type[OneOfPath] | type[BatchOfPaths]
    ) -> tuple[list[GivenImage], ImageFields]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestProblem("malformed", f"the JSON cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise RequestProblem("wrong-field", "the JSON is no object with fields")
        given = _checked(form, document)
        paths = [given.path] if isinstance(given, OneOfPath) else given.paths
        fields = ImageFields(**{name: getattr(given, name) for name in ImageFields.model_fields})
        return [self._of_path(path) for path in paths], fields

    def _of_path(self, path: str) -> GivenImage:
        def load() -> tuple[str, bytes]:
            try:
                self._roots.find(path)
            except PathNotAllowedError as error:
                raise RequestProblem("path-not-allowed", str(error)) from error
            except PadimError as error:
                raise RequestProblem("no-such-file", str(error)) from error
            return self._roots.read(path, self._limits.upload_bytes, "--upload-megabytes")

        return GivenImage(one_line(path, _LONGEST_NAME), load)


class _InMemory(MultiPartParser):
    """Keeps files in memory, where they are decoded: their size is limited, and the disk may be full."""


async def _limited(request: Request, most: int, limit: str) -> AsyncGenerator[bytes, None]:
    """Yield the body of a request until it is larger than allowed."""
    too_large = RequestProblem("too-large", f"it is larger than {megabytes(most)}, the limit {limit}")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise too_large
        if chunk:
            yield chunk


def _checked(form: type[Any], values: dict[str, Any]) -> Any:
    unknown = [name for name in values if name not in form.model_fields]
    if unknown:
        near = get_close_matches(str(unknown[0]), form.model_fields, n=1)
        known = f"did you mean {near[0]}?" if near else f"known are {', '.join(form.model_fields)}"
        raise _wrong(unknown[0], f"is an unknown field; {known}")
    try:
        return form(**values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _wrong(place, str(first["msg"])) from error


def _wrong(field: str, what: str) -> RequestProblem:
    return RequestProblem("wrong-field", f"{clipped(str(field), 60) or 'a field without a name'}: {what}")


def uid_of(key: str | None, client: str, index: int | None = None) -> str:
    """Return the id of an inspection, 32 hex digits: the same for the same idempotency key of a client.

    Args:
        key: the Idempotency-Key; None for a new id. A UUID is the id itself.
        client: who sends it: the same key of two clients means two images.
        index: place of the image in a batch.
    """
    if key is None:
        return uuid.uuid4().hex
    if index is None:
        try:
            return uuid.UUID(key).hex
        except ValueError:
            pass
    place = "" if index is None else f"\0{index}"
    return sha256(f"{client}\0{key}{place}".encode()).hexdigest()[:32]
