"""``score --record``: inspections in the workspace's database, with part number, lot, station and shift."""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from padim.errors import PadimError
from padim.text import clipped, count, one_line

if TYPE_CHECKING:
    from padim.analysis.fit_overlap import KnownImages
    from padim.model import Padim, Prediction
    from padim.records.inspection import NewInspection
    from padim.records.name_pattern import NamePattern as NamePatternType

PANEL = "Keeping the results on record"
_AT_ONCE = 16
_NAMED = 5
_LONGEST = 100

Record = Annotated[
    bool,
    typer.Option(
        "--record",
        metavar="",
        help="Keep every verdict on record in the model's workspace, as the app does; MODEL is a folder "
        "below [b]models[/] of a workspace. The same images with the same output folder are recorded once.",
        rich_help_panel=PANEL,
    ),
]
PartNumber = Annotated[
    str,
    typer.Option(
        "--part-number",
        metavar="NUMBER",
        help="Part number of the images; refused unless its recipe names this model.",
        rich_help_panel=PANEL,
    ),
]
Serial = Annotated[
    str,
    typer.Option("--serial", metavar="NUMBER", help="Serial number of the part.", rich_help_panel=PANEL),
]
Lot = Annotated[
    str, typer.Option("--lot", metavar="LOT", help="Production lot of the images.", rich_help_panel=PANEL)
]
Station = Annotated[
    str, typer.Option("--station", metavar="NAME", help="Inspection station.", rich_help_panel=PANEL)
]
Shift = Annotated[str, typer.Option("--shift", metavar="NAME", help="Work shift.", rich_help_panel=PANEL)]
NamePattern = Annotated[
    str,
    typer.Option(
        "--name-pattern",
        metavar="PATTERN",
        help="Read part number, serial, lot, station and shift from file names, such as "
        "{lot}-{serial}_{shift}; names that do not match take the options.",
        rich_help_panel=PANEL,
    ),
]
Who = Annotated[
    str,
    typer.Option(
        "--who", metavar="NAME", help="Who inspects; default: the login name.", rich_help_panel=PANEL
    ),
]


@dataclass(frozen=True)
class RecordOptions:
    """The options of a scoring that is kept on record; texts are empty where nothing is given."""

    record: bool = False
    who: str = ""
    name_pattern: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def checked(self) -> RecordOptions:
        """Return them as they are recorded.

        Raises:
            PadimError: one is given without ``--record``.
        """
        given = {key: one_line(value, _LONGEST) for key, value in self.fields.items() if value.strip()}
        alone = [*given, *(["who"] if self.who else []), *(["name-pattern"] if self.name_pattern else [])]
        if alone and not self.record:
            raise PadimError(f"--{alone[0].replace('_', '-')} is kept on record only: add --record")
        return RecordOptions(
            self.record, one_line(self.who or login_name(), _LONGEST), self.name_pattern, given
        )


def login_name() -> str:
    """Return the name of the user who is logged in, or "shell" if the system does not say."""
    try:
        return getpass.getuser() or "shell"
    except (OSError, KeyError, ImportError):  # an account without a name, as in containers
        return "shell"


class ScoreRecorder:
    """Records predictions a few at a time; scoring goes on if that fails, and :attr:`failed` says why.

    Attributes:
        recorded: number of images on record.
        missing: number of images that are not.
        failed: why the first of them could not be recorded.
    """

    def __init__(self, path: Path, model: Padim, output: Path, options: RecordOptions) -> None:
        """
        Args:
            path: the model, a folder of a workspace.
            model: the same model, with the threshold that decides.
            output: folder for the results, which tells one scoring of the same images from another.
            options: the checked options.

        Raises:
            PadimError: the model is in no workspace, or the name pattern is none.
        """
        from padim.analysis.fit_overlap import KnownImages
        from padim.records.name_pattern import NamePattern

        self.root, self.model_id = workspace_of(path)
        self._model, self._options = model, options
        self._known: KnownImages = KnownImages.of(model)
        self._version_id = _version_of(self.root, self.model_id, model)
        self._run = f"{self.model_id} {model.revision} {model.threshold_level} {output.resolve()}"
        self._pattern: NamePatternType | None = (
            NamePattern.of(options.name_pattern) if options.name_pattern else None
        )
        self._pending: list[NewInspection] = []
        self.recorded = self.missing = 0
        self.failed: BaseException | None = None

    def check_parts(self, names: Iterable[str]) -> None:
        """Check that the images show parts that this model inspects, before any is scored.

        Raises:
            PartNumberError: some do not; the message names them.
        """
        from padim.records.recipes import PartNumberError, Recipes

        recipes, typed = Recipes(self.root), self._options.fields.get("part_number", "")
        who, station = self._options.who, self._options.fields.get("station", "")
        by_name = self._pattern is not None and "part_number" in self._pattern.fields
        numbers = {name: self._fields(name).get("part_number", "") for name in names} if by_name else {}
        if typed:
            numbers["--part-number"] = typed
        others = recipes.others(numbers.values(), self.model_id)
        for number in filter(None, others):
            how = "shell" if number == typed else "file name"
            recipes.note("refused", number, who, station=station, how=how)
        if others:
            named = [
                f"{clipped(name, 80)} ({_part(number, others[number])})"
                for name, number in numbers.items()
                if number in others
            ]
            more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
            raise PartNumberError(
                f"not inspected by {self.model_id}: {', '.join(named[:_NAMED])}{more}; nothing was scored. "
                "Recipes are set in the app, on Models, Part numbers"
            )
        for number in dict.fromkeys(numbers.values()):
            how = "shell" if number == typed else "file name"
            recipes.note("switched", number, who, model_id=self.model_id, station=station, how=how)

    def unread(self, names: Iterable[str]) -> list[str]:
        """Return the names that the pattern does not read, each with the reason."""
        if self._pattern is None:
            return []
        return [f"{name}: {why}" for name, why in self._pattern.read_all(list(names))[1].items()]

    def add(self, prediction: Prediction, content: bytes) -> None:
        """Record a decided image, at once or together with the next ones.

        Args:
            prediction: the image's prediction, with its thumbnail.
            content: the image's file.
        """
        from padim.records.inspection import InspectionContext
        from padim.records.recording import new_inspection

        context = InspectionContext(who=self._options.who, source="shell", **self._fields(prediction.name))
        identity = f"{self._run} {prediction.sha256} {prediction.name}"
        self._pending.append(
            new_inspection(
                self._model,
                prediction,
                context,
                model_id=self.model_id,
                version_id=self._version_id,
                known=self._known,
                original=content,
                uid=uuid.uuid5(uuid.NAMESPACE_URL, identity).hex,
            )
        )
        if len(self._pending) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Record what was added; after a failure nothing more is tried."""
        from padim.records.inspections import InspectionRecords

        batch, self._pending = self._pending, []
        if self.failed is None:
            try:
                InspectionRecords(self.root).add(batch)
                self.recorded += len(batch)
                return
            except (PadimError, OSError) as error:
                self.failed = error
        self.missing += len(batch)

    @property
    def thumbnail_side(self) -> int:
        """Longest side in pixels of the small image that a record needs."""
        from padim.records.recording import THUMBNAIL_SIDE

        return THUMBNAIL_SIDE

    @property
    def problem(self) -> str:
        """What is not on record, and why, with the remedy; empty if everything is."""
        if self.failed is None:
            return ""
        why = str(self.failed).rstrip(".")
        what = count(self.missing, "image is", "images are")
        return (
            f"{what} not on record: {why}. The results are written; the same command with --force records "
            "what is missing, and nothing twice"
        )

    def _fields(self, name: str) -> dict[str, str]:
        read = {} if self._pattern is None else self._pattern.read(name).values
        return {**self._options.fields, **read}


def _version_of(root: Path, model_id: str, model: Padim) -> int | None:
    """Return the row of the version that a model is; None if that cannot be known, and scoring goes on."""
    from padim.records.versions import ModelVersions

    try:
        saved = ModelVersions(root, model_id).catch_up(patience=2.0)
    except (PadimError, OSError):  # as for the records themselves, whose failure says why
        return None
    return saved.id if saved is not None and saved.revision == model.revision else None


def _part(number: str, why: str) -> str:
    return f"part number {clipped(number, 60)} {why}" if number else "no part number"


def workspace_of(path: Path) -> tuple[Path, str]:
    """Return the workspace's folder and the id of a model in it.

    Raises:
        PadimError: the path is not a model of a workspace.
    """
    from padim.storage.model_folders import ModelFolders

    place = path.resolve()
    root = place.parent.parent
    folders = ModelFolders(root)
    if place.parent != folders.folder.resolve() or not folders.is_id(place.name):
        raise PadimError(
            f"{path}: --record needs a model of a workspace, such as workspace/models/flange-1a2b3c; other "
            "models have no database"
        )
    return root, place.name
