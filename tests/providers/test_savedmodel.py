"""SavedModels; skipped where TensorFlow, which is large, is not installed."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart as hs
from headstart.core import plugins, staging
from headstart.core.dataset import Field
from headstart.core.plan import Engine, EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import DamagedError, PlanError, SourceError
from headstart.modalities.image import backbones, batch
from testing import provider as suite

pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None,
    reason="the extra 'savedmodel' (TensorFlow) is large and not installed",
)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(suite.EXAMPLES["savedmodel"]()[0].partition("?")[0])


def test_it_says_what_tensorflow_says(folder: Path) -> None:
    import tensorflow as tf

    loaded = suite.opened("savedmodel", f"{folder}?mean=0&std=1")
    transform = batch.make(loaded.source.preprocessing, [Field("image", "bytes")], [])
    rng = np.random.default_rng(0)
    items = []
    for side in (30, 41, 64):
        data = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(data, "PNG")
        items.append(transform({"image": data.getvalue()}))
    together = transform.collate(items)
    model = tf.saved_model.load(str(folder))
    call = model.signatures["serving_default"]
    rows = together["pixels"].permute(0, 2, 3, 1).contiguous().numpy()
    expected = torch.from_numpy(call(images=tf.constant(rows))["features"].numpy())
    with torch.no_grad():
        backbone = backbones.stage(loaded, transform)
        staging.verify(backbone, backbones.reference(loaded, together), together)
        mixed = backbone.pool(backbone.run(together))
        single = torch.cat([backbone.pool(backbone.run(transform.collate([i]))) for i in items])
    assert torch.allclose(mixed, expected, atol=1e-4)
    assert torch.allclose(single, expected, atol=1e-4)
    assert loaded.source.parameters == 3 * 3 * 3 * 6


def test_a_whole_run_and_its_pack(folder: Path, tmp_path: Path) -> None:
    data = plugins.Modality("image").tiny.write(tmp_path / "shapes", "classify", 30, 0)
    plan = Plan(
        task=Task(data=str(data), modality="image"),
        source=SourceChoice(f"savedmodel:{folder}?mean=0&std=1", offline=True),
        strategy=StrategyChoice("linear_probe"),
        engine=Engine(executor="eager"),
        evidence=EvidenceChoice(seeds=1, champion=False, learning_curve=False),
        output=str(tmp_path / "runs"),
    )
    run = hs.adapt(plan=plan)
    some = [str(p) for p in sorted(Path(data).rglob("*.png"))[:3]]
    again = hs.open_run(run.folder).predict(some)
    assert np.allclose(run.predict(some).probabilities, again.probabilities)
    assert any("it runs in TensorFlow" in note for note in run.record.notes)


def test_graphs_that_call_python_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    def features(images: Any) -> dict[str, Any]:
        made = tf.py_function(lambda x: x, [images], tf.float32)
        return {"features": tf.reshape(made, (-1, 24 * 24 * 3))}

    given = tf.TensorSpec((None, 24, 24, 3), tf.float32, "images")
    call = tf.function(features, input_signature=[given])
    tf.saved_model.save(tf.Module(), str(tmp_path / "code"), signatures={"serving_default": call})
    with pytest.raises(SourceError, match="EagerPyFunc, which reaches outside"):
        suite.opened("savedmodel", f"{tmp_path / 'code'}?mean=0&std=1")


def test_what_it_does_not_tell_is_asked_for(folder: Path) -> None:
    with pytest.raises(PlanError, match="does not say how it wants its pixels"):
        suite.opened("savedmodel", str(folder))
    with pytest.raises(PlanError, match="no signature 'other'"):
        suite.opened("savedmodel", f"{folder}?mean=0&std=1&signature=other")


def test_a_changed_folder_is_found_out(folder: Path, tmp_path: Path) -> None:
    import json
    import shutil

    provider: Any = plugins.load("provider", "savedmodel")
    place = tmp_path / "copy"
    shutil.copytree(folder, place)
    card = {"mean": 0, "std": 1, "sha256": provider.fingerprint(place)}
    (tmp_path / "copy.json").write_text(json.dumps(card), "utf-8")
    assert suite.opened("savedmodel", str(place)).checked
    (place / "more.txt").write_text("x")
    with pytest.raises(DamagedError, match=r"copy\.json describes"):
        suite.opened("savedmodel", str(place))
