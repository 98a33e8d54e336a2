"""``score``: images to verdicts, with the evidence: four-panel images, masks, results.csv and .json."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.options import decide
from padim.cli.score_places import journal_in
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import Cancelled, ImageError, PadimError

if TYPE_CHECKING:
    from padim.data.sources import Source
    from padim.model import Padim, Prediction
    from padim.output.results import Results
    from padim.output.scoring_journal import Journal

_WORST, _NAMED = 10, 20
_COLOURS = {"reject": "bold red", "review": "yellow", "accept": "green"}


def score(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images to judge: a folder or a zip.")],
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
        typer.Option("--masks/--no-masks", help="A mask at each image's own size: 255 where it is rejected."),
    ] = True,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a scoring that was stopped, or that images have come to since: what the same "
            "model has judged at the same threshold is not judged again.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in OUT.")] = False,
    fail_on_reject: Annotated[
        bool,
        typer.Option(
            "--fail-on-reject",
            help="Exit with 1 unless every file is an image that is accepted: rejects, reviews and files "
            "that cannot be read all stop the line.",
        ),
    ] = False,
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
) -> None:
    """Judge images, and write down why.

    Writes [b]results.csv[/], [b]results.json[/], [b]panels[/] and [b]masks[/] into OUT; sub-folders of DIR
    are kept. Threshold and smallest region are the model's unless given here; the model is not changed.

    Files that cannot be read are rows with an error. Without --fail-on-reject they and rejects leave the exit
    code at 0. Whatever stops it, the rows of what was judged are kept in [b]results.partial.jsonl[/], and
    [b]--resume[/] goes on from there; after Ctrl-C they are in the results, too, marked as interrupted.
    """
    from padim.data.opening import open_source
    from padim.model import Padim
    from padim.output.results import Results, of_model
    from padim.output.scoring_journal import rows_kept
    from padim.storage import bundle
    from padim.text import count

    if not 32 <= panel_side <= 8192:
        raise PadimError(f"--panel-side is 32 to 8192 pixels, not {panel_side}")
    identity = bundle.Bundle(path).revision
    model = Padim.load(path)
    decide(model, percentile=percentile, value=threshold, min_area=min_area)
    level = model.threshold_level  # before any work: there may be none
    source = open_source(images)
    if not len(source):
        raise PadimError(f"{images}: holds no images; give a folder or a zip with images to judge")
    shown_side = panel_side if panels else 0
    shared = {
        **of_model(model, path.resolve().name, identity),
        "backbone": model.config.backbone,
        "random_weights": summary.is_random(model),
    }
    about = {
        **shared,
        "threshold": float(f"{model.state.fitted.quantizer.to_value(level):.6g}"),
        "folder": str(images),
    }
    begun_with = {
        **{key: about[key] for key in ("model_id", "threshold", "min_area")},
        "panel_side": shown_side,
        "masks": masks,
    }
    with ExitStack() as opened:
        journal = opened.enter_context(
            journal_in(output, images, begun_with, terminal, resume=resume, force=force)
        )
        if summary.is_random(model):
            terminal.warn(f"{path}: the network has random weights; its verdicts mean nothing")
        size = model.network.extractor.batch_size(model.state.fitted.detector.scoring_bytes())
        reading = _Reading(source, output, journal, size, panels=panels, masks=masks)
        # A few rows for the screen: the others are in the files and no longer in memory.
        broken: list[ImageError] = []
        worst: list[dict[str, Any]] = []
        stop = opened.enter_context(Stop(terminal))
        results = opened.enter_context(Results(output, shared, about, journal))
        try:
            with terminal.progress() as progress:
                for row in _rows(model, reading, results, output, shown_side, masks, size, stop):
                    progress(results.counts.total(), len(source), "Scoring images")
                    if row.get("error") and len(broken) < _NAMED:
                        broken.append(ImageError(row["name"], row["error"]))
                    elif not row.get("error"):
                        worst = sorted([*worst, row], key=lambda one: -one["score"])[:_WORST]
                    if stop():  # a batch of large images takes a while to draw
                        raise Cancelled("stopped on request")
        except (Cancelled, KeyboardInterrupt):
            results.interrupt(f"{results.counts.total()} of {len(source)} images were looked at")
        except OSError:
            if kept := rows_kept(output):
                terminal.note(f"{count(kept, 'image')} judged and kept in {output} for --resume")
            raise
    if reading.n_kept:
        terminal.note(f"{count(reading.n_kept, 'image')} judged before: taken as they are")
    _show_results(terminal, results, worst, output)
    terminal.skipped(broken, results.counts["unreadable"])
    if results.interrupted is not None:
        terminal.error(
            f"stopped; {results.interrupted}, and {output / 'results.csv'} says so; "
            "run the same command with --resume to go on"
        )
        raise typer.Exit(stop.exit_code)
    if results.counts.total() == results.counts["unreadable"]:
        raise PadimError(f"{images}: none of the files could be used")
    if fail_on_reject and results.counts.total() != results.counts["accept"]:
        raise typer.Exit(1)


def _rows(
    model: Padim,
    reading: _Reading,
    results: Results,
    output: Path,
    panel_side: int,
    masks: bool,
    batch_size: int,
    cancel: Stop,
) -> Iterator[dict[str, Any]]:
    """Every file's row, with its evidence written already and the row given to ``results``."""
    from padim.output.results import decision_document

    def others() -> Iterator[dict[str, Any]]:
        for order, row in reading.bad():
            results.add(row, order)
            yield row
        for order, place in reading.kept():
            yield results.keep(place, order)

    scoring = model.predict(reading, batch_size=batch_size, cancel=cancel, on_error=reading.failed.append)
    for scored in scoring:
        yield from others()
        file = reading.take(scored.name)
        decision = model.decide(scored)
        row = decision_document(
            scored.name,
            scored.sha256,
            scored.original_size,
            scored.score_level,
            scored.quantizer,
            decision,
            model.verdict(scored.score_level),
        )
        row |= _evidence(file.stem, file.content, scored, decision, output, panel_side, masks)
        results.add(row, file.order)
        yield row
    yield from others()


@dataclass(frozen=True)
class _File:
    """A file on its way through the network.

    Attributes:
        content: its bytes, for the panel.
        order: its place among all files.
        stem: names its evidence.
    """

    content: bytes
    order: int
    stem: str


class _Reading:
    """The source's files that are not judged yet, each kept from its reading until its result has come."""

    def __init__(
        self, source: Source, output: Path, journal: Journal, batch: int, *, panels: bool, masks: bool
    ) -> None:
        """
        Args:
            source: the images.
            output: where the evidence of those judged before is.
            journal: their rows.
            batch: how many images the network takes at once. Rows are taken over by whole batches, so that
                the others come in the batches in which they would have come: the same numbers to the bit.
            panels, masks: what evidence there is to be.
        """
        from padim.output.results import FileNames

        self._source, self._output, self._journal = source, output, journal
        self._folders = {"panel": "panels/{}.jpg" if panels else "", "mask": "masks/{}.png" if masks else ""}
        self._names = FileNames()
        self._to_keep = len(journal.rows) - len(journal.rows) % batch
        self._under_way: dict[str, _File] = {}
        self._order = self._reported = 0
        self._bad: list[tuple[int, dict[str, Any]]] = []
        self._kept: list[tuple[int, int]] = []
        self.n_kept = 0
        self.failed: list[ImageError] = []

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for name, content in self._source:
            self._note_skipped()
            file = _File(content, self._next(), self._names.take(name))
            place = self._scored_before(name, file)
            if place is not None:
                self._kept.append((file.order, place))
                self.n_kept += 1
                continue
            self._under_way[name] = file
            yield name, content
        self._note_skipped()

    def _next(self) -> int:
        self._order += 1
        return self._order

    def _note_skipped(self) -> None:
        """Files that the source has passed over since it was asked last; they stand where they were found."""
        from padim.output.results import unusable

        for error in self._source.skipped[self._reported :]:
            self._reported += 1
            self._bad.append((self._next(), unusable(error.name, error.reason)))

    def _scored_before(self, name: str, file: _File) -> int | None:
        """Where the row of this very file stands in the journal, if its evidence is all there."""
        from padim.data.loading import content_hash

        digest, place = self._journal.rows.get(name, ("", 0))
        if self.n_kept >= self._to_keep or not digest or digest != content_hash(file.content):
            return None
        row = self._journal.row(place)
        for kind, pattern in self._folders.items():
            path = pattern.format(file.stem)
            if row.get(kind, "") != path or (path and not (self._output / path).is_file()):
                return None
        return place

    def take(self, name: str) -> _File:
        return self._under_way.pop(name)

    def bad(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Places and rows of the files that cannot be used, found since the last call."""
        from padim.data.loading import content_hash
        from padim.output.results import unusable

        while self._bad:
            yield self._bad.pop(0)
        while self.failed:
            error = self.failed.pop(0)
            file = self._under_way.pop(error.name)
            yield file.order, unusable(error.name, error.reason, content_hash(file.content))

    def kept(self) -> Iterator[tuple[int, int]]:
        """Places among the files, and in the journal, of those judged before, found since the last call."""
        while self._kept:
            yield self._kept.pop(0)


def _evidence(
    stem: str, content: bytes, scored: Prediction, decision: Any, output: Path, panel_side: int, masks: bool
) -> dict[str, str]:
    from padim.data.decode import decode
    from padim.output.render import encode_jpeg, encode_png, four_panel, mask_image
    from padim.storage.atomic import write_atomic

    files = {}
    if panel_side:
        strip = four_panel(
            decode(content, scored.name),
            scored.levels,
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


def _show_results(terminal: Terminal, results: Results, worst: list[dict[str, Any]], output: Path) -> None:
    from padim.text import count, multiple

    table = columns(
        [("image", False), ("verdict", False), ("score", True), ("× threshold", True), ("regions", True)]
    )
    for row in worst:
        table.add_row(
            summary.plain(row["name"]),
            f"[{_COLOURS[row['verdict']]}]{row['verdict']}[/]",
            f"{row['score']:.4g}",
            multiple(row["score"], row["threshold"]).removesuffix(" ×"),
            str(len(row["regions"])),
        )
    counts = results.document()["counts"]
    text = ", ".join(
        f"{number:,} {name}" for name, number in counts.items() if number or name in ("accept", "reject")
    )
    total = results.counts.total()
    shown = titled(f"The {len(worst)} highest scores", table) if total > len(worst) > 1 else table
    document = {**results.document(), "output": str(output), "results": str(output / "results.json")}
    terminal.result(
        document, shown, "", f"{count(total, 'file')}: [bold]{text}[/]  →  {summary.plain(output)}"
    )
