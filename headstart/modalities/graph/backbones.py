"""Graph networks as stages: embedding, then one stage a layer; and random GIN features by formula.

A state holds hidden nodes, padded, and the edges with a mask of their own: {"hidden": (N, nodes, width),
"mask": (N, nodes), "edges": (N, E, 2), "edge_mask": (N, E)}, and "bonds" where edges are told apart. A
stage runs on real nodes and edges alone, so padding is never read, not by batch norms either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.modality import Transform
from headstart.core.network import MASK, Backbone, State
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.graph.network import LAYERS, Network, Shape, degrees, drawn, gathered

HIDDEN, EDGES, BONDS, EDGE_MASK = "hidden", "edges", "bonds", "edge_mask"
_SAID = re.compile(r"(?P<family>\w+), (?P<depth>\d+) layers, width (?P<width>\d+)")


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


class _Graphs(Backbone):
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


class Staged(_Graphs):
    """A network of `LAYERS`: stage 0 embeds, stage k is the k-th layer with its batch norm."""

    def __init__(self, network: Network, *, marks: int) -> None:
        super().__init__(bonds=bool(network.shape.edges), marks=marks)
        self.network = network
        self.width = network.shape.width
        self.stages = ("embed", *(f"layer.{i}" for i in range(network.shape.depth)))

    def first(self, nodes: Tensor) -> Tensor:
        return self.network.embed(nodes)

    def layer(self, number: int, hidden: Tensor, batch: Flat) -> Tensor:
        return self.network.layer(number, hidden, batch.ends, batch.known)

    def stage_of(self, name: str) -> int:
        """Embeddings 0; layer k and its batch norm k + 1."""
        found = re.match(r"network\.(?:gnns|batch_norms)\.(\d+)\.", name)
        return int(found.group(1)) + 1 if found else 0


class RandomGin(_Graphs):
    """Random features of neighbourhoods: GIN (arXiv:1810.00826) with weights drawn from a seed.

    Stage 0 is what is known of the nodes; layer k adds `features` columns, rectified random projections
    of a node beside the sum of its neighbours: relu(W [h, sum of h over neighbours]) / sqrt(features). Two
    nodes with like trees of neighbours of depth k come out alike, so a linear head on the sum over nodes
    is a soft form of the Weisfeiler-Lehman subtree kernel, with the arc-cosine kernel of Cho and Saul
    2009 in the place of exact colours. Of whole graphs the sum over nodes is divided by the root of their
    number, which did better than the mean on samples of MUTAG, NCI109, BBBP and ESOL. Where the
    question is about nodes, neighbours are averaged, so that a node's degree does not drown what is known
    of it, and a layer adds the plain mean of what the last one added so, from the node's own features on,
    as in SGC (arXiv:1902.07153).
    """

    def __init__(
        self, nodes: int, edges: int, *, depth: int, features: int, seed: int, marks: int
    ) -> None:
        super().__init__(bonds=bool(edges), marks=marks)
        self.features, self.means = features, nodes if marks else 0
        self.width = nodes + depth * (features + self.means)
        self.stages = ("describe", *(f"layer.{i}" for i in range(depth)))
        rng = np.random.RandomState(seed)  # its stream is frozen: every version draws the same
        self.mix, self.bonds = nn.ModuleList(), nn.ModuleList()
        for number in range(depth):
            wide = nodes if number == 0 else features
            self.mix.append(_filled(2 * wide, features, 1.0, rng))
            if edges:
                self.bonds.append(_filled(edges, wide, 1.0 if number == 0 else wide**-0.5, rng))

    def first(self, nodes: Tensor) -> Tensor:
        return nodes

    def layer(self, number: int, hidden: Tensor, batch: Flat) -> Tensor:
        own = hidden if number == 0 else hidden[:, -self.features :]
        message = own[batch.ends[:, 0]]
        if len(self.bonds):
            message = message + self.bonds[number](batch.known)
        around = gathered(message, batch.ends[:, 1], len(own))
        if not self.means:
            return torch.cat([hidden, self.mixed(number, own, around)], dim=1)
        last = hidden if number == 0 else hidden[:, -self.features - self.means : -self.features]
        total = gathered(last[batch.ends[:, 0]], batch.ends[:, 1], len(last))
        count = (degrees(batch.ends, own) - 1.0).clamp(min=1.0)
        return torch.cat([hidden, total / count, self.mixed(number, own, around / count)], dim=1)

    def mixed(self, number: int, own: Tensor, around: Tensor) -> Tensor:
        """Rectified projections (M, features) of nodes beside what is around them."""
        told: Tensor = self.mix[number](torch.cat([own, around], dim=1))
        return torch.relu(told) / math.sqrt(self.features)

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """Sum over nodes by the root of their number; marked nodes as everywhere."""
        pooled = super().pool(state)
        if self.marks:
            return pooled
        return pooled * state[MASK].sum(1, keepdim=True).to(pooled.dtype).sqrt()

    def stage_of(self, name: str) -> int:
        """Layer k: k + 1."""
        found = re.match(r"(?:mix|bonds)\.(\d+)\.", name)
        return int(found.group(1)) + 1 if found else 0


def _filled(columns: int, rows: int, size: float, rng: np.random.RandomState) -> nn.Linear:
    """A map without offset, its weights normal with the standard deviation `size`."""
    plain: Any = nn.utils.skip_init  # leaves torch's global generator alone
    with torch.inference_mode(False), torch.no_grad():  # staged so, it may still be trained
        made: nn.Linear = plain(nn.Linear, columns, rows, bias=False)
        weight = size * rng.standard_normal((rows, columns))
        made.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
    return made


def build(card: Mapping[str, Any]) -> tuple[Callable[[int], nn.Module], dict[str, Any]] | None:
    """Maker (seed -> network with random weights) and preprocessing of weights in a file, by what their
    document says: {"architecture": "gcn, 5 layers, width 300, ..."}; None for what is no graph network.

    Raises:
        SourceError: the document asks for something that is not built here.
    """
    told = str(card.get("architecture", ""))
    said = _SAID.match(told)
    if said is None or said["family"] not in LAYERS:
        return None
    for part, wanted in (("JK=", "JK=last"), ("pooling", "mean pooling")):
        if part in told and wanted not in told:
            raise SourceError(f"The weights are of a network with '{told}'. Expected {wanted}.")
    shape = Shape(said["family"], int(said["depth"]), int(said["width"]))
    return (lambda seed: drawn(shape, seed)), {"kind": "codes", "architecture": said.group(0)}


DEFAULT = {"architecture": "gin, 3 layers, width 64"}


def described(backbone: Backbone) -> tuple[nn.Module, dict[str, Any]] | None:
    """The module whose weights are kept, and what `build` reads; None for what it does not build."""
    if not isinstance(backbone, Staged) or backbone.network.shape.nodes != "codes":
        return None
    shape = backbone.network.shape
    told = f"{shape.family}, {shape.depth} layers, width {shape.width}"
    return backbone.network, {"architecture": told}


def stage(loaded: Loaded, transform: Transform) -> Backbone:
    """The staged network, or random features for graphs as `transform` describes them.

    Raises:
        SourceError: the network reads no graphs.
    """
    if isinstance(loaded.module, Network):
        return Staged(loaded.module, marks=transform.marks)  # type: ignore[attr-defined]
    if loaded.config.get("architecture") != "random_gin":
        raise SourceError(
            f"'{loaded.source.uri}' cannot read graphs. Choose builtin:random-gin, or a graph network's "
            "weights by file:PATH."
        )
    told: Any = transform
    depth = int(loaded.config.get("layers", 3))
    return RandomGin(
        told.width,
        told.edge_width,
        depth=min(depth, told.hops) if told.hops else depth,
        features=int(loaded.config.get("features", 512)),
        seed=int(loaded.config.get("seed", 0)),
        marks=told.marks,
    )


def reference(loaded: Loaded, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """{"pool": (N, width)}: the untouched network on each graph by itself, mean over its nodes; {} for a
    formula."""
    if not isinstance(loaded.module, Network):
        return {}
    rows = []
    with torch.no_grad():
        for row in range(len(inputs[MASK])):
            n, k = int(inputs[MASK][row].sum()), int(inputs[EDGE_MASK][row].sum())
            known = inputs[BONDS][row, :k] if BONDS in inputs else None
            atoms = inputs["atoms" if "atoms" in inputs else "nodes"][row, :n]
            rows.append(loaded.module(atoms, inputs[EDGES][row, :k], known).mean(0))
    return {"pool": torch.stack(rows)}
