"""A network as a list of layers and of what each reads: what a foreign library's graph becomes in torch.

It is cut where a single tensor passes: what lies between two such places is a stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

MOST = 32  # stages: every cut is verified when a source is opened
_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Node:
    """One layer at work.

    Attributes:
        layer: its name.
        reads: numbers of the nodes whose results it takes; -1: the pixels.
    """

    layer: str
    reads: tuple[int, ...]


class Graph(nn.Module):
    """Layers in an order in which each comes after what it reads.

    Args:
        layers: by name; a layer may stand at several nodes.
        nodes: the last one gives the features.
        head: the classifier that read the features, or None.
        flip: whether it reads blue, green, red.

    Attributes:
        parts: name and layers of each stage.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        nodes: Sequence[Node],
        *,
        head: nn.Module | None,
        flip: bool,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(dict(layers))
        self.head = head if head is not None else nn.Identity()
        self.nodes = tuple(nodes)
        self.flip = flip
        self._bounds = self._cut()
        self.parts = tuple(self._named(a, b) for a, b in self._bounds)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) red, green, blue -> what the head gives, or (N, width) where there is none."""
        value = pixels
        for part in range(len(self.parts)):
            value = self.run_part(part, value)
        made: Tensor = self.head(_flat(value))
        return made

    def run_part(self, part: int, value: Tensor) -> Tensor:
        """One stage: what the stage before it gave -> what it gives."""
        first, behind = self._bounds[part]
        if part == 0 and self.flip:
            value = value.flip(1)
        kept = {first - 1: value}
        for place in range(first, behind):
            node = self.nodes[place]
            kept[place] = self.layers[node.layer](*(kept[r] for r in node.reads))
        return kept[behind - 1]

    def _cut(self) -> list[tuple[int, int]]:
        """First node of each stage, and the one behind its last."""
        last = {-1: 0}  # where each result is read for the last time
        for place, node in enumerate(self.nodes):
            last.update((read, place) for read in node.reads)
        ends = [
            place + 1
            for place in range(len(self.nodes))
            if all(last.get(p, -1) <= place for p in range(-1, place))
        ]
        segments = list(zip([0, *ends], ends, strict=False))
        groups: list[tuple[int, int]] = []
        closed = False  # whether the group in work has a whole convolution or matrix
        for first, behind in segments:
            kinds = [self.layers[n.layer] for n in self.nodes[first:behind]]
            weighted = [k for kind in kinds for k in kind.modules() if isinstance(k, _WEIGHTED)]
            if not groups or (weighted and closed):
                groups.append((first, behind))
                closed = False
            groups[-1] = (groups[-1][0], behind)
            if weighted:
                closed = not _depthwise(weighted[-1])
        while len(groups) > MOST:  # neighbours with the fewest layers become one
            sizes = [b[1] - a[0] for a, b in pairwise(groups)]
            at = sizes.index(min(sizes))
            groups[at : at + 2] = [(groups[at][0], groups[at + 1][1])]
        return groups

    def _named(self, first: int, behind: int) -> tuple[str, tuple[str, ...]]:
        names = tuple(dict.fromkeys(n.layer for n in self.nodes[first:behind]))
        heavy = (n for n in names if any(True for _ in self.layers[n].parameters()))
        return next(heavy, names[0]), names


def _depthwise(layer: nn.Module) -> bool:
    """Whether it is the first half of a separable convolution."""
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def _flat(value: Tensor) -> Tensor:
    return value.flatten(2).mean(2) if value.ndim > 2 else value
