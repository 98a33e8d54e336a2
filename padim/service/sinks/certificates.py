"""TLS of sinks: which certificates are trusted, and the client's own."""

from __future__ import annotations

import ssl

from padim.errors import PadimError

__all__ = ["tls_context"]


def tls_context(name: str, ca_file: str, cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """Return what connections of a sink are encrypted with.

    Args:
        name: the sink, for errors.
        ca_file: certificates that the receiver's is checked against; empty: those of the system.
        cert_file, key_file: the client's own certificate and its key; empty: none.

    Raises:
        PadimError: a file is missing or has no certificates; the message names it.
    """
    context = ssl.create_default_context()
    if ca_file:
        # The system's are not trusted besides: who names a file means that one.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise PadimError(f"sink “{name}”: ca_file {ca_file}: {_why(error)}") from error
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file or None, password=_no_password)
        except (OSError, ssl.SSLError, PadimError) as error:
            files = " and ".join(
                filter(None, (f"cert_file {cert_file}", key_file and f"key_file {key_file}"))
            )
            raise PadimError(f"sink “{name}”: {files}: {_why(error)}") from error
    return context


def _no_password() -> str:
    # Without this the program would ask at a terminal that nobody sees.
    raise PadimError("the key has a password; give one without")


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, ssl.SSLError):
        return "is not a PEM file with what is needed"
    return str(getattr(error, "strerror", "") or error)
