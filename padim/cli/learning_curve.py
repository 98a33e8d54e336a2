"""The ``learning-curve`` command: find how many good parts a model needs, by refits on subsets of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.measuring import measuring
from padim.cli.terminal import Terminal, columns, facts
from padim.errors import ImageError, PadimError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.analysis.learning_figures import LearningCurve, Spread
    from padim.cli.stopping import Stop
    from padim.data.datasets import Dataset
    from padim.data.loading import Progress
    from padim.model import Padim

SUBSETS = "The subsets"


def learning_curve(
    terminal: Terminal,
    path: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A saved model whose good parts' features were kept."),
    ],
    labeled: Annotated[
        Path | None,
        typer.Option(
            "--labelled",
            metavar="DIR|ZIP|CSV",
            help="Labelled images, as for evaluate; only the defects among them are used.",
        ),
    ] = None,
    painted: Annotated[
        bool,
        typer.Option("--painted", help="Use defects painted on some of the good parts; an indication only."),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="The images that the model was fitted on; needed if their features were not kept.",
        ),
    ] = None,
    draws: Annotated[
        int,
        typer.Option("--draws", min=1, metavar="N", help="Subsets of each size.", rich_help_panel=SUBSETS),
    ] = 5,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            metavar="A,B,C",
            help="Ascending numbers of parts, separated by commas; default 10,20,30,50 and so on up to all.",
            rich_help_panel=SUBSETS,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, metavar="N", help="Seed of the subsets.", rich_help_panel=SUBSETS),
    ] = 0,
    percentile: options.Percentile = None,
) -> None:
    """Find how many good parts are enough, by refitting the model on subsets of its parts.

    The model is refitted on random subsets of its parts, from their features on disk, and each fit sets its
    own threshold from the scores of its parts. Reported are the false rejects it promises, the share of the
    parts left out that it rejects, and the share of defects it catches. At the end one sentence says whether
    more parts would help, and how many are needed before a single unusual part no longer decides
    the threshold.
    """
    from padim.analysis import learning_curve as engine
    from padim.analysis.learning_advice import band_note
    from padim.data.account import FileAccount

    numbers = _numbers(sizes)
    dataset, defects = (None, None) if labeled is None else _defects(labeled)
    failed: list[ImageError] = []
    with measuring(terminal) as (progress, stop), _opened(path, images, progress, stop) as model:
        if summary.is_random(model):
            terminal.warn(f"{path}: the network has random weights; its figures mean nothing")
        found = engine.learning_curve(
            model,
            defects,
            painted=painted,
            sizes=numbers,
            draws=draws,
            percentile=percentile,
            seed=seed,
            progress=progress,
            cancel=stop,
            on_error=failed.append,
        )
        account = FileAccount(0, tuple(failed))
        if dataset is not None:
            account = FileAccount.of(len(found.names), dataset, failed)
        document = {
            **summary.document(model, path),
            "folder": None if labeled is None else str(labeled),
            "learning_curve": to_json.learning_curve(found),
            "files": account.to_dict(),
            "skipped": to_json.skipped(account.refused),
        }
        band = band_note(model)
    terminal.result(document, *_shown(found, path))
    if band:
        terminal.note(band)
    if found.passed_over:
        terminal.note(
            f"{found.passed_over} of the defects skipped: the model was fitted on them as good parts"
        )
    terminal.files(account)


@contextmanager
def _opened(path: Path, images: Path | None, progress: Progress, stop: Stop) -> Iterator[Padim]:
    """Load the model with its features: those saved with it, or extracted again from ``images``.

    Raises:
        PadimError: no features were kept and no images are given; the message names the remedy.
    """
    from padim.data.opening import open_source
    from padim.model import Padim
    from padim.storage.leftovers import ScratchFolder

    if images is not None:
        scratch = ScratchFolder()
        try:
            model = Padim.load(path, work_dir=scratch.name)
            model.working_set.rebuild(open_source(images), progress=progress, cancel=stop)
            yield model
        finally:
            scratch.cleanup()
        return
    work = path / "work"
    model = Padim.load(path, work_dir=work if work.is_dir() else None)
    if not model.working_set.has_features and model.working_set.problem is None:
        raise PadimError(
            f"{path}: the features of its good parts were not kept; give the images it was fitted on with "
            "--images, or fit it again with --keep-features"
        )
    yield model


def _defects(path: Path) -> tuple[Dataset, Iterator[tuple[str, bytes]]]:
    """Return a labelled data set and an iterator over its defects, as (name, content) pairs.

    Raises:
        PadimError: there are no labels, or no defects.
    """
    from padim.data.datasets import open_dataset

    dataset = open_dataset(path, good_needed=False)
    wanted = {name for name, sample in dataset.samples.items() if not sample.good}
    if not wanted:
        raise PadimError(f"{path}: holds no images labelled as defects")
    return dataset, ((name, content) for name, content in dataset if name in wanted)


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise PadimError(f"--sizes takes whole numbers separated by commas, not '{text}'") from None


def _shown(found: LearningCurve, path: Path) -> list[Any]:
    from rich.text import Text

    from padim.analysis.learning_advice import odd_parts, outlook, painted_note
    from padim.text import count

    rows = [
        ("good parts", f"{found.parts:,}"),
        ("threshold", f"at {found.permille / 10:g} % of each fit's own scores"),
    ]
    if found.defects == "labelled":
        rows.append(("defects", f"{count(len(found.names), 'labeled image')}"))
    elif found.defects == "painted":
        rows.append(("defects", f"{found.painted:,} painted on {count(len(found.names), 'good part')}"))
    heads = [("parts", True), ("fits", True), ("threshold", True), ("expected", True), ("at most", True)]
    heads.append(("left out, rejected", True))
    if found.defects is not None:
        heads.append(("caught", True))
    table = columns(heads)
    for size in found.sizes:
        cells = [
            f"{size.parts:,}",
            f"{len(size.trials)}",
            _between(size.threshold, 1, ".3g"),
            f"{size.promised.mean * 100:.1f} %",
            f"{size.promised_at_most.mean * 100:.1f} %",
            _percent(size.left_out),
        ]
        if found.defects is not None:
            cells.append(_percent(size.recall))
        table.add_row(*cells)
    notes = "[dim]Means over the fits of one size; minimum and maximum in brackets.[/]"
    text = [outlook(found), odd_parts(found.permille, found.parts), painted_note(found)]
    return [
        "",
        facts(rows, summary.plain(f"{path.name}: how many good parts it needs")),
        "",
        table,
        notes,
        "",
        *(Text(sentence) for sentence in text if sentence),
    ]


def _percent(found: Spread | None) -> str:
    return "–" if found is None else f"{_between(found, 100, '.1f')} %"


def _between(found: Spread, factor: float, form: str) -> str:
    mean, low, high = (format(value * factor, form) for value in (found.mean, found.low, found.high))
    return mean if low == high else f"{mean} ({low}–{high})"
