"""The saved model: whole or not at all, checked to the last byte, nothing executed."""

from __future__ import annotations

import ast
import io
import itertools
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import BackboneError, BundleError, Padim, PadimConfig
from padim.storage import bundle
from padim.storage.bundle import MANIFEST, Bundle
from tests.parts import normals

ROOT = Path(__file__).parents[2]
LOGICAL = (
    "mean.npy",
    "left.npy",
    "right.npy",
    "channels.npy",
    "held_out.npy",
    "normals.json",
    "thumbnails.bin",
    "backbone.onnx",
    "self_test_inputs.png",
    "self_test_maps.png",
)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one bit": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "longer": lambda content: content + b"\0",
}


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    config = PadimConfig(input_size=64, grid_stride=16, n_features=4, smoothing_sigma=2, min_area=8)
    return Padim(config, work_dir=tmp_path_factory.mktemp("tiny")).fit(normals(4))


@pytest.fixture
def saved(tiny_model: Padim, tmp_path: Path) -> Path:
    return tiny_model.save(tmp_path / "model")


def file_of(path: Path, logical: str) -> Path:
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    return path / str(manifest["files"][logical]["file"])


def names(path: Path) -> set[str]:
    return {item.name for item in path.iterdir()} - {".lock"}


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit a manifest as an attacker would, who can compute the seal as well as we can."""
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    manifest["seal"] = bundle._seal(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def rezip(folder: Path, target: Path, method: int = zipfile.ZIP_STORED, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for item in sorted(folder.iterdir()):
            if item.is_file():
                archive.write(item, prefix + item.name)
    return target


# --- what is in it ---


def test_files_carry_their_hash_and_are_listed(saved: Path) -> None:
    manifest = json.loads((saved / MANIFEST).read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["version"]) == ("padim-bundle", 3)
    assert sorted(manifest["files"]) == sorted(LOGICAL)
    assert names(saved) == {MANIFEST, *(entry["file"] for entry in manifest["files"].values())}
    assert manifest["counts"] == {"images": 4, "parts": 4, "kept_out": 0, "not_good": 0}
    assert PadimConfig.model_validate(manifest["config"]).n_features == 4
    for logical in LOGICAL:
        assert file_of(saved, logical).stat().st_size == manifest["files"][logical]["bytes"]


def test_arrays_are_plain_npy_files(saved: Path, tiny_model: Padim) -> None:
    mean = np.load(file_of(saved, "mean.npy"), allow_pickle=False)
    np.testing.assert_array_equal(mean, tiny_model.state.gaussians.mean)
    assert mean.dtype == np.float32


def test_zip_holds_the_same(saved: Path, tiny_model: Padim, tmp_path: Path) -> None:
    path = tiny_model.save(tmp_path / "model.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == names(saved)
    again = Padim.load(path)
    np.testing.assert_array_equal(again.state.gaussians.mean, tiny_model.state.gaussians.mean)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("prefix", ["", "model/"])
def test_zip_made_by_hand_of_the_folder(saved: Path, tmp_path: Path, method: int, prefix: str) -> None:
    """File managers pack the folder itself, compressed."""
    model = Padim.load(rezip(saved, tmp_path / "hand.zip", method, prefix))
    assert len(model.normals_) == 4


def test_unicode_names_survive(tmp_path: Path) -> None:
    config = PadimConfig(input_size=64, grid_stride=16, n_features=3)
    odd = ["Süd/Teil 1.png", "部品.png", "🔩 <b>'\"&.png", "a\\b.png", "x" * 300 + ".png"]
    images = [(name, content) for name, (_, content) in zip(odd, normals(5), strict=True)]
    model = Padim(config).fit(images, groups={"部品.png": "Größe №1"})
    for place in (tmp_path / "Modell – 模型", tmp_path / "Modell – 模型.zip"):
        again = Padim.load(model.save(place))
        assert [n.name for n in again.normals_] == odd
        assert again.normals_ == model.normals_


# --- damage ---


@pytest.mark.parametrize("logical", LOGICAL)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_file_is_named(saved: Path, logical: str, damage: Callable[[bytes], bytes]) -> None:
    path = file_of(saved, logical)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError) as caught:
        Padim.load(saved)
    assert path.name in str(caught.value)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("logical", [*LOGICAL, MANIFEST])
def test_missing_file_is_named(saved: Path, logical: str) -> None:
    path = saved / MANIFEST if logical == MANIFEST else file_of(saved, logical)
    path.unlink()
    with pytest.raises(BundleError, match=path.name):
        Padim.load(saved)


@pytest.mark.parametrize("logical", LOGICAL)
def test_damage_inside_a_zip_is_named(saved: Path, tmp_path: Path, logical: str) -> None:
    path = file_of(saved, logical)
    content = path.read_bytes()
    for number, damage in enumerate(DAMAGES.values()):
        path.write_bytes(damage(content))
        with pytest.raises(BundleError, match=path.name):
            Padim.load(rezip(saved, tmp_path / f"{number}.zip"))
    path.unlink()
    with pytest.raises(BundleError, match=path.name):
        Padim.load(rezip(saved, tmp_path / "missing.zip"))


def test_truncated_zip(tiny_model: Padim, tmp_path: Path) -> None:
    path = tiny_model.save(tmp_path / "model.zip")
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(BundleError, match=r"model\.zip"):
            Padim.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_altered_zip_is_refused_or_the_same(
    saved: Path, tiny_model: Padim, tmp_path: Path, method: int
) -> None:
    """Wherever a byte is changed: in data, in local headers, in the directory."""
    path = rezip(saved, tmp_path / "model.zip", method)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
        headers = [info.header_offset + i for info in archive.infolist() for i in range(0, 30)]
    positions = [*headers, *range(directory, len(content)), *rng.integers(0, len(content), 60).tolist()]
    refused = 0
    for position in positions[:: 9 if method else 4]:
        altered = bytearray(content)
        altered[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        try:
            opened = Bundle(path)
            for logical in LOGICAL:
                opened.bytes(logical)
        except BundleError:
            refused += 1
            continue
        np.testing.assert_array_equal(
            opened.array("mean.npy", np.float32, 2), tiny_model.state.gaussians.mean
        )
    assert refused > 20


def test_edited_manifest_is_refused(saved: Path) -> None:
    path = saved / MANIFEST
    text = path.read_text(encoding="utf-8")
    for before, after in (('"min_area": 8', '"min_area": 1'), ('"images": 4', '"images": 5')):
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")
        with pytest.raises(BundleError, match=r"manifest\.json was altered"):
            Padim.load(saved)
    # Reformatting is no alteration.
    path.write_text(json.dumps(json.loads(text), indent=4), encoding="utf-8")
    Padim.load(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}", b'{"format": "other", "version": 1}', b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "not text", "nothing in it", "another format", "deep"],
)
def test_not_a_manifest(saved: Path, content: bytes) -> None:
    (saved / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Padim.load(saved)


def test_newer_version(saved: Path) -> None:
    reseal(saved, lambda manifest: manifest.update(version=4))
    with pytest.raises(BundleError, match=r"version 4.*reads 3.*update padim"):
        Padim.load(saved)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no saved model"):
        Padim.load(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        Padim.load(tmp_path)
    image = tmp_path / "image.png"
    image.write_bytes(bytes(normals(1)[0][1]))
    with pytest.raises(BundleError, match=r"image\.png"):
        Padim.load(image)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(BundleError, match=r"other\.zip.*manifest\.json"):
        Padim.load(other)


# --- hostile bundles: consistent in themselves, seal and all ---


@pytest.mark.parametrize(
    "name", ["../secret.npy", "/etc/passwd", "a/b-0123456789abcdef.npy", "..", "", "mean.npy", None, 7]
)
def test_names_that_lead_out_are_refused(saved: Path, name: Any) -> None:
    secret = saved.parent / "secret.npy"
    shutil.copy(file_of(saved, "mean.npy"), secret)
    reseal(saved, lambda manifest: manifest["files"]["mean.npy"].update(file=name))
    with pytest.raises(BundleError, match=r"mean\.npy"):
        Padim.load(saved)


def test_zip_with_names_that_lead_out(saved: Path, tmp_path: Path) -> None:
    path = rezip(saved, tmp_path / "model.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.txt", "evil")
        archive.writestr("/evil.txt", "evil")
    before = {item.name for item in tmp_path.iterdir()}
    Padim.load(path, work_dir=tmp_path / "work")
    assert {item.name for item in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("files"),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest["files"].pop("mean.npy"),
        lambda manifest: manifest["files"].update({"mean.npy": 3}),
        lambda manifest: manifest["files"]["mean.npy"].pop("sha256"),
        lambda manifest: manifest["files"]["mean.npy"].update(bytes="many"),
        lambda manifest: manifest["files"]["mean.npy"].update(bytes=-1),
        lambda manifest: manifest.pop("config"),
        lambda manifest: manifest.update(config=3),
        lambda manifest: manifest["config"].update(layers=["blocks.99"]),
        lambda manifest: manifest["config"].update(seed=1),
        lambda manifest: manifest["config"].update(input_size=96),
        lambda manifest: manifest["config"].update(unknown=1),
        lambda manifest: manifest.update(choice={"basis": "image", "permille": "x"}),
        lambda manifest: manifest.update(choice={"basis": "median"}),
        lambda manifest: manifest.update(choice={"basis": "manual", "value": None}),
        lambda manifest: manifest.update(quantizer={"offset": 0, "step": 0}),
        lambda manifest: manifest.update(quantizer={"offset": 0}),
        lambda manifest: manifest.update(calibration="perfect"),
    ],
)
def test_sealed_nonsense_is_refused(saved: Path, change: Callable[[dict[str, Any]], object]) -> None:
    reseal(saved, change)
    with pytest.raises((BundleError, BackboneError)):
        Padim.load(saved)


def replace_file(path: Path, logical: str, content: bytes) -> None:
    """Swap a file of the bundle, with hash and seal to match."""
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    stem, suffix = logical.rsplit(".", 1)
    stored = f"{stem}-{digest[:16]}.{suffix}"
    (path / stored).write_bytes(content)
    entry = {"file": stored, "sha256": digest, "bytes": len(content)}
    reseal(path, lambda manifest: manifest["files"].update({logical: entry}))


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


class Ran(Exception):
    pass


class Executes:
    def __reduce__(self) -> tuple[Any, ...]:
        return (_ran, ())


def _ran() -> None:
    raise Ran


def test_a_pickle_inside_is_never_executed(saved: Path) -> None:
    content = npy(np.array([Executes()], object), allow_pickle=True)
    with pytest.raises(Ran):
        np.load(io.BytesIO(content), allow_pickle=True)
    replace_file(saved, "mean.npy", content)
    with pytest.raises(BundleError, match=r"mean\.npy"):
        Padim.load(saved)


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, mean=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"no array",
        _npz(),
        npy(np.zeros((16, 4), np.float64)),
        npy(np.zeros((16, 3), np.float32)),
        npy(np.zeros(64, np.float32)),
        npy(np.full((16, 4), np.nan, np.float32)),
        npy(np.zeros((16, 4), np.float32))[:-4],
        npy(np.zeros((16, 4), np.float32)).replace(b"(16, 4)", b"(10**9, 10**9)"),
        npy(np.zeros((16, 4), np.float32)).replace(b"(16, 4), }      ", b"(99999999, 4), }"),
    ],
    ids=["empty", "cut", "text", "npz", "float64", "narrow", "flat", "nan", "short", "code", "huge"],
)
def test_another_array_is_refused(saved: Path, content: bytes) -> None:
    replace_file(saved, "mean.npy", content)
    with pytest.raises(BundleError):
        Padim.load(saved)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"3", b"[3]", b'[{"name": 3}]', b"[[]]", b"[]", b"\xff", b"null"]
)
def test_another_list_of_normals_is_refused(saved: Path, content: bytes) -> None:
    replace_file(saved, "normals.json", content)
    with pytest.raises(BundleError):
        Padim.load(saved)


def test_another_network_is_refused(saved: Path) -> None:
    replace_file(saved, "backbone.onnx", b"not a network")
    with pytest.raises(BundleError, match="network"):
        Padim.load(saved)


# --- saving ---


def test_saving_twice_leaves_no_orphans(tiny_model: Padim, tmp_path: Path) -> None:
    model = Padim.load(tiny_model.save(tmp_path / "m"))
    first = names(tmp_path / "m")
    model.save(tmp_path / "m")
    assert names(tmp_path / "m") == first
    grown = Padim(model.config).fit(normals(6))
    grown.save(tmp_path / "m")
    second = names(tmp_path / "m")
    assert len(second) == len(first)
    assert file_of(tmp_path / "m", "mean.npy").name not in first
    assert len(Padim.load(tmp_path / "m").normals_) == 6


def test_saving_leaves_files_of_others_alone(tiny_model: Padim, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "m")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    (tmp_path / "m" / "work").mkdir()
    Padim(tiny_model.config).fit(normals(3)).save(tmp_path / "m")
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "m" / "work").is_dir()


def test_saving_repairs_a_damaged_bundle(saved: Path, tiny_model: Padim) -> None:
    for logical in LOGICAL:
        path = file_of(saved, logical)
        path.write_bytes(DAMAGES["one bit"](path.read_bytes()))
    with pytest.raises(BundleError):
        Padim.load(saved)
    tiny_model.save(saved)
    assert len(Padim.load(saved).normals_) == 4


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it on the way."""


@pytest.mark.parametrize("place", ["model", "model.zip"])
def test_interrupted_save_keeps_the_former_model(
    tiny_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tiny_model.save(tmp_path / place)
    former = names(path) if path.is_dir() else set()
    other = Padim(tiny_model.config).fit(normals(5, first=30)).set_decision(percentile=80)
    real = bundle.write_atomic
    written: list[str] = []

    def run(stop_after: int) -> bool:
        written.clear()

        def cut(target: Path, content: Any) -> None:
            if len(written) == stop_after:
                raise PowerCut
            written.append(target.name)
            real(target, content)

        monkeypatch.setattr(bundle, "write_atomic", cut)
        try:
            other.save(path)
        except PowerCut:
            return False
        finally:
            monkeypatch.setattr(bundle, "write_atomic", real)
        return True

    for stop_after in itertools.count():
        finished = run(stop_after)
        loaded = Padim.load(path)
        if finished:
            break
        np.testing.assert_array_equal(loaded.state.gaussians.mean, tiny_model.state.gaussians.mean)
        assert loaded.decision.choice == tiny_model.decision.choice
        # What the interrupted save left behind, the next one tidies away.
        tiny_model.save(path)
        if path.is_dir():
            assert names(path) == former
    np.testing.assert_array_equal(loaded.state.gaussians.mean, other.state.gaussians.mean)
    assert loaded.decision.choice == other.decision.choice
    assert stop_after == len(written) == (1 if place.endswith(".zip") else 9)
    if path.is_dir():
        assert len(names(path)) == len(LOGICAL) + 1


def test_saving_tidies_what_a_killed_writer_left(saved: Path, tiny_model: Padim) -> None:
    expected = names(saved)
    for stem in (MANIFEST, file_of(saved, "mean.npy").name):
        (saved / f".{stem}.a1b2_c3d.tmp").write_bytes(b"half")
    (saved / ".mine.tmp").write_bytes(b"")
    tiny_model.save(saved)
    assert names(saved) == expected | {".mine.tmp"}


def test_a_write_that_fails_halfway_leaves_nothing(
    tiny_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_model.save(tmp_path / "model.zip")
    former = path.read_bytes()
    real = bundle._chunks

    def full_disk(parts: list[Any], size: int = 2**20) -> Any:
        yield from real(parts, size)
        if len(parts) == 2 and writing:
            raise OSError(28, "No space left on device")

    writing: list[bool] = []
    monkeypatch.setattr(bundle, "_chunks", full_disk)
    monkeypatch.setattr(zipfile.ZipFile, "open", _noting(zipfile.ZipFile.open, lambda: writing.append(True)))
    with pytest.raises(OSError, match="No space"):
        tiny_model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == former
    assert {item.name for item in tmp_path.iterdir()} == {"model.zip"}


def _noting(function: Callable[..., Any], note: Callable[[], object]) -> Callable[..., Any]:
    def noting(*args: Any, **options: Any) -> Any:
        note()
        return function(*args, **options)

    return noting


def test_revision_changes_with_the_model(tiny_model: Padim, tmp_path: Path) -> None:
    first = Bundle(tiny_model.save(tmp_path / "m")).revision
    assert Bundle(tmp_path / "m").revision == first
    Padim.load(tmp_path / "m").set_decision(percentile=70).save(tmp_path / "m")
    assert Bundle(tmp_path / "m").revision != first


def test_remove(saved: Path) -> None:
    bundle.remove(saved)
    assert not saved.exists()


# --- nothing executed, anywhere ---


def sources() -> list[Path]:
    folders = ("padim", "ui", "pages", "benchmarks", "sample_data")
    return [
        ROOT / "app.py",
        ROOT / "home.py",
        *(path for folder in folders for path in (ROOT / folder).rglob("*.py")),
    ]


def unsafe(tree: ast.AST) -> list[str]:
    """Imports and calls that can run what a file says."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            found += [
                f"import {module}"
                for module in modules
                if (module or "").split(".")[0]
                in ("pickle", "cPickle", "dill", "joblib", "marshal", "shelve")
            ]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"):
                found.append(called)
            if called in ("np.load", "numpy.load", "np.lib.format.read_array"):
                if options.get("allow_pickle") != "False":
                    found.append(ast.unparse(node))
            elif options.get("allow_pickle", "False") != "False":
                found.append(ast.unparse(node))
            if called == "torch.load" and options.get("weights_only") != "True":
                found.append(ast.unparse(node))
    return found


@pytest.mark.slow
def test_no_source_unpickles_or_evaluates() -> None:
    files = sources()
    assert len(files) > 15
    for path in files:
        assert not unsafe(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.save(x, y, allow_pickle=True)",
        "torch.load(x)",
        "yaml.load(x)",
        "eval(x)",
    ],
)
def test_the_check_above_can_fail(code: str) -> None:
    assert unsafe(ast.parse(code))


def test_a_save_by_another_session_while_loading_is_no_damage(
    saved_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    shutil.copytree(saved_model, path)
    real, once = bundle.Bundle.array, [True]

    def slow(self: bundle.Bundle, name: str, dtype: object, ndim: int) -> object:
        if once:
            once.clear()
            other = Padim.load(path)
            other.set_roi(np.eye(*other.config.input_shape, dtype=np.bool_)).save(path)
            raise BundleError("mean-0.npy is missing")
        return real(self, name, dtype, ndim)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle.Bundle, "array", slow)
    assert Padim.load(path).decision.roi is not None


@pytest.mark.slow
def test_a_bomb_in_place_of_an_array_is_refused_unread(saved_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * 200_000_000)
    with pytest.raises(BundleError, match="more tightly"):
        bundle.Bundle(path)


@pytest.mark.parametrize("version", [1, 2])
def test_a_model_of_before_the_first_release_says_so(saved: Path, version: int) -> None:
    reseal(saved, lambda manifest: manifest.update(version=version))
    with pytest.raises(BundleError, match=f"version {version}.*fit the model again"):
        Padim.load(saved)


@pytest.mark.parametrize(
    "entry",
    [
        {"original_size": [1e999, 5]},
        {"original_size": [0, 5]},
        {"thumbnail": [-1, 5]},
        {"thumbnail": [0, -5]},
    ],
)
def test_impossible_normals_are_refused(saved: Path, tiny_model: Padim, entry: dict[str, Any]) -> None:
    """A bundle sealed anew by somebody else."""
    whole = Bundle(saved)
    listed = json.loads(whole.bytes("normals.json"))
    listed[0].update(entry)
    files: dict[str, bundle.Content] = {name: whole.bytes(name) for name in whole.manifest["files"]}
    files["normals.json"] = json.dumps(listed).encode()
    own = ("format", "version", "files", "seal")
    bundle.write(saved, {k: v for k, v in whole.manifest.items() if k not in own}, files)
    with pytest.raises(BundleError, match=r"normals\.json"):
        Padim.load(saved)


def test_a_network_that_does_not_open_names_the_model(saved: Path) -> None:
    whole = Bundle(saved)
    files: dict[str, bundle.Content] = {name: whole.bytes(name) for name in whole.manifest["files"]}
    files["backbone.onnx"] = b"no network"
    own = ("format", "version", "files", "seal")
    bundle.write(saved, {k: v for k, v in whole.manifest.items() if k not in own}, files)
    with pytest.raises(BundleError, match=f"{re.escape(str(saved))}: backbone.onnx is not a network"):
        Padim.load(saved)
