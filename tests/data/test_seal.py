"""The seal: test rows only after an opening that is counted, over all runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.core.dataset import Split
from headstart.data.seal import Seal, openings
from headstart.errors import DataError, SealedError, StorageError

SPLIT = Split(np.arange(6), np.arange(6, 9), "by hand", "d1")


def test_sealed_until_opened(tmp_path):
    seal = Seal(SPLIT, tmp_path / "ledger.jsonl")
    with pytest.raises(SealedError, match="sealed"):
        _ = seal.test_rows
    assert seal.count == 3 and seal.openings() == 0
    assert seal.open("verdict").tolist() == [6, 7, 8] == seal.test_rows.tolist()
    assert seal.openings() == 1


def test_openings_count_over_runs_and_by_split(tmp_path):
    ledger = tmp_path / "deep" / "ledger.jsonl"
    for _ in range(3):
        Seal(SPLIT, ledger).open("verdict")
    Seal(Split(np.arange(2), np.arange(2), "", "d2"), ledger).open("verdict")
    assert openings("d1", ledger) == 3 and openings("d2", ledger) == 1
    assert openings("d3", ledger) == 0


def test_a_torn_line_does_not_spoil_the_count(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    Seal(SPLIT, ledger).open("one")
    with ledger.open("a") as handle:
        handle.write('{"split": "d1", "te')
    seal = Seal(SPLIT, ledger)
    assert seal.openings() == 1
    seal.open("two")
    assert seal.openings() == 2


def test_a_foreign_line_is_an_error(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text('{"hello": 1}\n')
    with pytest.raises(DataError, match="Line 1"):
        openings("d1", ledger)


def test_an_opening_that_cannot_be_written_hands_out_nothing(tmp_path):
    (tmp_path / "file").write_text("x")
    seal = Seal(SPLIT, tmp_path / "file" / "ledger.jsonl")
    with pytest.raises(StorageError):
        seal.open("verdict")
    with pytest.raises(SealedError):
        _ = seal.test_rows


def test_processes_at_once_lose_no_opening(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    code = (
        "import sys; import numpy as np; from pathlib import Path;"
        "from headstart.core.dataset import Split; from headstart.data.seal import Seal\n"
        "for _ in range(20): "
        "Seal(Split(np.arange(2), np.arange(2), '', 'd1'), Path(sys.argv[1])).open('x')"
    )
    root = str(Path(__file__).parents[2])
    running = [subprocess.Popen([sys.executable, "-c", code, str(ledger)], cwd=root) for _ in "123"]
    assert [p.wait() for p in running] == [0, 0, 0]
    assert openings("d1", ledger) == 60
