"""Small readers for tests: pictures are files that start with PIC, texts words, tables numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.core.dataset import Field, Sample
from headstart.core.task import Columns, Task
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import open_data
from headstart.errors import BadRow


class Pictures:
    """b"PIC", then 8 bytes of signature, then anything."""

    SUFFIXES = (".pic",)
    FILE_KIND = "path"
    NEAR = 2
    MANY = False

    def __init__(self) -> None:
        self.loads = 0

    def claim(self, name: str, values: Sequence[Any], root: Path) -> str | None:
        if values and all(isinstance(v, bytes) for v in values):
            return "bytes"
        named = values and all(isinstance(v, str) and v.endswith(".pic") for v in values)
        return "path" if named else None

    def load(self, cell: Any, field: Field, root: Path) -> Any:
        self.loads += 1
        return cell if isinstance(cell, bytes) else (root / cell).read_bytes()

    def check(self, sample: Sample, fields: Sequence[Field]) -> None:
        if not sample[fields[0].name].startswith(b"PIC"):
            raise BadRow("no picture", "save it again")

    def content(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return sample[fields[0].name]

    def signature(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return sample[fields[0].name][3:11]


class Words:
    SUFFIXES = (".txt",)
    FILE_KIND = "path"
    NEAR = 0
    MANY = False

    def claim(self, name: str, values: Sequence[Any], root: Path) -> str | None:
        spoken = values and all(isinstance(v, str) for v in values)
        return "text" if spoken and any(" " in v for v in values) else None

    def load(self, cell: Any, field: Field, root: Path) -> str:
        if field.kind == "path":
            return (root / cell).read_text("utf-8")
        return str(cell)

    def check(self, sample: Sample, fields: Sequence[Field]) -> None:
        if not any(sample[f.name].strip() for f in fields):
            raise BadRow("the text is empty", "write it")

    def content(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return "\0".join(sample[f.name] for f in fields).encode()

    def signature(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return b""


class Numbers:
    SUFFIXES = ()
    FILE_KIND = ""
    NEAR = 0
    MANY = True

    def claim(self, name: str, values: Sequence[Any], root: Path) -> str | None:
        if values and all(isinstance(v, (int, float)) for v in values):
            return "number"
        short = values and all(isinstance(v, str) and " " not in v for v in values)
        return "category" if short else None

    def load(self, cell: Any, field: Field, root: Path) -> Any:
        if cell is None or cell != cell:
            return None
        return float(cell) if field.kind == "number" else str(cell)

    def check(self, sample: Sample, fields: Sequence[Field]) -> None:
        for field in fields:
            value = sample[field.name]
            if isinstance(value, float) and math.isinf(value):
                raise BadRow(f"'{field.name}' is infinite", "correct it")

    def content(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return json.dumps([sample[f.name] for f in fields]).encode()

    def signature(self, sample: Sample, fields: Sequence[Field]) -> bytes:
        return b""


@pytest.fixture
def readers() -> dict[str, Any]:
    return {"image": Pictures(), "text": Words(), "table": Numbers()}


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes a picture of its own; `like` repeats another's signature with some bits changed."""
    rng = np.random.default_rng(0)

    def make(like: bytes = b"", flips: int = 0) -> bytes:
        bits = bytearray(like[3:11] or rng.bytes(8))
        for bit in range(flips):
            bits[bit] ^= 1
        return b"PIC" + bytes(bits) + rng.bytes(20)

    return make


@pytest.fixture
def photos(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    """A folder of two classes with ten pictures each, one of them deeper."""
    root = tmp_path / "photos"
    for name in ("cats", "dogs"):
        (root / name / "deep").mkdir(parents=True)
        for number in range(10):
            place = root / name / "deep" if number == 9 else root / name
            (place / f"{number}.pic").write_bytes(picture())
    return root


@pytest.fixture
def opened(tmp_path: Path, readers: Mapping[str, Any]) -> Callable[..., ArrowDataset]:
    """Opens a path with settings of the task; `columns` as keyword arguments of Columns."""

    def make(path: Path, columns: Mapping[str, Any] | None = None, **task: Any) -> ArrowDataset:
        whole = Task(data=str(path), columns=Columns(**(columns or {})), **task)
        return open_data(whole, readers, cache=tmp_path / "cache")

    return make


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes text (UTF-8) or bytes to a file of that name."""

    def make(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
        return path

    return make
