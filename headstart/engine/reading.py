"""What a network says of the rows of a stream, in eval mode: features, outputs, its loss."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch

from headstart.core.network import Network
from headstart.core.ragged import joined
from headstart.core.strategy import Batch, Strategy
from headstart.engine.freeze import evaluating
from headstart.engine.streams import Stream, plain

Read = Callable[[Stream, np.ndarray, int], Batch]


def loss(
    network: Network, strategy: Strategy, stream: Stream, batch: int, read: Read | None = None
) -> float:
    """Mean loss over a stream as validation has it, without dropout and augmentation.

    Args:
        batch: rows of a training step; at least 64 are read at once.
        read: (stream, places, epoch) -> batch, on the network's device.
    """
    read = read or _beside(network)
    total, size = 0.0, max(64, batch)
    inner = getattr(network, "module", network)  # of Fabric's wrapper
    with evaluating(inner), torch.no_grad():
        for begin in range(0, len(stream), size):
            places = np.arange(begin, min(begin + size, len(stream)))
            parts = strategy.loss(network, {"train": read(stream, places, -1)}, 1.0)
            total += float(torch.stack(list(parts.values())).sum()) * len(places)
    return total / len(stream)


def _beside(network: Network) -> Read:
    """Reads batches to where a network is."""
    where = next(network.parameters()).device

    def read(stream: Stream, places: np.ndarray, epoch: int) -> Batch:
        made = stream.batch(places, epoch)
        inputs, targets = (
            {n: t.to(where) for n, t in named.items()} for named in (made.inputs, made.targets)
        )
        return Batch(inputs, targets, made.start)

    return read


def features(
    network: Network, stream: Stream, places: np.ndarray, *, batch: int = 64
) -> np.ndarray:
    """Pooled features (len(places), width) of plain rows of a stream, in eval mode."""
    made = []
    with evaluating(network), torch.no_grad():
        for read in plain(stream, network, batch, places):
            found = network(read.inputs, start=read.start, want="features")
            made.append(found.float().cpu().numpy())
    return np.concatenate(made)


def outputs(network: Network, stream: Stream, *, head: str, batch: int = 64) -> np.ndarray:
    """Raw outputs (N, outputs) of one head over a whole stream, in eval mode; of positions
    (N, longest, outputs), NaN behind a row's end.

    Stored features go through the head in double precision, so that a row's output does not depend on
    how many rows come with it.
    """
    made = []
    exact = copy.deepcopy(network.heads[head]).double().eval()
    with evaluating(network), torch.inference_mode():
        for read in plain(stream, network, batch):
            features = network(read.inputs, start=read.start, want="features")
            made.append(exact(features.double()).cpu().numpy())
    return joined(made)
