"""The layout of the code: packages on floors, each importing only what stands below it, in no circle.

Every import counts: in functions, and those that only a type checker sees.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the lowest floor to the highest; a module stands on the floor of its longest prefix. What settings are
# checked against (catalogue of methods, registry of networks, presets) is data and stands beside them.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("padim._version", "padim.errors"),
    (
        "padim.config",
        "padim.extras",
        "padim.input_size",
        "padim.installation",
        "padim.locating.settings",
        "padim.methods.catalogue",
        "padim.network.registry",
        "padim.presets",
        "padim.settings",
        "padim.text",
        "padim.yaml_text",
    ),
    ("padim.locating",),
    ("padim.data",),
    ("padim.storage",),
    ("padim.network",),
    ("padim.decision",),
    ("padim.methods",),
    (
        "padim.decider",
        "padim.estimator",
        "padim.fit_continuation",
        "padim.fit_run",
        "padim.fitting",
        "padim.persistence",
        "padim.self_testing",
        "padim.scoring",
        "padim.scoring_identity",
        "padim.working_state",
    ),
    ("padim.model",),
    ("padim.analysis",),
    ("padim.adaptation",),
    ("padim.output",),
    ("padim.records",),
    ("padim.workspace",),
    ("padim.study",),
    ("padim.service",),
    ("padim.doctor", "padim.worker"),
    ("padim.__main__", "padim.cli"),
    ("ui",),
    ("pages", "home", "app"),
)
# The public names, resolved at first use: it stands on no floor, and nothing in the engine imports from it.
FACADE = "padim"


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    _name(path): path
    for path in (
        *ROOT.glob("padim/**/*.py"),
        *ROOT.glob("ui/**/*.py"),
        *ROOT.glob("pages/*.py"),
        ROOT / "home.py",
        ROOT / "app.py",
    )
}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


IMPORTS = {
    name: {found for found in _imported(path) if found in MODULES and found != name}
    for name, path in MODULES.items()
}


def floor(name: str) -> int:
    """The floor of a module, 0 the lowest."""
    fits = [
        (len(prefix), height)
        for height, prefixes in enumerate(FLOORS)
        for prefix in prefixes
        if name == prefix or name.startswith(prefix + ".")
    ]
    assert fits, f"{name} stands on no floor"
    return max(fits)[1]


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or through others (Tarjan's strong components)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in sorted(imports[name]):
            if other not in index:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], index[other])
        if lowest[name] == index[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for name in sorted(imports):
        if name not in index:
            visit(name)
    return found


def test_no_arrow_leads_from_a_lower_floor_to_a_higher_one() -> None:
    up = [
        f"{name} -> {other}"
        for name, others in IMPORTS.items()
        if name != FACADE
        for other in others
        if other != FACADE and floor(other) > floor(name)
    ]
    assert not up, "\n".join(sorted(up))


def test_no_import_circle() -> None:
    assert circles(IMPORTS) == []


def test_the_engine_imports_its_modules_and_not_the_public_names() -> None:
    asking = [name for name, others in IMPORTS.items() if FACADE in others and name.startswith("padim.")]
    assert asking == []


def test_the_engine_names_neither_streamlit_nor_the_app() -> None:
    for name, path in MODULES.items():
        # ``padim app`` is the command that starts it.
        if name.split(".")[0] == "padim" and name != "padim.cli.web_app":
            tops = {found.split(".")[0] for found in _imported(path)}
            assert not tops & {"streamlit", "ui", "pages", "home", "app"}, name


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_circles_are_found(imports: dict[str, set[str]], expected: list[list[str]]) -> None:
    assert circles(imports) == expected


def test_a_packages_tests_lie_in_a_folder_of_its_name() -> None:
    folders = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    packages = {path.parent.name for path in ROOT.glob("padim/*/__init__.py")}
    assert packages <= folders, f"no tests for {sorted(packages - folders)}"
    for folder in packages:
        assert list((ROOT / "tests" / folder).glob("test_*.py")), folder
