"""Kernel machines in closed form: each answer against the long way to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from torch import Tensor

from headstart.modalities.table import closed_form

ROWS, COLUMNS, CLASSES = 14, 3, 2


def drawn(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A context (1, ROWS, COLUMNS) with ties and its one-hot classes."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(1, ROWS, COLUMNS, generator=rng)
    rows[..., 2] = rows[..., 2].round()
    labels = (rows[..., 0] > 0).long()
    return rows, torch.nn.functional.one_hot(labels, CLASSES).float()


def everyone(rows: Tensor) -> Tensor:
    return torch.ones(rows.shape[:2], dtype=torch.bool)


def test_left_out_answers_are_those_of_machines_without_the_row() -> None:
    rows, hot = drawn()
    whole = closed_form.fit(rows, hot, everyone(rows))
    for index in (0, 5, ROWS - 1):
        known = everyone(rows)
        known[0, index] = False
        # scales, ranks and shares are those of the whole context there: put them in place
        kernels = closed_form._kernels(
            *closed_form._distances(rows, rows, whole.lists, whole.there), whole.scales
        )
        both = known[:, :, None] & known[:, None, :]
        wanted = (hot - whole.share) * known[..., None]
        said = []
        for kernel in kernels:
            dual, _ = closed_form._solved(torch.where(both, kernel, 0.0), wanted, known)
            said.append((kernel[:, index : index + 1] @ dual).unflatten(2, (-1, CLASSES)))
        expected = torch.cat(said, 2)[0, 0] + whole.share[0]
        assert torch.allclose(whole.left[0, index], expected, atol=1e-4)


def test_ridge_is_that_of_scikit_learn() -> None:
    rows, hot = drawn()
    made = closed_form.fit(rows, hot, everyone(rows))
    asked = torch.randn(1, 5, COLUMNS, generator=torch.Generator().manual_seed(9))
    plain, away = rows[0].numpy(), asked[0].numpy()
    squared = float(((plain[:, None] - plain[None]) ** 2).sum(2).mean())
    share = hot[0].numpy().mean(0)
    at = closed_form.KERNELS.index("gaussian") * len(closed_form.STRENGTHS)
    for place, strength in enumerate(closed_form.STRENGTHS):
        kernel = RBF(np.sqrt(squared / 2))
        model = KernelRidge(alpha=strength, kernel="precomputed")
        model.fit(kernel(plain), hot[0].numpy() - share)
        expected = model.predict(kernel(away, plain)) + share
        assert np.allclose(made(asked)[0, :, at + place].numpy(), expected, atol=1e-4)


def test_rows_that_do_not_count_change_nothing() -> None:
    rows, hot = drawn()
    more = torch.cat([rows, 100 + torch.randn(1, 4, COLUMNS)], 1)
    known = everyone(more)
    known[0, ROWS:] = False
    strange = torch.cat([hot, torch.ones(1, 4, CLASSES)], 1)
    asked = torch.randn(1, 5, COLUMNS, generator=torch.Generator().manual_seed(3))
    alone, beside = (
        closed_form.fit(rows, hot, everyone(rows)),
        closed_form.fit(more, strange, known),
    )
    assert torch.allclose(alone(asked), beside(asked), atol=1e-5)
    assert torch.allclose(alone.left, beside.left[:, :ROWS], atol=1e-5)
    assert not beside.left[:, ROWS:].isnan().any()


def test_a_column_that_is_constant_and_the_order_of_columns_change_nothing() -> None:
    rows, hot = drawn()
    more = torch.cat([torch.zeros(1, ROWS, 1), rows.flip(2)], 2)
    asked = torch.randn(1, 5, COLUMNS, generator=torch.Generator().manual_seed(3))
    wide = torch.cat([torch.zeros(1, 5, 1), asked.flip(2)], 2)
    plain = closed_form.fit(rows, hot, everyone(rows))(asked)
    assert torch.allclose(plain, closed_form.fit(more, hot, everyone(more))(wide), atol=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_classes_are_treated_alike(classes: int) -> None:
    rows, _ = drawn()
    hot = torch.nn.functional.one_hot(torch.arange(ROWS) % classes, classes)[None].float()
    order = torch.arange(classes).flip(0)
    made = closed_form.fit(rows, hot, everyone(rows))
    other = closed_form.fit(rows, hot[..., order], everyone(rows))
    assert torch.allclose(made(rows)[..., order], other(rows), atol=1e-5)
    assert torch.allclose(made(rows).sum(3), torch.ones(1), atol=1e-4)


def test_a_table_without_a_column_that_varies_gives_the_shares() -> None:
    rows, hot = torch.zeros(1, ROWS, 2), drawn()[1]
    said = closed_form.fit(rows, hot, everyone(rows))(torch.ones(1, 2, 2))
    assert torch.isfinite(said).all()
