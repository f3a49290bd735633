"""Plain statistics of a series: level, spread, form, roughness, memory, spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

LAGS = (1, 2, 5, 10)
BANDS = 8
TINY = 1e-9


def matrix(series: Sequence[np.ndarray]) -> np.ndarray:
    """Series (T, C) without gaps -> (N, D): the length, and the figures of each channel."""
    return np.stack([np.concatenate([[len(s)], *(_figures(c) for c in s.T)]) for s in series])


def _figures(values: np.ndarray) -> np.ndarray:
    """Of one channel (T,)."""
    mean, spread = values.mean(), values.std()
    unit = (values - mean) / max(spread, TINY) if spread > TINY else 0.0 * values
    steps = np.diff(unit) if len(unit) > 1 else np.zeros(1)
    places = np.linspace(-1.0, 1.0, len(unit))
    form = [
        mean,
        np.log(spread + TINY),
        *np.quantile(values, (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)),
        (unit**3).mean(),
        (unit**4).mean(),
        np.abs(steps).mean(),
        steps.std(),
        (steps[1:] * steps[:-1] < 0).mean() if len(steps) > 1 else 0.0,
        (unit[1:] * unit[:-1] < 0).mean() if len(unit) > 1 else 0.0,
        (unit * places).mean(),
        places[int(unit.argmax())],
        places[int(unit.argmin())],
    ]
    memory = [(unit[lag:] * unit[:-lag]).mean() if len(unit) > lag else 0.0 for lag in LAGS]
    return np.array([*form, *memory, *_spectrum(unit)])


def _spectrum(unit: np.ndarray) -> list[float]:
    """Log share of the energy in bands that double in width, and the middle of the spectrum."""
    energy = np.abs(np.fft.rfft(unit))[1:] ** 2
    total = float(energy.sum())
    if total <= TINY:
        return [0.0] * (BANDS + 1)
    edges = np.unique(np.geomspace(1, len(energy) + 1, BANDS + 1).astype(int)) - 1
    parts = [float(energy[a:b].sum()) / total for a, b in pairwise(edges)]
    parts += [0.0] * (BANDS - len(parts))
    middle = float((energy * np.arange(len(energy))).sum() / total / len(energy))
    return [*np.log(np.array(parts) + 1e-6).tolist(), middle]
