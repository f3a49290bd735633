"""Sounds by formula: words of an invented language, each spoken by many voices.

A word is a row of phones: vowels and sonorants with formants of their own, hisses, and stops with their
burst. A voice has a pitch that moves, a throat of some length, a pace, and a room. To name the word a network
must hear what is said and overlook who says it. Source and filter as in Klatt 1980 ("Software for a
cascade/parallel formant synthesizer"), the filter laid over short-time spectra.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.generators._random import chance, integers, normal, scales, uniform
from headstart.generators.tones import HARMONICS, TABLE, Tones, read, unit

MODALITY = "audio"
PHONES = 40
MOST = 6  # phones of a word
VOWEL, SONORANT, HISS, STOP = range(4)
KINDS = (16, 6, 10, 8)  # phones of each
WINDOW, HOP = 256, 64
GLIDE = 5  # frames over which one phone passes into the next


class Words:
    """Draws sounds of `samples` values at `rate` hertz; the `classes` words are fixed by `seed`.

    Labels: the word.
    """

    bounds = {"rate": (2000, 192_000), "samples": (256, 2_000_000), "classes": (2, 100_000)}

    def __init__(self, rate: int = 8000, samples: int = 8000, classes: int = 400, seed: int = 0):
        self.rate, self.samples, self.groups = rate, samples, (classes,)
        rng = torch.Generator().manual_seed(seed)
        self._phones = _phones(rng, 0.45 * rate)
        vowels = integers(rng, classes, MOST, high=KINDS[VOWEL])
        others = integers(rng, classes, MOST, low=KINDS[VOWEL], high=PHONES)
        first = integers(rng, classes, 1, high=2)
        vowel = (torch.arange(MOST) + first) % 2 == 0  # vowels and others take turns
        self._words = torch.where(vowel, vowels, others)
        self._lengths = integers(rng, classes, low=3, high=MOST + 1)
        self._shares = scales(rng, classes, MOST, low=0.5, high=1.6)
        self._rooms = Tones(rate, samples)

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Sounds (count, samples), float32 within [-1, 1], and labels (count, 1), int64.

        `hardness` from 0 to 1 scales how often there are a noisy ground, another voice behind, and rooms.
        """
        (classes,) = self.groups
        which = torch.randint(0, classes, (count,), generator=rng, device=rng.device)
        phones, said = self._frames(which, rng)
        sound = self._spoken(phones, said, rng)
        sound, _ = self._rooms.rooms(unit(sound), rng, 0.6 * hardness)
        sound = self._rooms.ground(unit(sound), rng, 0.7 * hardness)
        peak = sound.abs().amax(1, keepdim=True).clamp(min=1e-6)
        return sound / peak * scales(rng, count, 1, low=0.1, high=1.0), which[:, None]

    def _frames(self, which: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """What each frame says: the phones' settings (count, frames, 9), passing into each other, and where
        there is speech (count, frames)."""
        count, frames = len(which), self.samples // HOP + 1
        there = (
            torch.arange(MOST, device=rng.device)
            < torch.asarray(self._lengths, device=rng.device)[which, None]
        )
        share = torch.asarray(self._shares, device=rng.device)[which] * scales(
            rng, count, MOST, low=0.75, high=1.35
        )
        ends = (share * there).cumsum(1)
        ends = ends / ends[:, -1:]
        span = uniform(rng, count, 1, low=0.3, high=0.9)
        begin = uniform(rng, count, 1) * (1 - span)
        time = (torch.linspace(0, 1, frames, device=rng.device) - begin) / span
        number = (time[..., None] >= ends[:, None]).sum(2).clamp(max=MOST - 1)
        number = torch.minimum(
            number, torch.asarray(self._lengths, device=rng.device)[which, None] - 1
        )
        phone = torch.asarray(self._words, device=rng.device)[which].gather(1, number)
        told = torch.asarray(self._phones, device=rng.device)[phone]
        told[..., 8] = torch.where(_opening(number), told[..., 8], told[..., 8].new_zeros(()))
        smooth = torch.nn.functional.avg_pool1d(
            told.mT, GLIDE, 1, GLIDE // 2, count_include_pad=False
        )
        return smooth.mT, ((time >= 0) & (time < 1)).float()

    def _spoken(self, told: Tensor, said: Tensor, rng: torch.Generator) -> Tensor:
        """Voice and noise through the filters of every frame, (count, samples)."""
        count = len(told)
        throat = scales(rng, count, 1, 1, low=0.82, high=1.22)
        hertz = torch.linspace(0, self.rate / 2, WINDOW // 2 + 1, device=rng.device)
        formant = told[..., :3] * throat
        width = 60 + 0.06 * formant
        away = (hertz - formant[..., None]) / width[..., None]
        weight = torch.tensor([1.0, 0.6, 0.35], device=rng.device)[:, None]
        voice = (weight / (1 + away.square())).sum(2) + 0.01
        centre, broad = told[..., 3:4] * throat.sqrt(), told[..., 4:5]
        noise = torch.exp(-0.5 * ((hertz - centre) / broad).square())
        breath = scales(rng, count, 1, low=0.005, high=0.05)
        parts = [
            (self._voice(count, rng), voice * (told[..., 5] * said)[..., None]),
            (
                normal(rng, count, self.samples),
                noise * ((told[..., 6] + told[..., 8]) * said)[..., None],
            ),
            (normal(rng, count, self.samples), voice * (breath * told[..., 7] * said)[..., None]),
        ]
        window = torch.hann_window(WINDOW, device=rng.device)
        total = sum(
            torch.stft(x, WINDOW, HOP, window=window, return_complex=True) * g.mT for x, g in parts
        )
        return torch.istft(total, WINDOW, HOP, window=window, length=self.samples)

    def _voice(self, count: int, rng: torch.Generator) -> Tensor:
        """Harmonics that fall by 6 dB an octave at a pitch that moves, (count, samples)."""
        start = scales(rng, count, 1, low=85.0, high=280.0)
        bend = uniform(rng, count, 1, low=-0.35, high=0.15)
        time = torch.linspace(0, 1, self.samples, device=rng.device)
        sway = 0.03 * (2 * math.pi * (uniform(rng, count, 1, low=1.0, high=5.0) * time)).sin()
        pitch = start * 2 ** (bend * time + sway)
        number = torch.arange(1, HARMONICS + 1, device=rng.device)
        heard = number * pitch.amax(1, keepdim=True) < 0.48 * self.rate
        spectrum = torch.zeros(count, TABLE // 2 + 1, dtype=torch.complex64, device=rng.device)
        angle = uniform(rng, count, HARMONICS, high=2 * math.pi)
        spectrum[:, 1 : HARMONICS + 1] = torch.polar(heard / number.sqrt(), angle)
        return unit(
            read(torch.fft.irfft(spectrum), (pitch.double().cumsum(1) / self.rate % 1).float())
        )


def _opening(number: Tensor) -> Tensor:
    """The first frames of every phone but the word's first, (count, frames)."""
    turned = number[:, 1:] != number[:, :-1]
    turned = torch.cat([torch.ones_like(turned[:, :1]), turned], 1)
    return turned | torch.cat([turned[:, :1], turned[:, :-1]], 1)


def _phones(rng: torch.Generator, top: float) -> Tensor:
    """Settings (PHONES, 9): three formants, centre and width of the noise in hertz, loudness of voice, of
    noise, of breath, and of the burst that opens a stop."""
    made = torch.zeros(PHONES, 9)
    kind = torch.arange(len(KINDS)).repeat_interleave(torch.tensor(KINDS))
    made[:, 0] = scales(rng, PHONES, low=250.0, high=850.0)
    made[:, 1] = scales(rng, PHONES, low=850.0, high=2500.0)
    made[:, 2] = (made[:, 1] * uniform(rng, PHONES, low=1.15, high=1.8)).clamp(2200.0, top)
    made[:, 3] = scales(rng, PHONES, low=900.0, high=top)
    made[:, 4] = scales(rng, PHONES, low=250.0, high=1200.0)
    sonorant, hiss, stop = kind == SONORANT, kind == HISS, kind == STOP
    made[:, 5] = torch.where(kind == VOWEL, 1.0, torch.where(sonorant, 0.35, 0.0))
    made[sonorant, 0] = made[sonorant, 0] * 0.6
    made[hiss, 5] = 0.25 * chance(rng, int(hiss.sum()), 0.4)
    made[hiss, 6] = scales(rng, int(hiss.sum()), low=0.15, high=0.7)
    made[:, 7] = 1.0 - stop.float()
    made[stop, 8] = scales(rng, int(stop.sum()), low=0.5, high=1.5)
    return made


GENERATOR = Words
