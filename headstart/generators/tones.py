"""Sounds by formula: notes, vowels, sweeps, noises and clicks, with envelopes and rooms.

Notes and vowels read one period from a table at the running phase, so that any number of harmonics and
any glide costs the same; the table of a vowel has the peaks of its formants (Peterson and Barney 1952).
Noises are shaped in their spectrum. A room is noise that dies away, laid over the sound by Fourier
transform (Moorer 1979).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from headstart.core.generator import ABSENT
from headstart.generators._random import chance, integers, normal, scales, uniform

MODALITY = "audio"
EVENTS = ("note", "vowel", "rising", "falling", "noise", "clicks")
ENVELOPES = ("sustained", "plucked", "swelling", "trembling", "gated")
ROOMS = ("dry", "small", "large")
COLOURS = ("white", "red", "low band", "high band")
NOTE, VOWEL, RISING, FALLING, NOISE, CLICKS = range(6)
PITCHES, OCTAVES = 12, 3
LOWEST = 110.0  # hertz, the first pitch class of the first octave
TABLE = 1024  # points of one period
HARMONICS = 48
# First three formants in hertz, mean of men and women: as in heed, head, had, hod, hoot, heard.
FORMANTS = (
    (290.0, 2540.0, 3160.0),
    (570.0, 2085.0, 2735.0),
    (760.0, 1885.0, 2630.0),
    (790.0, 1155.0, 2625.0),
    (335.0, 910.0, 2455.0),
    (495.0, 1495.0, 1825.0),
)


class Tones:
    """Draws sounds of `samples` values at `rate` hertz; the `timbres` of notes are fixed by `seed`.

    Labels: `EVENTS`, pitch class (of notes and vowels), octave (of the same), timbre (of notes), vowel
    (of vowels), `COLOURS` (of noises), `ENVELOPES` (of all but clicks), `ROOMS`; `ABSENT` elsewhere.
    """

    bounds = {"rate": (2000, 192_000), "samples": (256, 2_000_000), "timbres": (1, 1000)}

    def __init__(self, rate: int = 8000, samples: int = 8000, timbres: int = 8, seed: int = 0):
        self.rate, self.samples, self.timbres = rate, samples, timbres
        rng = torch.Generator().manual_seed(seed)
        number = torch.arange(1, HARMONICS + 1)
        fall = torch.linspace(0.6, 2.2, timbres)[torch.randperm(timbres, generator=rng), None]
        even = uniform(rng, timbres, 1) ** 2
        rough = scales(rng, timbres, HARMONICS, low=0.3, high=3.0)
        self._spectra = number**-fall * torch.where(number % 2 == 0, even, 1.0) * rough
        self.groups = (
            *(len(EVENTS), PITCHES, OCTAVES, timbres, len(FORMANTS)),
            *(len(COLOURS), len(ENVELOPES), len(ROOMS)),
        )

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Sounds (count, samples), float32 within [-1, 1], and labels (count, 8), int64.

        `hardness` from 0 to 1 scales how often there are a noisy ground, another sound behind, and rooms.
        """
        event = integers(rng, count, high=len(EVENTS))
        sound = torch.empty(count, self.samples, device=rng.device)
        inner = torch.full((count, 5), ABSENT, device=rng.device)
        ways = {
            (NOTE,): self._notes,
            (VOWEL,): self._vowels,
            (RISING, FALLING): self._sweeps,
            (NOISE,): self._noises,
            (CLICKS,): self._clicks,
        }
        for kinds, way in ways.items():
            rows = torch.isin(event, torch.tensor(kinds, device=rng.device)).nonzero()[:, 0]
            sound[rows], inner[rows] = way(event[rows], rng)
        envelope, form = self._envelopes(event, rng)
        sound = unit(sound) * envelope
        sound, room = self.rooms(unit(sound), rng, hardness)
        sound = self.ground(unit(sound), rng, hardness)
        peak = sound.abs().amax(1, keepdim=True).clamp(min=1e-6)
        sound = sound / peak * scales(rng, count, 1, low=0.1, high=1.0)
        return sound, torch.cat([event[:, None], inner, form[:, None], room[:, None]], 1)

    def _pitches(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Hertz (count,) within a fifth of a semitone of a pitch; its class and octave."""
        pitch, octave = integers(rng, count, high=PITCHES), integers(rng, count, high=OCTAVES)
        off = uniform(rng, count, low=-0.2, high=0.2)
        return LOWEST * 2 ** (octave + (pitch + off) / 12), pitch, octave

    def _voice(self, hertz: Tensor, size: Tensor, rng: torch.Generator) -> Tensor:
        """Sounds (count, samples) of harmonics `size` (count, HARMONICS), with vibrato."""
        count = len(hertz)
        number = torch.arange(1, HARMONICS + 1, device=rng.device)
        size = size * (number * hertz[:, None] < 0.48 * self.rate)
        angle = uniform(rng, count, HARMONICS, high=2 * math.pi)
        spectrum = torch.zeros(count, TABLE // 2 + 1, dtype=torch.complex64, device=rng.device)
        spectrum[:, 1 : HARMONICS + 1] = torch.polar(size, angle)
        table = torch.fft.irfft(spectrum)
        time = torch.arange(self.samples, device=rng.device) / self.rate
        pace = uniform(rng, count, 1, low=4.0, high=7.0) * 2 * math.pi
        # The share by which the pitch sways, at most a fifth of a semitone to either side.
        sway = uniform(rng, count, 1, high=0.011) * chance(rng, count, 0.5)[:, None]
        phase = hertz[:, None] * (time + sway * (1 - (pace * time).cos()) / pace)
        return read(table, phase)

    def _notes(self, event: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Notes (count, samples), and the labels pitch, octave, timbre, vowel, colour (count, 5)."""
        count = len(event)
        hertz, pitch, octave = self._pitches(count, rng)
        timbre = integers(rng, count, high=self.timbres)
        spectra = torch.asarray(self._spectra, device=rng.device)
        size = spectra[timbre] * scales(rng, count, HARMONICS, low=0.7, high=1.4)
        return self._voice(hertz, size, rng), _inner(count, rng, {0: pitch, 1: octave, 2: timbre})

    def _vowels(self, event: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sung vowels: harmonics that fall by 6 dB an octave, raised at the formants."""
        count = len(event)
        hertz, pitch, octave = self._pitches(count, rng)
        vowel = integers(rng, count, high=len(FORMANTS))
        throat = uniform(rng, count, 1, low=0.92, high=1.08)
        formant = torch.tensor(FORMANTS, device=rng.device)[vowel] * throat
        number = torch.arange(1, HARMONICS + 1, device=rng.device)
        away = number * hertz[:, None, None] - formant[..., None]  # (count, formants, HARMONICS)
        width = 50 + 0.05 * formant[..., None]
        peaks = 1 / (1 + (away / width).square())
        weight = torch.tensor([1.0, 0.6, 0.35], device=rng.device)[:, None]
        size = ((peaks * weight).sum(1) + 0.01) / number.sqrt()
        return self._voice(hertz, size, rng), _inner(count, rng, {0: pitch, 1: octave, 3: vowel})

    def _sweeps(self, event: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Chirps over one to three octaves, even in hertz or in octaves."""
        count = len(event)
        span = uniform(rng, count, 1, low=1.0, high=3.0)
        low = scales(rng, count, 1, low=80.0, high=0.055 * self.rate)
        time = torch.linspace(0, 1, self.samples, device=rng.device)
        way = torch.where((event == RISING)[:, None], time, 1 - time)
        straight = 1 + way * (2**span - 1)
        curved = 2 ** (span * way)
        pace = low * torch.where(chance(rng, count, 0.5)[:, None], straight, curved)
        phase = (pace.double().cumsum(1) / self.rate % 1.0).float()
        sound = (2 * math.pi * phase).sin()
        return sound, _inner(count, rng, {})

    def _noises(self, event: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Bursts of noise of `COLOURS`."""
        count = len(event)
        colour = integers(rng, count, high=len(COLOURS))
        hertz = torch.fft.rfftfreq(self.samples, 1 / self.rate, device=rng.device)
        low = scales(rng, count, 1, low=0.02 * self.rate, high=0.06 * self.rate)
        high = scales(rng, count, 1, low=0.16 * self.rate, high=0.36 * self.rate)
        centre = torch.where((colour == 2)[:, None], low, high)
        band = torch.exp(-0.5 * ((hertz - centre) / (0.3 * centre)).square())
        red = 1 / hertz.clamp(min=20.0)
        gain = torch.where((colour == 1)[:, None], red, torch.ones_like(band))
        gain = torch.where((colour >= 2)[:, None], band, gain)
        parts = normal(rng, 2, *gain.shape) * gain
        sound = torch.fft.irfft(torch.complex(parts[0], parts[1]), n=self.samples)
        return sound, _inner(count, rng, {4: colour})

    def _clicks(self, event: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Short knocks, 3 to 20 a second: a tone and noise that die away within milliseconds."""
        count = len(event)
        time = torch.arange(self.samples, device=rng.device) / self.rate
        pace = scales(rng, count, 1, low=3.0, high=20.0)
        since = (
            (time * pace + uniform(rng, count, 1)) % 1.0
        ) / pace  # seconds after the last knock
        fade = torch.exp(-since / scales(rng, count, 1, low=0.002, high=0.012))
        ring = (2 * math.pi * since * scales(rng, count, 1, low=300.0, high=0.4 * self.rate)).cos()
        hiss = uniform(rng, count, self.samples, low=-1.0, high=1.0)
        return fade * torch.lerp(ring, hiss, uniform(rng, count, 1)), _inner(count, rng, {})

    def _envelopes(self, event: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Loudness over time (count, samples), and its class; clicks have none."""
        count = len(event)
        form = integers(rng, count, high=len(ENVELOPES))
        time = torch.linspace(0, 1, self.samples, device=rng.device)
        start = uniform(rng, count, 1, high=0.25)
        stop = start + uniform(rng, count, 1, low=0.6, high=0.75)
        inside = ((time - start) * 100).clamp(0, 1) * ((stop - time) * 40).clamp(0, 1)
        since = (time - start).clamp(min=0)
        swing = 2 * math.pi * uniform(rng, count, 1, low=5.0, high=12.0) * since
        fade = uniform(rng, count, 1, low=6.0, high=14.0)
        shape = torch.ones_like(inside)
        every = [
            torch.exp(-fade * since),
            (since / (stop - start)).square(),
            0.55 + 0.45 * swing.cos(),
            ((swing * 0.7).sin() * 8).clamp(0, 1),
        ]
        for number, one in enumerate(every, 1):
            shape = torch.where((form == number)[:, None], one, shape)
        click = event == CLICKS
        out = torch.where(click[:, None], torch.ones_like(shape), shape * inside)
        return out, form.masked_fill(click, ABSENT)

    def rooms(self, sound: Tensor, rng: torch.Generator, hardness: float) -> tuple[Tensor, Tensor]:
        """Adds the echoes of `ROOMS`; also which room (count,)."""
        count = len(sound)
        room = integers(rng, count, high=len(ROOMS))
        room = room.masked_fill(~chance(rng, count, hardness), 0)
        wet = room.nonzero()[:, 0]
        large = (room[wet] == 2)[:, None]
        short = scales(rng, len(wet), 1, low=0.06, high=0.15)
        long = scales(rng, len(wet), 1, low=0.5, high=1.2)
        fall = torch.where(large, long, short)  # seconds until 60 dB less
        tail = min(self.samples, round(0.5 * self.rate))
        time = torch.arange(tail, device=rng.device) / self.rate
        echo = normal(rng, len(wet), tail) * torch.exp(-6.9 * time / fall)
        echo = echo / echo.norm(dim=1, keepdim=True).clamp(min=1e-6)
        echo = echo * scales(rng, len(wet), 1, low=0.5, high=1.2)
        echo[:, 0] += 1
        size = 2 ** math.ceil(math.log2(self.samples + tail))
        spectrum = torch.fft.rfft(sound[wet], n=size) * torch.fft.rfft(echo, n=size)
        out = sound.clone()
        out[wet] = torch.fft.irfft(spectrum, n=size)[:, : self.samples]
        return out, room

    def ground(self, sound: Tensor, rng: torch.Generator, hardness: float) -> Tensor:
        """Adds noise 5 to 40 dB below half of the sounds, and another sound 12 dB below a fifth."""
        count = len(sound)
        noisy = chance(rng, count, 0.5 * hardness)[:, None]
        level = scales(rng, count, 1, low=0.01, high=0.55) * noisy
        other = 0.25 * chance(rng, count, 0.2 * hardness)[:, None]
        # Values of a uniform distribution between these bounds have variance 1.
        hiss = uniform(rng, *sound.shape, low=-math.sqrt(3), high=math.sqrt(3))
        return sound + level * hiss + other * sound.roll(1, 0)


def _inner(count: int, rng: torch.Generator, known: dict[int, Tensor]) -> Tensor:
    """Labels (count, 5), `ABSENT` but for the columns that are known."""
    labels = torch.full((count, 5), ABSENT, device=rng.device)
    for column, value in known.items():
        labels[:, column] = value
    return labels


def unit(sound: Tensor) -> Tensor:
    """Scales sounds (count, samples) to a mean square of 1."""
    return sound / sound.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


def read(table: Tensor, phase: Tensor) -> Tensor:
    """Reads one period (count, TABLE) at phases (count, samples) in periods, between its points."""
    place = (phase - phase.floor()) * TABLE
    left = place.long().clamp(max=TABLE - 1)
    table = torch.cat([table, table[:, :1]], 1)
    value = table.gather(1, left)
    return value + (place - left) * (table.gather(1, left + 1) - value)


GENERATOR = Tones
