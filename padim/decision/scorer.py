"""The scorer: one model's fitted detector, scale and region of interest, bound to the scoring graph.

All of them are *inputs* of the graph, kept as OrtValues in the runtime's memory, on a GPU in the GPU's
memory: adding or removing images and fitting again change the values, never the graph, and none of them is
copied per image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from padim.data.preprocess import Box
from padim.decision.anomaly_map import Quantizer, both, inside, tail_inputs
from padim.errors import PadimError
from padim.network.detector import Detector
from padim.network.extractor import FeatureExtractor
from padim.network.runtime import device_of

NO_NUMBERS = "the network gives values for it that are not numbers; the weights of the network are damaged"


class Scorer:
    """Callable that computes distances and level maps of images with one model's parameters."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        detector: Detector,
        channels: npt.NDArray[np.int64],
        *,
        sigma: float,
        quantizer: Quantizer,
        roi: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Bind one model's parameters to the scoring graph.

        Args:
            extractor: the feature extractor, which has the runtime sessions.
            detector: the fitted detector.
            channels: int64 ``(d,)``, indices of the channels used.
            sigma: smoothing of the map, in map pixels.
            quantizer: scale of the map's levels.
            roi: bool ``(h, w)``, True where defects count; None: everywhere.
        """
        self._extractor = extractor
        self._detector = detector
        self._channels = channels
        self._roi = roi
        # The OrtValues borrow numpy's memory: keep the arrays alive as long as they are.
        self.arrays: dict[str, npt.NDArray[np.generic]] = {
            **detector.inputs(),
            **tail_inputs(extractor.grid_shape, extractor.input_shape, sigma, quantizer),
            "inside": inside(extractor.input_shape, roi, None)[None],
        }
        device = device_of(extractor.session)
        self._inputs = {
            name: ort.OrtValue.ortvalue_from_numpy(array, device, 0) for name, array in self.arrays.items()
        }

    def __call__(
        self,
        rgb: npt.NDArray[np.uint8],
        content_boxes: Sequence[Box | None] | None = None,
        shown: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
        """Compute the distances and level maps of images.

        Args:
            rgb: uint8 ``(n, h, w, 3)``.
            content_boxes: the part of the input that each padded image fills; None: all of it.
            shown: bool ``(h, w)``, where each input shows the image of a located part; None: everywhere.

        Returns:
            float32 ``(n, H, W)``, distances, and uint16 ``(n, h, w)``.

        Raises:
            PadimError: the network returned values that are not finite.
        """
        inputs = self._inputs
        boxes = [None] * len(rgb) if content_boxes is None else list(content_boxes)
        places = [None] * len(rgb) if shown is None else list(shown)
        if any(one is not None for one in (*boxes, *places)):
            size = self._extractor.input_shape
            own = np.stack(
                [
                    np.broadcast_to(inside(size, both(self._roi, place), box), size)
                    for box, place in zip(boxes, places, strict=True)
                ]
            )
            inputs = {**inputs, "inside": ort.OrtValue.ortvalue_from_numpy(own)}
        distance, maps = self._extractor.score(
            rgb, self._detector, self._channels, inputs, ("distance", "map")
        )
        if not np.isfinite(distance).all():
            raise PadimError(f"an image: {NO_NUMBERS}")
        return distance.reshape(-1, *self._extractor.grid_shape), maps
