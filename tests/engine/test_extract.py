"""Extraction: forward once, resume after a kill, whatever the batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.core import digest, faults
from headstart.engine import extract as module
from headstart.engine._pipeline import Ahead, Bucketer, Item
from headstart.engine.extract import How, extract
from headstart.errors import StorageError
from headstart.features.store import LmdbStore, MemoryStore
from tests.engine.fakes import Numbers, Picture, Scale, Sentence, Words, pictures, sentences

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return LmdbStore(tmp_path / "store")


def run(data, store, *, backbone=None, transform=None, rows=None, cut=None, **how):
    backbone = backbone or Picture()
    return extract(
        data,
        np.arange(len(data)) if rows is None else np.asarray(rows),
        backbone=backbone,
        transform=transform or Scale(),
        store=store,
        weights=digest.tensors(backbone.state_dict().items()),
        cut=cut,
        how=How(**{"executor": "eager", **how}),
    )


def plain(data, backbone, transform):
    items = [transform(s) for s in data.samples(np.arange(len(data)))]
    with torch.no_grad():
        rows = [backbone.pool(backbone.run(transform.collate([i])))[0].numpy() for i in items]
    return np.stack(rows)


def test_features_are_the_networks_own(store):
    data = pictures(70)
    made = run(data, store)
    assert made.features is not None
    assert made.features.dtype == np.float32
    assert made.forwards == 70
    assert np.abs(made.features - plain(data, Picture(), Scale())).max() < 1e-5


def test_a_second_extraction_forwards_nothing(store):
    data = pictures(40)
    first = run(data, store)
    backbone = Picture()
    again = run(data, store, backbone=backbone)
    assert again.forwards == 0
    assert backbone.passed == []
    assert np.array_equal(first.features, again.features)


def test_only_new_rows_are_forwarded(store):
    data = pictures(110)
    run(data, store, rows=np.arange(100))
    assert run(data, store).forwards == 10
    some = run(data, store, rows=[109, 3, 3, 50])
    assert some.forwards == 0
    assert np.array_equal(some.features, run(data, store).features[[109, 3, 3, 50]])


def test_equal_samples_are_forwarded_once(store):
    data = Numbers(pictures(10).values * 3)
    made = run(data, store)
    assert made.forwards == 10
    assert np.array_equal(made.features[:10], made.features[20:])


def test_one_changed_weight_or_constant_misses(store):
    data = pictures(12)
    run(data, store)
    backbone = Picture()
    with torch.no_grad():
        backbone.one[1].running_mean[2] += 1e-3
    assert run(data, store, backbone=backbone).forwards == 12
    assert run(data, store, transform=Scale(1.001)).forwards == 12
    assert run(data, store, processor="another").forwards == 12
    assert run(data, store, profile="fast").forwards == 12
    assert run(data, store).forwards == 0


def test_views_differ_and_repeat(store):
    data = pictures(9)
    views = [run(data, store, view=v).features for v in (-1, 0, 1)]
    assert not np.allclose(views[0], views[1])
    assert not np.allclose(views[1], views[2])
    assert np.array_equal(run(data, MemoryStore(), view=1).features, views[2])


def test_bad_rows_are_set_aside_with_number_and_reason(store):
    data = pictures(20)
    for row in (4, 17):
        data.values[row] = np.full((3, 8, 8), np.nan, np.float32) * row
    data.values[17][0, 1, 1] = 5.0
    for forwards in (18, 0):
        made = run(data, store)
        assert [late.row for late in made.set_aside] == [4, 17]
        assert made.set_aside[0].reason == "the first number is missing"
        assert made.set_aside[0].name == "row 4"
        assert made.forwards == forwards
        assert made.features.shape == (18, 6)
        assert list(made.rows) == [r for r in range(20) if r not in (4, 17)]


def test_nothing_usable_and_nothing_asked(store):
    data = Numbers([np.full((3, 8, 8), np.nan, np.float32)])
    assert len(run(data, store).set_aside) == 1
    assert len(run(pictures(3), store, rows=[]).rows) == 0


@pytest.mark.parametrize("batch", [1, 7, 32])
def test_a_row_does_not_depend_on_its_companions(batch):
    for data, backbone, transform in (
        (pictures(40), Picture(), Scale()),
        (sentences(60), Sentence(), Words()),
    ):
        made = run(data, MemoryStore(), backbone=backbone, transform=transform, batch=batch)
        assert np.abs(made.features - plain(data, backbone, transform)).max() < 1e-5


def test_states_come_back_ragged(store):
    data, backbone, transform = sentences(50), Sentence(), Words()
    for _ in range(2):
        made = run(data, store, backbone=backbone, transform=transform, cut=1)
        places = [7, 3, 41]
        inputs = transform.collate([transform(s) for s in data.samples(np.array(places))])
        with torch.no_grad():
            want = backbone.run(inputs, 0, 1)
            batch = made.states.batch(places)
            assert torch.equal(batch["mask"], want["mask"])
            real = want["words"] * want["mask"].unsqueeze(-1)
            assert torch.allclose(batch["words"], real, atol=1e-6)
            gap = backbone.pool(backbone.run(batch, 1)) - backbone.pool(backbone.run(want, 1))
            assert gap.abs().max() < 1e-5
    assert made.forwards == 0
    assert len(made.states) == 50


def test_states_of_the_fast_profile_take_half(store):
    data = pictures(16)
    exact = run(data, store, cut=1)
    fast = run(data, store, cut=1, profile="fast")
    assert fast.bytes * 2 == exact.bytes
    gap = fast.states.batch([0, 5])["maps"] - exact.states.batch([0, 5])["maps"]
    assert 0 < gap.abs().max() < 0.02 * exact.states.batch([0, 5])["maps"].abs().max()


def test_equal_lengths_only_where_companions_matter():
    def lengths(mixed):
        bucketer = Bucketer(lambda n: 4, mixed)
        out = []
        for i in range(23):
            array = np.zeros(1 + i % 5, np.int64)
            out += bucketer.add(Item(bytes([i]), {"ids": array}, len(array)))
        return [[i.length for i in b] for b in [*out, *bucketer.rest()]]

    assert all(len(set(b)) == 1 for b in lengths(False))
    assert sorted(chain(*lengths(False))) == sorted(chain(*lengths(True)))
    assert len(lengths(True)) < len(lengths(False))


def test_states_too_large_are_not_kept(tmp_path):
    data = pictures(30)
    made = run(data, LmdbStore(tmp_path, cap_bytes=10_000), cut=1)
    assert made.states is None
    assert made.forwards == 0
    assert "steps aside" in made.notes[0]
    pooled = run(data, LmdbStore(tmp_path, cap_bytes=3_000))
    assert pooled.features.shape == (30, 6)
    assert "steps aside" in pooled.notes[0]


def test_rows_that_are_there_and_rows_that_find_no_room_come_together(store):
    data = pictures(30)
    first = run(data, store, rows=range(20))
    store.cap_bytes = 0
    both = run(data, store)
    assert "steps aside" in both.notes[0]
    assert both.features.shape == (30, 6)
    assert np.allclose(both.features[:20], first.features, atol=1e-6)


def test_states_are_computed_in_batches_as_large_as_trainings_form_them(store, monkeypatch):
    from headstart.engine.executors import eager

    ready, sizes = eager.prepare, []

    def watched(*given):
        runner = ready(*given)

        def counted(inputs):
            sizes.append(len(next(iter(inputs.values()))))
            return runner(inputs)

        return counted

    monkeypatch.setattr(eager, "prepare", watched)
    run(pictures(70), store, cut=1, threads=16)
    assert sorted(sizes) == [6, 32, 32]


def test_samples_pulled_ahead_keep_their_order_and_an_error_is_raised():
    def items(broken):
        for n in range(40):
            if broken and n == 30:
                raise RuntimeError("the disk is gone")
            yield Item(bytes([n]), {"ids": np.zeros(3, np.int64)}, 3)

    source = items(False)
    with Ahead(source) as ahead:
        time.sleep(0.05)
    assert [i.key for i in chain(ahead.taken(), source)] == [bytes([n]) for n in range(40)]
    assert not list(ahead.taken())
    with pytest.raises(RuntimeError, match="disk"), Ahead(items(True)):
        time.sleep(0.5)
    with pytest.raises(KeyboardInterrupt), Ahead(items(True)):
        raise KeyboardInterrupt


def test_memory_that_runs_short_halves_the_batch(monkeypatch, store):
    from headstart.engine.executors import eager

    ready = eager.prepare

    def prepare(*args):
        inner = ready(*args)

        def runner(inputs):
            if len(inputs["pixels"]) > 5:
                raise MemoryError
            return inner(inputs)

        return runner

    monkeypatch.setattr(eager, "prepare", prepare)
    made = run(pictures(50), store, threads=1)
    assert made.forwards == 50
    assert "Memory was short" in made.notes[0]
    assert np.abs(made.features - plain(pictures(50), Picture(), Scale())).max() < 1e-5


def test_a_full_disk_keeps_what_is_done(monkeypatch, store):
    monkeypatch.setattr("headstart.engine._pipeline.COMMIT_ROWS", 16)
    monkeypatch.setenv(faults.VARIABLE, "store.before_commit:enospc:2")
    faults._visits.clear()
    data = pictures(200)
    with pytest.raises(StorageError, match="is kept"):
        run(data, store, batch=8)
    monkeypatch.delenv(faults.VARIABLE)
    rest = run(data, store)
    assert 0 < rest.forwards < 200
    assert np.abs(rest.features - plain(data, Picture(), Scale())).max() < 1e-5


@pytest.mark.parametrize("where", ["store.before_commit", "store.after_commit"])
def test_a_killed_extraction_goes_on(tmp_path, where):
    code = f"""
import sys
import time
sys.path[:0] = [{str(ROOT)!r}]
from tests.engine.test_extract import *
from headstart.engine import _pipeline
_pipeline.COMMIT_ROWS = 16
run(pictures(200), LmdbStore({str(tmp_path / "store")!r}), batch=8)
"""
    dead = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, faults.VARIABLE: f"{where}:kill:3"},
        capture_output=True,
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    whole = run(pictures(200), MemoryStore(), batch=8)
    rest = run(pictures(200), LmdbStore(tmp_path / "store"), batch=8)
    assert 0 < rest.forwards < 200
    assert np.abs(rest.features - whole.features).max() < 1e-6


def test_damaged_rows_are_computed_again(store):
    from headstart.features import _environment as environment

    data = pictures(20)
    first = run(data, store)
    env = environment.at(store.root / store.list()[0].space.name)
    key = data.digests(np.array([3]))[0]
    env.transact(lambda t: t.put(key, b"rubbish"), write=True)
    again = run(data, store)
    assert again.forwards == 1
    assert any("damaged" in note for note in again.notes)
    assert np.abs(first.features - again.features).max() < 1e-6


def test_rows_of_one_executor_are_not_computed_by_another(store):
    pytest.importorskip("onnxruntime")
    data = pictures(100)
    run(data, store, executor="eager")
    made = run(data, store, executor="auto")
    assert made.forwards == 0
    assert made.executor.startswith("eager")


def test_pytorch_gets_its_threads_back(store):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        run(pictures(40), store)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert module.How().executor == "auto"
