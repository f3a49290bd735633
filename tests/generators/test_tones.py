"""Sounds by formula: pitches by autocorrelation, sweeps, colours and rooms by their spectra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.core.generator import ABSENT
from headstart.generators.tones import (
    ENVELOPES,
    EVENTS,
    LOWEST,
    NOTE,
    ROOMS,
    VOWEL,
    Tones,
)
from tests.generators.learn import gain

RATE = 8000


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def easy() -> tuple[np.ndarray, np.ndarray]:
    sounds, labels = Tones(RATE).draw(500, _rng(), hardness=0.0)
    return sounds.numpy(), labels.numpy()


def _period(sound: np.ndarray) -> float:
    """Samples after which a sound is most like itself: first high peak of the autocorrelation."""
    spectrum = np.fft.rfft(sound, 2 * len(sound))
    alike = np.fft.irfft(np.abs(spectrum) ** 2)[:200]
    alike = alike / alike[0]
    peaks = [n for n in range(8, 199) if alike[n - 1] < alike[n] >= alike[n + 1]]
    best = max(alike[n] for n in peaks)
    lag = next(n for n in peaks if alike[n] > 0.93 * best)
    before, here, after = alike[lag - 1 : lag + 2]
    return lag + 0.5 * (before - after) / (before - 2 * here + after)


def test_shapes_and_ranges() -> None:
    sounds, labels = Tones(4000, 6000, timbres=5).draw(60, _rng())
    assert sounds.shape == (60, 6000)
    assert sounds.dtype == torch.float32
    assert labels.shape == (60, 8)
    assert sounds.abs().max() <= 1
    assert sounds.abs().amax(1).min() > 0.09


def test_pitches_are_those_of_the_autocorrelation(easy: tuple[np.ndarray, np.ndarray]) -> None:
    sounds, labels = easy
    voiced = np.isin(labels[:, 0], (NOTE, VOWEL))
    off, octave = [], []
    for sound, label in zip(sounds[voiced], labels[voiced], strict=True):
        semitones = 12 * np.log2(RATE / _period(sound) / LOWEST)
        away = semitones - (12 * label[2] + label[1])
        octave.append(abs(away) < 6)
        off.append(abs((away + 6) % 12 - 6))
    assert len(off) > 100
    assert np.mean(np.array(off) < 0.5) > 0.95  # the pitch class
    assert np.mean(octave) > 0.85  # the octave, which autocorrelation mistakes at times


def _centroids(sounds: np.ndarray) -> np.ndarray:
    """Mean frequency of each eighth, (count, 8) hertz."""
    power = np.abs(np.fft.rfft(sounds.reshape(len(sounds), 8, -1))) ** 2
    hertz = np.fft.rfftfreq(sounds.shape[1] // 8, 1 / RATE)
    return (power * hertz).sum(2) / (power.sum(2) + 1e-9)


@pytest.mark.parametrize(("event", "sign"), [("rising", 1), ("falling", -1)])
def test_sweeps_go_their_way(easy: tuple[np.ndarray, np.ndarray], event: str, sign: int) -> None:
    sounds, labels = easy
    which = (labels[:, 0] == EVENTS.index(event)) & (labels[:, 6] == 0)
    assert which.sum() > 5
    centre = _centroids(sounds[which])
    assert (sign * (centre[:, 4] - centre[:, 2]) > 0).all()


def test_colours_order_by_frequency(easy: tuple[np.ndarray, np.ndarray]) -> None:
    sounds, labels = easy
    power = np.abs(np.fft.rfft(sounds)) ** 2
    centre = (power * np.fft.rfftfreq(8000, 1 / RATE)).sum(1) / power.sum(1)
    white, red, low, high = (centre[labels[:, 5] == n] for n in range(4))
    assert abs(white.mean() - 2000) < 150
    assert red.max() < white.min()
    assert low.max() < high.min()


def test_envelopes_have_their_form(easy: tuple[np.ndarray, np.ndarray]) -> None:
    sounds, labels = easy
    power = (sounds.reshape(len(sounds), 16, -1) ** 2).mean(2)
    middle = (power * np.arange(16)).sum(1) / power.sum(1)
    form = labels[:, 6]
    mean = [middle[form == n].mean() for n in range(len(ENVELOPES))]
    assert mean[ENVELOPES.index("plucked")] + 2 < mean[ENVELOPES.index("sustained")]
    assert mean[ENVELOPES.index("swelling")] - 2 > mean[ENVELOPES.index("sustained")]
    assert ((form == ABSENT) == (labels[:, 0] == EVENTS.index("clicks"))).all()


def test_labels_are_absent_where_they_mean_nothing(easy: tuple[np.ndarray, np.ndarray]) -> None:
    _, labels = easy
    event = labels[:, 0]
    assert ((labels[:, 1] != ABSENT) == np.isin(event, (NOTE, VOWEL))).all()
    assert ((labels[:, 2] != ABSENT) == np.isin(event, (NOTE, VOWEL))).all()
    assert ((labels[:, 3] != ABSENT) == (event == NOTE)).all()
    assert ((labels[:, 4] != ABSENT) == (event == VOWEL)).all()
    assert ((labels[:, 5] != ABSENT) == (event == EVENTS.index("noise"))).all()
    assert (labels[:, 7] == 0).all()  # easy sounds are dry


def test_rooms_ring_on() -> None:
    """Between two knocks a larger room is louder."""
    sounds, labels = Tones(RATE).draw(900, _rng(1))
    gaps: dict[int, list[float]] = {n: [] for n in range(len(ROOMS))}
    for sound, label in zip(sounds.numpy(), labels.tolist(), strict=True):
        if label[0] == EVENTS.index("clicks"):
            level = np.sort((sound.reshape(-1, 80) ** 2).mean(1))
            gaps[label[7]].append(float(np.log10(np.median(level) / level[-1] + 1e-7)))
    dry, small, large = (np.mean(gaps[n]) for n in range(3))
    assert dry < small < large


def test_another_seed_has_other_timbres() -> None:
    first, second = (Tones(seed=seed).draw(20, _rng())[0] for seed in (0, 1))
    assert not torch.equal(first, second)


def test_labels_can_be_learnt() -> None:
    sounds, labels = Tones(RATE).draw(1000, _rng())
    x, y = sounds.numpy(), labels.numpy()
    x = x / x.std(1, keepdims=True)  # loudness tells nothing
    power = np.abs(np.fft.rfft(x * np.hanning(8000))) ** 2
    edges = np.geomspace(60, 3990, 61).astype(int)
    bands = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1)
    fine = LOWEST * 2 ** (np.arange(48) / 12)  # by semitone
    near = [power[:, round(f) - 2 : round(f) + 3].max(1) for f in fine]
    loud = np.log((x.reshape(len(x), 40, -1) ** 2).mean(2) + 1e-4)
    moved = np.log(_centroids(x) + 50)
    quick = np.log((x[:, 100:].reshape(len(x), 79, -1) ** 2).mean(2) + 1e-4)
    still = np.quantile(quick, [0.05, 0.1, 0.25, 0.5, 0.75, 0.9], axis=1).T
    changes = np.sort(np.diff(loud), 1)
    features = np.concatenate([bands, np.log(np.array(near).T + 1), loud, moved, still, changes], 1)
    gains = [gain(features, column) for column in y.T]
    assert min(gains) > 0.1, gains
    assert gains[0] > 0.4
