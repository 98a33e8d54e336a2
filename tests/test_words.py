"""The project speaks the field's language: former words do not return, and one name is one type."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = {".css", ".html", ".j2", ".js", ".md", ".mjs", ".py", ".toml", ".yaml", ".yml"}
# Former word -> what is said now. Whole words, in any case, also within snake_case and camelCase names.
FORMER = {
    "picture": "image",
    "pictures": "images",
    "learnt": "fitted",
    "muted": "inactive",
    "wolf": "false-alarm map",
    "spool": "feature store",
    "spools": "feature stores",
    "borne": "tolerated",
    "ear": "callback",
    "ears": "callbacks",
    "mouth": "report",
    "overheard": "handled",
}
# Names in files that earlier versions wrote, which are still read.
NAMES_ON_DISK = {
    "padim/config.py": {"muted"},
    "padim/network/model_network.py": {"learnt"},
    "padim/storage/feature_store.py": {"spool"},
    "padim/storage/image_store.py": {"pictures"},
    "padim/storage/resume.py": {"pictures", "spool"},
}
# This file names them all, and the glossary and the changelog say what has become of them.
ABOUT_WORDS = {"tests/test_words.py", "docs/glossary.md", "CHANGELOG.md"}
# A generated part has an opening of this name; folders of users have theirs, and a base class its attribute.
OTHER_MEANINGS = {
    "sample_data/make_sample.py": {"mouth"},
    "padim/data/label_words.py": {"picture", "pictures"},  # names of users' folders
    "padim/service/rest/intake.py": {"spool"},  # Starlette's spool_max_size
}


def texts() -> list[str]:
    """Text files of the project, relative to its root; of a package without git, all that are there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = listed.stdout.split("\n") if listed.returncode == 0 else map(str, ROOT.rglob("*"))
    return [name for name in found if Path(name).suffix in TEXT and (ROOT / name).is_file()]


def words_in(text: str) -> set[str]:
    """Single words in lower case; names in snake_case and CamelCase are taken apart."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}


def test_words_are_taken_out_of_names() -> None:
    assert words_in("a CryWolf, twice_borne SPOOL") == {"a", "cry", "wolf", "twice", "borne", "spool"}


def test_former_words_do_not_return() -> None:
    found = {}
    for name in texts():
        if name in ABOUT_WORDS or name.startswith("tests/"):
            continue
        kept = NAMES_ON_DISK.get(name, set()) | OTHER_MEANINGS.get(name, set())
        words = words_in((ROOT / name).read_text(encoding="utf-8")) & FORMER.keys() - kept
        if words:
            found[name] = {word: FORMER[word] for word in sorted(words)}
    assert not found


@pytest.mark.parametrize("name", sorted(NAMES_ON_DISK))
def test_names_on_disk_are_still_read(name: str) -> None:
    words = words_in((ROOT / name).read_text(encoding="utf-8"))
    assert NAMES_ON_DISK[name] <= words, "no longer there: take it out of this list"


def test_a_name_means_one_type() -> None:
    places = defaultdict(list)
    for name in texts():
        if not name.startswith(("padim/", "ui/")) or not name.endswith(".py"):
            continue
        if name.startswith("padim/output/line_script/"):  # another program, whose class replaces padim's
            continue
        for node in ast.parse((ROOT / name).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = ast.unparse(node.value)
                if value.startswith(("Literal[", "Callable[")):
                    places[node.targets[0].id].append(name)
    assert not {name: where for name, where in places.items() if len(where) > 1}


# Former words on screen -> what is said now. In any case, also where lines are joined.
FORMER_ON_SCREEN = {
    "back to in use": "revert to saved",
    "being tried": "selected",
    "defects missed": "missed defects (escapes)",
    "false rejects to expect": "expected false rejects (overkill)",
    "good parts, held out": "good parts, each judged without itself",
    "held-out score": "scores of good parts, each judged without itself",
    "judged from": "from n parts",
    "kept out of the fit": "excluded from the fit",
    "least normal": "most unusual good parts",
    "part was taken out": "excluded",
    "score everywhere": "inspect the whole image",
    "take it out": "exclude",
    "taken out of the fit": "excluded from the fit",
    "thresholds worth trying": "suggested thresholds",
    "try this threshold": "select",
}


def _is_command(name: str, node: ast.AST) -> bool:
    """Whether a function is a command of the shell, whose docstring is its help."""
    if not isinstance(node, ast.FunctionDef) or not name.startswith("padim/cli/"):
        return False
    return not node.name.startswith("_") and any(one.arg == "terminal" for one in node.args.args)


def on_screen(name: str) -> str:
    """What a file shows to users, without what it says to its readers: its strings, or its text."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".js"):
        lines = (line for line in text.splitlines() if not line.lstrip().startswith(("*", "/*", "//")))
        return "\n".join(re.sub(r"\s//\s.*", "", line) for line in lines)
    if not name.endswith(".py"):
        return text
    tree = ast.parse(text)
    silent = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and not _is_command(name, node)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in silent)
    return "\n".join(node.value for node in strings if isinstance(node.value, str))


def test_former_words_do_not_return_to_the_screen() -> None:
    found = {}
    for name in texts():
        if not name.startswith(("ui/", "pages/", "home.py", "padim/cli/", "padim/decision/promise.py")):
            continue
        shown = " ".join(on_screen(name).lower().split())
        words = {word for word in FORMER_ON_SCREEN if word in shown}
        if words:
            found[name] = {word: FORMER_ON_SCREEN[word] for word in sorted(words)}
    assert not found


def test_what_is_on_screen_is_told_from_what_is_not() -> None:
    assert "Suggested thresholds" in on_screen("ui/views/threshold.py")
    assert "Revert to saved" in on_screen("ui/components/viewer/viewer.html")
    assert "False reject" in on_screen("ui/components/modules/viewer/verdicts.js")
    assert "Verdicts: what a score means" not in on_screen("ui/components/modules/viewer/verdicts.js")
    assert "The Threshold tab" not in on_screen("ui/views/threshold.py")
