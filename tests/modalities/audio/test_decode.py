"""Decoding: formats, whole and damaged files, channels, rates, clipping, silence, NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import BadRow
from headstart.modalities.audio import decode
from tests.modalities.audio.sounds import RATE, encoded, tune

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", None),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", None),
}


def refused(data: bytes) -> str:
    with pytest.raises(BadRow) as caught:
        decode.inspect(data)
    assert caught.value.remedy
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_known_by_its_bytes_and_decodes(name: str) -> None:
    data = encoded(tune(), RATE, *FORMATS[name])
    assert decode.kind(data) in name or decode.kind(data) == "ogg"
    said = decode.inspect(data)
    assert (said.rate, said.channels) == (RATE, 1)
    assert said.seconds == pytest.approx(0.6, abs=0.05)
    made = decode.sound(data)
    assert made.samples.dtype == np.float32
    assert np.abs(made.samples).max() == pytest.approx(np.abs(tune()).max(), rel=0.35)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_is_cut_off_is_refused(name: str, share: float) -> None:
    data = encoded(tune(1.5), RATE, *FORMATS[name])
    reason = refused(data[: int(len(data) * share)])
    assert "truncated" in reason or "broken" in reason


def test_what_is_no_sound_is_said() -> None:
    assert "empty" in refused(b"")
    assert "b'Dear Madam, '" in refused(b"Dear Madam, here is a text named .wav")
    assert "no samples" in refused(encoded(tune()[:0]))
    assert "header is broken" in refused(b"RIFF\x10\x00\x00\x00WAVEfmt nothing at all")


def test_an_enormous_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MOST_BYTES", 1000)
    assert "enormous" in refused(encoded(tune()))


def test_a_wav_from_a_pipe_is_whole() -> None:
    """Its header promises the largest size there is."""
    data = bytearray(encoded(tune()))
    place = data.index(b"data")
    data[place + 4 : place + 8] = b"\xff\xff\xff\xff"
    assert decode.inspect(bytes(data)).frames == len(tune())


def test_channels_are_mixed_and_rates_brought_together() -> None:
    left, right = tune(seed=1), tune(seed=2)
    made = decode.sound(encoded(np.stack([left, right], axis=1), RATE, "WAV", "FLOAT"))
    assert made.header.channels == 2
    np.testing.assert_allclose(made.samples, (left + right) / 2, atol=1e-6)
    made = decode.sound(encoded(tune(rate=44100), 44100, "WAV", "FLOAT"), rate=16000)
    assert len(made.samples) == 9600
    wanted = tune(rate=16000)
    inner = slice(800, -800)  # the four notes break off between samples, so edges ring
    close = np.corrcoef(made.samples[inner], wanted[inner])[0, 1]
    assert close > 0.98


def test_only_the_middle_of_a_long_sound_is_decoded() -> None:
    data = encoded(np.arange(4000, dtype=np.float32) / 4000, RATE, "WAV", "FLOAT")
    made = decode.sound(data, seconds=0.1)
    assert made.cut
    np.testing.assert_allclose(made.samples, np.arange(1600, 2400) / 4000, atol=1e-6)
    assert not decode.sound(data, seconds=0.5).cut


def test_clipping_and_silence_are_seen() -> None:
    loud = np.clip(8 * tune(), -1, 1)
    assert decode.sound(encoded(loud)).clipped
    assert decode.sound(encoded(np.stack([tune(), loud], axis=1))).clipped
    assert not decode.sound(encoded(tune() / np.abs(tune()).max())).clipped
    assert decode.sound(encoded(0 * tune())).silent
    assert not decode.sound(encoded(tune())).silent


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused_with_its_place(bad: float) -> None:
    samples = tune()
    samples[2000] = bad
    with pytest.raises(BadRow, match=r"sample 2000 \(at 0.250 s\) is no finite number"):
        decode.sound(encoded(samples, RATE, "WAV", "FLOAT"))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_bytes_never_raise_anything_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["wav", "flac", "vorbis"]))
    held = bytearray(encoded(tune(0.2), RATE, *FORMATS[kind]))
    for _ in range(data.draw(st.integers(1, 6))):
        held[data.draw(st.integers(0, len(held) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode.inspect(bytes(held))
        made = decode.sound(bytes(held), 4000, 0.1)
    except BadRow:
        return
    assert np.isfinite(made.samples).all()
