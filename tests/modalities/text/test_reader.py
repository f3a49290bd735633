"""The simple model of answers finds what shares words with the question and looks like its answers."""

from __future__ import annotations

import numpy as np

from headstart.core import answers
from headstart.core.answers import Answer
from headstart.core.dataset import Field
from headstart.heads import answer
from headstart.modalities.text import _reader, read

FIELDS = (Field("question", "text"), Field("context", "passage"))
PLACES = ("Rome", "Oslo", "Bern", "Lima", "Cairo", "Quito")
THINGS = ("bakery", "bridge", "harbour", "library", "market", "tower")


def world(rows: int, seed: int) -> tuple[list[dict[str, str]], np.ndarray]:
    """Texts that say when and where three things were built; the questions ask for one of them."""
    rng = np.random.default_rng(seed)
    samples, known = [], []
    for _ in range(rows):
        things, places = rng.choice(THINGS, 3, replace=False), rng.choice(PLACES, 3, replace=False)
        years = rng.integers(1800, 1999, 3)
        said = zip(things, places, years, strict=True)
        text = " ".join(f"The {t} of {p} was built in {y}." for t, p, y in said)
        k, when = int(rng.integers(3)), bool(rng.integers(2))
        wanted = str(years[k]) if when else str(places[k])
        question = f"{'When' if when else 'Where'} was the {things[k]} built?"
        samples.append({"question": question, "context": text})
        begin = text.index(str(things[k]))
        begin = text.index(wanted, begin)
        known.append(Answer(text, tuple(read.places(text)), begin, begin + len(wanted)))
    return samples, answers.encoded(known)


def test_it_answers_what_overlap_and_looks_tell() -> None:
    samples, targets = world(160, 0)
    fitted = _reader.fit(samples[:120], FIELDS, targets[:120], outcome="answer", seed=0)
    said = fitted(samples[120:])
    assert answer.SCORE.of(said, targets[120:]) > 0.9
    assert ((said[:, 2] > 0) & (said[:, 2] <= 1)).all()


def test_one_row_and_texts_without_a_word_are_borne() -> None:
    samples, targets = world(1, 0)
    fitted = _reader.fit(samples, FIELDS, targets, outcome="answer", seed=0)
    said = fitted([*samples, {"question": "where?", "context": "... ?!"}])
    assert said.shape == (2, 3) and np.isfinite(said).all()
