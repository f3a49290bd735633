"""A network that is staged wrongly is refused, and the place is named."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from headstart.core import staging
from headstart.core.network import Backbone, State
from headstart.errors import ContractError

INPUTS = {"values": torch.arange(12, dtype=torch.float32).reshape(4, 3)}


class Three(Backbone):
    """Three linear stages; entered at `wrong_at` from outside, it adds something."""

    width = 3
    stages = ("first", "second", "third")

    def __init__(self, wrong_at: int | None = None, *, only_in_one_go: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in self.stages)
        self.wrong_at, self.only_in_one_go = wrong_at, only_in_one_go

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        values = state["values"]
        for layer in list(self.layers)[start:stop]:
            values = layer(values)
        if self.only_in_one_go and start == 0 and stop is None:
            values = values + 1
        return {"values": values + (start > 0 and start == self.wrong_at)}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        return state["values"]


def said(backbone: Three) -> dict[str, Tensor]:
    with torch.no_grad():
        return {"pool": nn.Sequential(*backbone.layers)(INPUTS["values"])}


def test_what_says_the_same_passes_and_keeps_its_mode() -> None:
    backbone = Three().train()
    staging.verify(backbone, said(backbone), INPUTS)
    assert backbone.training


@pytest.mark.parametrize("cut", [1, 2])
def test_a_cut_that_is_entered_wrongly_is_named(cut: int) -> None:
    with pytest.raises(ContractError, match=f"before stage {cut} of 3: largest difference 1"):
        staging.verify(Three(cut), {}, INPUTS)


def test_a_network_that_differs_from_the_untouched_one_is_refused() -> None:
    backbone = Three(only_in_one_go=True)
    with pytest.raises(ContractError, match="the pooled features"):
        staging.verify(backbone, said(backbone), INPUTS)
    with pytest.raises(ContractError, match="leaving and re-entering before"):
        staging.verify(backbone, {}, INPUTS)


def test_shapes_and_numbers_are_looked_at() -> None:
    backbone = Three()
    backbone.width = 4
    with pytest.raises(ContractError, match=r"\(4, 3\); expected \(4, 4\)"):
        staging.verify(backbone, {}, INPUTS)
    broken = Three()
    broken.layers[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ContractError, match="NaN or infinity"):
        staging.verify(broken, {}, INPUTS)
