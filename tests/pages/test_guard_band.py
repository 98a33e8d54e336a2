"""One model with a guard band: accept, review and reject mean and count the same in every place.

The truth is the verdict of each score by its definition; pages, CSV, JSON, tables and archives must
agree with it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from padim import Padim, Workspace
from padim.analysis.percentile_table import lowest_percentile
from padim.data.datasets import open_dataset
from padim.decision.guard_band import Guard, verdict_of
from padim.output.evaluation_files import figures_csv, images_csv
from padim.output.inspection_files import panels_zip, results_csv
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals, part, png
from ui import suggested_thresholds

VERDICTS = ("accept", "review", "reject")
WORDS = {"accept": "accepted", "review": "in_review", "reject": "rejected"}


@pytest.fixture
def guarded(add_model: AddModel, home: Path, tmp_path: Path) -> tuple[Entry, Padim, Path]:
    """A model whose guard band holds some of its good parts, and test images on both sides of it."""
    files = [(f"good/{name}", data) for name, data in normals(12, first=100)]
    files += [(f"dent/{name}", data) for name, data in defects(4)]
    # Faint defects, some of which score within the band.
    files += [(f"faint/bad_{i}.png", png(faint(i))) for i in range(8)]
    for name, data in files:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(bytes(data))
    entry = add_model("Guarded")
    model = Workspace(home).open(entry.id)
    scores = sorted(model.state.part_scores(model.config.min_area).tolist())
    middle, step = scores[-6], model.state.fitted.quantizer.step
    model.set_decision(value=model.state.fitted.quantizer.to_value(middle))
    model.set_guard(Guard((scores[-3] - middle + 0.5) * step, 1.0, 9, 10, 1)).save(entry.path)
    return entry, Workspace(home).open(entry.id), tmp_path / "set"


def faint(seed: int) -> Any:
    """A defective part, mostly as it was before it was damaged."""
    whole, damaged = part(700 + seed), part(700 + seed, defect=True)
    share = 0.04 * (seed + 1)
    return (whole * (1 - share) + damaged * share).round().astype("uint8")


def truth(model: Padim, root: Path) -> dict[str, str]:
    """The verdict of every image by name, by the definition of the band."""
    guard, quantizer = model.decision.guard, model.state.fitted.quantizer
    return {
        one.name: verdict_of(one.score_level, model.threshold_level, guard, quantizer)
        for one in model.predict(open_dataset(root))
    }


def by_class(verdicts: dict[str, str]) -> dict[str, dict[str, int]]:
    """The number of good parts and of defects with each verdict."""
    counts = {"good": dict.fromkeys(VERDICTS, 0), "defects": dict.fromkeys(VERDICTS, 0)}
    for name, verdict in verdicts.items():
        counts["good" if "good/" in name else "defects"][verdict] += 1
    return counts


def shell(*arguments: object) -> str:
    from padim.cli.app import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def lines_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def packed(root: Path) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, path.relative_to(root).as_posix())
    return buffer.getvalue()


def test_the_fixture_has_every_verdict_on_both_sides(guarded: tuple[Entry, Padim, Path]) -> None:
    _, model, root = guarded
    counts = by_class(truth(model, root))
    assert counts["good"]["review"]
    assert counts["good"]["accept"]
    assert counts["defects"]["review"]
    assert counts["defects"]["reject"]
    rates = model.verdict_rates_
    assert 0 < rates.rejected.above < rates.not_accepted.above < rates.rejected.n


def test_evaluate_counts_alike_in_shell_page_and_files(guarded: tuple[Entry, Padim, Path]) -> None:
    entry, model, root = guarded
    verdicts = truth(model, root)
    counts = by_class(verdicts)
    # The shell's JSON.
    report = json.loads(shell("evaluate", entry.path, root, "--json"))
    assert report["verdicts"] == counts
    assert report["review"] == {"good": counts["good"]["review"], "defects": counts["defects"]["review"]}
    assert report["counted_false_rejects"]["count"] == counts["good"]["reject"]
    assert report["misses"]["count"] == counts["defects"]["accept"]
    kinds = {kind["kind"]: kind for kind in report["kinds"]}
    for kind in ("dent", "faint"):
        said = Counter(verdict for name, verdict in verdicts.items() if name.startswith(f"{kind}/"))
        assert kinds[kind]["verdicts"] == {verdict: said[verdict] for verdict in VERDICTS}
        assert kinds[kind]["caught"]["count"] == said["reject"] + said["review"]
    # Its text.
    text = " ".join(shell("evaluate", entry.path, root).split())
    for one in counts.values():
        assert f"{one['accept']} accepted, {one['review']} in review, {one['reject']} rejected" in text
    # The page.
    page = Session("evaluate", model=entry.id).upload([("set.zip", packed(root))])
    cells = page.app.segmented_control(key="evaluate-cell").options
    # Errors are red.
    assert [re.sub(r":red\[(.*)\]", r"\1", cell) for cell in cells] == [
        f"False rejects: {counts['good']['reject']}",
        f"Good, in review: {counts['good']['review']}",
        f"Missed defects: {counts['defects']['accept']}",
        f"Defect, in review: {counts['defects']['review']}",
        f"Defect, rejected: {counts['defects']['reject']}",
        f"Good, accepted: {counts['good']['accept']}",
    ]
    assert f"False rejects (overkill) {counts['good']['reject']} of 12" in page.text
    assert f"missed defects (escapes) {counts['defects']['accept']} of 12" in page.text
    # Its files.
    from padim.analysis.scored_dataset import score_dataset

    scored, level = score_dataset(model, open_dataset(root)), model.threshold_level
    images = {line["name"]: line["verdict"] for line in lines_of(images_csv(scored, model, level))}
    assert images == verdicts
    figures = lines_of(
        figures_csv(scored.report(model, level), at_threshold=True, band=True, model="m", data="d")
    )
    for whose, one in counts.items():
        for verdict, number in one.items():
            (line,) = [
                line for line in figures if line["figure"] == f"{whose}_{WORDS[verdict]}" and not line["kind"]
            ]
            assert (int(line["count"]), int(line["of"])) == (number, 12)


def test_inspect_and_score_name_the_same_verdicts(guarded: tuple[Entry, Padim, Path], tmp_path: Path) -> None:
    entry, model, root = guarded
    verdicts = truth(model, root)
    # The shell's CSV, JSON and panels.
    out = tmp_path / "out"
    shell("score", entry.path, root, "-o", out, "--no-panels")
    assert {
        line["name"]: line["verdict"] for line in lines_of((out / "results.csv").read_bytes())
    } == verdicts
    document = json.loads((out / "results.json").read_text("utf-8"))
    assert {row["name"]: row["verdict"] for row in document["images"]} == verdicts
    said = Counter(verdicts.values())
    assert {verdict: document["counts"][verdict] for verdict in VERDICTS} == {v: said[v] for v in VERDICTS}
    # The page and its files.
    files = [(path.relative_to(root).as_posix(), path.read_bytes()) for path in sorted(root.rglob("*.png"))]
    page = Session("inspect", model=entry.id).upload(files)
    assert page.app.segmented_control(key="inspect-show").options == [
        f"All {len(verdicts)}",
        f"Reject {said['reject']}",
        f"Review {said['review']}",
        f"Accept {said['accept']}",
    ]
    from padim.analysis.stored_score import StoredScore

    scored = [
        StoredScore(one.name, one.sha256, one.original_size, one.content_box, one.grid)
        for one in model.predict(open_dataset(root))
    ]
    level = model.threshold_level
    lines = lines_of(results_csv(scored, model, name="m", identity="i", revision="r", level=level))
    assert {line["name"]: line["verdict"] for line in lines} == verdicts
    contents = ((one, (root / one.name).read_bytes()) for one in scored)
    with ZipFile(io.BytesIO(panels_zip(contents, model, level, colormap="inferno", opacity=0.5))) as archive:
        assert Counter(name.partition("/")[0] for name in archive.namelist()) == said
    for one in scored:
        assert one.decide(model, level, model.config.min_area).verdict == verdicts[one.name]


def test_calibrate_promises_what_its_table_and_the_shell_count(guarded: tuple[Entry, Padim, Path]) -> None:
    entry, model, _ = guarded
    scores = model.state.part_scores(model.config.min_area).tolist()
    guard, quantizer = model.decision.guard, model.state.fitted.quantizer

    def counted(level: int) -> tuple[int, int]:
        said = [verdict_of(score, level, guard, quantizer) for score in scores]
        return said.count("reject"), len(said) - said.count("accept")

    document = json.loads(shell("calibrate", entry.path, "--json"))
    reject, not_accepted = counted(model.threshold_level)
    assert document["false_rejects"]["above"] == reject
    assert document["rejected_or_in_review"]["above"] == not_accepted
    assert document["false_rejects"]["expected"] == (reject + 1) / (len(scores) + 1)
    for row in document["percentiles"]:
        assert (row["above"], row["rejected_or_in_review"]["above"]) == counted(row["level"])
    (chosen,) = [row for row in document["percentiles"] if row["chosen"]]
    for key in ("expected", "upper_95", "above", "parts", "limit"):
        assert chosen[key] == document["false_rejects"][key]
        assert chosen["rejected_or_in_review"][key] == document["rejected_or_in_review"][key]
    # The sentence is the same in the shell and on the Fit page, and has the table's numbers.
    sentence = model.verdict_rates_.sentence
    assert "rejected or in review" in sentence
    text = " ".join(shell("calibrate", entry.path).split())
    assert sentence in text
    assert f"{document['false_rejects']['expected'] * 100:.1f} %" in text
    assert sentence in " ".join(shell("info", entry.path).split())
    fit = Session("fit", model=entry.id).tab("result")
    assert sentence in fit.text
    # On the Calibrate page the headline is drawn in the browser from these numbers (tests/ui/components).
    page = Session("calibrate", model=entry.id)
    assert page.viewer["band"] == (model.verdict_limits().reject_above - model.threshold_level)
    # The suggested thresholds say what the band makes of them.
    facts = suggested_thresholds.verdict_facts(
        model, suggested_thresholds.Known(*(model.state.parts(8),) * 2, ()), model.threshold_level
    )
    expected = f"{len(scores) - not_accepted} accepted, {not_accepted - reject} in review, {reject} rejected"
    assert facts == [("Defects", expected), ("Good parts", expected)]


def test_a_target_of_false_rejects_is_of_those_rejected(guarded: tuple[Entry, Padim, Path]) -> None:
    _, model, _ = guarded
    found = lowest_percentile(model, "image", 0.2)
    assert found is not None

    def expected(permille: int) -> float:
        model.set_decision(basis="image", percentile=permille / 10)
        return model.false_reject_rate_.expected

    assert expected(found) <= 0.2
    assert found == 1 or expected(found - 1) > 0.2


def test_other_counts_go_by_the_same_limits(guarded: tuple[Entry, Padim, Path]) -> None:
    """The session check and the robustness measurement compare rejected with promised rejected."""
    from padim.analysis.robustness import measure
    from padim.analysis.second_session import second_session
    from padim.analysis.stored_score import StoredScore

    _, model, root = guarded
    verdicts = truth(model, root)
    counts = by_class(verdicts)
    good = [
        StoredScore(one.name, one.sha256, one.original_size, one.content_box, one.grid)
        for one in model.predict(open_dataset(root))
        if "good/" in one.name
    ]
    session = second_session(model, good, list(range(len(good))), model.threshold_level)
    assert vars(session.verdicts) == counts["good"]
    assert session.check is not None
    assert session.check.rejected == counts["good"]["reject"]
    assert session.check.expected == model.false_reject_rate_.expected
    assert len(session.not_accepted(model)) == counts["good"]["reject"] + counts["good"]["review"]
    dataset = open_dataset(root)
    found = measure(model, dataset, lambda name: dataset.samples[name].kind, severities={"brighter": (1,)})
    assert found.limit == model.false_reject_rate_.upper
    assert found.series[0].false_rejects[0].count == counts["good"]["reject"]
    assert found.series[0].caught[0].count == counts["defects"]["reject"] + counts["defects"]["review"]


def test_the_good_parts_of_the_fit_page_have_the_verdicts_of_calibrate(
    guarded: tuple[Entry, Padim, Path],
) -> None:
    entry, model, _ = guarded
    page = Session("fit", model=entry.id)
    page.tab("result")
    scores = model.state.image_levels(model.config.min_area).tolist()
    counts = Counter(model.verdict(score) for score in scores)
    assert counts["review"] > 0 < counts["reject"]
    assert counts["review"] + counts["reject"] <= 12  # all of them are shown at once
    tiles = Counter(re.findall(r'class="pv-tile pv-is-(\w+)"', page.text))
    assert tiles == {one: counts[one] for one in ("review", "reject")}


def test_commands_say_what_they_count_with_a_band(guarded: tuple[Entry, Padim, Path]) -> None:
    from padim.cli.app import app

    entry, model, root = guarded
    commands = (
        ("robustness", entry.path, root, "--kinds", "brighter"),
        ("learning-curve", entry.path, "--draws", "1"),
    )
    notes = (
        "defects as caught when they are rejected or in review",
        "The guard band is not applied here: what scores above each fit's threshold counts as rejected",
    )
    for command, note in zip(commands, notes, strict=True):
        said = CliRunner().invoke(app, [str(argument) for argument in command])
        assert said.exit_code == 0, said.output
        assert note in " ".join(said.stderr.split())
    model.set_guard(None).save(entry.path)
    for command in commands:
        assert "guard band" not in CliRunner().invoke(app, [str(argument) for argument in command]).output


def test_the_panel_names_the_verdict(
    guarded: tuple[Entry, Padim, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.data.decode import decode
    from padim.output import render

    _, model, root = guarded
    written: list[str] = []
    write = render._Line.text

    def noted(self: Any, left: int, text: str, color: render.Color, room: int) -> int:
        written.append(text)
        return write(self, left, text, color, room)

    monkeypatch.setattr(render._Line, "text", noted)
    for one in model.predict(open_dataset(root)):
        written.clear()
        rgb = decode((root / one.name).read_bytes(), one.name)
        render.four_panel(rgb, one.levels, model.decide(one), caption=one.name, content_box=one.content_box)
        assert model.verdict(one.score_level).upper() in written
