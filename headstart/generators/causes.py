"""Tables by formula: the prior of prior-fitted networks.

Each table has a world of its own (Müller et al., arXiv:2112.10510; Hollmann et al., TabPFN,
arXiv:2207.01848): a structural causal model, whose columns and target are any nodes of a sparse random
network with noise at each node; a small random network, whose columns are its inputs and whose target is
an output; or sums of random trees over the columns, as in TabForestPFN (arXiv:2405.13396). Then columns
are warped or cut into categories, cells go missing, and the target is cut into classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.core.generator import ABSENT
from headstart.generators._random import chance, integers, normal, scales, uniform

MODALITY = "table"
WORLDS = ("causal", "network", "trees")
CAUSAL, NETWORK, TREES = range(3)
CLASSES = 10  # at most
CATEGORIES = 10  # at most
LAYERS, TREE_COUNT, TREE_DEPTH = 3, 5, 3
WIDTH = 24  # nodes of a layer


class Causes:
    """Draws tables of `rows` rows and 2 to `columns` columns, with 2 to 10 classes as the target.

    Labels: the class of each row, all of one group. Rows are alike in law, so any number of first rows
    may serve as context; the first two rows differ in class.
    """

    bounds = {"rows": (8, 4096), "columns": (2, 100)}

    def __init__(self, rows: int = 128, columns: int = 10):
        self.rows, self.columns = rows, columns
        self.groups = (CLASSES,)

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Tables, and the class of each row (count, rows), int64.

        "cells" (count, rows, columns) float32: numbers, codes of categories from 0, NaN where missing, 0 in
        columns that a table does not have; "categories" (count, columns) int64: how many categories a
        column has, 0 of numbers, -1 of no column; "context" (count,) int64: how many first rows have their
        class known; "world" (count,) int64 among `WORLDS`; "classes" (count,) int64. Classes are numbered
        from 0 among those of the context; a later row of any other class is `ABSENT`.
        `hardness` from 0 to 1 scales missing cells and the rows whose class is replaced at random.
        """
        world = integers(rng, count, high=len(WORLDS))
        wide = integers(rng, count, low=2, high=self.columns + 1)
        there = torch.arange(self.columns, device=rng.device) < wide[:, None]
        cells, scores = self._worlds(world, there, rng)
        label = self._classes(scores, rng, hardness)
        cells, categories = self._cells(cells, rng)
        cells = self._lost(cells, rng, hardness)
        cells = torch.where(there[:, None], cells, torch.zeros_like(cells))
        cells, label = _differing(cells, label)
        least = max(2, self.rows // 8)
        context = integers(rng, count, low=least, high=max(least + 1, self.rows * 7 // 8))
        label, classes = _numbered(label, context)
        tables = {"cells": cells, "categories": categories.masked_fill(~there, -1)}
        return {**tables, "context": context, "world": world, "classes": classes}, label

    def _worlds(self, world: Tensor, there: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Columns (N, rows, columns) and a score of each class (N, rows, CLASSES), both standardised."""
        count = len(world)
        cells = _roots(count, self.rows, self.columns, rng)
        scores = torch.empty(count, self.rows, CLASSES, device=rng.device)
        wooded = (world == TREES).nonzero()[:, 0]
        scores[wooded] = _trees(cells[wooded], there[wooded], rng)
        wired = (world != TREES).nonzero()[:, 0]
        hidden = world[wired] == CAUSAL  # the inputs are nodes there, seen or not
        causal = hidden.nonzero()[:, 0]
        roots = integers(rng, len(wired), 1, low=2, high=8)
        few = torch.arange(self.columns, device=rng.device) < roots
        inputs = cells[wired] * torch.where(hidden[:, None], few, there[wired])[:, None]
        nodes = _network(inputs, rng)
        scores[wired] = nodes[..., -WIDTH:] @ normal(rng, len(wired), WIDTH, CLASSES)
        # Columns and target of a causal model are nodes anywhere, so causes, effects and neither.
        pick = uniform(rng, len(causal), nodes.shape[2])
        pick[:, : self.columns].masked_fill_(~few[causal], -1.0)
        pick = pick.topk(self.columns + CLASSES, 1).indices
        index = pick[:, None].expand(-1, self.rows, -1)
        seen = nodes[causal].gather(2, index)
        cells[wired[causal]] = seen[..., : self.columns]
        scores[wired[causal]] = seen[..., self.columns :]
        # The noise orders rows of equal score; without it, their place in the table would.
        return _standard(cells), _standard(scores) + 1e-3 * normal(rng, *scores.shape)

    def _classes(self, scores: Tensor, rng: torch.Generator, hardness: float) -> Tensor:
        """Classes (N, rows) from scores (N, rows, CLASSES): bands of the first, or the largest of several."""
        count, rows = scores.shape[:2]
        device = scores.device
        number = 2 + (uniform(rng, count, 1) ** 3 * (CLASSES - 1)).long()
        among = torch.arange(CLASSES, device=device) < number
        uneven = uniform(rng, count, 1, high=1.5)
        share = (uneven * normal(rng, count, CLASSES)).exp() * among
        share = share / share.sum(1, keepdim=True)
        share = 0.7 * share + 0.3 * among / number
        place = scores[..., 0].argsort(1).argsort(1).float() / rows
        band = (place[..., None] >= share.cumsum(1)[:, None, :-1]).sum(2)
        band = band.clamp(max=number - 1)
        pull = (share.clamp(min=1e-9) * number).log() * 0.7
        rated = (scores + pull[:, None]).masked_fill(~among[:, None], -torch.inf)
        label = rated.argmax(2)
        ruled = torch.nn.functional.one_hot(label, CLASSES).float().mean(1).amax(1)
        banded = chance(rng, count, 0.5) | (ruled > 0.9)
        label = torch.where(banded[:, None], band, label)
        order = uniform(rng, count, CLASSES).argsort(1)
        label = order.gather(1, label)
        wrong = uniform(rng, count, 1, high=0.25) * chance(rng, count, 0.3 * hardness)[:, None]
        other = label.gather(1, integers(rng, count, rows, high=rows))
        return torch.where(uniform(rng, count, rows) < wrong, other, label)

    def _cells(self, cells: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Warps columns (N, rows, columns) or cuts them into categories; how many of those, or 0."""
        count, rows, columns = cells.shape
        warp = integers(rng, count, 1, columns, high=6)
        bent = cells.sign() * cells.abs() ** scales(rng, count, 1, columns, low=0.4, high=2.5)
        step = scales(rng, count, 1, columns, low=0.1, high=0.8)
        plain = torch.where(warp == 0, bent, cells)
        plain = torch.where(warp == 1, (0.8 * cells).clamp(max=5).exp(), plain)
        plain = torch.where(warp == 2, (cells / step).round() * step, plain)
        often = uniform(rng, count, 1) ** 2
        number = 2 + (uniform(rng, count, columns) ** 2 * (CATEGORIES - 1)).long()
        cut = integers(rng, count, CATEGORIES - 1, columns, high=rows)
        bound = cells.gather(1, cut)
        order = torch.arange(CATEGORIES - 1, device=cells.device)[:, None]
        bound = bound.masked_fill(order >= (number - 1)[:, None], torch.inf)
        code = torch.zeros(count, rows, columns, dtype=torch.int64, device=cells.device)
        for one in bound.unbind(1):
            code += cells > one[:, None]
        # Codes of half of the categorical columns say nothing of the order.
        within = torch.arange(CATEGORIES, device=cells.device) >= number[..., None]
        jumbled = (uniform(rng, count, columns, CATEGORIES) + within).argsort(2)
        renamed = jumbled.mT.gather(1, code)
        code = torch.where(uniform(rng, count, 1, columns) < 0.5, renamed, code)
        categorical = uniform(rng, count, columns) < often
        cells = torch.where(categorical[:, None], code.float(), plain)
        return cells, number * categorical

    def _lost(self, cells: Tensor, rng: torch.Generator, hardness: float) -> Tensor:
        """Cells of a third of the tables go missing, in some columns, at random or where they are large."""
        count, rows, columns = cells.shape
        touched = chance(rng, count, hardness / 3)[:, None] & (uniform(rng, count, columns) < 0.5)
        share = uniform(rng, count, columns, high=0.4) * touched
        large = uniform(rng, count, columns) < 0.25
        high = cells > cells.mean(1, keepdim=True)
        share = share[:, None] * torch.where(large[:, None], 2.0 * high, torch.ones_like(cells))
        return cells.masked_fill(uniform(rng, count, rows, columns) < share, torch.nan)


def _roots(count: int, rows: int, columns: int, rng: torch.Generator) -> Tensor:
    """First causes (count, rows, columns): normal, even, heavy-tailed or in clusters; some related."""
    kind = integers(rng, count, 1, columns, high=4)
    base = normal(rng, count, rows, columns)
    even = 3.46 * (torch.special.ndtr(base) - 0.5)
    heavy = base * (0.4 * base.abs()).exp() * 0.6
    middle = 2.0 * normal(rng, count, 4, columns)
    cluster = integers(rng, count, rows, high=4)[..., None].expand(-1, -1, columns)
    out = torch.where(kind == 1, even, base)
    out = torch.where(kind == 2, heavy, out)
    out = torch.where(kind == 3, (middle.gather(1, cluster) + 0.5 * base) / 2, out)
    related = chance(rng, count, 0.4)[:, None, None]
    links = torch.eye(columns, device=rng.device) + 0.5 * related * normal(
        rng, count, columns, columns
    )
    return _standard(out @ links)


def _network(inputs: Tensor, rng: torch.Generator) -> Tensor:
    """A random network a table: inputs and nodes (N, rows, columns + LAYERS * WIDTH), noise at each node."""
    count, rows = inputs.shape[:2]
    sparse = uniform(rng, count, 1, 1, low=0.1, high=0.7)
    noise = scales(rng, count, 1, 1, low=0.003, high=0.3)
    nodes = [inputs]
    for _ in range(LAYERS):
        given = nodes[-1].shape[2]
        weight = normal(rng, count, given, WIDTH) * (uniform(rng, count, given, WIDTH) > sparse)
        weight = weight * weight.abs()  # a few causes matter most
        reached = _standard(nodes[-1] @ weight) + 0.5 * normal(rng, count, 1, WIDTH)
        nodes.append(_bent(reached, rng) + noise * normal(rng, count, rows, WIDTH))
    return torch.cat(nodes, 2)


def _bent(values: Tensor, rng: torch.Generator) -> Tensor:
    """One of eight functions for all nodes of a table, (N, rows, WIDTH); the first four times as often."""
    kind = (integers(rng, len(values), high=11) - 3).clamp(min=0)
    ways = (
        lambda x: x,
        torch.tanh,
        torch.relu,
        torch.abs,
        lambda x: (2.0 * x).sin(),
        lambda x: x.clamp(-3, 3).square(),
        lambda x: torch.exp(-x.square()),
        lambda x: (x > 0).float(),
    )
    out = torch.empty_like(values)
    for number, way in enumerate(ways):
        rows = (kind == number).nonzero()[:, 0]
        out[rows] = way(values[rows])
    return out


def _trees(cells: Tensor, there: Tensor, rng: torch.Generator) -> Tensor:
    """Sums of trees that ask the same question at each level, (N, rows, CLASSES)."""
    count, rows = cells.shape[:2]
    asked = TREE_COUNT * TREE_DEPTH
    wide = there.sum(1, keepdim=True)
    column = (uniform(rng, count, asked) * wide).long()
    row = integers(rng, count, asked, high=rows)
    picked = cells.gather(2, column[:, None].expand(-1, rows, -1))
    bound = picked.gather(1, row[:, None])
    answers = (picked > bound).view(count, rows, TREE_COUNT, TREE_DEPTH)
    power = 2 ** torch.arange(TREE_DEPTH, device=cells.device)
    leaf = (answers * power).sum(3)  # (N, rows, TREE_COUNT)
    first = torch.arange(TREE_COUNT, device=cells.device) * 2**TREE_DEPTH
    worth = normal(rng, count, TREE_COUNT * 2**TREE_DEPTH, CLASSES)
    weight = normal(rng, count, TREE_COUNT).square().repeat_interleave(2**TREE_DEPTH, 1)
    # One product of a table's 0 and 1 of leaves with what leaves are worth.
    reached = torch.zeros(count, rows, worth.shape[1], device=cells.device)
    reached.scatter_(2, leaf + first, 1.0)
    noise = scales(rng, count, 1, 1, low=0.003, high=0.3)
    return reached @ (worth * weight[..., None]) + noise * normal(rng, count, rows, CLASSES)


def _standard(values: Tensor) -> Tensor:
    """Columns (N, rows, columns) with mean 0 and variance 1; constant ones become 0."""
    values = values - values.mean(1, keepdim=True)
    return values / values.square().mean(1, keepdim=True).sqrt().clamp(min=1e-4)


def _differing(cells: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Swaps the second row with the first one whose class is not the first row's."""
    count, rows = label.shape
    other = (label != label[:, :1]).int().argmax(1)
    order = torch.arange(rows, device=label.device).repeat(count, 1)
    row = torch.arange(count, device=label.device)
    order[row, other] = 1
    order[:, 1] = other
    index = order[..., None].expand(-1, -1, cells.shape[2])
    return cells.gather(1, index), label.gather(1, order)


def _numbered(label: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers classes (N, rows) from 0 among those of the context; how many those are (N,)."""
    known = torch.arange(label.shape[1], device=label.device) < context[:, None]
    hits = torch.nn.functional.one_hot(label, CLASSES) * known[..., None]
    seen = hits.any(1)
    name = (seen.long().cumsum(1) - 1).masked_fill(~seen, ABSENT)
    return name.gather(1, label), seen.sum(1)


GENERATOR = Causes
