"""Parse a Dockerfile into stages and steps, for scripts/container_root.py, which runs them without Docker.

What the two do not know is an error, never passed over: a step that was skipped would be a check that lies.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

KNOWN = frozenset(
    ("FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK")
) | {"ENTRYPOINT", "CMD", "LABEL"}


class DockerfileError(Exception):
    """A line that is not understood, with its number."""


@dataclass(frozen=True)
class Step:
    """One instruction.

    Attributes:
        line: number of its first line.
        name: the instruction, in capitals.
        flags: ``--name=value`` before its arguments.
        text: the arguments, lines joined.
    """

    line: int
    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments: of the JSON form, or cut as a shell would."""
        if self.text.startswith("["):
            found = json.loads(self.text)
            if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
                raise DockerfileError(f"line {self.line}: {self.name} has no list of strings")
            return found
        return shlex.split(self.text)


@dataclass
class Stage:
    """From one FROM to the next.

    Attributes:
        base: the image that it starts from, or the name of an earlier stage.
        name: its own name, or its number.
        steps: the instructions after FROM.
    """

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def last(self, name: str) -> Step | None:
        """Return the last instruction of a name, which is the one that counts."""
        return next((step for step in reversed(self.steps) if step.name == name), None)

    def environment(self) -> dict[str, str]:
        """Return what ENV sets."""
        found: dict[str, str] = {}
        for step in self.steps:
            if step.name == "ENV":
                found |= assignments(step)
        return found


def assignments(step: Step) -> dict[str, str]:
    """Return the pairs of an ENV or LABEL."""
    pairs = [word.partition("=") for word in step.words]
    if not all(equals for _, equals, _ in pairs):
        raise DockerfileError(f"line {step.line}: {step.name} needs NAME=value")
    return {name: value for name, _, value in pairs}


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # comments are left out within a continued line, too
        first = number if not parts else first
        stripped = line.rstrip()
        if stripped.endswith("\\"):
            parts.append(stripped[:-1].strip())
            continue
        yield first, " ".join([*parts, stripped.strip()])
        parts = []
    if parts:
        raise DockerfileError(f"line {first}: the file ends within a line that is to be continued")


def parse(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile.

    Raises:
        DockerfileError: an instruction that is not known here, or one before the first FROM.
    """
    stages: list[Stage] = []
    for number, line in _logical_lines(text):
        name, _, rest = line.partition(" ")
        name, rest = name.upper(), rest.strip()
        if name not in KNOWN:
            raise DockerfileError(f"line {number}: {name} is not known to this script")
        flags: dict[str, str] = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        step = Step(number, name, flags, rest)
        if name == "FROM":
            words = rest.split()
            named = words[2] if len(words) == 3 and words[1].upper() == "AS" else str(len(stages))
            if flags or len(words) not in (1, 3):
                raise DockerfileError(f"line {number}: FROM is image [AS name] here")
            stages.append(Stage(words[0], named))
        elif not stages:
            raise DockerfileError(f"line {number}: {name} before the first FROM")
        else:
            stages[-1].steps.append(step)
    if not stages:
        raise DockerfileError("there is no FROM")
    return stages


class Ignored:
    """What a ``.dockerignore`` keeps out of the build: the last pattern that fits decides."""

    def __init__(self, text: str) -> None:
        """Take the patterns of the file's text."""
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        self._kept: list[str] = []
        for line in text.splitlines():
            pattern = line.strip()
            if not pattern or pattern.startswith("#"):
                continue
            kept = pattern.startswith("!")
            pattern = pattern.lstrip("!").strip("/")
            self._rules.append((kept, _expression(pattern)))
            if kept:
                self._kept.append(pattern)

    def __call__(self, path: str) -> bool:
        """Return whether a file is left out; its path is relative, with slashes."""
        parents = [path, *(str(parent) for parent in Path(path).parents)][:-1]
        ignored = False
        for kept, expression in self._rules:
            if any(expression.fullmatch(one) for one in parents):
                ignored = not kept
        return ignored

    def below(self, folder: str) -> bool:
        """Return whether a file below a folder may be kept."""
        named = any("*" in kept or kept.startswith(f"{folder}/") for kept in self._kept)
        return named or not self(folder)


def _expression(pattern: str) -> re.Pattern[str]:
    parts = []
    for piece in pattern.split("/"):
        parts.append(".*" if piece == "**" else translate(piece)[:-2].replace(".*", "[^/]*"))
    joined = "/".join(parts)
    return re.compile(joined.replace(".*/", "(?:.*/)?"), re.S)


def context_files(root: Path, ignored: Ignored) -> Iterator[Path]:
    """Yield the files that Docker would send to the build, relative to the root, in order."""
    pending = [root]
    while pending:
        folder = pending.pop()
        for entry in sorted(folder.iterdir()):
            relative = entry.relative_to(root)
            if entry.is_dir() and not entry.is_symlink():
                if ignored.below(relative.as_posix()):
                    pending.append(entry)
            elif not ignored(relative.as_posix()):
                yield relative
