"""Blends of inputs: by hand, in training alone, behind the inputs never, and through kill and resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.core import common
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.engine import loop, mixing
from headstart.errors import PlanError
from headstart.heads import label_each
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_common import composed
from tests.strategies.test_tuned import Stopped, stop_at


class Dense(case.Numbers):
    """Rows whose inputs may be blended."""

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        return dataclasses.replace(super().batch(places, epoch), dense=("x",))


def pictures(rows: int = 4) -> Batch:
    values = torch.arange(rows, dtype=torch.float32)[:, None, None, None].expand(rows, 2, 6, 8)
    dense = ("pixels",)
    return Batch({"pixels": values.clone()}, {"a": torch.arange(rows)}, dense=dense, grid=dense)


def test_dense_inputs_are_mixed_and_masks_joined() -> None:
    values = torch.tensor([[1.0, 2.0], [5.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    batch = Batch(
        {"values": values, "mask": mask, "ids": torch.tensor([3, 4])}, {}, dense=("values",)
    )
    made = mixing.mixed(batch, torch.tensor([1, 0]), torch.tensor(0.75))
    torch.testing.assert_close(made["values"], torch.tensor([[2.0, 1.5], [4.0, 0.5]]))
    assert made["mask"].all()
    assert made["ids"].tolist() == [3, 4]


def test_a_rectangle_comes_from_the_other_and_the_share_is_its_area() -> None:
    torch.manual_seed(0)
    batch, other = pictures(), torch.tensor([1, 2, 3, 0])
    shares = []
    for wanted in (0.1, 0.4, 0.8, 1.0):
        made, share = mixing.pasted(batch, other, torch.tensor(wanted))
        own = made["pixels"] == batch.inputs["pixels"]
        theirs = made["pixels"] == batch.inputs["pixels"][other]
        assert bool((own ^ theirs).all())
        for row in own:
            assert float(row.float().mean()) == pytest.approx(float(share), abs=1e-6)
        assert float(share) >= wanted - 0.1
        shares.append(float(share))
    assert shares[-1] == 1.0
    assert torch.equal(batch.inputs["pixels"], pictures().inputs["pixels"])


def test_a_step_blends_targets_too_and_draws_from_the_global_generator() -> None:
    for given in (
        Common(mixup_inputs=1.0),
        Common(cutmix=1.0),
        Common(mixup_inputs=1.0, cutmix=1.0),
    ):
        torch.manual_seed(3)
        first = mixing.blended({"train": pictures()}, given)["train"]
        torch.manual_seed(3)
        second = mixing.blended({"train": pictures()}, given)["train"]
        assert torch.equal(first.inputs["pixels"], second.inputs["pixels"])
        assert first.share is not None and 0 <= float(first.share) <= 1
        assert sorted(first.lent["a"].tolist()) == [0, 1, 2, 3]


def test_both_take_turns() -> None:
    torch.manual_seed(0)
    given = Common(mixup_inputs=1.0, cutmix=1.0)
    whole = []
    for _ in range(30):
        made = mixing.blended({"train": pictures()}, given)["train"].inputs["pixels"]
        whole.append(bool((made == made.round()).all()))
    assert 5 < sum(whole) < 25


def test_what_enters_behind_the_inputs_or_is_not_dense_stays() -> None:
    given = Common(mixup_inputs=1.0)
    for batch in (
        dataclasses.replace(pictures(), start=1),
        dataclasses.replace(pictures(), dense=(), grid=()),
    ):
        assert mixing.blended({"train": batch}, given)["train"] is batch
    other = {"previous": pictures()}
    assert mixing.blended(other, given) is other
    assert mixing.blended({"train": pictures()}, Common())["train"].share is None


def test_the_loss_is_shared_out_over_both_targets() -> None:
    network, made = case.network(), composed("fine_tune", Common(mixup_inputs=0.4))
    plain = case.batch(6)
    other = torch.tensor([1, 0, 3, 2, 5, 4])
    lent = {name: target[other] for name, target in plain.targets.items()}
    batch = dataclasses.replace(plain, lent=lent, share=torch.tensor(0.3))
    network.heads.train()
    found = made.loss(network, {"train": batch}, 0.0)["classify"]
    own, theirs = (
        made.loss(network, {"train": dataclasses.replace(plain, targets=t)}, 0.0)["classify"]
        for t in (plain.targets, lent)
    )
    assert found.item() == pytest.approx((0.3 * own + 0.7 * theirs).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["fine_tune", "bss", "delta", "lora"])
def test_ended_and_resumed_it_gives_equal_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    given, rows = Common(mixup_inputs=0.4), Dense(*small.problem(60))
    whole, again, plain = case.network(), case.network(), case.network()
    case.train(composed(name, given), whole, rows=rows)
    with pytest.raises(Stopped):
        case.train(composed(name, given), case.network(), tmp_path, rows=rows, alive=stop_at(8))
    case.train(composed(name, given), again, tmp_path, rows=rows)
    assert case.same(case.tensors(whole), case.tensors(again)) == []
    case.train(case.strategy(name), plain, rows=rows)
    assert case.same(case.tensors(whole), case.tensors(plain))


def test_validation_sees_whole_rows() -> None:
    network, rows = case.network(), Dense(*small.problem(60))
    made = composed("fine_tune", Common(mixup_inputs=0.4), patience=0, epochs=1)
    done = case.train(made, network, rows=rows)
    held = rows.batch(np.arange(48, 60), -1)
    with torch.no_grad():
        said = network(held.inputs)["classify"]
    plain = float(torch.nn.functional.cross_entropy(said, held.targets["classify"]))
    assert done.history[-1]["validation"] == pytest.approx(plain, rel=1e-5)


def test_it_is_refused_where_it_means_nothing() -> None:
    network = case.network()
    each = Network(network.backbone, {"each": label_each.Head(6, label_each.learn([["a", "b"]]))})
    assert "mixup_inputs blends whole rows" in common.refuse(Common(mixup_inputs=0.2), each)
    assert "leave one of the two" in common.refuse(Common(cutmix=1.0, mixup=0.2), network)
    both = Common(mixup_inputs=0.2, cutmix=1.0)
    assert common.unblended(both, dense=("pixels",), grid=("pixels",)) == ""
    assert "no pictures; choose mixup_inputs" in common.unblended(both, dense=("row",), grid=())
    assert "no pictures; choose mixup, " in common.unblended(Common(cutmix=1.0), dense=(), grid=())
    assert "choose mixup, " in common.unblended(Common(mixup_inputs=0.1), dense=(), grid=())
    with pytest.raises(PlanError, match="cutmix came as -1"):
        Common(cutmix=-1)
