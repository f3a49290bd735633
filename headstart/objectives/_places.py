"""From the features at each place back to the piece of the input that lies there.

The input is found by its shape, so that pictures, spectrograms and series are all served: one map (N, C, H,
W), whose places form a grid over H and W, or one sequence, (N, T, C) or (N, C, T), whose places follow each
other along its longer axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.network import MASK, Backbone, Network
from headstart.errors import PlanError

FEW = 2
"""Samples on which the places are looked at."""

TOKENS = 5  # places before the grid that stand for no piece, at most (a class token, registers)


@dataclass(frozen=True)
class Layout:
    """How places lie over the input.

    Attributes:
        name: of the input tensor.
        grid: places along each axis.
        piece: steps of the input that a place covers along each axis.
        last: whether channels come last (N, T, C).
        skipped: places in front that stand for no piece.
        channels: of the input.
    """

    name: str
    grid: tuple[int, ...]
    piece: tuple[int, ...]
    last: bool
    skipped: int
    channels: int


def has_places(network: Network) -> bool:
    """Whether the backbone tells features of positions."""
    return type(network.backbone).positions is not Backbone.positions


def tokens_only(network: Network) -> str:
    """Why nothing can be restored of inputs that are numbers of tokens, or ""."""
    if network.backbone.vocabulary is None:
        return ""
    return "the network reads tokens, which can be named but not restored by degrees"


def layout(network: Network, inputs: Mapping[str, Tensor]) -> Layout:
    """How the places of this network lie over such inputs.

    Raises:
        PlanError: they form no grid, or there is no input of such a shape.
    """
    shaped = {n: t for n, t in inputs.items() if t.is_floating_point() and t.ndim in (3, 4)}
    if not shaped:
        raise PlanError(
            "The inputs are neither maps nor sequences of numbers, so no pieces of them can be hidden or "
            "restored. Choose another objective."
        )
    name = max(shaped, key=lambda n: shaped[n].numel())
    value = shaped[name]
    with torch.no_grad():
        places = network.backbone.positions(network(inputs, want="state"))[0].shape[1]
    if value.ndim == 3:
        last = value.shape[1] >= value.shape[2]
        steps, channels = (
            (value.shape[1], value.shape[2]) if last else (value.shape[2], value.shape[1])
        )
        return Layout(name, (places,), (-(-steps // places),), last, 0, channels)
    high, wide = value.shape[2:]
    for skipped in range(TOKENS + 1):
        found = _grid(places - skipped, high, wide)
        if found is not None:
            pieces = (high // found[0], wide // found[1])
            return Layout(name, found, pieces, False, skipped, value.shape[1])
    raise PlanError(
        f"The network has {places} places for an input of {high} x {wide}, which form no grid over it. "
        "Choose another input size, architecture or objective."
    )


def _grid(places: int, high: int, wide: int) -> tuple[int, int] | None:
    """Rows and columns of square pieces, or None."""
    for rows in range(1, places + 1):
        columns = places // rows
        if rows * columns == places and high * columns == wide * rows:
            return (rows, columns) if high % rows == 0 and wide % columns == 0 else None
    return None


def restorer(network: Network, streams: Mapping[str, Any]) -> Restorer:
    """The map from features of places to the input, for what the stream "train" reads. Raises PlanError."""
    inputs = streams["train"].batch(np.arange(FEW), -1).inputs
    laid = layout(network, inputs)
    places = network.backbone.positions(network(inputs, want="state"))[0]
    return Restorer(places.shape[2], laid)


class Restorer(nn.Module):
    """Features at places (N, L, width) -> what the input is there, in the input's shape."""

    def __init__(self, width: int, laid: Layout) -> None:
        super().__init__()
        self.laid = laid
        count = laid.channels
        for steps in laid.piece:
            count *= steps
        self.linear = nn.Linear(width, count)

    def forward(self, network: Network, inputs: Mapping[str, Tensor]) -> Tensor:
        """The restored input; a sequence may come out longer than the input, never shorter by a piece."""
        laid = self.laid
        places = network.backbone.positions(network(inputs, want="state"))[0]
        pieces = self.linear(places[:, laid.skipped :].float())
        if len(laid.piece) == 1:
            flat: Tensor = pieces.reshape(len(pieces), -1, laid.channels)
            return flat if laid.last else flat.transpose(1, 2)
        (rows, columns), (high, wide) = laid.grid, laid.piece
        shaped = pieces.reshape(len(pieces), rows, columns, laid.channels, high, wide)
        return shaped.permute(0, 3, 1, 4, 2, 5).reshape(
            len(pieces), laid.channels, rows * high, columns * wide
        )

    def steps(self, value: Tensor) -> tuple[int, ...]:
        """Length of the input along each axis that places lie on."""
        if len(self.laid.piece) == 2:
            return tuple(value.shape[2:])
        return (value.shape[1] if self.laid.last else value.shape[2],)

    def spread(self, marks: Tensor) -> Tensor:
        """Marks (N, steps ...) with an axis for the channels, as the input has it."""
        return marks.unsqueeze(-1 if self.laid.last else 1)

    def error(self, made: Tensor, wanted: Tensor, where: Tensor) -> Tensor:
        """Mean absolute error at the marked steps (N, steps ...)."""
        if len(self.laid.piece) == 1:
            axis = 1 if self.laid.last else 2
            count = min(made.shape[axis], wanted.shape[axis])
            made, wanted = made.narrow(axis, 0, count), wanted.narrow(axis, 0, count)
            where = where[:, :count]
        apart = (made - wanted).abs() * self.spread(where)
        return apart.sum() / (where.sum() * self.laid.channels).clamp(min=1)


def real(inputs: Mapping[str, Tensor], value: Tensor, steps: tuple[int, ...]) -> Tensor:
    """(N, steps ...) bool: true where the input is no padding."""
    mask = inputs.get(MASK)
    if mask is not None and tuple(mask.shape[1:]) == steps:
        return mask
    return torch.ones((len(value), *steps), dtype=torch.bool, device=value.device)


def hidden(
    count: int, steps: tuple[int, ...], unit: int, share: float, device: torch.device
) -> Tensor:
    """(count, steps ...) bool: random square units of `unit` steps, a `share` of them true."""
    cells = tuple(-(-length // unit) for length in steps)
    total = 1
    for length in cells:
        total *= length
    most = min(total - 1, max(1, round(share * total)))
    order = torch.rand(count, total, device=device).argsort(dim=1)
    marks = (order < most).reshape(count, 1, *cells).float()
    scaled = functional.interpolate(marks, scale_factor=float(unit), mode="nearest")[:, 0]
    for axis, length in enumerate(steps):
        scaled = scaled.narrow(axis + 1, 0, length)
    return scaled > 0.5
