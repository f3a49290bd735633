"""Spectrograms: filters beside a library's, tones in their bands, gain that plays no part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.audio_utils import mel_filter_bank

from headstart.modalities.audio import mel
from tests.modalities.audio.sounds import RATE, tune


@pytest.mark.parametrize(
    ("scale", "norm", "straight"),
    [("slaney", "slaney", False), ("htk", None, False), ("kaldi", None, True)],
)
def test_filters_are_the_library_s(scale: mel.Scale, norm: str | None, straight: bool) -> None:
    wanted = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=40,
        min_frequency=20.0,
        max_frequency=8000.0,
        sampling_rate=16000,
        norm=norm,
        mel_scale=scale,
        triangularize_in_mel_space=straight,
    )
    np.testing.assert_allclose(mel.filters(16000, 512, 40, 20.0, 8000.0, scale), wanted, atol=1e-6)


@pytest.mark.parametrize("scale", ["slaney", "htk", "kaldi"])
def test_scales_go_there_and_back(scale: mel.Scale) -> None:
    hertz = np.array([0.0, 50.0, 999.0, 1000.0, 4321.0])
    np.testing.assert_allclose(mel.to_hertz(mel.to_mel(hertz, scale), scale), hertz, atol=1e-6)


@given(hertz=st.floats(150, 3500), seconds=st.floats(0.05, 12.0))
@settings(deadline=None, max_examples=25)
def test_a_tone_lies_in_its_band_wherever_it_sounds(hertz: float, seconds: float) -> None:
    samples = np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)
    made = mel.energies(samples.astype(np.float32), RATE, bands=24, cells=20, seconds=seconds)
    assert made.shape == (24, 20)
    edges = mel.to_hertz(np.linspace(*mel.to_mel(np.array([20.0, 4000.0]), "htk"), 26), "htk")
    for cell in made.T[2:-2]:
        band = int(cell.argmax())
        assert edges[band] - 40 < hertz < edges[band + 2] + 40


def test_what_follows_a_short_sound_is_silence() -> None:
    made = mel.energies(tune(0.3), RATE, bands=16, cells=12, seconds=0.6)
    assert made[:, 7:].max() == 0
    assert made[:, :5].min() > 0
    np.testing.assert_allclose(
        made.sum(), mel.energies(tune(0.3), RATE, bands=16, cells=6, seconds=0.3).sum(), rtol=0.2
    )


def test_a_cell_is_the_mean_of_the_energies_of_its_frames() -> None:
    samples, length = tune(0.6), round(0.025 * RATE)
    size = 2 * length
    found = mel.energies(samples, RATE, bands=16, cells=20, seconds=0.6)
    padded = np.concatenate([np.zeros(length // 2), samples, np.zeros(length)])
    starts = (np.arange(40) * (0.6 * RATE / 40)).astype(int)  # two of 15 ms a cell
    pieces = np.stack([padded[s : s + length] for s in starts]) * mel.hann(length)
    energy = np.abs(np.fft.rfft(pieces, size)) ** 2 @ mel.filters(RATE, size, 16)
    np.testing.assert_allclose(
        found, energy.reshape(20, 2, 16).mean(axis=1).T, rtol=1e-4, atol=1e-5
    )


def test_gain_plays_no_part_and_silence_is_lowest() -> None:
    energy = mel.energies(tune(), RATE, bands=16, cells=12, seconds=0.6)
    np.testing.assert_allclose(mel.levels(energy), mel.levels(energy * 100), atol=1e-5)
    assert mel.levels(energy).max() == 0
    assert (mel.levels(0 * energy) == -mel.RANGE).all()
