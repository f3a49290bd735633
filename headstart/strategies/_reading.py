"""What a strategy measures on the training rows before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch

_ROWS = 64


@torch.no_grad()
def featured(network: Network, stream: Any, most: int = 0) -> Iterator[tuple[Tensor, Batch]]:
    """Features of the rows of a stream as the network gives them now, without augmentation, and the batch.

    Args:
        most: rows, evenly spread over the stream; 0: all.
    """
    places = np.arange(len(stream))
    if most and most < len(places):
        places = np.unique(np.linspace(0, len(places) - 1, most).round().astype(np.int64))
    for begin in range(0, len(places), _ROWS):
        batch = stream.batch(places[begin : begin + _ROWS], -1)
        yield network(batch.inputs, start=batch.start, want="features").float(), batch
