"""Encoded pictures to RGB pixels: rotation tag, 16 bit, CMYK, palette and alpha set right.

Full decoding goes through libjpeg-turbo by way of `simplejpeg` where that gives the same pixels as
Pillow, because it takes about two thirds of the time; everything else goes through Pillow.
"""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from headstart.errors import BadRow

try:
    import simplejpeg
except ImportError:  # the extra brings it; Pillow alone does as well, slower
    simplejpeg = None

MOST_PIXELS = 120_000_000
MOST_BYTES = 8 * MOST_PIXELS
"""Four channels of 16 bit, not compressed."""
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
# Pillow warns of odd headers; what cannot be read is set aside with its reason. For good and at once, as
# filters are one for all threads, and pictures are decoded on several.
warnings.filterwarnings("ignore", module=r"PIL\.")

_AGAIN = "export or copy the file again"
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError)


def check_size(size: int) -> None:
    """Raises BadRow for a file of more than MOST_BYTES."""
    if size > MOST_BYTES:
        raise BadRow(
            f"the file is enormous: {size / 1e6:.0f} MB, at most {MOST_BYTES // 10**6} are taken",
            "shrink the picture first, or cut it into tiles",
        )


def inspect(data: bytes) -> tuple[int, int]:
    """Width and height from the header. Raises BadRow for what cannot be a whole picture."""
    check_size(len(data))
    if not data:
        raise BadRow("the file is empty", _AGAIN)
    try:
        with Image.open(io.BytesIO(data)) as picture:
            size, kind = picture.size, picture.format or ""
    except Image.DecompressionBombError as error:
        raise BadRow(f"the picture is enormous ({error})", "shrink it first") from error
    except UnidentifiedImageError as error:
        raise BadRow("this is no picture that Pillow knows", "convert it to PNG or JPEG") from error
    except _BROKEN as error:
        raise BadRow(f"the picture's header is broken ({error})", _AGAIN) from error
    if size[0] * size[1] > MOST_PIXELS:
        raise BadRow(
            f"the picture is enormous: {size[0]} x {size[1]} pixels, "
            f"at most {MOST_PIXELS // 10**6} million are taken",
            "shrink it first, or cut it into tiles",
        )
    if kind in _ENDS and _ENDS[kind] not in data[-65536:]:
        raise BadRow("the picture is truncated: its end is missing", _AGAIN)
    return size


def size(data: bytes) -> tuple[int, int]:
    """Width and height, nothing checked where the header of a JPEG says them at once. Raises BadRow."""
    if simplejpeg is not None and data.startswith(b"\xff\xd8\xff"):
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            return int(width), int(height)
        except ValueError:
            pass
    return inspect(data)


def pixels(data: bytes, least: tuple[int, int] | None = None) -> Image.Image:
    """RGB picture, upright. With `least` (width, height) a JPEG may be decoded at a reduced scale
    that is still at least that large (Loeffler et al. 1989 scaling, as libjpeg offers it).

    Raises:
        BadRow: truncated, broken or enormous.
    """
    try:
        turbo = _turbo(data, least)
        return turbo if turbo is not None else _pillow(data, least)
    except Image.DecompressionBombError as error:
        raise BadRow(f"the picture is enormous ({error})", "shrink it first") from error
    except UnidentifiedImageError as error:
        raise BadRow("this is no picture that Pillow knows", "convert it to PNG or JPEG") from error
    except _BROKEN as error:
        raise BadRow(f"the picture cannot be decoded ({error})", _AGAIN) from error


def _turbo(data: bytes, least: tuple[int, int] | None) -> Image.Image | None:
    """A plain upright JPEG through simplejpeg; None where Pillow has to look."""
    if simplejpeg is None or not data.startswith(b"\xff\xd8\xff") or b"Exif\x00" in data[:65536]:
        return None
    _, _, space, _ = simplejpeg.decode_jpeg_header(data)
    if space not in ("YCbCr", "RGB", "Gray"):
        return None
    width, height = least or (0, 0)
    array = simplejpeg.decode_jpeg(
        data, colorspace="RGB", min_width=width, min_height=height, min_factor=1
    )
    return Image.fromarray(array)


def _pillow(data: bytes, least: tuple[int, int] | None) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    if least and picture.format == "JPEG":
        picture.draft("RGB", least)
    upright = ImageOps.exif_transpose(picture)
    return rgb(upright if upright is not None else picture)


def rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB. Alpha is laid on white; deep pictures keep their own power-of-two range."""
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        return _deep(np.asarray(picture))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return picture.convert("RGB")


def _deep(values: np.ndarray) -> Image.Image:
    """16-bit, 32-bit or float grey to 8 bit: divided by the smallest power of two that holds the
    largest value (12-bit scans in 16-bit files stay bright), floats in 0..1 taken as shares."""
    grey = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    top = float(grey.max(initial=0.0))
    if 0 < top <= 1 and values.dtype.kind == "f":
        scale = 255.0
    else:
        scale = 255.0 / (2.0 ** max(8, int(np.ceil(np.log2(top + 1)))) - 1) if top else 1.0
    return Image.fromarray(np.round(grey * scale).astype(np.uint8)).convert("RGB")


def thumbnail(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Small grey picture, (height, width) int16, for hashes and histograms."""
    picture = pixels(data, least=(size[0] * 2, size[1] * 2))
    small = picture.convert("L").resize(size, Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)


def encoded(pixels: np.ndarray) -> bytes:
    """(H, W, 1 or 3) uint8 as an uncompressed picture file, which is read again to the same pixels."""
    made = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(made, "BMP")
    return made.getvalue()
