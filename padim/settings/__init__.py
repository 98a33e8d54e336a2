"""The settings of an installation: one object, read from the environment and from a YAML file.

:class:`Settings` has every setting. The setting ``max_megapixels`` is the variable ``PADIM_MAX_MEGAPIXELS``
of the environment, or the key ``max_megapixels`` of the file ``settings.yaml`` in the workspace (or of the
file that ``PADIM_SETTINGS`` names); the environment takes precedence. :func:`current` returns the settings in
force, and is cheap enough to be called for every image.

A misspelled name is refused with the nearest one, and a bad value with the values that are accepted.
"""

from padim.settings.fields import SettingGroup, SettingNote, Settings, about, in_environment, variable_of
from padim.settings.reading import FILE, current, file_path, problem, set_in_file, unknown_variables

__all__ = [
    "FILE",
    "SettingGroup",
    "SettingNote",
    "Settings",
    "about",
    "current",
    "file_path",
    "in_environment",
    "problem",
    "set_in_file",
    "unknown_variables",
    "variable_of",
]
