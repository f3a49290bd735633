"""Small drawn pictures as data URIs, made without any library."""

from __future__ import annotations

import base64
import random
import struct
import zlib


def png(red: int, green: int, blue: int, seed: int = 0, size: int = 48) -> str:
    """A small leaf-like picture as a data URI."""
    dice, rows = random.Random(seed), []
    spots = [(dice.random() * size, dice.random() * size, 2 + dice.random() * 4) for _ in range(9)]
    for y in range(size):
        line = bytearray([0])
        for x in range(size):
            inside = ((x - size / 2) / (size * 0.44)) ** 2 + (
                (y - size / 2) / (size * 0.3)
            ) ** 2 < 1
            spot = any((x - a) ** 2 + (y - b) ** 2 < r * r for a, b, r in spots)
            line += bytes(
                (150, 95, 40)
                if inside and spot
                else (red, green, blue)
                if inside
                else (238, 236, 228)
            )
        rows.append(bytes(line))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = (
        chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()
