"""Variations of a series that keep its class: Um et al. 2017 (arXiv:1706.00527), Le Guennec et al. 2016."""

from __future__ import annotations

import numpy as np

from headstart.modalities.series import _signal

CHANCE = 0.5
NOISE = 0.05
"""Deviation of the noise, where a series has about 1."""
SCALING = 0.1
KNOTS = 4
WARP = 0.2
"""Deviation of the local speed of time."""
WINDOW = 0.9
"""Share of the steps that a window keeps, at least."""


def jitter(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, C) with noise on every value."""
    return np.asarray(values + rng.normal(0.0, NOISE, values.shape))


def scaling(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, C), each channel a little larger or smaller."""
    return np.asarray(values * rng.normal(1.0, SCALING, values.shape[1]))


def time_warp(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, C) read at a speed that changes smoothly; first and last step stay."""
    steps = len(values)
    knots = np.linspace(0, steps - 1, KNOTS)
    speed = np.exp(np.interp(np.arange(steps), knots, rng.normal(0.0, WARP, KNOTS)))
    path = np.cumsum(speed) - speed[0]
    return _read(values, path / path[-1] * (steps - 1) if path[-1] > 0 else path)


def window_slice(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, C): a part of the series, stretched to its length."""
    steps = len(values)
    part = rng.uniform(WINDOW, 1.0) * (steps - 1)
    start = rng.uniform(0.0, steps - 1 - part)
    return _read(values, np.linspace(start, start + part, steps))


def _read(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    return _signal.at(places, np.arange(len(values), dtype=np.float64), values)


KINDS = {
    "jitter": jitter,
    "scaling": scaling,
    "time_warp": time_warp,
    "window_slice": window_slice,
}


def augmented(values: np.ndarray, channels: int, rng: np.random.Generator) -> np.ndarray:
    """(T, D), each variation with an even chance; marks of gaps move in time but keep their size."""
    for name, change in KINDS.items():
        if rng.random() >= CHANCE or len(values) < KNOTS:
            continue
        if name in ("jitter", "scaling"):
            values = np.concatenate([change(values[:, :channels], rng), values[:, channels:]], 1)
        else:
            values = change(values, rng)
    return values
