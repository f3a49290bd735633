"""Backbone and network: the one door through which engine and strategies run a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from headstart.core.head import Head, Targets
from headstart.errors import ContractError

State = dict[str, Tensor]
Want = Literal["outputs", "features", "state"]

FEATURES = "features"
MASK = "mask"


@dataclass(frozen=True)
class Vocabulary:
    """Tokens that a network reads by their numbers.

    Attributes:
        name: of the input (N, L) int64 that holds the numbers.
        embedding: name of the backbone's parameter with one row a token.
        size: tokens there are.
        special: numbers of tokens that nobody wrote: begin, end, padding, unknown, hidden.
        blank: number of the token that stands for a hidden one; None where there is none.
        onward: whether a place sees only itself and what stands before it.
    """

    name: str
    embedding: str
    size: int
    special: tuple[int, ...]
    blank: int | None
    onward: bool


class Backbone(nn.Module):
    """A pretrained network as ordered stages; `cut` counts stages from the input side.

    A state maps names to tensors with the batch first. Names in `ragged` have a second axis whose
    length differs by row; the state then holds `mask`, (N, L) bool, true at real places, which come
    first. A state with more than one such axis (places, and pairs of places) names the mask of each
    in `masks`. Before a state is kept the padding is stripped and the masks dropped; both are rebuilt.

    Attributes:
        width: features per sample.
        stages: names of the stages, input side first.
        ragged: names of state tensors whose axis 1 is ragged.
        masks: ragged name -> name of its axis' mask, where that is not `mask`.
        source_head: what the source predicted, from features to its classes, or None.
        apart: name of an input that cuts rows into parts which are run apart (windows of a long text), or
            "". How many there are differs by batch, so executors that trace a network take no such inputs.
        frozen: why nothing in it can be trained, as the end of a sentence ("it runs in ..."); "" where its
            parameters can.
        attends: name of the state tensor (N, L, width) whose places all attend to each other from stage 1 to
            the end, so that tokens put in front of them are read by all; "" where there are none.
        companions: False when a row's features depend on the padding its batch brings, so that the
            engine forms batches of equal length.
    """

    width: int
    stages: tuple[str, ...]
    ragged: tuple[str, ...] = ()
    masks: Mapping[str, str] = MappingProxyType({})
    source_head: nn.Module | None
    companions: bool = True
    apart: str = ""
    attends: str = ""
    frozen: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.source_head = None  # no class attribute: it would hide the module that is set later

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Runs stages `start` to `stop` (exclusive; None: to the end). Inputs or a state in, state out."""
        raise ContractError(f"{type(self).__name__} has no run().")

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """State after the last stage -> (N, width)."""
        raise ContractError(f"{type(self).__name__} has no pool().")

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """State after the last stage -> (N, L, width) and mask (N, L): tokens, patches, places."""
        raise ContractError(f"{type(self).__name__} has no positions.")

    def axes(self) -> dict[str, str]:
        """Ragged name -> name of the mask of its axis 1."""
        return {name: self.masks.get(name, MASK) for name in self.ragged}

    def units(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """State after the last stage -> (N, U, width) and mask (N, U): what carries labels, in the order
        of the sample. Positions, where a modality has no larger units (words of several tokens)."""
        return self.positions(state)

    def own_head(self, targets: Any) -> Head | None:
        """The head with which the source predicts by itself once it is shown labelled rows; None: it has
        none, or none for such targets."""
        return None

    def operations(self, start: int, stop: int | None) -> float | None:
        """Operations of these stages for one sample, where they run outside torch, whose counter sees
        nothing of them; None: torch counts them."""
        return None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens that the network reads, or None: it reads no tokens."""
        return None

    def adaptable(self) -> tuple[str, ...]:
        """Names of the linear and convolution modules that adapters may wrap."""
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
        return tuple(n for n, m in self.named_modules() if isinstance(m, kinds))

    def stage_of(self, name: str) -> int:
        """Stage that the parameter or buffer `name` belongs to; the last one for the pooling's own."""
        raise ContractError(f"{type(self).__name__} has no stage_of().")


class Network(nn.Module):
    """One backbone and its named heads. `forward` is the only door."""

    def __init__(self, backbone: Backbone, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(dict(heads))

    @classmethod
    def headed(
        cls,
        backbone: Backbone,
        file: Any,
        targets: Targets,
        dropout: float = 0.0,
        further: Iterable[Any] = (),
    ) -> Network:
        """With the source's own head, or a fresh one of the outcome's file (`HeadFile`).

        Args:
            further: targets beside it, each with the name of its `head` and a `module` for it.
        """
        head = backbone.own_head(targets) or file.Head(backbone.width, targets, dropout)
        others = {one.head: one.module(backbone.width, dropout) for one in further}
        return cls(backbone, {targets.outcome: head, **others})

    @property
    def reads(self) -> str:
        """What the heads read: "pooled" features or those of "positions"."""
        kinds = {str(head.reads) for head in self.heads.values()} or {"pooled"}
        if len(kinds) > 1:
            raise ContractError("Heads of one network read either pooled features or positions.")
        return kinds.pop()

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        start: int = 0,
        stop: int | None = None,
        want: Want = "outputs",
    ) -> Any:
        """Runs the network from inputs, from a state kept at the cut `start`, or from features.

        Args:
            inputs: model inputs, a state, or {"features": (N, width)}; for heads that read positions
                {"features": (N, U, width), "mask": (N, U)}.
            start: stage at which `inputs` enter.
            stop: stage before which to stop; only with want="state".
            want: "outputs" -> {head: (N, outputs)}, "features" -> (N, width), "state" -> state; of
                positions (N, U, outputs), and (N, U, width) with NaN behind a row's end.
        """
        mask = None
        if FEATURES in inputs:
            features, mask = inputs[FEATURES], inputs.get(MASK)
        else:
            state = self.backbone.run(inputs, start, stop)
            if want == "state":
                return state
            if self.reads == "positions":
                features, mask = self.backbone.units(state)
            else:
                features = self.backbone.pool(state)
        if want == "features":
            return features if mask is None else features.masked_fill(~mask[..., None], torch.nan)
        return {name: head(features) for name, head in self.heads.items()}
