"""What a source could do before it was adapted and can do after, and models that must keep a share of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart import api, retention
from headstart.core import plugins
from headstart.core.evidence import Finding
from headstart.errors import DataError, PlanError

QUICK = {"seeds": 1, "scratch": False, "champion": False, "learning_curve": False}
BOLD = {"epochs": 4, "rate": 3e-3, "head_first": False, "augment": False, "patience": 0}
CHECKS = ["accuracy", "verdict", "forgetting"]


@pytest.fixture(scope="module", autouse=True)
def fewer() -> Iterator[None]:
    """Fewer samples of the generator: here it is their account that matters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "DRAWN", 128)
        yield


def photos(folder: Path, seed: int) -> Path:
    made: Path = plugins.Modality("image").tiny.write(folder, "classify", 30, seed)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retention")
    photos(folder / "photos", 0)
    photos(folder / "older", 7)
    return folder


def adapted(home: Path, **more: Any) -> api.Run:
    asked = {"strategy": "fine_tune", "settings": BOLD, "checks": CHECKS, **QUICK, **more}
    return hs.adapt(home / "photos", source="builtin:formula", output=home / "runs", **asked)


def forgetting(run: api.Run) -> Finding:
    found = run.record.finding("forgetting")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def tuned(home: Path) -> api.Run:
    return adapted(home)


def test_linear_cka_sees_no_turn_no_shift_and_no_scale() -> None:
    rng = np.random.default_rng(0)
    first = torch.from_numpy(rng.normal(size=(40, 6)))
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(6, 6))))[0]
    other = torch.from_numpy(rng.normal(size=(40, 6)))

    def gram(x: torch.Tensor) -> torch.Tensor:
        return x @ x.T

    assert retention.similar(gram(first), gram(3 * first @ turn + 5)) == pytest.approx(1)
    centred = [x - x.mean(0) for x in (first, other)]
    cross = float((centred[0].T @ centred[1]).norm() ** 2)
    own = [float((x.T @ x).norm()) for x in centred]
    assert retention.similar(gram(first), gram(other)) == pytest.approx(cross / (own[0] * own[1]))


def test_ability_before_and_after_drift_and_the_way_between_are_told(tuned: api.Run) -> None:
    found = forgetting(tuned)
    told = {m.name: m for m in found.measures}
    before, after = told["source ability before"], told["source ability after"]
    change, kept = told["change of source ability"], told["source ability kept"]
    assert before.n == retention.DRAWN and "scenes" in before.method
    assert after.value < before.value
    assert change.value == pytest.approx(100 * (after.value - before.value))
    assert kept.value == pytest.approx(after.value / before.value)
    for one in told.values():
        assert one.low is not None and one.high is not None and one.low < one.value < one.high
    drift, way = found.exhibits
    stages, similar = zip(*drift.data["rows"], strict=True)
    assert len(stages) > 2 and all(0 < s < 1 for s in similar)
    shares, scores, abilities = zip(*way.data["rows"], strict=True)
    assert shares == retention.ALPHAS
    assert abilities[0] == pytest.approx(before.value)
    assert abilities[-1] == pytest.approx(after.value)
    accuracy = tuned.record.finding("accuracy")
    assert accuracy is not None
    assert scores[-1] == pytest.approx(accuracy.measures[0].value)


def test_a_frozen_source_forgets_nothing(home: Path) -> None:
    found = forgetting(adapted(home, strategy="linear_probe", settings={}))
    assert [(m.name, m.value) for m in found.measures] == [("source ability kept", 1.0)]


def test_a_required_share_is_kept_and_the_pack_predicts_so(home: Path, tuned: api.Run) -> None:
    run = adapted(home, retain=0.97)
    told = {m.name: m.value for m in forgetting(run).measures}
    free = {m.name: m.value for m in forgetting(tuned).measures}
    assert free["source ability kept"] < 0.97 <= told["source ability kept"] < 1
    alpha = run.record.facts["strategy_settings"]["retained_way"]
    assert 0 < alpha < 1
    kept = f"keeps {100 * told['source ability kept']:.1f}%"
    (note,) = [note for note in run.record.notes if "97% was asked for" in note]
    assert kept in note and f"is {alpha:.0%} of the way" in note
    sealed = run.predict(str(home / "photos"))
    assert len(sealed.labels) == 30
    assert run.replay()["bitwise"]


def test_data_that_the_source_knows_can_be_named(home: Path) -> None:
    run = adapted(home, remember=home / "older")
    told = {m.name: m for m in forgetting(run).measures}
    assert "older, 6 held-out rows" in told["source ability before"].method
    assert told["source ability before"].n == 6
    assert told["source ability before"].value > 0.3


def test_what_cannot_be_kept_to_is_refused(home: Path) -> None:
    with pytest.raises(PlanError, match="above 0 and at most 1"):
        adapted(home, retain=1.5)
    with pytest.raises(PlanError, match=r"adapter.*retain moves weights back.*choose fine_tune"):
        adapted(home, retain=0.9, strategy="adapter", settings={})
    with pytest.raises(DataError, match="The data to be remembered"):
        adapted(home, remember=home / "nowhere")
    rows = {"a": list(range(20)), "b": [k % 3 for k in range(20)]}
    with pytest.raises(PlanError, match="name some with --remember"):
        hs.adapt(rows, ["low", "high"] * 10, retain=0.9, output=home / "runs", **QUICK)
