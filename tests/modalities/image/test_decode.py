"""Every kind of picture file to upright RGB, and what is no picture set aside with its reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from headstart.errors import BadRow
from headstart.modalities.image import decode


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    picture.save(held, kind, **options)  # type: ignore[arg-type]
    return held.getvalue()


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("orientation", "red"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom")]
)
def test_the_rotation_tag_is_obeyed(orientation: int, red: str) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    told = np.asarray(decode.pixels(saved(halves(), "JPEG", exif=tags, quality=95)))
    places = {
        "left": told[:, :8],
        "right": told[:, -8:],
        "top": told[:8],
        "bottom": told[-8:],
    }
    assert places[red][..., 0].min() > 200, red
    assert (told.shape[0] > told.shape[1]) == (orientation in (6, 8))


@pytest.mark.parametrize("quality", [60, 95])
def test_jpegs_have_the_pixels_that_pillow_gives(quality: int) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (33, 47, 3), dtype=np.uint8))
    data = saved(noise, "JPEG", quality=quality)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(np.asarray(decode.pixels(data)), expected)


def test_sixteen_bit_scans_keep_their_range() -> None:
    deep = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    told = np.asarray(decode.pixels(saved(Image.fromarray(deep), "PNG")))
    assert told.shape == (64, 64, 3)
    assert told[0, 0, 0] == 0
    assert told[-1, -1, 0] == 255
    assert (np.diff(told[..., 0].ravel().astype(int)) >= 0).all()


def test_cmyk_palette_alpha_and_grey() -> None:
    plain = np.asarray(halves())
    cmyk = np.asarray(decode.pixels(saved(halves().convert("CMYK"), "JPEG", quality=95)))
    assert np.abs(cmyk.astype(int) - plain).mean() < 8
    palette = halves().convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.abs(np.asarray(decode.pixels(saved(palette, "GIF"))).astype(int) - plain).mean() < 8
    clear = halves().convert("RGBA")
    clear.putalpha(0)
    assert (np.asarray(decode.pixels(saved(clear, "PNG"))) == 255).all()
    grey = np.asarray(decode.pixels(saved(halves().convert("L"), "PNG")))
    assert (grey[..., 0] == grey[..., 2]).all()


def test_a_reduced_scale_is_never_smaller_than_asked() -> None:
    data = saved(halves(800, 600), "JPEG")
    small = decode.pixels(data, least=(190, 150))
    assert small.size[0] < 800
    assert small.size[0] >= 190
    assert small.size[1] >= 150


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "no picture that Pillow knows"),
        (saved(halves(), "JPEG")[:-40], "truncated"),
        (saved(halves(), "PNG")[:-20], "truncated"),
    ],
)
def test_what_is_no_picture_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        decode.inspect(data)


def test_an_enormous_picture_is_refused_by_its_header() -> None:
    huge = Image.new("1", (30_000, 30_000))
    with pytest.raises(BadRow, match="enormous"):
        decode.inspect(saved(huge, "PNG"))


def test_a_broken_body_is_a_bad_row() -> None:
    data = bytearray(saved(halves(400, 300), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadRow):
        decode.pixels(bytes(data))
