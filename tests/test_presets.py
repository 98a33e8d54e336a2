"""Presets: what they decide, what counts more, and that what users are told of them was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import PadimConfig, PadimError
from padim.network import registry
from padim.presets import (
    CONTROLLED,
    ELSEWHERE,
    MEASURED,
    PRESETS,
    PresetName,
    expand,
    gained,
    matching,
    settings,
)

NAMES = get_args(PresetName)
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("backbone", registry.REGISTRY)
@pytest.mark.parametrize("name", NAMES)
def test_a_preset_decides_all_it_controls_and_is_known_again(name: PresetName, backbone: str) -> None:
    wanted = settings(name, backbone)
    assert set(wanted) == set(CONTROLLED)
    config = PadimConfig.of({"backbone": backbone, **wanted})
    assert matching(config.model_dump()) == name
    # As a configuration file or the command line have it.
    assert PadimConfig.of(expand(name, {"backbone": backbone})) == config


def test_standard_is_the_default() -> None:
    assert expand("standard", {}) == {}
    assert matching(PadimConfig().model_dump()) == "standard"
    assert PadimConfig.from_yaml("preset: standard") == PadimConfig()


def test_on_other_networks_only_the_grid_changes() -> None:
    for name in NAMES:
        own = settings(name, "resnet18")
        usual = settings("standard", "resnet18")
        assert {key for key in CONTROLLED if own[key] != usual[key]} <= {"grid_stride"}
    assert set(ELSEWHERE) == set(NAMES)
    assert "not measured" in gained("fine", "resnet18")


@given(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {},
        optional={
            "input_size": st.sampled_from((64, 128, 320)),
            "grid_stride": st.sampled_from((4, 8, 16)),
            "layers": st.sampled_from((("blocks.10",), ("blocks.2", "blocks.4"))),
            "n_features": st.integers(1, 40),
            "seed": st.integers(0, 5),
        },
    ),
)
def test_what_is_chosen_counts_more(name: PresetName, chosen: dict[str, Any]) -> None:
    config = PadimConfig.of(expand(name, chosen)).model_dump()
    assert {key: config[key] for key in chosen} == chosen
    wanted = settings(name)
    for key in set(CONTROLLED) - chosen.keys():
        if key == "n_features" and "layers" in chosen:
            # It belongs to the layers: with others, theirs is the default.
            assert config[key] == PadimConfig.of(chosen).n_features
        else:
            assert config[key] == wanted[key]


def test_a_file_names_a_preset_and_its_own_keys_count_more() -> None:
    fine = PadimConfig.from_yaml("preset: fine\nseed: 3\ngrid_stride: 16\n")
    assert fine == PadimConfig.of({**settings("fine"), "seed": 3, "grid_stride": 16})
    assert PadimConfig.from_yaml("padim:\n  preset: fast\n").grid_stride == 16
    # What is saved holds the settings, not the name.
    assert "preset" not in fine.to_yaml()
    assert PadimConfig.from_yaml(fine.to_yaml()) == fine
    with pytest.raises(PadimError, match="did you mean 'fine'"):
        PadimConfig.from_yaml("preset: fin")
    with pytest.raises(PadimError, match="preset must be one of"):
        PadimConfig.from_yaml("preset: [fine]")
    with pytest.raises(PadimError, match="unknown backbone"):
        PadimConfig.from_yaml("preset: fine\nbackbone: nonsense")


def test_every_preset_but_the_standard_one_was_measured() -> None:
    assert set(MEASURED) == set(NAMES) - {"standard"}
    for name, measured in MEASURED.items():
        assert measured.scoring_time > 0
        assert "public sets" in gained(name)  # type: ignore[arg-type]
    assert gained("standard") == ""


def test_the_table_in_the_documentation_is_the_one_users_are_told() -> None:
    """One table: what benchmarks/README.md shows is what the app and the shell say."""
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name, measured in MEASURED.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert float(cells[1]) == measured.scoring_time
        for cell, auroc, recall, error in zip(
            cells[2:4], measured.auroc, measured.recall, measured.error, strict=True
        ):
            assert cell == f"{auroc:+.1f}, {recall:+.1f} ± {error:.1f}"


def test_presets_load_nothing_heavy() -> None:
    code = (
        "import sys, padim.presets\n"
        "assert not {'numpy', 'torch', 'onnxruntime', 'streamlit', 'cv2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(PRESETS[name].name == name for name in NAMES)
