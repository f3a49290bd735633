"""Plain values that JSON holds without loss: numbers that are not finite included."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

_FLOAT = "$float"


def plain(thing: Any) -> Any:
    """Anything a document may hold, as JSON's own types.

    A float that is not finite becomes {"$float": "nan" | "inf" | "-inf"}, since JSON has no word for
    it; arrays and tuples become lists, dataclasses tables. A key that begins with "$" is doubled.
    """
    if thing is None or isinstance(thing, (bool, str)):
        return thing
    if isinstance(thing, float):
        return float(thing) if math.isfinite(thing) else {_FLOAT: str(float(thing))}
    if isinstance(thing, int):
        return int(thing)
    if isinstance(thing, Mapping):
        return {_escape(str(key)): plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [plain(value) for value in thing]
    if isinstance(thing, (set, frozenset)):
        return [plain(value) for value in sorted(thing)]
    if is_dataclass(thing) and not isinstance(thing, type):
        return {f.name: plain(getattr(thing, f.name)) for f in fields(thing)}
    if hasattr(thing, "tolist"):  # arrays, tensors, and their scalars
        return plain(thing.tolist())
    if isinstance(thing, bytes):
        return thing.hex()
    return thing.as_posix() if isinstance(thing, Path) else str(thing)


def rich(thing: Any) -> Any:
    """The way back from `plain`; lists stay lists."""
    if isinstance(thing, list):
        return [rich(value) for value in thing]
    if isinstance(thing, dict):
        if set(thing) == {_FLOAT}:
            return float(thing[_FLOAT])
        return {_unescape(key): rich(value) for key, value in thing.items()}
    return thing


def dumps(thing: Any) -> bytes:
    """JSON of `plain(thing)`, in UTF-8, indented for a reader."""
    text = json.dumps(plain(thing), indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "surrogatepass")


def loads(data: bytes) -> Any:
    """The way back from `dumps`. Raises ValueError for what is not JSON."""
    return rich(json.loads(data.decode("utf-8", "surrogatepass")))


def _escape(key: str) -> str:
    return "$" + key if key.startswith("$") else key


def _unescape(key: str) -> str:
    return key[1:] if key.startswith("$$") else key
