"""Every setting: its type, range, default and description.

To add one: add a field here, and a line to ``docs/reference/settings.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

__all__ = ["PREFIX", "SettingGroup", "SettingNote", "Settings", "about", "in_environment", "variable_of"]

PREFIX = "PADIM_"
SettingGroup = Literal["Places", "Network", "Images", "Limits", "App", "Service", "Logs"]


@dataclass(frozen=True)
class SettingNote:
    """What people need to know about a setting beside its type.

    Attributes:
        group: the heading under which it is listed.
        must_be: the accepted values, as the end of the sentence that refuses another.
        unit: unit of the value; empty if it has none.
        unset: what holds where the setting has no value, such as "all cores"; empty if it always has one.
        secret: whether the value is never shown.
        at_start: whether a change takes effect only when the program is started again.
        environment_only: whether the file cannot set it, because it is needed to find the file.
    """

    group: SettingGroup
    must_be: str
    unit: str = ""
    unset: str = ""
    secret: bool = False
    at_start: bool = False
    environment_only: bool = False


def _parts(separator: str) -> BeforeValidator:
    """Return a validator that splits a text at the separator; lists stay as they are."""

    def split(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(separator) if part.strip())
        return value

    return BeforeValidator(split)


def _whole(value: Any) -> Any:
    """Shorten a whole number of thousands of digits, which ``int`` refuses, to one that is as good."""
    if isinstance(value, str) and value.isdecimal():
        return int(value[-20:]) if not value[:-20].strip("0") else 10**20
    return value


def _home_expanded(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str | Path) else value


Positive = Annotated[float, Field(gt=0, lt=1e9)]
FilePath = Annotated[Path, BeforeValidator(_home_expanded)]


class Settings(BaseSettings):
    """All settings of an installation; unchanging.

    Use :func:`current` for the settings in force. ``Settings(threads=2)`` gives settings of a test, in which
    the environment still takes precedence.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # -- where things are ------------------------------------------------------------------------------------

    home: Annotated[
        FilePath | None,
        SettingNote("Places", "a folder", unset="the user's data folder", environment_only=True),
    ] = Field(
        None,
        description="The workspace: saved models with their image libraries, records, settings, and "
        "results of the Compare page.",
    )
    settings: Annotated[
        FilePath | None,
        SettingNote("Places", "a YAML file", unset="settings.yaml in the workspace", environment_only=True),
    ] = Field(None, description="The file of settings.")
    folders: Annotated[
        tuple[FilePath, ...],
        _parts(os.pathsep),
        SettingNote("Places", f"folders, separated by “{os.pathsep}”", unset="none: only uploads"),
    ] = Field((), description="Folders on this machine below which pages read images and watch folders.")
    cache: Annotated[FilePath | None, SettingNote("Places", "a folder", unset="the user's cache folder")] = (
        Field(None, description="Converted networks and downloaded weights.")
    )
    weights: Annotated[
        FilePath | None,
        SettingNote("Places", "a folder or a file", unset="the folder weights in the cache, then a download"),
    ] = Field(None, description="Weights of other networks.")
    database_url: Annotated[
        SecretStr | None,
        SettingNote(
            "Places",
            "postgresql://user:password@host:5432/database",
            unset="an SQLite file in the workspace",
            secret=True,
        ),
    ] = Field(None, description="The PostgreSQL database for records.")

    # -- what runs the network -------------------------------------------------------------------------------

    providers: Annotated[
        tuple[Annotated[str, Field(max_length=80)], ...],
        _parts(","),
        SettingNote(
            "Network",
            "some of cuda, openvino, directml, coreml and cpu, separated by commas",
            unset="all that are installed, the processor last",
        ),
    ] = Field((), description="What runs the network, in order of preference.")
    threads: Annotated[
        int,
        Field(ge=0),
        BeforeValidator(_whole),
        SettingNote("Network", "a whole number of threads, 0 for all cores", unset="all cores"),
    ] = Field(0, description="CPU threads for the network, at most as many as there are cores.")

    # -- reading images --------------------------------------------------------------------------------------

    max_megapixels: Annotated[
        Positive, SettingNote("Images", "a positive number of megapixels", unit="megapixels")
    ] = Field(25.0, description="The largest image that is read.")
    max_image_mb: Annotated[Positive, SettingNote("Images", "a positive number of megabytes", unit="MB")] = (
        Field(256.0, description="The largest file of one image that is read.")
    )
    decode_memory: Annotated[
        Positive | None,
        SettingNote(
            "Images",
            "a positive number of megabytes",
            unit="MB",
            unset="a quarter of the free memory, 800 to 2000 MB",
        ),
    ] = Field(
        None,
        description="Memory that all decoding of a process may take at a time; an image waits for its share.",
    )
    decode_seconds: Annotated[Positive, SettingNote("Images", "a positive number of seconds", unit="s")] = (
        Field(
            20.0,
            description="Decoding of an image that costs more than its size says is stopped after this time.",
        )
    )

    # -- limits ----------------------------------------------------------------------------------------------

    max_upload_mb: Annotated[
        int,
        Field(ge=1, le=1_000_000),
        SettingNote("Limits", "a whole number of megabytes from 1", unit="MB", at_start=True),
    ] = Field(1024, description="The largest upload of the app, such as a zip file.")
    max_images: Annotated[
        int,
        Field(ge=1, le=10_000_000),
        SettingNote("Limits", "a whole number of images from 1", unit="images"),
    ] = Field(100_000, description="The most images in one set: of a fit, a test set or a list.")
    max_jobs: Annotated[
        int, Field(ge=1, le=10_000), SettingNote("Limits", "a whole number of jobs from 1", unit="jobs")
    ] = Field(50, description="The most fits and other heavy jobs that run or wait in the app.")
    library_limit: Annotated[Positive, SettingNote("Limits", "a positive number of gigabytes", unit="GB")] = (
        Field(4.0, description="The largest image library of one model.")
    )
    workspace_limit: Annotated[
        Positive | None, SettingNote("Limits", "a positive number of gigabytes", unit="GB", unset="no limit")
    ] = Field(
        None,
        description="The largest workspace: beyond it no fit starts and no image is kept; inspecting "
        "goes on.",
    )
    retention_days: Annotated[
        Annotated[int, Field(ge=1, le=36_500)] | None,
        SettingNote(
            "Limits", "a whole number of days from 1", unit="days", unset="as chosen on the Records page"
        ),
    ] = Field(
        None,
        description="The longest time for which images are kept with records, whatever is chosen on the "
        "Records page; those that await a person stay.",
    )

    # -- the app ---------------------------------------------------------------------------------------------

    session_grace: Annotated[
        float,
        Field(ge=0, le=115),
        SettingNote("App", "a number of seconds from 0 to 115", unit="s", at_start=True),
    ] = Field(90.0, description="A page that was closed counts as gone after this time.")
    keep_hours: Annotated[
        float,
        Field(ge=0, le=720),
        SettingNote("App", "a number of hours from 0 to 720", unit="h", at_start=True),
    ] = Field(
        12.0,
        description="Lists, drafts, chosen images and measurements of a browser are kept for this time "
        "after its last page was closed.",
    )

    # -- logs ------------------------------------------------------------------------------------------------

    log_format: Annotated[Literal["text", "json"], SettingNote("Logs", "text or json", at_start=True)] = (
        Field("text", description="The form of log lines: text, or one JSON object a line.")
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        SettingNote("Logs", "debug, info, warning or error", at_start=True),
    ] = Field("info", description="The least severe messages that are logged.")
    log_names: Annotated[bool, SettingNote("Logs", "1 or 0")] = Field(
        False, description="Whether logs may have names of image files, part numbers and serials."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then what the constructor was given (the file); nothing else."""
        return _Environment(settings_cls), init_settings

    @property
    def max_image_bytes(self) -> int:
        """Largest file of one image, in bytes."""
        return round(self.max_image_mb * 2**20)


class _Environment(PydanticBaseSettingsSource):
    """The variables of the environment, by their exact names; an empty one counts as not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return in_environment(field_name) or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {name: text for name in Settings.model_fields if (text := in_environment(name))}


def variable_of(name: str) -> str:
    """Return the variable of the environment for a setting: ``PADIM_MAX_MEGAPIXELS`` for max_megapixels."""
    return PREFIX + name.upper()


def about(name: str) -> SettingNote:
    """Return what people need to know about a setting.

    Raises:
        KeyError: there is no such setting.
    """
    return next(found for found in Settings.model_fields[name].metadata if isinstance(found, SettingNote))


def in_environment(name: str) -> str:
    """Return a setting's value in the environment; empty if it is not set there."""
    return os.environ.get(variable_of(name), "").strip()
