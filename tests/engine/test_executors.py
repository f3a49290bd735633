"""Executors agree with eager PyTorch within what their profile states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.core import plugins
from headstart.core.store import Space
from headstart.engine import _choose as choose
from headstart.engine._trunk import Trunk
from headstart.engine.extract import How, extract
from headstart.errors import PlanError
from headstart.features.store import MemoryStore
from tests.engine.fakes import Picture, Scale, Sentence, Words, pictures, sentences

TOLERANCE = {"exact": 1e-5, "fast": 3e-2}


def worlds():
    return (
        (pictures(40), Picture(), Scale()),
        (sentences(40), Sentence(), Words()),
    )


def features(executor, profile, data, backbone, transform, cache, cut=None):
    return extract(
        data,
        np.arange(len(data)),
        backbone=backbone,
        transform=transform,
        store=MemoryStore(),
        weights="w",
        cut=cut,
        how=How(executor, profile, cache=cache),
    )


@pytest.mark.parametrize("name", plugins.names("executor"))
def test_contract(name):
    file = plugins.load("executor", name)
    assert set(file.PROFILES) <= {"exact", "fast"}
    assert file.DEVICES
    assert isinstance(file.missing("cpu"), str)
    if not file.missing("cpu"):
        assert file.version()


@pytest.mark.parametrize("name", plugins.names("executor"))
@pytest.mark.parametrize("world", [0, 1])
def test_close_to_eager(name, world, tmp_path):
    file = plugins.load("executor", name)
    if name != "bf16" and file.missing("cpu"):
        pytest.skip(file.missing("cpu"))
    data, backbone, transform = worlds()[world]
    inputs = transform.collate([transform(s) for s in data.samples(np.arange(2))])
    more = transform.collate([transform(s) for s in data.samples(np.arange(30))])
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    for cut in (None, 1):
        trunk = Trunk(backbone, cut)
        run = file.prepare(trunk, inputs, "cpu", tmp_path)
        with torch.inference_mode():
            want = trunk(more)
        got = run(more)
        assert list(got) == list(want)
        for key, tensor in want.items():
            assert got[key].dtype == tensor.dtype
            gap = (got[key].float() - tensor.float()).abs().max() / tensor.float().abs().max()
            assert gap < TOLERANCE["exact" if "exact" in file.PROFILES else "fast"]
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())


def test_the_export_is_kept_and_checked(tmp_path):
    pytest.importorskip("onnxruntime")
    data, backbone, transform = worlds()[0]
    first = features("onnx", "exact", data, backbone, transform, tmp_path)
    kept = list(tmp_path.glob("*.onnx"))
    assert len(kept) == 1
    stamp = kept[0].stat().st_mtime_ns
    again = features("onnx", "exact", data, backbone, transform, tmp_path)
    assert kept[0].stat().st_mtime_ns == stamp
    assert np.array_equal(first.features, again.features)
    kept[0].write_bytes(b"no graph")
    features("onnx", "exact", data, backbone, transform, tmp_path)
    assert kept[0].stat().st_mtime_ns != stamp


class Stubborn(Picture):
    """A network that no exporter can follow: it leaves the tensors for numpy."""

    def pool(self, state):
        return torch.from_numpy(super().pool(state).detach().numpy() * np.random.rand())


def test_what_cannot_be_exported_falls_back_with_a_sentence(tmp_path):
    pytest.importorskip("onnxruntime")
    data, _, transform = worlds()[0]
    made = features("onnx", "exact", data, Stubborn(), transform, tmp_path)
    assert made.executor.startswith("eager")
    assert "onnx" in made.notes[0]


def test_a_missing_runtime_falls_back_with_a_sentence(tmp_path, monkeypatch):
    file = plugins.load("executor", "onnx")
    monkeypatch.setattr(file, "missing", lambda device="cpu": "onnxruntime is not installed.")
    data, backbone, transform = worlds()[0]
    made = features("onnx", "exact", data, backbone, transform, tmp_path)
    assert made.executor.startswith("eager")
    assert "not installed" in made.notes[0]


def test_an_unknown_executor_is_told():
    data, backbone, transform = worlds()[0]
    with pytest.raises(PlanError, match="onnx"):
        features("onxx", "exact", data, backbone, transform, None)


def test_states_of_the_runtime_are_those_of_eager(tmp_path):
    pytest.importorskip("onnxruntime")
    data, backbone, transform = worlds()[1]
    eager = features("eager", "exact", data, backbone, transform, tmp_path, cut=1)
    onnx = features("onnx", "exact", data, backbone, transform, tmp_path, cut=1)
    a, b = eager.states.batch([1, 9, 30]), onnx.states.batch([1, 9, 30])
    assert torch.equal(a["mask"], b["mask"])
    assert (a["words"] - b["words"]).abs().max() < 1e-5


def test_the_executor_used_before_stays(tmp_path):
    """Two of about the same speed do not take turns, so rows stay in one namespace."""
    shelf = MemoryStore().shelf
    space = Space("w", -1, "t", "x", "exact", "")
    eager = choose.Candidate(
        "eager", plugins.load("executor", "eager"), "", shelf(space), [*range(500)]
    )
    onnx = choose.Candidate(
        "onnx", plugins.load("executor", "onnx"), "", shelf(space), [*range(500)]
    )
    rates = {"eager": [0.010, 0.1], "onnx": [0.007, 0.5]}
    both = [eager, onnx]
    assert choose.order(both, float, rates)[0] is onnx
    assert choose.order(both, float, {**rates, "chosen": "eager"})[0] is eager
    slow = {"eager": [0.1, 0.1], "onnx": [0.007, 0.5], "chosen": "eager"}
    assert choose.order(both, float, slow)[0] is onnx
    eager.absent = []
    assert choose.order(both, float, slow)[0] is eager
