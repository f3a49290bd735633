"""Name the tokens that were hidden, from what stands on both sides of them.

Masked language modelling, Devlin et al. 2018 (BERT), arXiv:1810.04805: of the chosen tokens four in five are
replaced by the token for a hidden one, one in ten by a random token, one in ten stays. The choice is drawn
anew at every step (Liu et al. 2019, arXiv:1907.11692). The loss counts at chosen places only. Going on from a
source on texts of one's own field is Gururangan et al. 2020, arXiv:2004.10964.

The head is BERT's, tied to the table of input embeddings, and thrown away afterwards. In `head_epochs` it
learns alone, so that a head that knows nothing does not spoil a network that does (as in Kumar et al. 2022,
arXiv:2202.10054).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.core.network import Network, Vocabulary
from headstart.core.strategy import Batch, Phase
from headstart.objectives._language import Namer, Tokens, table, vocabulary
from headstart.objectives._parts import Common

CONTINUED = {"epochs": 3, "rate": 1e-4, "head_epochs": 1}
"""Settings of a training that goes on from a source, where they are not given."""
BLANKED, SWAPPED = 0.8, 0.1
HEAD = "head"


@dataclass(frozen=True)
class Settings(Common):
    """Of what is hidden.

    Attributes:
        share: of a text's tokens that is chosen; one at least.
        head_epochs: passes before the others in which only the head learns.
        head_rate: learning rate in these.
    """

    epochs: int = 40
    share: float = 0.15
    head_epochs: int = 0
    head_rate: float = 2e-3


class Objective(Tokens):
    """Cross-entropy of the hidden tokens."""

    settings: Settings

    def refuse(self, network: Network) -> str:
        why, known = super().refuse(network), network.backbone.vocabulary
        if why or known is None:
            return why
        if known.onward:
            return (
                "each of its tokens sees only what stands before it, so a hidden one cannot be told from "
                "both sides"
            )
        if known.blank is None:
            return "its tokenizer has no token that stands for a hidden one, such as [MASK]"
        return ""

    def prepare(self, network: Network, streams: Mapping[str, object]) -> None:
        self.namer = Namer(network.backbone.width, table(network.backbone))

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, whole = self.settings, super().phases(network)
        if settings.head_epochs < 1:
            return whole
        stages, epochs = len(network.backbone.stages), settings.head_epochs
        alone = Phase(HEAD, (), stages, epochs=epochs, rate=settings.head_rate, whole=True)
        return (alone, *whole)

    def asked(self, network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
        known = vocabulary(network.backbone)
        ids = batch.inputs[known.name]
        shown, where = hide(ids, known, self.settings.share)
        state = network({**batch.inputs, known.name: shown}, want="state")
        places = network.backbone.positions(state)[0]
        return self.namer(places[where], table(network.backbone)), ids[where]


def hide(ids: Tensor, known: Vocabulary, share: float) -> tuple[Tensor, Tensor]:
    """Token numbers (N, L) -> what is shown instead (N, L), and which places were chosen (N, L) bool.

    A `share` of each row's tokens is chosen, rounded, one at least; special ones never are.
    """
    special = torch.tensor(known.special, dtype=ids.dtype, device=ids.device)
    free = ~torch.isin(ids, special)
    count = free.sum(1)
    most = (count * share).round().long().clamp(min=1).minimum(count)
    draws = torch.rand(ids.shape, device=ids.device).masked_fill(~free, 2.0)
    where = free & (draws.argsort(1).argsort(1) < most[:, None])
    kind = torch.rand(ids.shape, device=ids.device)
    other = torch.randint(known.size, ids.shape, device=ids.device, dtype=ids.dtype)
    blanked, swapped = kind < BLANKED, kind >= 1.0 - SWAPPED
    shown = ids.masked_fill(where & blanked, int(known.blank or 0))
    return torch.where(where & swapped, other, shown), where
