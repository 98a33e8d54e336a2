"""What is kept of each normal image: who it is, which part it shows, and a small image of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from padim.errors import BundleError

Status = Literal["fit", "kept_out", "not_good"]
Groups = Mapping[str, str] | Callable[[str], str | None] | None


@dataclass(frozen=True)
class Normal:
    """An image of a good part, inside the fit or taken out of it.

    Attributes:
        name: file name as given.
        sha256: of the file's bytes (of the pixels, if given as an array).
        group: images with the same group show the same part and are left out together.
        status: ``fit`` (in the Gaussians), ``kept_out`` (good, judged as unseen) or ``not_good``.
        original_size: (height, width) in pixels.
        thumbnail: (offset, length) in the thumbnails file.
    """

    name: str
    sha256: str
    group: str
    status: Status
    original_size: tuple[int, int]
    thumbnail: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Normal:
        """Raises BundleError for anything but what :meth:`to_json` gives."""
        try:
            values = {field.name: data[field.name] for field in fields(cls)}
            height, width = map(int, values["original_size"])
            offset, length = map(int, values["thumbnail"])
            if min(height, width) < 1 or min(offset, length) < 0:
                raise ValueError("a size or place out of range")
            strings = [values[key] for key in ("name", "sha256", "group", "status")]
            if not all(isinstance(value, str) for value in strings) or values["status"] not in (
                "fit",
                "kept_out",
                "not_good",
            ):
                raise ValueError("unexpected value")
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError(f"normals.json: not a list of normal images ({error})") from error
        return cls(**{**values, "original_size": (height, width), "thumbnail": (offset, length)})


def group_of(groups: Groups, name: str) -> str | None:
    """The group the caller gives an image, if any."""
    if groups is None:
        return None
    return groups(name) if callable(groups) else groups.get(name)


def join_duplicates(normals: Sequence[Normal]) -> tuple[Normal, ...]:
    """Put identical files in one group, and with them the groups they link.

    The same bytes twice are the same part, whatever anybody says. A part is in the fit or out of it with
    all its images: one image in the Gaussians would vouch for the others. What takes it out, stays.
    """
    merged: dict[str, str] = {}

    def root(group: str) -> str:
        top = group
        while merged.get(top, top) != top:
            top = merged[top]
        # The way is short from now on, so that long chains of shots are not walked again for each of them.
        while merged.get(group, group) != group:
            merged[group], group = top, merged[group]
        return top

    first: dict[str, str] = {}
    for normal in normals:
        one, other = root(normal.group), root(first.setdefault(normal.sha256, normal.group))
        if one != other:
            merged[one] = other
    out: dict[str, Status] = {}
    for normal in normals:
        if normal.status != "fit":
            out.setdefault(root(normal.group), normal.status)
    return tuple(
        replace(normal, group=group, status=out.get(group, "fit"))
        for normal in normals
        for group in (root(normal.group),)
    )


def part_of(groups: Groups, name: str, index: int) -> str:
    """The part an image shows; a name given by the user cannot collide with a number of ours."""
    named = group_of(groups, name)
    return f"#{index}" if named is None else f"part {named}"


def regrouped(normals: Sequence[Normal], groups: Groups) -> tuple[Normal, ...]:
    """The normals with the parts stated anew; identical files stay one part."""
    return join_duplicates(
        [replace(normal, group=part_of(groups, normal.name, index)) for index, normal in enumerate(normals)]
    )


def with_status(normals: Sequence[Normal], index: int, status: Status) -> tuple[Normal, ...]:
    """The normals with the part of one of them, in all its images, in the fit or out of it."""
    group = normals[index].group
    return tuple(replace(normal, status=status) if normal.group == group else normal for normal in normals)
