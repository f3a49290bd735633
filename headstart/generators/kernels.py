"""Series by formula: Gaussian processes of composed kernels, and trend x season x events.

Kernels are combined as in KernelSynth (arXiv:2403.07815): one to five from a bank, joined from left to
right by sums and products. Instead of factoring a matrix a series, each product is drawn by random
Fourier features (Rahimi and Recht 2007): the frequencies of a product of kernels are sums of the
frequencies of its factors, so the covariance is the composed kernel's, and a series costs one small
product of matrices. Linear kernels multiply what they are part of by a line. The other series follow
the prior of ForecastPFN (arXiv:2311.01933): trend, season and noise, with events added.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.core.generator import ABSENT
from headstart.generators._random import chance, integers, normal, scales, uniform

MODALITY = "series"
BANK = ("linear", "periodic", "smooth", "rational", "white")
TRENDS = ("flat", "straight", "exponential", "logistic", "broken")
SHAPES = ("sine", "saw", "square", "pulse")
EVENTS = ("none", "spikes", "shift", "bump", "burst")
PERIODS = 8  # classes, evenly spaced in the logarithm
LINEAR, PERIODIC, SMOOTH, RATIONAL, WHITE = range(5)
MOST = 5  # kernels of one series
FEATURES = 24  # frequencies of each product of kernels
HARMONICS = 12
WIDTHS = (0.5, 0.8, 1.3)  # length scales of periodic kernels, on the circle


class Kernels:
    """Draws series of `steps` values, mean 0 and variance 1; `composed` is the share of processes.

    Labels: one for each kernel of `BANK` (0 no, 1 yes), class of the period (from 4 steps to a quarter
    of the series), `TRENDS`, `SHAPES` of the season, `EVENTS`. The kernels are `ABSENT` from series of
    trend, season and events, and the last three from processes; a process with several periodic
    kernels, or none, has no period.
    """

    bounds = {"steps": (16, 65_536), "composed": (0, 1)}

    def __init__(self, steps: int = 256, composed: float = 0.5):
        self.steps, self.composed = steps, composed
        self.groups = (2,) * len(BANK) + (PERIODS, len(TRENDS), len(SHAPES), len(EVENTS))

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Series (count, steps), float32, and labels (count, 9), int64.

        `hardness` from 0 to 1 scales how often there are noise and events, and how strong the noise is.
        """
        process = chance(rng, count, self.composed)
        number = int(process.sum())
        series = torch.empty(count, self.steps, device=rng.device)
        labels = torch.empty(count, len(self.groups), dtype=torch.int64, device=rng.device)
        series[process], labels[process] = self._processes(number, rng, hardness)
        series[~process], labels[~process] = self._calendars(count - number, rng, hardness)
        series = series - series.mean(1, keepdim=True)
        return series / series.std(1, keepdim=True).clamp(min=1e-6), labels

    def _periods(self, rng: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
        """Periods in steps and their classes."""
        place = uniform(rng, *shape)
        period = 4 * (self.steps / 16) ** place
        return period, (place * PERIODS).long()

    def _processes(
        self, count: int, rng: torch.Generator, hardness: float
    ) -> tuple[Tensor, Tensor]:
        """Samples of Gaussian processes (count, steps), and labels."""
        order = torch.arange(MOST, device=rng.device)
        kind = integers(rng, count, MOST, high=len(BANK))
        quiet = (kind == WHITE) & (uniform(rng, count, MOST) >= hardness)
        kind = kind.masked_fill(quiet, SMOOTH)
        used = order < integers(rng, count, 1, low=1, high=MOST + 1)
        added = (uniform(rng, count, MOST) < 0.5) | (order == 0) | (kind == WHITE)
        first = used & added  # the kernel that opens a product
        later = (order > order[:, None]) & (used & ~added)[:, None]
        member = (later | (order == order[:, None])) & first[..., None]  # (count, product, kernel)
        period, bucket = self._periods(rng, count, MOST)
        frequency = _frequencies(kind, period, self.steps, rng)
        frequency = member.float() @ frequency
        size = (-2 * torch.log1p(-uniform(rng, *frequency.shape))).sqrt() / math.sqrt(FEATURES)
        phase = uniform(rng, *frequency.shape, high=2 * math.pi)
        value = waves(frequency, phase, size, self.steps)
        noise = normal(rng, *value.shape)
        value = torch.where((kind == WHITE)[..., None], noise, value)
        value = value * self._lines(kind, member, rng)
        weight = scales(rng, count, MOST, low=0.3, high=1.0) * first
        holds = (kind[..., None] == torch.arange(len(BANK), device=rng.device)) & used[..., None]
        regular = holds[..., PERIODIC]
        which = (bucket * regular).sum(1).masked_fill(regular.sum(1) != 1, ABSENT)
        rest = torch.full((count, 3), ABSENT, device=rng.device)
        labels = torch.cat([holds.any(1).long(), which[:, None], rest], 1)
        return (value * weight[..., None]).sum(1), labels

    def _lines(self, kind: Tensor, member: Tensor, rng: torch.Generator) -> Tensor:
        """Products of the lines of linear kernels, (count, products, steps), each line of mean square 1."""
        time = torch.linspace(0, 1, self.steps, device=rng.device)
        line = time - uniform(rng, *kind.shape, 1)
        line = line / line.square().mean(-1, keepdim=True).sqrt()
        product = torch.ones(*kind.shape, self.steps, device=rng.device)
        for number in range(MOST):
            bent = member[:, :, number] & (kind[:, number, None] == LINEAR)
            product = torch.where(bent[..., None], product * line[:, number, None], product)
        return product

    def _calendars(
        self, count: int, rng: torch.Generator, hardness: float
    ) -> tuple[Tensor, Tensor]:
        """Trend, season, noise and events (count, steps), and labels."""
        trend, slope = _trends(count, self.steps, rng)
        period, bucket = self._periods(rng, count)
        shape = integers(rng, count, high=len(SHAPES))
        without = chance(rng, count, 0.15)
        turn = torch.arange(self.steps, device=rng.device) / period[:, None]
        season = _seasons(turn + uniform(rng, count, 1), shape)
        season = season * scales(rng, count, 1, low=0.4, high=1.6) * ~without[:, None]
        grows = chance(rng, count, 0.4)[:, None]
        season = torch.where(grows, season * (1 + 0.4 * trend.abs()), season)
        strength = hardness * scales(rng, count, 1, low=0.03, high=0.5)
        series = trend + season + strength * normal(rng, count, self.steps)
        event = integers(rng, count, high=len(EVENTS))
        event = event.masked_fill(~chance(rng, count, 0.75 * hardness), 0)
        series = series + _events(event, self.steps, rng)
        kernels = torch.full((count, len(BANK)), ABSENT, device=rng.device)
        bucket, shape = bucket.masked_fill(without, ABSENT), shape.masked_fill(without, ABSENT)
        return series, torch.cat([kernels, torch.stack([bucket, slope, shape, event], 1)], 1)


def waves(frequency: Tensor, phase: Tensor, size: Tensor, steps: int) -> Tensor:
    """Sums of cosines: frequency (radians a step), phase and size (..., F) to (..., steps).

    A step is a coarse and a fine one, so that the cosine of the sum is two products of matrices.
    """
    block = math.isqrt(steps - 1) + 1
    fine = torch.arange(block, device=frequency.device)
    coarse = fine[: -(-steps // block)] * block
    far = frequency[..., None] * coarse + phase[..., None]
    near = frequency[..., None] * fine
    even = (far.cos() * size[..., None]).mT @ near.cos()
    odd = (far.sin() * size[..., None]).mT @ near.sin()
    return (even - odd).flatten(-2)[..., :steps]


def _frequencies(kind: Tensor, period: Tensor, steps: int, rng: torch.Generator) -> Tensor:
    """Frequencies (count, kernels, FEATURES) from each kernel's spectral density; 0 of linear and white."""
    shape = (*kind.shape, FEATURES)
    length = scales(rng, *kind.shape, 1, low=0.02 * steps, high=0.5 * steps)
    smooth = normal(rng, *shape) / length
    # A rational quadratic kernel mixes smooth ones: alpha 1 or 2, so chi-squares of 2 or 4 degrees.
    square = -2 * torch.log1p(-uniform(rng, 2, *shape))
    wide = uniform(rng, *kind.shape, 1) < 0.5
    mixed = torch.where(wide, square[0] / 2, square.sum(0) / 4).sqrt()
    table = _harmonics(kind.device).cumsum(1)
    width = integers(rng, *kind.shape, high=len(WIDTHS))
    draw = uniform(rng, *shape)
    number = 1 + (draw[..., None] > table[width][..., None, :-1]).sum(-1)
    periodic = 2 * math.pi * number * smooth.sign() / period[..., None]
    kind = kind[..., None]
    out = torch.where(kind == PERIODIC, periodic, smooth.new_zeros(()))
    out = torch.where(kind == SMOOTH, smooth, out)
    return torch.where(kind == RATIONAL, smooth * mixed, out)


def _harmonics(device: torch.device) -> Tensor:
    """Shares of the harmonics of exp(-2 sin^2(pi r / p) / w^2) less its mean, (WIDTHS, HARMONICS)."""
    circle = torch.arange(64, dtype=torch.float64, device="cpu") * (2 * math.pi / 64)
    width = torch.tensor(WIDTHS, dtype=torch.float64, device="cpu")[:, None]
    power = torch.fft.rfft(torch.exp((circle.cos() - 1) / width.square())).real[
        :, 1 : HARMONICS + 1
    ]
    share = power.clamp(min=0) / power.clamp(min=0).sum(1, keepdim=True)
    return torch.tensor(share.tolist(), device=device)


def _trends(count: int, steps: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Trends (count, steps) and their classes (count,)."""
    time = torch.linspace(0, 1, steps, device=rng.device)
    bend = uniform(rng, count, 1, low=0.25, high=0.75)
    pace = uniform(rng, count, 1, low=3.0, high=6.0)
    after = uniform(rng, count, 1, low=-2.0, high=0.0)
    every = torch.stack(
        [
            torch.zeros(count, steps, device=rng.device),
            time.expand(count, -1),
            torch.expm1(pace * time) / torch.expm1(pace),
            torch.sigmoid((time - bend) * pace * 5),
            torch.minimum(time, bend) + after * (time - bend).clamp(min=0),
        ],
        1,
    )
    kind = integers(rng, count, high=len(TRENDS))
    sign = integers(rng, count, 1, high=2) * 2 - 1
    strength = sign * scales(rng, count, 1, low=1.5, high=8.0)
    return every[torch.arange(count, device=rng.device), kind] * strength, kind


def _seasons(turn: Tensor, shape: Tensor) -> Tensor:
    """Waves of `SHAPES` (count, steps) at `turn` in periods (count, steps)."""
    angle = 2 * math.pi * turn
    every = [
        angle.sin(),
        2 * (turn - turn.floor()) - 1,
        torch.tanh(6 * angle.sin()),
        3 * torch.exp(8 * (angle.cos() - 1)) - 0.5,
    ]
    out = every[0]
    for number in range(1, len(SHAPES)):
        out = torch.where((shape == number)[:, None], every[number], out)
    return out


def _events(kind: Tensor, steps: int, rng: torch.Generator) -> Tensor:
    """What events of `EVENTS` (count,) add, (count, steps)."""
    count = len(kind)
    time = torch.linspace(0, 1, steps, device=rng.device)
    centre = uniform(rng, count, 1, low=0.2, high=0.8)
    sign = integers(rng, count, 1, high=2) * 2.0 - 1.0
    size = sign * uniform(rng, count, 1, low=2.5, high=6.0)
    spikes = torch.zeros(count, steps, device=rng.device)
    where = integers(rng, count, 3, high=steps)
    tall = uniform(rng, count, 3, low=4.0, high=8.0) * (integers(rng, count, 3, high=2) * 2 - 1)
    spikes.scatter_add_(1, where, tall)
    away = (time - centre).abs()
    width = uniform(rng, count, 1, low=0.03, high=0.08)
    every = [
        torch.zeros_like(spikes),
        spikes,
        size * (time > centre),
        size * torch.exp(-0.5 * (away / width).square()),
        normal(rng, count, steps) * (away < width) * size.abs() * 0.6,
    ]
    out = every[0]
    for number in range(1, len(EVENTS)):
        out = torch.where((kind == number)[:, None], every[number], out)
    return out


GENERATOR = Kernels
