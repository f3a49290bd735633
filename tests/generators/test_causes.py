"""Tables by formula: classes, contexts, categories and gaps are as told, and columns tell of the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from headstart.core.generator import ABSENT
from headstart.generators.causes import CLASSES, WORLDS, Causes


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def drawn() -> tuple[dict[str, Tensor], Tensor]:
    return Causes().draw(400, _rng())


def test_shapes(drawn: tuple[dict[str, Tensor], Tensor]) -> None:
    tables, labels = drawn
    assert tables["cells"].shape == (400, 128, 10)
    assert tables["categories"].shape == (400, 10)
    assert labels.shape == (400, 128)
    assert not torch.isinf(tables["cells"]).any()


def test_contexts_number_the_classes_they_show(drawn: tuple[dict[str, Tensor], Tensor]) -> None:
    tables, labels = drawn
    for row in range(400):
        first = int(tables["context"][row])
        assert 2 <= first < 128
        shown = set(labels[row, :first].tolist())
        assert shown == set(range(int(tables["classes"][row])))
        assert len(shown) >= 2
        assert set(labels[row, first:].tolist()) <= shown | {ABSENT}
        assert labels[row, 0] != labels[row, 1]


def test_class_numbers_and_shares_vary(drawn: tuple[dict[str, Tensor], Tensor]) -> None:
    tables, labels = drawn
    assert set(tables["classes"].tolist()) == set(range(2, CLASSES + 1))
    two = labels[(tables["classes"] == 2)]
    share = (two == 1).float().mean(1)
    assert (share < 0.2).any() and ((share > 0.4) & (share < 0.6)).any() and (share > 0.8).any()
    assert ((labels == ABSENT).float().mean() < 0.02).all()


def test_columns_are_what_they_are_said_to_be(drawn: tuple[dict[str, Tensor], Tensor]) -> None:
    tables, _ = drawn
    cells, categories = tables["cells"], tables["categories"]
    columns = cells.transpose(1, 2)
    assert (columns[categories < 0] == 0).all()
    wide = (categories >= 0).sum(1)
    assert wide.min() == 2
    assert wide.max() == 10
    coded = columns[categories > 0]
    known = ~coded.isnan()
    assert (coded[known] == coded[known].round()).all()
    most = coded.nan_to_num(0).amax(1)
    assert (most < categories[categories > 0]).all()
    assert coded[known].min() == 0
    assert set(categories.flatten().tolist()) >= {-1, 0, 2, 3, 8}
    numbers = columns[categories == 0]
    assert np.median([len(set(c.tolist())) for c in numbers[:200]]) > 50


def test_cells_are_missing_where_it_is_hard() -> None:
    easy, _ = Causes().draw(100, _rng(), hardness=0.0)
    assert not easy["cells"].isnan().any()
    hard, _ = Causes().draw(200, _rng(), hardness=1.0)
    touched = hard["cells"].isnan().flatten(1).any(1).float().mean()
    assert 0.15 < touched < 0.45
    assert not hard["cells"].transpose(1, 2)[hard["categories"] < 0].isnan().any()


@pytest.mark.parametrize(("rows", "columns"), [(16, 3), (40, 70)])
def test_other_sizes(rows: int, columns: int) -> None:
    tables, labels = Causes(rows, columns).draw(30, _rng())
    assert tables["cells"].shape == (30, rows, columns)
    assert labels.shape == (30, rows)


def test_columns_tell_of_the_target_in_every_world() -> None:
    tables, labels = Causes().draw(150, _rng(), hardness=0.0)
    gains: dict[int, list[float]] = {n: [] for n in range(len(WORLDS))}
    for row in range(150):
        x, y, known = tables["cells"][row].numpy(), labels[row].numpy(), tables["categories"][row]
        coded = [np.eye(10)[x[:, c].astype(int)] for c in range(10) if known[c] > 0]
        plain = x[:, (known == 0).numpy()].clip(-5, 5)
        features = np.concatenate([plain, *coded], 1)
        first = int(tables["context"][row])
        new = np.arange(128) >= first
        new &= y != ABSENT
        if not new.any():
            continue
        model = LogisticRegression(max_iter=60).fit(features[:first], y[:first])
        commonest = np.bincount(y[:first]).argmax()
        better = (model.predict(features[new]) == y[new]).mean() - (y[new] == commonest).mean()
        gains[int(tables["world"][row])].append(float(better))
    assert all(np.mean(g) > 0.04 for g in gains.values()), {w: np.mean(g) for w, g in gains.items()}


def test_rows_are_alike_in_law() -> None:
    """No column and no class drifts from the first rows to the last, but for the first two."""
    tables, labels = Causes().draw(600, _rng(), hardness=0.0)
    place = torch.arange(126.0)
    place = (place - place.mean()) / place.std()
    cells = tables["cells"][:, 2:]
    cells = (cells - cells.mean(1, keepdim=True)) / cells.std(1, keepdim=True).clamp(min=1e-3)
    drift = (cells * place[:, None]).mean(1)[tables["categories"] == 0]
    assert drift.abs().mean() < 0.085  # 0.071 of independent values
    zero = (labels[:, 2:] == 0).float()
    slope = ((zero - zero.mean(1, keepdim=True)) * place).mean(1) / zero.std(1).clamp(min=1e-3)
    assert slope[zero.std(1) > 0].abs().mean() < 0.085
