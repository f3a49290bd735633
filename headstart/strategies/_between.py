"""Modules between the stages of a backbone. They cannot be merged, so they stay on it, as additional tensors.

A backbone is given a class of its own that runs stage by stage and lets its modules read the state in
between; its own tensors keep their names and values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from torch import Tensor

from headstart.core.network import Backbone, State
from headstart.errors import ContractError


class Between(Backbone):
    """What a backbone does once it is opened. `PART` is the name of the attribute that holds what was put in;
    a subclass says what that does with a state."""

    PART = ""

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """As the backbone itself, with what stands before and behind each stage."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return super().run(state, start, stop)
        for stage in range(start, end):
            state = self.behind(super().run(self.before(state, stage), stage, stage + 1), stage)
        return dict(state)

    def before(self, state: Mapping[str, Tensor], stage: int) -> Mapping[str, Tensor]:
        """The state as stage `stage` shall read it."""
        return state

    def behind(self, state: Mapping[str, Tensor], stage: int) -> Mapping[str, Tensor]:
        """The state that stage `stage` made, as it shall be handed on."""
        return state

    def place(self, name: str) -> int:
        """Stage of a tensor of `PART`."""
        raise ContractError(f"{type(self).__name__} has no place().")

    def stage_of(self, name: str) -> int:
        """Stage of the backbone's own tensors, and of what was put in."""
        if name == self.PART or name.startswith(f"{self.PART}."):
            return self.place(name)
        return super().stage_of(name)


@cache
def _joined(kind: type[Between], own: type[Backbone]) -> type[Backbone]:
    return type(f"{kind.__name__}{own.__name__}", (kind, own), {})


def opened(backbone: Backbone, kind: type[Between]) -> None:
    """Gives the backbone the class that runs what is put between its stages; once."""
    if not isinstance(backbone, kind):
        backbone.__class__ = _joined(kind, type(backbone))


def carried(backbone: Backbone, state: Mapping[str, Tensor]) -> str:
    """Name of the tensor of a state that holds what the network has made of the inputs: the first ragged one,
    or the only one of floating-point numbers. Raises ContractError where it cannot be told."""
    floats = [n for n, t in state.items() if t.is_floating_point() and t.ndim > 1]
    known = [n for n in backbone.ragged if n in floats]
    if known:
        return known[0]
    if len(floats) != 1:
        raise ContractError(
            f"{type(backbone).__name__} has states of several tensors ({', '.join(floats)}) and does not "
            "say which holds what it has made of the inputs: name it first in `ragged`."
        )
    return floats[0]
