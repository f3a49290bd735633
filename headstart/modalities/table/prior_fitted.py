"""A prior-fitted network: rows with known classes as context in, classes of other rows out, in one pass.

Müller et al. 2022, arXiv:2112.10510; Hollmann et al. 2023, TabPFN, arXiv:2207.01848. Rows are tokens; every
row attends to the rows of the context, none to the rows that are asked about. Classes are numbered anew and
columns are dealt anew in each of several passes, whose log-probabilities are averaged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10
"""At most; the network was shown no table with more."""
_TOLD = re.compile(
    r"prior-fitted, (?P<layers>\d+) layers, width (?P<width>\d+), (?P<heads>\d+) heads, "
    r"(?P<columns>\d+) columns"
)


@dataclass(frozen=True)
class Shape:
    """Of the network.

    Attributes:
        columns: that one pass reads; of wider tables each pass reads some.
        width, layers, heads: of the transformer.
    """

    columns: int = 32
    width: int = 96
    layers: int = 4
    heads: int = 4


class Layer(nn.Module):
    """Attention to the context, then a small network, both with a norm before them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asks, self.offers = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.joins = nn.Linear(width, width)
        self.bends = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        nn.init.zeros_(self.joins.weight)
        nn.init.zeros_(self.bends[2].weight)  # type: ignore[arg-type]

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Rows (N, R, width), and which of the first rows are context (N, 1, 1, C)."""
        known = self.before(rows[:, : mask.shape[3]])
        query = self._split(self.asks(self.before(rows)))
        key, value = (self._split(part) for part in self.offers(known).chunk(2, 2))
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        rows = rows + self.joins(seen.transpose(1, 2).flatten(2))
        return rows + self.bends(self.between(rows))  # type: ignore[no-any-return]

    def _split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)


class PriorFitted(nn.Module):
    """Tables (N, R, columns), classes of the first rows (N, C) -> logits of all rows (N, R, CLASSES)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.reads = nn.Linear(shape.columns, shape.width)
        self.told = nn.Embedding(CLASSES, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.last = nn.LayerNorm(shape.width)
        self.says = nn.Linear(shape.width, CLASSES)

    def forward(self, rows: Tensor, classes: Tensor, known: Tensor) -> Tensor:
        """`classes` (N, C) int64 of the first C rows; `known` (N, C): which of them are context."""
        hidden = self.reads(rows)
        told = self.told(classes.clamp(min=0)) * known[..., None]
        hidden = torch.cat([hidden[:, : told.shape[1]] + told, hidden[:, told.shape[1] :]], 1)
        mask = known[:, None, None]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        logits: Tensor = self.says(self.last(hidden))
        return logits


def prepared(rows: Tensor, known: Tensor, columns: int) -> Tensor:
    """Columns (N, R, D) as the network reads them (N, R, columns): mean 0 and deviation 1 over the context,
    bent at 3 deviations, zeros where a table is narrower, the rest enlarged in proportion."""
    context = rows[:, : known.shape[1]]
    weight = known[..., None] / known.sum(1)[:, None, None].clamp(min=1)
    mean = (context * weight).sum(1, keepdim=True)
    spread = ((context - mean).square() * weight).sum(1, keepdim=True).sqrt()
    there = spread > 1e-6
    scaled = torch.where(there, (rows - mean) / spread.clamp(min=1e-6), torch.zeros_like(rows))
    scaled = scaled / torch.sqrt(1.0 + (scaled / 3.0).square())
    scaled = scaled * torch.sqrt(columns / there.sum(2, keepdim=True).clamp(min=1))
    return F.pad(scaled, (0, columns - rows.shape[2]))


@torch.inference_mode()
def predict(
    network: PriorFitted,
    context: Tensor,
    labels: Tensor,
    rows: Tensor,
    *,
    classes: int,
    passes: int,
    most: int,
    seed: int = 0,
) -> Tensor:
    """Log-probabilities (R, classes) of rows (R, D) from context (C, D) with labels (C,) below `classes`.

    Columns and classes are dealt anew in each pass, from the seed. Of more than `shape.columns` columns, or
    `most` rows of context, each pass reads so many.
    """
    wide, rng = network.shape.columns, torch.Generator().manual_seed(seed)
    total = torch.zeros(len(rows), classes)
    for _ in range(passes):
        dealt = torch.randperm(context.shape[1], generator=rng)[:wide]
        renamed = torch.randperm(classes, generator=rng)
        some = torch.randperm(len(context), generator=rng)[:most]
        known = torch.ones(1, len(some))
        both = torch.cat([context[some][:, dealt], rows[:, dealt]])
        read = prepared(both[None].float(), known, wide)
        logits = network(read, renamed[labels[some]][None], known.bool())[0, len(some) :]
        total += F.log_softmax(logits[:, renamed], 1)
    return F.log_softmax(total / passes, 1)


def told(shape: Shape) -> str:
    """The shape as a document says it."""
    return (
        f"prior-fitted, {shape.layers} layers, width {shape.width}, {shape.heads} heads, "
        f"{shape.columns} columns"
    )


def said(architecture: str) -> Shape | None:
    """The shape of which `told` said this, or None."""
    found = _TOLD.fullmatch(architecture)
    return Shape(**{k: int(v) for k, v in found.groupdict().items()}) if found else None


def drawn(shape: Shape, seed: int) -> PriorFitted:
    """A network with random weights, in eval mode; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PriorFitted(shape).eval()
