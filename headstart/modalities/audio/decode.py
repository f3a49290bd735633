"""Encoded sounds (WAV, FLAC, OGG, MP3) to samples of one channel at one rate.

libsndfile decodes (by way of soundfile), the SoX resampler changes rates (by way of soxr).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from headstart.errors import BadRow

MOST_BYTES = 100_000_000
LEAST_THERE = 0.99
"""Share of the bytes that a header promises which must be there; writers round by a block."""
SILENT = 1e-4
"""Peak below which a sound is silent: three steps of 16 bit."""
FULL, RUN = 0.9999, 3
"""A sound is clipped where so many samples in a row stand at full scale."""

_AGAIN = "export or copy the file again"
_CONVERT = "convert it to WAV, FLAC, OGG or MP3"
_BROKEN = (soundfile.SoundFileError, ValueError, TypeError)
PIPED = 0x7FFFF000
"""A WAV that was written to a pipe gives a size of at least this, or none."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself: samples a second, channels, samples of each channel."""

    rate: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


@dataclass(frozen=True)
class Sound:
    """A decoded sound.

    Attributes:
        samples: (n,) float32, about -1 to 1, the mean of all channels.
        rate: samples a second.
        header: of the file.
        clipped: whether the file's samples stand at full scale in runs.
        cut: whether only the middle of the file was decoded.
    """

    samples: np.ndarray
    rate: int
    header: Header
    clipped: bool
    cut: bool

    @property
    def silent(self) -> bool:
        return float(np.abs(self.samples).max(initial=0.0)) < SILENT


def kind(data: bytes) -> str:
    """ "wav", "flac", "ogg" or "mp3" by the first bytes; "" for anything else."""
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return "wav"
    starts = {b"fLaC": "flac", b"OggS": "ogg"}
    if data[:4] in starts:
        return starts[data[:4]]
    layer = len(data) > 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06
    return "mp3" if data[:3] == b"ID3" or layer else ""


def header(data: bytes) -> Header:
    """What the file says of itself; no sample is decoded. Raises BadRow."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return _header(file)
    except _BROKEN as error:
        raise BadRow(f"the sound's header is broken ({_said(error)})", _AGAIN) from error


def _header(file: soundfile.SoundFile) -> Header:
    return Header(int(file.samplerate), int(file.channels), int(file.frames))


def _said(error: Exception) -> str:
    """The library's own words, without the address of the bytes."""
    return str(getattr(error, "error_string", error)).rstrip(". ")


def inspect(data: bytes) -> Header:
    """Header and end of the file. Raises BadRow for what cannot be a whole sound."""
    if not data:
        raise BadRow("the file is empty (0 bytes)", _AGAIN)
    check_size(len(data))
    found = kind(data)
    if not found:
        raise BadRow(f"this is no sound: it begins with {data[:12]!r}", _CONVERT)
    there = _share_there(data, found)
    if there < LEAST_THERE:
        raise BadRow(f"the sound is truncated: {1 - there:.0%} of the file is missing", _AGAIN)
    if found == "ogg" and not _last_page(data):
        raise BadRow("the sound is truncated: its last page is missing", _AGAIN)
    said = header(data)
    if said.frames <= 0 or said.rate <= 0:
        raise BadRow("the sound has no samples", "record or export it again")
    if found == "flac":
        _read_last(data, said)
    return said


def check_size(size: int) -> None:
    """Raises BadRow for a file of more than MOST_BYTES."""
    if size > MOST_BYTES:
        raise BadRow(
            f"the file is enormous: {size / 1e6:.0f} MB, at most {MOST_BYTES // 10**6} are taken",
            "cut it into excerpts first",
        )


def _share_there(data: bytes, found: str) -> float:
    """Bytes that are there by bytes that the header promises; 1 where it promises none."""
    if found == "wav":
        place = 12
        while place + 8 <= len(data) and data[:4] == b"RIFF":
            size = int.from_bytes(data[place + 4 : place + 8], "little")
            if data[place : place + 4] == b"data":
                return (len(data) - place - 8) / size if 0 < size < PIPED else 1.0
            place += 8 + size + size % 2
    if found == "mp3":
        for mark in (b"Xing", b"Info"):
            place = data.find(mark, 0, 65536)
            flags = int.from_bytes(data[place + 4 : place + 8], "big") if place >= 0 else 0
            if flags & 2:
                size = data[place + 8 + 4 * (flags & 1) :][:4]
                return (len(data) - place) / max(1, int.from_bytes(size, "big") - place)
    return 1.0


def _last_page(data: bytes) -> bool:
    """Whether the last page of an Ogg stream says that it is the last, and is whole (RFC 3533)."""
    last = data.rfind(b"OggS")
    segments = data[last + 27 : last + 27 + data[last + 26]] if len(data) > last + 26 else b""
    whole = bool(segments) and len(data) >= last + 27 + len(segments) + sum(segments)
    return whole and bool(data[last + 5] & 4)


def _read_last(data: bytes, said: Header) -> None:
    """Decodes the last sample. Raises BadRow."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            file.seek(said.frames - 1)
            whole = len(file.read(1)) == 1
    except _BROKEN:
        whole = False
    if not whole:
        raise BadRow("the sound is truncated: its last samples cannot be read", _AGAIN)


def sound(data: bytes, rate: int = 0, seconds: float = 0.0) -> Sound:
    """Decodes, mixes channels to one, and resamples.

    Args:
        rate: samples a second of the result; 0: the file's own.
        seconds: at most so much from the middle is decoded; 0: all.

    Raises:
        BadRow: broken, or samples that are no finite numbers.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            said = _header(file)
            most = int(np.ceil(seconds * said.rate)) if seconds else said.frames
            cut = most < said.frames
            if cut:
                file.seek((said.frames - most) // 2)
            values = file.read(most if cut else -1, dtype="float32", always_2d=True)
    except _BROKEN as error:
        raise BadRow(f"the sound cannot be decoded ({_said(error)})", _AGAIN) from error
    if not len(values):
        raise BadRow("the sound has no samples", "record or export it again")
    _finite(values, said.rate)
    mixed = values[:, 0] if said.channels == 1 else values.mean(axis=1, dtype=np.float32)
    own = rate or said.rate
    if own != said.rate:
        mixed = soxr.resample(mixed, said.rate, own)
    return Sound(np.ascontiguousarray(mixed), own, said, _clipped(values), cut)


def encoded(values: np.ndarray, rate: int) -> bytes:
    """Samples (n,) within [-1, 1] as a WAV file of 16 bits."""
    held = io.BytesIO()
    soundfile.write(held, values, rate, format="WAV", subtype="PCM_16")
    return held.getvalue()


def _finite(values: np.ndarray, rate: int) -> None:
    """Raises BadRow for samples (n, channels) of which one is NaN or infinite."""
    if np.isfinite(values.sum(dtype=np.float64)):
        return
    first = int(np.argmin(np.isfinite(values).all(axis=1)))
    raise BadRow(
        f"sample {first} (at {first / rate:.3f} s) is no finite number", "export the sound again"
    )


def _clipped(values: np.ndarray) -> bool:
    """Whether a channel of (n, channels) stands at full scale for `RUN` samples in a row."""
    full = np.abs(values) >= FULL
    if not full.any():
        return False
    runs = full[: len(full) - RUN + 1].copy()
    for step in range(1, RUN):
        runs &= full[step : len(full) - RUN + 1 + step]
    return bool(runs.any())
