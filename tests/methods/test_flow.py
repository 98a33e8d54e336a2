"""The flow: its likelihood by a brute-force change of variables, its graph compared with NumPy and torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from padim.errors import PadimError
from padim.methods import flow, training
from padim.methods.base import Task
from padim.methods.flow import Likelihood, fit_detector, network, whitening_of
from padim.methods.patches import Standard
from tests.methods.arrays import by_graph, by_numpy, embeddings, task

SHORT: dict[str, Any] = {"method": "flow", "max_epochs": 4, "folds": 3, "flow_couplings": 4}


def made(d: int, p: int = 16, couplings: int = 5, hidden: int = 6, spread: float = 0.7) -> Likelihood:
    rng = np.random.default_rng(4)

    def drawn(*shape: int) -> Any:
        return (spread * rng.normal(size=shape)).astype(np.float32)

    return Likelihood(
        Standard(drawn(p, d), np.abs(drawn(p, d)) + np.float32(0.5)),
        np.eye(d, dtype=np.float32) + drawn(d, d) / np.float32(d),
        tuple(
            tuple(drawn(*shape) for shape in flow._shapes(d, hidden, number)) for number in range(couplings)
        ),
        np.array(50.0, np.float32),
    )


def through(model: Likelihood, x: torch.Tensor, place: int) -> torch.Tensor:
    """Map one patch ``(d,)`` at a place to z, with a mask of the given features instead of halves."""
    d = len(x)
    mean, unit = (torch.from_numpy(array[place]).double() for array in model.standard.arrays().values())
    z = ((x - mean) * unit) @ torch.from_numpy(model.whitening).double()
    first = torch.arange(d) < d // 2
    for number, layer in enumerate(model.couplings):
        into, into_bias, out, out_bias = (torch.from_numpy(array).double() for array in layer)
        given = ~first if number % 2 else first
        answer = torch.relu(z[given] @ into + into_bias) @ out + out_bias
        log_scale = flow.MOST_LOG_SCALE * torch.tanh(answer[: (~given).sum()] / flow.MOST_LOG_SCALE)
        changed = z.clone()
        changed[~given] = z[~given] * torch.exp(log_scale) + answer[(~given).sum() :]
        z = changed
    return z


@pytest.mark.parametrize("d", [2, 3, 6, 9])
def test_the_likelihood_is_that_of_the_change_of_variables(d: int) -> None:
    model, x = made(d), embeddings(2, 4, d)
    found = model.log_likelihood(x)
    for index, place in [(0, 0), (1, 5), (1, 15)]:
        patch = torch.from_numpy(x[index, place]).double()
        z = through(model, patch, place)
        jacobian: Any = torch.autograd.functional.jacobian(
            lambda v, place=place: through(model, v, place), patch
        )
        normal = -0.5 * (z @ z).item() - d / 2 * np.log(2 * np.pi)
        # In the units of the place, that is, without the volume of its scaling.
        volume = torch.linalg.slogdet(jacobian)[1].item() - np.log(model.standard.unit[place]).sum()
        assert found[index, place] == pytest.approx(normal + volume, rel=1e-6)


def test_the_likelihood_integrates_to_one() -> None:
    side = np.linspace(-12, 12, 801)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(1, -1, 2).astype(np.float32)
    # Every point is a place of one image, with common zero and unit.
    plain = Standard(np.zeros(points[0].shape, np.float32), np.ones(points[0].shape, np.float32))
    model = replace(made(2, spread=0.25), standard=plain)
    total = np.exp(model.log_likelihood(points)).sum() * (side[1] - side[0]) ** 2
    assert total == pytest.approx(1, abs=2e-3)


def test_untrained_it_is_the_likelihood_of_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5))).astype(np.float32)
    white = whitening_of(x, 3)
    covariance = x.T.astype(np.float64) @ x / len(x) + flow.FLOOR * np.eye(5)
    still = tuple(
        tuple(np.zeros(shape, np.float32) for shape in flow._shapes(5, 6, number)) for number in range(3)
    )
    plain = Standard(np.zeros((500, 5), np.float32), np.ones((500, 5), np.float32))
    model = Likelihood(plain, white, still, np.array(0.0, np.float32))
    expected = multivariate_normal(np.zeros(5), covariance).logpdf(x)
    np.testing.assert_allclose(model.log_likelihood(x[None])[0], expected, rtol=1e-4)
    # And its distance is Mahalanobis'.
    expected = np.sqrt(np.einsum("nd,de,ne->n", x, np.linalg.inv(covariance), x))
    np.testing.assert_allclose(model.distances(x[None])[0], expected, rtol=1e-4)


@pytest.mark.parametrize("d", [2, 3, 8])
@pytest.mark.parametrize("n", [1, 4])
def test_graph_and_numpy_agree(n: int, d: int) -> None:
    model, x = made(d), embeddings(n, 4, d)
    expected = model.distances(x)
    assert expected.shape == (n, 16)
    assert (expected > 0).all()
    np.testing.assert_allclose(by_graph(model, x), expected, rtol=1e-4)
    assert set(model.inputs()) == {info.name for info in model.piece(d).inputs}


def test_the_trained_network_and_numpy_agree(tmp_path: Path) -> None:
    given_task = given(tmp_path, 12)
    detector, _ = flow.fit(given_task, training.Turn("all parts", range(12), []))
    net: Any = network(6, 4, 0)
    with torch.no_grad():
        for layer, (into, into_bias, out, out_bias) in zip(net.layers, detector.couplings, strict=True):
            for parameter, array in (
                (layer[0].weight, into.T),
                (layer[0].bias, into_bias),
                (layer[2].weight, out.T),
                (layer[2].bias, out_bias),
            ):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        x = given_task.read(range(12))
        z, volume = net(torch.from_numpy(detector.standard(x).reshape(-1, 6) @ detector.whitening))
    squared = (z.square().sum(dim=1) - 2 * volume).numpy().reshape(12, 16) + detector.level
    np.testing.assert_allclose(np.sqrt(np.maximum(squared, 0)), by_numpy(detector, x), rtol=1e-3, atol=1e-3)
    assert any(layer[2].any() for layer in detector.couplings), "nothing was trained"


def test_less_likely_is_never_nearer() -> None:
    model = made(4)
    x = 4 * embeddings(300, 4, 4, seed=3)
    likelihood, distance = model.log_likelihood(x), model.distances(x)
    for place in (0, 9):
        order = np.argsort(-likelihood[:, place])
        assert (np.diff(distance[order, place]) >= 0).all()


def test_an_image_alone_and_in_a_batch_to_the_bit() -> None:
    model, x = made(100, 64, 6, 64, 0.1), embeddings(7, 8, 100)
    together = by_graph(model, x)
    np.testing.assert_array_equal(np.concatenate([by_graph(model, one[None]) for one in x]), together)


def test_forms_differ_with_the_network_and_not_with_its_values() -> None:
    assert made(4).form == replace(made(4), level=np.array(1.0, np.float32)).form
    assert made(4).form != made(4, couplings=6).form != made(4, couplings=6, hidden=5).form


def given(folder: Path, count: int = 9, **settings: Any) -> Task:
    return task(folder, embeddings(count, 4, 6), **{**SHORT, **settings})


@pytest.mark.slow
def test_training_finds_what_no_gaussian_has(tmp_path: Path) -> None:
    """One feature is the square of the other: values usual in each can be anomalous together."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(20, 64))
    x = np.stack([first, first**2 + 0.1 * rng.normal(size=(20, 64))], axis=2).astype(np.float32)
    fitted = fit_detector(task(tmp_path, x, **{**SHORT, "max_epochs": 15, "folds": 2}))
    curve = fitted.losses[0]
    assert curve.held_out[curve.best] < curve.held_out[0] - 0.2
    strange = by_numpy(fitted.detector, np.full((1, 64, 2), [0, 1.5], np.float32))
    assert np.median(strange) > np.percentile(fitted.held_out, 90)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_parts(tmp_path: Path, count: int) -> None:
    fitted = fit_detector(given(tmp_path, count))
    assert np.isfinite(fitted.held_out).all()
    assert fitted.held_out.any() == (count == 3)
    assert np.isfinite(by_numpy(fitted.detector, embeddings(2, 4, 6))).all()


def test_one_feature_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="keep at least 2"):
        fit_detector(task(tmp_path, embeddings(4, 4, 1), **SHORT))
