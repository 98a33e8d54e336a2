"""The training loop of the methods that train a network: seeded, with early stopping, and resumable.

    def fit(turn):                          # for padim.methods.cross_fitting.cross_fit, which creates the
    turns
        module = Student()                  # any torch.nn.Module, on any device
        initialize(module, turn.seed)       # the same weights for the same seed
        losses = train(
            module,
            turn,
            TrainingPlan.of(config, rate=1e-3),
            batches=lambda rng: ...,        # one epoch of turn.rows, drawn with this generator only
            loss=lambda batch: ...,         # a scalar tensor, the mean over the batch
            held_out=lambda: ...,           # batches of turn.stop_rows; if empty, the training loss is used
        )
        return TheDetector(...), (losses,)  # module has the weights of its best epoch, and is in eval mode

A batch may be any object: the loop passes the items that ``batches`` and ``held_out`` yield to ``loss`` and
does not read them itself. All state that changes during training must be in ``module.state_dict()`` (use
``register_buffer``); all randomness must come from the generator. Then a training that was interrupted
resumes from the last epoch on disk and ends bitwise equal to one without an interruption; a finished training
is not run again. Several trainings in one turn are distinguished by their :class:`Phase`.

Importing this module does not import torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.data.loading import Watch
from padim.errors import PadimError
from padim.methods.base import Losses
from padim.network.threads import workers
from padim.storage.sealed import is_whole, write_sealed

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

Batch = TypeVar("Batch")

# The training time that an interruption can lose, besides the current epoch.
SECONDS_BETWEEN_SAVES = 2.0
# Progress steps per training.
_STEPS = 100
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Turn:
    """One training of a method, among the several that fitting takes.

    Attributes:
        name: what is trained, as the interface shows it: "all parts", "without fold 2".
        rows: the rows of the normal images to train on.
        stop_rows: the rows of other parts, which decide when to stop; empty where there are too few.
        seed: the seed of everything random.
        number, of: the index of the training, counted from 0, and the number of trainings, for progress.
        watch: reports progress and asks whether to cancel.
        folder: where the state is saved; None saves nothing.
        key: a hash of everything that the training depends on.
    """

    name: str
    rows: Sequence[int]
    stop_rows: Sequence[int] = ()
    seed: int = 0
    number: int = 0
    of: int = 1
    watch: Watch = field(default_factory=Watch)
    folder: Path | None = None
    key: str = ""

    @property
    def words(self) -> str:
        """Return the text that follows the word "Training" in progress messages."""
        return f"{self.name} of {self.of - 1}" if self.name.startswith("without") else f"with {self.name}"

    def report(self, share: float, stage: str) -> None:
        """Report which share of this training is done.

        Raises:
            Cancelled: the caller asked to cancel.
        """
        self.watch.step(int(_STEPS * (self.number + share)), _STEPS * self.of, stage)

    def check(self) -> None:
        """Check for cancellation without reporting progress.

        Raises:
            Cancelled: the caller asked to cancel.
        """
        Watch(cancel=self.watch.cancel).step(0, None, "")


@dataclass(frozen=True)
class TrainingPlan:
    """The hyperparameters of a training.

    Attributes:
        epochs: the maximum number of epochs.
        patience: the number of epochs without improvement after which the training stops.
        rate: the learning rate of Adam.
        decay: decoupled weight decay (AdamW); 0 is plain Adam.
        clip: the maximum norm of the gradient; None does not clip.
    """

    epochs: int
    patience: int
    rate: float
    decay: float = 0.0
    clip: float | None = None

    @classmethod
    def of(
        cls, config: PadimConfig, rate: float, decay: float = 0.0, clip: float | None = None
    ) -> TrainingPlan:
        """Create a plan with the epochs and patience of a config."""
        return cls(config.max_epochs, config.patience, rate, decay, clip)


@dataclass(frozen=True)
class Phase:
    """One of several trainings in a turn.

    Attributes:
        verb: what the interface calls it in progress messages.
        suffix: appended to the name of the loss curves.
        begin, end: the part of the turn's progress that the phase covers, as shares.
    """

    verb: str = "Training"
    suffix: str = ""
    begin: float = 0.0
    end: float = 1.0


def initialize(module: Module, seed: int) -> None:
    """Initialize the weights of linear and convolution layers from a separate generator (He et al., 2015).

    Biases are set to zero and normalization layers reset. The global generator of torch is not used.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                drawn = torch.empty(layer.weight.shape)
                nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
                layer.weight.copy_(drawn)
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                reset: Any = layer.reset_parameters
                reset()


def train(
    module: Module,
    turn: Turn,
    plan: TrainingPlan,
    *,
    batches: Callable[[np.random.Generator], Iterable[Batch]],
    loss: Callable[[Batch], Tensor],
    held_out: Callable[[], Iterable[Batch]] | None = None,
    after_epoch: Callable[[], None] | None = None,
    phase: Phase | None = None,
    threads: int | None = None,
) -> Losses:
    """Train a network in place, and leave it with the weights of its best epoch.

    Args:
        module: the network, with all its state in ``state_dict()``.
        turn: name, seed, progress and where the state is saved. Its rows are not read.
        plan: the hyperparameters.
        batches: returns the minibatches of one epoch; all randomness comes from the generator it is given.
        loss: returns the loss of a minibatch, a scalar tensor.
        held_out: returns minibatches of other parts; if it is None or yields nothing, the training loss
            decides when to stop.
        after_epoch: may change the module's buffers before the held-out loss is computed.
        phase: which of several trainings in this turn.
        threads: the number of torch threads; by default as many as the rest of the package uses.
            Networks of a few thousand weights train faster with one, because threads would wait for
            each other at every layer.

    Returns:
        The loss curves. Losses are means over the minibatches.

    Raises:
        Cancelled: ``turn.watch`` asked to cancel; the progress so far is on disk.
        PadimError: the loss is not finite from the first epoch on.
    """
    import torch

    phase = phase or Phase()
    kind = torch.optim.AdamW if plan.decay else torch.optim.Adam
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = kind(parameters, lr=plan.rate, weight_decay=plan.decay)
    saved = _State(turn, plan, phase)
    run = saved.resume(module, optimizer) or _Run()
    name = f"{turn.name}{phase.suffix}"

    def mean(batches: Iterable[Batch], step: bool) -> float:
        total, count = 0.0, 0
        for batch in batches:
            turn.check()
            value = loss(batch)
            if step:
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                if plan.clip is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, plan.clip)
                optimizer.step()
            total, count = total + value.item(), count + 1
        return total / count if count else math.nan

    with _exclusive(turn, phase), _threads(threads or workers()):
        while not run.ended(plan):
            shown = f", loss {run.train[-1]:.3g}" if run.train else ""
            turn.report(
                phase.begin + (phase.end - phase.begin) * run.epoch / plan.epochs,
                f"{phase.verb} {turn.words}: epoch {run.epoch + 1} of {plan.epochs}{shown}",
            )
            module.train()
            # Every epoch has a generator of its own, so that no generator state has to be saved.
            trained = mean(batches(_generator(turn.seed, name, run.epoch)), step=True)
            module.eval()
            with torch.no_grad():
                if after_epoch is not None:
                    after_epoch()
                unseen = math.nan if held_out is None else mean(held_out(), step=False)
            if not math.isfinite(trained):
                run.diverged = True
            else:
                run.add(trained, trained if math.isnan(unseen) else unseen, module)
            saved.put(module, optimizer, run, last=run.ended(plan))
        if run.best_state is None:
            raise PadimError(
                f"the training {turn.words} failed because its loss is not a finite number; the images' "
                "features may be damaged"
            )
        module.load_state_dict(run.best_state)
        module.eval()
    return Losses(name, tuple(run.train), tuple(run.held_out), run.best)


class _Run:
    """The progress of a training: its loss curves and best weights."""

    def __init__(self) -> None:
        self.train: list[float] = []
        self.held_out: list[float] = []
        self.best = 0
        self.best_state: dict[str, Tensor] | None = None
        self.diverged = False

    @property
    def epoch(self) -> int:
        """Return the index of the next epoch, counted from 0."""
        return len(self.train)

    def add(self, trained: float, unseen: float, module: Module) -> None:
        """Record the losses of an epoch, and its weights if they are the best so far."""
        self.train.append(trained)
        # JSON has no infinity; an epoch whose loss is not finite is never the best.
        self.held_out.append(unseen if math.isfinite(unseen) else 1e30)
        if self.best_state is None or self.held_out[-1] < self.held_out[self.best]:
            self.best = len(self.held_out) - 1
            self.best_state = {key: value.clone() for key, value in module.state_dict().items()}

    def ended(self, plan: TrainingPlan) -> bool:
        """Whether the training is finished."""
        waited = self.epoch - 1 - self.best
        return self.diverged or self.epoch >= plan.epochs or (self.epoch > 0 and waited >= plan.patience)


class _State:
    """The state of a training on disk: weights, optimizer moments, loss curves and best weights."""

    def __init__(self, turn: Turn, plan: TrainingPlan, phase: Phase) -> None:
        import torch

        # Another version of torch may round differently, so its state is not resumed.
        parts = [turn.key, turn.name, turn.seed, list(turn.rows), list(turn.stop_rows)]
        text = json.dumps([*parts, asdict(plan), phase.suffix, str(torch.__version__)])
        digest = hashlib.sha256(text.encode()).hexdigest()[:24]
        self._path = None if turn.folder is None else turn.folder / f"{digest}.npz"
        self._saved = time.monotonic()

    def put(self, module: Module, optimizer: Optimizer, run: _Run, *, last: bool) -> None:
        """Save the state after an epoch, at most every few seconds; always after the last epoch."""
        if self._path is None or (not last and time.monotonic() < self._saved + SECONDS_BETWEEN_SAVES):
            return
        arrays = {f"now/{key}": value for key, value in _arrays(module.state_dict()).items()}
        arrays |= {f"best/{key}": value for key, value in _arrays(run.best_state or {}).items()}
        for index, moments in optimizer.state_dict()["state"].items():
            arrays |= {f"moment/{index}/{key}": moments[key].numpy(force=True) for key in _MOMENTS}
        arrays |= {
            "train": np.array(run.train, np.float64),
            "held_out": np.array(run.held_out, np.float64),
            "best": np.array(run.best),
            "diverged": np.array(run.diverged),
        }
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        write_sealed(self._path, content.getvalue())
        self._saved = time.monotonic()

    def resume(self, module: Module, optimizer: Optimizer) -> _Run | None:
        """Restore the saved state; return None and change nothing if there is no usable one."""
        import torch

        if self._path is None:
            return None
        try:
            if not is_whole(self._path):
                return None  # damaged, or of an earlier version: a new training gives the same result
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            run = _Run()
            run.train, run.held_out = arrays["train"].tolist(), arrays["held_out"].tolist()
            run.best, run.diverged = int(arrays["best"]), bool(arrays["diverged"])
            now, best = _below(arrays, "now/"), _below(arrays, "best/")
            known = module.state_dict()
            fits = {key: tuple(value.shape) for key, value in known.items()}
            if any({k: v.shape for k, v in state.items()} != fits for state in (now, best) if state):
                return None
            if not now or len(run.train) != len(run.held_out) or not 0 <= run.best <= len(run.train):
                return None
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(arrays, "moment/").items():
                index, _, moment = key.partition("/")
                moments.setdefault(int(index), {})[moment] = torch.from_numpy(value)
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
            module.load_state_dict({key: torch.from_numpy(value) for key, value in now.items()})
            if best:
                run.best_state = {
                    key: torch.from_numpy(value).to(known[key].device) for key, value in best.items()
                }
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return run


def _arrays(state: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    return {key: value.numpy(force=True) for key, value in state.items()}


def _below(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _generator(seed: int, name: str, epoch: int) -> np.random.Generator:
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, digest, epoch])


_one_at_a_time = threading.Lock()


@contextmanager
def _exclusive(turn: Turn, phase: Phase) -> Iterator[None]:
    """Hold the lock that allows one training at a time in the process.

    The number of torch threads is a setting of the process. Two trainings at once would use each other's
    number, round differently than alone, and leave the wrong number set. They would not be faster either,
    because each uses all cores.

    Raises:
        Cancelled: ``turn.watch`` asked to cancel while another training was running.
    """
    if not _one_at_a_time.acquire(blocking=False):
        turn.report(phase.begin, "Waiting for another training to end")
        while not _one_at_a_time.acquire(timeout=0.1):
            turn.check()
    try:
        yield
    finally:
        _one_at_a_time.release()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of torch threads, which determines the order of summation and so the exact result."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
