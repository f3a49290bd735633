"""Tags: encoding, areas under the curve by rows, and a logistic regression for each tag."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from headstart.engine.solve import solve
from headstart.errors import DataError
from headstart.heads import tag

ROWS = 160


def world(tags: int = 3, unknown: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Features (160, 6), and tags of 0, 1 and NaN that they nearly decide."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(ROWS, 6)).astype(np.float32)
    scores = features @ rng.normal(size=(6, tags)) + rng.normal(size=(ROWS, tags))
    truth = (scores > 0.8).astype(float)
    truth[rng.random(truth.shape) < unknown] = np.nan
    return features, truth


def folds(rows: int, k: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    place = np.arange(rows)
    return [(place[place % k != f], place[place % k == f]) for f in range(k)]


def test_raw_targets_are_tuples_of_tags_or_pairs() -> None:
    known = tag.learn([("red",), ("round", "red"), ()])
    assert known.classes == ("red", "round")
    assert known.encode([("round",), ()]).tolist() == [[0, 1], [0, 0]]
    pairs = tag.learn([(("a", 1), ("b", 0)), (("a", 0), ("b", None))])
    assert np.array_equal(pairs.encode([(("a", None), ("b", 1))]), [[np.nan, 1]], equal_nan=True)


@pytest.mark.parametrize("targets", [[()] * 5, [("red",)] * 5, ["red", "green"], [3.0, 4.0]])
def test_tags_that_tell_nothing_apart_are_refused(targets: list[object]) -> None:
    with pytest.raises(DataError, match=r"target column|tags came as"):
        tag.learn(targets)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.sampled_from([0.0, 1.0, np.nan])),
        min_size=4,
        max_size=30,
    )
)
def test_the_mean_over_rows_is_the_area(cells: list[tuple[float, float]]) -> None:
    said, truth = (np.array(part)[:, None] for part in zip(*cells, strict=True))
    known = np.isfinite(truth[:, 0])
    if tag.SCORE.undefined(truth):
        assert len(set(truth[known, 0])) < 2
        return
    wanted = roc_auc_score(truth[known, 0], said[known, 0])
    assert tag.SCORE.of(said, truth) == pytest.approx(wanted, abs=1e-12)


def test_the_spread_of_rows_is_that_of_the_area() -> None:
    """DeLong's error beside the spread of the area over fresh draws of the same world."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        truth = (rng.random((200, 1)) < 0.3).astype(float)
        return truth + 1.2 * rng.normal(size=truth.shape), truth

    rng = np.random.default_rng(5)
    worlds = [draw(rng) for _ in range(400)]
    spread = np.std([tag.SCORE.of(*world) for world in worlds])
    rows = [tag.areas(said[None], truth)[0] for said, truth in worlds]
    told = np.mean([r.std() / np.sqrt(len(r)) for r in rows])
    assert told == pytest.approx(spread, rel=0.1)


def test_each_tag_is_solved_as_if_alone() -> None:
    features, truth = world()
    problem = tag.Head(6, tag.Tags(("a", "b", "c"))).problem(ROWS)
    fixed = type(problem)("sigmoids", 3, (0.7,))
    found = solve(fixed, features, truth, folds=None, standardise="none")
    for k in range(3):
        known = np.isfinite(truth[:, k])
        peer = LogisticRegression(C=0.7, tol=1e-9, max_iter=5000)
        peer.fit(features[known].astype(float), truth[known, k])
        assert np.allclose(found.weight[k], peer.coef_[0], atol=2e-4)
        assert found.bias[k] == pytest.approx(peer.intercept_[0], abs=2e-4)


def test_what_is_not_known_is_held_out_by_nobody_and_learned_by_nobody() -> None:
    features, truth = world()
    problem = tag.Head(6, tag.Tags(("a", "b", "c"))).problem(ROWS)
    found = solve(problem, features, truth, folds=folds(ROWS), scoring="tempered")
    assert np.array_equal(np.isnan(found.held_out), np.isnan(truth))
    other = np.where(np.isnan(truth), np.nan, truth)
    moved = features.copy()
    moved[np.isnan(truth).all(axis=1)] += 100
    again = solve(problem, moved, other, folds=folds(ROWS), scoring="tempered")
    assert np.array_equal(found.weight, again.weight)


def test_a_tag_that_nobody_or_everybody_carries_is_a_constant() -> None:
    features, truth = world(unknown=0.0)
    truth[:, 0], truth[:, 1] = 0.0, 1.0
    problem = tag.Head(6, tag.Tags(("none", "all", "some"))).problem(ROWS)
    found = solve(problem, features, truth, folds=folds(ROWS))
    assert not found.weight[:2].any()
    assert found.weight[2].any()
    assert found.bias[0] < -4 < 4 < found.bias[1]
    assert np.isfinite(found.held_out).all()
    with pytest.raises(DataError, match="nothing to learn"):
        solve(problem, features, np.zeros((ROWS, 3)), folds=folds(ROWS))


@pytest.mark.parametrize("truth", [np.full((ROWS, 3), 2.0), np.zeros((ROWS, 2)), np.zeros(ROWS)])
def test_wrong_tags_are_refused(truth: np.ndarray) -> None:
    problem = tag.Head(6, tag.Tags(("a", "b", "c"))).problem(ROWS)
    with pytest.raises(DataError, match="Tags must be"):
        solve(problem, np.zeros((ROWS, 6), np.float32), truth, folds=folds(ROWS))


def test_unknown_cells_have_no_loss_and_no_gradient() -> None:
    head = tag.Head(2, tag.Tags(("a", "b")))
    outputs = torch.zeros(2, 2, requires_grad=True)
    loss = head.loss(outputs, torch.tensor([[1.0, float("nan")], [float("nan"), 0.0]]))
    loss.backward()
    assert outputs.grad is not None
    assert loss.item() == pytest.approx(np.log(2))
    assert outputs.grad[0, 1] == outputs.grad[1, 0] == 0
    assert outputs.grad[0, 0] < 0 < outputs.grad[1, 1]
