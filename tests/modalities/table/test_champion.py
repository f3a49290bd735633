"""The champions read levels and gaps, also those that training never had."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.modalities import _simple
from headstart.modalities.table import champion

FIELDS = (Field("age", "number"), Field("city", "category"))
RNG = np.random.default_rng(0)
CITIES = RNG.choice(["Oslo", "Lima", "Cairo"], 120)
ROWS = [
    {"age": None if i % 9 == 0 else float(RNG.normal(40, 10)), "city": str(c)}
    for i, c in enumerate(CITIES)
]


@pytest.mark.parametrize("model", champion.CHAMPIONS, ids=lambda m: m.name)
def test_a_level_that_decides_is_found(model) -> None:  # type: ignore[no-untyped-def]
    targets = (CITIES == "Lima").astype(int)
    predict = model.fit(ROWS[:80], FIELDS, targets[:80], outcome="classify", seed=0)
    assert (predict(ROWS[80:]).argmax(1) == targets[80:]).all()
    strange = predict([{"age": None, "city": "Rome"}, {"age": 41.0, "city": None}])
    assert strange.shape == (2, 2)
    assert np.isfinite(strange).all()


@pytest.mark.parametrize("model", champion.CHAMPIONS, ids=lambda m: m.name)
def test_a_number_that_decides_is_found(model) -> None:  # type: ignore[no-untyped-def]
    targets = np.array([s["age"] or 40.0 for s in ROWS]) * 2.0
    predict = model.fit(ROWS[:80], FIELDS, targets[:80], outcome="regress", seed=0)
    error = ((predict(ROWS[80:]) - targets[80:]) ** 2).mean()
    assert error < 0.3 * targets[80:].var()


def test_a_class_with_one_row_does_not_break_the_search() -> None:
    targets = np.zeros(80, int)
    targets[0], targets[1:40] = 2, 1
    predict = champion.fit_trees(ROWS[:80], FIELDS, targets, outcome="classify", seed=0)
    assert predict(ROWS[80:]).shape == (40, 3)


@pytest.mark.parametrize("model", champion.CHAMPIONS, ids=lambda m: m.name)
def test_settings_are_chosen_though_a_class_has_one_row(model) -> None:  # type: ignore[no-untyped-def]
    targets = np.zeros(80, int)
    targets[0], targets[1:40] = 2, 1
    assert model.fit(ROWS[:80], FIELDS, targets, outcome="classify", seed=0).settings


def test_a_class_with_one_row_does_not_break_early_stopping() -> None:
    rows = [ROWS[i % len(ROWS)] for i in range(_simple.FEW_ROWS + 20)]
    targets = np.arange(len(rows)) % 2
    targets[0] = 2
    predict = champion.fit_trees(rows, FIELDS, targets, outcome="classify", seed=0)
    assert predict(rows[:5]).shape == (5, 3)


@pytest.mark.parametrize("model", champion.CHAMPIONS, ids=lambda m: m.name)
def test_given_settings_are_not_searched_again(model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    targets = (CITIES == "Lima").astype(int)
    first = model.fit(ROWS[:80], FIELDS, targets[:80], outcome="classify", seed=0)
    assert first.settings

    def searched(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(_simple, "GridSearchCV", searched)
    again = model.fit(
        ROWS[:80], FIELDS, targets[:80], outcome="classify", seed=0, settings=first.settings
    )
    np.testing.assert_allclose(first(ROWS[80:]), again(ROWS[80:]))
