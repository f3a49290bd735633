"""A prior-fitted network: rows with known classes as context in, classes of other rows out, in one pass.

Müller et al. 2022, arXiv:2112.10510; Hollmann et al. 2023, TabPFN, arXiv:2207.01848. Rows are tokens; every
row attends to the rows of the context, none to the rows that are asked about. Each token is told what kernel
machines that are fitted to the context in closed form say of its row (`closed_form.py`); their weighted mean
is what the network starts from and corrects. Classes are numbered anew and columns are dealt anew in each of
several passes, whose log-probabilities are averaged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.modalities.table import closed_form

CLASSES = 10
"""At most; the network was shown no table with more."""
LEAST = 0.02
"""Share of a class that no kernel machine goes below."""
ABSENT = -8.0
"""Logit of a class that the context lacks."""
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
    """Rows, and what kernel machines say of them, to logits of the classes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        experts = closed_form.EXPERTS
        self.reads = nn.Linear(shape.columns, shape.width)
        self.told = nn.Embedding(CLASSES, shape.width)
        self.hears = nn.Linear(experts * CLASSES, shape.width)
        self.weighs = nn.Linear(experts, shape.width)
        self.trusts = nn.Parameter(torch.zeros(experts))
        self.sharp = nn.Parameter(torch.tensor(1.0))
        self.bold = nn.Parameter(torch.zeros(experts))
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.last = nn.LayerNorm(shape.width)
        self.says = nn.Linear(shape.width, CLASSES)
        nn.init.zeros_(self.says.weight)
        nn.init.zeros_(self.says.bias)

    def forward(self, rows: Tensor, classes: Tensor, known: Tensor, heard: Tensor) -> Tensor:
        """Logits (N, R, CLASSES).

        Args:
            rows: (N, R, columns), the context first.
            classes: (N, C) int64, of the first C rows.
            known: (N, C) bool: which of them are context.
            heard: (N, R, EXPERTS, CLASSES): shares that the kernel machines give.
        """
        size = classes.shape[1]
        hot = F.one_hot(classes.clamp(min=0), CLASSES) * known[..., None]
        share = heard.clamp(min=LEAST)
        share = (share / share.sum(3, keepdim=True)).log()
        loss = -(share[:, :size] * hot[:, :, None]).sum((1, 3)) / hot.sum((1, 2))[:, None].clamp(
            min=1
        )
        first = self._agreed(share, loss, known.sum(1))
        hidden = self.reads(rows) + self.hears(heard.flatten(2)) + self.weighs(loss)[:, None]
        told = self.told(classes.clamp(min=0)) * known[..., None]
        hidden = torch.cat([hidden[:, :size] + told, hidden[:, size:]], 1)
        mask = known[:, None, None]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        logits: Tensor = first + self.says(self.last(hidden))
        there = hot.any(1)[:, None]
        return torch.where(there, logits, torch.full_like(logits, ABSENT))

    def _agreed(self, share: Tensor, loss: Tensor, count: Tensor) -> Tensor:
        """Mean of the machines' log-shares (N, R, EXPERTS, CLASSES), those that err less on left-out rows
        (N, EXPERTS) weighing more, the more so the more rows there are (N,)."""
        sharp = self.sharp.exp() * count[:, None].sqrt()
        weight = (self.trusts - sharp * loss).softmax(1)
        return torch.einsum("nrek,ne->nrk", share, weight * self.bold.exp())


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


@dataclass(frozen=True)
class Context:
    """Labelled rows that the network predicts from, prepared once.

    Attributes:
        rows: (C, D); `labels` (C,) int64 below `classes`.
        machines: fitted to all columns.
    """

    rows: Tensor
    labels: Tensor
    classes: int
    machines: closed_form.Fitted


def chosen(count: int, most: int, seed: int = 0) -> Tensor:
    """Places of all rows, or of `most` that are drawn from the seed, ascending."""
    if count <= most:
        return torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:most].sort().values


@torch.inference_mode()
def context(rows: Tensor, labels: Tensor, classes: int, *, most: int, seed: int = 0) -> Context:
    """Context of rows (C, D) with labels (C,) below `classes`; of more than `most` rows, so many drawn from
    the seed."""
    some = chosen(len(rows), most, seed)
    rows, labels = rows[some].float(), labels[some]
    known = torch.ones(1, len(rows), dtype=torch.bool)
    read = prepared(rows[None], known.float(), rows.shape[1])
    hot = F.one_hot(labels, classes)[None].float()
    return Context(rows, labels, classes, closed_form.fit(read, hot, known))


@torch.inference_mode()
def predict(
    network: PriorFitted, known: Context, rows: Tensor, *, passes: int, seed: int = 0
) -> Tensor:
    """Log-probabilities (R, classes) of rows (R, D).

    Columns and classes are dealt anew in each pass, from the seed; of more than `shape.columns` columns each
    pass reads so many, the kernel machines read all.
    """
    wide, rng = network.shape.columns, torch.Generator().manual_seed(seed)
    size, classes = len(known.rows), known.classes
    both = torch.cat([known.rows, rows.float()])[None]
    whole = torch.ones(1, size)
    asked = prepared(both, whole, both.shape[2])[:, size:]
    heard = torch.cat([known.machines.left, known.machines(asked)], 1)
    total = torch.zeros(len(rows), classes)
    for _ in range(passes):
        dealt = torch.randperm(both.shape[2], generator=rng)[:wide]
        renamed = torch.randperm(classes, generator=rng)
        told = torch.zeros(*heard.shape[:3], CLASSES)
        told[..., renamed] = heard
        read = prepared(both[..., dealt], whole, wide)
        logits = network(read, renamed[known.labels][None], whole.bool(), told)[0, size:]
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
