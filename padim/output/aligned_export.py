"""Export of a model that locates the part: a folder with an ONNX scorer and a script that finds the part.

One ONNX graph cannot find a part, so the scorer in the folder takes the model input that the script has cut
out. Script, scorer, settings and the reference part belong together: ``align.json`` has the SHA-256 of every
other file.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim._version import __version__
from padim.decision.guard_band import guard_levels
from padim.errors import PadimError
from padim.output.export import write_scorer
from padim.output.part_finder import part_finder
from padim.output.scorer_graph import OutputType
from padim.storage import leftovers
from padim.storage.atomic import explain_os_error, sync_folder

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["ALIGN_FILE", "FORMAT", "VERSION", "export_folder"]

FORMAT, VERSION = "padim-aligned-scorer", 1
ALIGN_FILE, _SCORER, _REFERENCE = "align.json", "model.onnx", "reference.png"

_PLACEMENT = (
    "A placement is a 2 x 3 matrix from map pixels to image pixels, x = a u + b v + c for map column u and "
    "row v. Coordinates are continuous: pixel i covers i to i + 1, its center is at i + 0.5. Lengths in "
    "align and frame are in pixels of the reference image; turns are in degrees counterclockwise."
)


def export_folder(
    model: Padim,
    path: str | Path,
    *,
    name: str | None = None,
    force: bool = False,
    output_type: OutputType = "uint16",
) -> Path:
    """Write a model that locates the part as a folder for other programs.

    It has ``model.onnx``, which takes the cut-out input ``rgb`` and ``inside`` (1 where it shows the image);
    ``align.json`` with the settings of locating, the frame, the threshold and the scales of displacements;
    ``reference.png``, the reference part; and ``inspect_images.py`` with ``part_finder/``, which need numpy,
    OpenCV and onnxruntime, and give padim's verdict, reasons and mask.

    Args:
        model: a fitted model with ``config.align``.
        path: the folder to write; an existing one is replaced only with ``force``, and only if it is an
            exported model.
        name: the model's name, for the metadata.
        force: whether to replace an existing export.
        output_type: type of the level map, as for :func:`padim.output.export.export_onnx`.

    Returns:
        ``path``.

    Raises:
        NotFittedError: the model is not fitted.
        PadimError: the model does not locate the part or has no threshold, or the folder exists or cannot be
            written.
    """
    path = Path(path)
    with model.working_set.held():
        about, reference = _about(model, path, name)
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            if not force:
                raise PadimError(f"{path}: is there already; choose another name, or replace it by force")
            if not (path / ALIGN_FILE).is_file():
                raise PadimError(f"{path}: is no exported model; choose another name or remove it yourself")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            leftovers.sweep(leftovers.beside(path.parent, path.name))
            with leftovers.ScratchFolder(beside=path) as temporary:
                folder = Path(temporary) / "new"
                folder.mkdir()
                (folder / _REFERENCE).write_bytes(reference)
                for place, text in part_finder(about["align"]["method"]).items():
                    (folder / place).parent.mkdir(parents=True, exist_ok=True)
                    (folder / place).write_text(text, encoding="utf-8", newline="\n")
                write_scorer(model, folder / _SCORER, name=name, output_type=output_type)
                files = sorted(file for file in folder.rglob("*") if file.is_file())
                about["files"] = {file.relative_to(folder).as_posix(): _sha256(file) for file in files}
                text = json.dumps(about, indent=1, ensure_ascii=False)
                (folder / ALIGN_FILE).write_text(text + "\n", encoding="utf-8")
                for file in (*files, folder / ALIGN_FILE):
                    with file.open("rb+") as opened:
                        os.fsync(opened.fileno())
                if path.exists():
                    path.rename(Path(temporary) / "old")
                folder.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            raise explain_os_error(error, path) from error
    return path


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _about(model: Padim, path: Path, name: str | None) -> tuple[dict[str, Any], bytes]:
    """Return the content of align.json without the files' hashes, and the reference as a PNG file."""
    state = model.state
    reference = state.fitted.reference
    if reference is None:
        raise PadimError(
            f"{path}: this model does not locate the part; export it as one file, whose name ends in .onnx"
        )
    threshold = model.current_threshold
    if threshold is None:
        raise PadimError(
            f"{path}: the model has no threshold, so there are no verdicts; fit it on at least three good "
            "parts or set a threshold by hand"
        )
    quantizer, joint = state.fitted.quantizer, state.joint
    assert joint is not None  # of every model that locates the part
    low, high = guard_levels(threshold.level, model.decision.guard, quantizer)
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "padim_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **({} if name is None else {"name": name}),
        "scoring_identity": state.identity,
        "align": reference.locator.align.model_dump(mode="json"),
        "frame": reference.locator.frame.to_json(),
        "reference": _REFERENCE,
        "reference_name": reference.name,
        "map_shape": list(model.config.input_shape),
        "threshold_level": threshold.level,
        "review_from": low,
        "review_to": high,
        "min_area": model.config.min_area,
        "quantizer": {"offset": quantizer.offset, "step": quantizer.step},
        "joint": {
            "map_scale": str(joint.map_scale),
            "statistics": [
                {"name": one.name, "scale": str(one.scale), "step": one.step, "unit": one.unit}
                for one in joint.statistics
            ],
            "limits": joint.limits(threshold.level),
            "on_lost": joint.on_lost,
        },
        "bit_depth": model.config.bit_depth or 8,
        "pixel_size_mm": model.config.pixel_size_mm,
        "placement": _PLACEMENT,
    }, reference.png
