"""Curves by formula: a class keeps its shape, however it is run through."""

from __future__ import annotations

import numpy as np
import torch

from headstart.generators.curves import Curves
from tests.generators.learn import share_right


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _likeness(series: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Correlations (rows, others)."""
    return series @ others.T / series.shape[1]


def test_shapes_and_ranges() -> None:
    series, labels = Curves(100, classes=7).draw(50, _rng())
    assert series.shape == (50, 100) and series.dtype == torch.float32
    assert labels.shape == (50, 1)
    torch.testing.assert_close(series.mean(1), torch.zeros(50), atol=1e-5, rtol=0)
    torch.testing.assert_close(series.std(1), torch.ones(50))


def test_without_hardness_a_curve_is_always_the_same() -> None:
    series, labels = Curves(128, classes=5).draw(60, _rng(), hardness=0.0)
    alike = _likeness(series.numpy(), series.numpy())
    same = labels == labels.T
    assert alike[same.numpy()].min() > 0.98
    assert alike[~same.numpy()].max() < 0.95


def test_a_hard_one_is_still_most_like_its_own_class() -> None:
    maker = Curves(128, classes=40)
    series, labels = maker.draw(400, _rng(1))
    clean, known = maker.draw(2000, _rng(2), hardness=0.0)
    first = [int((known[:, 0] == c).nonzero()[0, 0]) for c in range(40)]
    nearest = _likeness(series.numpy(), clean[first].numpy()).argmax(1)
    assert share_right(nearest, labels[:, 0].numpy()) > 0.25  # one in forty by chance
    assert _likeness(series.numpy(), series.numpy())[(labels == labels.T).numpy()].min() < 0.7


def test_a_curve_is_never_run_through_backwards() -> None:
    maker = Curves(200)
    places = maker._places(100, _rng(), 1.0)
    assert (places[:, 1:] >= places[:, :-1]).all()
    assert places.min() >= 0 and places.max() <= 1
    even = maker._places(3, _rng(), 0.0)
    torch.testing.assert_close(even, torch.linspace(0, 1, 200).expand(3, -1), atol=1e-5, rtol=0)


def test_the_seed_fixes_the_classes() -> None:
    one, two, other = (Curves(64, classes=3, seed=s)._curves for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
