"""The training loop: the same seed gives the same bits, also when interrupted anywhere and resumed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from padim.data.loading import Watch
from padim.errors import Cancelled, PadimError
from padim.methods import training
from padim.methods.base import Losses
from padim.methods.training import Phase, TrainingPlan, Turn, initialize, train

PLAN = TrainingPlan(epochs=6, patience=4, rate=0.02)
RNG = np.random.default_rng(3)
X = torch.from_numpy(RNG.normal(size=(96, 4)).astype(np.float32))
Y = torch.from_numpy((RNG.normal(size=(96, 1)) + X[:, :1].numpy() ** 2).astype(np.float32))


class Network(nn.Module):
    """A network with a normalization layer, whose running means must be saved too, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 1))
        self.register_buffer("radius", torch.zeros(()))


class Run:
    """A training that can be interrupted at a minibatch."""

    def __init__(
        self, turn: Turn, *, stop_at: int | None = None, plan: TrainingPlan = PLAN, unseen: bool = True
    ) -> None:
        self.turn, self.plan, self.unseen = turn, plan, unseen
        self.steps = 0
        self.stages: list[tuple[int, int | None, str]] = []
        watch = Watch(
            progress=lambda *report: self.stages.append(report),
            cancel=lambda: stop_at is not None and self.steps >= stop_at,
        )
        self.module = Network()
        initialize(self.module, turn.seed)
        self.losses: Losses = train(
            self.module,
            replace(turn, watch=watch),
            plan,
            batches=self.batches,
            loss=self.loss,
            held_out=lambda: [torch.arange(64, 96)] if unseen else [],
            after_epoch=self.after_epoch,
            threads=1,
        )

    def batches(self, rng: np.random.Generator) -> Iterator[torch.Tensor]:
        order = torch.from_numpy(rng.permutation(64))
        for start in range(0, 64, 16):
            self.steps += 1
            yield order[start : start + 16]

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        return ((self.module.layers(X[rows]) - Y[rows]) ** 2).mean() + 0 * self.module.radius

    def after_epoch(self) -> None:
        self.module.radius += 1.0

    def bits(self) -> bytes:
        return b"".join(value.numpy().tobytes() for value in self.module.state_dict().values())


@pytest.fixture
def turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Turn:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    return Turn("without fold 2", [0, 1], [2], seed=5, number=1, of=6, folder=tmp_path / "training", key="k")


def test_learns_and_says_how() -> None:
    run = Run(Turn("all parts", [0]), plan=replace(PLAN, epochs=30, patience=30, rate=0.05))
    assert run.losses.name == "all parts"
    assert len(run.losses.train) == len(run.losses.held_out) == 30
    assert run.losses.train[-1] < 0.7 * run.losses.train[0]
    assert not run.module.training


def test_same_seed_same_bits_and_another_seed_others(turn: Turn) -> None:
    alone = replace(turn, folder=None)
    torch.manual_seed(1)
    first = Run(alone)
    torch.manual_seed(2)
    second = Run(alone)
    assert first.bits() == second.bits()
    assert first.losses == second.losses
    assert Run(replace(alone, seed=6)).bits() != first.bits()


def test_weights_are_those_of_the_best_epoch(turn: Turn) -> None:
    run = Run(turn, plan=replace(PLAN, epochs=100, rate=0.2))
    held_out = run.losses.held_out
    assert run.losses.best == int(np.argmin(held_out))
    assert len(held_out) == run.losses.best + 1 + PLAN.patience < 100
    with torch.no_grad():
        assert run.loss(torch.arange(64, 96)).item() == pytest.approx(held_out[run.losses.best], rel=1e-6)
    assert run.module.radius.item() == run.losses.best + 1


def test_without_parts_held_out_the_training_loss_stops() -> None:
    run = Run(Turn("all parts", [0]), unseen=False)
    assert run.losses.held_out == run.losses.train


@pytest.mark.parametrize("stop_at", [1, 4, 5, 18])
def test_a_stopped_training_goes_on_and_ends_bit_for_bit_alike(turn: Turn, stop_at: int) -> None:
    whole = Run(replace(turn, folder=None))
    with pytest.raises(Cancelled):
        Run(turn, stop_at=stop_at)
    rest = Run(turn)
    assert rest.bits() == whole.bits()
    assert rest.losses == whole.losses
    # Completed epochs, of four steps each, are not repeated.
    assert rest.steps == whole.steps - (stop_at - 1) // 4 * 4


def test_a_training_that_had_ended_is_not_run_again(turn: Turn) -> None:
    whole, again = Run(turn), Run(turn)
    assert again.steps == 0
    assert again.bits() == whole.bits()
    assert again.losses == whole.losses


@pytest.mark.parametrize(
    "change",
    [
        {"key": "other images"},
        {"seed": 6},
        {"rows": [0, 3]},
        {"stop_rows": [3]},
        {"name": "without fold 3"},
    ],
)
def test_another_training_starts_over(turn: Turn, change: dict[str, object]) -> None:
    Run(turn)
    other = replace(turn, **change)  # type: ignore[arg-type]
    assert Run(other).bits() == Run(replace(other, folder=None)).bits()
    assert len(list((turn.folder or Path()).iterdir())) == 2


def test_phases_and_plans_do_not_mix(turn: Turn) -> None:
    Run(turn)
    assert Run(turn, plan=replace(PLAN, rate=0.01)).steps > 0
    module = Network()
    losses = train(
        module,
        turn,
        PLAN,
        batches=lambda rng: [torch.arange(8)],
        loss=lambda rows: (module.layers(X[rows]) ** 2).mean(),
        phase=Phase("Preparing", " (first)", 0.0, 0.5),
    )
    assert losses.name == "without fold 2 (first)"
    assert module.layers[0].weight.ne(0).any()
    assert len(list((turn.folder or Path()).iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_what_is_damaged_is_done_again(turn: Turn, damage: bytes | None) -> None:
    whole = Run(turn)
    (path,) = (turn.folder or Path()).iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert Run(turn).bits() == whole.bits()


def test_a_state_of_another_network_is_not_taken(turn: Turn) -> None:
    whole = Run(turn)
    (path,) = (turn.folder or Path()).iterdir()
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    arrays["now/layers.0.weight"] = np.zeros((3, 4), np.float32)
    np.savez(path, allow_pickle=False, **arrays)
    assert Run(turn).bits() == whole.bits()


def test_progress_says_which_training_and_how_far(turn: Turn) -> None:
    run = Run(turn)
    assert run.stages[0] == (100, 600, "Training without fold 2 of 5: epoch 1 of 6")
    done, total, stage = run.stages[3]
    assert (done, total) == (150, 600)
    assert stage == f"Training without fold 2 of 5: epoch 4 of 6, loss {run.losses.train[2]:.3g}"
    assert Turn("all parts", [0]).words == "with all parts"


def test_a_loss_that_is_not_a_number_is_reported(turn: Turn) -> None:
    module = Network()
    with pytest.raises(PadimError, match="without fold 2 of 5 leads nowhere"):
        train(
            module,
            turn,
            PLAN,
            batches=lambda rng: [torch.arange(8)],
            loss=lambda rows: (module.layers(X[rows]) * torch.nan).mean(),
        )


def test_a_training_that_leaves_the_numbers_keeps_its_best_epoch(turn: Turn) -> None:
    module = Network()
    epochs = 0

    def loss(rows: torch.Tensor) -> torch.Tensor:
        nonlocal epochs
        epochs += 1
        return (module.layers(X[rows]) * (torch.nan if epochs > 3 else 1)).square().mean()

    losses = train(module, turn, PLAN, batches=lambda rng: [torch.arange(8)], loss=loss)
    assert len(losses.train) == 3
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    Run(Turn("all parts", [0]))
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_importing_the_methods_loads_no_torch() -> None:
    code = (
        "import sys; from padim.methods import flow, cross_fitting as folds, patches, svdd, training; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
