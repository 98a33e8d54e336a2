"""``info``, ``backbones`` and ``export``."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from padim import Padim, PadimConfig
from padim.analysis.cost import estimate
from padim.data.decode import decode
from padim.network import registry
from padim.network.model_network import ModelNetwork
from padim.output.scorer_seal import digest, seal
from tests.cli.conftest import Run
from tests.parts import defects


def test_info_of_a_model(run: Run, saved_model: Path, small_model: Padim) -> None:
    document = run("info", saved_model, "--json").json
    assert document["config"] == small_model.config.model_dump(mode="json")
    assert (document["images"], document["parts"]) == (22, 22)
    assert document["threshold"]["level"] == small_model.threshold_level
    assert document["bytes"]["bundle"] == sum(
        place.stat().st_size
        for place in saved_model.iterdir()
        if place.name not in ("manifest.json", ".lock")
    )
    assert document["provider"] == "cpu"
    done = run("info", saved_model)
    for words in ("network", "good parts", "threshold", "Expected", "runs on", "size"):
        assert words in done.out


def test_random_weights_are_reported_prominently(
    run: Run, saved_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelNetwork, "random_weights", True)
    done = run("info", saved_model)
    assert "RANDOM" in done.out
    assert "random weights" in done.err
    assert run("info", saved_model, "--json", "-q").json["random_weights"] is True


def test_info_of_a_configuration_is_the_estimate(run: Run, tmp_path: Path) -> None:
    yaml = tmp_path / "padim.yaml"
    yaml.write_text("input_size: 128\n", encoding="utf-8")
    document = run("info", "--config", yaml, "--grid-stride", 4, "--images", 10, "--json").json
    cost = estimate(PadimConfig(input_size=128, grid_stride=4), 10)
    assert document["cost"]["fit_memory"] == cost.fit_memory
    assert document["cost"]["features"] == 10 * cost.features_per_image
    assert "memory" in run("info", "--config", yaml).out


def test_info_of_both_or_of_nothing_is_one_sentence(run: Run, saved_model: Path, tmp_path: Path) -> None:
    assert "not both" in run("info", saved_model, "--input-size", 64).sentence
    assert "no saved model" in run("info", tmp_path / "none").sentence


def test_every_backbone_is_listed_with_its_layers(run: Run) -> None:
    documents = run("backbones", "--json").json["backbones"]
    assert [document["name"] for document in documents] == list(registry.REGISTRY)
    for document in documents:
        backbone = registry.get(document["name"])
        assert [layer["name"] for layer in document["layers"]] == [layer.name for layer in backbone.layers]
        assert document["default_features"] <= backbone.channels(backbone.default_layers)
        assert document["weights_here"] or document["weights"]
    assert documents[0]["weights_here"]


def test_one_backbone_with_strides_and_channels(run: Run) -> None:
    document = run("backbones", "resnet18", "--json").json
    assert {"name": "layer2", "stride": 8, "channels": 128} in document["layers"]
    out = run("backbones", "resnet18").out
    assert "layer3" in out
    assert "256" in out
    assert "resnet18" in run("backbones", "resnet19").sentence


# --- export -------------------------------------------------------------------------------------------


def test_export_as_onnx(run: Run, saved_model: Path, small_model: Padim, tmp_path: Path) -> None:
    """The exported scorer gives the model's scores."""
    path = tmp_path / "scorer.onnx"
    document = run("export", saved_model, "-o", path, "--json").json
    assert document == {
        "model": str(saved_model),
        "file": str(path),
        "beside": [],
        "format": "onnx",
        "bytes": path.stat().st_size,
        "sha256": digest(path),
    }
    phrase = run("export", saved_model, "-o", tmp_path / "again.onnx").out
    assert digest(tmp_path / "again.onnx") in phrase.replace("\n", "").replace(" ", "")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["name"] == saved_model.name
    assert facts["sha256"] == document["sha256"]
    assert int(facts["threshold_level"]) == small_model.threshold_level
    rgb = np.stack(
        [small_model.network.preprocess(decode(c, n)) for n, c in defects(3) if isinstance(c, bytes)]
    )
    (maps,) = session.run(["map"], {"rgb": rgb})
    expected = small_model.state.score_arrays(rgb, small_model.config.min_area)[0]
    np.testing.assert_allclose(maps.astype(int), expected.astype(int), rtol=1e-3, atol=1)
    assert (maps.reshape(3, -1).max(axis=1) > small_model.threshold_level).any()


def test_export_as_arrays(run: Run, saved_model: Path, small_model: Padim, tmp_path: Path) -> None:
    path = tmp_path / "params.npz"
    document = run("export", saved_model, "-o", path, "--json").json
    network = tmp_path / "params_backbone.onnx"
    assert (document["format"], document["beside"]) == ("npz", [str(network)])
    assert sorted(tmp_path.iterdir()) == sorted([path, network])
    with np.load(path, allow_pickle=False) as params:
        np.testing.assert_array_equal(params["mean"], small_model.state.gaussians.mean)
        np.testing.assert_array_equal(params["channel_indices"], small_model.state.channels)
        assert float(params["threshold"]) == small_model.state.fitted.quantizer.to_value(
            small_model.threshold_level
        )
        assert str(params["backbone_onnx"]) == network.name
        names = [str(name) for name in params["layer_names"]]
    session = ort.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == names


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Replace the exporter by one that records its arguments."""
    import padim.output

    asked: list[tuple[str, Path]] = []
    stub: Any = ModuleType("padim.output.export")

    def writer(kind: str) -> Any:
        def write(model: Padim, path: Path, **options: object) -> Path:
            assert model.normals_
            if kind == "npz":
                path.with_name(f"{path.stem}_backbone.onnx").write_bytes(b"12")
            asked.append((kind, path))
            path.write_bytes(b"1234" if kind == "npz" else seal(b"1234"))
            return path

        return write

    stub.export_onnx, stub.export_npz = writer("onnx"), writer("npz")
    monkeypatch.setattr("padim.output.export", stub, raising=False)
    monkeypatch.setitem(sys.modules, "padim.output.export", stub)
    monkeypatch.setattr(padim.output, "export", stub, raising=False)
    return asked


def test_export_writes_what_the_name_says_or_the_option(
    run: Run, saved_model: Path, tmp_path: Path, written: list[tuple[str, Path]]
) -> None:
    assert run("export", saved_model, "-o", tmp_path / "a.onnx").code == 0
    assert run("export", saved_model, "-o", tmp_path / "a.NPZ").code == 0
    document = run(
        "export", saved_model, "-o", tmp_path / "a.bin", "--format", "npz", "--json", "--force"
    ).json
    assert (document["bytes"], document["format"]) == (4, "npz")
    assert document["beside"] == [str(tmp_path / "a_backbone.onnx")]
    assert [(kind, path.name) for kind, path in written] == [
        ("onnx", "a.onnx"),
        ("npz", "a.NPZ"),
        ("npz", "a.bin"),
    ]


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_the_level_map_is_of_the_type_that_is_asked_for(
    run: Run, saved_model: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a.onnx"
    assert run("export", saved_model, "-o", path, "--output-type", kind).code == 0
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    types = {output.name: output.type for output in session.get_outputs()}
    assert types["map"] == {"uint16": "tensor(uint16)", "float32": "tensor(float)"}[kind]


def test_an_output_type_is_no_matter_of_arrays(run: Run, saved_model: Path, tmp_path: Path) -> None:
    done = run("export", saved_model, "-o", tmp_path / "a.npz", "--output-type", "float32")
    assert "--output-type applies to ONNX files" in done.sentence
    assert not list(tmp_path.glob("a*"))


def test_what_cannot_be_exported_is_one_sentence(
    run: Run, saved_model: Path, tmp_path: Path, written: list[tuple[str, Path]]
) -> None:
    (tmp_path / "here.onnx").write_bytes(b"mine")
    (tmp_path / "b_backbone.onnx").write_bytes(b"mine")
    for model, target, phrase in (
        (saved_model, "a.txt", ".npz"),
        (saved_model, "here.onnx", "--force"),
        (saved_model, "b.npz", "b_backbone.onnx"),
        (saved_model, "no/folder/a.onnx", "this folder does not exist"),
        (saved_model, "", "is a folder"),
        (tmp_path / "none", "a.onnx", "no saved model"),
    ):
        options = ["--format", "onnx"] if not target else []
        assert phrase in run("export", model, "-o", tmp_path / target, *options).sentence
    assert not written
    assert (tmp_path / "here.onnx").read_bytes() == b"mine"


# --- presets ------------------------------------------------------------------------------------------


def test_info_says_what_a_preset_costs_and_gained(run: Run) -> None:
    fine, standard = (run("info", "--preset", name, "--json").json for name in ("fine", "standard"))
    assert fine["preset"] == "fine"
    assert fine["config"]["layers"] == ["blocks.4", "blocks.10"]
    assert standard["preset"] == "standard"
    assert fine["cost"]["score_memory"] > standard["cost"]["score_memory"]
    phrase = " ".join(run("info", "--preset", "fine").out.split())
    assert "public sets" in phrase
    assert "the time" in phrase
    # Settings beside it take precedence, and then the preset is no longer named.
    other = run("info", "--preset", "fine", "--input-size", 320, "--json").json
    assert other["preset"] is None
    assert other["config"]["layers"] == ["blocks.4", "blocks.10"]
    assert "did you mean 'fast'" in run("info", "--preset", "fas").sentence


def test_a_preset_stands_below_the_file_and_the_options(run: Run, tmp_path: Path) -> None:
    yaml = tmp_path / "own.yaml"
    yaml.write_text("preset: fast\nseed: 7\n", encoding="utf-8")
    assert run("info", "-c", yaml, "--json").json["config"]["grid_stride"] == 16
    fine = run("info", "-c", yaml, "--preset", "fine", "--json").json["config"]
    assert (fine["grid_stride"], fine["layers"], fine["seed"]) == (8, ["blocks.4", "blocks.10"], 7)
    yaml.write_text("grid_stride: 4\n", encoding="utf-8")
    assert run("info", "-c", yaml, "--preset", "fast", "--json").json["config"]["grid_stride"] == 4
    elsewhere = run("info", "--preset", "fine", "--backbone", "resnet18", "--json").json["config"]
    assert (elsewhere["grid_stride"], elsewhere["layers"]) == (4, ["layer1", "layer2", "layer3"])


def test_a_model_is_fitted_by_a_preset(run: Run, good: Path, tmp_path: Path) -> None:
    done = run("fit", good, "-o", tmp_path / "m", "--preset", "fast", "--input-size", 64, "--json")
    assert done.code == 0, done.err
    assert done.json["config"]["grid_stride"] == 16
    assert done.json["config"]["input_size"] == 64
