"""A stored row as bytes: version, checksum, then named arrays."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from headstart.core.store import Row

_MAGIC = b"HSR1"
_HEAD = struct.Struct("<4sIQ")  # magic, CRC-32 of key and body, bytes of the body
_SMALL = 1 << 16  # bytes; larger rows are checked in full only when they are read


class Damaged(Exception):
    """The bytes are not what was written."""


def encode(key: bytes, row: Row) -> bytes:
    """Named arrays to bytes. Layout of the body: count, then per array the lengths of name and dtype,
    the number of axes, name, dtype, axes (int64), data in C order; integers little-endian."""
    parts = [bytes([len(row)])]
    for name, value in row.items():
        array = np.asarray(value, order="C")
        spelled, kind = name.encode(), array.dtype.str.encode()
        parts.append(bytes([len(spelled), len(kind), array.ndim]) + spelled + kind)
        parts.append(struct.pack(f"<{array.ndim}q", *array.shape))
        parts.append(array.tobytes())
    body = b"".join(parts)
    return _HEAD.pack(_MAGIC, zlib.crc32(body, zlib.crc32(key)), len(body)) + body


def check(key: bytes, value: memoryview, whole: bool = False) -> memoryview:
    """The body, after a check of version and length, and of the checksum when the row is small or
    `whole`. Raises Damaged."""
    if len(value) < _HEAD.size:
        raise Damaged
    magic, crc, size = _HEAD.unpack_from(value)
    body = value[_HEAD.size :]
    if magic != _MAGIC or size != len(body):
        raise Damaged
    if (whole or size <= _SMALL) and zlib.crc32(body, zlib.crc32(key)) != crc:
        raise Damaged
    return body


def decode(key: bytes, value: memoryview) -> dict[str, np.ndarray]:
    """Bytes to named arrays, copied out of the database's memory. Raises Damaged."""
    body = check(key, value, whole=True)
    row: dict[str, np.ndarray] = {}
    at = 1
    for _ in range(body[0]):
        name, array, at = _array(body, at)
        row[name] = array
    return row


def _array(body: memoryview, at: int) -> tuple[str, np.ndarray, int]:
    long, wide, axes = body[at : at + 3]
    at += 3
    name = bytes(body[at : at + long]).decode()
    kind = np.dtype(bytes(body[at + long : at + long + wide]).decode())
    at += long + wide
    shape = struct.unpack_from(f"<{axes}q", body, at)
    at += 8 * axes
    count = int(np.prod(shape, dtype=np.int64))
    array = np.frombuffer(body, kind, count, at).reshape(shape).copy()
    return name, array, at + count * kind.itemsize


def stack(keys: Sequence[bytes], values: Sequence[memoryview]) -> tuple[np.ndarray, list[int]]:
    """Rows of one array each, all of one width -> (N, width) float32, and places that are damaged.

    The prefix before the numbers is equal in all rows, so it is parsed once.
    """
    out: np.ndarray | None = None
    prefix, damaged = b"", []
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        try:
            body = check(key, value, whole=True)
            if out is None:
                _, first, _ = _array(body, 1)
                prefix = bytes(body[: len(body) - first.nbytes])
                out = np.empty((len(keys), first.size), np.float32)
            if body[: len(prefix)] != prefix:
                raise Damaged
            out[place] = np.frombuffer(body, np.float32, -1, len(prefix))
        except Damaged:
            damaged.append(place)
    return (np.empty((0, 0), np.float32) if out is None else out), damaged
