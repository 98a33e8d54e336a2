"""The ``score`` command: decide on images, and write results.csv, results.json, panels and masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from padim.cli import options, score_records, summary
from padim.cli.options import decide
from padim.cli.score_pending import PendingFiles
from padim.cli.score_places import journal_in
from padim.cli.stopping import Stop
from padim.cli.terminal import Terminal, columns, titled
from padim.errors import Cancelled, ImageError, PadimError

if TYPE_CHECKING:
    from padim.cli.score_records import ScoreRecorder
    from padim.model import Padim, Prediction
    from padim.output.results import Results

_WORST, _NAMED = 10, 20
_COLORS = {"reject": "bold red", "review": "yellow", "accept": "green"}


def score(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    images: Annotated[
        Path, typer.Argument(metavar="DIR", help="Images to score: a folder, a zip or an image.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="Folder for the results; created if missing."),
    ],
    panels: Annotated[
        bool,
        typer.Option(
            "--panels/--no-panels",
            help="Write a panel for each image: original, heatmap, mask and overlay side by side.",
        ),
    ] = True,
    panel_side: Annotated[
        int, typer.Option("--panel-side", metavar="PIXELS", help="Longest side of one panel, 32 to 8192.")
    ] = 768,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks/--no-masks",
            help="Write a mask of each image's original size: 255 where it is rejected, 0 elsewhere.",
        ),
    ] = True,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume a scoring that was stopped, or add images to a complete one: images that the same "
            "model has scored at the same threshold are not scored again.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in OUT.")] = False,
    fail_on_reject: Annotated[
        bool,
        typer.Option(
            "--fail-on-reject",
            help="Exit with 1 unless every file is an accepted image: any reject, review, unreadable file or "
            "file that is not an image gives exit code 1. Hidden files and leftovers of operating systems do "
            "not count.",
        ),
    ] = False,
    csv_form: Annotated[
        Literal["comma", "semicolon"],
        typer.Option(
            "--csv",
            help="Form of results.csv: comma with decimal points, or semicolon with decimal commas.",
        ),
    ] = "comma",
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
    pixel_size: options.PixelSize = None,
    record: score_records.Record = False,
    part_number: score_records.PartNumber = "",
    serial: score_records.Serial = "",
    lot: score_records.Lot = "",
    station: score_records.Station = "",
    shift: score_records.Shift = "",
    name_pattern: score_records.NamePattern = "",
    who: score_records.Who = "",
) -> None:
    """Score images, decide on each, and write the results with panels and masks.

    Writes [b]results.csv[/], [b]results.json[/], [b]panels[/] and [b]masks[/] into OUT; sub-folders of DIR
    are kept. Threshold and smallest region are the model's unless given here; the model is not changed.

    Files that cannot be read get a row with an error; files that are not images get one at the end. Without
    --fail-on-reject, they and rejects leave the exit code at 0. If the command is stopped for any reason, the
    rows of all scored images are kept in
    [b]results.partial.jsonl[/], and [b]--resume[/] continues from there; after Ctrl-C they are also in the
    results, which are marked as interrupted.

    With [b]--record[/] every verdict is kept on record too, as on the app's page Inspect; images that were
    reused by --resume are on record from the scoring before. What cannot be recorded is said at the end,
    with exit code 2.
    """
    from padim.analysis.fit_overlap import marked
    from padim.analysis.other_product import Strangers
    from padim.data.account import FileAccount, nothing_to_read
    from padim.data.opening import open_source
    from padim.model import Padim
    from padim.output.results import Results, model_columns
    from padim.output.scoring_journal import rows_kept
    from padim.storage import bundle
    from padim.text import count

    if not 32 <= panel_side <= 8192:
        raise PadimError(f"--panel-side must be from 32 to 8192 pixels, not {panel_side}")
    fields = {
        "part_number": part_number,
        "serial": serial,
        "lot": lot,
        "station": station,
        "shift": shift,
    }
    record_options = score_records.RecordOptions(record, who, name_pattern, fields).checked()
    identity = bundle.Bundle(path).revision
    model = Padim.load(path)
    decide(model, percentile=percentile, value=threshold, min_area=min_area, pixel_size_mm=pixel_size)
    level = model.threshold_level  # raises before any work if the model has no threshold
    source = open_source(images)
    if not len(source):
        for _ in source:  # completes the account of what is there
            pass
        raise nothing_to_read(str(images), source, "give a folder or a zip with images to score")
    recorder = score_records.ScoreRecorder(path, model, output, record_options) if record else None
    if recorder is not None:
        recorder.check_parts(source.names())
        if unread := recorder.unread(source.names()):
            more = f"; and {len(unread) - _NAMED:,} more" if len(unread) > _NAMED else ""
            what = count(len(unread), "name does", "names do")
            terminal.warn(f"{what} not match and take the options: {'; '.join(unread[:_NAMED])}{more}")
    shown_side = panel_side if panels else 0
    shared = {
        **model_columns(model, path.resolve().name, identity, identity, level),
        "backbone": model.config.backbone,
        "random_weights": summary.is_random(model),
    }
    header = {
        **shared,
        "threshold": float(f"{model.state.fitted.quantizer.to_value(level):.6g}"),
        "folder": str(images),
    }
    run_settings = {
        **{key: header[key] for key in ("model_id", "threshold", "min_area", "pixel_size_mm")},
        "panel_side": shown_side,
        "masks": masks,
    }
    with ExitStack() as exits:
        journal = exits.enter_context(
            journal_in(output, images, run_settings, terminal, resume=resume, force=force)
        )
        if summary.is_random(model):
            terminal.warn(f"{path}: the network has random weights; its verdicts mean nothing")
        size = model.network.extractor.batch_size(model.state.fitted.detector.scoring_bytes())
        pending = PendingFiles(source, output, journal, size, panels=panels, masks=masks)
        # Only the rows for the terminal are kept in memory; all rows are in the files.
        unreadable: list[ImageError] = []
        worst: list[dict[str, Any]] = []
        stop = exits.enter_context(Stop(terminal))
        results = exits.enter_context(Results(output, shared, header, journal, csv_form=csv_form))
        try:
            with terminal.progress() as progress:
                for row in _rows(model, pending, results, output, shown_side, masks, size, stop, recorder):
                    progress(results.counts.total(), len(source), "Scoring images")
                    if row.get("error") and len(unreadable) < _NAMED:
                        unreadable.append(ImageError(row["name"], row["error"]))
                    elif not row.get("error"):
                        worst = sorted([*worst, row], key=lambda one: -one["score"])[:_WORST]
                    if stop():  # a batch of large images takes a while to draw
                        raise Cancelled("stopped on request")
        except (Cancelled, KeyboardInterrupt):
            results.interrupt(f"{results.counts.total()} of {len(source)} images were scored")
        except OSError:
            if kept := rows_kept(output):
                terminal.note(f"{count(kept, 'image')} scored and kept in {output}; use --resume")
            raise
        finally:
            results.passed_over = list(source.passed_over)
            if recorder is not None:
                recorder.flush()
    if pending.n_reused:
        terminal.note(f"{count(pending.n_reused, 'image')} scored before: results reused")
    _show_results(terminal, results, worst, output)
    if model.self_test_.state == "noted":
        terminal.note(f"self-test of the model: {model.self_test_.sentence}")
    if text := Strangers(tuple(pending.strangers), pending.judged).sentence:
        terminal.warn(text)
    if recorder is not None:
        terminal.note(f"{count(recorder.recorded, 'image')} on record in {recorder.root}")
    if results.lost:
        terminal.note(f"the part was not found in {count(results.lost, 'image')}; the column lost says why")
    if results.noted:
        terminal.note(
            f"{count(results.noted, 'image is', 'images are')} unlike the good parts in shape, size or "
            "colors; the column notes of results.csv says how"
        )
    used = results.counts.total() - results.counts["unreadable"]
    account = FileAccount(used, tuple(unreadable), tuple(results.passed_over))
    terminal.files(account, results.counts["unreadable"])
    if results.in_fit:
        terminal.warn(marked(results.in_fit, used))
    if results.interrupted is not None:
        terminal.error(
            f"stopped; {results.interrupted}, and {output / 'results.csv'} is marked as interrupted; "
            "run the same command with --resume to continue"
        )
        raise typer.Exit(stop.exit_code)
    if results.counts.total() == results.counts["unreadable"]:
        raise PadimError(f"{images}: none of the files could be used")
    if recorder is not None and recorder.problem:
        raise PadimError(recorder.problem)
    if fail_on_reject and (results.counts.total() != results.counts["accept"] or account.of_user):
        raise typer.Exit(1)


def _rows(
    model: Padim,
    pending: PendingFiles,
    results: Results,
    output: Path,
    panel_side: int,
    masks: bool,
    batch_size: int,
    cancel: Stop,
    recorder: ScoreRecorder | None,
) -> Iterator[dict[str, Any]]:
    """Yield the row of every file, after its panel and mask are written and ``results`` has the row."""
    from padim.analysis.fit_overlap import KnownImages
    from padim.analysis.other_product import is_stranger, stranger_limit
    from padim.output.results import decision_document, place_of

    known, limit = KnownImages.of(model), stranger_limit(model)

    def rows_without_scoring() -> Iterator[dict[str, Any]]:
        for order, row in pending.unusable():
            results.add(row, order)
            yield row
        for order, offset in pending.reused():
            yield results.keep(offset, order)

    scoring = model.predict(
        pending,
        batch_size=batch_size,
        thumbnail_side=None if recorder is None else recorder.thumbnail_side,
        cancel=cancel,
        on_error=pending.failed.append,
    )
    for scored in scoring:
        yield from rows_without_scoring()
        file = pending.take(scored.name)
        decision = model.decide(scored)
        row = decision_document(
            scored.name,
            scored.sha256,
            scored.original_size,
            scored.score_level,
            scored.quantizer,
            decision,
            decision.verdict,
            scored.notes,
            in_fit=known.in_fit(scored),
            place=place_of(model, scored),
            pixel_size_mm=model.config.pixel_size_mm,
        )
        row |= _evidence(
            file.stem, file.content, scored, decision, output, panel_side, masks, model.config.bit_depth
        )
        if recorder is not None:
            recorder.add(decision, file.content)
        results.add(row, file.order)
        pending.judged += 1
        if is_stranger(scored, limit):
            pending.strangers.append(scored.name)
        yield row
    yield from rows_without_scoring()


def _evidence(
    stem: str,
    content: bytes,
    scored: Prediction,
    decision: Any,
    output: Path,
    panel_side: int,
    masks: bool,
    bit_depth: int | None,
) -> dict[str, str]:
    from padim.data.decode import decode
    from padim.output.render import encode_jpeg, encode_png, four_panel, mask_image
    from padim.storage.atomic import write_atomic

    files = {}
    if panel_side:
        strip = four_panel(
            decode(content, scored.name, bit_depth=bit_depth),
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

    headings = [
        ("image", False),
        ("verdict", False),
        ("score", True),
        ("× threshold", True),
        ("regions", True),
    ]
    located = any("lost" in row for row in worst)
    table = columns([*headings, ("why", False)] if located else headings)
    for row in worst:
        table.add_row(
            summary.plain(row["name"]),
            f"[{_COLORS[row['verdict']]}]{row['verdict']}[/]",
            f"{row['score']:.4g}",
            multiple(row["score"], row["threshold"]).removesuffix(" ×"),
            str(len(row["regions"])),
            # The columns say it of the score.
            *(["; ".join(one for one in row["reasons"] if not one.startswith("score"))] if located else []),
        )
    counts = results.document()["counts"]
    text = ", ".join(
        f"{number:,} {name}" for name, number in counts.items() if number or name in ("accept", "reject")
    )
    total = results.counts.total()
    n_passed_over = sum(one.files for one in results.passed_over)
    if n_passed_over:
        text += f", {n_passed_over:,} passed over"
    shown = titled(f"The {len(worst)} highest scores", table) if total > len(worst) > 1 else table
    document = {**results.document(), "output": str(output), "results": str(output / "results.json")}
    terminal.result(
        document,
        shown,
        "",
        f"{count(total + n_passed_over, 'file')}: [bold]{text}[/]  →  {summary.plain(output)}",
    )
