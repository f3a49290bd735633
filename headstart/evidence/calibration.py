"""Whether probabilities mean what they say, before and after temperature scaling.

Expected calibration error (Naeini et al. 2015) of the predicted class over 15 bins of equal mass:
sum over bins of n_k / n |share right - mean confidence|. The plain error is above zero even for a
perfectly calibrated model, so each bin's absolute gap g with standard error s is corrected by
E|N(g, s)| - |g| (Kumar et al. 2019, "Verified uncertainty calibration"); about half of the bias remains,
and what a perfectly calibrated model would show on the same rows stands beside it. Brier score
(Brier 1950): mean over rows of sum_c (p_c - 1[y = c])^2; NLL: mean -log p_y in nats, p at least 1e-12.
After: the same with the one temperature fitted on validation rows (Guo et al. 2017). Numbers are means
over seeds; intervals cover seeds and test rows or groups, the bins held.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse, special

from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence import _resample, _temperature
from headstart.evidence._interval import ordinal, quantile, wilson
from headstart.evidence._scores import estimate, outputs

NEEDS = ("validation",)
OUTCOMES = ("classify",)

_BINS = 15


def check(case: Case) -> Finding:
    """Measures the transfer arm's probabilities on the test rows."""
    told = outputs(case, case.arms["transfer"])
    told = told / np.maximum(told.sum(axis=2, keepdims=True), _temperature.SMALLEST)
    measures = [*_scores(case, told, ""), *_prior(case)]
    exhibits = [
        _reliability(
            case, told, name="reliability", title="How often it is right when it is so sure"
        )
    ]
    missing: tuple[tuple[str, str], ...] = ()
    known = np.asarray(case.validation_targets).astype(np.int64)
    if len(known):
        best, low, high = _temperature.fit(
            np.asarray(case.validation_outputs, dtype=np.float64), known
        )
        words = "negative log-likelihood of validation rows minimised; interval from its curvature"
        measures.append(
            Measure("temperature", 1 / best, 1 / high, 1 / low, len(known), "", "1", words)
        )
        after = _temperature.scaled(told, best)
        measures += _scores(case, after, " after temperature scaling")
        title = "The same after temperature scaling"
        exhibits.append(_reliability(case, after, name="reliability after scaling", title=title))
    else:
        missing = (
            ("calibration after temperature scaling", "there are no validation rows to fit it on"),
        )
    return Finding("calibration", tuple(measures), tuple(exhibits), missing)


def _scores(case: Case, told: np.ndarray, suffix: str) -> list[Measure]:
    """Calibration error, its floor, Brier score, NLL of probabilities (seeds, rows, classes)."""
    targets = np.asarray(case.targets).astype(np.int64)
    truth = np.eye(told.shape[2])[targets]
    right = told[:, np.arange(len(targets)), targets]
    losses = {
        "Brier score": ((told - truth[None]) ** 2).sum(axis=2),
        "negative log-likelihood": -np.log(np.maximum(right, _temperature.SMALLEST)),
    }
    measures = [*_errors(case, told, targets, suffix=suffix)]
    for name, rows in losses.items():
        value, low, high, method = estimate(rows, ordinal(case.groups), positive=True)
        unit = "nats" if name.startswith("negative") else ""
        measures.append(Measure(name + suffix, value, low, high, len(targets), unit, "", method))
    return measures


def _binned(told: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, right or wrong, and bin of equal mass from 0: each (seeds, rows)."""
    confidence = told.max(axis=2)
    right = (told.argmax(axis=2) == targets[None, :]).astype(np.float64)
    rank = confidence.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    bins = rank * min(_BINS, len(targets)) // len(targets)
    return confidence, right, bins


def _errors(case: Case, told: np.ndarray, targets: np.ndarray, *, suffix: str) -> list[Measure]:
    """Calibration error without most of its bias, and the error of a perfectly calibrated model."""
    confidence, right, bins = _binned(told, targets)
    seeds, rows = confidence.shape
    count = int(bins.max()) + 1
    held = [_resample.onehot(b, count) for b in bins]
    gaps = [
        h.multiply((r - c)[:, None]).tocsr()
        for h, r, c in zip(held, right, confidence, strict=True)
    ]
    columns = sparse.hstack([sparse.csr_matrix(np.ones((rows, 1))), *gaps], format="csr")

    def score(sums: np.ndarray) -> np.ndarray:
        parts = np.abs(sums[:, 1:]).reshape(len(sums), seeds, count).sum(axis=2)
        return np.asarray(parts / sums[:, :1])[:, :, None]

    groups = ordinal(case.groups)
    plain, error, freedom = _resample.spreads(columns, score, groups=groups, seed=case.seed)
    bias = float(np.mean([_bias(h, c, r) for h, c, r in zip(held, confidence, right, strict=True)]))
    value = max(0.0, float(plain[0]) - bias)
    half = quantile(float(freedom[0])) * float(error[0])
    low, high = max(0.0, value - half), min(1.0, value + half)
    if half <= 0:
        high = wilson(value, rows)[1]
    words = (
        f"15 bins of equal mass, mean of {seeds} seed(s); plain error {plain[0]:.4f} less its estimated bias "
        f"{bias:.4f}; interval by bootstrap with the bins held"
    )
    name = "expected calibration error" + suffix
    found = Measure(name, value, low, high, rows, "share", "a perfectly calibrated model", words)
    return [found, *([] if suffix else _floor(confidence, bins, seed=case.seed))]


def _bias(held: sparse.csr_matrix, confidence: np.ndarray, right: np.ndarray) -> float:
    """Estimated bias of the plain error of one seed, by the mean of a folded normal."""
    sizes = np.asarray(held.sum(axis=0)).ravel()
    share = held.T @ right / sizes
    gap = np.abs(share - held.T @ confidence / sizes)
    error = np.sqrt(share * (1 - share) / sizes)
    safe = np.maximum(error, 1e-12)
    folded = safe * math.sqrt(2 / math.pi) * np.exp(-(gap**2) / (2 * safe**2))
    folded += gap * (1 - 2 * special.ndtr(-gap / safe))
    return float((np.where(error > 0, folded - gap, 0.0) * sizes).sum() / sizes.sum())


def _floor(confidence: np.ndarray, bins: np.ndarray, *, seed: int) -> list[Measure]:
    """Plain error that a perfectly calibrated model with these confidences would show; inferred.

    None where every confidence is 1: such a model would show none.
    """
    rows = confidence.shape[1]
    noise = np.sqrt(np.bincount(bins[0], weights=confidence[0] * (1 - confidence[0])))
    if not noise.sum() > 0:
        return []
    drawn = np.abs(
        np.random.default_rng(seed).normal(size=(_resample.RESAMPLES, len(noise))) * noise
    )
    shown = drawn.sum(axis=1) / rows
    low, high = (float(x) for x in np.quantile(shown, [0.025, 0.975]))
    floor = Measure(
        name="plain calibration error of a perfectly calibrated model",
        value=float(shown.mean()),
        low=low,
        high=high,
        n=rows,
        unit="share",
        baseline="",
        method="labels drawn from the first seed's own confidences, normal approximation in each bin",
        basis="inferred",
    )
    return [floor]


def _prior(case: Case) -> list[Measure]:
    """NLL of naming always the class shares of the validation rows (half a row added to each class)."""
    known = np.asarray(case.validation_targets).astype(np.int64)
    if not len(known):
        return []
    shares = np.bincount(known, minlength=len(case.classes)) + 0.5
    shares = shares / shares.sum()
    rows = -np.log(shares[np.asarray(case.targets).astype(np.int64)])[None, :]
    value, low, high, method = estimate(rows, ordinal(case.groups), positive=True)
    name = "negative log-likelihood of the class shares"
    words = f"the same class shares, of the validation rows, for every row; {method}"
    return [Measure(name, value, low, high, len(case.targets), "nats", "", words)]


def _reliability(case: Case, told: np.ndarray, *, name: str, title: str) -> Exhibit:
    """Mean confidence against share right in each bin; seeds pooled, intervals as for one seed."""
    confidence, right, bins = _binned(told, np.asarray(case.targets))
    flat = bins.ravel()
    sizes = np.bincount(flat)
    x = np.bincount(flat, weights=confidence.ravel()) / sizes
    y = np.bincount(flat, weights=right.ravel()) / sizes
    each = sizes / len(told)
    ends = [wilson(float(share), float(size)) for share, size in zip(y, each, strict=True)]
    data = {
        "x": x.tolist(),
        "y": y.tolist(),
        "n": np.round(each).astype(int).tolist(),
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "x_label": "confidence",
        "y_label": "share right",
        "diagonal": True,
    }
    return Exhibit(name, "curve", title, data)
