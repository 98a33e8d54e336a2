"""The ``align`` command: try out locating the part, before a model is fitted with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from padim.cli import align_options, options, summary
from padim.cli.good_parts import good_parts_at
from padim.cli.measuring import measuring
from padim.cli.options import config_of
from padim.cli.terminal import Terminal, columns, facts
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.analysis.alignment_advice import Advice, Comparison
    from padim.analysis.alignment_trial import AlignmentTrial, Arm, Way
    from padim.analysis.locating_preview import LocatingPreview
    from padim.analysis.trial_defects import TrialDefect
    from padim.data.datasets import Dataset

# Names of the ways in which defects are caught, in the order of the table.
_WAYS: tuple[Way, ...] = ("map", "displacement", "not found", "missed")


def align(
    terminal: Terminal,
    images: Annotated[Path, typer.Argument(metavar="DIR", help="Images of good parts: a folder or a zip.")],
    method: align_options.Align = None,
    align_set: align_options.AlignSettings = None,
    folder: options.Folder = None,
    defects: Annotated[
        Path | None,
        typer.Option(
            "--defects",
            metavar="DIR|ZIP|CSV",
            help="Labelled images, as for evaluate; only the defects among them are used. Without it some "
            "are painted on good parts, which is only an indication.",
        ),
    ] = None,
    displaced: Annotated[
        str | None,
        typer.Option(
            "--displaced",
            metavar="A,B,C",
            help="The kinds of defects that are a part that does not lie as it should; default by their "
            "names (misplaced, rotated, flipped ...).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write images of good parts before and after, and the mean images, to a folder.",
        ),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=4, metavar="N", help="Largest number of images of good parts.")
    ] = 100,
    config: options.Config = None,
    preset: options.Preset = None,
    backbone: options.Backbone = None,
    input_size: options.InputSize = None,
    feature_norm: options.FeatureNorm = None,
    percentile: options.Percentile = None,
    random_weights: options.Random = False,
) -> None:
    """Find out whether locating the part helps, before a model is fitted with it.

    The same good parts are fitted twice, with and without --align, and the same defects are scored by both
    models, each at its own threshold. Reported are how differently the parts lie, in which images the part is
    not found and why, how much sharper the parts' mean image gets, the false rejects, the AUROC and the
    defects caught with and without, and what becomes of defects that are a displaced part. Locating is
    recommended only if it helps beyond chance.
    """
    from padim.analysis.alignment_advice import advise, compared
    from padim.analysis.alignment_trial import alignment_trial
    from padim.analysis.locating_preview import evenly, preview
    from padim.cli.fit import GroupsBy, look_over

    settings = config_of(
        config,
        preset,
        backbone=backbone,
        input_size=input_size,
        feature_norm=feature_norm,
        weights="random" if random_weights else None,
        align=align_options.align_settings(method, align_set),
    )
    if settings.align is None:
        raise PadimError("give a way of locating the part to try out: --align outline, template or features")
    source = good_parts_at(terminal, images, folder)
    failed: list[ImageError] = []
    with measuring(terminal) as (progress, stop):
        settings, groups, _ = look_over(terminal, settings, source, GroupsBy.likeness, progress, stop)
        trial = alignment_trial(
            source,
            settings,
            None if defects is None else _Defects.at(defects),
            groups=groups,
            displaced=None if displaced is None else [kind.strip() for kind in displaced.split(",")],
            percentile=percentile,
            most=most,
            progress=progress,
            cancel=stop,
            on_error=failed.append,
        )
        names = set(evenly([name for name in trial.names if name != trial.reference]))
        shown = preview(
            trial.locator,
            trial.reference,
            ((name, content) for name, content in source if name in names and isinstance(content, bytes)),
            total=len(names),
            bit_depth=settings.bit_depth,
            progress=progress,
            cancel=stop,
        )
        if output is not None:
            _write(output, shown)
    found, advice = compared(trial), advise(trial)
    terminal.result(
        _document(trial, found, advice, shown, images), *_shown(trial, found, advice, shown, images)
    )
    for error in failed:
        terminal.warn(str(error))


class _Defects:
    """The defects of a labelled data set, read anew each time they are iterated over."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @classmethod
    def at(cls, path: Path) -> _Defects:
        """Open a labelled data set.

        Raises:
            PadimError: there are no labels, or no defects.
        """
        from padim.data.datasets import open_dataset

        dataset = open_dataset(path, good_needed=False)
        if all(sample.good for sample in dataset.samples.values()):
            raise PadimError(f"{path}: holds no images labelled as defects")
        return cls(dataset)

    def __iter__(self) -> Iterator[TrialDefect]:
        from padim.analysis.trial_defects import TrialDefect

        for name, content in self._dataset:
            sample = self._dataset.samples[name]
            if not sample.good:
                yield TrialDefect(name, sample.kind, content)


def _write(folder: Path, shown: LocatingPreview) -> None:
    """Write the images of a preview as PNG files."""
    import numpy as np

    from padim.analysis.locating_preview import outlined
    from padim.data.preprocess import PAD_COLOR
    from padim.storage.atomic import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    written = [("reference.png", shown.reference_view)]
    for number, part in enumerate(shown.parts, start=1):
        before = outlined(part)
        after = part.same_place * 0 + np.uint8(PAD_COLOR[0]) if part.after is None else part.after
        height = max(len(before), len(after))
        sides = [
            np.pad(side, ((0, height - len(side)), (0, 8), (0, 0)), constant_values=255)
            for side in (before, after)
        ]
        written.append((f"part_{number:02d}.png", np.hstack(sides)))
    for name, mean in (("mean_before.png", shown.mean_before), ("mean_after.png", shown.mean_after)):
        if mean is not None:
            written.append((name, mean))
    for name, image in written:
        write_atomic(folder / name, _png(image))


def _png(image: Any) -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _document(
    trial: AlignmentTrial, found: Comparison, advice: Advice, shown: LocatingPreview, images: Path
) -> dict[str, Any]:
    from dataclasses import asdict

    def arm(one: Arm) -> dict[str, Any]:
        return {
            "threshold": one.threshold,
            "false_rejects": asdict(one.false_rejects),
            "not_found": [{"name": name, "reason": reason} for name, reason in one.lost],
            "outcomes": [
                {"name": name, "kind": kind, "way": outcome.way, "level": outcome.level}
                for (name, kind), outcome in zip(trial.defects, one.outcomes, strict=True)
            ],
        }

    spread = trial.spread
    return {
        "folder": str(images),
        "config": trial.config.model_dump(mode="json"),
        "reference": trial.reference,
        "frame": trial.locator.frame.to_json(),
        "parts": trial.parts,
        "pose_spread_95": None if spread is None else asdict(spread),
        "mean_sharpness": None if shown.sharpness is None else list(shown.sharpness),
        "defects": trial.source,
        "displaced_kinds": sorted(trial.displaced),
        "void_painted": trial.void,
        "without": arm(trial.without),
        "located": arm(trial.located),
        "comparison": asdict(found),
        "recommendation": advice.recommendation,
        "sentences": list(advice.sentences),
        "skipped": [str(error) for error in trial.skipped],
    }


def _shown(
    trial: AlignmentTrial, found: Comparison, advice: Advice, shown: LocatingPreview, images: Path
) -> list[Any]:
    from rich.text import Text

    spread = trial.spread
    rows = [
        ("reference part", summary.plain(trial.reference)),
        ("good parts", f"{trial.parts:,}, without the reference and those painted on"),
    ]
    if spread is not None:
        rows.append(
            (
                "how they lie",
                f"95 % within {spread.shift:.1f} px, {spread.turn:.1f}° and {spread.scale:.1f} % in size "
                "of the reference",
            )
        )
    if shown.sharpness is not None:
        before, after = shown.sharpness
        rows.append(("mean image", f"sharpness {before:.2f} before, {after:.2f} after; 1 is as one image"))
    lost = trial.located.lost
    if lost:
        reasons = Counter(reason for _, reason in lost)
        text = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common(3))
        rows.append(("not found", f"[yellow]{len(lost):,} good images: {summary.plain(text)}[/]"))
    table = columns([("", False), ("without", True), ("with", True)])
    arms = trial.without, trial.located
    table.add_row("threshold", *("none" if arm.threshold is None else f"{arm.threshold:.4g}" for arm in arms))
    table.add_row(
        "false rejects (overkill)",
        *(f"{arm.false_rejects.above:,} of {arm.false_rejects.n:,}" for arm in arms),
    )
    table.add_row("at most, with 95 % confidence", *(f"{arm.false_rejects.upper:.1%}" for arm in arms))
    if found.aurocs is not None:
        table.add_row("image AUROC", *(f"{value:.3f}" for value in found.aurocs))
    if found.recalls is not None:
        noun = "painted defects caught" if trial.source == "painted" else "defects caught"
        table.add_row(noun, *(f"{value:.0%} of {len(trial.defects):,}" for value in found.recalls))
    kinds = sorted({kind for _, kind in trial.defects})
    for kind in kinds if trial.source == "labelled" else ():
        pairs = trial.ways(kind)
        cells = []
        for side in (0, 1):
            ways = Counter(pair[side].way for pair in pairs)
            cells.append(", ".join(f"{ways[way]} {way}" for way in _WAYS if ways[way]))
        mark = " [dim](displaced)[/]" if kind in trial.displaced else ""
        table.add_row(f"  {summary.plain(kind)}{mark}", *cells)
    color = {"helps": "green", "worse": "red"}.get(advice.recommendation, "yellow")
    return [
        "",
        facts(rows, summary.plain(f"{images}: locating by {trial.config.align.method}")),  # type: ignore[union-attr]
        "",
        table,
        "",
        Text(advice.text, style=color),
    ]
