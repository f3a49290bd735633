"""Objectives of tokens on planted cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headstart.core.network import Network, Vocabulary
from headstart.core.strategy import Batch
from headstart.objectives import causal_lm, masked_lm
from headstart.objectives._language import Namer
from testing._things import staged
from tests.engine.small import Small

KNOWN = Vocabulary("ids", "table", 1000, special=(0, 1, 2, 3), blank=3, onward=False)


def numbers(rows: int = 4000, length: int = 40) -> Tensor:
    torch.manual_seed(0)
    ids = torch.randint(4, 1000, (rows, length))
    ids[:, 0], ids[:, -1] = 1, 2
    ids[::2, 20:] = 0  # padding
    return ids


def test_four_in_five_are_hidden_one_in_ten_swapped_one_in_ten_left() -> None:
    ids = numbers()
    shown, where = masked_lm.hide(ids, KNOWN, 0.15)
    chosen = float(where.sum())
    assert float((where & (shown == 3)).sum()) / chosen == pytest.approx(0.8, abs=0.02)
    assert float((where & (shown == ids)).sum()) / chosen == pytest.approx(0.1, abs=0.02)
    assert torch.equal(shown[~where], ids[~where])


def test_special_tokens_are_never_chosen_and_every_row_has_its_share() -> None:
    ids = numbers()
    where = masked_lm.hide(ids, KNOWN, 0.15)[1]
    assert not where[ids < 4].any()
    assert set(where[1::2].sum(1).tolist()) == {6}  # of 38
    assert set(where[::2].sum(1).tolist()) == {3}  # of 19
    short = torch.tensor([[1, 7, 2], [1, 2, 0]])
    assert masked_lm.hide(short, KNOWN, 0.15)[1].tolist() == [[False, True, False], [False] * 3]


def test_masks_are_drawn_anew_and_follow_from_the_seed() -> None:
    ids = numbers(8)
    torch.manual_seed(3)
    first, second = masked_lm.hide(ids, KNOWN, 0.3)[1], masked_lm.hide(ids, KNOWN, 0.3)[1]
    torch.manual_seed(3)
    assert torch.equal(masked_lm.hide(ids, KNOWN, 0.3)[1], first)
    assert not torch.equal(first, second)


def network() -> tuple[Network, dict[str, Batch]]:
    made = staged("text/tiny")
    return Network(made.backbone, {}), {"train": Batch(made.inputs, {})}


def test_the_head_is_tied_to_the_table_of_tokens() -> None:
    net, batches = network()
    made = masked_lm.Objective(masked_lm.Settings())
    torch.manual_seed(0)
    made.prepare(net, {})
    rows = net.backbone.network.embeddings.word_embeddings.weight
    assert all(p.shape != rows.shape for p in made.parameters())
    net.requires_grad_(True)
    sum(made.loss(net, batches, 0.0).values()).backward()
    assert rows.grad is not None
    assert float(rows.grad.abs().sum()) > 0
    net.zero_grad()
    net.requires_grad_(False)


def test_only_hidden_places_are_asked_for() -> None:
    net, batches = network()
    made = masked_lm.Objective(masked_lm.Settings(share=0.5))
    made.prepare(net, {})
    scores, wanted = made.asked(net, batches["train"])
    free = ~torch.isin(
        batches["train"].inputs["ids"], torch.tensor(net.backbone.vocabulary.special)
    )
    assert len(wanted) == len(scores) == int((free.sum(1) * 0.5).round().sum())
    total, count = made.surprise(net, batches["train"])
    assert count == len(wanted)
    assert total > 0


def test_a_batch_in_which_nothing_can_be_hidden_costs_nothing() -> None:
    net, _ = network()
    made = masked_lm.Objective(masked_lm.Settings())
    made.prepare(net, {})
    ids = torch.tensor([[2, 3], [2, 3]])
    batch = {"train": Batch({"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)}, {})}
    assert float(made.loss(net, batch, 0.0)["surprise"].detach()) == 0


def test_the_first_phase_trains_the_head_alone() -> None:
    net, _ = network()
    alone, whole = masked_lm.Objective(masked_lm.Settings(head_epochs=2)).phases(net)
    assert (alone.groups, alone.epochs, alone.cut) == ((), 2, len(net.backbone.stages))
    assert whole.groups
    assert len(masked_lm.Objective(masked_lm.Settings()).phases(net)) == 1


def test_each_place_names_the_token_behind_it() -> None:
    from headstart.core import plugins

    text = plugins.Modality("text")
    backbone = text.backbones.stage(text.tiny.onward(0)).eval()
    net, made = Network(backbone, {}), causal_lm.Objective(causal_lm.Settings())
    made.prepare(net, {})
    ids = torch.tensor([[2, 9, 7, 3, 0], [2, 8, 3, 0, 0]])
    batch = Batch({"ids": ids, "mask": ids > 0}, {})
    scores, wanted = made.asked(net, batch)
    assert wanted.tolist() == [9, 7, 3, 8, 3]
    assert not list(made.parameters())
    with torch.no_grad():
        theirs = backbone.network(input_ids=ids[:1, :4]).last_hidden_state[0, :3]
        expected = theirs @ backbone.network.wte.weight.T
    assert torch.allclose(scores[:3], expected, atol=1e-5)


def test_what_names_no_tokens_is_refused() -> None:
    for file in (masked_lm, causal_lm):
        why = file.Objective(file.Settings()).refuse(Network(Small(), {}))
        assert "no tokens" in why


def test_a_tokenizer_without_a_token_for_hidden_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import dataclasses

    net, _ = network()
    kind = type(net.backbone)
    known = dataclasses.replace(net.backbone.vocabulary, blank=None)
    monkeypatch.setattr(kind, "vocabulary", property(lambda self: known))
    why = masked_lm.Objective(masked_lm.Settings()).refuse(net)
    assert "[MASK]" in why


def test_a_head_that_knows_nothing_is_as_surprised_as_chance() -> None:
    torch.manual_seed(0)
    namer = Namer(16, torch.randn(50, 16) * 0.02)
    scores = namer(torch.randn(200, 16), torch.randn(50, 16) * 0.02)
    wanted = torch.randint(50, (200,))
    found = float(torch.nn.functional.cross_entropy(scores, wanted).detach())
    assert found == pytest.approx(math.log(50), abs=0.05)
