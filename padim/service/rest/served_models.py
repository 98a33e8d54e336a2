"""Which model a request means: by id, name or part number, or that of the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from padim.errors import PadimError, StorageError
from padim.service.rest.problems import RequestProblem
from padim.text import clipped

if TYPE_CHECKING:
    from padim.service.inspecting_models import InspectingModel, InspectingModels

__all__ = ["RequestTarget", "ServedModels"]

# Seconds for which the latest model found is taken without asking again.
_FRESH = 0.2


class RequestTarget(NamedTuple):
    """What a request says about the model: its id or name, and the part number; empty if it does not say."""

    model: str = ""
    part_number: str = ""


class ServedModels:
    """Finds the model of a request; a request never names a model by its path (thread-safe).

    What was found holds for the requests of the next fifth of a second, so that under load not every group of
    images asks the database anew; a version that is approved inspects from then on.

    Args:
        models: opens them.
        default: the model of requests that name none: a path, an id, a name or a part number; None: there is
            none.
        clock: returns seconds; monotonic.
    """

    def __init__(
        self,
        models: InspectingModels,
        default: str | Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models, self._default, self._clock = models, default, clock
        self._latest: tuple[RequestTarget, InspectingModel, float] | None = None

    @property
    def root(self) -> Path | None:
        """The workspace's folder; None if there is none."""
        return self._models.root

    @property
    def default(self) -> str:
        """What requests that name no model are inspected by; empty if they are refused."""
        return "" if self._default is None else str(self._default)

    def open_default(self) -> InspectingModel | None:
        """Open the model of requests that name none.

        Raises:
            PadimError: it cannot be opened.
        """
        return None if self._default is None else self._models.of(self._default)

    def find(self, target: RequestTarget) -> InspectingModel:
        """Return the model of a request.

        Raises:
            RequestProblem: there is no such model, it does not inspect the part number, or cannot be opened.
        """
        from padim.records.recipes import PartNumberError

        latest = self._latest
        if latest is not None and latest[0] == target and self._clock() - latest[2] < _FRESH:
            return latest[1]
        asked = self._clock()
        try:
            using = self._find(target)
            wrong = self._models.wrong_part(target.part_number, using)
        except RequestProblem:
            raise
        except PartNumberError as error:
            raise RequestProblem("unknown-part-number", str(error)) from error
        except StorageError as error:
            raise RequestProblem("database-away", str(error), retry_after=5) from error
        except (PadimError, OSError) as error:
            raise RequestProblem("model-unusable", str(error)) from error
        if wrong:
            raise RequestProblem("wrong-part", f"{wrong}; send it without the model, or to the right one")
        self._latest = target, using, asked
        return using

    def _find(self, target: RequestTarget) -> InspectingModel:
        if target.model:
            return self._models.of_model(self._id_of(target.model))
        found = self.open_default()
        # A model outside of the workspace has no part numbers: there they are but noted.
        if target.part_number and (found is None or found.root is not None):
            return self._models.of_part_number(target.part_number)
        if found is None:
            raise RequestProblem(
                "wrong-field",
                "model, part_number: one of the two is needed, as the service was started without a model",
            )
        return found

    def _id_of(self, model: str) -> str:
        from padim.storage import bundle
        from padim.storage.model_folders import ModelFolders

        if self._models.root is not None:
            folders = ModelFolders(self._models.root)
            if folders.is_id(model) and (folders.folder / model / bundle.MANIFEST).is_file():
                return model
            named = [entry.id for entry in folders.models() if entry.name == model]
            if len(named) == 1:
                return named[0]
            if named:
                raise RequestProblem(
                    "unknown-model",
                    f"model {clipped(model, 100)}: {len(named)} models have this name; give the id of one: "
                    f"{', '.join(named)}",
                )
        raise RequestProblem(
            "unknown-model",
            f"model {clipped(model, 100)}: there is none of this id or name; GET /v1/models lists them",
        )
