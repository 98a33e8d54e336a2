"""What a model takes its features from."""

from __future__ import annotations

import numpy as np
import pytest

from padim import PadimConfig, PadimError
from padim.network.model_network import ModelNetwork

CONFIG = PadimConfig(input_size=64, n_features=20)


def test_channels_are_those_of_the_active_layers() -> None:
    network = ModelNetwork(CONFIG)
    layers = network.extractor.layers
    last = network.with_active_layers(CONFIG, [layers[-1].name], None)
    np.testing.assert_array_equal(
        network.channels(last), np.arange(sum(la.channels for la in layers))[-layers[-1].channels :]
    )
    assert last.inactive_layers == tuple(la.name for la in layers[:-1])
    assert last.n_features is None
    assert len(network.channels(CONFIG)) == 20


def test_no_more_channels_than_there_are() -> None:
    network = ModelNetwork(CONFIG)
    first = network.extractor.layers[0]
    config = network.with_active_layers(CONFIG, [first.name], 10_000)
    assert config.n_features == first.channels
    # With all layers active again, what is asked for counts once more.
    assert network.with_active_layers(config, CONFIG.layers, 20) == CONFIG


@pytest.mark.parametrize(
    ("active", "features", "sentence"),
    [((), None, "layers: none given"), (("other",), None, "other given; choose of"), (None, 0, "at least 1")],
)
def test_layers_that_were_not_fitted_on(
    active: tuple[str, ...] | None, features: int | None, sentence: str
) -> None:
    with pytest.raises(PadimError, match=sentence):
        ModelNetwork(CONFIG).with_active_layers(CONFIG, CONFIG.layers if active is None else active, features)


def test_provenance_is_that_given_or_the_registrys() -> None:
    assert ModelNetwork(CONFIG, None, {}).provenance == {}
    assert ModelNetwork(CONFIG).provenance["weights"] == "pretrained"
    own = ModelNetwork(CONFIG, None, {"weights": "adapted", "learnt_from": "ab cd"})
    assert own.adapted_with == {"ab", "cd"}
    assert not ModelNetwork(CONFIG, None, {}).adapted_with
    assert ModelNetwork(PadimConfig(weights="random")).random_weights
