"""Mel spectrograms in NumPy: frames, power spectra, and the mel filters of three conventions.

The scales are those of Slaney's Auditory Toolbox (1998; Whisper's and librosa's), of HTK, and of Kaldi,
whose triangles are straight on the mel axis.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import fft, sparse

Scale = Literal["slaney", "htk", "kaldi"]

FLOOR = 1e-10
RANGE = 8.0
"""Decades of power below a sound's loudest cell that are told apart: 80 dB, as in Whisper."""
_BREAK, _STEP = 1000.0, np.log(6.4) / 27.0  # where Slaney's scale turns logarithmic


def to_mel(hertz: np.ndarray, scale: Scale) -> np.ndarray:
    """Hertz -> mel."""
    hertz = np.asarray(hertz, float)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    if scale == "kaldi":
        return 1127.0 * np.log(1.0 + hertz / 700.0)
    above = 15.0 + np.log(np.maximum(hertz, _BREAK) / _BREAK) / _STEP
    return np.where(hertz < _BREAK, 3.0 * hertz / 200.0, above)


def to_hertz(mel: np.ndarray, scale: Scale) -> np.ndarray:
    """Mel -> hertz."""
    mel = np.asarray(mel, float)
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    if scale == "kaldi":
        return 700.0 * (np.exp(mel / 1127.0) - 1.0)
    above = _BREAK * np.exp(_STEP * (np.maximum(mel, 15.0) - 15.0))
    return np.where(mel < 15.0, 200.0 * mel / 3.0, above)


def filters(
    rate: int, size: int, bands: int, low: float = 20.0, high: float = 0.0, scale: Scale = "htk"
) -> np.ndarray:
    """Triangular mel filters, (size // 2 + 1, bands) float32.

    Args:
        rate: samples a second.
        size: points of the Fourier transform.
        low, high: hertz of the outermost edges; high 0: half the rate.
        scale: "slaney" filters have equal area, the others equal height; "kaldi" triangles are straight
            over mel, the others over hertz.
    """
    ends = to_mel(np.array([low, high or rate / 2.0]), scale)
    edges = np.linspace(ends[0], ends[1], bands + 2)
    bins = np.linspace(0.0, rate / 2.0, size // 2 + 1)
    if scale == "kaldi":
        bins = to_mel(np.arange(size // 2 + 1) * (rate / size), scale)
    else:
        edges = to_hertz(edges, scale)
    widths = np.diff(edges)
    rising = (bins[:, None] - edges[None, :-2]) / widths[:-1]
    falling = (edges[None, 2:] - bins[:, None]) / widths[1:]
    made = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        made = made * (2.0 / (edges[2:] - edges[:-2]))
    return made.astype(np.float32)


@lru_cache(maxsize=16)
def bank(
    rate: int, size: int, bands: int, low: float = 20.0, high: float = 0.0, scale: Scale = "htk"
) -> sparse.csr_array:
    """`filters` the other way round, (bands, size // 2 + 1), sparse: a point lies in two filters at most,
    and no second thread is woken for so little."""
    return sparse.csr_array(filters(rate, size, bands, low, high, scale).T)


@lru_cache(maxsize=16)
def hann(length: int, *, periodic: bool = True) -> np.ndarray:
    """Hann window, (length,) float32."""
    points = np.arange(length) / (length if periodic else length - 1)
    made = (0.5 - 0.5 * np.cos(2.0 * np.pi * points)).astype(np.float32)
    made.setflags(write=False)
    return made


def frames(samples: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Overlapping pieces, a view of (n, length); none of a sound shorter than `length`."""
    if len(samples) < length:
        return np.empty((0, length), samples.dtype)
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def power(pieces: np.ndarray, window: np.ndarray, size: int) -> np.ndarray:
    """Power spectra of frames: (n, length) -> (n, size // 2 + 1) float32."""
    spectrum = fft.rfft(pieces * window, size, axis=1)
    made = spectrum.real**2
    made += spectrum.imag**2
    return made  # type: ignore[no-any-return]


def energies(
    samples: np.ndarray, rate: int, *, bands: int, cells: int, seconds: float
) -> np.ndarray:
    """Mel energies of the first `seconds` in a fixed number of cells.

    Frames of 25 ms follow each other by at most 15 ms; a cell is the mean of those that start in it. A
    shorter sound counts as followed by silence.

    Args:
        samples: (n,) float32.

    Returns:
        (bands, cells) float32, power.
    """
    length, starts, many = _layout(rate, cells, seconds)
    padded = np.zeros(int(starts[-1]) + 2 * length, np.float32)
    lead = length // 2  # a frame is centred on its start
    taken = samples[: len(padded) - lead]
    padded[lead : lead + len(taken)] = taken
    pieces = np.lib.stride_tricks.sliding_window_view(padded, length)[starts]
    size = fft.next_fast_len(2 * length, real=True)
    spectra = power(pieces, hann(length), size).reshape(cells, many, -1)
    means = np.add.reduce(spectra, axis=1) / np.float32(many)
    return bank(rate, size, bands) @ means.T  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _layout(rate: int, cells: int, seconds: float) -> tuple[int, np.ndarray, int]:
    """Samples of a frame, where the frames start, and how many of them a cell has."""
    many = max(1, int(np.ceil(seconds / cells / 0.015)))
    starts = (np.arange(cells * many) * (seconds * rate / (cells * many))).astype(int)
    starts.setflags(write=False)
    return max(16, round(0.025 * rate)), starts, many


def fast_size(length: int) -> int:
    """The smallest power of two that holds a frame."""
    return 1 << (length - 1).bit_length()


def levels(energy: np.ndarray, decades: float = RANGE) -> np.ndarray:
    """Energies -> decades below the loudest cell, -decades to 0: a sound's gain plays no part. Silence
    is all at the lowest level."""
    logs = np.log10(np.maximum(energy, FLOOR))
    top = float(logs.max(initial=np.log10(FLOOR)))
    if top <= np.log10(FLOOR):
        return np.full_like(logs, -decades)
    return np.maximum(logs - top, -decades)
