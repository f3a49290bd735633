"""The built-in graph source: card and weights agree, it is what it says, and its script makes such a one."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart import job
from headstart.core import plugins, staging
from headstart.core.dataset import Field
from headstart.generators.motifs import Motifs
from headstart.modalities.graph import read
from scripts import pretrain_graph

WEIGHTS = Path(__file__).parents[2] / "headstart" / "weights"
CARD = json.loads((WEIGHTS / "motif_graph.json").read_text())
FIELDS = (Field("graph", "graph"),)
SAID = ("generator", "seed", "samples_seen", "flops", "seconds", "energy_kwh", "known_weaknesses")
KIND = plugins.Modality("graph")


def samples(seed: int, rows: int, **settings: int):
    made = Motifs(**settings)
    drawn, labels = made.draw(rows, torch.Generator().manual_seed(seed))
    cells = read.drawn(drawn, made)
    assert cells is not None
    return [{"graph": cell} for cell in cells], labels


def test_the_card_names_this_file_and_says_where_it_comes_from() -> None:
    file = WEIGHTS / "motif_graph.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == CARD["sha256"]
    assert file.stat().st_size <= 4 * 2**20
    assert all(CARD[name] not in (None, "", []) for name in SAID if name != "seed")
    entry = next(e for e in KIND.catalogue() if e["uri"] == "builtin:motifs")
    same = ("licence", "trained_on", "data_licence", "paper", "revision", "sha256")
    assert {n: entry[n] for n in same} == {n: CARD[n] for n in same}


def test_it_loads_is_staged_and_verified() -> None:
    loaded = job.load("builtin:motifs", KIND, offline=True)
    rows, _ = samples(1, 6)
    transform = KIND.batch.make(loaded.source.preprocessing, FIELDS, rows)
    inputs = transform.collate([transform(one) for one in rows])
    backbone = KIND.backbones.stage(loaded, transform).eval()
    staging.verify(backbone, KIND.backbones.reference(loaded, inputs), inputs)
    assert sum(p.numel() for p in backbone.parameters()) == CARD["parameters"]


def test_it_counts_motifs_better_than_its_random_twin() -> None:
    """A linear map reads the number of triangles off its layers; what passes by is left out."""
    rows, labels = samples(2, 300)
    wanted = labels[:, 1].double()  # the class of the number of triangles
    loaded = job.load("builtin:motifs", KIND, offline=True)
    transform = KIND.batch.make(loaded.source.preprocessing, FIELDS, rows)
    inputs = transform.collate([transform(one) for one in rows])
    errors = []
    for module in (loaded.module, loaded.rebuild(0)):
        backbone = KIND.backbones.stage(type(loaded)(loaded.source, module, {}, None), transform)
        with torch.no_grad():
            pooled = backbone.eval().pool(backbone.run(inputs)).double()
        pooled = pooled[:, backbone.columns - backbone.slots :]
        read_off = (pooled - pooled.mean(0)) / (pooled.std(0) + 1e-6)
        learned, held = read_off[:200], read_off[200:]
        gram = learned.T @ learned + 30 * torch.eye(learned.shape[1])
        weights = torch.linalg.solve(gram, learned.T @ (wanted[:200] - wanted[:200].mean()))
        errors.append(float(((held @ weights + wanted[:200].mean() - wanted[200:]) ** 2).mean()))
    assert errors[0] < 0.8 * errors[1]


def test_the_script_makes_such_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    asked = ["--out", str(tmp_path / "made"), "--samples", "128", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["pretrain_graph.py", *asked])
    pretrain_graph.main()
    card = json.loads(Path(capsys.readouterr().out.strip()).read_text("utf-8"))
    assert set(card) - {"checks"} == set(CARD) - {"checks"}
    assert card["samples_seen"] == 128 and "--epochs 1" in card["command"]
    made = job.load(f"file:{tmp_path / 'made' / 'motif_graph.safetensors'}", KIND, offline=True)
    assert made.source.licence == "Apache-2.0"
    before, after = (m.state_dict() for m in (made.rebuild(0), made.module))
    assert any(not np.array_equal(before[name], after[name]) for name in before)
