"""Prior-fitted networks: what they read, what their head keeps, and a run from rows to a pack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import headstart
from headstart.errors import PlanError, SourceError
from headstart.heads import classify, regress
from headstart.modalities.table import in_context, prior_fitted
from headstart.modalities.table.prior_fitted import Shape

SHAPE = Shape(columns=6, width=16, layers=2, heads=2)


def network() -> prior_fitted.PriorFitted:
    """With last layers that say something, which training would have moved from zero."""
    made = prior_fitted.drawn(SHAPE, 0)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in made.layers:
            for weight in (layer.joins.weight, layer.bends[2].weight):
                weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))
        made.says.weight.copy_(0.3 * torch.randn(made.says.weight.shape, generator=rng))
    return made


def rows(count: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, columns)).astype(np.float32)


def head(columns: int, classes: int) -> in_context.InContext:
    made = in_context.Rows(network(), columns).own_head(
        classify.learn([str(k) for k in range(classes)])
    )
    assert isinstance(made, in_context.InContext)
    return made


def settled(columns: int = 4, classes: int = 3, count: int = 40) -> in_context.InContext:
    made = head(columns, classes)
    labels = np.arange(count) % classes
    parts = [(np.arange(count // 2, count), np.arange(count // 2))]
    made.settle(made.solve(rows(count, columns), labels, parts))
    return made


def test_the_shape_is_read_from_what_it_says() -> None:
    assert prior_fitted.said(prior_fitted.told(SHAPE)) == SHAPE
    assert prior_fitted.said("gin, 3 layers, width 64") is None


@pytest.mark.parametrize("columns", [2, 6, 9])
def test_a_row_is_told_the_same_alone_and_in_company(columns: int) -> None:
    made = settled(columns)
    asked = torch.from_numpy(rows(300, columns, 5))
    together = made(asked)
    alone = torch.cat([made(row[None]) for row in asked[:7]])
    assert torch.allclose(together[:7], alone, atol=1e-5)
    assert together.shape == (300, 3)
    assert torch.allclose(together.exp().sum(1), torch.ones(300), atol=1e-5)


def test_labels_of_the_context_matter_and_their_names_do_not() -> None:
    made, other = settled(), settled()
    asked = torch.from_numpy(rows(5, 4, 5))
    other.labels = 2 - other.labels
    assert not torch.allclose(made(asked), other(asked), atol=1e-4)


def test_it_says_that_it_solves_itself_and_others_say_that_they_do_not() -> None:
    assert head(4, 3).solves_itself
    linear = classify.Head(4, classify.learn(["a", "b"]))
    assert not linear.solves_itself
    with pytest.raises(TypeError, match="Head does not solve itself"):
        linear.solve(rows(2, 4), np.array([0, 1]), [])


def test_held_out_rows_do_not_see_their_own_label() -> None:
    made, data, labels = head(4, 3), rows(40, 4), np.arange(40) % 3
    parts = [(np.arange(20, 40), np.arange(20)), (np.arange(20), np.arange(20, 40))]
    found = made.solve(data, labels, parts)
    swapped = labels.copy()
    swapped[0] = (labels[0] + 1) % 3
    again = made.solve(data, swapped, parts)
    assert np.array_equal(found.held_out[0], again.held_out[0])
    assert not np.array_equal(found.held_out[20:], again.held_out[20:])


def test_of_a_large_context_some_rows_are_read() -> None:
    made = settled(count=in_context.MOST + 200)
    assert len(made.rows) == len(made.labels) == in_context.MOST
    assert torch.isfinite(made(torch.from_numpy(rows(3, 4)))).all()


def test_other_outcomes_and_many_classes_are_refused() -> None:
    staged = in_context.Rows(network(), 4)
    with pytest.raises(SourceError, match=r"at most 10 classes.*: regress"):
        staged.own_head(regress.learn([0.5, 1.5, 2.0]))
    with pytest.raises(SourceError, match=r"has: 11 classes.*random-features"):
        staged.own_head(classify.learn([str(k) for k in range(11)]))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are written where a person stands."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """URI of weights in a file with their document."""
    place = tmp_path / "prior.safetensors"
    save_file(network().state_dict(), place)
    card = {"architecture": prior_fitted.told(SHAPE), "licence": "Apache-2.0"}
    place.with_suffix(".json").write_text(json.dumps(card), "utf-8")
    return f"file:{place}"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(90, 3))
    lines = ["a,b,c,label"]
    lines += [f"{a:.3f},{b:.3f},{c:.3f},{'up' if a + b > 0 else 'down'}" for a, b, c in values]
    place = tmp_path / "rows.csv"
    place.write_text("\n".join(lines) + "\n", "utf-8")
    return place


def test_a_run_shows_the_rows_and_trains_nothing(source: str, table: Path) -> None:
    run = headstart.adapt(str(table), columns={"target": "label"}, source=source)
    assert run.record.facts["strategy"] == "in_context"
    assert any("not trained on a task" in note for note in run.record.notes)
    assert any("its pack holds them" in note for note in run.record.notes)
    assert "twin" not in run.record.facts["arms"] and "scratch" not in run.record.facts["arms"]
    assert "luck of training" not in run.sentence
    assert run.record.finding("verdict").measures[0].method.count("draws nothing at random") >= 1
    told = (run.folder / "pack" / "README.md").read_text("utf-8")
    assert "Share it as you would share them" in told and "nan" not in told
    pack = headstart.open_pack(run.folder / "pack")
    inputs = {name: [0.5, -2.0] for name in "abc"}
    told = pack.predict(inputs).probabilities
    assert told is not None and told.shape == (2, 2)
    assert np.allclose(told, headstart.open_pack(run.folder / "pack").predict(inputs).probabilities)


def test_training_it_is_refused(source: str, table: Path) -> None:
    with pytest.raises(PlanError, match="choose in_context"):
        headstart.adapt(
            str(table), columns={"target": "label"}, source=source, strategy="fine_tune"
        )
    with pytest.raises(PlanError, match="choose in_context"):
        headstart.adapt(
            str(table), columns={"target": "label"}, source=source, strategy="linear_probe"
        )


def test_in_context_needs_a_source_that_does_so(table: Path) -> None:
    with pytest.raises(PlanError, match="prior-fitted"):
        headstart.adapt(
            str(table),
            columns={"target": "label"},
            source="builtin:random-features",
            strategy="in_context",
        )


def test_it_says_that_it_has_no_settings(source: str, table: Path) -> None:
    with pytest.raises(PlanError, match="has no settings, and 'rate' came as one"):
        headstart.adapt(
            str(table),
            columns={"target": "label"},
            source=source,
            strategy="in_context",
            settings={"rate": 0.1},
        )


def test_the_default_of_a_small_table_is_the_network_that_is_shipped(table: Path) -> None:
    run = headstart.adapt(str(table), columns={"target": "label"}, seeds=1, champion=False)
    assert run.record.source["uri"] == "builtin:prior-fitted"
    assert run.record.facts["strategy"] == "in_context"
    (accuracy,) = [m for m in run.record.finding("accuracy").measures if m.name == "accuracy"]
    assert accuracy.value > 0.75


def test_weights_of_another_shape_are_refused(source: str, table: Path) -> None:
    document = Path(source.partition(":")[2]).with_suffix(".json")
    card = json.loads(document.read_text("utf-8"))
    card["architecture"] = prior_fitted.told(Shape(columns=7, width=16, layers=2, heads=2))
    document.write_text(json.dumps(card), "utf-8")
    with pytest.raises(headstart.errors.SourceError, match="shapes"):
        headstart.adapt(str(table), columns={"target": "label"}, source=source)
