"""A scored image without its level map: small enough to keep thousands, enough to judge by any threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.preprocess import Box
    from padim.decision.prediction import Prediction
    from padim.model import Padim

__all__ = ["StoredScore"]


@dataclass(frozen=True, eq=False)
class StoredScore:
    """One scored image; its level map is made anew from the distance grid, and is the one that was scored.

    Every method takes the model that scored it: a model of another scoring identity would judge another map.

    Attributes:
        name: its file name.
        sha256: of the file's bytes.
        original_size: (height, width) in pixels.
        content_box: where the image lies in the map, None when it fills it.
        grid: float32 ``(grid, grid)``, distances.
    """

    name: str
    sha256: str
    original_size: tuple[int, int]
    content_box: Box | None
    grid: npt.NDArray[np.float32]
    _scores: dict[int, int] = field(default_factory=dict, repr=False, kw_only=True)
    _regions: dict[tuple[int, int], int] = field(default_factory=dict, repr=False, kw_only=True)

    def levels(self, model: Padim) -> npt.NDArray[np.uint16]:
        """The level map, uint16 ``(S, S)``: the same array that the engine made when it scored."""
        return model.state.map(self.grid, self.original_size)

    def score(self, model: Padim, min_area: int) -> int:
        """The image score, a level, for that smallest region; worked out once for each."""
        # Late, as below: a page that lists nothing yet must not wait for the network runtime to load.
        from padim.decision.regions import region_score

        if min_area not in self._scores:
            self._scores[min_area] = region_score(self.levels(model), min_area)
        return self._scores[min_area]

    def regions(self, model: Padim, threshold: int, min_area: int) -> int:
        """How many regions the mask has."""
        from padim.decision.prediction import decide

        if self.score(model, min_area) <= threshold:
            return 0
        key = (threshold, min_area)
        if key not in self._regions:
            # Counted on the map, which is quicker; the regions at the image's own size are the same ones.
            decision = decide(self.levels(model), threshold, min_area, content_box=self.content_box)
            self._regions[key] = len(decision.regions)
        return self._regions[key]

    def decide(
        self, model: Padim, threshold: int, min_area: int, size: tuple[int, int] | None = None
    ) -> Prediction:
        """Mask, regions and verdict.

        Args:
            model: scored the image.
            threshold: level T.
            min_area: smallest region in map pixels.
            size: (height, width) to give the mask and regions at; default: the image's own.
        """
        from padim.decision.prediction import decide

        return decide(
            self.levels(model),
            threshold,
            min_area,
            original_size=size or self.original_size,
            content_box=self.content_box,
        )
