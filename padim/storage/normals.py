"""The record of each normal image in a model: its identity, the part that it shows, and its thumbnail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from padim.errors import BundleError, PadimError
from padim.locating.pose import Pose

# "reference" is the part to whose place all others are brought: its displacement is 0 by construction, so
# that it is neither in the fit nor in the calibration.
Status = Literal["fit", "kept_out", "not_good", "reference"]
Groups = Mapping[str, str] | Callable[[str], str | None] | None


@dataclass(frozen=True)
class Normal:
    """An image of a good part, included in the fit or excluded from it.

    Attributes:
        name: name as given.
        sha256: hex SHA-256 of the file's bytes (of shape and pixels, if given as an array).
        group: images with the same group show the same part and are left out together.
        status: ``fit`` (in the Gaussians), ``kept_out`` (good, but scored as unseen), ``not_good``, or
            ``reference`` (the part to whose place all others are brought).
        original_size: (height, width) in pixels.
        thumbnail: (offset, length) in the thumbnails file.
        color_kind: see :func:`padim.data.shapes.color_kind`; None if it was saved before that was recorded.
        input_sha256: hex SHA-256 of the pixels that the network saw, which finds copies saved again without
            loss; empty in models saved before it was recorded.
        pose: where the part lies in the image, relative to the reference part; None if the model does not
            locate parts, or did not find this one.
        lost: why the part was not found in the image; empty if it was found, or is not located.
    """

    name: str
    sha256: str
    group: str
    status: Status
    original_size: tuple[int, int]
    thumbnail: tuple[int, int]
    color_kind: str | None = None
    input_sha256: str = ""
    pose: Pose | None = None
    lost: str = ""

    @property
    def in_calibration(self) -> bool:
        """Whether it shows a good part that the calibration counts: in the fit, or kept out of it."""
        return self.status in ("fit", "kept_out")

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values; pose and ``lost`` only if there is one."""
        data = asdict(self)
        if self.pose is None:
            del data["pose"]
        if not self.lost:
            del data["lost"]
        return data

    @classmethod
    def from_json(cls, data: Any) -> Normal:
        """Create a record from :meth:`to_json`'s result; raise BundleError for any other data."""
        try:
            # Absent in models saved before they were recorded.
            data = {"color_kind": None, "input_sha256": "", "pose": None, "lost": "", **data}
            values = {field.name: data[field.name] for field in fields(cls)}
            height, width = map(int, values["original_size"])
            offset, length = map(int, values["thumbnail"])
            if min(height, width) < 1 or min(offset, length) < 0:
                raise ValueError("a size or place out of range")
            strings = [values[key] for key in ("name", "sha256", "group", "status", "input_sha256", "lost")]
            known = values["status"] in get_args(Status)
            if not all(isinstance(value, str) for value in strings) or not known:
                raise ValueError("unexpected value")
            if not isinstance(values["color_kind"], str | None):
                raise ValueError("a color kind that is no text")
            pose = None if values["pose"] is None else Pose.from_json(values["pose"])
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError(f"normals.json: not a list of normal images ({error})") from error
        return cls(
            **{**values, "original_size": (height, width), "thumbnail": (offset, length), "pose": pose}
        )


def group_of(groups: Groups, name: str) -> str | None:
    """Return the group that the caller gives for an image, or None."""
    if groups is None:
        return None
    return groups(name) if callable(groups) else groups.get(name)


def join_duplicates(normals: Sequence[Normal]) -> tuple[Normal, ...]:
    """Unite the groups that contain identical files, and make the status of each group consistent.

    Identical bytes show the same part, whatever groups the caller gives. A part is in the fit or excluded
    with all its images: one image in the Gaussians would lower the others' distances. Excluding takes
    precedence.
    """
    merged: dict[str, str] = {}

    def root(group: str) -> str:
        top = group
        while merged.get(top, top) != top:
            top = merged[top]
        # Path compression, so that long chains of shots are not followed again for each of them.
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
    """Return the label of an image's part; the prefixes keep user names and our numbers apart."""
    named = group_of(groups, name)
    return f"#{index}" if named is None else f"part {named}"


def regrouped(normals: Sequence[Normal], groups: Groups) -> tuple[Normal, ...]:
    """Return the normals with new groups; identical files stay one part."""
    return join_duplicates(
        [replace(normal, group=part_of(groups, normal.name, index)) for index, normal in enumerate(normals)]
    )


def with_status(normals: Sequence[Normal], index: int, status: Status) -> tuple[Normal, ...]:
    """Return the normals with a new status for all images of one normal's part.

    A part that was not found in an image cannot be in the fit: included again, it is kept out.

    Raises:
        PadimError: the part is the reference.
    """
    part = [normal for normal in normals if normal.group == normals[index].group]
    for normal in part:
        if normal.status == "reference":
            raise PadimError(
                f"{normal.name}: is the reference part, which the others are brought to the place of; to "
                "replace it, fit again with another reference"
            )
    if status == "fit" and any(normal.lost for normal in part):
        status = "kept_out"
    group = part[0].group
    return tuple(replace(normal, status=status) if normal.group == group else normal for normal in normals)
