"""Graph networks as stages: embedding, then one stage a layer; and random GIN features by formula."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.dataset import Field
from headstart.core.modality import Transform
from headstart.core.network import MASK, Backbone
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.graph import ranked
from headstart.modalities.graph.network import LAYERS, Network, Shape, degrees, drawn, gathered
from headstart.modalities.graph.ranked import Ranked
from headstart.modalities.graph.stages import BONDS, EDGE_MASK, EDGES, Flat, Graphs

_SAID = re.compile(
    r"(?P<family>\w+), (?P<depth>\d+) layers, width (?P<width>\d+)(?:, (?P<kinds>\d+) kinds)?"
)


class Staged(Graphs):
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


class RandomGin(Graphs):
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
    size = int(said["depth"]), int(said["width"])
    if said["kinds"]:
        read = {"kind": "features", "slots": int(said["kinds"])}
        shape = ranked.shape(said["family"], *size, kinds=read["slots"])
    else:
        read, shape = {"kind": "codes"}, Shape(said["family"], *size)
    return (lambda seed: drawn(shape, seed)), {**read, "architecture": said.group(0)}


DEFAULT = {"architecture": "gin, 3 layers, width 64"}
ANY = {"architecture": "gin, 4 layers, width 128, 8 kinds"}


def default(fields: Sequence[Field]) -> dict[str, Any]:
    """What is pre-trained where nothing is named: codes of atoms for molecules, else what reads any graph."""
    return DEFAULT if all(f.kind == "smiles" for f in fields) else ANY


def described(backbone: Backbone) -> tuple[nn.Module, dict[str, Any]] | None:
    """The module whose weights are kept, and what `build` reads; None for what it does not build."""
    if isinstance(backbone, Ranked):
        kinds = f", {backbone.slots} kinds"
    elif isinstance(backbone, Staged) and backbone.network.shape.nodes == "codes":
        kinds = ""
    else:
        return None
    shape = backbone.network.shape
    told = f"{shape.family}, {shape.depth} layers, width {shape.width}{kinds}"
    return backbone.network, {"architecture": told}


def stage(loaded: Loaded, transform: Transform) -> Backbone:
    """The staged network, or random features for graphs as `transform` describes them.

    Raises:
        SourceError: the network reads no graphs.
    """
    if isinstance(loaded.module, Network):
        if getattr(transform, "slots", 0):
            return Ranked(loaded.module, transform.width)  # type: ignore[attr-defined]
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
            ends = inputs[EDGES][row, :k]
            if loaded.source.preprocessing.get("slots"):
                rows.append(ranked.whole(loaded.module, atoms, ends))
            else:
                rows.append(loaded.module(atoms, ends, known).mean(0))
    return {"pool": torch.stack(rows)}
