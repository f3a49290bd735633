"""Variations of sounds by name: of waveforms first, then of their spectrograms.

Speed: Ko et al. 2015, "Audio augmentation for speech recognition". Masks: Park et al. 2019, arXiv:1904.08779.
Pitch: resampled, then brought back to its length by WSOLA (Verhelst and Roelands 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.core.augment import Variation, Variations
from headstart.modalities.audio import augment

SEMITONES = 2.0
ECHO = 0.3  # of the sound's loudness
MASK = 1 / 8  # of the side
FRAME, SEARCH = 512, 160  # samples of a piece, and how far from its place it is looked for
Steps = Sequence[tuple[str, float]]
Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def _speed(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    most = np.log1p(augment.SPEED * size)
    return augment.speed(samples, float(np.exp(rng.uniform(-most, most))))


def _pitch(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    factor = 2.0 ** (rng.uniform(-SEMITONES * size, SEMITONES * size) / 12.0)
    factor = float(np.clip(factor, 0.25, 4.0))
    return stretched(augment.speed(samples, factor), len(samples))


def _shift(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    most = min(augment.SHIFT * size, 0.9)
    return augment.shift(samples, round(rng.uniform(-most, most) * len(samples)))


def _gain(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    most = augment.GAIN * size
    return samples * np.float32(10.0 ** (rng.uniform(-most, most) / 20.0))


def _noise(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    least = augment.NOISE[0] - 20.0 * float(np.log10(size))
    below = 10.0 ** (-rng.uniform(least, augment.NOISE[1]) / 20.0)
    loud = np.float32(below * float(np.sqrt(np.mean(np.square(samples)))))
    return samples + loud * rng.standard_normal(len(samples), np.float32)


def _echo(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    later = augment.shift(samples, round(rng.uniform(0.01, 0.1) * len(samples)))
    return samples + np.float32(min(1.0, rng.uniform(0.0, ECHO * size))) * later


def _reverse(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return samples[::-1].copy() if rng.random() < min(1.0, 0.5 * size) else samples


def _silence(samples: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    begin, end = _stripe(len(samples), size, rng)
    samples = samples.copy()
    samples[begin:end] = 0.0
    return samples


WAVES: dict[str, Change] = {
    "speed": _speed,
    "pitch": _pitch,
    "shift": _shift,
    "gain": _gain,
    "noise": _noise,
    "echo": _echo,
    "reverse": _reverse,
}
MASKS = ("time_mask", "frequency_mask")
VARIATIONS = {
    "speed": Variation("faster or slower by at most 10 %, pitch included"),
    "pitch": Variation("higher or lower by at most 2 semitones, as long as before"),
    "shift": Variation("moved in time by at most 10 %"),
    "gain": Variation("louder or softer by at most 6 dB"),
    "noise": Variation("white noise 15 to 40 dB below"),
    "echo": Variation("an echo of at most 0.3 of the loudness"),
    "time_mask": Variation("a stretch of time of at most an eighth blanked"),
    "frequency_mask": Variation("a band of at most an eighth of the spectrogram blanked"),
    "reverse": Variation("every second one backwards", automatic=False),
}
OF_WAVES: Variations = {n: v for n, v in VARIATIONS.items() if n != "frequency_mask"}
"""What is there without a spectrogram."""


def waveform(
    samples: np.ndarray, steps: Steps, rng: np.random.Generator, *, masks: bool
) -> np.ndarray:
    """(n,) float32 -> (m,) float32 with the steps that change waveforms.

    Args:
        masks: whether stretches of time are silenced here, as there is no spectrogram.
    """
    for name, size in steps:
        if name in WAVES:
            samples = WAVES[name](samples, size, rng)
        elif name == "time_mask" and masks:
            samples = _silence(samples, size, rng)
    return np.asarray(samples, np.float32)


def spectrogram(
    cells: np.ndarray, steps: Steps, rng: np.random.Generator, *, blank: float, real: int
) -> np.ndarray:
    """(bands, frames) with the stripes of the steps set to `blank`; those across time lie in the first `real`
    frames."""
    cells = cells.copy()
    for name, size in steps:
        if name == "frequency_mask":
            begin, end = _stripe(len(cells), size, rng)
            cells[begin:end] = blank
        elif name == "time_mask":
            begin, end = _stripe(real, size, rng)
            cells[:, begin:end] = blank
    return cells


def _stripe(side: int, size: float, rng: np.random.Generator) -> tuple[int, int]:
    width = round(rng.uniform(0.0, min(MASK * size, 0.9)) * side)
    begin = int(rng.integers(side - width + 1))
    return begin, begin + width


def stretched(samples: np.ndarray, length: int) -> np.ndarray:
    """(n,) -> (length,) float32 at the same pitch: overlapping pieces, each from where it goes on best
    from the one before (WSOLA)."""
    if len(samples) < 2 * FRAME or len(samples) == length:
        return augment.speed(samples, len(samples) / max(1, length))[:length]
    hop, window = FRAME // 2, np.hanning(FRAME + 1)[:-1]
    padded = np.pad(samples, FRAME)
    out = np.zeros(length + 2 * FRAME)
    last = len(padded) - FRAME - hop
    before = 0
    for begin in range(0, length + FRAME, hop):
        wanted = min(round(begin * len(samples) / length), last)
        low, high = max(0, wanted - SEARCH), min(last, wanted + SEARCH)
        goes_on = padded[before + hop : before + hop + FRAME]
        alike = np.correlate(padded[low : high + FRAME], goes_on, "valid")
        before = low + int(alike.argmax()) if begin else wanted
        out[begin : begin + FRAME] += padded[before : before + FRAME] * window
    start = round(FRAME * length / len(samples))
    return out[start : start + length].astype(np.float32)
