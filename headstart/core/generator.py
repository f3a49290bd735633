"""Generator: labelled samples drawn by formula, without data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor

ABSENT = -100
"""The label of what a sample does not have; cross-entropy leaves it out by default."""


class Generator(Protocol):
    """A class in `headstart/generators/<name>.py`, named there as `GENERATOR`, made without arguments.

    Beside it, `MODALITY` is the modality of what it draws, as a plain string. A generator keeps no
    state between draws: what it draws follows from its settings and the state of `rng`. It draws on
    the device of `rng`, or on the CPU alone and says so.

    Attributes:
        groups: classes of each label.
        bounds: setting -> the least and the largest number that it may be; may be left out.
    """

    groups: tuple[int, ...]
    bounds: ClassVar[Mapping[str, tuple[float, float]]]

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[Tensor | Mapping[str, Tensor], Tensor]:
        """`count` samples, first axis of every tensor, and labels (count, labels) int64 or `ABSENT`.

        One column a group; where there is one group, rows of a sample may carry a label each.
        `hardness` from 0 to 1 scales noise and clutter.
        """
        ...
