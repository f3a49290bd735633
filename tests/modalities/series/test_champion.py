"""The simple models: planted forms are found; MiniRocket is the published one; ridge is exact."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from headstart.core.dataset import Field
from headstart.modalities.series import _minirocket, _ridge, _statistics, champion, read, tiny

A = Field("a", "bytes")

CLASSIFIERS = [c for c in champion.CHAMPIONS if "classify" in c.outcomes]


def waves(rows: int, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    rng, made = np.random.default_rng(seed), []
    for row in range(rows):
        steps = int(rng.integers(30, 60))
        time = np.arange(steps) / steps * rng.uniform(2, 4) + rng.uniform()
        values = tiny.wave(tiny.FORMS[row % 3], time) + 0.1 * rng.normal(size=steps)
        made.append({"a": read.load(values, A, Path("/"))})
    return made, np.arange(rows) % 3


@pytest.mark.parametrize("one", CLASSIFIERS, ids=lambda c: c.name)
def test_planted_forms_are_found(one: Any) -> None:
    rows, targets = waves(45, 0)
    new, expected = waves(30, 1)
    said = one.fit(rows, [A], targets, outcome="classify", seed=0)(new)
    assert (said.argmax(1) == expected).mean() >= 0.9


@pytest.mark.parametrize("one", CLASSIFIERS, ids=lambda c: c.name)
def test_a_planted_number_is_found(one: Any) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.uniform(2, 6, 80)
    cells = [np.sin(np.linspace(0, 6.28 * n, 50) + rng.uniform(0, 6)) for n in numbers]
    rows = [{"a": read.load(c, A, Path("/"))} for c in cells]
    said = one.fit(rows[:60], [A], numbers[:60], outcome="regress", seed=0)(rows[60:])
    assert np.abs(said - numbers[60:]).mean() < 0.3 * numbers.std()


def test_features_are_those_of_the_plain_definition() -> None:
    """Each feature is the share of steps at which the dilated filter's response exceeds its bias."""
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(n, 2)) for n in (40, 40, 33, 5)]
    pairs = _minirocket.fit(series, 0, features=168)
    found = _minirocket.transform(series, pairs)
    at = 0
    for pair in pairs:
        weight = np.full(9, -1.0)
        weight[_minirocket.TRIPLES[pair.filter]] = 2.0
        for row, one in enumerate(series):
            summed = one[:, pair.channels].sum(1)
            reach = 4 * pair.dilation
            wide = np.pad(summed, reach)
            response = np.array(
                [wide[t : t + 2 * reach + 1 : pair.dilation] @ weight for t in range(len(summed))]
            )
            inner = response[reach : len(response) - reach]
            used = response if pair.padded or not len(inner) else inner
            least, most = ((used[:, None] > pair.biases + e).mean(0) for e in (1e-4, -1e-4))
            share = found[
                row, at : at + len(pair.biases)
            ]  # a bias may be a response: then rounding says
            assert (least - 1e-6 <= share).all()
            assert (share <= most + 1e-6).all()
        at += len(pair.biases)
    assert at == found.shape[1] == 168


@pytest.mark.parametrize("length", [4, 9, 24, 150, 1460])
def test_features_are_as_many_as_the_authors_have(length: int) -> None:
    dilations, counts = _minirocket._dilations(length, _minirocket.FEATURES)
    assert counts.sum() * 84 == 9_996
    assert dilations[0] == 1
    assert dilations[-1] <= max(1, (length - 1) / 8)


def test_left_out_predictions_are_those_of_leaving_out() -> None:
    """The closed form chooses the penalty that fitting once for every row would choose."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 40))
    targets = rows[:, 0] + rng.normal(size=20)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    unit = np.trace(scaled @ scaled.T) / 20
    errors = []
    for penalty in _ridge.PENALTIES:
        model = Ridge(alpha=penalty * unit)
        said = cross_val_predict(model, scaled, targets, cv=LeaveOneOut())
        errors.append(((said - targets) ** 2).mean())
    made = _ridge.fit(rows, targets, classes=0)
    assert made.penalty == pytest.approx(_ridge.PENALTIES[int(np.argmin(errors))])
    whole = Ridge(alpha=made.penalty * unit).fit(scaled, targets)
    assert made(rows) == pytest.approx(whole.predict(scaled), abs=1e-8)


@pytest.mark.parametrize("steps", [1, 2, 3, 12, 500])
def test_statistics_of_any_length_are_finite_and_alike_in_number(steps: int) -> None:
    rng = np.random.default_rng(0)
    found = _statistics.matrix([rng.normal(size=(steps, 2)), np.ones((steps, 2))])
    assert found.shape == _statistics.matrix([rng.normal(size=(7, 2))] * 2).shape
    assert np.isfinite(found).all()


def test_gunpoint_is_learned_as_published() -> None:
    """Published for MiniRocket: 0.99 (arXiv:2012.08791, its results by set)."""
    path = Path(os.environ.get("HEADSTART_DATA", "")) / "ucr" / "GunPoint.npz"
    if not os.environ.get("HEADSTART_DATA") or not path.is_file():
        pytest.skip("HEADSTART_DATA names no folder with ucr")
    found = read.gather(path, None)
    assert found is not None
    columns = found.columns
    train = np.array([p == "train" for p in columns["split"]])
    rows = [{"a": read.load(v, A, path)} for v in columns["values"]]
    labels = (np.array(columns["label"]) == "2").astype(int)
    fitted = champion.fit_minirocket(
        [r for r, t in zip(rows, train, strict=True) if t],
        [A],
        labels[train],
        outcome="classify",
        seed=0,
    )
    said = fitted([r for r, t in zip(rows, train, strict=True) if not t])
    assert (said.argmax(1) == labels[~train]).mean() >= 0.97
