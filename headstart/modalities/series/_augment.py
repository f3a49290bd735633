"""Variations of a series that keep its class: Um et al. 2017 (arXiv:1706.00527), Le Guennec et al. 2016."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.core.augment import Policy, Variation
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
BEND, GAP, PIECES = 0.1, 0.1, 3


Change = Callable[[np.ndarray, np.random.Generator, float], np.ndarray]


def jitter(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C) with noise on every value."""
    return np.asarray(values + rng.normal(0.0, NOISE * size, values.shape))


def scaling(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C), each channel a little larger or smaller."""
    return np.asarray(values * rng.normal(1.0, SCALING * size, values.shape[1]))


def magnitude_warp(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C) times a factor that changes smoothly."""
    knots = np.linspace(0, len(values) - 1, KNOTS)
    each = rng.normal(1.0, BEND * size, (KNOTS, values.shape[1]))
    steps = np.arange(len(values))
    return np.asarray(values * np.stack([np.interp(steps, knots, one) for one in each.T], axis=1))


def time_warp(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C) read at a speed that changes smoothly; first and last step stay."""
    steps = len(values)
    knots = np.linspace(0, steps - 1, KNOTS)
    speed = np.exp(np.interp(np.arange(steps), knots, rng.normal(0.0, WARP * size, KNOTS)))
    path = np.cumsum(speed) - speed[0]
    return _read(values, path / path[-1] * (steps - 1) if path[-1] > 0 else path)


def window_slice(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C): a part of the series, stretched to its length."""
    steps = len(values)
    least = max(0.1, 1.0 - (1.0 - WINDOW) * size) if size != 1.0 else WINDOW
    part = rng.uniform(least, 1.0) * (steps - 1)
    start = rng.uniform(0.0, steps - 1 - part)
    return _read(values, np.linspace(start, start + part, steps))


def dropout(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C) with the channels' means in a stretch of time."""
    length = round(rng.uniform(0.0, min(GAP * size, 0.9)) * len(values))
    begin = int(rng.integers(len(values) - length + 1))
    made = values.copy()
    made[begin : begin + length] = values.mean(axis=0)
    return made


def permutation(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C) cut into pieces that are put together in another order."""
    pieces = np.array_split(values, min(len(values), 1 + round(PIECES * size)))
    return np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])


def sign_flip(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C), every second one upside down."""
    return np.asarray(-values if rng.random() < min(1.0, 0.5 * size) else values)


def reverse(values: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """(T, C), every second one backwards."""
    return values[::-1] if rng.random() < min(1.0, 0.5 * size) else values


def _read(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    return _signal.at(places, np.arange(len(values), dtype=np.float64), values)


OF_VALUES = ("jitter", "scaling", "magnitude_warp", "dropout", "sign_flip")
"""Those that leave every step where it is; marks of gaps stay as they are."""
USUAL: dict[str, Change] = {
    "jitter": jitter,
    "scaling": scaling,
    "time_warp": time_warp,
    "window_slice": window_slice,
}
KINDS: dict[str, Change] = {
    **USUAL,
    "magnitude_warp": magnitude_warp,
    "dropout": dropout,
    "permutation": permutation,
    "sign_flip": sign_flip,
    "reverse": reverse,
}
VARIATIONS = {
    "jitter": Variation("noise of 0.05 of a deviation"),
    "scaling": Variation("each channel larger or smaller, by a tenth on average"),
    "time_warp": Variation("time runs unevenly, by a fifth on average"),
    "window_slice": Variation("a stretch of at least 90 %, at full length"),
    "magnitude_warp": Variation("values larger or smaller by a smooth curve, a tenth on average"),
    "dropout": Variation("a stretch of at most a tenth at the mean"),
    "permutation": Variation("four pieces in another order", automatic=False),
    "sign_flip": Variation("every second one upside down", automatic=False),
    "reverse": Variation("every second one backwards", automatic=False),
}


def applied(
    values: np.ndarray, channels: int, policy: Policy, rng: np.random.Generator
) -> np.ndarray:
    """(T, D) with what the policy draws; marks of gaps move in time but keep their size."""
    for name, size in policy.draw(rng):
        if len(values) >= KNOTS:
            values = _changed(values, channels, name, rng, size)
    return values


def _changed(
    values: np.ndarray, channels: int, name: str, rng: np.random.Generator, size: float = 1.0
) -> np.ndarray:
    change = KINDS[name]
    if name in OF_VALUES:
        made = change(values[:, :channels], rng, size)
        return np.concatenate([made, values[:, channels:]], 1)
    return change(values, rng, size)


def augmented(values: np.ndarray, channels: int, rng: np.random.Generator) -> np.ndarray:
    """(T, D), each variation with an even chance; marks of gaps move in time but keep their size."""
    for name in USUAL:
        if rng.random() < CHANCE and len(values) >= KNOTS:
            values = _changed(values, channels, name, rng)
    return values
