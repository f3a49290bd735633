"""Losses of several tasks weighted by how uncertain each is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def uncertain(parts: Mapping[str, Tensor], logs: Tensor) -> dict[str, Tensor]:
    """exp(-s) L + s / 2 for each part L, with s its learned log variance (Kendall, Gal and Cipolla 2018,
    arXiv:1705.07115).

    For a cross-entropy that is the paper's approximation; of squared errors L must be half their mean, so
    that s ends at the log of the noise's variance.

    Args:
        logs: (len(parts),) s of each, in their order.
    """
    return {
        name: (-s).exp() * part + s / 2 for (name, part), s in zip(parts.items(), logs, strict=True)
    }
