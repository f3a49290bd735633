"""Kept states with more than one ragged axis: each is stripped by its own mask, and rebuilt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.engine._trunk import to_batch, to_rows

AXES = {"places": "mask", "pairs": "pair_mask", "known": "pair_mask"}


def state() -> dict[str, torch.Tensor]:
    """Three rows of 2, 4, 1 places and 3, 0, 1 pairs."""
    mask = torch.arange(4)[None] < torch.tensor([[2], [4], [1]])
    pair_mask = torch.arange(3)[None] < torch.tensor([[3], [0], [1]])
    pairs = torch.arange(18).reshape(3, 3, 2) * pair_mask[..., None]
    places = torch.randn(3, 4, 5) * mask[..., None]
    known = torch.randn(3, 3) * pair_mask
    whole = {"mask": mask, "pair_mask": pair_mask, "whole": torch.randn(3, 7)}
    return {"places": places, "pairs": pairs, "known": known, **whole}


def test_each_axis_is_stripped_by_its_own_mask():
    rows = to_rows(state(), AXES, brief=False)
    assert set(rows[0]) == {"places", "pairs", "known", "whole"}
    assert [r["places"].shape for r in rows] == [(2, 5), (4, 5), (1, 5)]
    assert [r["pairs"].shape for r in rows] == [(3, 2), (0, 2), (1, 2)]
    assert [len(r["known"]) for r in rows] == [3, 0, 1]


def test_what_was_stripped_comes_back():
    before = state()
    after = to_batch(to_rows(before, AXES, brief=False), AXES)
    assert set(after) == set(before)
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name


@pytest.mark.parametrize("places", [[1], [2, 1], [1, 1]])
def test_rows_come_back_in_any_company(places):
    before = state()
    rows = to_rows(before, AXES, brief=False)
    after = to_batch([rows[p] for p in places], AXES)
    longest = {
        "mask": max([2, 4, 1][p] for p in places),
        "pair_mask": max([3, 0, 1][p] for p in places),
    }
    for name, mask in AXES.items():
        assert after[name].shape[1] == after[mask].shape[1] == longest[mask]
        for row, place in enumerate(places):
            real = after[name][row][after[mask][row]]
            assert np.array_equal(real, rows[place][name])


def test_brief_states_take_half_on_every_axis():
    rows = to_rows(state(), AXES, brief=True)
    again = to_batch(rows, AXES)
    assert again["places"].shape == (3, 4, 5) and again["known"].shape == (3, 3)
    assert torch.equal(again["pairs"], state()["pairs"])
