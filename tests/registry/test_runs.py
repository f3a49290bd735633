"""Run folders: made, listed, found."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from headstart.core.plan import Plan
from headstart.core.run import Record
from headstart.errors import PlanError, StorageError
from headstart.registry import document, runs

MORNING = datetime(2026, 11, 21, 10, 15, 0)


def finished(output: Path, name: str) -> Path:
    record = Record(name, Plan(), {}, {}, (), (), {}, {"seconds": 1.0})
    document.write(record, output / name)
    return output / name


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for name in ("20261120-090000-aaaa", "20261121-101500-3fa2", "20261121-101500-3fa2-2"):
        finished(tmp_path, name)
    return tmp_path


def test_newest_first(output: Path):
    ids = [entry.id for entry in runs.list(output)]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3


def test_no_folder_holds_no_runs(tmp_path: Path):
    assert runs.list(tmp_path / "none") == ()


def test_broken_runs_are_named_not_dropped(output: Path):
    (output / "20261121-120000-bbbb").mkdir()
    (output / "20261121-130000-cccc").mkdir()
    (output / "20261121-130000-cccc" / "run.json").write_text("{", "utf-8")
    (output / "notes").mkdir()
    found = runs.scan(output)
    assert len(found.entries) == 3
    assert [folder.name[-4:] for folder, _ in found.unreadable] == ["bbbb", "cccc"]
    assert "no finished run" in found.unreadable[0][1]
    assert "damaged" in found.unreadable[1][1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20261120", "20261120-090000-aaaa"),
        ("20261121-101500-3fa2", "20261121-101500-3fa2"),
        ("20261121-101500-3fa2-", "20261121-101500-3fa2-2"),
        ("last", "20261121-101500-3fa2-2"),
    ],
)
def test_found_by_name(output: Path, name: str, expected: str):
    assert runs.find(name, output) == output / expected


def test_found_by_path(output: Path, tmp_path: Path):
    folder = output / "20261120-090000-aaaa"
    assert runs.find(folder) == folder
    assert runs.find(folder / "run.json") == folder


def test_unknown_names_get_the_nearest(output: Path):
    with pytest.raises(PlanError, match="Did you mean '20261120-090000-aaaa'"):
        runs.find("20261120-090000-aaab", output)
    with pytest.raises(PlanError, match="beginning of 2 runs"):
        runs.find("20261121", output)
    with pytest.raises(PlanError, match="headstart run DATA"):
        runs.find("x", output / "none")
    with pytest.raises(PlanError, match="There is no run ''"):
        runs.find("", output)


def test_two_starts_in_one_second_are_two_folders(tmp_path: Path):
    first = runs.start(Plan(), tmp_path, now=MORNING)
    second = runs.start(Plan(), tmp_path, now=MORNING)
    assert first.name == f"20261121-101500-{Plan().digest[:4]}"
    assert second.name == first.name + "-2"


def test_start_uses_the_plan_then_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert runs.start(Plan()).parent == Path("headstart-runs")
    assert runs.start(replace(Plan(), output="mine")).parent == Path("mine")


def test_a_file_in_the_way_is_said(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        runs.start(Plan(), tmp_path / "taken")
