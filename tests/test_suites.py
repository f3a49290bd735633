"""Every conformance suite on every plug-in found; exceptions carry a written reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

import testing
from headstart.core import plugins
from headstart.modalities.text import backbones
from testing import _things, backbone, evidence, strategy


def every_check_on_everything_found() -> Iterator[object]:
    for suite in testing.SUITES:
        module = import_module(f"testing.{suite}")
        for thing in module.things():
            for name, check in module.checks():
                reason = module.KNOWN.get((name, thing))
                marks = [pytest.mark.skip(reason=reason)] if reason else []
                label = f"{suite}-{thing}-{name.removeprefix('check_')}"
                yield pytest.param(check, thing, marks=marks, id=label)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("check", "thing"), list(every_check_on_everything_found()))
def test_contract(check, thing) -> None:  # type: ignore[no-untyped-def]
    check(thing)


@pytest.mark.parametrize("suite", testing.SUITES)
def test_exceptions_name_real_checks_and_things(suite: str) -> None:
    module = import_module(f"testing.{suite}")
    names = {name for name, _ in module.checks()}
    assert names, f"testing/{suite}.py checks nothing"
    for (name, thing), reason in module.KNOWN.items():
        assert name in names
        assert thing in module.things()
        assert len(reason.split()) >= 4, f"the reason for {name} is not written out"


def test_everything_that_is_registered_meets_a_suite() -> None:
    met = {
        "modality": set(import_module("testing.modality").things()),
        "provider": set(import_module("testing.provider").things()),
        "strategy": {t.partition("/")[0] for t in strategy.things()},
        "objective": set(import_module("testing.objective").things()),
        "head": set(import_module("testing.head").things()),
        "evidence": set(evidence.things()),
    }
    absent = {"provider": set() if find_spec("tensorflow") else {"savedmodel"}}
    for kind, things in met.items():
        assert things == set(plugins.names(kind)) - absent.get(kind, set()), kind


def test_the_matrix_of_strategies_and_modalities_is_complete_and_in_the_docs() -> None:
    table, _, notes = strategy.matrix().partition("\n\n")
    lines = table.splitlines()
    print(strategy.matrix())
    assert len(lines) == 2 + len(plugins.names("strategy"))
    told = {f"({place})" for place in range(1, 1 + len(notes.splitlines()))}
    for line in lines[2:]:
        cells = [c.strip() for c in line.strip("|").split("|")][1:]
        assert all(c == "yes" or c.removeprefix("no ") in told for c in cells), line
    page = (Path(__file__).parents[1] / "docs" / "strategies.md").read_text("utf-8")
    shown = page.split(strategy.BEGIN)[1].split(strategy.END)[0].strip()
    assert shown == strategy.matrix(), "write it anew: python -m testing.strategy"


# The suites themselves: a planted breach must be found.


def planted(monkeypatch: pytest.MonkeyPatch, **changed: object) -> None:
    """The tiny text network with methods of its backbone replaced."""
    made = _things.staged("text/tiny")
    kind = type("Planted", (backbones.Layered,), changed)
    wrong = kind(made.loaded, "bert").eval()
    other = dataclasses.replace(made, backbone=wrong)
    monkeypatch.setattr(backbone, "staged", lambda thing: other)


def test_a_pooling_that_reads_padding_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, pool=lambda self, state: state["hidden"].mean(1))
    with pytest.raises(_things.Breach, match="in company"):
        backbone.check_a_row_does_not_depend_on_its_companions("text/tiny")


def test_a_cut_that_runs_a_layer_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self, state, start=0, stop=None):  # type: ignore[no-untyped-def]
        return backbones.Layered.run(self, state, max(0, start - 1) if start > 1 else start, stop)

    planted(monkeypatch, run=run)
    with pytest.raises(_things.Breach, match="after a cut"):
        backbone.check_state_composes_at_every_cut("text/tiny")


def test_a_stage_that_owns_too_little_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, stage_of=lambda self, name: 2)
    with pytest.raises(_things.Breach, match="depends on nothing above"):
        backbone.check_stages_own_what_they_use("text/tiny")


def test_a_strategy_that_names_too_much_below_its_cut_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = strategy.world("from_scratch/text")
    phases = made.strategy.phases(made.network)
    lying = tuple(dataclasses.replace(p, cut=2) for p in phases)
    monkeypatch.setattr(made.strategy, "phases", lambda network: lying)
    monkeypatch.setattr(strategy, "world", lambda thing: made)
    with pytest.raises(_things.Breach, match="below the cut 2"):
        strategy.check_cut_is_below_what_trains("from_scratch/text")


@pytest.mark.parametrize("word", ["harmed", "Good", "should"])
def test_a_judging_word_is_found(word: str) -> None:
    assert evidence.JUDGEMENTS.search(f"the model is {word} here")
    assert not evidence.JUDGEMENTS.search("calibration goodness-of-fit, harmless")


def test_tensors_of_other_shapes_are_not_close() -> None:
    first: Tensor = torch.zeros(2, 3)
    assert not _things.close(first, torch.zeros(3, 2), 1.0)
    assert _things.close(first, first + 1e-7, 1e-6)
