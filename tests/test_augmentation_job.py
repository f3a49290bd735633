"""Augmentation by name in whole runs: what is used, refused, told, and equal after a kill."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart import augmentation, select
from headstart import job as jobs
from headstart.core import augment, plugins
from headstart.core.common import Common
from headstart.core.plan import Augmentation, Plan, StrategyChoice
from headstart.core.task import Task
from headstart.engine import loop
from headstart.engine.checkpoint import Checkpoint
from headstart.errors import PlanError
from testing import strategy as strategies
from tests.strategies.test_tuned import Stopped, stop_at

SHORT = {"epochs": 2, "rate": 1e-3, "cut": -1, "patience": 0}
BARE: dict[str, Any] = {
    "seeds": 1,
    "scratch": False,
    "champion": False,
    "learning_curve": False,
}
NAME = "augmentation"
SMALL = "builtin:formula?input_size=32"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = plugins.Modality("image").tiny.write(
        tmp_path_factory.mktemp("photos"), "classify", 40, 0
    )
    assert isinstance(written, Path)
    return written


def adapted(data: Any, output: Path, *, targets: Any = None, **asked: Any) -> hs.Run:
    """A short run, from a small source where the data are pictures."""
    if asked.get("modality", "image") == "image":
        asked.setdefault("source", SMALL)
    given = {"strategy": "fine_tune", "settings": SHORT, "checks": ["accuracy", NAME], **BARE}
    return hs.adapt(data, targets, output=str(output), **{**given, **asked})


def shares(run: hs.Run) -> dict[str, Any]:
    finding = run.record.finding(NAME)
    assert finding is not None
    return {m.group: m for m in finding.measures}


def opened(kind: str, folder: Path, strategy: str, names: Sequence[str], **settings: Any) -> Any:
    data = plugins.Modality(kind).tiny.write(folder, "classify", 40, 0)
    plan = Plan(
        task=Task(data=str(data), modality=kind),
        strategy=StrategyChoice(strategy, {**SHORT, **settings} if strategy != "auto" else {}),
        augmentation=Augmentation(tuple(names)),
    )
    return jobs.open_job(plan, keep=False)


def test_names_are_used_measured_and_kept_in_the_plan(photos: Path, tmp_path: Path) -> None:
    run = adapted(photos, tmp_path, augment=["rotation:0.5", "colour_jitter"])
    found = shares(run)
    assert set(found) == {"rotation", "colour_jitter"}
    assert all(0 <= m.low <= m.value <= m.high <= 1 and m.n >= 20 for m in found.values())
    assert run.record.plan.augmentation.augment == ("rotation:0.5", "colour_jitter")
    assert run.record.facts["strategy_settings"]["augment"] is True
    assert "realism" not in run.record.facts
    assert "augmented rows are like the real ones" in run.report().read_text()
    again = adapted(photos, tmp_path, augment=["rotation:0.5", "colour_jitter"])
    first, second = (r.record.digests["predictions"] for r in (run, again))
    assert first == second


def test_a_plain_run_and_one_that_is_varied_differ(photos: Path, tmp_path: Path) -> None:
    digests = {
        name: adapted(photos, tmp_path, augment=name, operations=3, magnitude=2.0).record.digests
        for name in ("auto", "mixup", "cutmix,rotation")
    }
    assert len({d["predictions"] for d in digests.values()}) == 3


def test_blends_make_the_store_step_aside_and_say_so(photos: Path, tmp_path: Path) -> None:
    settings = {**SHORT, "augment": False, "mixup_inputs": 0.3}
    run = adapted(photos, tmp_path, settings=settings)
    assert any("Inputs of rows are blended, so states" in note for note in run.record.notes)
    assert run.record.facts["strategy_settings"]["mixup_inputs"] == 0.3
    finding = run.record.finding(NAME)
    assert finding is not None  # it was asked for by name, so what is usual is measured
    assert {m.group for m in finding.measures} == {"usual"}


def digit_like(count: int = 80) -> tuple[list[bytes], list[str]]:
    """White strokes on black of two classes, upper left or lower right hooks; none is upside down."""
    rng = np.random.default_rng(0)
    files, labels = [], []
    for k in range(count):
        pixels = np.zeros((32, 32), np.uint8)
        x, y = rng.integers(5, 8, 2)
        pixels[y : y + 4, x : x + 14] = rng.integers(200, 255)
        side = x if k % 2 else x + 11
        pixels[y : y + 9, side : side + 3] = rng.integers(200, 255)
        noise = rng.integers(0, 12, pixels.shape).astype(np.uint8)
        written = io.BytesIO()
        Image.fromarray(np.maximum(pixels, noise)).convert("RGB").save(written, "PNG")
        files.append(written.getvalue())
        labels.append("abcd"[k % 2])
    return files, labels


def test_what_leaves_the_domain_is_warned_of_and_what_stays_is_not(tmp_path: Path) -> None:
    files, labels = digit_like()
    asked = ["vertical_flip:2", "invert:2", "noise:0.2", "brightness:0.2"]
    run = adapted(files, tmp_path, targets=labels, modality="image", augment=asked)
    found = shares(run)
    assert next(iter(found)) in ("invert", "vertical_flip")
    for name in ("invert", "vertical_flip"):
        assert found[name].value > 0.5
        assert any(f"The augmentation '{name}' makes rows unlike" in n for n in run.record.notes)
    for name in ("noise", "brightness"):
        assert found[name].value < 0.5
        assert not any(f"'{name}'" in n for n in run.record.notes)
    text = run.report().read_text()
    assert "makes rows unlike the training rows" in text and "--augment invert:0.5" in text


def test_nothing_is_measured_where_nothing_is_varied(photos: Path, tmp_path: Path) -> None:
    run = adapted(photos, tmp_path, settings={**SHORT, "augment": False}, checks=[])
    finding = run.record.finding(NAME)
    assert finding is not None and not finding.measures
    assert finding.missing == (("realism of augmentation", "none was used"),)


def test_auto_strategy_says_where_the_probe_was_taken(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "_affordable", lambda job: [])
    run = adapted(photos, tmp_path, strategy="auto", settings={}, augment="auto")
    assert run.record.facts["strategy"] == "linear_probe"
    assert any(note.startswith("No augmentation was used, although") for note in run.record.notes)


def test_auto_strategy_tries_with_what_was_named(photos: Path, tmp_path: Path) -> None:
    made = opened("image", tmp_path, "auto", ["rotation", "cutmix"])
    select.check(made)
    tried = dict(select._affordable(made))
    assert tried and all(s.settings.augment and s.common.cutmix == 1.0 for s in tried.values())


REFUSED = [
    ("image", "fine_tune", ["rotate"], {}, "Known: auto, rotation, scaling"),
    ("text", "fine_tune", ["rotation"], {}, "Unknown augmentation 'rotation' of text."),
    ("series", "fine_tune", ["mixupp"], {}, "mixup"),
    ("text", "fine_tune", ["mixup"], {}, "choose mixup, which blends features"),
    ("text", "fine_tune", ["cutmix"], {}, "these inputs are no pictures; choose mixup,"),
    ("text", "auto", ["cutmix"], {}, "--augment cannot be had here: cutmix"),
    ("graph", "fine_tune", [], {"mixup_inputs": 0.2}, "blends inputs number by number"),
    ("series", "fine_tune", ["cutmix"], {}, "choose mixup_inputs"),
    ("table", "fine_tune", [], {"cutmix": 1.0}, "choose mixup_inputs"),
    ("image", "fine_tune", ["rotation"], {"augment": False}, "augment came as false"),
    ("image", "bi_tuning", ["mixup"], {}, "learns from what is known of each row alone"),
    ("image", "fine_tune", ["mixup"], {"mixup": 0.2}, "leave one of the two out"),
    ("image", "linear_probe", ["rotation"], {}, "nothing is trained step by step"),
]


@pytest.mark.parametrize(("kind", "strategy", "names", "settings", "told"), REFUSED)
def test_what_cannot_be_had_is_refused_before_training(
    kind: str,
    strategy: str,
    names: list[str],
    settings: dict[str, Any],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if strategy == "linear_probe":
        monkeypatch.setitem(globals(), "SHORT", {})
    with pytest.raises(PlanError) as caught:
        select.check(opened(kind, tmp_path, strategy, names, **settings))
    assert told in str(caught.value)


@pytest.mark.parametrize("kind", ["series", "table"])
def test_rows_of_numbers_may_be_mixed(kind: str, tmp_path: Path) -> None:
    select.check(opened(kind, tmp_path, "fine_tune", ["mixup"]))


@pytest.mark.parametrize("kind", ["text", "series", "table", "graph", "audio"])
def test_auto_trains_in_every_kind(kind: str, tmp_path: Path) -> None:
    data = plugins.Modality(kind).tiny.write(tmp_path / "data", "classify", 40, 0)
    if not _trainable(kind, data):
        pytest.skip("its default source is not trained on")
    run = adapted(data, tmp_path / "runs", modality=kind, augment="auto", store="memory")
    offered = plugins.Modality(kind).batch.VARIATIONS
    assert set(shares(run)) <= {n for n, one in offered.items() if one.automatic}


def _trainable(kind: str, data: Path) -> bool:
    plan = Plan(task=Task(data=str(data), modality=kind))
    made = jobs.open_job(plan, keep=False)
    return not made.backbone.frozen


def varied_world(drawn: int) -> strategies.World:
    """A small network of pictures, rows that are varied, and inputs that are blended."""
    made = strategies.world("fine_tune/image", epochs=4)
    known = made.stream.transform.variations  # type: ignore[attr-defined]
    policy = augment.policy({"auto": 1.0}, known, kind="image", drawn=drawn, magnitude=1.0)
    made.stream.transform = augmentation.varied(made.stream.transform, policy)
    made.strategy.common = Common(mixup_inputs=0.3, cutmix=1.0)
    return made


def weights(made: strategies.World) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in made.network.state_dict().items()}


def test_ended_between_two_epochs_it_goes_on_to_equal_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    whole, ended, again, other = (varied_world(drawn) for drawn in (2, 2, 2, 3))
    strategies.run(whole)
    place = Checkpoint(tmp_path, "key")
    steps = 2 * -(-strategies.ROWS // strategies.BATCH)  # of two epochs
    with pytest.raises(Stopped):
        strategies.run(ended, checkpoint=place, alive=stop_at(steps + 1))
    strategies.run(again, checkpoint=place)
    first, second = weights(whole), weights(again)
    assert all(torch.equal(first[name], second[name]) for name in first)
    strategies.run(other)
    third = weights(other)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_nothing_asked_for_is_what_it_was(photos: Path) -> None:
    made = jobs.open_job(Plan(task=Task(data=str(photos))), keep=False)
    assert made.asked == augmentation.Asked()
    assert augmentation.varied(made.transform, None) is made.transform
