"""A pack predicts what the run predicted, or it is refused."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.core import digest, faults
from headstart.core.dataset import Field
from headstart.errors import PackError, StorageError
from headstart.registry import packs
from headstart.registry.packs import Base, PackParts, Probe

INPUTS = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))


def predict(parts: PackParts) -> np.ndarray:
    raw = INPUTS @ parts.tensors["heads.main.weight"].T + parts.tensors["heads.main.bias"]
    return torch.softmax(raw, dim=1).numpy()


def make(seed: int = 0, **changes) -> PackParts:
    generator = torch.Generator().manual_seed(seed)
    parts = PackParts(
        base=Base({"uri": "timm:x", "revision": "1", "licence": "MIT"}, "ab" * 32),
        outcome="classify",
        modality="m",
        targets={"classes": ["cat", "dog"]},
        transform={"mean": [0.5, float("inf")]},
        fields=(Field("picture", "path"),),
        recipe={"strategy": "linear_probe", "cut": 4, "executor": "eager 2.15", "profile": "exact"},
        card={"title": "Cats | <dogs>", "intended_use": "sorting", "limits": ["no birds"]},
        licences=(
            {"what": "base", "kind": "weights", "licence": "MIT"},
            {"what": "data", "kind": "data", "licence": "unknown"},
        ),
        probe=Probe(("00", "01", "02", "03"), np.zeros((4, 2))),
        tensors={
            "heads.main.weight": torch.randn(2, 3, generator=generator),
            "heads.main.bias": torch.randn(2, generator=generator),
            "backbone.count": torch.tensor(7),
        },
    )
    parts = replace(parts, probe=replace(parts.probe, outputs=predict(parts)))
    return replace(parts, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    packs.save(tmp_path / "pack", make(), predict)
    return tmp_path / "pack"


def left(folder: Path) -> list[str]:
    """Names beside the pack that should not be there."""
    return [p.name for p in folder.parent.iterdir() if p != folder]


def test_the_reloaded_pack_is_the_same(folder: Path):
    pack, made = packs.load(folder), make()
    assert np.array_equal(predict(pack), made.probe.outputs)
    assert digest.tensors(pack.tensors.items()) == digest.tensors(made.tensors.items())
    assert np.array_equal(pack.probe.outputs.astype(np.float32), made.probe.outputs)
    for name in ("base", "targets", "transform", "fields", "recipe", "card", "licences", "outcome"):
        assert getattr(pack, name) == getattr(made, name), name
    assert len(pack.digest) == 32
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "head.safetensors",
        "pack.json",
    ]
    assert not left(folder)


def test_the_same_parts_give_the_same_digest(folder: Path, tmp_path: Path):
    again = packs.save(tmp_path / "again", make(), predict)
    assert again.digest == packs.load(folder).digest
    other = packs.save(tmp_path / "other", make(seed=1), predict)
    assert other.digest != again.digest


def test_the_card_is_for_people(folder: Path):
    text = (folder / "README.md").read_text("utf-8")
    assert r"# Cats \| \<dogs\>" in text
    assert "## Intended use" in text
    assert "- no birds" in text
    assert "- base (weights): MIT; origin: unknown" in text
    assert "May it be put to commercial use? unsettled" in text
    assert "ab" * 32 in text


def test_a_pack_that_predicts_differently_is_not_saved(folder: Path):
    before = packs.load(folder).digest
    with pytest.raises(PackError, match=r"predicts differently: by 0\.001.*1e-06 is allowed"):
        packs.save(folder, make(seed=1), lambda pack: predict(pack) + 1e-3)
    with pytest.raises(PackError, match="shape"):
        packs.save(folder, make(seed=1), lambda pack: predict(pack)[:1])
    with pytest.raises(PackError, match="differently: by nan"):
        packs.save(folder, make(seed=1), lambda pack: predict(pack) * float("nan"))
    assert packs.load(folder).digest == before
    assert not left(folder)


def test_a_stated_tolerance_is_kept(tmp_path: Path):
    packs.save(tmp_path / "p", make(), lambda pack: predict(pack) + 1e-3, tolerance=1e-2)
    assert packs.load(tmp_path / "p").digest


@pytest.mark.parametrize("name", ["pack.json", "head.safetensors", "README.md"])
@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "empty"])
def test_every_harm_is_seen(folder: Path, name: str, harm: str):
    path = folder / name
    data = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    elif harm == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    else:
        path.write_bytes(bytes(data[:-1] if harm == "truncate" else b""))
    if (name, harm) == ("pack.json", "truncate"):  # that byte was the last line's end
        path.write_bytes(bytes(data[:-20]))
    with pytest.raises(PackError):
        packs.load(folder)


@pytest.mark.parametrize("key", ["base", "transform", "card", "licences", "probe", "recipe"])
def test_a_changed_document_is_refused(folder: Path, key: str):
    values = json.loads((folder / "pack.json").read_text("utf-8"))
    values[key] = {"uri": "evil"}
    (folder / "pack.json").write_text(json.dumps(values), "utf-8")
    with pytest.raises(PackError, match="digest"):
        packs.load(folder)


def test_a_newer_format_says_what_to_do(folder: Path):
    values = json.loads((folder / "pack.json").read_text("utf-8")) | {"format": packs.FORMAT + 1}
    (folder / "pack.json").write_text(json.dumps(values), "utf-8")
    with pytest.raises(PackError, match="pip install --upgrade"):
        packs.load(folder)


def test_pickles_are_refused_unopened(tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    for suffix in (".pt", ".bin", ".PKL", ".ckpt"):
        (tmp_path / f"model{suffix}").write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(PackError, match="weights_only=True"):
            packs.load(tmp_path / f"model{suffix}")
    with pytest.raises(PackError, match=r"safetensors\.torch\.save_file"):
        packs.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_pack_is_neither_read_nor_replaced(tmp_path: Path):
    with pytest.raises(PackError, match=r"there is no pack\.json"):
        packs.load(tmp_path / "none")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(PackError, match="is no pack, so it is not replaced"):
        packs.save(tmp_path / "mine", make(), predict)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_another_base_is_refused():
    packs.check_base(make(), "ab" * 32)
    with pytest.raises(PackError, match=r"abababababab.*cdcdcdcdcdcd.*Fetch the same revision"):
        packs.check_base(make(), "cd" * 32)


def test_a_full_disk_leaves_the_former_pack(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = packs.load(folder).digest
    for visit in range(3):  # each of the three files in turn
        faults._visits.clear()
        monkeypatch.setenv("HEADSTART_FAULT", f"registry.before_fsync:enospc:{visit}")
        with pytest.raises(StorageError, match="disk is full"):
            packs.save(folder, make(seed=1), predict)
    monkeypatch.delenv("HEADSTART_FAULT")
    assert packs.load(folder).digest == before
    assert not left(folder)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_crash_between_the_renames_loses_nothing(folder: Path):
    before = packs.load(folder).digest
    code = (
        "import sys; sys.path[:0] = [sys.argv[2]]; from pathlib import Path; import test_packs as t\n"
        "t.packs.save(Path(sys.argv[1]), t.make(seed=1), t.predict)"
    )
    environment = os.environ | {
        "HEADSTART_FAULT": "packs.between_renames:kill",
        "PYTHONPATH": str(Path(packs.__file__).parents[2]),
    }
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, str(folder), here]
    killed = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert killed.returncode < 0, killed.stderr.decode()
    assert not folder.exists()
    assert packs.load(folder).digest == before
    packs.save(folder, make(seed=1), predict)
    assert packs.load(folder).digest != before


def test_numbers_are_compared_relative_to_their_size(tmp_path: Path):
    def big(pack: PackParts) -> np.ndarray:
        return predict(pack)[:, 0].astype(np.float64) * 1e6

    parts = make()
    parts = replace(parts, probe=replace(parts.probe, outputs=big(parts)))
    packs.save(tmp_path / "p", parts, lambda pack: big(pack) * (1 + 1e-7))
    with pytest.raises(PackError, match="differently"):
        packs.save(tmp_path / "p", parts, lambda pack: big(pack) * (1 + 1e-5))
