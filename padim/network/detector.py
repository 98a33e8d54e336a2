"""Detector: what a method has learnt, in the form that scoring reads.

Every method ends here: from an embedding at each grid position to one distance at each. What follows (the
map, the score, the threshold and its false-reject rate) does not know which method it was.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.network.nodes import Piece
from padim.storage.bundle import sha256_stored

Array = npt.NDArray[Any]
# What a bundle keeps of a detector: arrays as .npy, anything else as it is.
Files = Mapping[str, Array | bytes]


class Saved(Protocol):
    """Where the files of a detector are read from: a bundle."""

    def bytes(self, name: str) -> bytes:
        """The content of a file."""

    def array(self, name: str, dtypes: type | tuple[type, ...], ndim: int) -> Array:
        """An array of these dtypes and dimensions, all values finite."""

    def arrays(self, kinds: Mapping[str, tuple[tuple[type, ...], int]]) -> dict[str, Array]:
        """Those of several arrays that are there, by name."""


MISFIT = "the arrays do not fit the configuration"


class Detector(ABC):
    """Immutable; its arrays are shared with the runtime, not copied.

    Attributes:
        method: the name in ``PadimConfig.method``.
        needs_image: the piece reads ``image`` and the layers' own tensors besides ``embedding``, or instead:
            :func:`padim.network.graph.behind_embedding_graph` cannot serve it.
    """

    method: ClassVar[str]
    needs_image: ClassVar[bool] = False

    @property
    @abstractmethod
    def form(self) -> str:
        """Names the graph: detectors of the same form and number of features share a session, because all
        that differs between them are the values of :meth:`inputs`."""

    @abstractmethod
    def piece(self, features: int) -> Piece:
        """The nodes from ``embedding``, float32 ``(n, d, grid, grid)``, to ``unchecked``, float32 ``(n, p)``:
        the distance at every position, which may be no number where the embedding is none.

        Args:
            features: d.
        """

    @abstractmethod
    def inputs(self) -> dict[str, Array]:
        """The values of the piece's inputs, by name; views where they can be."""

    @abstractmethod
    def files(self) -> Files:
        """As stored in the bundle, by file name."""

    @classmethod
    @abstractmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> Self:
        """What :meth:`files` has stored.

        Args:
            saved: the bundle.
            config: the model's.
            shape: ``(p, d)``, which the arrays have to fit.

        Raises:
            BundleError: a file is missing or damaged.
            ValueError: the files are sound but do not belong to such a model.
        """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(p, d)``."""

    @abstractmethod
    def strange(self) -> float:
        """The distance of something quite different, to scale maps by where the normals have no spread."""

    @cached_property
    def file_hashes(self) -> Mapping[str, str]:
        """Hex SHA-256 of every file of :meth:`files`, as a bundle stores it, by name."""
        return {name: sha256_stored(content) for name, content in self.files().items()}

    def with_file_hashes(self, hashes: Mapping[str, str]) -> Self:
        """Take over the SHA-256 of the files it was loaded from, which then need not be hashed again."""
        self.__dict__["file_hashes"] = dict(hashes)
        return self

    def fingerprint(self) -> bytes:
        """SHA-256 of all that was learnt: any other number in any array gives another one."""
        state = f"{self.form}/{self.shape}/{sorted(self.file_hashes.items())}"
        return hashlib.sha256(state.encode()).digest()

    def scoring_bytes(self) -> int:
        """Memory that scoring one image takes for a moment, beside the network's: bounds the batch."""
        return 0


class EmbeddingDetector(Detector):
    """A detector to which the embeddings are all there is to see."""

    @abstractmethod
    def distances(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """What the piece computes, without the runtime.

        Args:
            x: embeddings of images, float32 ``(n, p, d)``.

        Returns:
            ``(n, p)``.
        """

    def strange(self) -> float:
        """That of an embedding of zeros."""
        positions, features = self.shape
        return float(self.distances(np.zeros((1, positions, features), np.float32)).max())
