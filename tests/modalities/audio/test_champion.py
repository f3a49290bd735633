"""Champions: they learn what statistics tell, whatever the rate; and what they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.modalities.audio import champion, decode
from tests.modalities.audio.sounds import RATE, encoded

FIELDS = (Field("clip", "path"),)


def sweep(rising: bool, seed: int, rate: int = RATE) -> bytes:
    """A tone that rises, or falls, over the same pitches."""
    rng = np.random.default_rng(seed)
    time = np.arange(rate // 2) / rate
    pitch = 300 + 1600 * time if rising else 1100 - 1600 * time
    sound = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch * rng.uniform(0.9, 1.1)) / rate)
    return encoded((sound + rng.normal(0, 0.01, len(time))).astype(np.float32), rate)


def test_thirds_tell_rising_from_falling() -> None:
    rows = [{"clip": sweep(i % 2 == 0, i)} for i in range(48)]
    targets = np.arange(48) % 2
    made = champion.CHAMPIONS[1].fit(rows[:32], FIELDS, targets[:32], outcome="classify", seed=0)
    assert (made(rows[32:]).argmax(1) == targets[32:]).mean() == 1.0


def test_another_rate_is_brought_to_the_common_one() -> None:
    some = champion.statistics(sweep(True, 1), RATE)
    other = champion.statistics(sweep(True, 1, 16000), RATE)
    assert some.shape == (2 + 9 * champion.BANDS,)
    inner = slice(2, 2 + 35)  # the highest bands lie where the resampler's filter falls
    assert np.corrcoef(some[inner], other[inner])[0, 1] > 0.95


def test_what_is_kept_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champion, "_KEPT", 4)
    monkeypatch.setattr(champion, "_kept", {})
    for seed in range(9):
        champion.statistics(sweep(True, seed), RATE)
    assert len(champion._kept) == 4
    kept = champion.statistics(sweep(True, 8), RATE)
    np.testing.assert_array_equal(kept, champion._statistics(decode.sound(sweep(True, 8), RATE)))


def test_silence_and_the_shortest_sound_are_finite() -> None:
    for samples in (np.zeros(4000, np.float32), np.ones(1, np.float32)):
        assert np.isfinite(champion.statistics(encoded(samples), RATE)).all()
