"""Tokens: sealed, truncated with a count, padded at the end, augmented by a seed."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch

from headstart.core.dataset import Field
from headstart.errors import BadRow, SourceError
from headstart.modalities.text import batch, tiny

FIELDS = (Field("text", "text"),)
SEALED = tiny.loaded(0).source.preprocessing


def make(**changed: object) -> batch.Transform:
    return batch.make({**SEALED, **changed}, FIELDS, [])


def test_truncation_is_counted_also_by_threads() -> None:
    transform = make(max_length=8)
    long, short = [{"text": "the old roses " * (20 + n)} for n in range(25)], {"text": "the old"}
    threads = [threading.Thread(target=lambda: [transform(one) for one in long]) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    transform(short)
    assert transform.counts == {"truncated": 25}, "each text once"
    assert transform.length(transform(long[0])) == 8


def test_padding_stands_at_the_end() -> None:
    transform = make()
    items = [transform({"text": t}) for t in ("roses", "the old roses and the soil")]
    made = transform.collate(items)
    assert made["ids"].dtype == torch.int64
    assert made["mask"].dtype == torch.bool
    lengths = [transform.length(i) for i in items]
    assert made["mask"].sum(1).tolist() == lengths
    assert not made["mask"][0, lengths[0] :].any()
    assert set(made) == {"ids", "mask"}


def test_two_fields_are_a_pair_with_types() -> None:
    fields = (Field("question", "text"), Field("answer", "text"))
    transform = batch.make(SEALED, fields, [])
    arrays = transform({"question": "roses", "answer": "the soil"})
    assert arrays["types"].tolist() == [0, 0, 0, 1, 1, 1]
    assert "types" in transform.collate([arrays])


def test_the_digest_covers_what_decides_the_features() -> None:
    plain = make()
    changed = [
        make(max_length=16),
        make(pooling="cls"),
        make(normalise=True),
        make(lower_case=True),
    ]
    digests = {t.digest for t in (plain, *changed)}
    assert len(digests) == 5
    other = json.loads(SEALED["tokenizer_json"])
    other["model"]["vocab"]["zebra"] = 999
    assert make(tokenizer_json=json.dumps(other)).digest != plain.digest


def test_white_space_of_the_tokenizer_is_no_difference() -> None:
    spaced = json.dumps(json.loads(SEALED["tokenizer_json"]), indent=2)
    assert make(tokenizer_json=spaced).digest == make().digest


def test_fixed_padding_of_a_tokenizer_is_switched_off() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(SEALED["tokenizer_json"])
    tokenizer.enable_padding(length=50)
    transform = make(tokenizer_json=tokenizer.to_str())
    assert transform.length(transform({"text": "roses"})) == 3


def test_augmentation_keeps_most_words_and_adds_none() -> None:
    text = " ".join(f"w{i}" for i in range(200))
    made = batch.augment(text, np.random.default_rng(0)).split()
    assert 150 < len(made) < 200
    assert set(made) <= set(text.split())
    assert made != [w for w in text.split() if w in set(made)], "neighbours are swapped"


def test_augmentation_never_empties_a_text() -> None:
    for seed in range(200):
        assert batch.augment("one two three", np.random.default_rng(seed)).strip()
    assert batch.augment("one", np.random.default_rng(0)) == "one"


def test_a_text_without_any_known_token_is_a_bad_row() -> None:
    with pytest.raises(BadRow, match="no token"):
        make()({"text": " "})


def test_a_source_without_tokenizer_is_refused() -> None:
    with pytest.raises(SourceError, match="no tokenizer"):
        batch.make({"input_size": 3}, FIELDS, [])


def test_a_broken_tokenizer_is_refused_in_words() -> None:
    with pytest.raises(SourceError, match="not JSON"):
        make(tokenizer_json="{")
    with pytest.raises(SourceError, match="cannot be read"):
        make(tokenizer_json="{}")
