"""The statistics below the checks, against figures known from elsewhere or by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from headstart.evidence import _paired, _resample, _temperature
from headstart.evidence._interval import quantile, scale_interval, share_interval, wilson
from headstart.evidence.accuracy import _bootstrapped


def test_wilson_agrees_with_scipy() -> None:
    for right, rows in ((0, 20), (7, 20), (20, 20), (812, 1000)):
        known = stats.binomtest(right, rows).proportion_ci(method="wilson")
        assert wilson(right / rows, rows) == pytest.approx((known.low, known.high), abs=1e-12)


def test_quantiles_are_those_of_student_and_normal() -> None:
    assert quantile(4.0) == pytest.approx(stats.t.ppf(0.975, 4))
    assert quantile(float("inf"), 0.9) == pytest.approx(stats.norm.ppf(0.95))


def test_a_share_without_variance_keeps_a_width() -> None:
    low, high = share_interval(1.0, 0.0, size=40)
    assert high == 1.0
    assert 0.85 < low < 0.95


def test_a_scale_never_reaches_zero() -> None:
    low, high = scale_interval(0.1, 0.2, df=5)
    assert 0 < low < 0.1 < high


def test_a_single_seed_is_agresti_min_with_whole_rows() -> None:
    gained, lost, rows = 9, 3, 60
    first = np.r_[np.ones(gained), np.zeros(lost), np.ones(rows - gained - lost)][None]
    second = np.r_[np.zeros(gained), np.ones(lost), np.ones(rows - gained - lost)][None]
    found = _paired.difference(first, second)
    centre = (gained - lost) / (rows + 2)
    variance = (gained + lost + 2 - (rows + 2) * centre**2) / (rows + 2) ** 2
    assert found.value == pytest.approx(0.1)
    assert (found.centre, found.error) == pytest.approx((centre, variance**0.5))


def test_components_of_variance_are_unbiased() -> None:
    """The mean estimated variance of the difference meets the variance over fresh worlds."""
    rng = np.random.default_rng(0)
    values, variances = [], []
    for _ in range(1500):
        rows = rng.normal(size=80)
        arms = [
            0.5 * rows
            + rng.normal(size=80) * 0.3
            + rng.normal(size=(s, 1)) * 0.1
            + rng.normal(size=(s, 80))
            for s in (3, 5)
        ]
        found = _paired.difference(*arms)
        values.append(found.value)
        variances.append(found.error**2)
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.15)


def test_rows_that_come_in_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 10)
    first = (rng.random((1, 20)) < 0.8).astype(float)[:, groups]
    second = (rng.random((1, 20)) < 0.6).astype(float)[:, groups]
    assert (
        _paired.difference(first, second, groups=groups).error
        > 2 * _paired.difference(first, second).error
    )


def test_groups_of_one_row_change_nothing() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 3, 90)) < 0.7).astype(float)
    alone = _paired.difference(first, second)
    grouped = _paired.difference(first, second, groups=np.arange(90))
    assert alone.interval() == pytest.approx(grouped.interval())


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    steady = (rng.random((1, 500)) < 0.8).astype(float).repeat(3, axis=0)
    moved = steady.copy()
    moved[1, :60] = 0
    moved[2, 60:90] = 0
    base = (rng.random((1, 500)) < 0.7).astype(float)
    assert _paired.difference(moved, base).error > 1.3 * _paired.difference(steady, base).error


def test_bootstrap_meets_the_binomial_error() -> None:
    right = (np.arange(400) < 300).astype(np.float64)
    columns = _resample.onehot(np.where(right > 0, 1, 0), 2)
    value, error, _ = _resample.spreads(
        columns, lambda sums: (sums[:, 1] / sums.sum(axis=1))[:, None, None], groups=None, seed=0
    )
    assert value[0] == pytest.approx(0.75)
    assert error[0] == pytest.approx((0.75 * 0.25 / 400) ** 0.5, rel=0.08)


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 4, 200)
    told = np.where(rng.random(200) < 0.6, truth, rng.integers(0, 4, 200))
    values, _, _ = _bootstrapped(told[None], truth, 4, groups=None, seed=0)
    known = metrics.precision_recall_fscore_support(truth, told)[:3]
    assert values[4:] == pytest.approx(np.concatenate(known))
    assert values[:4] == pytest.approx(
        [known[1].mean(), known[0].mean(), known[1].mean(), known[2].mean()]
    )


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(4000, 3)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (honest.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    value, low, high = _temperature.fit(_temperature.scaled(honest, 2.5), truth)
    assert low < 0.4 < high
    assert value == pytest.approx(0.4, rel=0.1)


def test_a_difference_of_shares_lies_within_all_and_nothing():
    """Two groups allow hardly any statement; what is said is possible all the same."""
    first, second = np.array([[1.0, 1, 1, 0, 0, 0]]), np.array([[0.0, 0, 0, 1, 1, 1]])
    groups = np.array([0, 0, 0, 1, 1, 1])
    wide = _paired.difference(first, second, groups=groups)
    found = _paired.difference(first, second, groups=groups, most=1.0)
    assert wide.interval()[1] > 1
    assert found.interval() == (-1.0, 1.0)
    assert found.detectable() == 1.0
