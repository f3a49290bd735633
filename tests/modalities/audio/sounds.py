"""Generated sounds for the tests of this folder."""

from __future__ import annotations

import io

import numpy as np
import soundfile

RATE = 8000


def tune(seconds: float = 0.6, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Four notes of a falling loudness in a little noise, (n,) float32; the seed chooses the notes."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(200, 1500, 4)[np.minimum((4 * time / seconds).astype(int), 3)]
    tone = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in (1, 2, 3))
    noise = np.random.default_rng(1).normal(0, 0.005, len(time))
    return (0.25 * tone * np.exp(-2 * time / seconds) + noise).astype(np.float32)


def encoded(
    samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    """Samples (n,) or (n, channels) as a file's bytes."""
    held = io.BytesIO()
    soundfile.write(held, samples, rate, format=kind, subtype=subtype)
    return held.getvalue()
