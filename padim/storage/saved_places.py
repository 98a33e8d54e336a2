"""The places where a model was opened or saved, with what it found or left there."""

from __future__ import annotations

from pathlib import Path

from padim.storage.revisions import Manifest, revision_of

__all__ = ["SavedPlaces"]


class SavedPlaces:
    """Manifests of the saved models that one model was opened from or saved as.

    A later save compares them with what is there then. One place has one manifest, by whatever path it is
    named.
    """

    def __init__(self) -> None:
        self._manifests: dict[Path, Manifest] = {}
        # A link may lead to another place later.
        self._place_of: dict[Path, Path] = {}

    def remember(self, path: Path, manifest: Manifest) -> None:
        """Record the manifest that was opened from, or saved at, a path."""
        place = path.resolve()
        self._manifests.pop(place, None)  # the latest comes last
        self._manifests[place] = manifest
        self._place_of[path.absolute()] = place

    def at(self, path: Path) -> Manifest | None:
        """Return the manifest that is known of a path; None if nothing was opened or saved there.

        If the path is a link that leads to an unknown place by now, it is the manifest of the place that it
        led to when it was used.
        """
        place = path.resolve()
        if place not in self._manifests:
            place = self._place_of.get(path.absolute(), place)
        return self._manifests.get(place)

    @property
    def revision(self) -> str:
        """Revision of the latest of them; empty if there is none."""
        return revision_of(next(reversed(self._manifests.values()), {}))
