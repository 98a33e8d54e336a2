"""The ``sensitivity`` command: find the size and contrast of defects that are caught, by painted defects."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import options, summary
from padim.cli.measuring import measuring, model_at
from padim.cli.terminal import Terminal, columns, facts
from padim.errors import ImageError, PadimError
from padim.output import to_json

if TYPE_CHECKING:
    from padim.analysis.detection_curve import Reach
    from padim.analysis.sensitivity import Sensitivity
    from padim.data.labeled_images import ImageSelection
    from padim.model import Padim

PAINTED = "What is painted"


def sensitivity(
    terminal: Terminal,
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model: a folder or a .zip.")],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Good parts that the model was not fitted on: a folder or a .zip. Of labelled images, only "
            "the good ones are used.",
        ),
    ],
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            metavar="A,B,C",
            help="Some of scratch, spot, stain, dent, missing; default all.",
            rich_help_panel=PAINTED,
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            metavar="PIXELS",
            help="Ascending sizes in map pixels, separated by commas; default five from 1/64 to 1/4 of the "
            "map.",
            rich_help_panel=PAINTED,
        ),
    ] = None,
    contrasts: Annotated[
        str | None,
        typer.Option(
            "--contrasts",
            metavar="PERCENT",
            help="Ascending contrasts in percent of the full range, separated by commas; default 5,10,20,40.",
            rich_help_panel=PAINTED,
        ),
    ] = None,
    places: Annotated[
        int,
        typer.Option("--places", min=1, metavar="N", help="Places on each image.", rich_help_panel=PAINTED),
    ] = 2,
    most: Annotated[
        int,
        typer.Option(
            "--images",
            min=1,
            metavar="N",
            help="Maximum number of images to paint on.",
            rich_help_panel=PAINTED,
        ),
    ] = 24,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            metavar="N",
            help="Seed of places and outlines.",
            rich_help_panel=PAINTED,
        ),
    ] = 0,
    percentile: options.Percentile = None,
    threshold: options.Threshold = None,
    min_area: options.MinArea = None,
) -> None:
    """Find the smallest defect that is caught, without any defective part.

    Scratches, spots, stains, dents and missing patches are painted on images of good parts, which are decided
    at the model's threshold, or at the one given here. A defect is caught if a region of the mask overlaps
    it.

    Real defects look different: confirm the results with real parts.
    """
    from padim.analysis import sensitivity as engine
    from padim.analysis.fit_overlap import passed_over
    from padim.analysis.synthetic_defects import KINDS
    from padim.data.account import FileAccount, PassedOver

    model = model_at(terminal, path, percentile=percentile, threshold=threshold, min_area=min_area)
    images = good_images(folder)
    shares = _numbers("--contrasts", contrasts)
    settings: dict[str, Any] = {
        "kinds": KINDS if kinds is None else [name.strip() for name in kinds.split(",")],
        "sizes": _numbers("--sizes", sizes),
        "contrasts": engine.CONTRASTS if shares is None else [share / 100 for share in shares],
    }
    failed: list[ImageError] = []
    known: dict[str, list[str]] = {"fit": [], "not_good": []}
    with measuring(terminal) as (progress, stop):
        found = engine.measure(
            model,
            images,
            **settings,
            places=places,
            most_images=most,
            seed=seed,
            progress=progress,
            cancel=stop,
            on_error=failed.append,
            on_known=lambda name, status: known[status].append(name),
        )
    account = FileAccount.of(len(found.images), images, failed)
    account += FileAccount(0, passed_over=passed_over(known["fit"]))
    not_good = "excluded from the fit as not good"
    account += FileAccount(0, passed_over=tuple(PassedOver(name, not_good) for name in known["not_good"]))
    document = {
        **summary.document(model, path),
        "folder": str(folder),
        **_document(found),
        "files": account.to_dict(),
        "skipped": to_json.skipped(account.refused),
    }
    terminal.result(document, *_shown(found, model, path))
    _print_notes(terminal, found)
    terminal.files(account)


def good_images(path: Path) -> ImageSelection:
    """Return the good images of a labelled data set, or all images if there are no labels.

    Raises:
        PadimError: there are no images.
    """
    from padim.data.labeled_images import good_ones, open_labeled

    found = open_labeled(path, "holds no images; give a folder or a zip with images of good parts")
    # If no image is labelled good, the label is more likely just a folder's name.
    return good_ones(found if found.good else found.all_good())


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(math.isfinite(value) for value in values):
        raise PadimError(f"{option} takes numbers separated by commas, not '{text}'")
    return values


def _document(found: Sensitivity) -> dict[str, Any]:
    share, places = found.by_place()
    return {
        **to_json.sensitivity(found),
        "places": len(found.places),
        "over_contrast": [
            {"kind": kind, "size": size, **to_json.curve(found.over_contrast(kind, size))}
            for kind in found.kinds
            for size in found.sizes
        ],
        "by_place": {
            "share_caught": [[None if math.isnan(x) else x for x in row] for row in share.tolist()],
            "places": places.tolist(),
        },
    }


def _shown(found: Sensitivity, model: Padim, path: Path) -> list[Any]:
    from padim.text import count

    across, down = found.scale
    scale = f"{across:.3g}" if round(across, 6) == round(down, 6) else f"{across:.3g} × {down:.3g}"
    rows = [
        ("threshold", summary.threshold_text(model)),
        ("promise", summary.promise_text(model)),
        (
            "painted on",
            f"{count(len(found.places), 'place')} on {count(len(found.images), 'image')}, each setting "
            "on all of them",
        ),
        ("sizes", f"in map pixels; one is {scale} image pixels"),
    ]
    table = columns(
        [
            ("defect", False),
            ("contrast", True),
            *((f"size {size:g}", True) for size in found.sizes),
            ("50 % caught at", True),
            ("90 % at", True),
        ]
    )
    for kind in found.kinds:
        for index, contrast in enumerate(found.contrasts):
            curve = found.over_size(kind, contrast)
            table.add_row(
                kind if index == 0 else "",
                f"{contrast:.3g}" if contrast < 0.01 else f"{contrast * 100:.3g} %",
                *("–" if not rate.of else f"{rate.share * 100:.0f} %" for rate in curve.rates),
                _reached(curve.at_50, found.sizes),
                _reached(curve.at_90, found.sizes),
            )
    n = len(found.places)
    notes = f"[dim]Shares of {count(n, 'place')}; --json gives their exact 95 % intervals.[/]"
    return [
        "",
        facts(rows, summary.plain(f"{path.name}: painted defects caught")),
        "",
        table,
        notes,
        *_map(found),
    ]


def _reached(reach: Reach, sizes: tuple[float, ...]) -> str:
    """Format a size; one outside the tested sizes is given as a bound."""
    if reach.value is not None:
        return f"{reach.value:.3g}"
    return f"≤ {sizes[0]:g}" if reach.below else f"> {sizes[-1]:g}"


def _map(found: Sensitivity) -> list[Any]:
    """Return the share caught by place, laid out as on the image, to show the model's blind spots."""
    from rich.text import Text

    share, _ = found.by_place()
    lines = []
    for row in share.tolist():
        cells = ["  ·" if math.isnan(value) else f"{value * 100:3.0f}" for value in row]
        lines.append(" ".join(cells))
    return ["", "[bold]Caught by place, in percent over all settings[/]", Text("\n".join(lines))]


def _print_notes(terminal: Terminal, found: Sensitivity) -> None:
    from padim.text import count

    if found.in_fit:
        terminal.note(
            f"{count(found.in_fit, 'image')} skipped: the model was fitted on them, so that they do not "
            "represent new parts"
        )
    if found.not_good:
        terminal.note(f"{count(found.not_good, 'image')} skipped: excluded from the fit as not good")
    if found.guard_band:
        terminal.note(
            "caught is what is marked, that is above the threshold; what scores within the guard band is in "
            "review, and neither accepted nor rejected"
        )
    if found.bare_rejected:
        above = "above the threshold" if found.guard_band else "rejected"
        terminal.note(
            f"{found.bare_rejected} of {count(len(found.images), 'image')} are {above} before anything is "
            "painted on them; places that are marked already do not count"
        )
