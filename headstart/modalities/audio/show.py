"""Spectrograms and playable excerpts for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import soundfile
from PIL import Image

from headstart.core.dataset import Field, Sample
from headstart.modalities.audio import decode, mel

SECONDS = 3.0
"""Longest excerpt, from the middle."""
MOST_RATE = 16_000
SIDE, BANDS = 160, 80
# black, violet, red, orange, pale yellow: darker is softer, also without colour
_COLOURS = ((0, 0, 0), (66, 15, 117), (165, 44, 96), (240, 112, 44), (252, 253, 191))


def exhibit(sample: Sample, fields: Sequence[Field]) -> dict[str, str]:
    """{"kind": "sound", "picture": a PNG, "sound": a WAV}, both as data URIs.

    The picture is a mel spectrogram of 160 pixels a side, low tones at the bottom; picture and sound are
    of the same excerpt, at most 3 seconds of 16 bit at 16 kHz.
    """
    data = sample[fields[0].name]
    rate = min(decode.header(data).rate, MOST_RATE)
    sound = decode.sound(data, rate, SECONDS)
    return {
        "kind": "sound",
        "picture": _uri("image/png", _picture(sound)),
        "sound": _uri("audio/wav", _excerpt(sound)),
    }


def _picture(sound: decode.Sound) -> bytes:
    seconds = len(sound.samples) / sound.rate
    energy = mel.energies(sound.samples, sound.rate, bands=BANDS, cells=SIDE, seconds=seconds)
    shares = 1.0 + mel.levels(energy)[::-1] / mel.RANGE
    stops = np.linspace(0.0, 1.0, len(_COLOURS))
    colours = [np.interp(shares, stops, channel) for channel in zip(*_COLOURS, strict=True)]
    pixels = np.stack(colours, axis=2).astype(np.uint8)
    held = io.BytesIO()
    tall = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    tall.quantize(64).save(held, "PNG", optimize=True)
    return held.getvalue()


def _excerpt(sound: decode.Sound) -> bytes:
    held = io.BytesIO()
    soundfile.write(held, sound.samples, sound.rate, format="WAV", subtype="PCM_16")
    return held.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
