"""What stages of graph networks share: states, real nodes and edges of a padded batch, pooling.

A state holds hidden nodes, padded, and the edges with a mask of their own: {"hidden": (N, nodes, width),
"mask": (N, nodes), "edges": (N, E, 2), "edge_mask": (N, E)}, and "bonds" where edges are told apart. A
stage runs on real nodes and edges alone, so padding is never read, not by batch norms either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.core.network import MASK, Backbone, State
from headstart.modalities.graph.network import gathered

HIDDEN, EDGES, BONDS, EDGE_MASK = "hidden", "edges", "bonds", "edge_mask"


@dataclass(frozen=True)
class Flat:
    """A batch without padding.

    Attributes:
        nodes: (M, ...) rows of real nodes.
        ends: (K, 2) int64 rows that each real edge joins.
        known: (K, ...) of each real edge, or None.
        place: (M,) where each node stands among the padded ones.
        owner: (M,) which graph it belongs to.
    """

    nodes: Tensor
    ends: Tensor
    known: Tensor | None
    place: Tensor
    owner: Tensor


def flat(state: Mapping[str, Tensor], name: str) -> Flat:
    """The real nodes of the padded tensor `name`, and the real edges."""
    mask, real = state[MASK], state[EDGE_MASK]
    count, longest = mask.shape
    place = mask.flatten().nonzero().squeeze(1)
    row = mask.flatten().cumsum(0) - 1
    first = longest * torch.arange(count, device=mask.device)
    ends = row[(state[EDGES] + first[:, None, None])[real]]
    known = state[BONDS][real] if BONDS in state else None
    return Flat(state[name].flatten(0, 1)[place], ends, known, place, place // longest)


class Graphs(Backbone):
    """What graph networks have in common: state, pooling, positions."""

    masks = {EDGES: EDGE_MASK, BONDS: EDGE_MASK}

    def __init__(self, *, bonds: bool, marks: int) -> None:
        super().__init__()
        self.ragged = (HIDDEN, EDGES, BONDS) if bonds else (HIDDEN, EDGES)
        self.marks = marks

    def first(self, nodes: Tensor) -> Tensor:
        """Rows of inputs (M, ...) to hidden rows."""
        raise NotImplementedError

    def layer(self, number: int, hidden: Tensor, batch: Flat) -> Tensor:
        """Hidden rows before and after layer `number`."""
        raise NotImplementedError

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs {"atoms" or "nodes", "edges", masks[, "bonds"]} or a state in, state out."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        batch = flat(state, HIDDEN if start else ("atoms" if "atoms" in state else "nodes"))
        hidden = batch.nodes if start else self.first(batch.nodes)
        for stage in range(max(start, 1), end):
            hidden = self.layer(stage - 1, hidden, batch)
        mask = state[MASK]
        padded = hidden.new_zeros(mask.numel(), hidden.shape[1])
        padded = padded.index_copy(0, batch.place, hidden).view(*mask.shape, -1)
        rest = {n: state[n] for n in (EDGES, BONDS, MASK, EDGE_MASK) if n in state}
        return {HIDDEN: padded, **rest}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """Mean over nodes; the node, or the product of the two nodes, that the question is about."""
        hidden, mask = state[HIDDEN], state[MASK]
        if self.marks:
            return hidden[:, : self.marks].prod(1)
        place = mask.flatten().nonzero().squeeze(1)
        total = gathered(hidden.flatten(0, 1)[place], place // mask.shape[1], len(mask))
        return total / mask.sum(1, keepdim=True).clamp(min=1).to(total.dtype)

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden nodes (N, nodes, width) and mask (N, nodes)."""
        return state[HIDDEN], state[MASK]
