"""The ordinal head: levels in their order, probabilities that fall from step to step, median answers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headstart.core.ordinal import median
from headstart.engine.solve import solve
from headstart.errors import DataError
from headstart.heads import ordinal

GRADES = ("low", "medium", "high")


def test_a_given_order_is_kept_and_survives() -> None:
    made = ordinal.learn(["high", "low", "high"], GRADES)
    assert made.classes == GRADES
    assert made.encode(["low", "high", "medium"]).tolist() == [0, 2, 1]
    assert ordinal.restore(made.state()) == made


def test_numbers_rise_whatever_their_text() -> None:
    assert ordinal.learn([10, 9, 2]).raw == (2, 9, 10)
    assert ordinal.learn(["10", "9", "2"]).classes == ("2", "9", "10")
    named = ordinal.learn([0, 2], ["2", "1", "0"])  # a person's order goes over that of the numbers
    assert named.raw == (2, "1", 0)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["low", "high"], "Nothing says which .*'high', 'low'.*--levels LOWEST"),
        ([3, 3], "one level only"),
        (np.linspace(0, 1, 30).tolist(), "30 distinct numbers.*regress"),
        ([("a",), ("b",)], "expected one text or finite number"),
        ([1.0, float("nan")], "finite number"),
    ],
)
def test_what_has_no_order_is_refused(targets: list[object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        ordinal.learn(targets)


def test_an_unknown_level_is_named() -> None:
    with pytest.raises(DataError, match=r"'hihg'.*low < medium < high.*Did you mean 'high'"):
        ordinal.learn(["low", "high"], GRADES).encode(["hihg"])


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-50, 50, width=32, allow_subnormal=False)))
@settings(max_examples=60, deadline=None)
def test_any_logits_give_a_distribution(logits: np.ndarray) -> None:
    head = ordinal.Head(3, ordinal.learn(list(range(6))))
    said = head.predict(logits)
    assert said.shape == (4, 6)
    assert (said >= 0).all()
    assert np.allclose(said.sum(axis=1), 1.0)
    falling = 1 / (1 + np.exp(-np.sort(logits.astype(float), axis=1)[:, ::-1]))
    kept = head.predict(np.sort(logits, axis=1)[:, ::-1])
    assert np.allclose(1 - np.cumsum(kept, axis=1)[:, :-1], falling)  # nothing is bent that falls


@given(hnp.arrays(np.float64, 5, elements=st.floats(0.01, 1)))
@settings(max_examples=60, deadline=None)
def test_no_level_is_expected_to_be_nearer_than_the_median(shares: np.ndarray) -> None:
    shares = shares / shares.sum()
    far = [(shares * np.abs(np.arange(5) - k)).sum() for k in range(5)]
    assert far[int(median(shares))] <= min(far) + 1e-6


def test_the_trained_loss_is_that_of_the_convex_problem() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 4)).astype(np.float32)
    grades = np.searchsorted((-1, 0, 1), features[:, 0] + 0.3 * rng.normal(size=200))
    targets = ordinal.learn(grades.tolist())
    head, other = ordinal.Head(4, targets), ordinal.Head(4, targets)
    problem = head.problem(200)
    fixed = type(problem)(problem.loss, problem.outputs, (10.0,))
    solution = solve(fixed, features, head.wanted(grades), folds=None, standardise="none")
    head.settle(solution)
    inputs, wanted = torch.from_numpy(features), torch.from_numpy(grades)

    def objective(one: ordinal.Head) -> torch.Tensor:
        steps = 10.0 * 200 * one.outputs * one.loss(one(inputs), wanted)
        return steps + 0.5 * (one.linear.weight**2).sum()

    optimiser = torch.optim.LBFGS(other.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = objective(other)
        value.backward()
        return value

    optimiser.step(closure)
    assert torch.allclose(head.linear.weight, other.linear.weight, atol=2e-2)
    assert objective(head).item() == pytest.approx(objective(other).item(), rel=1e-5)


def test_closeness_is_the_mean_error_turned_round() -> None:
    said = np.eye(5)[[0, 4, 2]][None]
    truth = np.array([0, 0, 3])
    assert ordinal.close(said, truth).tolist() == [[1.0, 0.0, 0.75]]


def test_a_step_that_no_fold_asked_gets_the_usual_answer() -> None:
    held = np.array([[0.9, np.nan], [0.5, 0.2], [0.1, 0.0]])
    assert np.allclose(ordinal.held(held)[0], [0.1, 0.8, 0.1])
    assert np.allclose(ordinal.held(np.full((1, 2), np.nan)), [[0.5, 0.0, 0.5]])


def test_losses_fall_as_the_answer_nears() -> None:
    targets = ordinal.learn(list(range(4)))
    said = np.eye(4) * 0.7 + 0.075
    lost = ordinal.losses(said, np.zeros(4, np.int64), targets)
    assert all(a < b for a, b in pairwise(lost))
