"""Work in one thread leaves alone what all share: random numbers, warning filters, torch's thread count."""

from __future__ import annotations

import ast
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.served import ROOT
from padim import Padim, PadimConfig
from padim.data.loading import Watch
from padim.errors import Cancelled
from padim.methods import catalogue, student
from padim.methods.training import TrainingPlan, Turn, train
from padim.network import backbone
from padim.network.randomness import drawing_from
from tests.parts import normals

SMALL = backbone.get("mobilenet_v3_small")
LAYERS = SMALL.select(SMALL.default_layers[:1])


def fit(method: catalogue.MethodName) -> None:
    config = PadimConfig(
        input_size=64,
        grid_stride=16,
        n_features=6,
        method=method,
        max_epochs=1,
        folds=2,
        weights="pretrained",
    )
    Padim(config).fit(normals(4))


WORK: dict[str, Callable[[], object]] = {
    "a network of random weights": lambda: backbone.build(SMALL, LAYERS, "random"),
    "its export": lambda: backbone.export(SMALL, LAYERS, "random"),
    "a student": lambda: student.build(LAYERS),
    "a fit of padim": partial(fit, "padim"),
    "a fit of svdd": partial(fit, "svdd"),
    "a fit of flow": partial(fit, "flow"),
}


# Each changes, for all threads, what is drawn or what is warned of.
GLOBAL = (
    *("manual_seed", "set_rng_state", "fork_rng", "use_deterministic_algorithms", "set_default_dtype"),
    *("catch_warnings", "filterwarnings", "simplefilter", "resetwarnings", "setdefaulttimeout", "setlocale"),
)


@pytest.mark.parametrize("what", WORK)
def test_no_random_numbers_but_its_own_are_drawn(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a global generator was seeded or put back")

    for module, name in (
        *((torch, "manual_seed"), (torch, "set_rng_state"), (torch.random, "manual_seed")),
        *((torch.random, "set_rng_state"), (torch.random, "fork_rng"), (np.random, "seed"), (random, "seed")),
    ):
        monkeypatch.setattr(module, name, refused)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    WORK[what]()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]  # noqa: NPY002


def test_nothing_names_what_changes_the_whole_process() -> None:
    """The shell's own process is the exception: it prints warnings as sentences, in its one thread."""
    found = []
    for path in sorted(path for folder in ("padim", "ui", "pages") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            seeds = name == "manual_seed" and ast.unparse(node) != "torch.Generator().manual_seed"
            if seeds or (name in GLOBAL and name != "manual_seed"):
                found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    assert found == ["padim/cli/command.py: warnings.catch_warnings"]


def test_the_numbers_are_those_of_the_seed() -> None:
    def drawn() -> list[torch.Tensor]:
        layer = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(2, 2, 3), nn.Embedding(3, 2))
        blank = torch.empty(5)
        return [
            *(parameter.detach() for parameter in layer.parameters()),
            torch.randn(3, 2),
            torch.rand(4),
            torch.randint(9, (3,)),
            torch.randperm(7),
            nn.init.trunc_normal_(blank.clone()),
            torch.bernoulli(torch.full((9,), 0.5)),
            torch.nn.functional.dropout(torch.ones(9)),
        ]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        expected = drawn()
    before = torch.get_rng_state()
    with drawing_from(11):
        found = drawn()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def training_of(watch: Watch, batches: Callable[[], None], threads: int) -> None:
    module = nn.Linear(2, 1)

    def drawn(_: np.random.Generator) -> Iterator[torch.Tensor]:
        batches()
        yield torch.ones(3, 2)

    train(
        module,
        Turn("all parts", [0], watch=watch),
        TrainingPlan(1, 1, 0.1),
        batches=drawn,
        loss=lambda x: module(x).square().mean(),
        threads=threads,
    )


def test_overlapping_trainings_leave_torch_s_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    first_runs, second_is_there, first_is_done = threading.Event(), threading.Event(), threading.Event()
    seen: list[int] = []

    def in_first() -> None:
        first_runs.set()
        assert second_is_there.wait(120)
        seen.append(torch.get_num_threads())

    def in_second() -> None:
        second_is_there.set()
        assert first_is_done.wait(120)
        seen.append(torch.get_num_threads())

    def first() -> None:
        training_of(Watch(), in_first, before + 1)
        first_is_done.set()

    def second() -> None:
        assert first_runs.wait(120)
        training_of(Watch(progress=lambda *_: second_is_there.set()), in_second, before + 2)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result(60)
    assert seen == [before + 1, before + 2]
    # The number of another thread is its own once it has worked: a new one tells what the process has.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before
    assert torch.get_num_threads() == before


def test_a_training_that_waits_for_another_can_be_stopped() -> None:
    stages: list[str] = []
    waits, runs = threading.Event(), threading.Event()

    def hold() -> None:
        runs.set()
        assert waits.wait(120)

    def told(_done: int, _total: int | None, stage: str) -> None:
        stages.append(stage)
        waits.set()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(training_of, Watch(), hold, 1)
        assert runs.wait(120)
        asked = iter([False])
        with pytest.raises(Cancelled):
            training_of(Watch(progress=told, cancel=lambda: next(asked, True)), lambda: None, 1)
        holding.result(60)
    assert stages == ["Waiting for another training to end"]
