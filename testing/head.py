"""Suite for heads: targets, loss, the convex problem, and what a solved head predicts.

A thing is a head's name, which is an outcome.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from headstart import arms
from headstart.core import plugins
from headstart.core.answers import Answer
from headstart.core.ragged import Ragged
from headstart.engine.solve import solve
from headstart.errors import DataError

from ._things import Breach, Check, expect, listed

KNOWN: dict[tuple[str, str], str] = {
    ("check_unseen_class_is_refused", "regress"): "a regression target has no classes to be unseen",
    (
        "check_nothing_to_learn_is_refused",
        "label_each",
    ): "positions of one row can be told apart though all rows are alike",
    ("check_unseen_class_is_refused", "answer"): "answers are places in a text, not classes",
    ("check_unseen_class_is_refused", "forecast"): "coming values have no classes to be unseen",
}

ROWS, WIDTH, CLASSES = 90, 5, ("ant", "bee", "wasp")
PLACES = 3
"""Positions of a row, for heads that read positions."""


def things() -> tuple[str, ...]:
    """Every head found."""
    return plugins.names("head")


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


def world(name: str) -> tuple[Any, np.ndarray, list[Any], Any]:
    """Module, features (90, 5) float32, raw targets that they decide, and learned targets.

    Class names where the head takes them, else numbers, else tuples of tags, else windows of three
    coming values, level, spread and naive error, else grades from 0 to 3. Where it reads positions
    features (90, 3, 5) and tuples of three class names, else answers of one word in texts of three.
    """
    module = plugins.load("head", name)
    rng = np.random.default_rng(0)
    if module.Head.reads == "positions":
        places = rng.normal(size=(ROWS, PLACES, WIDTH)).astype(np.float32)
        chosen = (places @ rng.normal(size=(WIDTH, len(CLASSES)))).argmax(axis=2)
        named = [tuple(CLASSES[i] for i in row) for row in chosen]
        likely = (places @ rng.normal(size=WIDTH)).argmax(axis=1)
        raw = named if module.Head.asks == "UNITS" else [_answer(int(k)) for k in likely]
        return module, places, raw, module.learn(raw)
    features = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    weight = rng.normal(size=(WIDTH, len(CLASSES)))
    scores = features @ weight + 0.3 * rng.normal(size=(ROWS, len(CLASSES)))
    order = np.sort(scores, axis=1)
    kinds: list[list[Any]] = [
        [CLASSES[i] for i in scores.argmax(1)],
        [100.0 + 20.0 * float(s) for s in scores[:, 0]],
        [tuple(c for c, s, o in zip(CLASSES, row, least, strict=True) if s > o)
         for row, least in zip(scores, order[:, :1] * np.ones(3), strict=True)],
        [np.array([*(50.0 + 10.0 * row), 50.0, 10.0, 5.0]) for row in scores],
        np.searchsorted((-2.0, 0.0, 2.0), scores[:, 0]).tolist(),
    ]  # fmt: skip
    for raw in kinds:
        try:
            return module, features, raw, module.learn(raw)
        except (DataError, ValueError, TypeError):
            continue
    raise Breach("a head learns from class names, numbers, tuples of tags, windows or grades")


def _answer(place: int) -> Answer:
    """One of three words."""
    text, units = " ".join(CLASSES), ((0, 3), (4, 7), (8, 12))
    return Answer(text, units, *units[place])


def solved(name: str) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Head settled on its problem, its solution, features and encoded targets."""
    module, features, raw, targets = world(name)
    head = module.Head(WIDTH, targets).eval()
    encoded = targets.encode(raw)
    folds = [
        (np.flatnonzero(np.arange(ROWS) % 3 != k), np.flatnonzero(np.arange(ROWS) % 3 == k))
        for k in range(3)
    ]
    if features.ndim == 3:
        flat = Ragged(features.reshape(-1, WIDTH), np.full(ROWS, PLACES))
        solution = arms.solution(head, flat, encoded, folds)
    else:
        solution = solve(head.problem(ROWS), features, head.wanted(encoded), folds=folds)
    head.settle(solution)
    return head, solution, features, encoded


def _loss(head: Any, features: np.ndarray, encoded: np.ndarray) -> float:
    with torch.no_grad():
        outputs = head(torch.from_numpy(features))
        return float(head.loss(outputs, torch.from_numpy(encoded)))


def check_targets_survive_their_state(name: str) -> None:
    """state() is JSON, and restore() encodes alike."""
    module, _, raw, targets = world(name)
    again = module.restore(json.loads(json.dumps(targets.state())))
    expect(np.array_equal(targets.encode(raw), again.encode(raw)), "restored targets encode alike")
    expect(again.classes == targets.classes, "restored targets have the same classes")
    expect(again.outcome == targets.outcome == name, "targets say their outcome")


def check_encoding_does_not_depend_on_order(name: str) -> None:
    """Targets learned from shuffled rows encode alike."""
    module, _, raw, targets = world(name)
    other = module.learn(list(reversed(raw)))
    expect(np.allclose(targets.encode(raw), other.encode(raw)), "the order of rows decides nothing")


def check_unseen_class_is_refused(name: str) -> None:
    """A class that training did not have is an error that names it."""
    _, _, raw, targets = world(name)
    try:
        targets.encode([("hornet",)] if isinstance(raw[0], tuple) else ["hornet"])
    except DataError as error:
        expect("hornet" in str(error), "the error names the unseen class")
        return
    raise Breach("an unseen class raises DataError")


def check_nothing_to_learn_is_refused(name: str) -> None:
    """Targets that are all equal are refused in words."""
    module, _, raw, _ = world(name)
    try:
        module.learn([raw[0]] * 10)
    except DataError as error:
        expect(len(str(error).split()) >= 8, "the error says what to do")
        return
    raise Breach("equal targets raise DataError")


def check_shapes(name: str) -> None:
    """Outputs are (N, outputs), the loss is one finite number with a gradient, predictions fit N; of
    positions likewise (N, positions, outputs)."""
    module, features, raw, targets = world(name)
    head = module.Head(WIDTH, targets)
    outputs = head(torch.from_numpy(features))
    front = features.shape[:-1]
    expect(tuple(outputs.shape) == (*front, head.outputs), "outputs are (N, outputs)")
    loss = head.loss(outputs, torch.from_numpy(targets.encode(raw)))
    expect(loss.ndim == 0 and bool(torch.isfinite(loss)), "the loss is one finite number")
    grads = torch.autograd.grad(loss, list(head.parameters()))
    expect(any(float(g.abs().sum()) > 0 for g in grads), "the loss has a gradient")
    said = head.predict(outputs.detach().numpy())
    expect(len(said) == ROWS, "predict() gives one prediction a row")
    if targets.classes:
        expect(said.shape == (*front, len(targets.classes)), "predict() gives (N, classes)")
        expect(bool(((said >= 0) & (said <= 1)).all()), "predict() gives probabilities")
        if head.problem(ROWS).loss == "softmax":
            expect(
                np.allclose(said.sum(-1), 1.0, atol=1e-6), "probabilities of classes add up to one"
            )
    elif head.reads == "positions":
        expect(said.shape == (ROWS, 3), "predict() gives spans: first, last, probability")
        inside = (said[:, 0] <= said[:, 1]) & (said[:, 1] < PLACES) & (said[:, 2] <= 1)
        expect(bool(inside.all()), "a span ends where it begins or later, within its row")
    else:
        tail = (head.outputs,) if head.outputs > 1 else ()
        expect(said.shape == (ROWS, *tail), "predict() gives (N,), or (N, outputs) for several")


def check_predictions_bear_extreme_outputs(name: str) -> None:
    """Very large outputs give finite predictions."""
    module, _, _, targets = world(name)
    head = module.Head(WIDTH, targets)
    middle = (PLACES,) if head.reads == "positions" else ()
    huge = np.full((2, *middle, head.outputs), 1e4, np.float32)
    huge[0, ..., 0] = -1e4
    expect(bool(np.isfinite(head.predict(huge)).all()), "extreme outputs give finite predictions")


def check_wrong_width_is_refused(name: str) -> None:
    """Features of another width raise an error that shows both widths."""
    module, _, _, targets = world(name)
    head = module.Head(WIDTH, targets)
    try:
        head(torch.zeros(2, WIDTH + 1))
    except Exception as error:
        shown = str(error)
        expect(str(WIDTH) in shown and str(WIDTH + 1) in shown, "the error shows both widths")
        return
    raise Breach("features of a wrong width are refused")


def check_settled_head_says_what_was_solved(name: str) -> None:
    """The settled module's outputs are the solution's, and it beats the unsettled one."""
    module, _, raw, targets = world(name)
    head, solution, features, encoded = solved(name)
    fresh = module.Head(WIDTH, targets).eval()
    before, after = _loss(fresh, features, encoded), _loss(head, features, encoded)
    expect(
        after < 0.7 * before, f"solving lowers the loss; it went from {before:.4g} to {after:.4g}"
    )
    with torch.no_grad():
        outputs = head(torch.from_numpy(features)).numpy()
    expected = head.predict(solution.logits(features))
    expect(
        np.allclose(head.predict(outputs), expected, atol=1e-4, rtol=1e-4), "settle() takes over"
    )
    truth = np.asarray(targets.encode(raw))
    score = module.SCORE.of(head.predict(outputs), truth)
    poor = module.SCORE.of(fresh.predict(np.zeros_like(outputs)), truth)
    expect(score > poor, "the score tells better from worse")
    lost = module.losses(head.predict(outputs), truth, targets)
    blank = module.losses(fresh.predict(np.zeros_like(outputs)), truth, targets)
    expect(lost.shape == (ROWS,) and lost.mean() < blank.mean(), "so do the losses of rows")
    told = module.held(solution.held_out)
    expect(told.shape == head.predict(outputs).shape, "held() gives what predict() gives")


def check_score_is_a_mean_over_rows(name: str) -> None:
    """SCORE.rows is (seeds, rows); a seed is scored without regard to the others."""
    module, _, raw, targets = world(name)
    head, _, features, _ = solved(name)
    with torch.no_grad():
        said = head.predict(head(torch.from_numpy(features)).numpy())
    truth = np.asarray(targets.encode(raw))
    rows = module.SCORE.rows(np.stack([said, said[::-1]]), truth)
    expect(rows.shape == (2, ROWS), "rows of scores are (seeds, rows)")
    expect(np.isclose(rows[0].mean(), module.SCORE.of(said, truth)), "their mean is the score")
    expect(rows[0].mean() > rows[1].mean(), "predictions of other rows score lower")


def check_solution_is_the_optimum(name: str) -> None:
    """No small step in any of twenty directions lowers the stated convex objective.

    Softmax: C * sum of losses + |W|^2 / 2 (two classes: their difference); squares: C * sum of squares
    + |W|^2; sigmoids: C * sum of losses + |w|^2 / 2 for each output; on features as they are.
    """
    module, features, raw, targets = world(name)
    head = module.Head(WIDTH, targets)
    stated = head.problem(ROWS)
    strength = float(np.median(stated.strengths))
    problem = type(stated)(stated.loss, stated.outputs, (strength,), stated.balanced)
    encoded = head.wanted(head.each(targets.encode(raw)))
    features = features.reshape(-1, WIDTH)
    encoded = encoded.reshape(len(features), -1) if head.reads == "positions" else encoded
    if encoded.size == len(features):
        encoded = encoded.reshape(-1)
    found = solve(problem, features, encoded, folds=None, standardise="none")
    weight, bias = found.weight.astype(float), found.bias.astype(float)
    least = _objective(problem, strength, features, encoded, (weight, bias))
    rng = np.random.default_rng(1)
    scale = max(float(np.abs(weight).max()), 1e-3)
    for _ in range(20):
        step = rng.normal(size=weight.shape), rng.normal(size=bias.shape)
        for size in (1e-2, -1e-2):
            moved = weight + size * scale * step[0], bias + size * scale * step[1]
            value = _objective(problem, strength, features, encoded, moved)
            expect(value >= least - 1e-6 * abs(least), "no direction lowers the stated objective")


def _objective(
    problem: Any,
    strength: float,
    features: np.ndarray,
    encoded: np.ndarray,
    where: tuple[np.ndarray, np.ndarray],
) -> float:
    weight, bias = where
    scores = features.astype(float) @ weight.T + bias
    if problem.loss == "sigmoids":
        loss = (np.logaddexp(0, scores) - np.nan_to_num(encoded) * scores).sum()
        return float(strength * loss + 0.5 * (weight**2).sum())
    if problem.loss == "softmax":
        top = scores.max(1)
        total = (top + np.log(np.exp(scores - top[:, None]).sum(1))).sum()
        loss = total - scores[np.arange(len(scores)), encoded.astype(int)].sum()
        penalty = weight if problem.outputs > 2 else weight[1:] - weight[:1]
        return float(strength * loss + 0.5 * (penalty**2).sum())
    wanted = np.asarray(encoded, float).reshape(len(scores), -1)
    return float(strength * ((scores - wanted) ** 2).sum() + (weight**2).sum())
