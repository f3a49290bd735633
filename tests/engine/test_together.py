"""Side by side: the same bits, one step of progress for all, and nobody goes on alone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from headstart.core import machine
from headstart.core.head import Dropout
from headstart.core.network import Network
from headstart.core.problem import Problem
from headstart.core.run import Step
from headstart.core.strategy import Phase
from headstart.engine import loop, together, trial
from headstart.engine import seed as seeds
from headstart.engine.loop import Training
from headstart.engine.solve import solve
from headstart.strategies import fine_tune
from tests.engine import small

SETTINGS = fine_tune.Settings(cut=0, epochs=8, rate=0.02, augment=False)


class Prepared(fine_tune.Strategy):
    """Draws before it trains."""

    def prepare(self, network: Network, streams: object) -> None:
        torch.rand(1)


class Heard:
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def say(self, sentence: str) -> None:
        raise AssertionError(sentence)


def trainings(count: int) -> tuple[list[torch.nn.Module], list[together.Task]]:
    """Networks with dropout before the head, and what trains them, each from its own seed."""
    inputs, labels = small.problem()
    networks = [small.network() for _ in range(count)]
    for network in networks:
        network.heads["classify"].dropout = Dropout(0.3)

    def task(number: int) -> together.Task:
        def settle(network: Network, phase: Phase) -> None:
            draw = np.random.default_rng(number)
            features = draw.normal(size=(300, small.WIDTH)).astype(np.float32)
            answers = np.arange(300) % 3
            folds = [(np.arange(200), np.arange(200, 300)), (np.arange(100, 300), np.arange(100))]
            problem = Problem("softmax", 3, (0.1, 1.0, 10.0))
            network.heads["classify"].settle(solve(problem, features, answers, folds=folds))

        def train(watcher: object, alive: together.Alive) -> None:
            loop.train(
                networks[number],
                fine_tune.Strategy(SETTINGS),
                {"train": small.Numbers(inputs, labels)},
                training=Training(seed=number, batch=16, costs=(1.0, 1.0, 1.0), alive=alive),
                solve=settle,
                watcher=watcher,  # type: ignore[arg-type]
            )

        return train

    return networks, [task(number) for number in range(count)]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """There is something to put back: elsewhere tests have one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2):
        yield
    torch.set_num_threads(before)


def test_the_bits_are_those_of_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, tasks = trainings(3)
    for train in tasks:
        train(None, lambda: None)
    beside, tasks = trainings(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    blas = [pool["num_threads"] for pool in threadpool_info()]
    monkeypatch.setattr(machine, "cores", lambda: 3)
    heard = Heard()
    together.run(tasks, heard)
    for one, other in zip(alone, beside, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
    assert not torch.equal(*(n.heads["classify"].linear.weight for n in alone[:2]))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert [pool["num_threads"] for pool in threadpool_info()] == blas
    assert len(heard.steps) == 24
    assert {step.total for step in heard.steps} == {24}
    assert [step.done for step in heard.steps] == list(range(1, 25))


def test_an_error_ends_the_others_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 2)
    ended = threading.Event()

    def endless(watcher: object, alive: together.Alive) -> None:
        try:
            for _ in range(3000):  # half a minute, if nobody ends it
                time.sleep(0.01)
                alive()
            raise AssertionError("nobody ended it")
        finally:
            ended.set()

    def broken(watcher: object, alive: together.Alive) -> None:
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError, match="broken"):
        together.run([endless, broken, endless], None)
    assert ended.is_set()


def test_a_person_ends_all_at_their_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 2)
    ended: list[bool] = []

    def endless(watcher: object, alive: together.Alive) -> None:
        try:
            for _ in range(3000):
                time.sleep(0.01)
                alive()
        except BaseException:
            ended.append(True)
            raise

    threads = torch.get_num_threads()
    main = threading.main_thread().ident
    # a shell starts background jobs with the signal ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT]).start()
    began = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            together.run([endless, endless, endless], None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - began < 10
    assert ended == [True, True]
    assert torch.get_num_threads() == threads


def test_what_draws_from_the_global_generator_is_found() -> None:
    inputs, labels = small.problem()
    stream, strategy = small.Numbers(inputs, labels), fine_tune.Strategy(SETTINGS)
    head_only = small.network()
    head_only.heads["classify"].dropout = Dropout(0.5)
    state = torch.get_rng_state()
    assert not trial.draws(head_only, strategy, stream)
    assert trial.draws(small.network(dropout=0.5), strategy, stream)
    assert trial.draws(head_only, Prepared(SETTINGS), stream)
    assert torch.equal(state, torch.get_rng_state())


def test_dropout_keeps_the_mean_and_follows_its_seed() -> None:
    module = Dropout(0.25)
    ones = torch.ones(200, 500)
    with seeds.own(module, 1):
        first = module(ones)
    with seeds.own(module, 1):
        assert torch.equal(first, module(ones))
    with seeds.own(module, 2):
        assert not torch.equal(first, module(ones))
    assert module.generator is None
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert float(first.mean()) == pytest.approx(1.0, abs=0.01)
    assert module.eval()(ones) is ones
