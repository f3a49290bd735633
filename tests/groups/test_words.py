"""Telling words: what a cluster's texts say and others do not."""

from __future__ import annotations

import numpy as np

from headstart.groups.words import telling


def test_words_tell_clusters_apart_and_common_ones_tell_nothing() -> None:
    texts = [f"the goal of the match number {n}" for n in range(20)]
    texts += [f"the bank and the loan number {n}" for n in range(20)]
    found = telling(texts, np.repeat([1, 2], 20))
    assert set(found[1]) >= {"goal", "match"}
    assert set(found[2]) >= {"bank", "loan"}
    assert "the" not in found[1] + found[2]
    assert "number" not in found[1] + found[2]


def test_no_word_and_one_cluster_are_no_mistake() -> None:
    assert telling(["1 2", "???"], np.array([1, 2])) == {1: [], 2: []}
    assert telling(["a word", "a word"], np.array([1, 1])) == {1: []}
    assert telling([""], np.array([0])) == {0: []}
