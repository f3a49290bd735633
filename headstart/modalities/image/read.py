"""Picture files and encoded bytes to samples. Decoding itself is in `decode.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.core.reader import Gathered
from headstart.core.task import Columns
from headstart.modalities import _files
from headstart.modalities.image import arrays, decode

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
FILE_KIND = "path"
MANY = False
CONTAINERS = {
    ".npz": "pictures: x (N, H, W[, channels]) uint8 and y (N,), or x_train, y_train, x_test, y_test"
}
# 256-bit difference hash: re-encoded or slightly resized copies stay within about 10 bits.
NEAR = 10
_HASH_SIDE = 16

_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"P5",
    b"P6",
)


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """ "bytes" for encoded pictures, "path" for names of picture files."""
    return _files.claim(values, SUFFIXES, _picture)


def _picture(data: bytes) -> bool:
    """By the first bytes; sounds are RIFF files as well as WebP pictures are."""
    return data.startswith(_MAGIC) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def load(cell: Any, field: Field, root: Path) -> bytes:
    """Encoded bytes of one cell: bytes, a path below `root`, or Hugging Face's {"bytes", "path"}. Raises
    BadRow."""
    return _files.load(cell, root, "picture", decode.check_size)


def drawn(arrays: Any, generator: Any) -> list[bytes] | None:
    """Pictures (N, 1 or 3, H, W) uint8, as a generator draws them, as encoded cells; None for others."""
    values = np.asarray(arrays)
    if values.dtype != np.uint8 or values.ndim != 4 or values.shape[1] not in (1, 3):
        return None
    return [decode.encoded(one.transpose(1, 2, 0)) for one in values]


def check(sample: Sample, fields: Sequence[Field]) -> None:
    """Header, size and end mark of the picture; no pixel is decoded. Raises BadRow."""
    decode.inspect(sample[fields[0].name])


def content(sample: Sample, fields: Sequence[Field]) -> bytes:
    """The encoded bytes."""
    return bytes(sample[fields[0].name])


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """256-bit difference hash of the grey picture at 17 x 16 (32 bytes)."""
    grey = decode.thumbnail(sample[fields[0].name], (_HASH_SIDE + 1, _HASH_SIDE))
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()


def gather(
    thing: Any, asked: Columns | None, *, named: bool = False, fields: Sequence[Field] = ()
) -> Gathered | None:
    """Rows of arrays of pixels, or of a `.npz` file of such; None for anything else. Raises DataError."""
    return arrays.gather(thing, labelled=asked is not None)
