"""Sound files and encoded bytes to samples. Decoding itself is in `decode.py`; no network library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.modalities import _files
from headstart.modalities.audio import decode, mel

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
FILE_KIND = "path"
MANY = False
# Of 256 bits. Most copies of spoken digits in other formats, at other rates, or trimmed by a tenth lie
# within it; of 3,000 takes of the same ten digits by the same six speakers hardly two do.
NEAR = 18

_SEGMENTS, _BANDS = 8, 33
_LOUDNESS = 0.35
_FAINT = 1e-4  # of a segment's loudest band; smaller differences are left to chance by encoders
_LONGEST = 30.0  # seconds from the middle that a signature looks at
_WIDE, _NARROW = (100.0, 7000.0), (100.0, 3400.0)


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """ "bytes" for encoded sounds, "path" for names of sound files."""
    return _files.claim(values, SUFFIXES, lambda data: bool(decode.kind(data)))


def load(cell: Any, field: Field, root: Path) -> bytes:
    """Encoded bytes of one cell: bytes, a path below `root`, or {"bytes", "path"}. Raises BadRow."""
    return _files.load(cell, root, "sound", decode.check_size)


def drawn(arrays: Any, generator: Any) -> list[bytes] | None:
    """Sounds (N, samples) float32 within [-1, 1], at the generator's `rate`, as encoded cells; else None."""
    rate, values = getattr(generator, "rate", 0), np.asarray(arrays)
    if not rate or values.dtype != np.float32 or values.ndim != 2:
        return None
    return [decode.encoded(one, rate) for one in values]


def check(sample: Sample, fields: Sequence[Field]) -> None:
    """Header, size and end of the sound. Raises BadRow."""
    decode.inspect(sample[fields[0].name])


def content(sample: Sample, fields: Sequence[Field]) -> bytes:
    """The encoded bytes."""
    return bytes(sample[fields[0].name])


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """256 bits: which of two neighbouring mel bands is louder, in eight segments of equal loudness.

    As in Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002), signs of
    differences between bands survive another encoding and another gain. Segments end where the loudness
    has added up to another eighth, so that trimmed or padded ends move them little. b"" for silence.

    Raises:
        BadRow: the sound cannot be decoded, or holds NaN.
    """
    sound = decode.sound(sample[fields[0].name], seconds=_LONGEST)
    if sound.silent:
        return b""
    rate = sound.rate
    length = max(16, round(0.032 * rate))
    hop = max(1, min(round(0.008 * rate), len(sound.samples) // 64))
    ends = np.zeros(length, np.float32)
    pieces = mel.frames(np.concatenate([ends[::2], sound.samples, ends]), length, hop)
    size = 2 * mel.fast_size(length)
    low, high = _WIDE if rate >= 2 * _WIDE[1] else _NARROW
    bank = mel.bank(rate, size, _BANDS, low, min(high, 0.475 * rate))
    cells = _segments(bank @ mel.power(pieces, mel.hann(length), size).T)
    least = _FAINT * cells.max(axis=1, keepdims=True)
    return np.packbits(cells[:, 1:] - cells[:, :-1] > least).tobytes()


def _segments(energy: np.ndarray) -> np.ndarray:
    """Mean energies (_SEGMENTS, bands) of pieces of equal loudness, out of frames (bands, n)."""
    energy = energy.T.astype(np.float64)
    loud = np.concatenate([[0.0], np.cumsum(energy.sum(1) ** _LOUDNESS)])
    at = np.interp(np.linspace(0.0, loud[-1], _SEGMENTS + 1), loud, np.arange(len(loud)))
    total = np.concatenate([np.zeros((1, energy.shape[1])), np.cumsum(energy, axis=0)])
    low = np.minimum(at.astype(int), len(energy) - 1)
    share = (at - low)[:, None]
    upto = total[low] * (1.0 - share) + total[low + 1] * share
    return np.diff(upto, axis=0) / np.maximum(np.diff(at), 1e-9)[:, None]
