"""Which execution provider runs the network, and what is said when one cannot."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime as ort
import pytest

from padim import PadimError
from padim.network import runtime
from padim.network.graph import tail_graph
from padim.network.runtime import PROVIDERS, open_session, provider_in_use, threads, wanted_providers
from padim.network.threads import workers

TAIL = tail_graph().SerializeToString()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADIM_PROVIDERS", raising=False)
    monkeypatch.delenv("PADIM_THREADS", raising=False)
    monkeypatch.setattr(runtime, "_logged", set())


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [PROVIDERS[name] for name in names])


def test_every_installed_provider_is_tried_the_processor_last(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "cpu", "coreml", "cuda")
    assert wanted_providers() == [PROVIDERS[name] for name in ("cuda", "coreml", "cpu")]


def test_the_order_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "cuda", "openvino", "cpu")
    monkeypatch.setenv("PADIM_PROVIDERS", " OpenVINO ,cuda")
    assert wanted_providers() == [PROVIDERS[name] for name in ("openvino", "cuda", "cpu")]
    monkeypatch.setenv("PADIM_PROVIDERS", "cpu")
    assert wanted_providers() == [PROVIDERS["cpu"]]


@pytest.mark.parametrize(
    ("asked", "message"),
    [("gpu", "unknown provider 'gpu'; known providers: cuda"), ("cuda", "'cuda' is not in the inst")],
)
def test_a_missing_provider_is_refused(asked: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "cpu")
    monkeypatch.setenv("PADIM_PROVIDERS", asked)
    with pytest.raises(PadimError, match=message):
        open_session(TAIL)


class Failing:
    """ONNX Runtime whose GPU does not start: as an error, or by silently taking the processor instead."""

    def __init__(self, error: bool) -> None:
        self.error = error
        self.real = ort.InferenceSession

    def __call__(self, model: bytes, options: ort.SessionOptions, providers: list[object]) -> object:
        if self.error and providers[0] != PROVIDERS["cpu"]:
            raise RuntimeError("libcudart.so.12: cannot open shared object file")
        return self.real(model, options, providers=[PROVIDERS["cpu"]])


@pytest.mark.parametrize("error", [True, False])
def test_a_gpu_that_does_not_start_is_passed_over_with_a_warning(
    error: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, "cuda", "cpu")
    monkeypatch.setattr(runtime.ort, "InferenceSession", Failing(error))
    with pytest.warns(UserWarning, match="'cuda' cannot be used .* finally the CPU"):
        session = open_session(TAIL)
    assert provider_in_use(session) == "cpu"


@pytest.mark.parametrize("error", [True, False])
def test_a_gpu_that_was_asked_for_must_start(error: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "cuda", "cpu")
    monkeypatch.setenv("PADIM_PROVIDERS", "cuda")
    monkeypatch.setattr(runtime.ort, "InferenceSession", Failing(error))
    with pytest.raises(PadimError, match=r"'cuda' cannot be used .* PADIM_PROVIDERS"):
        open_session(TAIL)


def test_threads_are_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads() == 0
    monkeypatch.setattr(runtime, "cores", lambda: 4)
    monkeypatch.setenv("PADIM_THREADS", "3")
    assert threads() == 3
    assert runtime.session_options().intra_op_num_threads == 3
    for wrong in ("-1", "two", "1.5"):
        monkeypatch.setenv("PADIM_THREADS", wrong)
        with pytest.raises(PadimError, match=f"PADIM_THREADS .* got '{wrong}'"):
            threads()


def test_a_session_says_what_it_runs_on() -> None:
    session = open_session(TAIL)
    assert provider_in_use(session) == "cpu"
    feed = {
        "distance": np.ones((1, 4), np.float32),
        "grid_shape": np.array([-1, 2, 2]),
        "rows_to_levels": np.full((8, 2), 50, np.float32),
        "columns": np.full((2, 8), 0.5, np.float32),
        "level_offset": np.array(0, np.float32),
        "inside": np.ones((1, 1, 1), np.float32),
    }
    assert (session.run(["map"], feed)[0] == 100).all()


def test_the_next_provider_is_tried_where_the_first_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "cuda", "openvino", "cpu")
    tried: list[str] = []

    class Session:
        def __init__(self, model: bytes, options: object, providers: list[tuple[str, object]]) -> None:
            tried.append(providers[0][0])
            if "CUDA" in providers[0][0]:
                raise RuntimeError("no driver")

        def get_providers(self) -> list[str]:
            return [PROVIDERS["openvino"], PROVIDERS["cpu"]]

    monkeypatch.setattr(runtime.ort, "InferenceSession", Session)
    with pytest.warns(UserWarning, match="'cuda' cannot be used"):
        session = open_session(TAIL)
    assert provider_in_use(session) == "openvino"
    assert tried == [PROVIDERS["cuda"], PROVIDERS["openvino"]]


@pytest.mark.parametrize("asked", ["100000", "9" * 5000, "0" * 30 + "5000"])
def test_there_are_never_more_threads_than_cores(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_THREADS", asked)
    with pytest.warns(UserWarning, match=r"PADIM_THREADS=.* is more than the .* there are") as description:
        assert threads() == runtime.cores()
    assert len(str(description[0].message)) < 200
    # Not said at every session again: here a warning would be an error.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert workers() == runtime.cores()
        assert runtime.session_options().intra_op_num_threads == runtime.cores()


def test_a_long_zero_is_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_THREADS", "0" * 50)
    assert threads() == 0
