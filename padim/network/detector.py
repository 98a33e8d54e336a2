"""The base classes of detectors: a method's fitted parameters, in the form that scoring uses.

Every method produces a detector, which computes one distance per grid position from the embedding there. The
steps that follow (map, score, threshold and false-reject rate) do not depend on the method.
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
# The files of a detector in a bundle: arrays are stored as .npy, bytes unchanged.
Files = Mapping[str, Array | bytes]


class Saved(Protocol):
    """Interface for reading the files of a detector from a bundle."""

    def bytes(self, name: str) -> bytes:
        """Return the content of a file."""

    def array(self, name: str, dtypes: type | tuple[type, ...], ndim: int) -> Array:
        """Return an array with one of these dtypes, ``ndim`` dimensions and finite values."""

    def arrays(self, kinds: Mapping[str, tuple[tuple[type, ...], int]]) -> dict[str, Array]:
        """Return those of several arrays that exist, by name."""


MISFIT = "the arrays do not fit the configuration"


class Detector(ABC):
    """Base class of fitted detectors; immutable, with arrays shared with the runtime, not copied.

    Attributes:
        method: the method's name in ``PadimConfig.method``.
        needs_image: whether the piece reads ``image`` and the layers' own tensors besides or instead of
            ``embedding``, so that :func:`padim.network.graph.behind_embedding_graph` cannot be used.
    """

    method: ClassVar[str]
    needs_image: ClassVar[bool] = False

    @property
    @abstractmethod
    def form(self) -> str:
        """Identifier of the detector's graph.

        Detectors of the same form and number of features share a session, because they differ only in the
        values of :meth:`inputs`.
        """

    @abstractmethod
    def piece(self, features: int) -> Piece:
        """Return the graph nodes that compute the distance at every position from the embedding.

        They read ``embedding``, float32 ``(n, d, H, W)``, and write ``unchecked``, float32 ``(n, p)``,
        which may be NaN where the embedding is not finite.

        Args:
            features: d, the number of channels.
        """

    @abstractmethod
    def inputs(self) -> dict[str, Array]:
        """Return the values of the piece's inputs by name, as views where possible."""

    @abstractmethod
    def files(self) -> Files:
        """Return the detector's content for the bundle, by file name."""

    @classmethod
    @abstractmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> Self:
        """Load a detector from what :meth:`files` has stored.

        Args:
            saved: the bundle.
            config: the model's configuration.
            shape: ``(p, d)``, positions and channels, which the arrays must match.

        Raises:
            BundleError: a file is missing or damaged.
            ValueError: the files are intact but do not match the configuration.
        """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Positions and channels: ``(p, d)``."""

    @abstractmethod
    def strange(self) -> float:
        """Return the distance of a very different input, which scales the maps if the normals do not vary."""

    @cached_property
    def file_hashes(self) -> Mapping[str, str]:
        """Hex SHA-256 of every file of :meth:`files` as stored in a bundle, by name."""
        return {name: sha256_stored(content) for name, content in self.files().items()}

    def with_file_hashes(self, hashes: Mapping[str, str]) -> Self:
        """Set the SHA-256 of the files that it was loaded from, to avoid hashing them again; return self."""
        self.__dict__["file_hashes"] = dict(hashes)
        return self

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of all fitted parameters, which changes with any number in any array."""
        state = f"{self.form}/{self.shape}/{sorted(self.file_hashes.items())}"
        return hashlib.sha256(state.encode()).digest()

    def scoring_bytes(self) -> int:
        """Return the temporary bytes that scoring one image takes besides the network; limits the batch."""
        return 0


class EmbeddingDetector(Detector):
    """Base class of detectors that compute distances from the embeddings alone."""

    @abstractmethod
    def distances(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """Compute the same distances as :meth:`piece`, without the runtime.

        Args:
            x: embeddings of images, float32 ``(n, p, d)``.

        Returns:
            Distances ``(n, p)``.
        """

    def strange(self) -> float:
        """Return the largest distance of an embedding of zeros."""
        positions, features = self.shape
        return float(self.distances(np.zeros((1, positions, features), np.float32)).max())
