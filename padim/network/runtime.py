"""Open and run ONNX Runtime sessions, with the execution provider and number of threads from the settings.

``PADIM_PROVIDERS`` lists the providers in order of preference (``cuda, openvino, directml, coreml, cpu``);
without it all installed providers are tried in that order. ``PADIM_THREADS`` sets the number of CPU threads,
which is never more than the number of cores.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime as ort

from padim import settings
from padim.errors import BundleError, PadimError
from padim.text import count

# Default order of preference: the faster device first, the CPU always last.
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# No TF32, which multiplies with ten-bit mantissas: distances are compared with held-out ones from float64.
_OPTIONS: dict[str, dict[str, object]] = {"CUDAExecutionProvider": {"use_tf32": 0}}
_logged: set[str] = set()
_SHORT = {provider: name for name, provider in PROVIDERS.items()}


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def threads() -> int:
    """Return the number of CPU threads of a session: ``PADIM_THREADS``, or 0 for all cores.

    It is never more than the number of cores: more threads would only wait for each other, and tens of
    thousands take minutes to start. A higher setting gives one warning.

    Raises:
        PadimError: the setting is not a whole number of at least 0.
    """
    asked = settings.current().threads
    if asked <= cores():
        return asked
    if f"threads {asked}" not in _logged:
        _logged.add(f"threads {asked}")
        warnings.warn(
            f"PADIM_THREADS={asked} is more than the {count(cores(), 'core')} there are; "
            f"{count(cores(), 'thread')} are used",
            stacklevel=2,
        )
    return cores()


def wanted_providers() -> list[str]:
    """Return the execution providers to try, in order, by ONNX Runtime's names; the CPU is always the last.

    Raises:
        PadimError: ``PADIM_PROVIDERS`` lists one that does not exist or is not installed.
    """
    installed = ort.get_available_providers()
    asked = [name.lower() for name in settings.current().providers]
    chosen = []
    for name in asked:
        if name not in PROVIDERS:
            raise PadimError(
                f"PADIM_PROVIDERS: unknown provider '{name}'; known providers: {', '.join(PROVIDERS)}"
            )
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
    """Return the options that all sessions share."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads()
    # Within a run threads spin while they wait for the next node, which saves a tenth of the time; between
    # runs spinning would take time from the decoders and from other sessions.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options


def open_session(model: bytes | onnx.ModelProto) -> ort.InferenceSession:
    """Open a session on the first execution provider that accepts the network.

    A provider that is installed but cannot start (a GPU without its driver) is skipped with a warning; if it
    was requested by name, that is an error.

    Raises:
        PadimError: a requested provider cannot start, or ``PADIM_THREADS`` is not a number.
        BundleError: ONNX Runtime does not accept the network.
    """
    content = model if isinstance(model, bytes) else model.SerializeToString()
    asked = bool(settings.current().providers)
    for provider in wanted_providers()[:-1]:
        session, reason = _on_device(content, provider)
        if session is not None:
            return session
        reason_text = in_one_line(reason) if isinstance(reason, Exception) else reason
        message = f"the execution provider '{_SHORT[provider]}' cannot be used ({reason_text})"
        if asked:
            raise PadimError(f"{message}; repair its installation, or remove it from PADIM_PROVIDERS")
        if provider not in _logged:
            _logged.add(provider)
            warnings.warn(f"{message}; the next provider is tried, finally the CPU", stacklevel=2)
    options = session_options()  # outside the try block: an invalid setting is not the network's fault
    try:
        return ort.InferenceSession(content, options, providers=[PROVIDERS["cpu"]])
    except Exception as error:
        # onnxruntime raises a dozen unrelated types for a graph that it does not accept.
        raise BundleError(f"the network cannot be opened by ONNX Runtime ({in_one_line(error)})") from error


def run_session(
    session: ort.InferenceSession,
    outputs: Sequence[str],
    feed: Mapping[str, ort.OrtValue] | Mapping[str, npt.NDArray[Any]],
) -> list[npt.NDArray[Any]]:
    """Run a session on OrtValues or arrays and return its outputs; any failure becomes a PadimError.

    Raises:
        PadimError: ONNX Runtime has failed for lack of memory or a device, or because of a damaged network.
    """
    try:
        if any(isinstance(value, ort.OrtValue) for value in feed.values()):
            return [value.numpy() for value in session.run_with_ort_values(list(outputs), dict(feed))]
        return list(session.run(list(outputs), dict(feed)))
    except Exception as error:
        # As above: the errors, a lack of memory among them, have no common type.
        raise PadimError(
            f"the network cannot be run by ONNX Runtime ({in_one_line(error)}); free memory, or choose a "
            "smaller input size or another device"
        ) from error


def in_one_line(error: Exception) -> str:
    """Return an error's message without line breaks, at most 300 characters long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _on_device(content: bytes, provider: str) -> tuple[ort.InferenceSession | None, object]:
    """Open a session on this provider; return (session, "") or (None, an error or message why not)."""
    options = _OPTIONS.get(provider, {})
    try:
        session = ort.InferenceSession(
            content, session_options(), providers=[(provider, options), PROVIDERS["cpu"]]
        )
    except Exception as error:
        # Every provider has errors of its own for a missing driver or a network that it does not support.
        return None, error
    if session.get_providers()[0] != provider:
        return None, "it could not start; see the message of ONNX Runtime above"
    return session, None


def device_of(session: ort.InferenceSession) -> str:
    """Return the device on which to keep a session's inputs, by ``OrtValue``'s name for it."""
    return "cuda" if provider_in_use(session) == "cuda" else "cpu"


def provider_in_use(session: ort.InferenceSession) -> str:
    """Return the short name of the provider that runs most of a session: ``cuda``, ``cpu``, ..."""
    first = str(session.get_providers()[0])
    return _SHORT.get(first, first)
