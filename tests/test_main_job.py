"""The main job on small data of every kind: learn, judge, ship, predict, repeat, replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import api
from headstart.core import plugins
from headstart.errors import DataError, PackError

KINDS = [
    ("image", "classify", "builtin:formula"),
    ("text", "classify", "builtin:minilm"),
    ("table", "classify", "builtin:random-features"),
    ("table", "regress", "builtin:random-features"),
]
QUICK: dict[str, Any] = {"seeds": 2, "twin_floor_tflop": 1e-5, "strategy": "linear_probe"}
ALONE: dict[str, Any] = {**QUICK, "scratch": False, "learning_curve": False}


def data(folder: Path, modality: str, outcome: str, rows: int = 72, seed: int = 0) -> Path:
    return plugins.Modality(modality).tiny.write(folder / modality, outcome, rows, seed)


@pytest.fixture(scope="module", params=KINDS, ids=lambda k: f"{k[0]}-{k[1]}")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    modality, outcome, _ = request.param
    folder = tmp_path_factory.mktemp(f"{modality}-{outcome}")
    return api.adapt(data(folder, modality, outcome), output=str(folder / "runs"), **QUICK)


def test_it_ends_with_a_verdict_and_everything_measured(run: api.Run) -> None:
    assert run.verdict in ("helped", "no evidence", "harmed")
    assert run.sentence
    record = run.record
    assert record.facts["openings"] == 1
    for finding in record.findings:
        for measure in finding.measures:
            assert measure.method, measure
            if measure.low is not None and measure.high is not None:
                assert measure.low <= measure.value <= measure.high, measure
    names = {m.name for f in record.findings for m in f.measures}
    assert {"transfer gain", "time to model", "time to verdict"} <= names


def test_the_report_stands_alone(run: api.Run) -> None:
    page = run.report().read_text("utf-8")
    assert run.verdict in page
    assert 'src="http' not in page and 'href="http' not in page


def test_the_pack_predicts_what_the_run_predicted(run: api.Run) -> None:
    again = api.open_run(run.folder)
    task = run.record.plan.task
    predicted = again.predict(task.data)
    place = {name: i for i, name in enumerate(predicted.names)}
    told = run.record.predictions
    found = [place[Path(n).name] if n not in place else place[n] for n in told["names"]]
    if run.record.classes:
        assert predicted.probabilities is not None
        np.testing.assert_allclose(predicted.probabilities[found], told["outputs"], atol=1e-4)
    else:
        np.testing.assert_allclose(np.array(predicted.labels)[found], told["outputs"], rtol=1e-3)


def test_a_second_run_forwards_nothing_and_says_the_same(run: api.Run) -> None:
    again = api.adapt(plan=run.record.plan)
    assert again.record.facts["forwards"] == 0
    assert again.record.digests["predictions"] == run.record.digests["predictions"]
    assert again.record.facts["openings"] == 2


def test_a_replay_gives_the_same_weights_without_opening_the_test_split(run: api.Run) -> None:
    told = run.replay()
    assert told["equal"] and told["bitwise"], told
    assert api.adapt(plan=run.record.plan).record.facts["openings"] == 3


def test_runs_are_listed_and_compared(run: api.Run) -> None:
    output = str(run.folder.parent)
    listed = api.runs(output)
    assert run.id in {one["id"] for one in listed}
    told = api.compare(listed[0]["id"], run.id, output)
    assert told["plan"] == {} and told["measures"]
    json.dumps(told)


def test_more_rows_forward_only_the_new_ones(tmp_path: Path) -> None:
    folder = data(tmp_path, "image", "classify", rows=60, seed=5)
    first = api.adapt(folder, output=str(tmp_path / "runs"), **ALONE)
    data(tmp_path, "image", "classify", rows=66, seed=5)
    second = api.adapt(folder, output=str(tmp_path / "runs"), **ALONE)
    assert first.record.facts["forwards"] == 60
    assert second.record.facts["forwards"] == 6


def test_fine_tuning_ships_the_changed_weights(tmp_path: Path) -> None:
    settings = {"epochs": 2, "cut": -2, "augment": False, "rate": 1e-3}
    quick = {**ALONE, "strategy": "fine_tune", "checks": ["accuracy"]}
    folder = data(tmp_path, "image", "classify", rows=60)
    run = api.adapt(folder, settings=settings, output=str(tmp_path / "runs"), **quick)
    predicted = api.open_run(run.folder).predict(folder)
    told = run.record.predictions
    place = {name: i for i, name in enumerate(predicted.names)}
    found = [place[n] for n in told["names"]]
    assert predicted.probabilities is not None
    np.testing.assert_allclose(predicted.probabilities[found], told["outputs"], atol=1e-4)
    assert run.replay()["equal"]


def test_a_pack_on_a_base_altered_by_one_weight_is_refused(run: api.Run) -> None:
    from headstart import job
    from headstart.registry import packs
    from headstart.serving.predictor import Predictor

    pack = packs.load(run.folder / "pack")
    modality = plugins.Modality(pack.modality)
    loaded = job.load(str(pack.base.source["uri"]), modality, offline=True)
    parameters = list(loaded.module.parameters())
    if not parameters:
        pytest.skip("the weights are drawn from the seed that the pack names")
    parameters[0].data.view(-1)[0] += 1e-3
    with pytest.raises(PackError, match="stands on the base"):
        Predictor(pack, loaded, job.cache_root())


def test_a_class_called_script_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    lines = ["text,label"]
    for i in range(60):
        word, label = ("apples", "<script>alert(1)</script>") if i % 2 else ("pears", "b&b")
        lines.append(f"number {i} is about {word} <img src=x onerror=alert(2)>,{label}")
    path.write_text("\n".join(lines) + "\n")
    run = api.adapt(path, columns={"target": "label"}, output=str(tmp_path / "runs"), **ALONE)
    page = run.report().read_text("utf-8")
    assert "<script" not in page and "<img src=x" not in page
    assert "&lt;script&gt;" in page


def test_a_changed_data_set_is_not_replayed(tmp_path: Path) -> None:
    path = data(tmp_path, "table", "classify")
    run = api.adapt(path, output=str(tmp_path / "runs"), **ALONE)
    last = path.read_text().splitlines()[-1]
    path.write_text(f"{path.read_text()}1{last}\n")
    with pytest.raises(DataError, match="digest"):
        run.replay()
