"""Slices, mistakes, cost and licences: planted faults are found, clean cases pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.core.evidence import Case
from headstart.evidence import cost, licence, mistakes, slices
from tests.evidence import cases
from tests.evidence.cases import measure

PLACES = np.tile(["dock", "field", "yard"], 100)
FACTS = {
    "flops_transfer": 2e9,
    "flops_scratch": 1e10,
    "seconds_model": 10.0,
    "seconds_verdict": 60.0,
    "peak_bytes": 3 * 2**30,
    "trained_parameters": 5e4,
    "energy_watts": 40,
}


def test_a_part_that_is_served_worse_is_found() -> None:
    chance = np.where(PLACES == "yard", 0.5, 0.9)
    case = cases.classify(accuracies={"transfer": chance}, metadata={"place": PLACES})
    found = slices.check(case)
    gap = measure(found, "gap in accuracy to other rows", "place = yard")
    assert gap.high is not None and gap.high < -10
    assert found.exhibits[0].data["rows"][0][0] == "place = yard"


def test_parts_served_alike_show_no_gap() -> None:
    wrongly = 0
    for seed in range(60):
        case = cases.classify(accuracies={"transfer": 0.8}, metadata={"place": PLACES}, seed=seed)
        gaps = [m for m in slices.check(case).measures if m.name.startswith("gap")]
        wrongly += any(m.low is None or m.high is None or m.low > 0 or m.high < 0 for m in gaps)
    assert wrongly <= 8  # 5 % of 60 are 3


def test_the_number_of_parts_sets_the_level() -> None:
    found = slices.check(cases.classify(metadata={"place": PLACES}))
    assert measure(found, "parts looked at").value == 3
    assert measure(found, "accuracy", "place = dock").level == pytest.approx(1 - 0.05 / 3)


def test_errors_of_numbers_are_sliced_too() -> None:
    case = cases.regress(metadata={"place": PLACES})
    told = case.arms["transfer"].outputs + np.where(PLACES == "dock", 2.0, 0.0)
    found = slices.check(
        replace(case, arms={"transfer": replace(case.arms["transfer"], outputs=told)})
    )
    gap = measure(found, "gap in mean absolute error to other rows", "place = dock")
    assert gap.low is not None and gap.low > 1
    assert found.exhibits[0].data["rows"][0][0] == "place = dock"


def test_small_parts_and_columns_of_many_values_are_said_to_be_left_out() -> None:
    rare = np.array(["rare"] * 4 + ["usual"] * 296)
    case = cases.classify(metadata={"id": np.arange(300), "kind": rare})
    missing = dict(slices.check(case).missing)
    assert "scores by id" in missing
    assert "score where kind = rare" in missing


def test_the_surest_mistake_comes_first() -> None:
    case = cases.classify(seeds=1)
    told = case.arms["transfer"].outputs.copy()
    told[0, 17] = np.where(np.arange(3) == (case.targets[17] + 1) % 3, 0.9999, 0.00005)
    arms = {"transfer": replace(case.arms["transfer"], outputs=told)}
    rows = mistakes.check(replace(case, arms=arms)).exhibits[0].data["rows"]
    assert rows[0]["row"] == 17
    assert len(rows) == 12
    assert all(r["predicted"] != r["true"] for r in rows)


def test_a_model_without_mistakes_shows_none() -> None:
    case = cases.classify()
    arms = {"transfer": replace(case.arms["transfer"], outputs=np.eye(3)[case.targets][None])}
    assert mistakes.check(replace(case, arms=arms)).exhibits[0].data["rows"] == []


def costed(**facts: object) -> Case:
    return cases.classify(facts=facts)


def test_cost_is_worded_and_energy_is_inferred() -> None:
    found = cost.check(costed(**FACTS))
    energy = measure(found, "energy")
    assert energy.basis == "inferred"
    assert "40 W" in energy.method
    assert (energy.low, energy.value, energy.high) == (200, 400, 600)
    assert measure(found, "compute from scratch, per compute of the transfer").value == 5
    assert not found.missing


def test_metered_energy_is_observed() -> None:
    assert measure(cost.check(costed(**FACTS, energy_joules=123.0)), "energy").basis == "observed"


def test_what_was_not_recorded_is_listed() -> None:
    facts = {k: v for k, v in FACTS.items() if k not in ("peak_bytes", "energy_watts")}
    missing = dict(cost.check(costed(**facts)).missing)
    assert set(missing) == {"peak memory", "energy"}


def test_an_unknown_licence_is_said_and_a_known_chain_passes() -> None:
    model = {"what": "the model", "kind": "adapter", "licence": "own"}
    weights = {"what": "weights", "kind": "weights", "licence": "CC-BY-NC-4.0", "origin": "hub"}
    data = {"what": "training data", "kind": "data", "licence": None, "origin": "hub"}
    planted = licence.check(costed(licences=[model, weights, data]))
    assert planted.missing == (("licence of training data", "not stated by its origin (hub)"),)
    said, chain = planted.exhibits
    assert chain.data["rows"][0] == ["training data", "data", "unknown", "hub"]
    answered = {row[0]: row[1:3] for row in said.data["rows"]}
    assert answered["May it be used commercially?"] == ["no", "the model > weights"]
    assert answered["May it be changed?"] == ["not settled", "the model > training data"]
    assert not licence.check(costed(licences=[model, weights])).missing
    assert licence.check(costed()).missing


def test_compute_of_a_network_that_kept_nothing_is_not_called_a_transfer() -> None:
    names = [m.name for m in cost.check(costed(**FACTS, transferred=False)).measures]
    assert "training compute" in names and "training compute of the transfer" not in names
