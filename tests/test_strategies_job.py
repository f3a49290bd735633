"""Whole runs of strategies that train few parameters: packed, opened in a fresh process, repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

import headstart as hs
from headstart.core import plugins
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import PackError, PlanError, SourceError
from headstart.loading import load
from headstart.modalities.text import tiny
from headstart.registry import packs
from headstart.serving import peft
from tests import forks

SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2},
    "adapter": {"width": 8},
    "bitfit": {},
    "prompt": {"tokens": 3},
}
AGAIN = """
import json, sys
import headstart as hs
found = [hs.open_run(f).predict(sys.argv[2]).probabilities.tolist() for f in json.loads(sys.argv[1])]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny texts, and a tiny encoder as transformers saves it."""
    folder = tmp_path_factory.mktemp("few")
    plugins.Modality("text").tiny.write(folder / "data", "classify", 36, 0)
    made = tiny.loaded(0)
    made.module.save_pretrained(folder / "bert")
    words = made.source.preprocessing["tokenizer_json"]
    (folder / "bert" / "tokenizer.json").write_text(words, "utf-8")
    return folder


def plan(place: Path, name: str, source: str = "", **settings: Any) -> Plan:
    asked = {"epochs": 2, "rate": 0.003, **settings}
    return Plan(
        task=Task(data=str(place / "data" / "texts.csv"), modality="text"),
        source=SourceChoice(source or f"hf:{place / 'bert'}", offline=True),
        strategy=StrategyChoice(name, asked),
        evidence=EvidenceChoice(seeds=1, champion=False, scratch=False, learning_curve=False),
        output=str(place / "runs"),
    )


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, hs.Run]:
    return {name: hs.adapt(plan=plan(place, name, **SETTINGS[name])) for name in SETTINGS}


def test_opened_in_a_fresh_process_they_predict_the_same(
    runs: dict[str, hs.Run], place: Path
) -> None:
    data = str(place / "data" / "texts.csv")
    folders = json.dumps([str(run.folder) for run in runs.values()])
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, folders, data], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for run, said in zip(runs.values(), json.loads(done.stdout), strict=True):
        told = run.record.predictions
        found = run.predict(data)
        np.testing.assert_array_equal(np.array(said), found.probabilities)
        place_of = {str(n): i for i, n in enumerate(found.names)}
        rows = [place_of[str(n)] for n in told["names"]]
        np.testing.assert_allclose(np.array(said)[rows], told["outputs"], atol=1e-5)


def test_a_pack_holds_what_was_trained_and_not_the_base(runs: dict[str, hs.Run]) -> None:
    held = {name: set(packs.load(run.folder / "pack").tensors) for name, run in runs.items()}
    inner = {name: {n for n in found if n.startswith("backbone.")} for name, found in held.items()}
    assert all(n.endswith(".weight") for n in inner["lora"])
    assert all(n.endswith("bias") for n in inner["bitfit"])
    assert all(n.startswith("backbone.adapters.") for n in inner["adapter"])
    assert inner["prompt"] == {"backbone.prompts"}
    assert all(inner.values())


def test_a_repeated_run_trains_nothing_and_says_the_same(runs: dict[str, hs.Run]) -> None:
    for run in runs.values():
        again = hs.adapt(plan=run.record.plan)
        assert again.record.digests["predictions"] == run.record.digests["predictions"]


@pytest.mark.parametrize("name", ["lora", "adapter", "prompt"])
def test_a_replay_gives_the_same_weights(name: str, runs: dict[str, hs.Run]) -> None:
    told = runs[name].replay()
    assert told["equal"] and told["bitwise"], told


def test_what_cannot_be_merged_is_not_handed_on_as_a_source(
    runs: dict[str, hs.Run], place: Path
) -> None:
    for name in ("adapter", "prompt"):
        with pytest.raises(SourceError, match="no part of"):
            hs.adapt(plan=plan(place, "linear_probe", f"run:{runs[name].folder}"))


def test_updates_are_written_as_peft_reads_them(
    runs: dict[str, hs.Run], place: Path, tmp_path: Path
) -> None:
    """By the formula of PEFT's LoRA: W + alpha / r B A, under the names that its checkpoints have."""
    pack = packs.load(runs["lora"].folder / "pack")
    modality = plugins.Modality("text")
    base = load(str(pack.base.source["uri"]), modality, offline=True)
    backbone = modality.backbones.stage(base, modality.batch.restore(pack.transform))
    folder = peft.export(pack, backbone, tmp_path / "adapter")
    config = json.loads((folder / peft.CONFIG).read_text("utf-8"))
    tensors = load_file(folder / peft.TENSORS)
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 2)
    assert config["base_model_name_or_path"] == str(place / "bert")
    plain = AutoModel.from_pretrained(config["base_model_name_or_path"])
    names = dict(plain.named_modules())
    assert len(tensors) == 2 * len(config["target_modules"])
    for name in config["target_modules"]:
        down = tensors[f"base_model.model.{name}.lora_A.weight"]
        up = tensors[f"base_model.model.{name}.lora_B.weight"]
        found = names[name].weight.detach() + config["lora_alpha"] / config["r"] * up @ down
        kept = pack.tensors[f"backbone.network.{name}.weight"]
        torch.testing.assert_close(found, kept, atol=1e-6, rtol=0)
    with pytest.raises(PackError, match="bitfit"):
        peft.export(packs.load(runs["bitfit"].folder / "pack"), backbone, tmp_path / "no")


def test_the_command_takes_the_settings(place: Path) -> None:
    asked = ["run", str(place / "data" / "texts.csv"), "--target", "label", "--strategy", "lora"]
    asked += ["--source", f"hf:{place / 'bert'}", "--seeds", "1", "--set", "evidence.scratch=false"]
    asked += ["--set", "dora=true", "--set", "rslora=true", "--set", "rank=2", "--set", "epochs=1"]
    asked += ["--set", "modules=query|value", "--set", "rate=0.01", "--json"]
    asked += ["--output", str(place / "by command")]
    done = forks.run(forks.command, asked, place, {})
    assert done.code == 0, done.output
    run = hs.open_run(next((place / "by command").glob("*/run.json")).parent)
    names = packs.load(run.folder / "pack").tensors
    changed = {n for n in names if n.startswith("backbone.")}
    assert changed and all(".query." in n or ".value." in n for n in changed)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("lora", {"modules": "nowhere"}, "no linear or convolution module"),
        ("lora", {"rank": 0}, "rank came as 0"),
        ("adapter", {"cut": 9}, "adapter.cut came as 9"),
        ("prompt", {"cut": 1}, "cut"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(
    name: str, settings: dict[str, Any], words: str, place: Path
) -> None:
    with pytest.raises(PlanError, match=words):
        hs.adapt(plan=plan(place, name, **settings))


def test_a_prompt_for_pictures_of_convolutions_names_what_would_serve(tmp_path: Path) -> None:
    data = plugins.Modality("image").tiny.write(tmp_path / "photos", "classify", 24, 0)
    asked = Plan(
        task=Task(data=str(data), modality="image"),
        source=SourceChoice("builtin:formula", offline=True),
        strategy=StrategyChoice("prompt"),
        output=str(tmp_path / "runs"),
    )
    with pytest.raises(PlanError, match="Use lora"):
        hs.adapt(plan=asked)
    assert not (tmp_path / "runs").exists()
