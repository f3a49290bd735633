"""Labels of positions: encoding, spans as seqeval counts them, rows whose mean is F1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.core import spans
from headstart.core.ragged import Ragged, fitted, joined
from headstart.errors import DataError
from headstart.heads import label_each

CLASSES = ("B-per", "B-loc", "I-per", "I-loc", "O")
SCHEME: Any = spans.scheme(CLASSES)


def slowly(labels: list[str]) -> set[tuple[int, int, str]]:
    """Spans by a walk from left to right, as CoNLL's script goes."""
    found, open_at, kind = set(), 0, ""
    for place, label in enumerate([*labels, "O"]):
        own = label[2:] if label != "O" else ""
        if kind and (own != kind or label.startswith("B-")):
            found.add((open_at, place - 1, kind))
            kind = ""
        if own and not kind:
            open_at, kind = place, own
    return found


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_spans_are_those_of_a_walk_from_left_to_right(row: list[int]) -> None:
    found = spans.listed(np.array(row), SCHEME)
    assert set(found) == slowly([CLASSES[k] for k in row])


@given(st.lists(st.sampled_from(["O", "B-per", "B-loc"]), min_size=1, max_size=8))
def test_names_of_listed_spans_give_the_spans_again(row: list[str]) -> None:
    found = spans.listed(np.array([CLASSES.index(n) for n in row]), SCHEME)
    again = spans.names(found, len(row))
    assert slowly(again) == set(found)


@pytest.mark.parametrize("classes", [("a", "b"), ("O", "I-x"), ("O", "x"), ("O",), ("B-", "O")])
def test_plain_labels_tell_no_spans(classes: tuple[str, ...]) -> None:
    assert spans.scheme(classes) is None


def drawn(seed: int, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (2, rows, 6, classes), and targets with rows of different length."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, (rows, 6))
    truth[np.arange(6)[None] >= rng.integers(1, 7, rows)[:, None]] = -1
    said = rng.random((2, rows, 6, 5)) + 0.7 * np.eye(5)[truth]
    said[:, truth < 0] = np.nan
    return said, truth


@pytest.mark.parametrize("seed", range(4))
def test_rows_have_f1_as_their_mean(seed: int) -> None:
    said, truth = drawn(seed)
    rows = label_each.f1(SCHEME, said, truth)
    for number in range(2):
        right = told = true = 0
        for outputs, labels in zip(said[number], truth, strict=True):
            length = int((labels >= 0).sum())
            mine = slowly([CLASSES[k] for k in outputs[:length].argmax(1)])
            own = slowly([CLASSES[k] for k in labels[:length]])
            right, told, true = right + len(mine & own), told + len(mine), true + len(own)
        assert rows[number].mean() == pytest.approx(2 * right / (told + true))


def test_the_spread_of_rows_is_that_of_resampled_f1() -> None:
    said, truth = drawn(5, rows=300)
    rows = label_each.f1(SCHEME, said[:1], truth)[0]
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 300, 300) for _ in range(400)]
    scores = [label_each.f1(SCHEME, said[:1, d], truth[d]).mean() for d in draws]
    assert np.std(scores) == pytest.approx(rows.std() / np.sqrt(300), rel=0.15)


def test_what_was_not_reached_is_told_nothing() -> None:
    truth = np.array([[0, 2, 4, 1]])
    whole = np.eye(5)[truth][None]
    assert label_each.f1(SCHEME, whole, truth).mean() == 1.0
    assert label_each.f1(SCHEME, whole[:, :, :3], truth).mean() == pytest.approx(2 / 3)
    assert label_each.hits(whole[:, :, :3], truth).mean() == pytest.approx(3 / 4)


def test_no_span_means_no_score() -> None:
    score = label_each.restore({"classes": CLASSES}).score
    assert "no test row holds a span" in score.undefined(np.array([[4, 4, -1]]))
    assert score.undefined(np.array([[4, 0]])) == ""


def test_encoding_pads_and_leaves_out_what_has_no_label() -> None:
    targets = label_each.learn([("O", "B-x"), ("O",)])
    assert targets.encode([("B-x", None, "O"), ()]).tolist() == [[0, -1, 1], [-1, -1, -1]]
    with pytest.raises(DataError, match="'B-y' did not occur"):
        targets.encode([("B-y",)])
    with pytest.raises(DataError, match="list with one label for each position"):
        targets.encode(["O"])


def test_one_label_everywhere_is_refused() -> None:
    with pytest.raises(DataError, match=r"one label \(O\).*nothing to tell apart"):
        label_each.learn([("O", "O"), ("O", None)])


def test_decoding_leaves_out_the_padding() -> None:
    targets = label_each.restore({"classes": CLASSES})
    said = np.full((1, 4, 5), np.nan)
    said[0, :3] = 0.9 * np.eye(5)[[0, 2, 4]] + 0.02
    assert targets.decode(said) == [["B-per", "I-per", "O"]]
    assert targets.spans(said[0]) == [(0, 1, "per", pytest.approx(0.92))]
    plain = label_each.restore({"classes": ("a", "b", "c", "d", "e")})
    assert [s[:3] for s in plain.spans(said[0])] == [(0, 0, "a"), (1, 1, "c"), (2, 2, "e")]


def test_the_loss_counts_labelled_positions_only() -> None:
    head = label_each.Head(3, label_each.restore({"classes": ("a", "b")}))
    outputs = torch.tensor([[[2.0, 0.0], [0.0, 9.0]]])
    one = float(head.loss(outputs, torch.tensor([[0, -1, 1]])))
    assert one == pytest.approx(np.log1p(np.exp(-2.0)), rel=1e-5)
    assert float(head.loss(outputs, torch.tensor([[-1, -1]]))) == 0.0


def test_ragged_rows_come_back_in_the_order_asked_for() -> None:
    held = Ragged(np.arange(12.0).reshape(6, 2), np.array([1, 3, 0, 2]))
    some = held[np.array([3, 2, 1])]
    assert some.lengths.tolist() == [2, 0, 3]
    assert some.flat[:, 0].tolist() == [8, 10, 2, 4, 6]
    whole, mask = some.padded()
    assert whole.shape == (3, 3, 2)
    assert mask.sum(1).tolist() == [2, 0, 3]
    assert (whole[~mask] == 0).all()


def test_outputs_of_other_lengths_are_joined_with_nan() -> None:
    made = joined([np.ones((2, 1, 2)), np.ones((1, 3, 2))])
    assert made.shape == (3, 3, 2)
    assert np.isnan(made[0, 1:]).all()
    assert np.isfinite(made[2]).all()
    assert fitted(made, 1).shape == (3, 1, 2)
    assert joined([np.ones((2, 4)), np.ones((1, 4))]).shape == (3, 4)
