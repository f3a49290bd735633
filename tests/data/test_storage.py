"""What happens to the cache when it cannot be written, and when a run is killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from headstart.core.task import Task
from headstart.data import opening, storage
from headstart.errors import StorageError

REVIEWS = "text,label\n" + "".join(f"a good film {i},pos\na bad film {i},neg\n" for i in range(10))


def full(*_args, **_named):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_cache_that_is_a_file(written, readers, tmp_path):
    blocked = written("blocked", "x")
    task = Task(data=str(written("r.csv", REVIEWS)))
    with pytest.raises(StorageError, match="choose another cache folder"):
        opening.open_data(task, readers, cache=blocked / "cache")


def test_a_cache_without_the_right_to_write(written, readers, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.os, "access", lambda *_: False)
    task = Task(data=str(written("r.csv", REVIEWS)))
    with pytest.raises(StorageError, match="may not be written to"):
        opening.open_data(task, readers, cache=tmp_path / "cache")


class FullDisk:
    """An Arrow writer whose disk is full, at one of its calls."""

    def __init__(self, at: str) -> None:
        setattr(self, at, full)

    def write_batch(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("at", ["write_batch", "close"])
def test_full_disk(written, opened, monkeypatch, tmp_path, at):
    path = written("r.csv", REVIEWS)
    monkeypatch.setattr(storage.pa.ipc, "new_file", lambda *_: FullDisk(at))
    with pytest.raises(StorageError, match="disk is full"):
        opened(path)
    assert not list((tmp_path / "cache").iterdir())


def test_full_disk_at_the_end(written, opened, monkeypatch, tmp_path):
    path = written("r.csv", REVIEWS)
    with monkeypatch.context() as patched:
        patched.setattr(storage.os, "replace", full)
        with pytest.raises(StorageError, match="disk is full"):
            opened(path)
    assert not list((tmp_path / "cache").iterdir())
    assert len(opened(path)) == 20


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.data.conftest import Words
from headstart.core.task import Task
from headstart.data import opening, storage
storage.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
opening.open_data(Task(data={data!r}), {{"text": Words()}}, cache=Path({cache!r}))
"""


def test_a_kill_leaves_no_half_dataset(written, opened, tmp_path):
    path, root = written("r.csv", REVIEWS), str(Path(__file__).parents[2])
    code = KILLED.format(root=root, data=str(path), cache=str(tmp_path / "cache"))
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not list((tmp_path / "cache").glob("[!.]*.arrow"))
    assert len(opened(path)) == 20


def test_a_torn_or_foreign_description_is_read_again(written, opened, tmp_path):
    path = written("r.csv", REVIEWS)
    digest = opened(path).digest
    about = next((tmp_path / "cache").glob("*.json"))
    for content in ("{", "{}", json.dumps(json.loads(about.read_text()) | {"build": "other"})):
        about.write_text(content)
        assert opened(path).digest == digest


def test_rows_are_not_held_in_memory(written, opened, tmp_path):
    opened(written("r.csv", REVIEWS))
    before = pa.total_allocated_bytes()
    made = opened(tmp_path / "r.csv")
    assert pa.total_allocated_bytes() - before < os.path.getsize(tmp_path / "r.csv") + 20_000
    assert len(made) == 20


def test_progress_and_notes_are_told(written, readers, tmp_path):
    class Ears:
        def __init__(self):
            self.steps, self.said = [], []

        def step(self, step):
            self.steps.append((step.done, step.total))

        def say(self, sentence):
            self.said.append(sentence)

    ears = Ears()
    task = Task(data=str(written("r.csv", REVIEWS)))
    made = opening.open_data(task, readers, cache=tmp_path / "c", watcher=ears)
    assert ears.steps == [(20, 20)] and tuple(ears.said) == made.notes


def test_no_network_library_is_loaded():
    code = (
        "import sys, headstart.data.opening, headstart.data.splits, headstart.data.seal, "
        "headstart.data.quality; print([m for m in ('torch', 'pandas', 'sklearn') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root
    )
    assert told.stdout.strip() == "[]"
