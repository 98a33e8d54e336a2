"""The errors that padim raises on purpose; each message names its subject and the remedy."""


class PadimError(Exception):
    """Base class: anything a user can put right, told in one sentence."""


class ImageError(PadimError):
    """An image that cannot be used.

    Attributes:
        name: the file's name as the user knows it.
        reason: why it cannot be used, without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class BackboneError(PadimError):
    """A backbone, a layer or its weights cannot be had."""


class BundleError(PadimError):
    """A saved model is truncated, altered or of an unknown version; the message names the file."""


class NotFittedError(PadimError):
    """The model has seen no normal image yet."""


class CalibrationError(PadimError):
    """Held-out scores cannot be computed from the normals at hand."""


class BeyondScaleError(CalibrationError):
    """A threshold lies beyond the scale of a model's levels, so that nothing would ever be rejected."""


class Cancelled(PadimError):
    """The caller's ``cancel`` asked to stop; nothing was changed."""
