"""Augmentations by name, of waveforms and of spectrograms; every draw comes from the generator given.

Speed: Ko et al. 2015, "Audio augmentation for speech recognition". SpecAugment: Park et al. 2019,
arXiv:1904.08779.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

NAMES = ("speed", "shift", "gain", "noise", "spec_augment")
USUAL = NAMES

SPEED = 0.1
"""Played faster or slower by at most this share; the pitch moves along."""
SHIFT = 0.1
"""Moved by at most this share of the sound's own length; silence comes in."""
GAIN = 6.0
"""Decibels louder or softer, at most."""
NOISE = (15.0, 40.0)
"""Decibels by which the sound is louder than the white noise that every second one gets."""
MASKS, SHARE = 2, 1 / 8
"""SpecAugment: at most so many stripes each way, each at most this share of the side."""


def waveform(samples: np.ndarray, names: Collection[str], rng: np.random.Generator) -> np.ndarray:
    """(n,) float32 -> (m,) float32, another length only through "speed"."""
    if "speed" in names:
        samples = speed(samples, rng.uniform(1.0 - SPEED, 1.0 + SPEED))
    if "shift" in names:
        samples = shift(samples, round(rng.uniform(-SHIFT, SHIFT) * len(samples)))
    if "gain" in names:
        samples = samples * np.float32(10.0 ** (rng.uniform(-GAIN, GAIN) / 20.0))
    if "noise" in names and rng.random() < 0.5:
        below = 10.0 ** (-rng.uniform(*NOISE) / 20.0)
        size = np.float32(below * float(np.sqrt(np.mean(np.square(samples)))))
        samples = samples + size * rng.standard_normal(len(samples), np.float32)
    return np.asarray(samples, np.float32)


def speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """(n,) played `factor` times as fast."""
    length = max(1, round(len(samples) / factor))
    places = np.linspace(0.0, len(samples) - 1.0, length)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def shift(samples: np.ndarray, by: int) -> np.ndarray:
    """(n,) moved by so many samples, silence coming in."""
    moved = np.zeros_like(samples)
    if by >= 0:
        moved[by:] = samples[: len(samples) - by]
    else:
        moved[:by] = samples[-by:]
    return moved


def spectrogram(
    cells: np.ndarray, names: Collection[str], rng: np.random.Generator, *, blank: float, real: int
) -> np.ndarray:
    """(bands, frames) with stripes set to `blank`; those across time lie in the first `real` frames."""
    if "spec_augment" not in names:
        return cells
    cells = cells.copy()
    for side, rows in ((cells.shape[0], cells), (real, cells.T)):
        for _ in range(rng.integers(MASKS + 1)):
            width = int(rng.integers(1, max(2, round(SHARE * side) + 1)))
            begin = int(rng.integers(max(1, side - width + 1)))
            rows[begin : begin + width] = blank
    return cells
