"""Deep SVDD: distances by graph, NumPy and torch; losses and radius computed by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from padim.methods import patches, svdd, training
from padim.methods.base import Task
from padim.methods.patches import Standard
from padim.methods.svdd import Sphere, center_of, fit_detector, objective, radius_of
from tests.methods.arrays import by_graph, by_numpy, embeddings, task

SHORT: dict[str, Any] = {"method": "svdd", "max_epochs": 4, "folds": 3}


def made(d: int = 7, p: int = 16, hidden: int = 6, code: int = 3) -> Sphere:
    rng = np.random.default_rng(4)

    def drawn(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    standard = Standard(drawn(p, d), np.abs(drawn(p, d)) + np.float32(0.5))
    return Sphere(standard, drawn(d, hidden), drawn(hidden, code), drawn(code), np.array(1.7, np.float32))


def by_torch(sphere: Sphere, x: np.ndarray) -> np.ndarray:
    z = torch.from_numpy((x - sphere.standard.mean) * sphere.standard.unit)
    hidden = torch.nn.functional.leaky_relu(z @ torch.from_numpy(sphere.first), svdd.LEAK)
    away = hidden @ torch.from_numpy(sphere.second) - torch.from_numpy(sphere.center)
    return np.asarray(away.norm(dim=-1)) / sphere.unit


@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("n", [1, 5])
def test_graph_numpy_and_torch_agree(n: int, d: int) -> None:
    sphere, x = made(d), embeddings(n, 4, d)
    expected = sphere.distances(x)
    assert expected.shape == (n, 16)
    np.testing.assert_allclose(by_graph(sphere, x), expected, rtol=2e-5)
    np.testing.assert_allclose(by_torch(sphere, x), expected, rtol=2e-5)


def test_an_image_alone_and_in_a_batch_to_the_bit() -> None:
    sphere, x = made(100, 64, 64, 32), embeddings(7, 8, 100)
    together = by_graph(sphere, x)
    np.testing.assert_array_equal(np.concatenate([by_graph(sphere, one[None]) for one in x]), together)


def test_forms_differ_with_the_network_and_not_with_its_values() -> None:
    assert made().form == replace(made(), center=np.zeros(3, np.float32)).form != made(hidden=5).form
    assert made().fingerprint() != replace(made(), center=np.zeros(3, np.float32)).fingerprint()
    assert set(made().inputs()) == {info.name for info in made().piece(7).inputs}


def test_the_objectives_by_hand() -> None:
    squared = torch.tensor([1.0, 4.0, 9.0, 16.0])
    assert objective(squared, None, 0.5).item() == 7.5
    # R = 2: 4 + ((9 - 4) + (16 - 4)) / 4 / 0.5
    assert objective(squared, torch.tensor(2.0), 0.5).item() == pytest.approx(4 + (5 + 12) / 4 / 0.5)
    # The median of the squared distances lies between 4 and 9.
    assert radius_of(squared, 0.5).item() == pytest.approx(np.sqrt(6.5))
    assert radius_of(torch.arange(0.0, 101.0), 0.1).item() == pytest.approx(np.sqrt(90))


def test_the_center_keeps_away_from_zero() -> None:
    codes = torch.tensor([[0.3, 0.02, -0.06, -2.0, 0.0], [0.1, 0.02, -0.02, -1.0, 0.0]])
    np.testing.assert_allclose(center_of(codes), [0.2, 0.1, -0.1, -1.5, 0.1], rtol=1e-6)


def given(folder: Path, count: int = 9, **settings: Any) -> Task:
    return task(folder, embeddings(count, 4, 6), **{**SHORT, **settings})


@pytest.mark.parametrize("kind", ["one_class", "soft_boundary"])
def test_what_is_strange_is_far(tmp_path: Path, kind: str) -> None:
    trained = fit_detector(given(tmp_path, 20, svdd_objective=kind, max_epochs=10))
    x = embeddings(6, 4, 6, seed=8)
    good = by_numpy(trained.detector, x)
    strange = by_numpy(trained.detector, x + 6 * np.eye(6, dtype=np.float32)[2])
    assert np.median(strange) > 1.5 * np.median(good)
    # Distances are scaled so that usual values are about 1 in every fold.
    assert 0.4 < np.median(trained.held_out) < 1.6
    assert [curve.name for curve in trained.losses[:3]] == [
        "all parts (autoencoder)",
        "all parts",
        "without fold 1 (autoencoder)",
    ]
    assert len(trained.losses) == 8
    assert all(curve.train[-1] < curve.train[0] for curve in trained.losses[:2])


def test_a_soft_boundary_leaves_its_share_outside(tmp_path: Path) -> None:
    task = given(tmp_path, 40, svdd_objective="soft_boundary", svdd_nu=0.25, max_epochs=12, folds=2)
    turn = training.Turn("all parts", task.fit_rows, [])
    sphere, _ = svdd.fit(task, turn)
    assert np.mean(sphere.distances(task.read(task.fit_rows)) > 1) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_parts(tmp_path: Path, count: int) -> None:
    trained = fit_detector(given(tmp_path, count))
    assert np.isfinite(trained.held_out).all()
    assert (trained.held_out > 0).all() == (count == 3)
    assert np.isfinite(by_numpy(trained.detector, embeddings(2, 4, 6))).all()


def test_equal_images_are_no_reason_to_fail(tmp_path: Path) -> None:
    x = np.repeat(embeddings(1, 4, 6), 5, axis=0)
    trained = fit_detector(task(tmp_path, x, **SHORT))
    assert np.isfinite(trained.held_out).all()
    assert by_numpy(trained.detector, x[:1] + 1).min() > trained.held_out.max()


def test_places_have_their_own_zero_and_unit(tmp_path: Path) -> None:
    x = embeddings(130, 4, 3)  # more than one read fetches
    standard = Standard.of(task(tmp_path, x), range(130))
    np.testing.assert_allclose(standard.mean, x.mean(axis=0), rtol=1e-4)
    own = x.var(axis=0, ddof=1)
    np.testing.assert_allclose(standard.unit**-2, (own + own.mean(axis=0)) / 2, rtol=1e-4)


def test_a_dead_channel_drowns_nothing(tmp_path: Path) -> None:
    x = embeddings(12, 4, 3)
    x[..., 1] = 2.0
    x[:, 5, 0] = 1.0
    standard = Standard.of(task(tmp_path, x), range(12))
    assert np.isfinite(standard.unit).all()
    assert standard.unit.max() < 5 * np.median(standard.unit)


def test_patches_are_drawn_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_task = task(tmp_path, embeddings(10, 4, 3))
    standard = Standard.of(given_task, range(10))
    everything = patches.draw(given_task, range(10), standard, 0)
    np.testing.assert_array_equal(everything, standard(given_task.read(range(10))).reshape(-1, 3))
    monkeypatch.setattr(patches, "MOST_BYTES", 10 * 5 * 3 * 4)
    some = patches.draw(given_task, range(10), standard, 0)
    assert some.shape == (50, 3)
    known = {row.tobytes() for row in everything}
    assert len({row.tobytes() for row in some}) == 50
    assert all(row.tobytes() in known for row in some)
    assert patches.draw(given_task, [], standard, 0).shape == (0, 3)


@pytest.mark.parametrize("count", [1, 40, 5_000, 100_000])
def test_an_epoch_takes_no_patch_twice(count: int) -> None:
    working_files = np.concatenate(list(patches.batches(count, np.random.default_rng(0))))
    assert len(working_files) == len(set(working_files.tolist())) == min(count, patches.PER_EPOCH)
