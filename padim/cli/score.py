"""``score``: pictures to verdicts, with the evidence: four-panel pictures, masks, results.csv and .json."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.options import decide
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import Cancelled, ImageError, PadimError

if TYPE_CHECKING:
    from padim.model import Padim, ScoredImage
    from padim.report import Results
    from padim.sources import Source

_WORST, _NAMED = 10, 20
_COLOURS = {"reject": "bold red", "review": "yellow", "accept": "green"}


def score(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    pictures: Annotated[Path, typer.Argument(metavar="DIR", help="Pictures to judge: a folder or a zip.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results; made if need be.")
    ],
    panels: Annotated[
        bool, typer.Option("--panels/--no-panels", help="Original, heatmap, mask and overlay side by side.")
    ] = True,
    panel_side: Annotated[
        int, typer.Option("--panel-side", metavar="PIXELS", help="Longest side of one panel, 32 to 8192.")
    ] = 768,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks/--no-masks", help="A mask at each picture's own size: 255 where it is rejected."
        ),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in OUT.")] = False,
    fail_on_reject: Annotated[
        bool,
        typer.Option(
            "--fail-on-reject",
            help="Exit with 1 unless every file is a picture that is accepted: rejects, reviews and files "
            "that cannot be read all stop the line.",
        ),
    ] = False,
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
) -> None:
    """Judge pictures, and write down why.

    Writes [b]results.csv[/], [b]results.json[/], [b]panels[/] and [b]masks[/] into OUT; sub-folders of DIR
    are kept. Threshold and smallest region are the model's unless given here; the model is not changed.

    Files that cannot be read are rows with an error. Without --fail-on-reject they and rejects leave the exit
    code at 0. Ctrl-C keeps what was judged until then, marked as interrupted.
    """
    from padim import bundle
    from padim.model import Padim
    from padim.report import Results, of_model
    from padim.sources import open_source

    if not 32 <= panel_side <= 8192:
        raise PadimError(f"--panel-side is 32 to 8192 pixels, not {panel_side}")
    identity = bundle.Bundle(path).revision
    model = Padim.load(path)
    decide(model, percentile=percentile, value=threshold, min_area=min_area)
    level = model.threshold_level  # before any work: there may be none
    source = open_source(pictures)
    if not len(source):
        raise PadimError(f"{pictures}: holds no pictures; give a folder or a zip with pictures to judge")
    _check_output(output, pictures, force=force)
    if summary.is_random(model):
        terminal.warn(f"{path}: the network has random weights; its verdicts mean nothing")
    shared = {
        **of_model(model, path.resolve().name, identity),
        "backbone": model.config.backbone,
        "random_weights": summary.is_random(model),
    }
    about = {**shared, "threshold": float(f"{model.quantizer.to_value(level):.6g}"), "folder": str(pictures)}

    # A few rows for the screen: the others are in the files and no longer in memory.
    broken: list[ImageError] = []
    worst: list[tuple[int, dict[str, Any]]] = []
    with Stop(terminal) as stop, Results(output, shared, about) as results:
        try:
            with terminal.progress() as progress:
                rows = _rows(model, source, output, panel_side if panels else 0, masks, stop)
                for done, (level_of, row) in enumerate(rows, start=1):
                    results.add(row)
                    progress(done, len(source), "Scoring pictures")
                    if level_of < 0 and len(broken) < _NAMED:
                        broken.append(ImageError(row["name"], row["error"]))
                    elif level_of >= 0:
                        worst = sorted([*worst, (level_of, row)], key=lambda item: -item[0])[:_WORST]
                    if stop():  # a batch of large pictures takes a while to draw
                        raise Cancelled("stopped on request")
        except (Cancelled, KeyboardInterrupt):
            results.interrupt(f"{results.counts.total()} of {len(source)} pictures were looked at")
    _tell(terminal, results, worst, output)
    terminal.skipped(broken, results.counts["unreadable"])
    if results.interrupted is not None:
        terminal.error(f"stopped; {results.interrupted}, and {output / 'results.csv'} says so")
        raise typer.Exit(stop.exit_code)
    if results.counts.total() == results.counts["unreadable"]:
        raise PadimError(f"{pictures}: none of the files could be used")
    if fail_on_reject and results.counts.total() != results.counts["accept"]:
        raise typer.Exit(1)


def _rows(
    model: Padim, source: Source, output: Path, panel_side: int, masks: bool, cancel: Stop
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every file's score (a level; -1 without one) and row, with its evidence written already."""
    from padim.pipeline import content_hash
    from padim.report import FileNames, judged, unusable

    names = FileNames()
    reading = _Reading(source)
    for scored in model.score(reading, cancel=cancel, on_error=reading.failed.append):
        for error, content in reading.bad():
            yield -1, unusable(error.name, error.reason, None if content is None else content_hash(content))
        content = reading.take(scored.name)
        decision = model.decide(scored)
        row = judged(
            scored.name,
            scored.sha256,
            scored.original_size,
            scored.score,
            scored.quantizer,
            decision,
            model.verdict(scored.score),
        )
        row |= _evidence(names.take(scored.name), content, scored, decision, output, panel_side, masks)
        yield scored.score, row
    for error, content in reading.bad():
        yield -1, unusable(error.name, error.reason, None if content is None else content_hash(content))


class _Reading:
    """The source's files, each kept from when it is read until its result has come: for its panels."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._under_way: dict[str, bytes] = {}
        self._told = 0
        self.failed: list[ImageError] = []

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for name, content in self._source:
            self._under_way[name] = content
            yield name, content

    def take(self, name: str) -> bytes:
        return self._under_way.pop(name)

    def bad(self) -> Iterator[tuple[ImageError, bytes | None]]:
        """The files passed over since the last call, with their content if it was read."""
        skipped = self._source.skipped
        while self._told < len(skipped):
            self._told += 1
            yield skipped[self._told - 1], None
        while self.failed:
            error = self.failed.pop(0)
            yield error, self._under_way.pop(error.name, None)


def _evidence(
    stem: str, content: bytes, scored: ScoredImage, decision: Any, output: Path, panel_side: int, masks: bool
) -> dict[str, str]:
    from padim.files import write_atomic
    from padim.images import decode
    from padim.render import encode_jpeg, encode_png, four_panel, mask_image

    files = {}
    if panel_side:
        strip = four_panel(
            decode(content, scored.name),
            scored.map,
            decision,
            caption=scored.name,
            content_box=scored.content_box,
            panel_side=panel_side,
        )
        files["panel"] = f"panels/{stem}.jpg"
        write_atomic(output / files["panel"], encode_jpeg(strip))
    if masks:
        files["mask"] = f"masks/{stem}.png"
        write_atomic(output / files["mask"], encode_png(mask_image(decision.mask)))
    return files


def _check_output(output: Path, pictures: Path, *, force: bool) -> None:
    """Refuse a place that would mix results with pictures or with other results; clear what may go.

    Raises:
        PadimError: says which.
    """
    if output.exists() and not output.is_dir():
        raise PadimError(f"{output}: is a file; give a folder for the results")
    if output.resolve().is_relative_to(pictures.resolve()):
        raise PadimError(
            f"{output}: lies in {pictures}, whose pictures are judged; choose a place outside it"
        )
    names = ("results.csv", "results.json", "panels", "masks")
    earlier = [output / name for name in names if (output / name).exists()]
    if not earlier:
        return
    written = _written(output / "results.json")
    foreign = [place.name for place in earlier if place.name not in written]
    if foreign:
        raise PadimError(
            f"{output}: holds {' and '.join(foreign)} that no earlier run has written; choose another "
            "folder, or move what is there away"
        )
    if not force:
        raise PadimError(
            f"{output}: holds earlier results; choose another folder or replace them with --force"
        )
    for place in earlier:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _written(path: Path) -> set[str]:
    """What an earlier run has written beside its results.json, with that; nothing if no run made the file."""
    try:
        document = json.loads(path.read_bytes())
        rows = document["pictures"]
        if not {"model_id", "threshold", "counts", "interrupted"} <= document.keys():
            return set()
        kinds = {"panels": "panel", "masks": "mask"}
        evidence = {name for name, key in kinds.items() if any(key in row for row in rows)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return set()
    return {"results.csv", "results.json", *evidence}


def _tell(
    terminal: Terminal, results: Results, worst: list[tuple[int, dict[str, Any]]], output: Path
) -> None:
    from padim.words import count, multiple

    table = columns(
        [("picture", False), ("verdict", False), ("score", True), ("× threshold", True), ("regions", True)]
    )
    for _, row in worst:
        table.add_row(
            summary.plain(row["name"]),
            f"[{_COLOURS[row['verdict']]}]{row['verdict']}[/]",
            f"{row['score']:.4g}",
            multiple(row["score"], row["threshold"]).removesuffix(" ×"),
            str(len(row["regions"])),
        )
    counts = results.document()["counts"]
    said = ", ".join(
        f"{number:,} {name}" for name, number in counts.items() if number or name in ("accept", "reject")
    )
    total = results.counts.total()
    shown = titled(f"The {len(worst)} highest scores", table) if total > len(worst) > 1 else table
    document = {**results.document(), "output": str(output), "results": str(output / "results.json")}
    terminal.result(
        document, shown, "", f"{count(total, 'file')}: [bold]{said}[/]  →  {summary.plain(output)}"
    )
