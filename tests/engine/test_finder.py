"""The rate finder: its rule by hand, on a copy, the same for a seed, and a rate at which is learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.engine import finder
from headstart.engine.loop import Training
from headstart.engine.streams import Part
from tests.strategies import case

RATES = [1e-4, 1e-3, 1e-2, 1e-1]


def grid(losses: list[float]) -> tuple[list[float], list[float]]:
    """Losses drawn out over all steps."""
    steps = np.linspace(0, 1, finder.STEPS)
    rates = finder.LOWEST * (finder.HIGHEST / finder.LOWEST) ** steps
    return rates.tolist(), np.interp(steps, np.linspace(0, 1, len(losses)), losses).tolist()


def test_a_tenth_of_the_rate_of_the_lowest_loss() -> None:
    rate, why = finder.chosen(RATES, [0.0, -0.1, -0.5, -0.2], 1.0)
    assert rate == pytest.approx(1e-3)
    assert why == "the training loss was lowest at 0.01"


def test_where_it_falls_nowhere_a_tenth_of_the_first_that_rises() -> None:
    rates, losses = grid([0.0, 0.0, 0.0, 0.0, 1.0])
    rate, why = finder.chosen(rates, losses, 1.0)
    first = next(r for r, loss in zip(rates, losses, strict=True) if loss > 0.02)
    assert rate == pytest.approx(first / 10)
    assert "fell at no rate, and rose from" in why
    wild = finder.chosen(rates[:30], [0.0] * 30, 1.0)  # it ended there
    assert wild[0] == pytest.approx(rates[30] / 10)
    assert finder.chosen([], [], 1.0)[0] == pytest.approx(finder.LOWEST / 10)


def test_a_loss_that_does_not_move_gives_none() -> None:
    rates, losses = grid([0.0, 0.01, -0.01])
    assert finder.chosen(rates, losses, 1.0)[0] == 0.0


def test_the_running_mean_has_no_pull_to_zero() -> None:
    assert finder.smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert finder.smoothed([1.0, 0.0])[1] == pytest.approx(0.7 * 0.3 / (1 - 0.49))


@pytest.mark.parametrize("name", ["fine_tune", "bi_tuning", "gradual_unfreeze", "lora"])
def test_it_leaves_the_network_alone_and_finds_the_same_for_a_seed(name: str) -> None:
    network, made, stream = case.network(), case.strategy(name), Part(case.stream(), np.arange(48))
    before, states = case.tensors(network), made.state_dict()

    def find(seed: int) -> finder.Found:
        training = Training(seed=seed, batch=16, costs=(1.0, 1.0, 1.0))
        return finder.find(network, made, stream, training=training, solve=case.settle)

    found = find(3)
    assert find(3) == found != find(4)
    assert (
        case.same(before, case.tensors(network)) == [] and made.state_dict().keys() == states.keys()
    )
    assert len(found.rates) == len(found.losses) <= finder.STEPS
    assert finder.LOWEST / 10 <= found.rate <= finder.HIGHEST / 10
    steps, forwards = len(found.losses), made.forwards * 3.0
    whole = forwards + 6.0
    assert found.flops == pytest.approx(16 * (steps * whole + 3 * forwards))


def test_at_the_rate_that_it_finds_a_training_learns() -> None:
    stream = Part(case.stream(), np.arange(48))
    made = case.strategy("fine_tune", head_first=False)
    found = finder.find(case.network(), made, stream, training=Training(seed=0, batch=16))
    assert 1e-4 < found.rate <= 0.1
    told = case.train(
        case.strategy("fine_tune", head_first=False, rate=found.rate, epochs=10), case.network()
    )
    losses = told.losses("all")
    assert min(losses) < 0.8 * math.log(3) and told.notes == []
