"""Answers: their encoding, their scores, the likeliest span, and what a head learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.core import answers
from headstart.core.answers import Answer
from headstart.errors import DataError
from headstart.heads import answer
from headstart.modalities.text import read

TEXT = "In 1905 the U.S. patent office, a small one, paid Émile 5€ — well-earned."


def asked(said: str, text: str = TEXT) -> Answer:
    begin = text.index(said)
    return Answer(text, tuple(read.places(text)), begin, begin + len(said))


@pytest.mark.parametrize(
    ("told", "true", "f1", "exact"),
    [
        ("The patent office", "patent office,", 1.0, 1.0),
        ("U.S. patents", "the US", 2 / 3, 0.0),
        ("well-earned", "wellearned", 1.0, 1.0),
        ("a a dog", "dog dog", 2 / 3, 0.0),
        ("cat", "dog", 0.0, 0.0),
        ("the", "a", 1.0, 1.0),
        ("the", "dog", 0.0, 0.0),
    ],
)
def test_texts_are_compared_as_squad_compares_them(
    told: str, true: str, f1: float, exact: float
) -> None:
    assert answers.f1(told, true) == pytest.approx(f1)
    assert answers.f1(true, told) == pytest.approx(f1)
    assert answers.exact(told, true) == exact


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=60), st.data())
def test_an_encoded_answer_comes_back(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    one = Answer(text, tuple(read.places(text)), begin, end)
    first, second = answers.encoded([one, asked("1905")])
    assert answers.decoded(first) == one
    assert answers.decoded(second).text == "1905"


def test_a_span_that_cuts_a_word_touches_it() -> None:
    one = asked("190")
    assert one.inside == (1, 1)
    assert (one.text, one.cut(*one.inside)) == ("190", "1905")


def brute(logits: np.ndarray, most: int) -> tuple[int, int, float]:
    """The likeliest span by looking at each."""
    spans = {
        (a, b): float(logits[a, 0] + logits[b, 1])
        for a in range(len(logits))
        for b in range(a, min(len(logits), a + most))
    }
    best = max(spans, key=lambda s: spans[s])
    return (*best, np.exp(spans[best]) / sum(np.exp(v) for v in spans.values()))


@pytest.mark.parametrize("most", [1, 3, 40])
def test_the_likeliest_span_is_that_of_all_spans(most: int) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 9, 2))
    logits[1, 4:] = np.nan
    found = answer.likeliest(logits, most)
    for said, row in zip(found, logits, strict=True):
        assert said == pytest.approx(brute(row[np.isfinite(row).all(axis=1)], most))


def test_a_row_without_a_word_is_told_nothing() -> None:
    assert answer.likeliest(np.full((1, 3, 2), np.nan), 4).tolist() == [[0.0, 0.0, 0.0]]


def test_learned_targets_know_how_long_answers_are() -> None:
    known = [asked("1905"), asked("patent office"), asked("a small one, paid Émile")]
    targets = answer.learn(known)
    assert targets.most == 6
    assert answer.restore(targets.state()) == targets
    encoded = targets.encode(known)
    said = np.array([[1, 1, 0.9], [7, 8, 0.5], [10, 15, 0.1]])
    assert answer.SCORE.rows(said[None], encoded)[0].tolist() == [1.0, 1.0, 1.0]
    assert answer.losses(said, encoded, targets).tolist() == [0.0, 0.0, 0.0]


def test_other_targets_are_refused() -> None:
    with pytest.raises(DataError, match="expected the place of an answer"):
        answer.learn(["ant", "bee"])
    with pytest.raises(DataError, match="nothing to learn"):
        answer.learn([asked("1905")] * 3)


def test_words_behind_the_end_have_no_share_in_the_loss() -> None:
    known = [asked("1905"), asked("1905", "In 1905."), asked("In", "In 1905.")]
    head = answer.Head(4, answer.learn(known))
    torch.nn.init.normal_(head.linear.weight)
    features = torch.randn(3, len(known[0].units), 4)
    encoded = torch.from_numpy(answers.encoded(known))
    before = head.loss(head(features), encoded)
    features[1:, 3:] = 100.0
    assert torch.equal(head.loss(head(features), encoded), before)
    each = head.each(encoded.numpy())
    assert each[1].tolist()[:4] == [[0, 0], [1, 1], [0, 0], [-1, -1]]
