"""Content digests: of bytes, of plain values, of tensors. BLAKE2b for speed, SHA-256 for files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ROW_BYTES = 16


def row(data: bytes) -> bytes:
    """Digest of one sample's content, 16 bytes."""
    return hashlib.blake2b(data, digest_size=ROW_BYTES).digest()


def value(thing: Any) -> str:
    """Digest of plain data (anything JSON can hold, dataclasses too), 32 hexadecimal digits."""
    text = json.dumps(thing, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(thing: Any) -> Any:
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    if isinstance(thing, Mapping):
        return dict(thing)
    if isinstance(thing, bytes):
        return thing.hex()
    if hasattr(thing, "tolist"):
        return thing.tolist()
    if isinstance(thing, (set, frozenset)):
        return sorted(thing)
    return str(thing)


def tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in the order of their names."""
    total = hashlib.sha256()
    for name, tensor in sorted(named, key=lambda pair: pair[0]):
        array = tensor.detach().cpu().contiguous()
        total.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        if array.numel():
            import torch

            total.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
