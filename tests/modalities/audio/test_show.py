"""What the report shows: a spectrogram and an excerpt that plays."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile
from PIL import Image

from headstart.core.dataset import Field
from headstart.modalities.audio import show
from headstart.report import exhibits
from tests.modalities.audio.sounds import RATE, encoded, tune

FIELDS = (Field("clip", "bytes"),)


def shown(data: bytes) -> dict[str, str]:
    return show.exhibit({"clip": data}, FIELDS)


def decoded(uri: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def test_picture_and_excerpt_are_of_the_same_sound() -> None:
    low = np.sin(2 * np.pi * 150 * np.arange(RATE) / RATE).astype(np.float32)
    made = shown(encoded(0.4 * low))
    assert made["kind"] == "sound"
    grey = np.asarray(Image.open(decoded(made["picture"])).convert("L"))
    assert grey.shape == (160, 160)
    assert grey[120:].max() > 200 > 100 > grey[:60].max()
    samples, rate = soundfile.read(decoded(made["sound"]))
    assert (rate, len(samples)) == (RATE, RATE)
    np.testing.assert_allclose(samples, 0.4 * low, atol=1e-4)


def test_long_and_fine_sounds_are_shortened() -> None:
    made = shown(encoded(np.stack([tune(8.0, 44100)] * 2, axis=1), 44100, "FLAC"))
    samples, rate = soundfile.read(decoded(made["sound"]))
    assert rate == 16000 and samples.ndim == 1
    assert len(samples) == 48000
    assert sum(len(v) for v in made.values()) < 200_000


def test_silence_is_shown_too_and_the_report_takes_it() -> None:
    made = shown(encoded(0 * tune()))
    html = exhibits._sample(made)
    assert html.count("<img") == html.count("<audio") == 1
