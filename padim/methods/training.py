"""The training loop of the methods that train a network: seeded, stops early, goes on after a stop.

    def fit(turn):                          # for padim.methods.cross_fitting.learn, which describes a turn
        module = Student()                  # any torch.nn.Module, on any device
        initialise(module, turn.seed)       # the same weights for the same seed
        losses = train(
            module,
            turn,
            Plan.of(config, rate=1e-3),
            batches=lambda rng: ...,        # of one epoch, of turn.rows, drawn by this generator alone
            loss=lambda batch: ...,         # a scalar tensor, the mean over what is in the batch
            held_out=lambda: ...,           # batches of turn.stop_rows; without any, training loss stops
        )
        return TheDetector(...), (losses,)  # module has the weights of its best epoch, and is in eval mode

A batch may be anything: the loop hands what ``batches`` and ``held_out`` yield to ``loss`` and looks at
nothing in it. All that changes while training must be in ``module.state_dict()`` (use ``register_buffer``);
all that is random must come from the generator. Then a training that was stopped goes on from the last epoch
on disk and ends bit for bit as one that was never stopped; one that had ended is not run again. Several
trainings in one turn tell each other apart by :class:`Phase`.

Importing this file loads no torch.
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

# What a stop can cost, beside the epoch under way.
SECONDS_BETWEEN_SAVES = 2.0
# Of the progress that one training counts for.
_STEPS = 100
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Turn:
    """One training of a method, among the several that fitting takes.

    Attributes:
        name: in the words of the interface: "all parts", "without fold 2".
        rows: of the normals to learn from.
        stop_rows: of other parts, which say when to stop; empty where there are too few.
        seed: of all that is random.
        number, of: which training it is, counted from 0, and of how many: for progress.
        watch: for progress and cancelling.
        folder: keeps the state; None keeps nothing.
        key: of everything that the training depends on.
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
        """To be put behind "Training"."""
        return f"{self.name} of {self.of - 1}" if self.name.startswith("without") else f"with {self.name}"

    def report(self, share: float, stage: str) -> None:
        """Tell which share of this training is done, and stop if asked to.

        Raises:
            Cancelled: the caller wants to stop.
        """
        self.watch.step(int(_STEPS * (self.number + share)), _STEPS * self.of, stage)

    def check(self) -> None:
        """Stop if asked to; tells nothing.

        Raises:
            Cancelled: the caller wants to stop.
        """
        Watch(cancel=self.watch.cancel).step(0, None, "")


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained.

    Attributes:
        epochs: at most.
        patience: epochs without improvement before it stops.
        rate: of learning, Adam's step.
        decay: decoupled weight decay (AdamW); 0 is plain Adam.
        clip: largest norm of the gradient; None leaves it as it is.
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
        """With the config's epochs and patience."""
        return cls(config.max_epochs, config.patience, rate, decay, clip)


@dataclass(frozen=True)
class Phase:
    """One of several trainings in a turn.

    Attributes:
        verb: how the interface calls it.
        suffix: to the name of the losses.
        begin, end: share of the turn's progress.
    """

    verb: str = "Training"
    suffix: str = ""
    begin: float = 0.0
    end: float = 1.0


def initialise(module: Module, seed: int) -> None:
    """Draw the weights of linear and convolution layers anew from a generator of their own (He et al., 2015).

    Biases become zero and normalising layers neutral. torch's global generator is not touched.
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
        module: with all state in its ``state_dict()``.
        turn: name, seed, progress and where the state is kept. Its rows are the caller's business.
        plan: epochs, patience, rate.
        batches: the minibatches of one epoch, drawn by the generator given and nothing else.
        loss: of a minibatch, a scalar.
        held_out: minibatches of other parts; if it is None or yields nothing, the training loss says when to
            stop.
        after_epoch: may change the module's buffers, before the held-out loss is taken.
        phase: which of several trainings in this turn.
        threads: of torch's; by default as many as the rest of the engine takes. Networks of a few thousand
            weights are trained faster by one: the threads would wait for each other at every layer.

    Returns:
        The curves. Losses are means over the minibatches.

    Raises:
        Cancelled: ``turn.watch`` asked to stop; what was done is on disk.
        PadimError: the loss is no number from the first epoch on.
    """
    import torch

    phase = phase or Phase()
    kind = torch.optim.AdamW if plan.decay else torch.optim.Adam
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = kind(parameters, lr=plan.rate, weight_decay=plan.decay)
    saved = _State(turn, plan, phase)
    run = saved.resume(module, optimiser) or _Run()
    name = f"{turn.name}{phase.suffix}"

    def mean(batches: Iterable[Batch], step: bool) -> float:
        total, count = 0.0, 0
        for batch in batches:
            turn.check()
            value = loss(batch)
            if step:
                optimiser.zero_grad(set_to_none=True)
                value.backward()
                if plan.clip is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, plan.clip)
                optimiser.step()
            total, count = total + value.item(), count + 1
        return total / count if count else math.nan

    with _alone(turn, phase), _threads(threads or workers()):
        while not run.ended(plan):
            shown = f", loss {run.train[-1]:.3g}" if run.train else ""
            turn.report(
                phase.begin + (phase.end - phase.begin) * run.epoch / plan.epochs,
                f"{phase.verb} {turn.words}: epoch {run.epoch + 1} of {plan.epochs}{shown}",
            )
            module.train()
            # A generator of its own for every epoch: there is no state of one to keep.
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
            saved.put(module, optimiser, run, last=run.ended(plan))
        if run.best_state is None:
            raise PadimError(
                f"the training {turn.words} leads nowhere: its loss is not a number; the images' features "
                "may be damaged"
            )
        module.load_state_dict(run.best_state)
        module.eval()
    return Losses(name, tuple(run.train), tuple(run.held_out), run.best)


class _Run:
    """How far a training is."""

    def __init__(self) -> None:
        self.train: list[float] = []
        self.held_out: list[float] = []
        self.best = 0
        self.best_state: dict[str, Tensor] | None = None
        self.diverged = False

    @property
    def epoch(self) -> int:
        """The next one, counted from 0."""
        return len(self.train)

    def add(self, trained: float, unseen: float, module: Module) -> None:
        """An epoch's losses; the weights are kept if they are the best."""
        self.train.append(trained)
        # JSON knows no infinity; what is no number can be the best of nothing.
        self.held_out.append(unseen if math.isfinite(unseen) else 1e30)
        if self.best_state is None or self.held_out[-1] < self.held_out[self.best]:
            self.best = len(self.held_out) - 1
            self.best_state = {key: value.clone() for key, value in module.state_dict().items()}

    def ended(self, plan: TrainingPlan) -> bool:
        """Whether there is nothing more to be done."""
        waited = self.epoch - 1 - self.best
        return self.diverged or self.epoch >= plan.epochs or (self.epoch > 0 and waited >= plan.patience)


class _State:
    """A training on disk: weights, the optimiser's moments, curves and best weights in one .npz."""

    def __init__(self, turn: Turn, plan: TrainingPlan, phase: Phase) -> None:
        import torch

        # Another version of torch may round otherwise: a training goes on where it began or not at all.
        parts = [turn.key, turn.name, turn.seed, list(turn.rows), list(turn.stop_rows)]
        text = json.dumps([*parts, asdict(plan), phase.suffix, str(torch.__version__)])
        digest = hashlib.sha256(text.encode()).hexdigest()[:24]
        self._path = None if turn.folder is None else turn.folder / f"{digest}.npz"
        self._saved = time.monotonic()

    def put(self, module: Module, optimiser: Optimizer, run: _Run, *, last: bool) -> None:
        """Keep the state behind an epoch, not more often than every few seconds; the last one always."""
        if self._path is None or (not last and time.monotonic() < self._saved + SECONDS_BETWEEN_SAVES):
            return
        arrays = {f"now/{key}": value for key, value in _arrays(module.state_dict()).items()}
        arrays |= {f"best/{key}": value for key, value in _arrays(run.best_state or {}).items()}
        for index, moments in optimiser.state_dict()["state"].items():
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

    def resume(self, module: Module, optimiser: Optimizer) -> _Run | None:
        """Put back what was kept; None, and nothing is changed, if there is nothing of use."""
        import torch

        if self._path is None:
            return None
        try:
            if not is_whole(self._path):
                return None  # damaged, or of an earlier version: trained afresh, the same comes of it
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
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
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
def _alone(turn: Turn, phase: Phase) -> Iterator[None]:
    """One training at a time: how many threads torch takes is a setting of the whole process.

    Two at once would take each other's number, round otherwise than by themselves, and leave behind the wrong
    one. They would not be faster either: each takes all cores.

    Raises:
        Cancelled: ``turn.watch`` asked to stop while another training went on.
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
    """That many of torch's threads: sums are shared out alike, so the same seed gives the same bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
