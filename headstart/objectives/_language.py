"""What objectives that name tokens are made of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.network import Backbone, Network, Vocabulary
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.errors import ContractError

HELD_OUT = 0.1
BATCH = 32
NO_TOKENS = "the network reads no tokens, so there are none to be named"


class Tokens(Base):
    """Base of objectives that name tokens: all of a text is read, and a share of the texts is held out.

    A subclass says in `asked` which tokens are to be named.
    """

    batch, pieces, holds_out = BATCH, True, HELD_OUT

    def refuse(self, network: Network) -> str:
        return super().refuse(network) or ("" if network.backbone.vocabulary else NO_TOKENS)

    def asked(self, network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores (K, tokens) of K places, and the tokens that stand there (K,)."""
        raise ContractError(f"{type(self).__name__} has no asked().")

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        scores, wanted = self.asked(network, batches["train"])
        total = functional.cross_entropy(scores.float(), wanted, reduction="sum")
        return {"surprise": total / max(1, len(wanted))}

    def surprise(self, network: Network, batch: Batch) -> tuple[float, int]:
        with torch.no_grad():
            scores, wanted = self.asked(network, batch)
            total = functional.cross_entropy(scores.float(), wanted, reduction="sum")
        return float(total), len(wanted)


def vocabulary(backbone: Backbone) -> Vocabulary:
    """The tokens of a network that was not refused."""
    known = backbone.vocabulary
    if known is None:
        raise ContractError(f"{type(backbone).__name__} has no vocabulary.")
    return known


def table(backbone: Backbone) -> Tensor:
    """Input embeddings (rows, width of an embedding), the backbone's own parameter."""
    return backbone.get_parameter(vocabulary(backbone).embedding)


class Namer(nn.Module):
    """Features of places (K, width) -> scores (K, tokens): BERT's own head (arXiv:1810.04805).

    Its last map is the table of input embeddings, the backbone's own (Press and Wolf 2017, arXiv:1608.05859).
    """

    def __init__(self, width: int, rows: Tensor) -> None:
        super().__init__()
        self.dense = nn.Linear(width, rows.shape[1])
        self.norm = nn.LayerNorm(rows.shape[1])
        self.bias = nn.Parameter(torch.zeros(len(rows)))

    def forward(self, features: Tensor, rows: Tensor) -> Tensor:
        made = self.norm(functional.gelu(self.dense(features)))
        return functional.linear(made, rows, self.bias)
