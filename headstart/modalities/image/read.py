"""Picture files and encoded bytes to samples. Decoding itself is in `decode.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow
from headstart.modalities.image import decode

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
FILE_KIND = "path"
MANY = False
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
    """ "bytes" for encoded pictures, "path" for picture files that exist below `root`."""
    seen = [v.get("bytes", v.get("path")) if isinstance(v, Mapping) else v for v in values]
    seen = [v for v in seen if v]
    if not seen:
        return None
    if all(isinstance(v, bytes) for v in seen):
        return "bytes" if _most(map(_picture, seen)) else None
    if all(isinstance(v, str) for v in seen) and _most(v.lower().endswith(SUFFIXES) for v in seen):
        return "path"
    return None


def _picture(data: bytes) -> bool:
    """By the first bytes; sounds are RIFF files as well as WebP pictures are."""
    return data.startswith(_MAGIC) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def _most(flags: Any) -> bool:
    kept = list(flags)
    return sum(kept) >= 0.8 * len(kept)


def load(cell: Any, field: Field, root: Path) -> bytes:
    """Encoded bytes of one cell: bytes, a path below `root`, or Hugging Face's {"bytes", "path"}."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes):
        return cell
    if not cell:
        raise BadRow("no picture in this row", "give a file's path or its bytes")
    path = root / str(cell)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRow(
            f"{path.name} cannot be read ({error.strerror})", "check the path and its rights"
        ) from error


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
