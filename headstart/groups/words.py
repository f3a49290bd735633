"""The words that tell one cluster's texts from all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 5
PRIOR = 500.0  # words' worth of the whole collection that each side is mixed with


def telling(texts: Sequence[str], numbers: np.ndarray, most: int = MOST) -> dict[int, list[str]]:
    """The most telling words of each cluster, the most telling first.

    Log-odds of a word's share of texts inside and outside the cluster, with the whole collection as prior,
    over its standard error (Monroe, Colaresi and Quinn 2008), so that neither frequent nor rare words win
    by being so.

    Args:
        texts: (rows,).
        numbers: (rows,) cluster of each text.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(
        binary=True, max_features=20_000, token_pattern=r"(?u)\b[^\W\d_]{2,}\b"
    )
    kinds = [int(n) for n in np.unique(numbers)]
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # not a single word
        return {n: [] for n in kinds}
    names = counter.get_feature_names_out()
    every = np.asarray(counts.sum(axis=0), float).ravel()
    prior = PRIOR * every / every.sum()
    found = {}
    for number in kinds:
        inside = np.asarray(counts[numbers == number].sum(axis=0), float).ravel()
        outside = every - inside
        if not outside.any():  # one cluster: nothing to be told from
            found[number] = []
            continue
        ahead = _odds(inside + prior) - _odds(outside + prior)
        error = np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
        order = np.argsort(-ahead / error, kind="stable")
        found[number] = [str(names[w]) for w in order[:most] if ahead[w] > 0 and inside[w] > 1]
    return found


def _odds(counts: np.ndarray) -> np.ndarray:
    """Logarithm of each word's odds; a word that is all there is counts as nearly so."""
    made: np.ndarray = np.log(counts / np.maximum(counts.sum() - counts, 1e-9))
    return made
