"""Logic of the Compare page: the configurations, a background study of them, and its results as text.

Each study has its own folder in the workspace, named after the chosen images: choosing the same images again
continues it, also in another session. Nothing that was computed once is computed again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import ImageError, PadimError
from padim.network import backbone
from ui import fit as fitting
from ui import library
from ui.app import state, workspace
from ui.app.text import count
from ui.files import folders, image_input, uploads
from ui.jobs import watch, work_queue
from ui.widgets import networks
from ui.widgets.tables import Cell

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from padim.study.data import Category
    from padim.study.folders import EarlierStudy
    from padim.study.plan import Variant
    from padim.study.ranking import Overall, Standing, Table
    from padim.study.runner import Study
    from padim.worker.images import Labeled
    from ui.jobs.jobs import Job

UPLOADER = "compare"
SIZES = (128, 192, 256, 320, 384, 448, 512)


@dataclass
class Comparing:
    """The Compare page's state in one session.

    Attributes:
        categories: the chosen images as data sets; empty until images are chosen.
        image_set: the chosen images as the user supplied them.
        label: describes the images to the user.
        oblong: (height, width) of the input near their parts' shape; None if they are about square.
        folder: the folder of their study, or of an earlier study that is shown.
        key: key of the background job.
        loaded: folder, modification time (nanoseconds) and content of the study last read.
    """

    categories: tuple[Category, ...] = ()
    image_set: image_input.ImageSet | None = None
    label: str = ""
    oblong: tuple[int, int] | None = None
    folder: Path | None = None
    key: str | None = None
    loaded: tuple[Path, int, Study] | None = None


def offered() -> tuple[list[str], int]:
    """Return the networks whose weights are on this server, and the number of the other networks."""
    here = [name for name in backbone.REGISTRY if networks.status(name).kind == "here"]
    return here, len(backbone.REGISTRY) - len(here)


def estimate(variants: Sequence[Variant], categories: Sequence[Category]) -> str:
    """Describe the amount of work: the numbers of runs, of network passes and of methods that train."""
    from padim.study.combinations import network_passes, that_train

    passes, trained = network_passes(variants), that_train(variants)
    images = sum(len(one.normals) + len(one.tests) for one in categories)
    on = count(len(categories), "data set")
    more = f" {count(trained, 'of them trains', 'of them train')}, which takes minutes." if trained else ""
    return (
        f"{count(len(variants), 'configuration')} on {on}: {count(len(variants) * len(categories), 'run')}. "
        f"{count(passes, 'pass', 'passes')} of a network over {count(images, 'image')}.{more}"
    )


# -- state of the session --------------------------------------------------------------------------------


def memory() -> Comparing:
    """Return this session's state of the page."""
    return state.lasting(Comparing)


def take(image_set: image_input.ImageSet, into: Entry | None = None) -> None:
    """Use these images for the comparison.

    Args:
        image_set: the images, with labels.
        into: the model to whose image library they are added; images of several data sets, which show
            several kinds of parts, are added to none.

    Raises:
        PadimError: there are too few good parts among them, or none at all.
    """
    try:
        found = _categories(image_set)
    finally:
        # The data set references the files as long as they are needed, so the upload store need not.
        uploads.release(UPLOADER, image_set.files)
    clear()
    now = memory()
    now.categories, now.image_set, now.label = found, image_set, image_set.label
    now.folder = _folder(found, image_set.label)
    now.oblong = _oblong(found)
    if into is not None and len(found) == 1:
        library.keep_to_compare(into, found[0], image_set)


def _oblong(categories: Sequence[Category]) -> tuple[int, int] | None:
    """Return the input size near the shape of the parts, by one image of each data set; None for a square."""
    from padim.data.bit_depth import AS_PROPOSED
    from padim.data.decode import decode
    from padim.data.input_shape import input_shape_for

    sizes = []
    for one in categories:
        for sample in one.normals.samples.values():
            try:
                height, width, _ = decode(
                    one.normals.content(sample.file), sample.name, bit_depth=AS_PROPOSED
                ).shape
            except ImageError:
                continue
            sizes.append((height, width))
            break
    found = input_shape_for(sizes)
    return None if isinstance(found, int) else found


def _categories(image_set: image_input.ImageSet) -> tuple[Category, ...]:
    from padim.study.data import categories, category
    from padim.worker.images import categories_of_files

    if image_set.in_library is not None:
        return (category(image_set.name, image_set.in_library.dataset()),)
    if image_set.path is not None:
        return categories(image_set.path, beside=_beside(image_set.path))
    return categories_of_files(image_set.files, image_set.label)


def _beside(path: Path) -> bool:
    """Whether a folder's siblings are open to the app, which is so unless it is a root itself."""
    return path not in folders.roots()


@contextmanager
def _handed_over(
    image_set: image_input.ImageSet, job: Job[Any], good_of: str | None = None
) -> Iterator[Labeled]:
    """Provide the images to the worker process: all of them, or one category's good ones to fit on."""
    from padim.worker.images import Labeled

    with work_queue.handed_over(image_set, job) as at:
        beside = image_set.path is not None and _beside(image_set.path)
        label = image_set.label if image_set.in_library is None else image_set.name
        yield Labeled(at=at, label=label, beside=beside, good_of=good_of)


def sample(entry: Entry | None) -> image_input.SampleParts | None:
    """Return the sample's images; None if it is not installed, or the model in use is of other parts."""
    part = image_input.sample_part()
    if part is None or (entry is not None and not library.is_of_sample(entry)):
        return None
    return image_input.SampleParts(
        "Good parts and five kinds of defects with masks, to try it out.",
        lambda: image_input.ImageSet(
            image_input.from_folder(part, part.name).source, f"Sample: {part.name}", part.name, path=part
        ),
    )


def clear() -> None:
    """Drop the images and the job; stop it if it is still running."""
    now = memory()
    if now.key is not None:
        watch.registry().discard(now.key)
    now.categories, now.image_set, now.label, now.folder, now.key = (), None, "", None, None
    now.oblong = None


def job() -> Job[Study] | None:
    """Return this session's study job, running or ended, or None."""
    key = memory().key
    return None if key is None else watch.find(key)


def start(variants: Sequence[Variant]) -> None:
    """Run the study of the chosen images in the background, continuing from where it stopped before."""
    now = memory()
    folder, image_set, former = now.folder, now.image_set, job()
    assert folder is not None
    assert image_set is not None
    if former is not None and former.running:
        return
    if now.key is not None:
        watch.registry().discard(now.key)
    now.key = f"study:{uuid.uuid4().hex}"
    watch.start(
        now.key,
        f"Comparing on {now.label}",
        lambda job: _run(folder, variants, image_set, job),
        goes_on=True,
    )


def _run(
    folder: Path, variants: Sequence[Variant], image_set: image_input.ImageSet, job: Job[Study]
) -> Study:
    from padim.study.runner import load
    from padim.worker import messages

    with _handed_over(image_set, job) as images:
        request = messages.StudyRequest(
            folder=folder.absolute(),
            variants=[(one.name, one.config.model_dump(mode="json")) for one in variants],
            images=images,
        )
        done = work_queue.run("comparison", request, job)
    return replace(load(folder), again=done.again)


def found() -> Study | None:
    """Return the current study, complete or as far as it has come, or None if it has no results yet."""
    now, ended = memory(), job()
    if ended is not None and ended.state == "done":
        result: Study = ended.result
        return result
    return None if now.folder is None else _load(now.folder)


def _load(folder: Path) -> Study | None:
    """Return a study in the workspace, read again if its file has changed; None if it has no results."""
    from padim.study.runner import load

    now = memory()
    try:
        stamp = (folder / "study.json").stat().st_mtime_ns
        if now.loaded is None or now.loaded[:2] != (folder, stamp):
            now.loaded = folder, stamp, load(folder)
    except (OSError, PadimError):
        return None
    study = now.loaded[2]
    return study if study.done else None


# -- earlier studies -------------------------------------------------------------------------------------


def _root() -> Path:
    return workspace.root() / "studies"


def _folder(categories: Sequence[Category], label: str) -> Path:
    from padim.study.folders import study_folder

    return study_folder(_root(), categories, label)


def earlier() -> list[EarlierStudy]:
    """Return the studies in the workspace that have results, newest first."""
    from padim.study.folders import earlier_studies

    return earlier_studies(_root())


def show_earlier(one: EarlierStudy) -> None:
    """Show an earlier study."""
    clear()
    memory().folder = one.folder


def delete(folder: Path) -> None:
    """Delete a study permanently.

    Raises:
        BusyError: the study is at work, of another session for example.
    """
    from padim.study.folders import remove_study

    remove_study(_root(), folder)
    clear()


# -- fitting one of them ---------------------------------------------------------------------------------


def fit(category: Category, variant: Variant) -> None:
    """Fit a model of one configuration on the good parts of a data set; the Fit page shows it.

    Raises:
        PadimError: another fit is running.
    """
    running = fitting.fit_job()
    if running is not None and running.running:
        raise PadimError("A fit is at work already; wait for it, or cancel it on the Fit page.")
    image_set = memory().image_set
    assert image_set is not None
    name = f"{category.name} {variant.name}".replace(" · ", " ")[:60]
    fitting.begin(
        f"{name} {datetime.now():%d %b %H:%M}",
        variant.config,
        {},
        lambda job: _handed_over(image_set, job, category.name),
    )


# -- texts and table rows --------------------------------------------------------------------------------


def headline(ranked: Sequence[Overall], study: Study) -> str:
    """Return a Markdown sentence on which configurations rank first and how certain that is."""
    from padim.study.ranking import primary
    from ui.widgets.panels import plain

    by = primary(study)
    standings = [(one, one.standings[by.name]) for one in ranked if by.name in one.standings]
    known = [(one, at) for one, at in standings if at.figure.value is not None]
    if not known:
        return "There is nothing to rank the configurations by."
    best = [one for one, at in known if at.best]
    value = known[0][1].figure.value
    names = " and ".join(f"**{plain(one.variant)}**" for one in best[:3])
    more = f" and {len(best) - 3} more" if len(best) > 3 else ""
    verb = "rank first together" if len(best) > 1 else "ranks first"
    text = f"{names}{more} {verb}: {by.title[:1].lower()}{by.title[1:]} {value:.3f}."
    close = [one for one, at in known if at.close]
    if close:
        whom = "them" if best[1:] else "it"
        text += f" {count(len(close), 'other')} cannot be told apart from {whom} on these images."
    elif len(known) > len(best):
        rest = len(known) - len(best)
        text += f" {'The other is' if rest == 1 else 'All others are'} behind by more than chance explains."
    timed = [one for one in best if one.milliseconds]
    if len(timed) > 1:
        quickest = min(timed, key=lambda one: one.milliseconds or 0.0)
        text += f" The quicker of these is **{plain(quickest.variant)}**: {quickest.milliseconds:.0f} ms."
    return text


def against(standing: Standing | None) -> str:
    """Describe whether a configuration is behind the best, with the p value of the test."""
    from padim.study.ranking import p_words

    if standing is None or standing.figure.value is None:
        return "–"
    if standing.best:
        return "best"
    difference = standing.difference
    if difference is None or difference.p is None:
        return "not tested"
    p = p_words(standing)
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    return f"behind ({p})" if difference.real else f"not told apart ({p})"


def rows(ranked: Sequence[Overall], study: Study) -> dict[str, list[Any]]:
    """Return the columns of the sortable table by their titles, the best configuration first."""
    from padim.study.ranking import present, primary

    by = primary(study)
    columns: dict[str, list[Any]] = {
        "No.": list(range(1, len(ranked) + 1)),
        "Configuration": [one.variant for one in ranked],
    }

    def values(name: Any) -> list[float | None]:
        found = [one.standings.get(name) for one in ranked]
        return [None if at is None else at.figure.value for at in found]

    columns[by.title] = values(by.name)
    columns["95 % interval"] = [_between(one.standings.get(by.name)) for one in ranked]
    columns["Against the best"] = [against(one.standings.get(by.name)) for one in ranked]
    columns["False rejects (overkill)"] = [_percent(one.false_rejects) for one in ranked]
    columns["Expected false rejects (overkill)"] = [_share(one.promised) for one in ranked]
    columns["At most"] = [_share(one.promised_upper) for one in ranked]
    columns["Defects caught"] = [_percent(one.caught) for one in ranked]
    columns["Time per image"] = [one.milliseconds for one in ranked]
    columns["Fit"] = [one.fit_seconds for one in ranked]
    columns["Model"] = [None if one.model_bytes is None else one.model_bytes / 1e6 for one in ranked]
    for about in present(study):
        if about != by:
            columns[about.title] = values(about.name)
    return columns


def _between(standing: Standing | None) -> str:
    if standing is None or standing.figure.low is None or standing.figure.high is None:
        return "–"
    return f"{standing.figure.low:.3f} to {standing.figure.high:.3f}"


def _share(share: float | None) -> float | None:
    return None if share is None else share * 100


def _percent(rate: Any) -> float | None:
    return None if rate is None else float(rate.share * 100)


def by_category(shown: Table) -> tuple[list[str], list[list[Cell]]]:
    """Return the head and the rows of a table of one metric: one row per category, then their mean."""

    def cell(standing: Standing) -> Cell:
        value = standing.figure.value
        if value is None:
            return Cell("–", standing.figure.why)
        star = " *" if standing.close else ""
        return Cell(f"{value:.3f}{star}", _between(standing), strong=standing.best)

    head = ["Data set", *(one.variant for one in shown.rows[0][1])]
    lines = [[Cell(category), *map(cell, standings)] for category, standings in shown.rows]
    if shown.mean is not None:
        lines.append([Cell("Mean"), *map(cell, shown.mean)])
    return head, lines
