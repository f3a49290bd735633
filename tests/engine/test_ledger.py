"""Operations, seconds, memory."""

from __future__ import annotations

import mmap

import pytest
import torch

from headstart.engine import ledger
from tests.engine.fakes import Picture


def test_stages_add_up_to_the_whole():
    inputs = {"pixels": torch.randn(4, 3, 8, 8)}
    one = 2 * 3 * 4 * 9 * 64  # multiplications and additions of the first convolution
    two = 2 * 4 * 6 * 9 * 9
    assert ledger.count(Picture(), inputs) == one + two
    assert ledger.stages(Picture(), inputs) == (one, two)
    assert ledger.count(Picture(), inputs, 0, 1) == one


def test_a_backward_pass_counts_twice():
    made = ledger.Ledger(cores=2)
    with made:
        made.add(10.0, 3, backward=4.0)
    assert made.flops == 30.0 + 24.0
    assert made.seconds > 0
    assert made.peak_bytes > 1 << 20
    assert made.joules[0] == pytest.approx(made.seconds * 8)


def test_what_the_machine_can_do():
    assert ledger.matrix_rate(256, 0.05) > 1e8


def test_memory_without_mapped_files(tmp_path):
    """Pages taken from the system itself: an allocator may hand out again what it kept."""
    size = 1 << 26
    before = ledger.anonymous_bytes()
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as kept:
        kept.write(b"1" * size)
        assert 0.9 * size < ledger.anonymous_bytes() - before < 1.5 * size
    (tmp_path / "file").write_bytes(b"1" * size)
    before = ledger.anonymous_bytes()
    with (tmp_path / "file").open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert mapped.find(b"2") == -1
            assert abs(ledger.anonymous_bytes() - before) < 0.1 * size
