"""Choosing a linear head's strength: `headstart.engine.solve` against scikit-learn's LogisticRegressionCV.

    python benchmarks/head_choice.py            # both cases, three paired repeats
    python benchmarks/head_choice.py --quick    # the small case, one repeat

Ten strengths by five stratified folds, log loss, standardised features. Features are rectified random
projections of clustered Gaussians: a decaying spectrum, as trunks give. Each repeat runs the two
sides one after the other on the same machine, and the ratio is the median over repeats.

scikit-learn runs lbfgs with at most 5,000 iterations a fit: at its default tolerance (1e-4), where it stops
early at weak regularisation, and with --tight also at 1e-6, where its scores settle. It runs on float32
and on float64 features, and the faster is compared; with one BLAS thread, on the machines tried its faster
setting. It is given features standardised once over all rows, which spares it our standardisation
inside each fold. Seconds are wall clock; the second ratio is of processor time, which other work on the
machine disturbs less. Probabilities are compared with a scikit-learn fit on float64 at tolerance 1e-8.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from headstart.core.problem import Problem
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


def peer(table: np.ndarray, classes: np.ndarray, folds: list[Any], tolerance: float) -> Any:
    """LogisticRegressionCV on standardised features."""
    model = LogisticRegressionCV(
        Cs=list(STRENGTHS), cv=folds, max_iter=5000, tol=tolerance, scoring="neg_log_loss"
    )
    with threadpool_limits(1):
        return model.fit(StandardScaler().fit_transform(table), classes)


def row(name: str, shape: tuple[int, int], repeats: int, tolerances: tuple[float, ...]) -> None:
    """Runs one case and prints a line per tolerance of scikit-learn."""
    table, classes = features(*shape)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(table, classes))
    problem = Problem("softmax", CLASSES, STRENGTHS)
    solve(
        problem, table[:200], classes[:200], folds=[(np.arange(100), np.arange(100, 200))]
    )  # warm up
    for tolerance in tolerances:
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(timed(lambda: solve(problem, table, classes, folds=folds)))
            fits = [
                timed(partial(peer, table.astype(kind), classes, folds, tolerance))
                for kind in (np.float32, np.float64)
            ]
            theirs.append(min(fits, key=lambda fit: fit[1]))
        solution, model = ours[-1][2], theirs[-1][2]
        pairs = list(zip(ours, theirs, strict=True))
        ratio, used = (statistics.median(b[side] / a[side] for a, b in pairs) for side in (0, 1))
        mine, peers = (statistics.median(run[0] for run in runs) for runs in (ours, theirs))
        exact = StandardScaler().fit_transform(table.astype(np.float64))
        with threadpool_limits(1):
            truth = LogisticRegression(C=solution.strength, tol=1e-8, max_iter=20_000)
            expected = truth.fit(exact, classes).predict_proba(exact)
        logits = solution.logits(table).astype(np.float64)
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
        agree = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
        chosen = float(np.ravel(model.C_)[0])
        print(
            f"{name:16} {tolerance:8.0e} {mine:9.3f} {peers:9.2f}"
            f" {ratio:7.1f} {used:7.1f} {solution.strength:10.4g} {chosen:10.4g}"
            f" {np.abs(found - expected).max():9.1e} {agree:8.2%}",
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
        f"{'rows x features':16} {'sk tol':>8} {'ours s':>9} {'sklearn s':>9} {'ratio':>7} {'cpu':>7}"
        f" {'our C':>10} {'their C':>10} {'max |dp|':>9} {'labels':>8}"
    )
    for name, shape in list(CASES.items())[: 1 if asked.quick else None]:
        tolerances = (1e-4, 1e-6) if asked.tight else (1e-4,)
        row(name, shape, 1 if asked.quick else asked.repeats, tolerances)


if __name__ == "__main__":
    main()
