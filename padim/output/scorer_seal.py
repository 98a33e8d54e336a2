"""The SHA-256 that an exported ONNX model carries of itself, so that a damaged copy is refused.

The last metadata entry of the ONNX file, ``sha256``, is at the very end of the file: its 64 hexadecimal
digits are the file's last 64 bytes, and they are the SHA-256 of the file with these digits set to "0". They
are found without parsing the file, and cover every bit of it. A second file with large arrays (above 2 GB)
has its own SHA-256 in the metadata entry ``data_sha256``, and its name in ``data_file``.

This module does not import onnxruntime: a file is checked before a session is created from it.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

from padim.errors import PadimError
from padim.storage.atomic import sha256_of

__all__ = ["DATA_FILE", "DATA_SHA256", "SHA256", "digest", "seal", "seal_entry", "verify"]

# Names of metadata entries.
SHA256 = "sha256"
DATA_FILE = "data_file"
DATA_SHA256 = "data_sha256"

_DIGITS = 64
_ZEROS = b"0" * _DIGITS
# Bytes appended to a protobuf message can add an element to a repeated field: here to field 14 of ModelProto
# (``metadata_props``), 74 bytes long, with the key ``sha256`` of 6 bytes and a value of 64 bytes.
_MARKER = b"rJ\n\x06sha256\x12@"
_PIECE = 2**20


def seal_entry(content: bytes) -> bytes:
    """Return the bytes to append to a serialized ONNX model to seal it.

    Args:
        content: the model, without a seal.

    Returns:
        The serialized metadata entry ``sha256``.
    """
    digest = hashlib.sha256(content)
    digest.update(_MARKER + _ZEROS)
    return _MARKER + digest.hexdigest().encode()


def seal(content: bytes) -> bytes:
    """Return a serialized ONNX model with its SHA-256 in the metadata.

    Args:
        content: the model; an existing seal is replaced.
    """
    end = len(content) - _DIGITS
    if end > len(_MARKER) and content[end - len(_MARKER) : end] == _MARKER:
        content = content[: end - len(_MARKER)]
    return content + seal_entry(content)


def digest(path: Path) -> str:
    """Return the SHA-256 that an exported model carries, after checking the file against it.

    Returns:
        64 hexadecimal digits.

    Raises:
        PadimError: the file cannot be read, carries no SHA-256, or was altered; one sentence that names it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _DIGITS - len(_MARKER)))
            tail = file.read(_DIGITS + len(_MARKER))
            if tail[:-_DIGITS] != _MARKER:
                raise PadimError(
                    f"{path}: carries no SHA-256 at its end, so it is truncated, damaged or from an "
                    "earlier version of padim; export it again"
                )
            file.seek(0)
            found, left = hashlib.sha256(), size - _DIGITS
            while left and (piece := file.read(min(_PIECE, left))):
                found.update(piece)
                left -= len(piece)
    except OSError as error:
        raise PadimError(f"{path}: cannot be read ({error.strerror or error})") from error
    found.update(_ZEROS)
    if found.hexdigest().encode() != tail[-_DIGITS:]:
        raise PadimError(
            f"{path}: was altered after it was exported (its SHA-256 differs); copy or export it again"
        )
    return found.hexdigest()


def verify(path: Path) -> None:
    """Check an exported model, and its second file if there is one, against their SHA-256.

    Args:
        path: the ``.onnx`` file.

    Raises:
        PadimError: as :func:`digest`, or the second file is missing or was altered.
    """
    path = Path(path)
    digest(path)
    if (named := _data_of(path)) is None:
        return
    name, expected = named
    beside = path.with_name(name)
    try:
        found = sha256_of(beside)
    except OSError as error:
        raise PadimError(
            f"{beside}: cannot be read ({error.strerror or error}); it belongs to {path.name}: copy both"
        ) from error
    if found != expected:
        raise PadimError(
            f"{beside}: was altered after it was exported (its SHA-256 differs); copy or export it again"
        )


def _data_of(path: Path) -> tuple[str, str] | None:
    """Return name and SHA-256 of the second file from the metadata of a sealed model; None without one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.rfind(DATA_SHA256.encode()) < 0:
            return None
    import onnx

    model = onnx.load_model(path, load_external_data=False)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    name, expected = metadata.get(DATA_FILE), metadata.get(DATA_SHA256)
    if name is None or expected is None:
        return None
    if not name or Path(name).name != name or "\\" in name:
        raise PadimError(f"{path}: refers to a data file in another folder ({name}); export it again")
    return name, expected
