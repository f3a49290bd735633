"""Side by side: the same bits, one step of progress for all, and nobody goes on alone."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from headstart.core.head import Dropout
from headstart.core.run import Step
from headstart.engine import loop, together
from headstart.engine import seed as seeds
from headstart.engine.loop import Training
from headstart.strategies import fine_tune
from tests.engine import small

SETTINGS = fine_tune.Settings(cut=0, epochs=8, rate=0.02, augment=False, head_first=False)


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
        def train(watcher: object) -> None:
            loop.train(
                networks[number],
                fine_tune.Strategy(SETTINGS),
                {"train": small.Numbers(inputs, labels)},
                training=Training(seed=number, batch=16, costs=(1.0, 1.0, 1.0)),
                watcher=watcher,  # type: ignore[arg-type]
            )

        return train

    return networks, [task(number) for number in range(count)]


def test_the_bits_are_those_of_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, tasks = trainings(3)
    for train in tasks:
        train(None)
    beside, tasks = trainings(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    monkeypatch.setattr(together.os, "cpu_count", lambda: 3)
    heard = Heard()
    together.run(tasks, heard)
    for one, other in zip(alone, beside, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
    assert not torch.equal(*(n.heads["classify"].linear.weight for n in alone[:2]))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert len(heard.steps) == 24
    assert {step.total for step in heard.steps} == {24}
    assert [step.done for step in heard.steps] == list(range(1, 25))


def test_an_error_ends_the_others_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together.os, "cpu_count", lambda: 2)
    ended = threading.Event()

    def endless(watcher: object) -> None:
        try:
            while True:
                time.sleep(0.01)
                watcher.step(Step("endless", 1, 2))  # type: ignore[attr-defined]
        finally:
            ended.set()

    def broken(watcher: object) -> None:
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError, match="broken"):
        together.run([endless, broken, endless], None)
    assert ended.is_set()


def test_what_draws_from_the_global_generator_is_found() -> None:
    inputs, labels = small.problem()
    stream, strategy = small.Numbers(inputs, labels), fine_tune.Strategy(SETTINGS)
    head_only = small.network()
    head_only.heads["classify"].dropout = Dropout(0.5)
    state = torch.get_rng_state()
    assert not loop.draws(head_only, strategy, stream)
    assert loop.draws(small.network(dropout=0.5), strategy, stream)
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
