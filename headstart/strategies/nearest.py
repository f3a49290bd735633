"""The classes of the nearest training rows, on frozen features: nothing is trained.

Cover and Hart 1967, doi 10.1109/TIT.1967.1053964; votes weighted by exp(similarity / 0.07) as in Wu et al.
2018, arXiv:1805.01978. How many rows have a vote is chosen on held-out rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from headstart.strategies._shown import Showing, Shown

TEMPERATURE = 0.07
PRIOR = 1.0  # votes that are spread over all classes


@dataclass(frozen=True)
class Settings:
    """There is nothing to set."""


class Nearest(Shown):
    """Logarithms of the votes of the `choice` most similar rows, of which `rows` holds every one."""

    settled_by = "nearest"
    choices = (5.0, 10.0, 3.0, 20.0, 1.0, 50.0)

    @property
    def inside(self) -> int:
        return len(self.rows)

    def answers(self, features: Tensor, choice: float) -> Tensor:
        count = min(int(choice), len(self.rows))
        similar = self.turned(features) @ self.rows.to(features).T
        near, places = similar.topk(count, dim=1)
        weights = count * (near / TEMPERATURE).softmax(1)
        kinds = functional.one_hot(self.labels[places], self.outputs).to(weights)
        votes = torch.einsum("nk,nkc->nc", weights, kinds)
        return ((votes + PRIOR / self.outputs) / (count + PRIOR)).log()


class Strategy(Showing):
    """One solved phase: the rows themselves."""

    head = Nearest
