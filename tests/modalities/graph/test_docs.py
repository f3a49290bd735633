"""The commands of docs/graph.md are understood: each is rehearsed on tiny data."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from headstart.cli import main
from headstart.modalities.graph import molecules, tiny
from tests.test_readme import ROOT, blocks, commands

PAGE = (ROOT / "docs" / "graph.md").read_text("utf-8")
TYPED = [c for b in blocks(PAGE) if b.kind == "console" and not b.reason for c in commands(b)]
RUNS = [c for c in TYPED if c.startswith("headstart run")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """molecules.csv, graphs.npz, and network/ with edges and nodes."""
    home = tmp_path_factory.mktemp("docs")
    tiny.write(home, "classify", 30, 0)
    names = [
        f"{'C' * n}{ring}" for n in range(1, 9) for ring in ("c1ccccc1", "C1CCNCC1", "c1ccsc1")
    ]
    rows = [f"{name},{i % 2}" for i, name in enumerate(names)]
    (home / "molecules.csv").write_text("smiles,label\n" + "\n".join(rows), "utf-8")
    (home / "network").mkdir()
    ring = [f"n{i},n{(i + 1) % 24}" for i in range(24)]
    (home / "network" / "edges.csv").write_text("from,to\n" + "\n".join(ring), "utf-8")
    nodes = [f"n{i},{i * 0.5},{'ab'[i % 2]}" for i in range(24)]
    (home / "network" / "nodes.csv").write_text("id,size,label\n" + "\n".join(nodes), "utf-8")
    return home


@pytest.mark.parametrize("command", RUNS)
def test_a_command_is_rehearsed(command, folder, monkeypatch, capsys):
    if "molecules" in command and not molecules.available():
        pytest.skip("RDKit is not installed")
    monkeypatch.chdir(folder)
    arguments = [*shlex.split(command)[1:], "--dry-run"]
    assert main(arguments) == 0, capsys.readouterr().err
    assert "graph" in capsys.readouterr().out


def test_all_commands_are_known():
    assert len(RUNS) >= 3
    assert all(c.split()[1] in ("run", "predict") for c in TYPED)
