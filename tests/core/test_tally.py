"""Counts of what preprocessing did, each sample once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from headstart.core.tally import Tally

SAMPLES = [
    {"a": 1.5, "b": "x"},
    {"values": np.arange(3)},
    {"tags": ["u", ["v", None]]},
    [b"bytes", {"set": {1, 2}}],
]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_counts_once_however_often_it_is_read(sample: object) -> None:
    counts = Tally()
    for _ in range(3):
        counts.note(sample, {"missing": 2, "cut": 0})
    assert counts == {"missing": 2}
    counts.note([sample, "another"], {"missing": 1})
    assert counts == {"missing": 3}


def test_a_sample_without_findings_is_not_remembered() -> None:
    counts = Tally()
    counts.note("a", {"cut": 0})
    counts.note("a", {})
    assert counts == {}
    counts.note("a", {"cut": 1})
    assert counts == {"cut": 1}


def test_arrays_of_other_shapes_are_other_samples() -> None:
    counts = Tally()
    counts.note(np.zeros((2, 3)), {"cut": 1})
    counts.note(np.zeros((3, 2)), {"cut": 1})
    assert counts == {"cut": 2}


def test_cleared_it_counts_anew() -> None:
    counts = Tally()
    counts.note("a", {"cut": 1})
    counts.clear()
    assert counts == {}
    counts.note("a", {"cut": 1})
    assert counts == {"cut": 1}


def test_threads_lose_no_count() -> None:
    counts = Tally()

    def work(begin: int) -> None:
        for place in range(begin, begin + 500):
            counts.note(place, {"cut": 1})

    threads = [threading.Thread(target=work, args=(250 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {"cut": 1250}
