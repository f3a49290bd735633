"""Words by formula: what is said is heard in the spectrum over time, who says it is not the word."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.generators.words import MOST, PHONES, STOP, VOWEL, Words
from headstart.modalities.audio import mel
from tests.generators.learn import gain

RATE, CLASSES = 8000, 6


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    sounds, labels = Words(classes=CLASSES).draw(360, _rng(), hardness=0.0)
    return sounds.numpy(), labels[:, 0].numpy()


def _pictures(sounds: np.ndarray) -> np.ndarray:
    """Mel levels of eight parts of where there is sound."""
    made = []
    for sound in sounds:
        there = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
        part = sound[there[0] : there[-1] + 1].astype(np.float32)
        energy = mel.energies(part, RATE, bands=20, cells=8, seconds=len(part) / RATE)
        made.append(mel.levels(energy, 4.0).ravel())
    return np.array(made)


def test_shapes_and_ranges() -> None:
    sounds, labels = Words(4000, 6000, classes=5).draw(40, _rng())
    assert sounds.shape == (40, 6000) and sounds.dtype == torch.float32
    assert labels.shape == (40, 1) and int(labels.max()) < 5
    assert sounds.abs().max() <= 1
    assert sounds.abs().amax(1).min() > 0.09


def test_the_word_is_heard_in_the_spectrum_over_time(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    sounds, labels = drawn
    assert gain(_pictures(sounds), labels) > 0.5  # over the commonest word's share


def test_the_word_is_not_told_by_loudness_or_place(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    sounds, labels = drawn
    there = np.abs(sounds) > 0.02 * np.abs(sounds).max(1, keepdims=True)
    first = there.argmax(1)
    assert gain(np.column_stack([np.abs(sounds).max(1), first]), labels) < 0.12


def test_a_word_is_said_at_many_pitches(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    maker = Words(classes=2)
    voices = maker._voice(40, _rng(3)).numpy()
    spectrum = np.abs(np.fft.rfft(voices, axis=1))
    lowest = np.array([np.flatnonzero(s > 0.3 * s.max())[0] for s in spectrum])
    assert lowest.min() < 120 and lowest.max() > 190
    assert len(np.unique(lowest)) > 20


def test_vowels_and_others_take_turns_and_stops_only_burst() -> None:
    maker = Words(classes=50)
    vowel = maker._words < 16
    assert (vowel[:, 1:] != vowel[:, :-1]).all()
    assert ((maker._lengths >= 3) & (maker._lengths <= MOST)).all()
    phones = maker._phones
    assert phones.shape == (PHONES, 9)
    stops = torch.arange(4).repeat_interleave(torch.tensor((16, 6, 10, 8))) == STOP
    assert (phones[stops, 5:8] == 0).all() and (phones[stops, 8] > 0).all()
    assert (phones[:16, 5] == 1).all() and VOWEL == 0
    assert (phones[:, 1] < phones[:, 2]).all()
