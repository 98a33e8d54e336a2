"""ONNX Runtime sessions: which execution provider runs the network, on how many threads.

``PADIM_PROVIDERS`` names the providers in order of preference (``cuda, openvino, directml, coreml, cpu``);
without it every one that is installed is tried in that order. ``PADIM_THREADS`` sets the CPU threads, of
which there are never more than cores.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime as ort

from padim.errors import BundleError, PadimError
from padim.text import clipped, count

# In order of preference where nobody chose: the faster device first, the CPU always last.
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# Distances are held against the held-out ones, which are computed in float64: no ten-bit products.
_OPTIONS: dict[str, dict[str, object]] = {"CUDAExecutionProvider": {"use_tf32": 0}}
_logged: set[str] = set()
_SHORT = {provider: name for name, provider in PROVIDERS.items()}


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def threads() -> int:
    """CPU threads of a session: ``PADIM_THREADS``, or 0 for all cores.

    There are never more than cores: they would only wait for each other, and tens of thousands take minutes
    to start. It is said once when more are asked for.

    Raises:
        PadimError: not a whole number from 0 upwards.
    """
    text = os.environ.get("PADIM_THREADS", "").strip() or "0"
    if not text.isdecimal():
        raise PadimError(
            f"PADIM_THREADS must be a whole number of threads, 0 for all cores, got '{clipped(text, 80)}'"
        )
    # Longer numbers Python does not even read.
    asked = int(text[-20:]) if not text[:-20].strip("0") else 10**20
    if asked <= cores():
        return asked
    if text not in _logged:
        _logged.add(text)
        warnings.warn(
            f"PADIM_THREADS={clipped(text, 40)} is more than the {count(cores(), 'core')} there are; "
            f"{count(cores(), 'thread')} are used",
            stacklevel=2,
        )
    return cores()


def wanted_providers() -> list[str]:
    """Execution providers to try, in order, by ONNX Runtime's names; the CPU is always the last.

    Raises:
        PadimError: ``PADIM_PROVIDERS`` names one that does not exist or is not installed.
    """
    installed = ort.get_available_providers()
    text = os.environ.get("PADIM_PROVIDERS", "")
    asked = [name.strip().lower() for name in text.split(",") if name.strip()]
    chosen = []
    for name in asked:
        if name not in PROVIDERS:
            raise PadimError(f"PADIM_PROVIDERS: unknown provider '{name}'; known: {', '.join(PROVIDERS)}")
        if PROVIDERS[name] not in installed:
            here = ", ".join(_SHORT[provider] for provider in installed if provider in _SHORT)
            raise PadimError(
                f"PADIM_PROVIDERS: '{name}' is not in the installed ONNX Runtime, which has {here}; "
                "install the onnxruntime package for it, or leave it out"
            )
        chosen.append(PROVIDERS[name])
    if not asked:
        chosen = [provider for provider in PROVIDERS.values() if provider in installed]
    cpu = PROVIDERS["cpu"]
    return [*(provider for provider in chosen if provider != cpu), cpu]


def session_options() -> ort.SessionOptions:
    """Options of every session."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads()
    # Within a run threads wait for the next node awake, which saves a tenth; between runs they would spin
    # against the decoders and against other sessions.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options


def open_session(model: bytes | onnx.ModelProto) -> ort.InferenceSession:
    """A session on the first provider that takes the network.

    A provider that is installed but cannot start (a GPU without its driver) is passed over with a warning;
    one that was asked for by name is an error.

    Raises:
        PadimError: a provider that was asked for cannot start, or ``PADIM_THREADS`` is no number.
        BundleError: ONNX Runtime does not take the network.
    """
    content = model if isinstance(model, bytes) else model.SerializeToString()
    asked = bool(os.environ.get("PADIM_PROVIDERS", "").strip())
    for provider in wanted_providers()[:-1]:
        session, reason = _on_device(content, provider)
        if session is not None:
            return session
        reason_text = in_one_line(reason) if isinstance(reason, Exception) else reason
        message = f"the execution provider '{_SHORT[provider]}' cannot be used ({reason_text})"
        if asked:
            raise PadimError(f"{message}; mend its installation, or take it out of PADIM_PROVIDERS")
        if provider not in _logged:
            _logged.add(provider)
            warnings.warn(f"{message}; the next one is taken, at last the CPU", stacklevel=2)
    options = session_options()  # outside: a setting that cannot be used is no fault of the network
    try:
        return ort.InferenceSession(content, options, providers=[PROVIDERS["cpu"]])
    except Exception as error:
        # onnxruntime raises a dozen unrelated types for a graph that it does not take.
        raise BundleError(f"the network cannot be opened by ONNX Runtime ({in_one_line(error)})") from error


def run_session(
    session: ort.InferenceSession,
    outputs: Sequence[str],
    feed: Mapping[str, ort.OrtValue] | Mapping[str, npt.NDArray[Any]],
) -> list[npt.NDArray[Any]]:
    """Run a session on values or on arrays; what goes wrong in it is told in one sentence.

    Raises:
        PadimError: ONNX Runtime has failed, for want of memory or of a device, or by a damaged network.
    """
    try:
        if any(isinstance(value, ort.OrtValue) for value in feed.values()):
            return [value.numpy() for value in session.run_with_ort_values(list(outputs), dict(feed))]
        return list(session.run(list(outputs), dict(feed)))
    except Exception as error:
        # As above; there is no common type, and memory that is wanting comes as one of them.
        raise PadimError(
            f"the network cannot be run by ONNX Runtime ({in_one_line(error)}); free memory, or choose a "
            "smaller input size or another device"
        ) from error


def in_one_line(error: Exception) -> str:
    """What an error says, without line breaks and not longer than a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _on_device(content: bytes, provider: str) -> tuple[ort.InferenceSession | None, object]:
    """A session that runs on this provider first of all; or None, and why not."""
    options = _OPTIONS.get(provider, {})
    try:
        session = ort.InferenceSession(
            content, session_options(), providers=[(provider, options), PROVIDERS["cpu"]]
        )
    except Exception as error:
        # Every provider has errors of its own for a driver that is missing or a network it cannot take.
        return None, error
    if session.get_providers()[0] != provider:
        return None, "it could not start; see the message of ONNX Runtime above"
    return session, None


def device_of(session: ort.InferenceSession) -> str:
    """Where a session's inputs are best kept, as ``OrtValue`` names it."""
    return "cuda" if provider_in_use(session) == "cuda" else "cpu"


def provider_in_use(session: ort.InferenceSession) -> str:
    """Short name of the provider that runs most of a session: ``cuda``, ``cpu``, ..."""
    first = str(session.get_providers()[0])
    return _SHORT.get(first, first)
