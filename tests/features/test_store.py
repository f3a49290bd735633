"""The feature store: crash-safe, shared between processes, evicted by folder, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.core import faults
from headstart.core.store import Space
from headstart.errors import StorageError
from headstart.features import _environment as environment
from headstart.features.store import LmdbStore, MemoryStore

ROOT = Path(__file__).parents[2]


def space(weights: str = "w") -> Space:
    return Space(weights, -1, "t", "eager 2", "exact", "p")


def rows(count: int, width: int = 64, seed: int = 0) -> list[tuple[bytes, dict[str, np.ndarray]]]:
    draw = np.random.default_rng(seed)
    return [
        (draw.bytes(16), {"features": draw.normal(size=width).astype(np.float32)})
        for _ in range(count)
    ]


def child(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh process that can import the package and this file's helpers."""
    path = str(ROOT)
    return subprocess.run(
        [sys.executable, "-c", "from tests.features.test_store import *\n" + code],
        env={**os.environ, "PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    return LmdbStore(tmp_path / "store") if request.param == "disk" else MemoryStore()


def test_rows_come_back_bitwise(store):
    some = rows(50)
    shelf = store.shelf(space())
    keys = [k for k, _ in some]
    assert shelf.missing(keys) == list(range(50))
    shelf.put(some[:30])
    assert shelf.missing(keys) == list(range(30, 50))
    shelf.put(some[30:])
    assert np.array_equal(shelf.matrix(keys), np.stack([r["features"] for _, r in some]))
    back = shelf.get(keys[::-1])
    assert np.array_equal(back[0]["features"], some[-1][1]["features"])
    assert store.shelf(space("other")).missing(keys) == list(range(50))


def test_named_tensors_of_any_kind(store):
    row = {
        "words": np.arange(12, dtype=np.float32).reshape(3, 4),
        "ids": np.array([1, 2], np.int64),
        "half": np.array([[7]], np.uint16),
        "none": np.zeros((0, 5), np.float32),
        "scale": np.float32(3.5).reshape(()),
    }
    shelf = store.shelf(space())
    shelf.put([(b"k" * 16, row)])
    back = shelf.get([b"k" * 16])[0]
    for name, value in row.items():
        assert back[name].dtype == value.dtype
        assert back[name].shape == value.shape
        assert np.array_equal(back[name], value)


def test_a_missing_row_is_a_key_error(store):
    shelf = store.shelf(space())
    with pytest.raises(KeyError):
        shelf.get([b"x" * 16])
    shelf.put(rows(1))
    with pytest.raises(KeyError):
        shelf.matrix([b"x" * 16])


def test_reading_makes_no_folder(tmp_path):
    store = LmdbStore(tmp_path / "store")
    store.shelf(space()).missing([b"x" * 16])
    assert not (tmp_path / "store").exists()
    assert store.list() == []


def test_what_a_person_finds_in_the_folder(tmp_path):
    LmdbStore(tmp_path).shelf(space()).put(rows(3))
    document = json.loads((tmp_path / space().name / "space.json").read_text())
    assert document["space"]["weights"] == "w"
    assert "last_used" in document
    kept = LmdbStore(tmp_path).list()[0]
    assert (kept.space, kept.rows, kept.busy) == (space(), 3, True)
    assert kept.bytes > 0


def test_the_map_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "FIRST_MAP", 1 << 16)
    shelf = LmdbStore(tmp_path).shelf(space())
    some = rows(200, 1000)
    for start in range(0, 200, 20):
        shelf.put(some[start : start + 20])
    assert shelf.missing([k for k, _ in some]) == []


@pytest.mark.parametrize("where", ["store.before_commit", "store.after_commit"])
def test_a_kill_leaves_all_or_none_of_a_commit(tmp_path, where):
    code = f"""
shelf = LmdbStore({str(tmp_path)!r}).shelf(space())
for start in range(0, 100, 10):
    shelf.put(rows(100)[start : start + 10])
"""
    dead = child(code, HEADSTART_FAULT=f"{where}:kill:4")
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    shelf = LmdbStore(tmp_path).shelf(space())
    keys = [k for k, _ in rows(100)]
    done = 40 if where == "store.before_commit" else 50
    assert shelf.missing(keys) == list(range(done, 100))
    shelf.put([rows(100)[p] for p in shelf.missing(keys)])
    assert np.array_equal(shelf.matrix(keys), np.stack([r["features"] for _, r in rows(100)]))


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    some = rows(40)
    shelf = LmdbStore(tmp_path).shelf(space())
    shelf.put(some[:20])
    monkeypatch.setenv(faults.VARIABLE, "store.before_commit:enospc")
    with pytest.raises(StorageError, match=r"is kept; free [\d,]+ bytes or set --store"):
        shelf.put(some[20:])
    monkeypatch.delenv(faults.VARIABLE)
    keys = [k for k, _ in some]
    assert shelf.missing(keys) == list(range(20, 40))
    shelf.put(some[20:])
    assert shelf.missing(keys) == []


def test_two_processes_write_one_space(tmp_path):
    code = f"""
import sys, time
shelf = LmdbStore({str(tmp_path)!r}).shelf(space())
some = rows(3000, 500)
mine = some if MINE else some[::-1]
for start in range(0, 3000, 100):
    shelf.put(mine[start : start + 100])
    shelf.matrix([k for k, _ in mine[: start + 100]])
keys = [k for k, _ in some]
assert shelf.missing(keys) == []
print(digest.row(shelf.matrix(keys).tobytes()).hex())
"""
    path = str(ROOT)
    both = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from tests.features.test_store import *\nfrom headstart.core import digest\n"
                "environment.FIRST_MAP = 1 << 16\n" + code.replace("MINE", mine),
            ],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mine in ("True", "False")
    ]
    said = [p.communicate(timeout=120) for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert said[0][0] == said[1][0] != ""


def test_a_fork_may_go_on(tmp_path):
    shelf = LmdbStore(tmp_path).shelf(space())
    some = rows(10)
    shelf.put(some[:5])
    pid = os.fork()
    if pid == 0:
        try:
            shelf.put(some[5:])
            os._exit(0 if shelf.missing([k for k, _ in some]) == [] else 3)
        finally:
            os._exit(4)
    assert os.waitpid(pid, 0)[1] == 0
    assert shelf.missing([k for k, _ in some]) == []


def test_a_damaged_row_is_missing_and_said(tmp_path):
    shelf = LmdbStore(tmp_path).shelf(space())
    some = rows(4)
    shelf.put(some)
    keys = [k for k, _ in some]
    env = environment.at(tmp_path / space().name)

    def spoil(transaction):
        value = bytearray(transaction.get(keys[2]))
        value[-1] ^= 1
        transaction.put(keys[2], bytes(value))
        transaction.put(keys[3], b"short")

    env.transact(spoil, write=True)
    with pytest.raises(KeyError):
        shelf.matrix(keys)
    assert shelf.missing(keys) == [2, 3]
    assert "damaged" in shelf.notes[0]
    shelf.put(some[2:])
    assert np.array_equal(shelf.matrix(keys), np.stack([r["features"] for _, r in some]))


def test_eviction_takes_the_least_recently_used_idle_folder(tmp_path):
    store = LmdbStore(tmp_path, cap_bytes=800_000)
    for number, name in enumerate(("old", "older", "new")):
        store.shelf(space(name)).put(rows(60, 1000))
        environment.at(tmp_path / space(name).name).close()
        when = time.time() - (100 if name == "old" else 200 if name == "older" else number)
        os.utime(tmp_path / space(name).name / "space.json", (when, when))
    store.shelf(space("fourth")).put(rows(30, 1000))
    left = {k.space.weights for k in store.list()}
    assert left == {"old", "new", "fourth"}


def test_what_is_in_use_is_never_evicted(tmp_path):
    store = LmdbStore(tmp_path, cap_bytes=600_000)
    first = rows(60, 1000)
    store.shelf(space("mine")).put(first)
    with pytest.raises(StorageError, match="cap"):
        store.shelf(space("other")).put(rows(120, 1000, seed=1))
    assert store.shelf(space("mine")).missing([k for k, _ in first]) == []
    hold = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from tests.features.test_store import *\nimport sys\n"
            f"LmdbStore({str(tmp_path)!r}).shelf(space('theirs')).put(rows(5))\n"
            "print('open', flush=True)\nsys.stdin.read()",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert hold.stdout is not None
    assert hold.stdout.readline() == "open\n"
    assert store.clear(space("theirs")) == 0
    hold.communicate("")
    assert store.clear(space("theirs")) > 0
    assert store.clear() > 0
    assert store.list() == []
    assert store.shelf(space("mine")).missing([k for k, _ in first]) == list(range(60))


def test_room_counts_what_can_be_evicted(tmp_path):
    store = LmdbStore(tmp_path, cap_bytes=1_000_000)
    assert store.room() == 1_000_000
    store.shelf(space()).put(rows(60, 1000))
    assert store.room() < 800_000
    environment.at(tmp_path / space().name).close()
    assert store.room() == 1_000_000
