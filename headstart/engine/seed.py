"""One seed in, every generator set: the same numbers give the same run, also after a resume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from headstart.core.head import Dropout


def derive(*parts: int | str) -> int:
    """A 63-bit seed from a plan's seed and the place in the run (phase, epoch, row)."""
    text = "|".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A numpy generator for one place in the run."""
    return np.random.default_rng(derive(*parts))


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Torch's global generator under a derived seed, as it was afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(*parts))
        yield


@contextmanager
def own(network: nn.Module, *parts: int | str) -> Iterator[None]:
    """Dropout of the heads from generators of their own, under derived seeds, for a while."""
    found = [(name, m) for name, m in network.named_modules() if isinstance(m, Dropout)]
    where = next((p.device for p in network.parameters()), torch.device("cpu"))
    for name, module in found:
        module.generator = torch.Generator(where).manual_seed(derive(*parts, name))
    try:
        yield
    finally:
        for _, module in found:
            module.generator = None
