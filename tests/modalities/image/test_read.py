"""Which bytes are pictures: by their first bytes, of which sounds share some."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest
from PIL import Image

from headstart.modalities.image import read


def picture(kind: str) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 30, 90)).save(held, kind)
    return held.getvalue()


def sound() -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * 100)
    return held.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_encoded_pictures_are_claimed(kind: str) -> None:
    assert read.claim("x", [picture(kind)] * 3, Path()) == "bytes"


def test_a_sound_is_no_picture_though_it_is_a_riff_file() -> None:
    assert sound()[:4] == picture("WEBP")[:4] == b"RIFF"
    assert read.claim("x", [sound()] * 3, Path()) is None
    assert read.claim("x", [{"bytes": sound(), "path": None}], Path()) is None
    assert read.claim("x", [b"RIFF"], Path()) is None
