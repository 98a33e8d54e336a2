"""The distance step as an ONNX Runtime session: embeddings to the grid of Mahalanobis distances.

Mean and whitener are *inputs*, held in the runtime's memory as OrtValues: adding, removing or
re-fitting changes the values, never the graph, and nothing is copied for a picture.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from padim.backbones import OPSET
from padim.features import FeatureExtractor, session_options


@lru_cache(maxsize=1)
def _distance_session() -> ort.InferenceSession:
    """``|(x - mean) V|`` at every position, V upper triangular.

    The batch of a position is the left factor and V the right one, ``(p, n, d) @ (p, d, d)``: with one
    picture that streams V once, row by row, at the memory's speed, and with many it becomes a matrix
    product. V on the left was measured at half the speed. V goes in as its left and its right half of
    columns, the left one without the rows that are zero: a quarter less to stream. Finer cuts gain nothing.

    The first picture goes in a second time and is dropped again: a product with a single row takes another
    kernel, which sums in another order, and a picture's map must be the same to the last bit whether it is
    scored alone or in a batch.
    """
    node = helper.make_node
    nodes = [
        node("Gather", ["embedding", "channels"], ["kept"], axis=1),
        node("Reshape", ["kept", "flat"], ["kept_flat"]),
        node("Transpose", ["kept_flat"], ["pictures"], perm=[2, 0, 1]),
        node("Slice", ["pictures", "zero", "one", "one"], ["first"]),
        node("Concat", ["pictures", "first"], ["x"], axis=1),
        node("Sub", ["x", "mean"], ["delta"]),
        node("Slice", ["delta", "zero", "half", "two"], ["delta_left"]),
        node("MatMul", ["delta_left", "left"], ["white_left"]),
        node("MatMul", ["delta", "right"], ["white_right"]),
        node("ReduceSumSquare", ["white_left"], ["squared_left"], axes=[2], keepdims=0),
        node("ReduceSumSquare", ["white_right"], ["squared_right"], axes=[2], keepdims=0),
        node("Add", ["squared_left", "squared_right"], ["squared"]),
        node("Sqrt", ["squared"], ["root"]),
        node("Slice", ["root", "zero", "minus_one", "one"], ["asked_for"]),
        node("Transpose", ["asked_for"], ["distance"], perm=[1, 0]),
    ]
    tensor = helper.make_tensor_value_info
    constants = (("flat", [0, 0, -1]), ("zero", [0]), ("one", [1]), ("two", [2]), ("minus_one", [-1]))
    graph = helper.make_graph(
        nodes,
        "padim_distance",
        [
            tensor("embedding", TensorProto.FLOAT, ["n", "c", "h", "w"]),
            tensor("channels", TensorProto.INT64, ["d"]),
            tensor("half", TensorProto.INT64, [1]),
            tensor("mean", TensorProto.FLOAT, ["p", 1, "d"]),
            tensor("left", TensorProto.FLOAT, ["p", "left_rows", "left_columns"]),
            tensor("right", TensorProto.FLOAT, ["p", "d", "right_columns"]),
        ],
        [tensor("distance", TensorProto.FLOAT, ["n", "p"])],
        [numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(model.SerializeToString(), session_options(), providers=providers)


class Scorer:
    """Pictures at input size to grids of distances, with one model's Gaussians."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        mean: npt.NDArray[np.float32],
        whitener: npt.NDArray[np.float32],
        channels: npt.NDArray[np.int64],
    ) -> None:
        """
        Args:
            extractor: gives the embeddings.
            mean: float32 ``(p, d)``.
            whitener: float32 ``(p, d, d)``, ``L^-T`` of each position's covariance, upper triangular.
            channels: int64 ``(d,)``, the channels kept.
        """
        self._extractor = extractor
        half = max(1, whitener.shape[1] // 2)
        # The OrtValues borrow numpy's memory: keep the arrays alive as long as they are.
        self._arrays = {
            "channels": channels,
            "half": np.array([half], np.int64),
            "mean": np.ascontiguousarray(mean[:, None]),
            "left": np.ascontiguousarray(whitener[:, :half, :half]),
            "right": np.ascontiguousarray(whitener[:, :, half:]),
        }
        self._inputs = {name: ort.OrtValue.ortvalue_from_numpy(a) for name, a in self._arrays.items()}

    def grids(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Mahalanobis distance at every grid position.

        Args:
            rgb: uint8 ``(n, input_size, input_size, 3)``.

        Returns:
            float32 ``(n, grid, grid)``.
        """
        return self.grids_of(self._extractor.run(rgb))

    def grids_of(self, embedding: ort.OrtValue) -> npt.NDArray[np.float32]:
        """The same from embeddings, float32 ``(n, channels, grid, grid)``."""
        feed = {"embedding": embedding, **self._inputs}
        distance = _distance_session().run_with_ort_values(["distance"], feed)[0].numpy()
        grid = self._extractor.grid
        return distance.reshape(-1, grid, grid)
