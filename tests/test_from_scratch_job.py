"""The network from scratch as the model itself, for where it did better than the transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart import api, loading
from headstart.core import plugins
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import PlanError
from headstart.registry import packs

FEW = {"epochs": 2, "rate": 1e-3}
QUICK: dict[str, Any] = {"seeds": 1, "learning_curve": False}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scratch")
    plugins.Modality("image").tiny.write(folder / "photos", "classify", 30, 0)
    return folder


def adapted(home: Path, data: str = "photos", **more: Any) -> api.Run:
    asked = {"strategy": "from_scratch", "settings": FEW, "output": home / "runs", **QUICK, **more}
    return hs.adapt(home / data, **asked)


@pytest.fixture(scope="module")
def run(home: Path) -> api.Run:
    checks = ["accuracy", "verdict", "forgetting"]
    return adapted(home, source="builtin:formula", checks=checks)


def test_it_is_compared_with_the_simple_model_alone_and_says_what_it_is(run: api.Run) -> None:
    verdict = run.record.finding("verdict")
    assert verdict is not None
    (baseline,) = {m.baseline for m in verdict.measures if m.baseline}
    assert "simple champion" in baseline
    assert "Nothing was transferred" in run.sentence and "the transfer" not in run.sentence
    assert "This is the network from scratch itself" in " ".join(run.record.notes)
    forgetting = run.record.finding("forgetting")
    assert forgetting is not None
    assert "nothing of the source is left" in str(forgetting.missing)


def test_no_weight_of_the_source_is_in_it(run: api.Run) -> None:
    pack = packs.load(run.folder / "pack")
    loaded = loading.load("builtin:formula", plugins.Modality("image"), offline=True)
    source = {n: t.numpy() for n, t in loaded.module.state_dict().items() if t.ndim == 4}
    mine = {n.removeprefix("backbone.net."): np.asarray(t) for n, t in pack.tensors.items()}
    shared = [(a, mine[n]) for n, a in source.items() if n in mine]
    assert len(shared) > 5
    assert not [n for n in pack.tensors if "source_head" in n]
    for one, other in shared:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.3


def test_the_pack_predicts_what_the_run_told(run: api.Run, home: Path) -> None:
    told = run.record.predictions
    found = run.predict(str(home / "photos")).probabilities[np.asarray(told["rows"])]
    np.testing.assert_allclose(found, np.asarray(told["outputs"]), atol=1e-5)


def test_it_can_be_a_source_that_knows_its_own_data_alone(run: api.Run, home: Path) -> None:
    plan = Plan(
        task=Task(data=str(home / "photos")), source=SourceChoice(f"run:{run.folder}"), seed=1
    )
    assert api.dry_run(plan)["source"].startswith("run:")
    loaded = loading.load(f"run:{run.folder}", plugins.Modality("image"), offline=True)
    assert loaded.source.trained_on.endswith("from random weights")


def test_a_rehearsal_grants_no_time_to_a_second_one(home: Path) -> None:
    plan = Plan(
        task=Task(data=str(home / "photos")),
        source=SourceChoice("builtin:formula"),
        strategy=StrategyChoice("from_scratch"),
        evidence=EvidenceChoice(seeds=1),
    )
    assert api.dry_run(plan)["twin_seconds"] == 0


REFUSED = [
    ({"remember": "photos"}, "remember goes by the source's"),
    ({"retain": 0.9}, "retain"),
    ({"settings": {**FEW, "wise": 0.5}}, "wise goes by the source's"),
    ({"settings": {"epochs": 2, "find_rate": True}}, "find_rate goes by the source's"),
]


@pytest.mark.parametrize(("more", "told"), REFUSED)
def test_what_goes_by_the_source_is_refused(more: Any, told: str, home: Path) -> None:
    with pytest.raises(PlanError, match=told):
        adapted(home, source="builtin:formula", **more)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("builtin:random-features", "no network to train anew"),
        ("builtin:prior-fitted", "nothing of it is trained"),
    ],
)
def test_sources_without_a_network_to_train_are_refused(source: str, told: str, home: Path) -> None:
    plugins.Modality("table").tiny.write(home / f"rows{len(source)}", "classify", 40, 0)
    with pytest.raises(PlanError, match=told):
        adapted(home, f"rows{len(source)}", source=source)
