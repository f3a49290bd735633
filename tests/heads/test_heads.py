"""Heads: targets to numbers and back, sealed state, solutions taken over, unseen classes refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from headstart.core.problem import Solution
from headstart.errors import ContractError, DataError
from headstart.heads import classify, regress


def solution(outputs: int, width: int) -> Solution:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(outputs, width)).astype(np.float32)
    bias = rng.normal(size=outputs).astype(np.float32)
    return Solution(weight, bias, 1.0, np.zeros((1, 1)), np.zeros((1, outputs)))


def test_classes_survive_json() -> None:
    learned = classify.learn(["b", "a", "b", "<script>"])
    again = classify.restore(json.loads(json.dumps(learned.state())))
    assert again == learned
    assert again.encode(["a", "b"]).tolist() == [1, 2]
    assert again.decode(np.array([[0.1, 0.7, 0.2]])) == ["a"]


def test_numbers_stay_numbers() -> None:
    learned = classify.learn([10, 9, 10])
    assert learned.raw == (9, 10)
    assert learned.decode(np.array([[0.0, 1.0]])) == [10]


def test_an_unseen_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match="'cat'"):
        classify.learn(["cat", "dog"]).encode(["cot"])


@pytest.mark.parametrize("targets", [["a"], ["a", "a"], []])
def test_one_class_is_refused(targets: list[str]) -> None:
    with pytest.raises(DataError, match="one class"):
        classify.learn(targets)


def test_a_settled_classifier_computes_the_solution() -> None:
    head = classify.Head(4, classify.learn("abc"))
    solved = solution(3, 4)
    head.settle(solved)
    features = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    expected = features @ solved.weight.T + solved.bias
    found = head(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(head.predict(found).sum(axis=1), 1.0)


def test_a_settled_regressor_speaks_in_the_persons_units() -> None:
    head = regress.Head(4, regress.learn([1000.0, 3000.0, 2000.0]))
    solved = solution(1, 4)
    head.settle(solved)
    features = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    expected = (features @ solved.weight.T + solved.bias)[:, 0]
    found = head.predict(head(torch.from_numpy(features)).detach().numpy())
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_regression_loss_does_not_depend_on_the_unit() -> None:
    losses = []
    for unit in (1.0, 1000.0):
        targets = np.array([1.0, 2.0, 4.0]) * unit
        head = regress.Head(2, regress.learn(targets.tolist()))
        said = head(torch.zeros(3, 2))
        losses.append(head.loss(said, torch.from_numpy(targets)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_constant_and_broken_targets_are_refused() -> None:
    with pytest.raises(DataError, match="equal"):
        regress.learn([2.0, 2.0])
    with pytest.raises(DataError, match="NaN"):
        regress.learn([2.0, float("nan")])


def test_a_wrong_width_is_told() -> None:
    with pytest.raises(ContractError, match="width 4"):
        classify.Head(4, classify.learn("ab"))(torch.zeros(2, 5))
