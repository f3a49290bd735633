"""Accuracy, regression, calibration, prediction intervals: planted faults are found, clean cases pass."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from headstart.core.evidence import Arm, Case
from headstart.evidence import accuracy, calibration, interval_coverage, regression
from headstart.evidence._scores import estimate, scores
from tests.evidence import cases
from tests.evidence.cases import measure


def test_accuracy_lies_in_its_interval_and_beats_the_majority() -> None:
    found = accuracy.check(cases.classify(rows=600))
    right, common = measure(found, "accuracy"), measure(found, "share of the most frequent class")
    assert right.low is not None and right.high is not None and common.high is not None
    assert right.low < 0.85 < right.high
    assert right.low > common.high


def test_a_class_that_is_never_recognised_is_found() -> None:
    case = cases.classify(rows=300, seeds=1)
    told = case.arms["transfer"].outputs.copy()
    told[:, case.targets == 2] = [0.7, 0.2, 0.1]
    found = accuracy.check(replace(case, arms={"transfer": Arm("transfer", told, np.ones(1))}))
    lost = measure(found, "recall", "wasp")
    assert lost.value == 0
    assert lost.high is not None and lost.high < 0.1
    clean = measure(accuracy.check(case), "recall", "wasp")
    assert clean.low is not None and clean.low > 0.6


def test_the_matrix_counts_every_row() -> None:
    (exhibit,) = accuracy.check(cases.classify(rows=300, seeds=1)).exhibits
    assert np.sum(exhibit.data["counts"]) == 300
    assert exhibit.data["labels"] == list(cases.CLASSES)


def test_classes_absent_from_the_test_are_listed_as_missing() -> None:
    case = cases.classify(rows=300)
    found = accuracy.check(replace(case, targets=case.targets % 2))
    assert ("scores of class 'wasp'", "no test row has it") in found.missing


def test_a_hundred_classes_on_ten_thousand_rows_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 100, 10_000)
    told = rng.random((1, 10_000, 100))
    told[:, np.arange(10_000), truth] += 1
    arms = {"transfer": Arm("transfer", told, np.ones(1))}
    names = tuple(f"class {i}" for i in range(100))
    began = time.process_time()
    accuracy.check(
        Case("classify", names, truth, arms, truth[:9], told[0, :9], cases.score("classify"))
    )
    assert time.process_time() - began < 5  # about one where nothing else runs


def test_regression_meets_the_planted_error_and_beats_a_constant() -> None:
    found = regression.check(cases.regress(rows=500, noise={"transfer": 0.5}))
    for name, true in (("R2", 0.75), ("MAE", 0.399), ("RMSE", 0.5)):
        m = measure(found, name)
        assert m.low is not None and m.high is not None
        assert m.low < true < m.high
    constant = measure(found, "RMSE of predicting the mean")
    own = measure(found, "RMSE")
    assert own.high is not None and constant.low is not None and own.high < constant.low


def test_a_useless_regression_is_no_better_than_its_constant() -> None:
    found = regression.check(cases.regress(noise={"transfer": 1.1}))
    r2 = measure(found, "R2")
    assert r2.high is not None and r2.high < 0.2


def test_overconfidence_is_found_and_mended_and_honesty_passes() -> None:
    sure = calibration.check(cases.classify(rows=1500, sure=0.12))
    honest = calibration.check(cases.classify(rows=1500))
    name = "expected calibration error"
    planted, clean, mended = (
        measure(sure, name),
        measure(honest, name),
        measure(sure, name + " after temperature scaling"),
    )
    assert planted.low is not None and planted.low > 0.05
    assert clean.low is not None and clean.low < 0.02
    assert mended.value < 0.75 * planted.value
    assert measure(sure, "temperature").value > 1.2
    temperature = measure(honest, "temperature")
    assert temperature.low is not None and temperature.high is not None
    assert temperature.low < 1.1 and temperature.high > 0.9


def test_scaling_lowers_the_likelihood_loss_of_an_overconfident_model() -> None:
    found = calibration.check(cases.classify(rows=1500, sure=0.12))
    name = "negative log-likelihood"
    assert measure(found, name + " after temperature scaling").value < measure(found, name).value


def test_the_reliability_curve_has_an_interval_at_every_point() -> None:
    curve = calibration.check(cases.classify(rows=600)).exhibits[0].data
    assert len(curve["x"]) == 15
    assert sum(curve["n"]) == 600
    assert all(
        low < y < high or y in (low, high)
        for low, y, high in zip(curve["low"], curve["y"], curve["high"], strict=True)
    )


def test_prediction_intervals_hold_when_clean_and_fail_when_errors_grew() -> None:
    name = "coverage of 90 % intervals"
    clean = measure(interval_coverage.check(cases.regress(rows=600)), name)
    grown = measure(interval_coverage.check(cases.regress(rows=600, drift=2.0)), name)
    assert clean.low is not None and grown.high is not None
    assert clean.low < 0.935 and clean.value > 0.86  # 200 residuals alone give 0.855 to 0.938
    assert grown.high < 0.8


def test_too_few_validation_rows_give_no_interval() -> None:
    case = cases.regress()
    few = replace(
        case,
        validation_targets=case.validation_targets[:5],
        validation_outputs=case.validation_outputs[:5],
    )
    found = interval_coverage.check(few)
    assert not found.measures
    assert found.missing[0][0] == "coverage of 90 % intervals"


@pytest.mark.parametrize("grouped", [False, True])
def test_accuracy_intervals_cover_the_truth(grouped: bool) -> None:
    covered = 0
    for seed in range(150):
        case = cases.classify(
            rows=100, seeds=1 if not grouped else 3, accuracies={"transfer": 0.8}, seed=seed
        )
        groups = np.repeat(np.arange(25), 4) if grouped else None
        found = scores(case, case.arms["transfer"])
        _, low, high, _ = estimate(found, groups, share=True)
        covered += low <= 0.8 <= high
    assert covered >= 0.9 * 150
