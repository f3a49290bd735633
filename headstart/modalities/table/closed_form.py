"""Kernel machines in closed form, the first layer of a prior-fitted network.

Ridge regressions on one-hot classes under several kernels and strengths, solved on the context within the
forward pass (Bertinetto et al. 2019, arXiv:1805.08136). For rows of the context it is known in closed form,
too, what would be said of each if it were left out (Cawley and Talbot 2004), so that those and the rows that
are asked about are told alike. There are no parameters: what to make of the answers is for the network to
learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

KERNELS = ("linear", "gaussian", "narrow gaussian", "additive", "pairs", "product")
STRENGTHS = (0.03, 0.3, 3.0)
EXPERTS = len(KERNELS) * len(STRENGTHS)
STEEP = 4.0
"""Of the Laplacian kernels on ranks: how fast likeness falls from the lowest to the highest of a column."""


@dataclass(frozen=True)
class Fitted:
    """Kernel machines fitted to contexts; N tables of C rows and D columns, K classes.

    Attributes:
        rows: (N, C, D), `known` (N, C) bool: which of them are context.
        lists: each column's values in their order, (N, D, C), infinity behind the last.
        there: (N, D) columns that vary within the context.
        scales: what linear, squared and rank distances are divided by, (N, 1, 1) each.
        share: (N, 1, K) of the classes.
        dual: a kernel's weights of the context's rows, (N, C, S * K) each.
        left: (N, C, EXPERTS, K): what is said of the context's rows, each left out.
    """

    rows: Tensor
    known: Tensor
    lists: Tensor
    there: Tensor
    scales: tuple[Tensor, Tensor, Tensor]
    share: Tensor
    dual: tuple[Tensor, ...]
    left: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Shares of the classes of rows (N, R, D), roughly from 0 to 1: (N, R, EXPERTS, K)."""
        kernels = _kernels(*_distances(rows, self.rows, self.lists, self.there), self.scales)
        size = (len(STRENGTHS), self.share.shape[2])
        said = [(k @ d).unflatten(2, size) for k, d in zip(kernels, self.dual, strict=True)]
        return torch.cat(said, 2) + self.share[:, :, None]


def fit(rows: Tensor, hot: Tensor, known: Tensor) -> Fitted:
    """Fits every machine to contexts (N, C, D) with one-hot classes (N, C, K); `known` (N, C) bool tells
    which rows count."""
    there = _varies(rows, known)
    lists = (
        rows.masked_fill(~known[..., None], torch.inf).transpose(1, 2).sort(2).values.contiguous()
    )
    inner, apart, added, summed = _distances(rows, rows, lists, there)
    own = torch.diagonal(inner, dim1=1, dim2=2)[:, None]
    scales = (_mean(own, known), _mean(apart, known), _mean(summed, known))
    weight = known[..., None].to(rows.dtype)
    share = (hot * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    wanted = (hot - share) * weight
    both = known[:, :, None] & known[:, None, :]
    solved = [
        _solved(torch.where(both, kernel, 0.0), wanted, known)
        for kernel in _kernels(inner, apart, added, summed, scales)
    ]
    dual, left = zip(*solved, strict=True)
    return Fitted(
        rows, known, lists, there, scales, share, dual, torch.cat(left, 2) + share[:, :, None]
    )


def _varies(rows: Tensor, known: Tensor) -> Tensor:
    high = rows.masked_fill(~known[..., None], -torch.inf).amax(1)
    low = rows.masked_fill(~known[..., None], torch.inf).amin(1)
    return high > low


def _distances(
    rows: Tensor, context: Tensor, lists: Tensor, there: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every row to each of the context, (N, R, C) each: the inner product, the squared distance, and, over
    columns, the means of exp(-STEEP |difference of ranks|) and of those differences."""
    inner = rows @ context.transpose(1, 2)
    apart = rows.square().sum(2)[:, :, None] + context.square().sum(2)[:, None] - 2 * inner
    columns = there.sum(1).clamp(min=1)[:, None, None]
    high, low = _ranks(rows, lists), _ranks(context, lists)
    added, summed = torch.zeros_like(inner), torch.zeros_like(inner)
    for column in there.any(0).nonzero()[:, 0].tolist():
        uses = there[:, None, None, column]
        away = (high[:, :, None, column] - low[:, None, :, column]).abs_().mul_(uses)
        summed += away
        added += away.mul_(-STEEP).exp_().mul_(uses)
    return inner, apart.clamp(min=0), added / columns, summed / columns


def _ranks(rows: Tensor, lists: Tensor) -> Tensor:
    """Share of the context that lies below a cell, and half of that which equals it, (N, R, D)."""
    asked = rows.transpose(1, 2).contiguous()
    below = torch.searchsorted(lists, asked)
    upto = torch.searchsorted(lists, asked, right=True)
    count = lists.isfinite().sum(2, keepdim=True).clamp(min=1)
    return ((below + upto) / (2.0 * count)).transpose(1, 2)


def _kernels(
    inner: Tensor, apart: Tensor, added: Tensor, summed: Tensor, scales: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Likeness under each of KERNELS, (N, R, C) each: the Laplacian ones of ranks add up columns, pairs of
    columns, or multiply them all."""
    usual, squared, ranked = scales
    near = (-apart / squared).exp()
    return (
        inner / usual,
        near,
        near.square().square(),
        added,
        added.square(),
        (-2.0 * summed / ranked).exp(),
    )


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Over pairs of the context (N, C, C), or over the context (N, 1, C): (N, 1, 1), above 0."""
    weight = known[:, None].to(values.dtype)
    if values.shape[1] > 1:
        weight = weight * known[:, :, None]
    total = weight.sum((1, 2), keepdim=True).clamp(min=1)
    return ((values * weight).sum((1, 2), keepdim=True) / total).clamp(min=1e-6)


def _solved(kernel: Tensor, wanted: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression at every strength: weights (N, C, S * K), and left-one-out answers (N, C, S, K)."""
    eye = torch.eye(kernel.shape[1], dtype=kernel.dtype, device=kernel.device)
    weights, left = [], []
    for strength in STRENGTHS:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel + strength * eye))
        dual = inverse @ wanted
        own = torch.diagonal(inverse, dim1=1, dim2=2)[..., None]
        weights.append(dual)
        left.append((wanted - dual / own) * known[..., None])
    return torch.cat(weights, 2), torch.stack(left, 2)
