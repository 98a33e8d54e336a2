"""Configurations are compared on the same draws, and the differences are those computed by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import accuracy, compare, images, mvtec, variants
from benchmarks.kept_figures import KeptFigures
from benchmarks.paired_differences import Mean, difference, mean, over_sets
from padim import PadimConfig
from padim.errors import PadimError

SIDE = 64


# --- statistics ---------------------------------------------------------------------------------------------


def check(found: Mean | None, value: float, error: float, count: int) -> None:
    assert found is not None
    assert found.value == pytest.approx(value)
    assert found.error == pytest.approx(error)
    assert found.count == count


def test_the_standard_error_is_that_of_a_mean() -> None:
    # Deviations -2, -1, 3: a variance of 14 / 2, of the mean 7 / 3.
    check(mean([1, 2, 6]), 3, (7 / 3) ** 0.5, 3)
    assert mean([0.25]) == Mean(0.25, None, 1)
    assert mean([]) is None
    with pytest.raises(ValueError, match="not finite"):
        mean([1.0, float("nan")])


def test_draws_are_subtracted_before_they_are_averaged() -> None:
    """Draws that differ much from each other, by the same step: the step is certain."""
    found = difference([0.5, 0.9, 0.1], [0.4, 0.8, 0.0])
    assert found is not None
    assert found.value == pytest.approx(0.1)
    assert found.error == pytest.approx(0, abs=1e-12)
    # Steps .1 and .3: half their distance.
    check(difference([0.6, 0.7], [0.5, 0.4]), 0.2, 0.1, 2)


def test_unmeasured_draws_are_no_zeros() -> None:
    assert difference([None, None], [None, None]) is None
    with pytest.raises(ValueError, match="one of two"):
        difference([0.5, None], [0.5, 0.5])
    with pytest.raises(ValueError, match="argument"):
        difference([0.5], [0.5, 0.5])


def test_every_set_counts_once_however_many_draws_it_has() -> None:
    by_set = {"a": mean([0.1] * 99), "b": mean([0.3]), "without masks": None}
    check(over_sets(by_set), 0.2, 0.1, 2)
    assert over_sets({"without masks": None}) is None


@pytest.mark.parametrize(
    ("good", "recall"),
    [
        (range(1, 21), 2 / 4),  # of 20 parts one may be rejected: above 19 are 19.5 and 30
        (range(1, 20), 2 / 4),  # of 19 none: above 19
        (range(1, 61), 0 / 4),  # of 60 three: above 57
        ([5] * 19 + [30], 3 / 4),  # the one above all others may go
        ([5] * 18 + [30] * 2, 0 / 4),  # two have one score: both stay
    ],
)
def test_recall_at_a_realised_rate(good: Sequence[float], recall: float) -> None:
    assert compare.recall_at([*good], [4, 19, 19.5, 30], 0.05) == recall


# --- configurations on the command line ---------------------------------------------------------------------


def test_what_was_not_chosen_follows_a_change() -> None:
    chosen = PadimConfig(eps=0.1, n_features=50, grid_stride=4)
    assert variants.changed(PadimConfig(), {}) == PadimConfig()
    assert variants.changed(chosen, {"seed": 3}) == PadimConfig(eps=0.1, n_features=50, grid_stride=4, seed=3)
    other = variants.changed(chosen, {"backbone": "resnet18"})
    assert other == PadimConfig.of({"backbone": "resnet18", "eps": 0.1, "grid_stride": 4})
    fewer = variants.changed(chosen, {"layers": ["blocks.4"]})
    assert fewer == PadimConfig.of({"layers": ["blocks.4"], "eps": 0.1, "grid_stride": 4})
    # STFPM has turns of its own; they are nobody's choice.
    assert variants.changed(PadimConfig(), {"method": "stfpm"}) == PadimConfig.of({"method": "stfpm"})
    assert variants.changed(PadimConfig.of({"method": "stfpm"}), {"method": "padim"}) == PadimConfig()


def test_variants_are_changes_or_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("n_features: 30\n")
    config = PadimConfig(eps=0.1)
    found = variants.named(
        config, [["deep", "layers=[blocks.4,blocks.10]", "n_features=null"], ["mine", str(file)]]
    )
    assert list(found) == ["baseline", "deep", "mine"]
    assert found["baseline"] == config
    assert found["deep"] == PadimConfig(layers=("blocks.4", "blocks.10"), n_features=None, eps=0.1)
    assert found["mine"] == PadimConfig(n_features=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([["alone"]], "NAME KEY=VALUE"),
        ([["eps=1", "seed=2"]], "without = or ."),
        ([["baseline", "seed=2"]], "another configuration of that name"),
        ([["a", "seed=2", "seed=3"]], "set twice"),
        ([["a", "sed=2"]], "did you mean 'seed'"),
        ([["a", "layers=[blocks"]], "not valid YAML"),
        ([["a", "seed=2", "b"]], "expected KEY=VALUE"),
    ],
)
def test_a_wrong_variant_is_named(arguments: list[list[str]], message: str) -> None:
    with pytest.raises((ValueError, PadimError), match=message):
        variants.named(PadimConfig(), arguments)


# --- the comparison -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with a category each, ``plate`` with masks and ``sheet`` without."""
    folder = tmp_path_factory.mktemp("data") / "plates" / "plate"
    for i in range(8):
        save(folder / "train" / "good" / f"{i}.png", images.image(i, side=SIDE))
    for i in range(4):
        save(folder / "test" / "good" / f"{i}.png", images.image(100 + i, side=SIDE))
        rgb = images.image(200 + i, side=SIDE)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[20:40, 10:30] = 255
        rgb[mask > 0] = 20 + 200 * (np.indices((SIDE, SIDE)).sum(axis=0)[mask > 0] % 2)[:, None]
        save(folder / "test" / "hole" / f"{i}.png", rgb)
        save(folder / "ground_truth" / "hole" / f"{i}_mask.png", mask)
    sheet = folder.parents[1] / "sheets" / "sheet"
    shutil.copytree(folder, sheet)
    shutil.rmtree(sheet / "ground_truth")
    return [folder.parent, sheet]


def save(path: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def command(sets: list[Path], small_config: PadimConfig, tmp_path: Path) -> list[str]:
    config = tmp_path / "small.yaml"
    config.write_text(small_config.to_yaml(), encoding="utf-8")
    data = ["--data", str(sets[0]), "--data", str(sets[1]), "--config", str(config)]
    return [*data, "--percentile", "80", "--sizes", "5", "--draws", "2", "--json", "--check"]


def run(command: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    code = accuracy.main(list(command))
    output = capsys.readouterr().out
    return code, json.loads(output.splitlines()[-1]), output


@pytest.mark.slow
def test_the_same_configuration_makes_no_difference_and_a_missed_gain_is_told(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = ["--variant", "other", "layers=[blocks.10]", "--target", "other.n5.image_auroc=1.5"]
    code, document, output = run([*command, "--variant", "same", "seed=0", *other], capsys)
    values = document["values"]
    for size in ("n5", "all"):
        for metric in compare.METRICS:
            assert values[f"same.{size}.{metric}"] == 0
            assert values[f"same.{size}.{metric}_error"] in (0, None)
    assert code == 1
    assert "other.n5.image_auroc" in document["missed"]
    assert "other minus baseline: points" in output
    draws = document["details"]["draws"]
    assert list(draws) == ["plate", "sheet"]
    assert [len(draws["plate"]["same"][size]) for size in ("n5", "all")] == [2, 1]
    first, second = draws["plate"]["same"]["n5"]
    assert first != second, "the same draw twice"
    # One set has masks, and the mean is its.
    assert draws["sheet"]["same"]["all"][0]["pixel_auroc"] is None
    assert values["mean.same.all.pixel_auroc"] == draws["plate"]["same"]["all"][0]["pixel_auroc"] > 0.5
    # The rest does not depend on masks.
    for one, other in zip(draws["plate"]["same"]["n5"], draws["sheet"]["same"]["n5"], strict=True):
        assert {**one, "pixel_auroc": None} == other
    expected = np.mean([draws["plate"]["other"]["n5"][i]["pixel_auroc"] for i in (0, 1)])
    expected -= np.mean([draws["plate"]["baseline"]["n5"][i]["pixel_auroc"] for i in (0, 1)])
    assert values["other.n5.pixel_auroc"] == pytest.approx(expected)
    assert expected != 0


def test_the_fit_on_all_is_that_of_the_report(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    alone = [*command, "--category", "plate"]
    _, compared, _ = run([*alone, "--variant", "same", "seed=0"], capsys)
    _, reported, _ = run([one for one in alone if one != "--check"], capsys)
    (figures,) = compared["details"]["draws"]["plate"]["baseline"]["all"]
    for metric in ("image_auroc", "pixel_auroc"):
        assert figures[metric] == reported["values"][f"plate.{metric}"]
    for metric in ("recall", "realized", "promised"):
        assert figures[metric] == reported["values"][f"plate.all.{metric}"]
    drawn = compared["details"]["draws"]["plate"]["baseline"]["n5"]
    assert [draw["recall"] for draw in drawn] == [
        draw["recall"] for draw in reported["details"]["draws"]["plate.n5"]
    ]


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.function(*arguments)


def test_a_stopped_comparison_goes_on(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*command, "--category", "plate", "--keep", str(tmp_path / "kept.json")]
    command += ["--variant", "other", "seed=1", "--no-all"]
    figures = compare.figures
    stopping = Counted(figures)

    def watched(*arguments: Any) -> Any:
        if stopping.calls == 3:
            raise KeyboardInterrupt
        return stopping(*arguments)

    monkeypatch.setattr(compare, "figures", watched)
    with pytest.raises(KeyboardInterrupt):
        accuracy.main(command)
    monkeypatch.setattr(compare, "figures", figures_counted := Counted(figures))
    _, document, _ = run(command, capsys)
    assert figures_counted.calls == 1, "three of four figures were there"
    assert not any(".all." in name for name in document["values"])
    monkeypatch.setattr(compare, "figures", None)
    assert run(command, capsys)[1]["values"] == document["values"]
    monkeypatch.setattr(compare, "figures", figures)
    plain = [one for one in command if "kept" not in one and one != "--keep"]
    assert run(plain, capsys)[1]["values"] == document["values"]


def test_a_file_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    for content in ("no json", "[1]", '{"a": 1}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="contains no measurements"):
            KeptFigures(path)
        assert path.read_text() == content


def test_categories_of_several_folders(sets: list[Path], tmp_path: Path) -> None:
    assert [path.name for path in mvtec.find_all(sets, [])] == ["plate", "sheet"]
    assert [path.name for path in mvtec.find_all([*sets, *sets], ["sheet"])] == ["sheet"]
    with pytest.raises(ValueError, match="no category screw"):
        mvtec.find_all(sets, ["screw"])
    (tmp_path / "plate" / "train" / "good").mkdir(parents=True)
    with pytest.raises(ValueError, match="both called plate"):
        mvtec.find_all([*sets, tmp_path], [])
