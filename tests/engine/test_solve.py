"""The convex head solver against scikit-learn, and its behaviour at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from headstart.core.problem import Problem, Solution
from headstart.engine import newton
from headstart.engine import solve as solver
from headstart.engine.solve import solve
from headstart.errors import DataError, PlanError

GRID = tuple(np.logspace(-3, 2, 6))


def clusters(rows: int, width: int, classes: int, *, seed: int = 0, apart: float = 0.7):
    """Rectified features (rows, width) float32 of Gaussian clusters, and classes (rows,)."""
    draw = np.random.default_rng(seed)
    answers = np.arange(rows) % classes
    centres = draw.normal(size=(classes, 8)) * apart
    hidden = centres[answers] + draw.normal(size=(rows, 8))
    mixed = hidden @ draw.normal(size=(8, width)) + draw.normal(size=(rows, width)) * 0.5 + 0.5
    return np.maximum(mixed, 0).astype(np.float32), answers


def probabilities(solution: Solution, features: np.ndarray) -> np.ndarray:
    logits = solution.logits(features).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def peer(features, answers, strength, **settings):
    scaler = StandardScaler().fit(features.astype(np.float64))
    model = LogisticRegression(C=strength, tol=1e-10, max_iter=20_000, **settings)
    with threadpool_limits(1):
        model.fit(scaler.transform(features.astype(np.float64)), answers)
    return lambda table: model.predict_proba(scaler.transform(table.astype(np.float64)))


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("shape", [(60, 200, 4), (400, 30, 4), (100, 100, 3), (300, 20, 2)])
def test_softmax_agrees_with_scikit_learn(shape, strength):
    features, answers = clusters(*shape)
    solution = solve(Problem("softmax", shape[2], (strength,)), features, answers, folds=None)
    expected = peer(features, answers, strength)(features)
    np.testing.assert_allclose(probabilities(solution, features), expected, atol=2e-5)
    assert solution.scores.shape == (0, 1) and solution.held_out.shape == (0, shape[2])
    assert solution.weight.dtype == np.float32 and solution.weight.shape == (shape[2], shape[1])


@pytest.mark.parametrize("shape", [(60, 200, 3), (300, 20, 3)])
def test_balanced_and_weighted_agree_with_scikit_learn(shape):
    features, answers = clusters(*shape)
    kept = np.flatnonzero((answers > 0) | (np.arange(len(answers)) % 4 == 0))
    features, answers = features[kept], answers[kept]
    problem = Problem("softmax", 3, (0.3,), balanced=True)
    solution = solve(problem, features, answers, folds=None)
    expected = peer(features, answers, 0.3, class_weight="balanced")(features)
    np.testing.assert_allclose(probabilities(solution, features), expected, atol=2e-5)
    twice = np.where(answers == 1, 2.0, 1.0)
    solution = solve(Problem("softmax", 3, (0.3,)), features, answers, folds=None, weights=twice)
    expected = peer(features, answers, 0.3, class_weight={0: 1, 1: 2, 2: 1})(features)
    np.testing.assert_allclose(probabilities(solution, features), expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(60, 150, 3), (300, 25, 3)])
def test_choice_scores_and_held_out_agree_with_a_loop_over_scikit_learn(shape):
    features, answers = clusters(*shape)
    folds = list(StratifiedKFold(4, shuffle=True, random_state=1).split(features, answers))
    solution = solve(Problem("softmax", 3, GRID), features, answers, folds=folds)
    scores = np.empty((4, len(GRID)))
    held = np.empty((len(GRID), len(answers), 3))
    for number, (train, valid) in enumerate(folds):
        for place, strength in enumerate(GRID):
            held[place, valid] = peer(features[train], answers[train], strength)(features[valid])
            given = held[place, valid, answers[valid]]
            scores[number, place] = np.log(given).mean()
    best = int(scores.mean(axis=0).argmax())
    assert solution.strength == GRID[best]
    np.testing.assert_allclose(solution.scores[:, best], scores[:, best], atol=1e-4)
    np.testing.assert_allclose(solution.held_out, held[best], atol=5e-4)
    np.testing.assert_allclose(solution.scores[:, :best], scores[:, :best], atol=0.05)


@pytest.mark.parametrize("scoring", ["log_loss", "accuracy", "squares"])
def test_held_out_rows_are_never_in_training(scoring):
    """A fold's own rows, moved far away and relabelled, change only the other folds' predictions."""
    features, answers = clusters(120, 12, 3)
    folds = list(KFold(3).split(features))
    problem = Problem("softmax", 3, (0.1,))
    before = solve(problem, features, answers, folds=folds, scoring=scoring).held_out
    moved = answers.copy()
    moved[folds[0][1]] = (moved[folds[0][1]] + 1) % 3
    after = solve(problem, features, moved, folds=folds, scoring=scoring).held_out
    assert np.array_equal(before[folds[0][1]], after[folds[0][1]]) is True
    assert not np.allclose(before[folds[1][1]], after[folds[1][1]], atol=1e-3)


def test_strength_order_does_not_matter_and_ties_take_the_strongest_regularisation():
    features, answers = clusters(90, 10, 3, apart=6.0)
    folds = list(KFold(3).split(features))
    upward = solve(Problem("softmax", 3, GRID), features, answers, folds=folds, scoring="accuracy")
    downward = solve(
        Problem("softmax", 3, GRID[::-1]), features, answers, folds=folds, scoring="accuracy"
    )
    assert upward.strength == downward.strength
    means = upward.scores.mean(axis=0)
    assert upward.strength == GRID[int(np.argmax(means >= means.max() - 1e-12))]
    np.testing.assert_array_equal(upward.scores, downward.scores[:, ::-1])


def test_a_class_missing_from_a_fold_gets_probability_zero_there():
    features, answers = clusters(90, 12, 3, apart=3.0)
    order = np.argsort(answers, kind="stable")
    features, answers = features[order], answers[order]
    folds = list(KFold(3).split(features))  # each fold holds out one whole class
    solution = solve(Problem("softmax", 3, (0.1, 1.0)), features, answers, folds=folds)
    assert np.isfinite(solution.scores).all()
    assert (solution.held_out[np.arange(90), answers] == 0).all()
    np.testing.assert_allclose(solution.held_out.sum(axis=1), 1, atol=1e-5)
    assert (probabilities(solution, features).argmax(axis=1) == answers).mean() > 0.8


def test_a_class_without_any_row_is_never_predicted():
    features, answers = clusters(90, 12, 2)
    solution = solve(Problem("softmax", 3, (1.0,)), features, answers, folds=None)
    assert probabilities(solution, features)[:, 2].max() < 1e-20


def test_a_fold_with_one_class_is_constant():
    features, answers = clusters(40, 5, 2)
    folds = [(np.flatnonzero(answers == 0), np.flatnonzero(answers == 1))]
    solution = solve(Problem("softmax", 2, (0.1, 1.0)), features, answers, folds=folds)
    assert (solution.held_out[answers == 1] == [1, 0]).all()
    assert np.isnan(solution.held_out[answers == 0]).all()


@pytest.mark.parametrize("rows", [20, 200])
@pytest.mark.parametrize("loss", ["softmax", "squares"])
def test_constant_columns_and_one_feature(rows, loss):
    features, answers = clusters(rows, 1, 2)
    padded = np.column_stack([features, np.full(rows, 1e6), np.zeros(rows)]).astype(np.float32)
    outputs = 2 if loss == "softmax" else 1
    problem = Problem(loss, outputs, (1.0,))
    slim = solve(problem, features, answers, folds=None)
    wide = solve(problem, padded, answers, folds=None)
    assert np.isfinite(wide.weight).all() and np.abs(wide.weight[:, 1:]).max() < 1e-9
    np.testing.assert_allclose(slim.weight[:, 0], wide.weight[:, 0], rtol=1e-4)
    alone = solve(problem, np.ones((rows, 1), np.float32), answers, folds=None)
    assert np.isfinite(alone.bias).all() and np.abs(alone.weight).max() < 1e-9


def test_separable_data_at_weak_regularisation_stays_finite():
    features, answers = clusters(150, 20, 3, apart=10.0)
    solution = solve(Problem("softmax", 3, (1e6,)), features, answers, folds=None)
    assert np.isfinite(solution.weight).all()
    assert (probabilities(solution, features).argmax(axis=1) == answers).all()


@pytest.mark.parametrize("shape", [(60, 150, 3), (400, 40, 3)])
def test_the_same_input_gives_the_same_bits(shape, monkeypatch):
    monkeypatch.setattr(solver, "WORTH", 0)  # folds side by side
    features, answers = clusters(*shape)
    folds = list(KFold(4).split(features))
    problem = Problem("softmax", 3, GRID)
    one = solve(problem, features, answers, folds=folds)
    monkeypatch.setattr(solver, "WORTH", 1 << 60)
    monkeypatch.setattr(solver, "KEEP", 0)  # rotate again instead of keeping
    two = solve(problem, features, answers, folds=folds)
    for name in ("weight", "bias", "scores", "held_out"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name


@pytest.mark.parametrize("standardise", ["each", "none"])
@pytest.mark.parametrize("shape", [(50, 120), (300, 20)])
def test_ridge_agrees_with_scikit_learn(shape, standardise):
    features, _ = clusters(*shape, 3)
    draw = np.random.default_rng(5)
    targets = features[:, :2] @ draw.normal(size=(2, 2)) + draw.normal(size=(shape[0], 2)) + 3
    weights = draw.uniform(0.5, 2, size=shape[0])
    folds = list(KFold(4).split(features))
    solution = solve(
        Problem("squares", 2, GRID), features, targets,
        folds=folds, weights=weights, standardise=standardise,
    )  # fmt: skip
    held = np.empty((len(GRID), *targets.shape))

    def fit(train, alpha):
        scaler = StandardScaler(with_mean=standardise == "each", with_std=standardise == "each")
        table = scaler.fit_transform(features[train].astype(np.float64))
        model = Ridge(alpha=alpha, solver="svd").fit(
            table, targets[train], sample_weight=weights[train]
        )
        return lambda rows: model.predict(scaler.transform(features[rows].astype(np.float64)))

    for train, valid in folds:
        for place, strength in enumerate(GRID):
            held[place, valid] = fit(train, 1 / strength)(valid)
    errors = np.array(
        [((held[:, valid] - targets[valid]) ** 2).mean(axis=(1, 2)) for _, valid in folds]
    )
    best = int(errors.mean(axis=0).argmin())
    np.testing.assert_allclose(solution.scores, -errors, rtol=1e-4)
    assert solution.strength == GRID[best]
    np.testing.assert_allclose(solution.held_out, held[best], rtol=1e-4, atol=1e-4)
    everything = np.arange(shape[0])
    expected = fit(everything, 1 / GRID[best])(everything)
    np.testing.assert_allclose(solution.logits(features), expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_used_is_refused():
    features, answers = clusters(30, 4, 3)
    problem = Problem("softmax", 3, (1.0,))
    for bad in (np.nan, np.inf):
        broken = features.copy()
        broken[7, 2] = bad
        with pytest.raises(DataError, match="first row 7"):
            solve(problem, broken, answers, folds=None)
    with pytest.raises(DataError, match="0 to 2"):
        solve(problem, features, answers + 1, folds=None)
    with pytest.raises(DataError, match="two classes"):
        solve(problem, features, answers * 0, folds=None)
    with pytest.raises(DataError, match="same rows"):
        solve(problem, features, answers, folds=[(np.arange(20), np.arange(15, 30))])
    with pytest.raises(PlanError, match="need folds"):
        solve(Problem("softmax", 3, (1.0, 2.0)), features, answers, folds=None)
    with pytest.raises(PlanError, match="positive"):
        Problem("softmax", 3, (0.0,))
    with pytest.raises(DataError, match="NaN"):
        solve(Problem("squares", 1, (1.0,)), features, np.full(30, np.nan), folds=None)


def test_large_values_are_not_taken_for_infinity():
    features, answers = clusters(30, 4, 3)
    huge = (features * np.float32(1e18)).astype(np.float32)
    solution = solve(Problem("softmax", 3, (1.0,)), huge, answers, folds=None)
    plain = solve(Problem("softmax", 3, (1.0,)), features, answers, folds=None)
    np.testing.assert_allclose(
        probabilities(solution, huge), probabilities(plain, features), atol=1e-4
    )


def test_tempered_scoring_keeps_the_choice_of_strength_from_the_question_of_confidence():
    """Overlapping classes in few rows: the strength that orders best is unsure of itself, and one
    factor on its logits mends that."""
    features, answers = clusters(80, 200, 3, apart=1.0)
    folds = list(KFold(5, shuffle=True, random_state=0).split(features))
    problem = Problem("softmax", 3, GRID)
    plain = solve(problem, features, answers, folds=folds, standardise="whole")
    tempered = solve(
        problem, features, answers, folds=folds, standardise="whole", scoring="tempered"
    )

    def loss(solution):
        return float(-np.log(solution.held_out[np.arange(80), answers]).mean())

    assert loss(tempered) <= loss(plain) + 1e-6
    alone = Problem("softmax", 3, (tempered.strength,))
    untempered = solve(alone, features, answers, folds=None, standardise="whole")
    factor = tempered.weight / untempered.weight
    assert factor.std() < 1e-3 * factor.mean()
    np.testing.assert_allclose(tempered.bias, untempered.bias * factor.mean(), atol=1e-3)


def test_whole_standardisation_keeps_the_proportions_of_columns():
    features, answers = clusters(90, 10, 3)
    problem = Problem("softmax", 3, (0.5,))
    once = solve(problem, features, answers, folds=None, standardise="whole")
    again = solve(problem, 1000 * features, answers, folds=None, standardise="whole")
    np.testing.assert_allclose(again.weight * 1000, once.weight, rtol=1e-3, atol=1e-5)
    spread = features.std(axis=0)
    divided = features / np.sqrt((spread**2).mean())
    plain = solve(problem, divided, answers, folds=None, standardise="none")
    np.testing.assert_allclose(plain.logits(divided), once.logits(features), atol=1e-3)


def test_a_line_search_that_runs_out_of_trials_returns_what_it_tried(monkeypatch):
    monkeypatch.setattr(newton, "TRIALS", 1)
    draw = np.random.default_rng(0)
    table = np.column_stack([draw.normal(size=(40, 5)) * 9, np.ones(40)])
    rows = newton.Rows(table, np.arange(40) % 3, 3, None, (table * table).sum(axis=0))
    start = newton.origin(rows)
    shares = newton.softmax(start.logits)
    way = draw.normal(size=start.weight.shape)
    line = newton._Line(fall=-1e-3, pull=0.0, bend=0.0)  # a slope that no single step halves
    length, moved, there = newton._search(rows, start.logits, shares, way @ table.T, line)
    assert length != 0
    np.testing.assert_allclose(moved, start.logits + length * (way @ table.T))
    np.testing.assert_allclose(there, newton.softmax(moved))
