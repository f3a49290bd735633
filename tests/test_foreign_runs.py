"""Whole runs on sources of other libraries: reloaded in a fresh process they predict the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest

import headstart as hs
from headstart.core import plugins
from headstart.core.licence import answers, of_source
from headstart.core.plan import Engine, EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import PlanError, SourceError
from testing import provider as suite

SCHEMES = ("torchvision", "keras", "open_clip", "onnx")
FROZEN = ("onnx",)
AGAIN = """
import json, sys
import headstart as hs
told = {}
for folder in json.loads(sys.argv[1]):
    found = hs.open_run(folder).predict(json.loads(sys.argv[2]))
    told[folder] = found.probabilities.tolist()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures") / "shapes"
    return Path(plugins.Modality("image").tiny.write(place, "classify", 36, 0))


def plan(data: Path, source: str, output: Path, strategy: str = "") -> Plan:
    frozen = source.partition(":")[0] in FROZEN
    name = strategy or ("linear_probe" if frozen else "fine_tune")
    settings = {"epochs": 1, "cut": -1, "augment": False} if name == "fine_tune" else {}
    return Plan(
        task=Task(data=str(data), modality="image"),
        source=SourceChoice(source, offline=True),
        strategy=StrategyChoice(name, settings),
        engine=Engine(executor="eager"),
        evidence=EvidenceChoice(seeds=1, champion=False, scratch=frozen, learning_curve=False),
        output=str(output),
    )


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, hs.Run]:
    """One run a scheme."""
    made = {}
    for scheme in SCHEMES:
        reference, _ = suite.EXAMPLES[scheme]()
        output = tmp_path_factory.mktemp(scheme)
        made[scheme] = hs.adapt(plan=plan(data, f"{scheme}:{reference}", output))
    return made


def test_reloaded_in_a_fresh_process_they_predict_the_same(
    runs: dict[str, hs.Run], data: Path, tmp_path: Path
) -> None:
    some = [str(p) for p in sorted(data.rglob("*.png"))[::9]]
    folders = {
        s: str(r.folder) for s, r in runs.items() if s != "open_clip"
    }  # its name is of this process
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, json.dumps(list(folders.values())), json.dumps(some)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for scheme, run in runs.items():
        here = run.predict(some).probabilities
        assert here.shape == (len(some), 3)
        if scheme in folders:
            assert np.abs(here - np.array(told[folders[scheme]])).max() < 1e-5, scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_pack_names_its_source_with_its_settings(scheme: str, runs: dict[str, hs.Run]) -> None:
    reference, _ = suite.EXAMPLES[scheme]()
    named, _, settings = runs[scheme].record.source["uri"].partition("?")
    assert named == f"{scheme}:{reference.partition('?')[0]}"
    assert parse_qs(settings) == parse_qs(reference.partition("?")[2])
    assert (runs[scheme].folder / "pack" / "head.safetensors").is_file()


def test_a_frozen_source_has_no_twin_and_says_so(runs: dict[str, hs.Run]) -> None:
    record = runs["onnx"].record
    notes = " ".join(record.notes)
    assert "There is no from-scratch twin of this source: it runs in ONNX Runtime" in notes
    assert record.facts["flops_transfer"] > 0
    assert record.finding("licence") is not None


@pytest.mark.parametrize("scheme", FROZEN)
def test_fine_tuning_a_frozen_source_is_refused_before_anything_is_computed(
    scheme: str, data: Path, tmp_path: Path
) -> None:
    reference, _ = suite.EXAMPLES[scheme]()
    asked = plan(data, f"{scheme}:{reference}", tmp_path, "fine_tune")
    with pytest.raises(PlanError, match=r"gives no gradients.*Use linear_probe"):
        hs.adapt(plan=asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", FROZEN)
def test_pretraining_goes_on_from_no_source_that_it_cannot_write(
    scheme: str, data: Path, tmp_path: Path
) -> None:
    reference, _ = suite.EXAMPLES[scheme]()
    with pytest.raises(PlanError, match="gives no gradients"):
        hs.pretrain(
            str(data),
            from_=f"{scheme}:{reference}",
            objective="simclr",
            epochs=1,
            output=str(tmp_path / "made"),
        )
    assert not list((tmp_path / "made").glob("*.safetensors"))


def test_a_run_is_the_source_of_the_next_one(
    runs: dict[str, hs.Run], data: Path, tmp_path: Path
) -> None:
    first = runs["torchvision"]
    second = hs.adapt(plan=plan(data, f"run:{first.folder}", tmp_path, "linear_probe"))
    source = second.record.source
    assert source["revision"] == first.id
    assert source["licence"] == "own"
    assert source["parents"][0]["uri"] == first.record.source["uri"]
    assert source["sha256"] != first.record.source["sha256"]
    given = {a.use: a for a in answers(of_source(source, changed=True))}
    assert given["share"].answer == "unknown"
    assert given["share"].path[-1].startswith("weights shufflenet")
    some = [str(p) for p in sorted(data.rglob("*.png"))[::9]]
    assert second.predict(some).probabilities.shape == (len(some), 3)
    third = hs.adapt(plan=plan(data, f"run:{second.folder}", tmp_path, "linear_probe"))
    assert third.record.source["sha256"] == source["sha256"]  # only a head was trained
    assert third.record.source["parents"][0]["parents"][0]["uri"] == first.record.source["uri"]


def test_a_run_of_another_kind_of_data_is_refused(runs: dict[str, hs.Run], tmp_path: Path) -> None:
    rows = plugins.Modality("table").tiny.write(tmp_path / "rows", "classify", 30, 0)
    with pytest.raises(SourceError, match="learned from image data, so its network reads no table"):
        hs.adapt(rows, source=f"run:{runs['torchvision'].folder}", modality="table")
