"""The champions read levels and gaps, also those that training never had."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.core.dataset import Field
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
