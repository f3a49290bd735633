"""Trained tokens in front of those of a frozen transformer.

Lester et al. 2021, arXiv:2104.08691 (prompt tuning: tokens in front of the embedded input, begun as tokens of
the vocabulary); Li and Liang 2021, arXiv:2101.00190, and Jia et al. 2022, arXiv:2203.12119 (deep: each layer
reads tokens of its own). The tokens are read by attention alone: they are taken off behind the last layer,
before anything is pooled. They cannot be merged into the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.network import MASK, Network
from headstart.strategies._between import Between, opened
from headstart.strategies._efficient import Efficient, Few
from headstart.strategies._tuning import above

PART = "prompts"
ROWS = 8  # training rows whose tokens the prompts begin as


@dataclass(frozen=True)
class Settings(Few):
    """How many tokens, and how fast they learn.

    Attributes:
        tokens: put in front; each makes every layer read one more.
        deep: each layer reads tokens of its own; else those of the first go through all.
        rate: learning rate of the tokens (AdamW).
        head_rate: factor on `rate` for the head.
    """

    tokens: int = 20
    deep: bool = True
    rate: float = 1e-2
    head_rate: float = 0.1

    cut: ClassVar[int] = 1  # type: ignore[misc]  # what embeds the input stays as it is and may be kept

    def __post_init__(self) -> None:
        super().__post_init__()
        above(self, "tokens")


class Prompted(Between):
    """A backbone that reads `prompts` (layers, tokens, width) in front, from stage 1 to the end; those of a
    layer give way to the next layer's. Where rows are cut into parts read apart, each part has them."""

    PART = PART
    prompts: nn.Parameter

    def before(self, state: Mapping[str, Tensor], stage: int) -> Mapping[str, Tensor]:
        if stage == 1:
            return self._front(state)
        if 1 < stage <= len(self.prompts):
            return self._renewed(state, self.prompts[stage - 1])
        return state

    def behind(self, state: Mapping[str, Tensor], stage: int) -> Mapping[str, Tensor]:
        last = stage == len(self.stages) - 1
        return self._off(state) if last else state

    def place(self, name: str) -> int:
        return 1

    def _names(self, state: Mapping[str, Tensor]) -> list[str]:
        """Tensors of the state that have a value for each token, masks among them."""
        known = self.axes()
        mask = known.get(self.attends, MASK)
        found = [n for n in state if n == self.attends or n == mask or known.get(n) == mask]
        return found if mask in state else [self.attends]

    def _cut(self, state: Mapping[str, Tensor]) -> bool:
        """Whether some row has more than one part."""
        return bool(self.apart) and self.apart in state and bool(state[self.apart].any())

    def _front(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state with tokens put in front of each part."""
        hidden, count = state[self.attends], self.prompts.shape[1]
        first = self.prompts[0].to(hidden.dtype)
        if self._cut(state):
            return self._fronts(state, first)
        made = dict(state)
        for name in self._names(state):
            shape = (len(hidden), count, *state[name].shape[2:])
            made[name] = torch.cat([state[name].new_zeros(shape), state[name]], 1)
        made[self.attends] = torch.cat([first.expand(len(hidden), -1, -1), hidden], 1)
        mask = self.axes().get(self.attends, MASK)
        if mask in state:
            made[mask][:, :count] = True
        return made

    def _fronts(self, state: Mapping[str, Tensor], first: Tensor) -> dict[str, Tensor]:
        """`_front` of rows in parts: token j of part w moves (w + 1) prompts further."""
        mask, parts, count = state[MASK], state[self.apart], self.prompts.shape[1]
        lengths = mask.sum(1)
        shares = (parts * mask).amax(1) + 1  # parts of each row
        longest = int((lengths + shares * count).max())
        rows = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)[mask]
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        places = (places + (parts + 1) * count)[mask]
        made = dict(state)
        for name in self._names(state):
            values = state[name]
            wide = values.new_zeros((len(mask), longest, *values.shape[2:]))
            made[name] = wide.index_put((rows, places), values[mask])
        real = torch.arange(longest, device=mask.device) < (lengths + shares * count)[:, None]
        empty = real & ~made[MASK]  # where the prompts go
        order = empty.long().cumsum(1) - 1
        made[MASK], made[self.apart] = real, made[self.apart] + (order // count) * empty
        hidden = made[self.attends]
        made[self.attends] = hidden.masked_scatter(
            empty[..., None], first.repeat(int(shares.sum()), 1)
        )
        return made

    def _prompted(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, L) bool: the first places of each part of a state in parts."""
        parts, count = state[self.apart], self.prompts.shape[1]
        place = torch.arange(parts.shape[1], device=parts.device).expand_as(parts)
        new = torch.ones_like(parts, dtype=torch.bool)
        new[:, 1:] = parts[:, 1:] != parts[:, :-1]
        begin = (place * new).cummax(1).values
        return (place - begin < count) & state[MASK]

    def _renewed(self, state: Mapping[str, Tensor], tokens: Tensor) -> dict[str, Tensor]:
        """The state with other tokens where those of the layer before were."""
        hidden, count = state[self.attends], self.prompts.shape[1]
        tokens = tokens.to(hidden.dtype)
        if self._cut(state):
            where = self._prompted(state)
            several = tokens.repeat(int(where.sum()) // count, 1)
            return {**state, self.attends: hidden.masked_scatter(where[..., None], several)}
        front = tokens.expand(len(hidden), -1, -1)
        return {**state, self.attends: torch.cat([front, hidden[:, count:]], 1)}

    def _off(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state without the tokens."""
        count, names = self.prompts.shape[1], self._names(state)
        if not self._cut(state):
            return {n: t[:, count:] if n in names else t for n, t in state.items()}
        own = state[MASK] & ~self._prompted(state)
        lengths = own.sum(1)
        longest = torch.arange(int(lengths.max()), device=own.device)
        mask = longest < lengths[:, None]
        made = dict(state)
        for name in names:
            short = state[name].new_zeros((*mask.shape, *state[name].shape[2:]))
            short[mask] = state[name][own]
            made[name] = short
        made[MASK] = mask
        return made


class Strategy(Efficient):
    """The solved head, then head and tokens together; the source's own weights stay to the bit."""

    settings: Settings
    name = "prompt"

    def lacking(self, network: Network) -> str:
        if network.backbone.attends and len(network.backbone.stages) > 1:
            return ""
        return (
            "tokens can only be put in front of a staged transformer of texts or of patches of pictures. "
            "Use lora or adapter, which fit any network of linear or convolution layers"
        )

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Puts the tokens in; they begin as what the stages read of a few training rows."""
        backbone, drawn = network.backbone, []
        places = np.arange(min(ROWS, len(streams["train"])))
        batch = streams["train"].batch(places, -1)
        state: Mapping[str, Tensor] = batch.inputs
        with torch.no_grad():
            if batch.start == 0:
                state = backbone.run(state, 0, 1)
            chosen: Tensor | None = None
            for stage in range(1, len(backbone.stages) if self.settings.deep else 2):
                hidden = state[backbone.attends]
                real = state.get(MASK, torch.ones(hidden.shape[:2], dtype=torch.bool))
                known = hidden[real]
                if chosen is None:
                    chosen = torch.randint(len(known), (self.settings.tokens,))
                drawn.append(known[chosen])
                state = backbone.run(state, stage, stage + 1)
        opened(backbone, Prompted)
        backbone.prompts = nn.Parameter(torch.stack(drawn))

    def trained(self, network: Network) -> tuple[str, ...]:
        """The tokens of all layers, one tensor."""
        return (f"backbone.{PART}",) if hasattr(network.backbone, PART) else ()

    @staticmethod
    def rebuild(network: Network, tensors: Mapping[str, Tensor]) -> None:
        """Puts in tokens as many as there were."""
        kept = tensors.get(f"backbone.{PART}")
        if kept is not None:
            like = next(network.parameters())
            opened(network.backbone, Prompted)
            network.backbone.prompts = nn.Parameter(torch.zeros_like(kept, device=like.device))
