"""What every check promises: pure, worded, with intervals, JSON exhibits, and no crash at the edges."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from headstart.core import plugins
from headstart.core.evidence import Case, Check, Finding
from tests.evidence import cases

CHECKS = plugins.names("evidence")
COUNTED = {"parts", "numbers", "FLOPs", "seconds", "bytes", "times", "joules"}
FACTS = {
    "flops_transfer": 1e9,
    "flops_scratch": 5e9,
    "seconds_model": 3.0,
    "seconds_verdict": 9.0,
    "peak_bytes": 2**30,
    "trained_parameters": 5e4,
    "energy_watts": 30.0,
    "licences": [{"what": "weights", "kind": "weights", "licence": "Apache-2.0", "origin": "hub"}],
}


def edge_cases() -> dict[str, Case]:
    """Cases at the edges of what a run can hand over."""
    full = cases.classify(facts=FACTS, metadata={"place": np.tile(["a", "b", "c"], 100)})
    right = cases.classify(rows=50, accuracies={"transfer": 0.8, "champion": 0.8})
    perfect = np.eye(3)[right.targets][None].repeat(3, axis=0)
    same = {role: replace(arm, outputs=perfect) for role, arm in right.arms.items()}
    numbers = cases.regress(facts=FACTS, metadata={"place": np.tile(["a", "b", "c"], 100)})
    flat = {
        role: replace(arm, outputs=np.tile(numbers.targets, (2, 1)))
        for role, arm in numbers.arms.items()
    }
    empty, none = np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    return {
        "full": full,
        "grouped": replace(full, groups=np.repeat([f"patient {i}" for i in range(60)], 5)),
        "one seed": cases.classify(seeds=1, facts=FACTS),
        "all right and alike": replace(right, arms=same),
        "one class in the test": replace(full, targets=np.zeros(300, dtype=np.int64)),
        "transfer alone": cases.classify(accuracies={"transfer": 0.8}),
        "no validation": replace(full, validation_targets=empty, validation_outputs=none),
        "two rows": cases.classify(rows=2),
        "one group": replace(full, groups=np.zeros(300)),
        "numbers": numbers,
        "numbers in groups": replace(numbers, groups=np.repeat(np.arange(60), 5)),
        "numbers without error": replace(numbers, arms=flat),
        "constant numbers": replace(numbers, targets=np.ones(300)),
        "two numbers": cases.regress(rows=2),
    }


EDGES = edge_cases()


def measured(name: str, case: Case) -> Finding | None:
    """The finding, or None where the check does not serve the outcome."""
    file: ModuleType = plugins.load("evidence", name)
    return file.check(case) if case.outcome in file.OUTCOMES else None


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_offers_the_contract(name: str) -> None:
    file = plugins.load("evidence", name)
    assert isinstance(file, Check)
    assert file.__doc__ and len(file.__doc__) > 100
    assert set(file.OUTCOMES)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", CHECKS)
def test_every_measure_has_interval_method_and_size(name: str, edge: str) -> None:
    found = measured(name, EDGES[edge])
    if found is None:
        return
    assert found.check == name
    assert found.measures or found.exhibits or found.missing
    for m in found.measures:
        assert m.method and m.n >= 1, m
        assert math.isfinite(m.value) or edge == "constant numbers", m
        if m.low is None or m.high is None:
            assert m.unit in COUNTED, m
        elif math.isfinite(m.value):
            assert m.low <= m.value + 1e-12 and m.value <= m.high + 1e-12, m
            constant = edge in (
                "constant numbers",
                "one class in the test",
                "one group",
                "two numbers",
            )
            assert m.high > m.low or constant or "class shares" in m.name, m
    json.dumps([dict(e.data) for e in found.exhibits], allow_nan=False)


@pytest.mark.parametrize("name", CHECKS)
def test_the_same_case_gives_the_same_finding(name: str) -> None:
    for edge in ("full", "numbers"):
        assert repr(measured(name, EDGES[edge])) == repr(measured(name, EDGES[edge]))
