"""Choosing a linear head's strength: `headstart.engine.solve` against scikit-learn's LogisticRegressionCV.

    python benchmarks/head_choice.py            # both cases, three paired repeats
    python benchmarks/head_choice.py --quick    # the small case, one repeat

Ten strengths by five stratified folds, log loss, columns divided by their common spread as runs do it.
Features are rectified random projections of clustered Gaussians: a decaying spectrum, as trunks give. Each
repeat runs all sides one after the other on the same machine; ratios are medians over repeats.

scikit-learn runs lbfgs on the same float32 features, scaled once over all rows (which spares it our
scaling inside each fold), at its default tolerance (1e-4), where it stops early at weak regularisation, with
at most 5,000 iterations a fit: once *as it comes*, and once with its BLAS held to *one thread*, which on the
machines tried makes it two to five times faster and which few people know. With --tight also at tolerance
1e-6, where its scores settle. Probabilities are compared with a scikit-learn fit on float64 at tolerance
1e-8.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from headstart.core.problem import Problem, Solution
from headstart.engine.solve import solve

STRENGTHS = tuple(np.logspace(-4, 2, 10))
CLASSES = 10
CASES = {"a: 250 x 1,280": (250, 1280), "b: 5,000 x 512": (5000, 512)}


def features(rows: int, width: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rectified projections (rows, width) float32 of `CLASSES` Gaussian clusters, and classes (rows,)."""
    draw = np.random.default_rng(seed)
    latent = 32
    centres = draw.normal(size=(CLASSES, latent)) * 0.5
    classes = np.arange(rows) % CLASSES
    draw.shuffle(classes)
    hidden = (centres[classes] + draw.normal(size=(rows, latent))) * np.arange(
        1, latent + 1
    ) ** -0.5
    mixed = hidden @ (draw.normal(size=(latent, width)) * 2 / np.sqrt(latent))
    mixed += draw.normal(size=width) * 0.3 + 0.3 * draw.normal(size=(rows, width))
    return np.maximum(mixed, 0).astype(np.float32), classes


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of wall clock and of processor time over all threads, and what the work returned."""
    start, used = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - used, result


def scaled(table: np.ndarray) -> np.ndarray:
    """Around the mean of each column, divided by the spread of all."""
    return (table - table.mean(axis=0)) / np.sqrt(table.var(axis=0).mean())  # type: ignore[no-any-return]


def peer(
    table: np.ndarray, classes: np.ndarray, folds: list[Any], tolerance: float, threads: int | None
) -> Any:
    """LogisticRegressionCV on scaled features; `threads` of its BLAS, None: as it comes."""
    model = LogisticRegressionCV(
        Cs=list(STRENGTHS), cv=folds, max_iter=5000, tol=tolerance, scoring="neg_log_loss"
    )
    with threadpool_limits(threads) if threads else nullcontext():
        return model.fit(scaled(table), classes)


def agreement(solution: Solution, table: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """Largest difference in probability from scikit-learn's tight fit, and the share of equal labels."""
    exact = scaled(table.astype(np.float64))
    with threadpool_limits(1):
        truth = LogisticRegression(C=solution.strength, tol=1e-8, max_iter=20_000)
        expected = truth.fit(exact, classes).predict_proba(exact)
    logits = solution.logits(table).astype(np.float64)
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    agree = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
    return float(np.abs(found - expected).max()), agree


def row(name: str, shape: tuple[int, int], repeats: int, tolerance: float) -> None:
    """Runs one case and prints its line."""
    table, classes = features(*shape)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(table, classes))
    problem = Problem("softmax", CLASSES, STRENGTHS)
    few = [(np.arange(100), np.arange(100, 200))]
    solve(problem, table[:200], classes[:200], folds=few, standardise="whole")  # warm up
    runs: list[tuple[Any, ...]] = []
    for _ in range(repeats):
        ours = timed(lambda: solve(problem, table, classes, folds=folds, standardise="whole"))
        theirs = [
            timed(partial(peer, table, classes, folds, tolerance, threads)) for threads in (None, 1)
        ]
        runs.append((ours, *theirs))
    seconds = [statistics.median(run[side][0] for run in runs) for side in range(3)]
    ratios = [statistics.median(run[side][0] / run[0][0] for run in runs) for side in (1, 2)]
    used = statistics.median(run[2][1] / run[0][1] for run in runs)
    solution, chosen = runs[-1][0][2], float(np.ravel(runs[-1][1][2].C_)[0])
    apart, agree = agreement(solution, table, classes)
    print(
        f"{name:16} {tolerance:6.0e} {seconds[0]:8.3f} {seconds[1]:9.2f} {seconds[2]:9.2f}"
        f" {ratios[0]:7.1f} {ratios[1]:8.1f} {used:6.1f} {solution.strength:9.4g} {chosen:9.4g}"
        f" {apart:9.1e} {agree:8.2%}",
        flush=True,
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the small case, one repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--tight", action="store_true", help="also scikit-learn at tolerance 1e-6 (slow)"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        f"{'rows x features':16} {'sk tol':>6} {'ours s':>8} {'as comes':>9} {'1 thread':>9} {'ratio':>7}"
        f" {'ratio 1t':>8} {'cpu 1t':>6} {'our C':>9} {'their C':>9} {'max |dp|':>9} {'labels':>8}"
    )
    for name, shape in list(CASES.items())[: 1 if asked.quick else None]:
        for tolerance in (1e-4, 1e-6) if asked.tight else (1e-4,):
            row(name, shape, 1 if asked.quick else asked.repeats, tolerance)


if __name__ == "__main__":
    main()
