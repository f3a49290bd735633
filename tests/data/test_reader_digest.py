"""The cache of read rows is missed when a file changes that the reader leans on, and by no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from headstart.core import plugins
from headstart.core.task import Columns, Task
from headstart.data.build import _leant_on, reader_digest
from headstart.data.opening import open_data

READ = """
from headstart.modalities.table import read as table
from headstart.modalities.table.read import *
from oddkind import turn


def load(cell, field, root):
    from . import deep

    return deep.far(turn.turned(table.load(cell, field, root)))
"""
FILES = {
    "__init__": "",
    "read": READ,
    "turn": "import oddkind.more\n\n\ndef turned(value):\n    return value\n",
    "more": "MORE = 1\n",
    "deep": "def far(value):\n    return value\n",
    "network": "import no_such_library\n",
}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The reader of a modality in a folder of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in FILES.items():
        (tmp_path / "oddkind").mkdir(exist_ok=True)
        (tmp_path / "oddkind" / f"{name}.py").write_text(text, "utf-8")
    yield importlib.import_module("oddkind.read")
    for name in [n for n in sys.modules if n.partition(".")[0] == "oddkind"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "same"), [("read", False), ("turn", False), ("more", False), ("deep", False), ("network", True)]
)  # fmt: skip
def test_a_change_counts_where_the_reader_leans_on_it(
    reader: ModuleType, tmp_path: Path, name: str, same: bool
) -> None:
    before = reader_digest(reader)
    assert reader_digest(reader) == before
    place = tmp_path / "oddkind" / f"{name}.py"
    place.write_text(place.read_text("utf-8") + "# another line\n", "utf-8")
    assert (reader_digest(reader) == before) == same


def test_a_change_there_reads_the_rows_again(reader: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,label\n" + "\n".join(f"{i / 2},{'xy'[i % 2]}" for i in range(12)), "utf-8")
    task = Task(data=str(path), columns=Columns(target="label"))

    def third() -> float:
        made = open_data(task, {"table": reader}, cache=tmp_path / "cache")
        return float(made.samples(np.array([2]))[0]["a"])

    assert third() == 1.0
    held = sorted((tmp_path / "cache").glob("*.arrow"))
    assert third() == 1.0
    assert sorted((tmp_path / "cache").glob("*.arrow")) == held  # nothing was read again
    place = tmp_path / "oddkind" / "turn.py"
    place.write_text("def turned(value):\n    return value + 100 if value else value\n", "utf-8")
    importlib.reload(sys.modules["oddkind.turn"])
    assert third() == 101.0


@pytest.mark.parametrize("name", plugins.names("modality"))
def test_no_reader_leans_on_a_network(name: str) -> None:
    module = plugins.Modality(name).read
    found = {p.stem for p in _leant_on(Path(module.__file__), module.__name__.rpartition(".")[0])}
    assert "read" in found
    assert not found & {"backbones", "network", "batch", "champion", "tiny"}


def test_gathering_and_archives_and_decoding_are_leant_on() -> None:
    for name, wanted in (("graph", "gather"), ("series", "_archives"), ("audio", "decode")):
        module = plugins.Modality(name).read
        assert wanted in {
            p.stem for p in _leant_on(Path(module.__file__), f"headstart.modalities.{name}")
        }
