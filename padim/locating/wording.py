"""Locating in words, for pages and reports."""

from __future__ import annotations

from padim.locating.pose import Pose
from padim.locating.settings import Align, Displacement

__all__ = ["located_by", "pose_text", "settings_text"]

_DETECTORS = {"orb": "ORB", "sift": "SIFT"}
# The weight of a displacement unless another is typed.
_USUAL = Align.model_fields["scale_weight"].default
_JUDGED: dict[Displacement, str] = {"shift": "shift", "turn": "turn", "scale": "size"}


def located_by(align: Align | None) -> str:
    """Return how the part is located, in a few words: "by its outline"."""
    if align is None:
        return "as they lie"
    if align.method == "outline":
        return "by its outline"
    if align.method == "template":
        return ("by places chosen at the fit", "by a marked place", "by two marked places")[len(align.marks)]
    return f"by small details ({_DETECTORS[align.detector]})"


def settings_text(align: Align) -> str:
    """Return the limits, what happens beyond them, and what is judged, as sentences."""
    limits = (
        f"at most {align.max_shift:g} % of the image shifted, {align.max_turn:g}° turned and "
        f"{align.max_scale:g} % larger or smaller, with a match of at least {align.min_match:g}"
    )
    judged = [
        _JUDGED[name] + ("" if weight == _USUAL else f" (weight {weight:g})")
        for name, weight in align.weights.items()
    ]
    what = {0: "No displacement is judged", 1: "Judged is the"}.get(len(judged), "Judged are")
    names = " and ".join(filter(None, [", ".join(judged[:-1]), *judged[-1:]]))
    return (
        f"A part counts as found {limits}; otherwise the image is "
        f"{'rejected' if align.on_lost == 'reject' else 'to be reviewed'}. "
        f"{f'{what} {names}' if judged else what}."
    )


def pose_text(pose: Pose) -> str:
    """Return a pose in words: "12 px right, 3 px down, turned 14.2° left, match 0.93"."""
    across, along = round(pose.dx), round(pose.dy)
    words = []
    if across:
        words.append(f"{abs(across)} px {'right' if across > 0 else 'left'}")
    if along:
        words.append(f"{abs(along)} px {'down' if along > 0 else 'up'}")
    if round(abs(pose.turn), 1):
        words.append(f"turned {abs(pose.turn):.1f}° {'left' if pose.turn > 0 else 'right'}")
    if round(100 * pose.scale) != 100:
        words.append(f"{100 * pose.scale:.0f} % of its size")
    return ", ".join([*(words or ["in place"]), f"match {pose.match:.2f}"])
