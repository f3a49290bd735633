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
from headstart.errors import ContractError, PlanError
from headstart.features.store import MemoryStore
from tests.engine.fakes import Picture, Scale, Sentence, Words, pictures, sentences

TOLERANCE = {"exact": 1e-5, "fast": 3e-2}
PAIRS = [
    (name, world, cut)
    for name in plugins.names("executor")
    for world in (0, 1)
    for cut in (None, 1)
    if name != "compiled" or (world, cut) == (1, 1)  # takes long; pictures are below
]


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


@pytest.mark.parametrize(("name", "world", "cut"), PAIRS)
def test_close_to_eager(name, world, cut, tmp_path):
    file = plugins.load("executor", name)
    if name != "bf16" and file.missing("cpu"):
        pytest.skip(file.missing("cpu"))
    data, backbone, transform = worlds()[world]
    inputs = transform.collate([transform(s) for s in data.samples(np.arange(2))])
    if world == 0:  # an order in memory of its own
        inputs = {n: t.to(memory_format=torch.channels_last) for n, t in inputs.items()}
    more = transform.collate([transform(s) for s in data.samples(np.arange(30))])
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    trunk = Trunk(backbone, cut)
    if name == "int8" and world == 1:
        with pytest.raises(ContractError, match="pictures; this one reads ids"):
            file.prepare(trunk, inputs, "cpu", tmp_path)
        return
    run = file.prepare(trunk, inputs, "cpu", tmp_path)
    with torch.inference_mode():
        want = trunk(more)
    got = run(more)
    assert list(got) == list(want)
    for key, tensor in want.items():
        assert got[key].dtype == tensor.dtype
        away, size = (got[key].float() - tensor.float()).abs(), tensor.float().abs()
        if name == "int8":  # values beyond its ranges are cut
            assert away.norm() < 0.1 * size.norm()
        else:
            assert (
                away.max() < TOLERANCE["exact" if "exact" in file.PROFILES else "fast"] * size.max()
            )
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())


def quantized(monkeypatch):
    """The eight-bit executor, whatever this processor can do."""
    file = plugins.load("executor", "int8")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(file, "missing", lambda device="cpu": "")
    return file


def test_eight_bits_do_not_depend_on_the_rows_seen_first(tmp_path, monkeypatch):
    file = quantized(monkeypatch)
    data, backbone, transform = worlds()[0]
    rows = [transform(s) for s in data.samples(np.arange(8))]
    trunk, every = Trunk(backbone, None), transform.collate(rows)
    one = file.prepare(trunk, transform.collate(rows[:2]), "cpu", tmp_path / "one")
    other = file.prepare(trunk, transform.collate(rows[5:7]), "cpu", tmp_path / "other")
    assert torch.equal(one(every)["features"], other(every)["features"])
    alone = one({n: t[3:4] for n, t in every.items()})["features"]
    assert torch.allclose(alone[0], one(every)["features"][3], atol=1e-5)


def test_eight_bits_serve_only_what_the_fast_profile_asks(tmp_path, monkeypatch):
    quantized(monkeypatch)
    data, backbone, transform = worlds()[0]
    fast = features("int8", "fast", data, backbone, transform, tmp_path)
    assert fast.executor.startswith("int8")
    exact = features("int8", "exact", data, backbone, transform, tmp_path)
    assert exact.executor.startswith("eager")
    assert "does not serve profile 'exact'" in exact.notes[0]


class Loud(Picture):
    """What it gives hangs on differences far below a step of eight bits."""

    def pool(self, state):
        made = super().pool(state)
        return (made * 150).sin()


def test_features_that_eight_bits_destroy_are_refused(tmp_path, monkeypatch):
    quantized(monkeypatch)
    data, _, transform = worlds()[0]
    made = features("int8", "fast", data, Loud(), transform, tmp_path)
    assert made.executor.startswith("eager")
    assert "cosine" in made.notes[0]


def test_a_processor_without_such_instructions_says_so(monkeypatch):
    from headstart.core import machine

    monkeypatch.setattr(machine, "flags", frozenset)
    for name in ("int8", "bf16"):
        assert "no " in plugins.load("executor", name).missing("cpu")


def test_noise_is_the_same_everywhere():
    noise = plugins.load("executor", "int8").noise
    one = noise((3, 24, 32), 2)
    assert one.shape == (2, 3, 24, 32)
    assert torch.equal(one, noise((3, 24, 32), 2))
    assert one.std() > 0.8
    assert one.min() >= -2.2 and one.max() <= 2.6


def test_compiled_code_is_kept(tmp_path, monkeypatch):
    file = plugins.load("executor", "compiled")
    if file.missing("cpu"):
        pytest.skip(file.missing("cpu"))
    data, backbone, transform = worlds()[0]
    first = features("compiled", "exact", data, backbone, transform, tmp_path)
    assert first.executor.startswith("compiled"), first.notes
    kept = list(tmp_path.glob("*.pt2"))
    assert len(kept) == 1
    monkeypatch.setattr(file, "_compile", lambda *a: pytest.fail("compiled twice"))
    again = features("compiled", "exact", data, backbone, transform, tmp_path)
    assert np.array_equal(first.features, again.features)
    plain = features("eager", "exact", data, backbone, transform, tmp_path)
    assert np.abs(first.features - plain.features).max() < 1e-5
    monkeypatch.setenv("CXX", "nothing")
    monkeypatch.setenv("PATH", str(tmp_path))
    without = features("compiled", "exact", data, backbone, transform, tmp_path)
    assert without.executor.startswith("eager")
    assert "C++ compiler" in without.notes[0]


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
