"""Series by formula: spectra of the kernels, periods by Fourier transform, labels that can be learnt."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from headstart.core.generator import ABSENT
from headstart.generators import kernels
from headstart.generators.kernels import BANK, PERIODS, SHAPES, Kernels, waves
from tests.generators.learn import gain


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("steps", [16, 100, 256])
def test_waves_are_sums_of_cosines(steps: int) -> None:
    rng = _rng()
    frequency, phase, size = torch.rand(3, 2, 5, 7, generator=rng)
    time = torch.arange(steps)
    plain = ((frequency[..., None] * time + phase[..., None]).cos() * size[..., None]).sum(-2)
    assert torch.allclose(waves(frequency, phase, size, steps), plain, atol=1e-3)


def test_series_have_mean_zero_and_variance_one() -> None:
    series, _ = Kernels(steps=100).draw(200, _rng())
    assert series.shape == (200, 100)
    assert torch.allclose(series.mean(1), torch.zeros(200), atol=1e-4)
    assert torch.allclose(series.std(1), torch.ones(200), atol=1e-3)


@pytest.mark.parametrize("kind", [kernels.SMOOTH, kernels.RATIONAL])
def test_frequencies_give_the_kernels_covariance(kind: int) -> None:
    """The mean of cos(w r) is the kernel at r, here over all length scales it may have."""
    steps = 100
    which = torch.full((4000, 2), kind)
    frequency = kernels._frequencies(which, torch.ones(4000, 2), steps, _rng())
    length = torch.logspace(math.log10(0.02 * steps), math.log10(0.5 * steps), 4000)
    for away in (1.0, 5.0, 20.0):
        ratio = (away / length).square()
        if kind == kernels.SMOOTH:
            wanted = torch.exp(-ratio / 2).mean()
        else:  # alpha 1 and 2, even shares
            wanted = (1 / (1 + ratio / 2) + 1 / (1 + ratio / 4).square()).mean() / 2
        assert (frequency * away).cos().mean() == pytest.approx(float(wanted), abs=0.02)


def test_periodic_kernels_repeat_after_their_period() -> None:
    period = torch.linspace(4, 30, 50).reshape(25, 2)
    which = torch.full((25, 2), kernels.PERIODIC)
    frequency = kernels._frequencies(which, period, 100, _rng())
    assert frequency.abs().min() > 0
    assert torch.allclose((frequency * period[..., None]).cos(), torch.ones(1), atol=1e-4)


def test_periods_are_those_of_the_spectrum() -> None:
    maker = Kernels(steps=256, composed=0.0)
    series, labels = maker.draw(600, _rng(), hardness=0.0)
    period, trend, shape = labels[:, 5], labels[:, 6], labels[:, 7]
    clear = ((period != ABSENT) & (trend == 0) & (shape <= SHAPES.index("square"))).numpy()
    size = np.abs(np.fft.rfft(series.numpy()[clear] * np.hanning(256), 4096))
    size[:, : 4096 // 90] = 0
    found = 4096 / size.argmax(1)
    place = np.log(found / 4) / np.log(256 / 16) * PERIODS
    off = np.abs(place - (period.numpy()[clear] + 0.5))
    assert clear.sum() > 50
    assert (
        off < 0.5 + 0.15
    ).mean() > 0.95  # within the class, give or take the spectrum's own error


def test_composed_series_with_one_kernel_look_like_it() -> None:
    series, labels = Kernels(composed=1.0).draw(3000, _rng())
    flags = labels[:, : len(BANK)]
    assert (labels[:, 6:] == ABSENT).all()
    alone = flags.sum(1) == 1
    step = series.diff(dim=1).square().mean(1)
    white = series[alone & (flags[:, kernels.WHITE] == 1)].diff(dim=1).square().mean(1)
    assert (white - 2).abs().max() < 0.8  # independent values differ by twice their variance
    assert step[alone & (flags[:, kernels.SMOOTH] == 1)].max() < 0.5
    lines = series[alone & (flags[:, kernels.LINEAR] == 1)]
    straight = lines.diff(dim=1).diff(dim=1).abs().amax(1) < 1e-4
    assert straight.float().mean() > 0.3  # the others are products of lines


def test_easy_series_have_neither_noise_nor_events() -> None:
    _, labels = Kernels().draw(400, _rng(), hardness=0.0)
    assert not (labels[:, kernels.WHITE] == 1).any()
    assert not (labels[:, 8] > 0).any()


def test_kernels_and_calendars_have_labels_of_their_own() -> None:
    _, labels = Kernels(composed=0.5).draw(400, _rng())
    process = labels[:, 0] != ABSENT
    assert 120 < process.sum() < 280
    assert ((labels[:, 6] == ABSENT) == process).all()
    assert ((labels[:, 8] == ABSENT) == process).all()
    assert (labels[process][:, : len(BANK)].sum(1) >= 1).all()


def test_labels_can_be_learnt() -> None:
    series, labels = Kernels().draw(5000, _rng())
    x, y = series.numpy(), labels.numpy()
    size = np.log(np.abs(np.fft.rfft(x)) + 0.1)[:, :96]
    step = np.diff(x)
    rank = np.sort(x)[:, ::16]
    jump = np.sort(np.abs(step))[:, [10, 64, 128, 192, 240, 250, 252, 254]]
    parts = x.reshape(len(x), 16, 16)
    features = np.concatenate(
        [size, rank, np.log(jump + 0.01), np.abs(parts.mean(2)), np.log(parts.std(2) + 0.01)], 1
    )
    gains = [gain(features, column) for column in y.T]
    assert min(gains) > 0.03, gains
    assert gains[5] > 0.4  # the period
