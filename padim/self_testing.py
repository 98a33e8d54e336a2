"""Make the self-test of a model that is saved, and run that of a model that was opened.

See :mod:`padim.decision.self_test` for what is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from padim.data.decode import decode
from padim.decision.guard_band import VerdictLimits, verdict_limits
from padim.decision.scorer import Scorer
from padim.decision.self_test import MOST_IMAGES, Machine, SelfTest, SelfTestResult, compare
from padim.decision.settings import DecisionSettings
from padim.errors import CalibrationError, PadimError, SelfTestError
from padim.network.runtime import threads
from padim.scoring import ScoringState
from padim.storage.thumbnails import Readable

__all__ = ["SelfTesting"]


class SelfTesting:
    """The self-test of one model: which one it has, and what came of it.

    Attributes:
        result: what the self-test has found; ``pending`` until an opened model scores for the first time.
    """

    def __init__(self) -> None:
        self._test: SelfTest | None = None
        # The state of a model saved before there were self-tests: it gets one once its scores change.
        self._without: ScoringState | None = None
        self.result = SelfTestResult("none", "the model was fitted here, not opened")

    def opened(
        self,
        test: SelfTest | None,
        path: Path,
        state: ScoringState,
        min_area: int,
        decision: DecisionSettings,
    ) -> Callable[[Scorer], None] | None:
        """Take the self-test of an opened model; return what its first scoring calls, None if nothing.

        Args:
            test: as saved; None for a model saved before there were self-tests.
            path: where the model was opened, for messages.
            state: the opened scoring state.
            min_area: smallest region that counts, in map pixels.
            decision: the threshold and guard band as saved.
        """
        self._test = test
        self._without = state if test is None else None
        if test is None or not test.names:
            why = test.missing if test else "the model was saved by a version without self-tests"
            self.result = SelfTestResult("none", why)
            return None
        self.result = SelfTestResult("pending", images=len(test.names), saved_on=test.machine)

        def check(scorer: Scorer) -> None:
            maps = np.concatenate([scorer(rgb[None])[1] for rgb in test.inputs])
            limits = _limits(state, min_area, decision)
            self.result = found = compare(
                test,
                maps,
                _machine(state),
                min_area=min_area,
                limits=limits,
                quantizer=state.fitted.quantizer,
            )
            if found.state == "refused":
                raise _refused(path, found)

        return check

    def to_save(self, state: ScoringState, thumbnails: Readable) -> SelfTest | None:
        """Return the self-test that a saved model is to have.

        It is made anew, by a few runs of the network, only if scores have changed since the model was opened
        or last saved.

        Args:
            state: the scoring state to be saved.
            thumbnails: thumbnails of the normals.

        Returns:
            The self-test; None if the model was saved by a version without them, and scores as it did then.

        Raises:
            SelfTestError: the opened model failed its self-test here; saved now, no later one could show it.
        """
        if self._without is not None and self._without.identity == state.identity:
            return None
        self._without = None
        if self._test is None or self._test.identity != state.identity:
            self._test = _make(state, thumbnails)
        return self._test


def _refused(path: Path, found: SelfTestResult) -> SelfTestError:
    here = found.found_on
    assert here is not None  # it was compared
    other = "" if here.provider == "cpu" else "set PADIM_PROVIDERS=cpu to score on the processor, "
    return SelfTestError(
        f"{path}: the self-test of the model failed, nothing is scored: {found.sentence}; {other}install the "
        "version of ONNX Runtime and the drivers that it was saved with, or fit the model again on this "
        "machine",
        found.name,
        expected_score=found.expected_score,
        found_score=found.found_score,
        expected_level=found.expected_level,
        found_level=found.found_level,
        largest=found.largest,
        provider=here.provider,
        threads=here.threads,
    )


def _limits(state: ScoringState, min_area: int, decision: DecisionSettings) -> VerdictLimits | None:
    try:
        level = state.threshold(decision.choice, min_area).level
    except CalibrationError:  # fewer than three parts, or beyond the scale: there are no verdicts
        return None
    return verdict_limits(level, decision.guard, state.fitted.quantizer)


def _machine(state: ScoringState) -> Machine:
    return Machine(state.provider, threads(), ort.__version__)


def _make(state: ScoringState, thumbnails: Readable) -> SelfTest:
    chosen = _references(state)
    if not chosen:
        return SelfTest.without(state.identity, "none of the good parts shows what the network sees")
    normals = [state.fitted.normals[index] for index in chosen]
    try:
        inputs = np.stack(
            [
                state.input_of(normal, decode(thumbnails.read(normal.thumbnail), normal.name))
                for normal in normals
            ]
        )
        # One at a time, as they will be scored again: a batch of another size may round differently.
        maps = np.concatenate([state.scorer(rgb[None])[1] for rgb in inputs])
    except SelfTestError:
        raise
    except PadimError as error:
        return SelfTest.without(state.identity, f"the reference images could not be scored ({error})")
    return SelfTest(state.identity, tuple(n.name for n in normals), inputs, maps, _machine(state))


def _references(state: ScoringState) -> list[int]:
    """Return the good parts with the least, the median and the largest held-out distance, each once.

    Without held-out distances they are the first ones.
    """
    fitted = state.fitted
    usable = [
        index for index, normal in enumerate(fitted.normals) if normal.status == "fit" and not normal.lost
    ]
    if fitted.calibration != "none" and all(index < len(fitted.held_out) for index in usable):
        # Of the raw distances: they need no map, and depend on no setting of the decision.
        largest = {index: float(fitted.held_out[index].max()) for index in usable}
        usable.sort(key=lambda index: (largest[index], index))
        if len(usable) > MOST_IMAGES:
            return [usable[0], usable[len(usable) // 2], usable[-1]]
    return usable[:MOST_IMAGES]
