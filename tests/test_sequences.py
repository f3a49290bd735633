"""What a chain of runs still knows: backward transfer by hand, over real runs, and refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart import api, sequences
from headstart.core import plugins
from headstart.data import seal
from headstart.errors import DataError, PlanError
from headstart.evidence import _backward
from headstart.heads import classify, regress
from headstart.job import cache_root

QUICK: dict[str, Any] = {
    "seeds": 1,
    "scratch": False,
    "champion": False,
    "learning_curve": False,
    "checks": ["accuracy"],
    "strategy": "fine_tune",
}
BOLD = {"epochs": 1, "rate": 3e-3, "cut": -1, "augment": False, "patience": 0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sequence")
    for seed, name in enumerate(("one", "two", "three")):
        plugins.Modality("image").tiny.write(folder / name, "classify", 36, seed)
    return folder


def learned(home: Path, name: str, source: str, **more: Any) -> api.Run:
    asked = {**QUICK, "settings": BOLD, "output": str(home / "runs"), **more}
    return hs.adapt(home / name, source=source, **asked)


@pytest.fixture(scope="module")
def chain(home: Path) -> list[api.Run]:
    last = f"run:last?output={home / 'runs'}"
    first = learned(home, "one", "builtin:formula")
    return [first, learned(home, "two", last), learned(home, "three", last)]


def test_by_hand():
    """Two tasks of four rows each lose one row in four and none; the last task counts for nothing."""
    one, two, three = np.array([1, 1, 1, 0.0]), np.array([1, 1, 0, 0.0]), np.array([1.0, 0.0])
    later = [np.array([1, 1, 0, 0.0]), two, three]
    found = _backward.measures([[one], [one, two], later], ["a", "b", "c"], [classify.SCORE] * 3)
    assert [m.group for m in found] == ["a", "b", ""]
    assert [m.value for m in found] == [-25.0, 0.0, -12.5]
    assert [m.n for m in found] == [4, 4, 8]
    assert all(m.low < m.value < m.high for m in found)
    assert found[2].high - found[2].low < found[0].high - found[0].low


def test_nothing_lost_still_has_a_width():
    same = np.ones(30)
    found = _backward.measures([[same], [same, same]], ["a", "b"], [classify.SCORE] * 2)
    assert found[-1].value == 0.0
    assert found[-1].low < 0 < found[-1].high


def test_the_interval_covers():
    """A loss of 10 points on 200 rows: about nineteen intervals in twenty hold it."""
    drawn = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        before = drawn.random(200) < 0.9
        after = before & (drawn.random(200) < 0.8 / 0.9)
        both = [[before.astype(float)], [after.astype(float), before.astype(float)]]
        last = _backward.measures(both, ["a", "b"], [classify.SCORE] * 2)[-1]
        held += last.low <= -10 <= last.high
    assert 270 <= held <= 297


def test_rows_of_a_group_are_no_independent_draws():
    """Ten groups of ten rows that are lost or kept together: as wide as ten rows, not as a hundred."""
    before, after = np.ones(10), np.array([0.0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    many = [[before.repeat(10)], [after.repeat(10), before.repeat(10)]]
    few = [[before], [after, before]]
    kinds, each = [classify.SCORE] * 2, np.arange(10).repeat(10)
    grouped = _backward.measures(many, ["a", "b"], kinds, [each, None])[-1]
    apart = _backward.measures(many, ["a", "b"], kinds)[-1]
    ten = _backward.measures(few, ["a", "b"], kinds)[-1]
    assert grouped.high - grouped.low == pytest.approx(ten.high - ten.low)
    assert grouped.high - grouped.low > 2 * (apart.high - apart.low)


def test_numbers_are_told_in_their_own_unit_and_have_no_mean_with_points():
    drawn = np.random.default_rng(0)
    number, share = drawn.normal(size=20), np.ones(20)
    numbers = [[number], [number - 0.5, share]]
    alone = _backward.measures(numbers, ["a", "b"], [regress.SCORE, classify.SCORE])
    assert [m.unit for m in alone] == ["R2", "R2"]
    assert [m.value for m in alone] == pytest.approx([-0.5, -0.5])
    three = [numbers[0], [number, share], [number - 0.5, share, share]]
    mixed = _backward.measures(three, list("abc"), [regress.SCORE, *[classify.SCORE] * 2])
    assert [(m.group, m.unit) for m in mixed] == [("a", "R2"), ("b", "points")]
    chain = sequences.Chain((), (), (), np.empty((3, 3)), mixed)
    with pytest.raises(PlanError, match=r"different units \(R2, points\)"):
        _ = chain.backward


def test_a_chain_is_measured(chain: list[api.Run], home: Path):
    found = hs.sequence("last", str(home / "runs"))
    assert found.runs == tuple(run.id for run in chain)
    assert found.tasks == ("one", "two", "three")
    assert found.scores.shape == (3, 3)
    assert np.isnan(found.scores[np.triu_indices(3, 1)]).all()
    for place, run in enumerate(chain):
        accuracy = next(m for m in run.record.finding("accuracy").measures if m.name == "accuracy")
        assert found.scores[place, place] == pytest.approx(accuracy.value)
    lost = 100 * (found.scores[2, :2] - found.scores[[0, 1], [0, 1]])
    assert [m.value for m in found.measures] == pytest.approx([*lost, lost.mean()])


def test_scores_are_those_of_the_network_given(chain: list[api.Run]):
    task = sequences._reopened(chain[0].folder, chain[0].record)
    own = sequences._own(task)
    before = sequences._scores(task, own)
    after = sequences._scores(task, {name: torch.zeros_like(t) for name, t in own.items()})
    assert before.mean() > after.mean()
    assert np.array_equal(sequences._scores(task, own), before)


def test_openings_are_counted(chain: list[api.Run]):
    ledger = cache_root() / "openings.jsonl"
    opened = [hs.open_run(run.folder).record.digests["split"] for run in chain]
    before = [seal.openings(split, ledger) for split in opened]
    hs.sequence(chain[-1].folder)
    assert [seal.openings(split, ledger) for split in opened] == [b + 1 for b in before]


def test_a_run_of_the_chain_is_replayed_from_its_own_source(chain: list[api.Run]):
    told = chain[1].replay()
    assert told["digests"]["source"]
    assert told["equal"]


def test_a_frozen_network_forgets_nothing(chain: list[api.Run], home: Path):
    run = learned(home, "two", f"run:{chain[0].folder}", strategy="linear_probe", settings={})
    found = hs.sequence(run.folder)
    assert found.backward.value == 0.0
    assert found.scores[1, 0] == found.scores[0, 0]


def test_one_run_is_no_sequence(chain: list[api.Run]):
    with pytest.raises(PlanError, match=r"adapted from no other run.*--source run:last"):
        hs.sequence(chain[0].folder)


def test_weights_of_its_own_are_refused(chain: list[api.Run], home: Path):
    settings = {"epochs": 1, "augment": False, "cut": -1}
    run = learned(home, "two", f"run:{chain[0].folder}", strategy="adapter", settings=settings)
    with pytest.raises(PlanError, match=r"weights of its own.*replay"):
        hs.sequence(run.folder)


def test_other_data_are_refused(chain: list[api.Run], home: Path, tmp_path: Path):
    moved = next(p for p in sorted((home / "two").rglob("*")) if p.is_file())
    shutil.move(moved, tmp_path / "kept")
    try:
        with pytest.raises(DataError, match=r"is not what the run .* learned from"):
            hs.sequence(chain[-1].folder)
    finally:
        shutil.move(tmp_path / "kept", moved)


def test_data_that_are_gone_are_named_with_the_run(
    chain: list[api.Run], home: Path, tmp_path: Path
):
    shutil.move(home / "one", tmp_path / "one")
    try:
        with pytest.raises(DataError, match=rf"{chain[0].id}.*cannot be opened.*go there"):
            hs.sequence(chain[-1].folder)
    finally:
        shutil.move(tmp_path / "one", home / "one")


def test_a_run_that_is_gone_is_named(chain: list[api.Run], home: Path, tmp_path: Path):
    shutil.move(chain[0].folder, tmp_path / "kept")
    try:
        with pytest.raises(PlanError, match=chain[0].id):
            hs.sequence(chain[-1].folder)
    finally:
        shutil.move(tmp_path / "kept", chain[0].folder)
