"""Name the token that comes next, from what stands before it.

Causal language modelling, Radford et al. 2019, "Language models are unsupervised multitask learners" (GPT-2).
The scores are the products of the features with the table of input embeddings, as in GPT-2 itself; nothing is
thrown away afterwards. The loss counts at every token but the first of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.objectives._language import Tokens, table, vocabulary
from headstart.objectives._parts import Common

CONTINUED = {"epochs": 3, "rate": 1e-4}
"""Settings of a training that goes on from a source, where they are not given."""


@dataclass(frozen=True)
class Settings(Common):
    """Of the training alone."""

    epochs: int = 40


class Objective(Tokens):
    """Cross-entropy of the next token."""

    settings: Settings

    def refuse(self, network: Network) -> str:
        why, known = super().refuse(network), network.backbone.vocabulary
        if why or known is None:
            return why
        if not known.onward:
            return "its tokens see those that follow, so the next one would only be copied"
        rows = network.backbone.get_parameter(known.embedding)
        if rows.shape[1] != network.backbone.width:
            return (
                f"its features have width {network.backbone.width} and its table of tokens {rows.shape[1]}, "
                "so they cannot be compared"
            )
        return ""

    def asked(self, network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
        ids = batch.inputs[vocabulary(network.backbone).name]
        places, mask = network.backbone.positions(network(batch.inputs, want="state"))
        follows = mask[:, 1:]
        return functional.linear(places[:, :-1][follows], table(network.backbone)), ids[:, 1:][
            follows
        ]
