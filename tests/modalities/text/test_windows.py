"""Passages in windows: every word once, where it has most text around it; each window sees itself alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headstart.core.dataset import Field
from headstart.core.modality import Transform
from headstart.errors import BadRow
from headstart.modalities.text import _windows, backbones, batch, read, tiny

FIELDS = (Field("question", "text"), Field("context", "passage"))
WORDS = [w for words in tiny.TOPICS.values() for w in words]


def sample(words: int, question: str = "which was superb?", seed: int = 0) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {"question": question, "context": " ".join(rng.choice(WORDS, words))}


def made(most: int) -> Transform:
    sealed = dict(tiny.loaded(0).source.preprocessing)
    return batch.make({**sealed, "max_length": most}, FIELDS, [])


@pytest.mark.parametrize("words", [1, 7, 8, 9, 23, 60])
def test_every_word_is_read_once_and_no_window_is_too_long(words: int) -> None:
    transform = made(16)
    arrays = transform(sample(words))
    _, sizes = np.unique(arrays["windows"], return_counts=True)
    assert sizes.max() <= 16 and (len(sizes) == 1 or set(sizes) == {16})
    assert arrays["starts"].sum() == words
    text = sample(words)["context"].split()
    tokenizer = transform.tokenizer  # type: ignore[attr-defined]
    read_at = np.repeat(arrays["ids"], arrays["starts"])
    assert [tokenizer.id_to_token(int(i)) for i in read_at] == text


def test_a_word_is_read_where_it_has_most_text_around() -> None:
    begins = np.array([0, 6, 12])
    found = _windows._window_of(np.arange(22), begins, 10)
    assert (np.diff(found) >= 0).all()
    assert found.tolist() == [0] * 8 + [1] * 6 + [2] * 8


def test_windows_and_cut_questions_are_counted() -> None:
    transform = made(16)
    transform(sample(4))
    assert transform.counts == {}
    transform(sample(40))
    assert transform.counts["passages read in windows"] == 1
    assert transform.counts["windows"] >= 4
    arrays = transform(sample(40, question="roses " * 50))
    assert transform.counts["questions cut"] == 1
    assert arrays["starts"].sum() == 40


def test_marks_that_share_a_token_are_read_there() -> None:
    arrays = made(32)({"question": "which?", "context": "5€ … €€ roses"})
    assert arrays["starts"].sum() == len(read.places("5€ … €€ roses"))


def test_a_passage_without_a_word_is_refused() -> None:
    with pytest.raises(BadRow, match="no word in the text"):
        made(16)({"question": "which?", "context": " \n"})


@pytest.fixture(scope="module")
def staged() -> tuple[Any, Transform]:
    loaded, transform = tiny.loaded(0), made(16)
    return backbones.stage(loaded, transform).eval(), transform


def test_a_window_sees_itself_alone(staged: tuple[Any, Transform]) -> None:
    backbone, transform = staged
    long, short = transform(sample(40)), transform(sample(3))
    with torch.no_grad():
        hidden = backbone.run(transform.collate([short, long]))["hidden"][1]
        for number in range(int(long["windows"].max()) + 1):
            inside = np.flatnonzero(long["windows"] == number)
            alone = {k: v[inside] for k, v in long.items()} | {"windows": np.zeros_like(inside)}
            said = backbone.run(transform.collate([alone]))["hidden"][0]
            assert torch.allclose(hidden[torch.from_numpy(inside)], said, atol=1e-5)


def test_states_kept_at_any_cut_go_on(staged: tuple[Any, Transform]) -> None:
    backbone, transform = staged
    inputs = transform.collate([transform(sample(n, seed=n)) for n in (40, 3, 17)])
    with torch.no_grad():
        whole, mask = backbone.units(backbone.run(inputs))
        for cut in range(len(backbone.stages) + 1):
            kept = backbone.run(inputs, stop=cut)
            again, _ = backbone.units(backbone.run(kept, start=cut))
            assert torch.allclose(again, whole, atol=1e-6)
        said = backbones.reference(tiny.loaded(0), inputs)["positions"]
        real = inputs["mask"]
        assert torch.allclose(backbone.run(inputs)["hidden"][real], said[real], atol=1e-5)
    assert mask.sum(1).tolist() == [40, 3, 17]


def test_dropped_tokens_leave_words_where_they_are() -> None:
    transform = made(16)
    plain = transform(sample(60))
    moved = transform(sample(60), np.random.default_rng(0))
    assert (plain["ids"] != moved["ids"]).any()
    assert np.array_equal(plain["starts"], moved["starts"])
    assert np.array_equal(plain["ids"] == 3, moved["ids"] == 3)  # separators stay
