"""Texts on the cost of settings: the engine's own numbers, also for models of few images."""

from __future__ import annotations

import pytest

from padim import PadimConfig
from padim.analysis.cost import estimate
from ui.app.text import megabytes
from ui.widgets import costs


@pytest.mark.parametrize("images", [1, 12, 50, 51, 4000])
def test_the_page_says_what_the_engine_estimates(images: int) -> None:
    config = PadimConfig()
    cost = estimate(config, images)
    facts = dict(costs.facts(config, images))
    assert facts["Memory while fitting"] == megabytes(cost.fit_memory)
    assert facts["Memory while scoring"] == megabytes(cost.score_memory)
    assert facts["Saved model"] == megabytes(cost.bundle)
    assert facts["Working features"] == megabytes(images * cost.features_per_image)
    assert facts["Checkpoint, optional"] == megabytes(cost.checkpoint)
    assert costs.checkpoint(config, images) == megabytes(cost.checkpoint)


def test_few_images_are_distinguished_from_enough() -> None:
    config = PadimConfig(n_features=100)
    whole = megabytes(estimate(config).bundle)
    few = costs.note(config, 12)
    assert "With only 12 images" in few
    assert "from 51 on" in few
    assert f"the saved model {whole}" in few
    assert "With only 50 images" in costs.note(config, 50)
    assert costs.note(config, 51) == "The network itself comes on top."
